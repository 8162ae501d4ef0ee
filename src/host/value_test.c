/* Values: building, reading, CBOR and JSON there and back, and what hostile bytes get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "p2ps.h"

static p2ps_value *sample(void)
{
	p2ps_value *v = p2ps_value_new(P2PS_RECORD), *list, *inner;
	assert_int_equal(p2ps_value_add_null(v, "nothing"), 0);
	assert_int_equal(p2ps_value_add_bool(v, "yes", 1), 0);
	assert_int_equal(p2ps_value_add_int(v, "least", INT64_MIN), 0);
	assert_int_equal(p2ps_value_add_int(v, "small", -1), 0);
	assert_int_equal(p2ps_value_add_id(v, "id", UINT64_MAX), 0);
	assert_int_equal(p2ps_value_add_real(v, "half", 0.5), 0);
	assert_int_equal(p2ps_value_add_string(v, "text", "gr\xc3\xbc\xc3\x9f"), 0);
	assert_int_equal(p2ps_value_add_blob(v, "bytes", "\0\1\2", 3), 0);
	list = p2ps_value_add_list(v, "list");
	for (int i = 0; i < 30; i++)
		assert_int_equal(p2ps_value_add_int(list, NULL, i), 0);
	inner = p2ps_value_add_record(list, NULL);
	assert_int_equal(p2ps_value_add_string(inner, "", ""), 0);
	p2ps_value_add_list(v, "empty");
	return v;
}

static const p2ps_value *member(const p2ps_value *v, const char *name) { return p2ps_value_get(v, name); }

static void check_sample(const p2ps_value *v, int json)
{
	size_t len;
	assert_int_equal(p2ps_value_type(v), P2PS_RECORD);
	assert_int_equal(p2ps_value_count(v), 10);
	assert_int_equal(p2ps_value_type(member(v, "nothing")), P2PS_NULL);
	assert_non_null(member(v, "nothing"));
	assert_int_equal(p2ps_value_bool(member(v, "yes"), 0), 1);
	assert_true(p2ps_value_int(member(v, "least"), 0) == INT64_MIN);
	assert_int_equal(p2ps_value_int(member(v, "small"), 0), -1);
	assert_true(p2ps_value_id(member(v, "id"), 0) == UINT64_MAX);
	assert_true(p2ps_value_real(member(v, "half"), 0) == 0.5);
	assert_string_equal(p2ps_value_string(member(v, "text")), "gr\xc3\xbc\xc3\x9f");
	if (json)
		assert_string_equal(p2ps_value_string(member(v, "bytes")), "AAEC");
	else
		assert_memory_equal(p2ps_value_blob(member(v, "bytes"), &len), "\0\1\2", 3);
	const p2ps_value *item = p2ps_value_at(member(v, "list"), 0);
	for (int i = 0; i < 30; i++, item = p2ps_value_next(item)) {
		assert_int_equal(p2ps_value_int(item, -1), i);
		assert_ptr_equal(item, p2ps_value_at(member(v, "list"), (size_t)i));
	}
	assert_string_equal(p2ps_value_string(member(item, "")), "");
	assert_null(p2ps_value_next(item));
	assert_int_equal(p2ps_value_count(member(v, "empty")), 0);
	assert_string_equal(p2ps_value_name(p2ps_value_at(v, 9)), "empty");
}

static void there_and_back(void **state)
{
	p2ps_value *v = sample(), *again;
	void *data;
	char *text;
	size_t len;
	check_sample(v, 0);
	assert_int_equal(p2ps_value_to_cbor(v, &data, &len), 0);
	assert_int_equal(p2ps_value_from_cbor(data, len, &again), 0);
	check_sample(again, 0);
	p2ps_value_free(&again);
	for (size_t n = 0; n < len; n++) { /* every shorter one is not a whole item */
		assert_int_equal(p2ps_value_from_cbor(data, n, &again), P2PS_EINVAL);
		assert_null(again);
	}
	p2ps_free(data);
	assert_int_equal(p2ps_value_to_json(v, &text), 0);
	assert_int_equal(p2ps_value_from_json(text, strlen(text), &again), 0);
	check_sample(again, 1);
	p2ps_value_free(&again);
	p2ps_free(text);
	p2ps_value_free(&v);
	assert_null(v);
}

/* The examples of RFC 8949, appendix A, as far as they are within what values hold. */
static void cbor_of_others(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *json;
	} good[] = {
		{"\x00", 1, "0"}, {"\x18\x64", 2, "100"}, {"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00", 9, "1000000000000"},
		{"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 9, "\"18446744073709551615\""}, {"\x20", 1, "-1"}, {"\x39\x03\xe7", 3, "-1000"},
		{"\xf9\x3e\x00", 3, "1.5"}, {"\xfb\xc0\x10\x66\x66\x66\x66\x66\x66", 9, "-4.0999999999999996"},
		{"\xf4", 1, "false"}, {"\xf6", 1, "null"}, {"\xf7", 1, "null"}, {"\xc1\x1a\x51\x4b\x67\xb0", 6, "1363896240"},
		{"\x40", 1, "\"\""}, {"\x44\x01\x02\x03\x04", 5, "\"AQIDBA==\""}, {"\x64IETF", 5, "\"IETF\""}, {"\x80", 1, "[]"},
		{"\x83\x01\x82\x02\x03\x82\x04\x05", 8, "[1,[2,3],[4,5]]"}, {"\xa0", 1, "{}"}, {"\xa2\x61\x61\x01\x61\x62\x82\x02\x03", 9, "{\"a\":1,\"b\":[2,3]}"},
		{"\x5f\x42\x01\x02\x43\x03\x04\x05\xff", 9, "\"AQIDBAU=\""}, {"\x7f\x65strea\x64ming\xff", 13, "\"streaming\""},
		{"\x9f\xff", 2, "[]"}, {"\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff", 10, "[1,[2,3],[4,5]]"},
		{"\xbf\x63""Fun\xf5\x63""Amt\x21\xff", 12, "{\"Fun\":true,\"Amt\":-2}"}, {"\xbf\x7f\x61n\x61m\xff\x01\xff", 9, "{\"nm\":1}"},
	};
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"", 0}, {"\x00\x00", 2}, {"\xff", 1}, {"\x1c", 1}, {"\x82\x01", 2}, {"\x9f\x01", 2}, {"\xa1\x01\x02", 3} /* a name that is no text */,
		{"\xa1\x61\x61", 3}, {"\xbf\x61\x61\xff", 4}, {"\x62\xff\xff", 3} /* not UTF-8 */, {"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 9},
		{"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61\x61\x01", 12}, {"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", 9}, {"\x5f\x61\x61\xff", 4},
		{"\x5f\x5f\xff\xff", 4}, {"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", 9} /* below INT64_MIN */, {"\x7f\x01\xff", 3},
	};
	p2ps_value *v;
	char *text;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(p2ps_value_from_cbor(good[i].bytes, good[i].len, &v), 0);
		assert_int_equal(p2ps_value_to_json(v, &text), 0);
		assert_string_equal(text, good[i].json);
		p2ps_free(text);
		p2ps_value_free(&v);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(p2ps_value_from_cbor(bad[i].bytes, bad[i].len, &v), P2PS_EINVAL);
		assert_null(v);
	}
}

static void depth_and_size_are_bounded(void **state)
{
	p2ps_value *v, *at;
	char *text = malloc(1 << 20), *out;
	void *data;
	size_t len;
	memset(text, '[', 1000000);
	assert_int_equal(p2ps_value_from_json(text, 1000000, &v), P2PS_EINVAL);
	memset(text, '\x81', 1000000);
	assert_int_equal(p2ps_value_from_cbor(text, 1000000, &v), P2PS_EINVAL);
	memset(text, '\x9f', 1000000);
	assert_int_equal(p2ps_value_from_cbor(text, 1000000, &v), P2PS_EINVAL);
	memset(text, '\xf6', 1000000); /* many small items are fine */
	text[0] = '\x9f';
	text[999999] = '\xff';
	assert_int_equal(p2ps_value_from_cbor(text, 1000000, &v), 0);
	assert_int_equal(p2ps_value_count(v), 999998);
	p2ps_value_free(&v);
	free(text);
	v = at = p2ps_value_new(P2PS_LIST);
	int deep = 1;
	for (p2ps_value *next; (next = p2ps_value_add_list(at, NULL)); at = next)
		deep++;
	assert_int_equal(deep, 64);
	assert_non_null(strstr(p2ps_last_error(), "deep"));
	assert_int_equal(p2ps_value_to_cbor(v, &data, &len), 0);
	p2ps_value_free(&v);
	assert_int_equal(p2ps_value_from_cbor(data, len, &v), P2PS_EINVAL); /* 64 lists, one level of which the decoder needs */
	p2ps_free(data);
	p2ps_value_free(&v);
	v = p2ps_value_new(P2PS_RECORD);
	p2ps_value_add_int(v, "a", 1);
	p2ps_value_add_int(v, "a", 2);
	assert_int_equal(p2ps_value_to_json(v, &out), 0);
	p2ps_free(out);
	p2ps_value_free(&v);
}

static void wrong_use_is_told(void **state)
{
	p2ps_value *v = p2ps_value_new(P2PS_RECORD), *list = p2ps_value_add_list(v, "l");
	char *out;
	assert_null(p2ps_value_new(P2PS_INT));
	assert_int_equal(p2ps_value_add_int(v, NULL, 1), P2PS_EINVAL);
	assert_string_equal(p2ps_last_error(), "name: a member of a record needs one");
	assert_int_equal(p2ps_value_add_int(list, "x", 1), P2PS_EINVAL);
	assert_int_equal(p2ps_value_add_int(NULL, "x", 1), P2PS_EINVAL);
	assert_int_equal(p2ps_value_add_string(v, "x", "\xff"), P2PS_EINVAL);
	assert_int_equal(p2ps_value_add_string(v, "x", NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_value_add_string(v, "\xc0\x80", ""), P2PS_EINVAL);
	p2ps_value_add_real(v, "inf", 1e308 * 10);
	assert_int_equal(p2ps_value_to_json(v, &out), P2PS_EINVAL);
	assert_int_equal(p2ps_value_from_json("{\"a\":1,\"a\":2}", 13, &list), P2PS_EINVAL);
	assert_int_equal(p2ps_value_from_json("[1,]", 4, &list), P2PS_EINVAL);
	assert_int_equal(p2ps_value_int(p2ps_value_get(NULL, "x"), 7), 7);
	assert_int_equal(p2ps_value_id(member(v, "inf"), 8), 8);
	assert_null(p2ps_value_string(v));
	assert_null(p2ps_value_at(v, 100));
	p2ps_value_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(cbor_of_others),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(wrong_use_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

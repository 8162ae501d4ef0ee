/* Arguments of operations as JSON and text: what is accepted, what is refused, and with which sentence. */
#include "edge/op_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/http.h"
#include "p2ps.h"

static const struct op_arg args[] = {
	{"to", ARG_ID, .help = "where to"},
	{"max-nodes", ARG_INT, .min = 1, .max = 9, .fallback = "3", .help = "how many"},
	{"self", ARG_BOOL, .help = "me, too"},
	{"ids", ARG_IDS, .help = "list"},
	{"word", ARG_TEXT, .required = true, .help = "a word"},
	{"via", ARG_TEXT, .repeated = true, .help = "several"},
	{"message", ARG_BODY, .help = "payload"},
	{NULL},
};
static const struct op op = {"node", "try", 0, args, "", "", "read", "0", "Try.", "", NULL};

static struct arena arena;

static int parse(const char *json, struct value **v, char error[OP_JSON_ERROR])
{
	json_t *j = json_loads(json, 0, NULL);
	assert_non_null(j);
	arena_reset(&arena);
	int err = op_args_from_json(&op, j, &arena, v, error);
	json_decref(j);
	return err;
}

static void refused(const char *json, const char *sentence)
{
	struct value *v;
	char error[OP_JSON_ERROR];
	assert_int_equal(parse(json, &v, error), P2PS_EINVAL);
	if (!strstr(error, sentence))
		fail_msg("%s: '%s' does not say '%s'", json, error, sentence);
}

static void good_arguments_become_values(void **state)
{
	struct value *v;
	char error[OP_JSON_ERROR];
	assert_int_equal(parse("{\"word\":\"w\",\"to\":\"18446744073709551615\",\"self\":true,\"ids\":[\"1\",2],\"via\":[\"a\",\"b\"]}", &v,
			       error), 0);
	assert_true(value_id(v, "to", 0) == UINT64_MAX);
	assert_int_equal(value_int(v, "max_nodes", 0), 3); /* the fallback */
	assert_true(value_bool(v, "self", false));
	assert_string_equal(value_text(v, "word", ""), "w");
	const struct value *ids = value_get(v, "ids");
	assert_int_equal(ids->list.count, 2);
	assert_int_equal(ids->list.last->id, 2);
	assert_int_equal(value_get(v, "via")->list.count, 2);
}

static void bad_arguments_are_named(void **state)
{
	refused("{}", "'word'");
	refused("{\"word\":1}", "'word' must be a text");
	refused("{\"word\":\"w\",\"to\":\"-1\"}", "'to'");
	refused("{\"word\":\"w\",\"to\":\"18446744073709551616\"}", "'to'");
	refused("{\"word\":\"w\",\"to\":\"12x\"}", "'to'");
	refused("{\"word\":\"w\",\"to\":-1}", "'to'");
	refused("{\"word\":\"w\",\"max_nodes\":10}", "from 1 to 9");
	refused("{\"word\":\"w\",\"max_nodes\":\"2\"}", "'max-nodes'");
	refused("{\"word\":\"w\",\"self\":\"yes\"}", "'self'");
	refused("{\"word\":\"w\",\"ids\":[1,\"x\"]}", "'ids'");
	refused("{\"word\":\"w\",\"wrod\":\"x\"}", "did you mean 'word'");
	refused("{\"word\":\"w\",\"message\":\"x\"}", "no argument 'message'");
}

static void texts_become_json(void **state)
{
	char error[OP_JSON_ERROR];
	json_t *j = json_object();
	assert_int_equal(op_arg_from_text(&op, "max_nodes", "7", j, error), 0);
	assert_int_equal(op_arg_from_text(&op, "ids", "1,16,42", j, error), 0);
	assert_int_equal(op_arg_from_text(&op, "via", "a", j, error), 0);
	assert_int_equal(op_arg_from_text(&op, "via", "b", j, error), 0);
	assert_int_equal(op_arg_from_text(&op, "self", "", j, error), 0);
	assert_int_equal(json_integer_value(json_object_get(j, "max_nodes")), 7);
	assert_int_equal(json_array_size(json_object_get(j, "ids")), 3);
	assert_int_equal(json_array_size(json_object_get(j, "via")), 2);
	assert_true(json_is_true(json_object_get(j, "self")));
	assert_int_equal(op_arg_from_text(&op, "max-nodes", "7x", j, error), P2PS_EINVAL);
	assert_int_equal(op_arg_from_text(&op, "word", "\xff", j, error), P2PS_EINVAL);
	assert_int_equal(op_arg_from_text(&op, "tu", "1", j, error), P2PS_EINVAL);
	assert_non_null(strstr(error, "'to'"));
	json_decref(j);
}

static void values_become_json(void **state)
{
	arena_reset(&arena);
	struct value *v = value_record(&arena);
	value_add_id(&arena, v, "id", UINT64_MAX);
	value_add_int(&arena, v, "n", -5);
	value_add_text(&arena, v, "none", NULL);
	value_add_bytes(&arena, v, "data_base64", "\x00\xff", 2);
	value_add_bool(&arena, value_add_list(&arena, v, "l"), NULL, true);
	json_t *j = value_to_json(v);
	char *text = json_dumps(j, JSON_COMPACT);
	assert_string_equal(text, "{\"id\":\"18446744073709551615\",\"n\":-5,\"none\":null,\"data_base64\":\"AP8=\",\"l\":[true]}");
	free(text);
	json_decref(j);
}

static void every_error_has_an_exit_code_of_its_own(void **state)
{
	for (int a = -1; strcmp(error_name(a), "UNKNOWN") != 0; a--) {
		assert_true(error_exit(a) > 1 && error_exit(a) < 64);
		for (int b = -1; b > a; b--)
			assert_int_not_equal(error_exit(a), error_exit(b));
	}
}

int main(void)
{
	arena_init(&arena, 1u << 20);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_arguments_become_values), cmocka_unit_test(bad_arguments_are_named),
		cmocka_unit_test(texts_become_json), cmocka_unit_test(values_become_json),
		cmocka_unit_test(every_error_has_an_exit_code_of_its_own),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&arena);
	return failed;
}

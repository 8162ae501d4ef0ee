/* The vectors in the tree are what the code writes and reads today; whoever changes the wire sees it here. And what is
 * not whole, or has a wrong bit, is read without harm, whatever it means. */
#include <sodium.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/vectors/vectors.h"

static char *file_text(const char *name)
{
	char path[512];
	static char text[4 << 20];
	snprintf(path, sizeof path, "%s/%s.json", VECTORS_DIR, name);
	FILE *in = fopen(path, "r");
	if (!in)
		fail_msg("%s is missing: tests/vectors-gen %s writes it", path, VECTORS_DIR);
	text[fread(text, 1, sizeof text - 1, in)] = 0;
	fclose(in);
	return text;
}

static void vectors_are_what_the_code_says(void **state)
{
	(void)state;
	for (const struct vectors_file *f = vectors_files; f->name; f++) {
		char *now = vectors_text(f), *was = file_text(f->name);
		size_t n = strlen(now);
		if (strncmp(was, now, n) || strcmp(was + n, "\n")) {
			size_t at = 0;
			while (was[at] && was[at] == now[at])
				at++;
			fail_msg("%s.json differs at byte %zu: ...%.60s...", f->name, at, was + (at > 30 ? at - 30 : 0));
		}
		free(now);
	}
}

/* Exactly n bytes on the heap, so that a sanitizer sees a read behind the end. */
static void read_exactly(const struct vectors_file *f, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	memcpy(copy, p, n);
	json_decref(f->describe((struct slice){NULL, copy, (uint32_t)n}));
	free(copy);
}

static void damage(const struct vectors_file *f, uint8_t *p, size_t n)
{
	size_t step = n > 2000 ? n / 200 : 1;
	for (size_t i = 0; i < n; i += step)
		read_exactly(f, p, i);
	for (size_t i = 0; i < n; i += step) {
		uint8_t was = p[i];
		p[i] = (uint8_t)(was ^ (1u << i % 8));
		read_exactly(f, p, n);
		p[i] = 0xff;
		read_exactly(f, p, n);
		p[i] = was;
	}
}

static void damaged_vectors_are_read_without_harm(void **state)
{
	(void)state;
	for (const struct vectors_file *f = vectors_files; f->name; f++) {
		json_t *vectors = json_array(), *v;
		size_t i;
		if (f->describe)
			f->make(vectors);
		json_array_foreach(vectors, i, v) {
			const char *hex = json_string_value(json_object_get(v, "hex"));
			size_t n = strlen(hex) / 2;
			uint8_t *bytes = malloc(n + 1);
			assert_int_equal(sodium_hex2bin(bytes, n + 1, hex, 2 * n, NULL, &n, NULL), 0);
			damage(f, bytes, n);
			free(bytes);
		}
		json_decref(vectors);
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	pool_init(&vectors_pool, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_what_the_code_says),
		cmocka_unit_test(damaged_vectors_are_read_without_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

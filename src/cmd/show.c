/* Results for people: records as aligned lines, lists of records as tables, streams as one line an object. Nothing here
 * knows any single operation; --json prints what the daemon said. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define CELL 256

size_t show_safe(const char *text, size_t len, char *out, size_t size)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	size_t used = 0;
	for (; p < end && used + 5 < size; p++) {
		bool c1 = *p == 0xc2 && end - p > 1 && p[1] < 0xa0; /* U+0080 to U+009F are controls, too */
		if (c1 || *p < ' ' || *p == 0x7f)
			used += (size_t)snprintf(out + used, size - used, "\\x%02x", c1 ? *++p : *p);
		else
			out[used++] = (char)*p;
	}
	out[used] = '\0';
	return used;
}

static void cell_text(const json_t *j, char *out, size_t size)
{
	const char *key;
	json_t *m;
	size_t i, used = 0;
	out[0] = '\0';
	if (json_is_string(j))
		show_safe(json_string_value(j), json_string_length(j), out, size);
	else if (json_is_integer(j))
		snprintf(out, size, "%lld", (long long)json_integer_value(j));
	else if (json_is_real(j))
		snprintf(out, size, "%.4g", json_real_value(j));
	else if (json_is_boolean(j))
		snprintf(out, size, "%s", json_is_true(j) ? "yes" : "no");
	else if (json_is_null(j) || !j)
		snprintf(out, size, "-");
	else if (json_is_array(j)) {
		json_array_foreach((json_t *)j, i, m) {
			char part[CELL];
			cell_text(m, part, sizeof part);
			used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", part);
			if (used >= size)
				return;
		}
		if (json_array_size(j) == 0)
			snprintf(out, size, "-");
	} else if (json_object_get(j, "from") && json_object_get(j, "to") && json_object_size(j) == 2) {
		char a[32], b[32];
		cell_text(json_object_get(j, "from"), a, sizeof a);
		cell_text(json_object_get(j, "to"), b, sizeof b);
		snprintf(out, size, "(%s, %s]", a, b);
	} else
		json_object_foreach((json_t *)j, key, m) {
			char part[CELL];
			cell_text(m, part, sizeof part);
			used += (size_t)snprintf(out + used, size - used, "%s%s=%s", used ? " " : "", key, part);
			if (used >= size)
				return;
		}
}

static void show_record(const json_t *j)
{
	const char *key;
	json_t *m;
	size_t width = 0;
	json_object_foreach((json_t *)j, key, m) {
		size_t n = strlen(key);
		width = n > width ? n : width;
	}
	json_object_foreach((json_t *)j, key, m) {
		char text[4096];
		if (json_is_array(m) && json_is_object(json_array_get(m, 0))) {
			printf("%s:\n", key);
			show_value(m);
			continue;
		}
		cell_text(m, text, sizeof text);
		printf("%-*s  %s\n", (int)width, key, text);
	}
}

#define COLUMNS 24

static void show_table(const json_t *list)
{
	const char *names[COLUMNS], *key;
	int width[COLUMNS], columns = 0;
	size_t i;
	json_t *row, *m;
	json_array_foreach((json_t *)list, i, row) /* a later row may have members that the first lacks */
		json_object_foreach(row, key, m) {
			int c = 0;
			while (c < columns && strcmp(names[c], key) != 0)
				c++;
			if (c < columns || columns == COLUMNS)
				continue;
			names[columns] = key;
			width[columns++] = (int)strlen(key);
		}
	json_array_foreach((json_t *)list, i, row)
		for (int c = 0; c < columns; c++) {
			char text[CELL];
			cell_text(json_object_get(row, names[c]), text, sizeof text);
			int n = (int)strlen(text);
			width[c] = n > width[c] ? n : width[c];
		}
	for (int c = 0; c < columns; c++)
		printf("%s%-*s", c ? "  " : "", c + 1 < columns ? width[c] : 0, names[c]);
	printf("\n");
	json_array_foreach((json_t *)list, i, row) {
		for (int c = 0; c < columns; c++) {
			char text[CELL];
			cell_text(json_object_get(row, names[c]), text, sizeof text);
			printf("%s%-*s", c ? "  " : "", c + 1 < columns ? width[c] : 0, text);
		}
		printf("\n");
	}
}

void show_value(const json_t *j)
{
	char text[4096];
	if (json_is_object(j))
		show_record(j);
	else if (json_is_array(j) && json_is_object(json_array_get(j, 0)))
		show_table(j);
	else if (!json_is_array(j) || json_array_size(j)) {
		cell_text(j, text, sizeof text);
		printf("%s\n", text);
	}
}

/* A message comes from a stranger: it moves no cursor, and its lines do not pass for lines of ours. */
static void print_text(const json_t *j)
{
	const char *p = json_string_value(j), *end = p + json_string_length(j);
	while (p < end) {
		char part[4 * 64 + 8];
		size_t n = 0;
		while (n < 64 && p + n < end && p[n] != '\n' && p[n] != '\t')
			n++;
		if (n == 64 && (unsigned char)p[n - 1] == 0xc2)
			n--; /* its second byte says what it is */
		show_safe(p, n, part, sizeof part);
		fputs(part, stdout);
		p += n;
		if (p < end && (*p == '\n' || *p == '\t'))
			fputs(*p++ == '\n' ? "\n    " : "\t", stdout);
	}
	printf("\n");
}

static void show_message(const json_t *j)
{
	char head[CELL], src[64], seq[32], kind[32];
	cell_text(json_object_get(j, "seq"), seq, sizeof seq);
	cell_text(json_object_get(j, "src"), src, sizeof src);
	cell_text(json_object_get(j, "kind"), kind, sizeof kind);
	snprintf(head, sizeof head, "#%s from %s (%s)", seq, src, kind);
	const json_t *text = json_object_get(j, "data");
	if (text) {
		printf("%s: ", head);
		print_text(text);
	} else {
		char type[CELL];
		cell_text(json_object_get(j, "content_type"), type, sizeof type);
		printf("%s: %s in base64: %s\n", head, type, json_string_value(json_object_get(j, "data_base64")));
	}
}

void show_line(const struct op *op, const json_t *j)
{
	if (strcmp(op->name, "messages") == 0) {
		show_message(j);
	} else {
		char text[4096];
		cell_text(j, text, sizeof text);
		printf("%s\n", text);
	}
	fflush(stdout);
}

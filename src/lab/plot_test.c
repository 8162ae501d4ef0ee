/* A plot is read back as text: every line, mark and name is there, nothing strange breaks the XML or the geometry. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/plot.h"
#include "p2ps.h"

static char *written(struct plot *p)
{
	char path[] = "/tmp/p2ps-plot-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(plot_write(p, path), 0);
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);
	assert_true(f && text && fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	unlink(path);
	plot_free(p);
	return text;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;
	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void lines_and_marks(void **state)
{
	(void)state;
	struct plot *p = plot_new("Hops <of> A & B", "peers", "hops");
	plot_log(p, true, false);
	unsigned a = plot_line(p, "measured"), b = plot_dashed(p, "theory");
	for (int i = 0; i < 5; i++) {
		plot_point_between(p, a, pow(10, i + 1), i, i - 0.1, i + 0.1);
		plot_point(p, b, pow(10, i + 1), i + 1);
	}
	plot_point_between(p, a, 1e6, NAN, 2, 3); /* nobody knows where in between: a bar, no point */
	plot_mark(p, 1000, "kill 50 %");
	char *text = written(p);
	assert_non_null(strstr(text, "Hops &lt;of&gt; A &amp; B"));
	assert_null(strstr(text, "<of>"));
	assert_int_equal(count(text, "<circle"), 6); /* and one in the legend; the dashed line has none */
	assert_int_equal(count(text, ">measured<") + count(text, ">theory<") + count(text, ">kill 50 %<"), 3);
	assert_non_null(strstr(text, ">100k<"));
	assert_int_equal(count(text, "<path stroke=\"#0072b2\" d=\"M"), 6);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
	assert_int_equal(count(text, "#d55e00"), 0); /* theory has the colour of what it belongs to */
	free(text);
}

/* Nothing, one point, equal points, what has no logarithm, gaps. */
static void poor_data(void **state)
{
	(void)state;
	free(written(plot_new("nothing", "x", "y")));
	struct plot *p = plot_new("log", "x", "y");
	plot_log(p, true, true);
	unsigned a = plot_line(p, "a");
	plot_point(p, a, 0, 1);
	plot_point(p, a, 10, -1);
	plot_point(p, a, 7, 7);
	char *text = written(p);
	assert_int_equal(count(text, "<circle"), 2);
	assert_null(strstr(text, "nan"));
	free(text);
	p = plot_new("gap", "x", "y");
	plot_range_y(p, 0, 1);
	a = plot_line(p, "a");
	for (int i = 0; i < 6; i++)
		plot_point(p, a, i, i == 3 ? NAN : i == 5 ? 1e9 : 0.5);
	text = written(p);
	const char *d = strstr(text, "stroke-linejoin=\"round\" d=\"");
	assert_non_null(d);
	d += strlen("stroke-linejoin=\"round\" d=\"");
	unsigned starts = 0;
	for (; *d != '"'; d++)
		starts += *d == 'M';
	assert_int_equal(starts, 2);
	assert_null(strstr(text, "nan"));
	free(text);
}

static void no_such_folder(void **state)
{
	(void)state;
	struct plot *p = plot_new("t", "x", "y");
	assert_int_equal(plot_write(p, "/nowhere/at/all.svg"), P2PS_EIO);
	plot_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines_and_marks), cmocka_unit_test(poor_data), cmocka_unit_test(no_such_folder)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SVG by hand: a frame, ticks at round numbers, one path a line, the legend at the right in the order of the lines' last
 * points, so that the eye finds the name where the line ends. */
#include "lab/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2ps.h"

#define WIDTH 860.0
#define HEIGHT 480.0
#define LEFT 74.0
#define RIGHT 210.0
#define TOP 44.0
#define BOTTOM 56.0
#define TEXT_MAX 120
#define TICKS_MAX 24

struct point {
	double x, y, low, high;
};

struct line {
	char name[TEXT_MAX];
	bool dashed;
	unsigned colour;
	size_t len, cap;
	struct point *points;
};

struct mark {
	double x;
	char text[TEXT_MAX];
};

struct axis {
	bool log, fixed;
	double from, to;
};

struct plot {
	char title[TEXT_MAX], x_label[TEXT_MAX], y_label[TEXT_MAX];
	struct axis x, y;
	struct line *lines;
	struct mark *marks;
	unsigned len, marks_len, colours;
};

/* Told apart also by those who see fewer colours (Okabe and Ito), and black. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d31", "#7f7f7f", "#6a3d9a"};

static void *grown(void *p, size_t n, size_t size)
{
	p = realloc(p, n * size);
	if (!p)
		abort();
	return p;
}

static void copy(char out[TEXT_MAX], const char *text)
{
	snprintf(out, TEXT_MAX, "%s", text ? text : "");
}

struct plot *plot_new(const char *title, const char *x_label, const char *y_label)
{
	struct plot *p = grown(NULL, 1, sizeof *p);
	*p = (struct plot){.len = 0};
	copy(p->title, title);
	copy(p->x_label, x_label);
	copy(p->y_label, y_label);
	return p;
}

void plot_free(struct plot *p)
{
	for (unsigned i = 0; p && i < p->len; i++)
		free(p->lines[i].points);
	if (p) {
		free(p->lines);
		free(p->marks);
	}
	free(p);
}

void plot_log(struct plot *p, bool x, bool y)
{
	p->x.log = x;
	p->y.log = y;
}

void plot_range_x(struct plot *p, double from, double to)
{
	p->x = (struct axis){.log = p->x.log, .fixed = true, .from = from, .to = to};
}

void plot_range_y(struct plot *p, double from, double to)
{
	p->y = (struct axis){.log = p->y.log, .fixed = true, .from = from, .to = to};
}

static unsigned add_line(struct plot *p, const char *name, bool dashed)
{
	p->lines = grown(p->lines, p->len + 1, sizeof *p->lines);
	struct line *l = &p->lines[p->len];
	*l = (struct line){.dashed = dashed, .colour = dashed && p->colours ? p->colours - 1 : p->colours++};
	copy(l->name, name);
	return p->len++;
}

unsigned plot_line(struct plot *p, const char *name)
{
	return add_line(p, name, false);
}

unsigned plot_dashed(struct plot *p, const char *name)
{
	return add_line(p, name, true);
}

void plot_point_between(struct plot *p, unsigned line, double x, double y, double low, double high)
{
	struct line *l = &p->lines[line];
	if (l->len == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->points = grown(l->points, l->cap, sizeof *l->points);
	}
	l->points[l->len++] = (struct point){x, y, low, high};
}

void plot_point(struct plot *p, unsigned line, double x, double y)
{
	plot_point_between(p, line, x, y, y, y);
}

void plot_mark(struct plot *p, double x, const char *text)
{
	p->marks = grown(p->marks, p->marks_len + 1, sizeof *p->marks);
	p->marks[p->marks_len].x = x;
	copy(p->marks[p->marks_len++].text, text);
}

static bool on_axis(const struct axis *a, double v)
{
	return isfinite(v) && (!a->log || v > 0);
}

static void span(struct axis *a, double v)
{
	if (!on_axis(a, v))
		return;
	a->from = v < a->from ? v : a->from;
	a->to = v > a->to ? v : a->to;
}

/* What the points need, when nobody said otherwise. */
static struct axis fitted(const struct plot *p, bool x)
{
	struct axis a = x ? p->x : p->y;
	if (a.fixed)
		return a;
	a.from = INFINITY;
	a.to = -INFINITY;
	for (unsigned i = 0; i < p->len; i++)
		for (size_t k = 0; k < p->lines[i].len; k++) {
			const struct point *q = &p->lines[i].points[k];
			span(&a, x ? q->x : q->y);
			span(&a, x ? q->x : q->low);
			span(&a, x ? q->x : q->high);
		}
	for (unsigned i = 0; x && i < p->marks_len; i++)
		span(&a, p->marks[i].x);
	if (a.from > a.to)
		a.from = a.log ? 1 : 0, a.to = a.log ? 10 : 1;
	if (!x && !a.log && a.from > 0)
		a.from = 0;
	if (a.from == a.to && a.log)
		a.from /= 2, a.to *= 2;
	else if (a.from == a.to)
		a.to += 1;
	if (!x && a.log)
		a.from /= 1.25, a.to *= 1.25;
	else if (!x)
		a.to += (a.to - a.from) * 0.05;
	return a;
}

static double place(const struct axis *a, double v)
{
	double share = a->log ? log(v / a->from) / log(a->to / a->from) : (v - a->from) / (a->to - a->from);
	return share < -0.02 ? -0.02 : share > 1.02 ? 1.02 : share; /* far outside of a fixed range: at its edge */
}

static double at_x(const struct axis *a, double v)
{
	return LEFT + place(a, v) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct axis *a, double v)
{
	return HEIGHT - BOTTOM - place(a, v) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 and 5 times powers of ten; on a wide logarithmic axis powers of ten only. */
static unsigned ticks(const struct axis *a, double out[TICKS_MAX])
{
	unsigned n = 0;
	if (a->log) {
		double decades = log10(a->to / a->from);
		int step = decades > 12 ? 3 : 1;
		for (int e = (int)floor(log10(a->from)); e <= (int)ceil(log10(a->to)); e++)
			for (int m = 1; m <= 5; m += m == 1 ? 1 : 3) {
				double v = m * pow(10, e);
				bool wanted = decades < 3 || (m == 1 && e % step == 0);
				if (wanted && n < TICKS_MAX && v >= a->from * 0.999 && v <= a->to * 1.001)
					out[n++] = v;
			}
		if (n >= 2)
			return n;
		n = 0;
	}
	double rough = (a->to - a->from) / 6, power = pow(10, floor(log10(rough))), unit = rough / power;
	double step = power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10);
	for (double v = ceil(a->from / step - 1e-9) * step; n < TICKS_MAX && v <= a->to + step * 1e-6; v += step)
		if (!a->log || v > 0)
			out[n++] = fabs(v) < step * 1e-6 ? 0 : v;
	return n;
}

static void print_number(FILE *f, double v)
{
	static const struct {
		double from;
		const char *unit;
	} units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}};
	for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
		if (fabs(v) >= units[i].from) {
			fprintf(f, "%.4g%s", i == 3 ? v / 1e3 : v / units[i].from, units[i].unit);
			return;
		}
	fprintf(f, "%.4g", v);
}

static void print_text(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '>': fputs("&gt;", f); break;
		default: fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
		}
}

static void print_frame(const struct plot *p, FILE *f, const struct axis *x, const struct axis *y)
{
	double v[TICKS_MAX], right = WIDTH - RIGHT, bottom = HEIGHT - BOTTOM;
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" "
		   "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>", WIDTH, HEIGHT, WIDTH, HEIGHT);
	print_text(f, p->title);
	fprintf(f, "</title>\n<rect width=\"%g\" height=\"%g\" fill=\"#ffffff\"/>\n<text x=\"%g\" y=\"24\" font-size=\"15\" font-weight=\"bold\">",
		WIDTH, HEIGHT, LEFT);
	print_text(f, p->title);
	fprintf(f, "</text>\n<g stroke=\"#e0e0e0\">\n");
	unsigned nx = ticks(x, v);
	for (unsigned i = 0; i < nx; i++)
		fprintf(f, "<path d=\"M%.1f %g V%g\"/>\n", at_x(x, v[i]), TOP, bottom);
	unsigned ny = ticks(y, v);
	for (unsigned i = 0; i < ny; i++)
		fprintf(f, "<path d=\"M%g %.1f H%g\"/>\n", LEFT, at_y(y, v[i]), right);
	fprintf(f, "</g>\n<g fill=\"#333333\">\n");
	for (unsigned i = 0; i < ny; i++) {
		fprintf(f, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 7, at_y(y, v[i]) + 4);
		print_number(f, v[i]);
		fprintf(f, "</text>\n");
	}
	nx = ticks(x, v);
	for (unsigned i = 0; i < nx; i++) {
		fprintf(f, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">", at_x(x, v[i]), bottom + 17);
		print_number(f, v[i]);
		fprintf(f, "</text>\n");
	}
	fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">", (LEFT + right) / 2, HEIGHT - 16);
	print_text(f, p->x_label);
	fprintf(f, "</text>\n<text transform=\"translate(18 %g) rotate(-90)\" text-anchor=\"middle\">", (TOP + bottom) / 2);
	print_text(f, p->y_label);
	fprintf(f, "</text>\n</g>\n<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"none\" stroke=\"#333333\"/>\n", LEFT, TOP,
		right - LEFT, bottom - TOP);
}

static void print_marks(const struct plot *p, FILE *f, const struct axis *x)
{
	for (unsigned i = 0; i < p->marks_len; i++) {
		if (!on_axis(x, p->marks[i].x))
			continue;
		double at = at_x(x, p->marks[i].x);
		fprintf(f, "<path d=\"M%.1f %g V%g\" stroke=\"#888888\" stroke-dasharray=\"2 3\"/>\n<text x=\"%.1f\" y=\"%g\" font-size=\"11\" "
			   "fill=\"#555555\">", at, TOP, HEIGHT - BOTTOM, at + 3, TOP + 12 + 13.0 * (i % 3));
		print_text(f, p->marks[i].text);
		fprintf(f, "</text>\n");
	}
}

/* When the colours begin again the dots are hollow. */
static void print_dot(FILE *f, const struct line *l, double x, double y)
{
	unsigned count = sizeof colours / sizeof *colours;
	const char *colour = colours[l->colour % count];
	fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" stroke=\"%s\" stroke-width=\"1.4\" fill=\"%s\"/>\n", x, y,
		l->colour < count ? "1.8" : "2.8", colour, l->colour < count ? colour : "#ffffff");
}

static bool has_dots(const struct line *l)
{
	return l->len <= 60 && !l->dashed;
}

static void print_line(const struct line *l, FILE *f, const struct axis *x, const struct axis *y)
{
	const char *colour = colours[l->colour % (sizeof colours / sizeof *colours)];
	bool pen = false, dots = has_dots(l);
	fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-linejoin=\"round\"%s d=\"", colour,
		l->dashed ? " stroke-dasharray=\"6 4\"" : "");
	for (size_t i = 0; i < l->len; i++) {
		const struct point *q = &l->points[i];
		bool there = on_axis(x, q->x) && on_axis(y, q->y);
		if (there)
			fprintf(f, "%s%.1f %.1f", pen ? "L" : "M", at_x(x, q->x), at_y(y, q->y));
		pen = there;
	}
	fprintf(f, "\"/>\n");
	for (size_t i = 0; i < l->len; i++) {
		const struct point *q = &l->points[i];
		if (!on_axis(x, q->x))
			continue;
		if (q->low < q->high && on_axis(y, q->low) && on_axis(y, q->high))
			fprintf(f, "<path stroke=\"%s\" d=\"M%.1f %.1fV%.1f\"/>\n", colour, at_x(x, q->x), at_y(y, q->low), at_y(y, q->high));
		if (dots && on_axis(y, q->y))
			print_dot(f, l, at_x(x, q->x), at_y(y, q->y));
	}
}

struct entry {
	double y;
	unsigned line;
};

static int by_y(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->y != y->y ? (x->y < y->y ? -1 : 1) : x->line < y->line ? -1 : x->line > y->line;
}

static void print_legend(const struct plot *p, FILE *f, const struct axis *y)
{
	struct entry *order = grown(NULL, p->len + 1, sizeof *order);
	for (unsigned i = 0; i < p->len; i++) {
		const struct line *l = &p->lines[i];
		order[i] = (struct entry){HEIGHT, i};
		for (size_t k = l->len; k-- > 0;)
			if (on_axis(y, l->points[k].y)) {
				order[i].y = at_y(y, l->points[k].y);
				break;
			}
	}
	qsort(order, p->len, sizeof *order, by_y);
	for (unsigned i = 0; i < p->len; i++) {
		const struct line *l = &p->lines[order[i].line];
		double at = TOP + 10 + 19.0 * i, left = WIDTH - RIGHT + 14;
		fprintf(f, "<path d=\"M%g %g h22\" stroke=\"%s\" stroke-width=\"2.4\"%s/>\n<text x=\"%g\" y=\"%g\">", left, at,
			colours[l->colour % (sizeof colours / sizeof *colours)], l->dashed ? " stroke-dasharray=\"6 4\"" : "", left + 28, at + 4);
		print_text(f, l->name);
		fprintf(f, "</text>\n");
		if (has_dots(l))
			print_dot(f, l, left + 11, at);
	}
	free(order);
}

int plot_write(const struct plot *p, const char *path)
{
	struct axis x = fitted(p, true), y = fitted(p, false);
	FILE *f = fopen(path, "w");
	if (!f)
		return P2PS_EIO;
	print_frame(p, f, &x, &y);
	print_marks(p, f, &x);
	for (unsigned i = 0; i < p->len; i++)
		print_line(&p->lines[i], f, &x, &y);
	print_legend(p, f, &y);
	fprintf(f, "</svg>\n");
	int failed = ferror(f);
	return fclose(f) != 0 || failed ? P2PS_EIO : 0;
}

/* Plots as SVG: lines over two axes, linear or logarithmic, for the laboratory's reports. One plot is one file; nothing
 * is kept but the points. Out of memory ends the program: this is a tool, not a node. */
#ifndef P2PS_LAB_PLOT_H
#define P2PS_LAB_PLOT_H
#include <stdbool.h>
#include <stddef.h>

struct plot;

/* The texts are copied; any may hold < and &. */
struct plot *plot_new(const char *title, const char *x_label, const char *y_label);
void plot_free(struct plot *p);
void plot_log(struct plot *p, bool x, bool y);                /* logarithmic axes: points not above 0 are left out */
void plot_range_x(struct plot *p, double from, double to);    /* else: from the points */
void plot_range_y(struct plot *p, double from, double to);    /* else: from the points, and from 0 when linear */
/* A line with a name in the legend; the number is for plot_point. A dashed one keeps its colour from the one before it
 * (theory beside measurement, goal beside result). */
unsigned plot_line(struct plot *p, const char *name);
unsigned plot_dashed(struct plot *p, const char *name);
/* Points are joined in the order in which they come; one with y NAN interrupts the line. */
void plot_point(struct plot *p, unsigned line, double x, double y);
void plot_point_between(struct plot *p, unsigned line, double x, double y, double low, double high); /* with an error bar, also when y is NAN */
void plot_mark(struct plot *p, double x, const char *text);   /* something happened at x: an upright line with a word */
int plot_write(const struct plot *p, const char *path);       /* 0 or P2PS_EIO, errno says why */
#endif

/* `lab compare`: the study of topologies. Every topology at every size, and families of them at one size with few and with
 * many links; each case in a process of its own, the costly ones first, the results in shared memory. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab/cmd.h"
#include "lab/plot.h"
#include "lab/topo.h"
#include "p2ps.h"

#define WIDE 3 /* an interval wider than this factor has no middle worth a point */
#define LINKS_NODES 1048576u /* of the families with few and with many links */

static const char *const families[] = {
	"cayley:3", "cayley:4", "cayley:6", "cayley:8", "cayley:12", "cayley:20", "cayley:32", NULL,
	"hypertorus:2", "hypertorus:3", "hypertorus:4", "hypertorus:5", "hypertorus:6", "hypertorus:8", "hypertorus:10", "hypertorus:14", NULL,
	"dks:2/clockwise", "dks:3/clockwise", "dks:4/clockwise", "dks:8/clockwise", NULL,
	"dks:2", "dks:3", "dks:4", "dks:8", NULL,
	"tango:1", "tango:2", "tango:3", "tango:4", "tango:5", NULL,
	"random:1", "random:2", NULL,
	"gnutella:4", "gnutella:8", "gnutella:16", "gnutella:32", NULL,
	NULL,
};

struct one {
	struct topo_spec spec;
	uint64_t nodes;
	unsigned line;    /* of its plot */
	bool by_links;    /* of the families */
	double cost;
	bool done;
	struct topo_result r;
	char error[200];
};

struct study {
	struct one *cases; /* shared with the workers */
	unsigned len, lines, family_lines, jobs;
	unsigned targets;
	uint64_t seed, up_to;
	const char *out;
};

static double cost_of(const struct topo_spec *s, uint64_t nodes)
{
	double n = (double)nodes;
	switch (s->kind) {
	case TOPO_RANDOM:
		return n * 1000 * s->k;
	case TOPO_GNUTELLA:
		return n * 100 * s->k;
	case TOPO_HYPERCUBE:
	case TOPO_HYPERTORUS:
		return 1;
	case TOPO_DKS:
	case TOPO_CHORD:
	case TOPO_TANGO:
		return n * 40;
	default:
		return n;
	}
}

static bool add(struct study *s, const char *name, uint64_t nodes, unsigned line, bool by_links, char error[200])
{
	struct one *o = &s->cases[s->len];
	*o = (struct one){.nodes = nodes, .line = line, .by_links = by_links};
	if (!topo_parse(name, &o->spec, error))
		return false;
	if (o->spec.kind == TOPO_HYPERTORUS && nodes < (uint64_t)1 << o->spec.k)
		return true; /* too few for that many dimensions */
	o->cost = cost_of(&o->spec, nodes);
	s->len++;
	return true;
}

/* One and three of each power of ten; of a structured one the nearest size that it has. */
static bool plan(struct study *s, const char *names, char error[200])
{
	char list[1000];
	if (snprintf(list, sizeof list, "%s", names) >= (int)sizeof list) {
		snprintf(error, 200, "too many topologies");
		return false;
	}
	for (char *save = NULL, *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save), s->lines++) {
		static const double steps[] = {1, 3};
		for (double power = 100; power <= (double)s->up_to; power *= 10)
			for (unsigned k = 0; k < 2; k++) {
				double nodes = power * steps[k];
				if (nodes <= (double)s->up_to && !add(s, name, (uint64_t)nodes, s->lines, false, error))
					return false;
			}
	}
	uint64_t at = s->up_to < LINKS_NODES ? s->up_to : LINKS_NODES;
	for (const char *const *f = families; *f; f++, s->family_lines++)
		for (; *f; f++)
			if (!add(s, *f, at, s->family_lines, true, error))
				return false;
	return true;
}

static int by_cost(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	return x->cost > y->cost ? -1 : x->cost < y->cost ? 1 : x < y ? -1 : 1;
}

static int by_plan(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	if (x->by_links != y->by_links)
		return x->by_links ? 1 : -1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->by_links)
		return x->r.links < y->r.links ? -1 : x->r.links > y->r.links;
	return x->nodes < y->nodes ? -1 : x->nodes > y->nodes;
}

static void work(const struct study *s, struct one *o)
{
	struct topo_options options = {.nodes = o->nodes, .seed = s->seed, .ttl = 7, .targets = s->targets};
	o->done = topo_measure(&o->spec, &options, &o->r, o->error);
}

static void wait_for_one(const struct study *s, unsigned *running, unsigned *done)
{
	int status;
	if (waitpid(-1, &status, 0) < 0)
		abort();
	--*running, ++*done;
	if (isatty(2))
		fprintf(stderr, "\r%u of %u topologies and sizes%s", *done, s->len, *done == s->len ? "\n" : " ");
}

static int run_all(struct study *s, struct lab_call *c)
{
	unsigned running = 0, done = 0;
	qsort(s->cases, s->len, sizeof *s->cases, by_cost);
	fflush(NULL);
	for (unsigned i = 0; i < s->len; i++) {
		if (running == s->jobs)
			wait_for_one(s, &running, &done);
		pid_t pid = fork();
		if (pid == 0) {
			work(s, &s->cases[i]);
			_exit(0);
		}
		if (pid < 0)
			return lab_fail(c, P2PS_EIO, "no process: %s", strerror(errno));
		running++;
	}
	while (running)
		wait_for_one(s, &running, &done);
	for (unsigned i = 0; i < s->len; i++)
		if (!s->cases[i].done)
			return lab_fail(c, P2PS_EIO, "%s of %llu: %s", s->cases[i].spec.name, (unsigned long long)s->cases[i].nodes,
					*s->cases[i].error ? s->cases[i].error : "its process ended early (out of memory?)");
	qsort(s->cases, s->len, sizeof *s->cases, by_plan);
	return 0;
}

/* ---- the report ---- */

static bool is_tree(const struct one *o)
{
	return o->spec.kind == TOPO_CAYLEY || o->spec.kind == TOPO_TREE;
}

/* What a peer keeps; in a tree most are leaves, and the mean of 2 says nothing of those who carry it. */
static double links_of(const struct one *o)
{
	return is_tree(o) ? o->r.degree_max : o->r.degree;
}

enum what { AVERAGE, BUSIEST, HOPS };

static void family_name(const struct one *o, char out[60])
{
	static const char *const kinds[TOPO_KINDS] = {
		[TOPO_CAYLEY] = "Cayley trees", [TOPO_HYPERTORUS] = "tori", [TOPO_DKS] = "DKS", [TOPO_TANGO] = "Tango",
		[TOPO_RANDOM] = "random ring, lookahead", [TOPO_GNUTELLA] = "random graphs"};
	snprintf(out, 60, "%s%s", kinds[o->spec.kind] ? kinds[o->spec.kind] : o->spec.name, o->spec.one_way ? ", clockwise" : "");
}

static int draw(const struct study *s, bool by_links, enum what what, const char *title, const char *y_label, const char *file, json_t *files)
{
	char path[1200], name[60];
	struct plot *p = plot_new(title, by_links ? "links per peer (trees: of an inner peer)" : "peers", y_label);
	unsigned line = 0, last = UINT32_MAX;
	plot_log(p, true, what != HOPS || by_links); /* tori of few dimensions need many hops */
	for (unsigned i = 0; i < s->len; i++) {
		const struct one *o = &s->cases[i];
		const struct topo_result *r = &o->r;
		if (o->by_links != by_links)
			continue;
		if (o->line != last) {
			last = o->line;
			snprintf(name, sizeof name, "%s", o->spec.name);
			if (by_links)
				family_name(o, name);
			line = plot_line(p, name);
		}
		double x = by_links ? links_of(o) : (double)r->nodes;
		if (what == BUSIEST)
			plot_point_between(p, line, x, r->busiest_high > WIDE * r->busiest_low ? NAN : r->busiest, r->busiest_low, r->busiest_high);
		else if (what == HOPS)
			plot_point_between(p, line, x, r->hops, r->hops - r->hops_error, r->hops + r->hops_error);
		else
			plot_point(p, line, x, r->published);
	}
	snprintf(path, sizeof path, "%s/%s", s->out, file);
	int err = plot_write(p, path);
	plot_free(p);
	json_array_append_new(files, json_string(path));
	return err;
}

static int draw_all(const struct study *s, json_t *files)
{
	static const char *const average = "messages per peer, 20-cube = 1";
	int err = draw(s, false, AVERAGE, "Throughput by the average link, against size", average, "throughput-size.svg", files);
	err = err ? err : draw(s, false, BUSIEST, "Throughput by the busiest link, against size", average, "busiest-size.svg", files);
	err = err ? err : draw(s, false, HOPS, "Mean hops, against size", "hops", "hops-size.svg", files);
	err = err ? err : draw(s, true, AVERAGE, "Throughput by the average link, against links per peer", average, "throughput-links.svg", files);
	err = err ? err : draw(s, true, BUSIEST, "Throughput by the busiest link, against links per peer", average, "busiest-links.svg", files);
	return err ? err : draw(s, true, HOPS, "Mean hops, against links per peer", "hops", "hops-links.svg", files);
}

static json_t *row(const struct one *o)
{
	const struct topo_result *r = &o->r;
	return json_pack("{s:s,s:I,s:f,s:f,s:f,s:i,s:f,s:f,s:f,s:f,s:f,s:f}", "topo", o->spec.name, "nodes", (json_int_t)r->nodes,
			 "links_per_peer", r->degree, "hops", r->hops, "hops_error", r->hops_error, "diameter", r->diameter, "throughput",
			 r->published, "busiest", r->busiest, "busiest_low", r->busiest_low, "busiest_high", r->busiest_high, "reach", r->reach,
			 "flood_messages", r->flood_messages);
}

static int write_csv(const struct study *s, json_t *files)
{
	char path[1200];
	snprintf(path, sizeof path, "%s/compare.csv", s->out);
	FILE *f = fopen(path, "w");
	if (!f)
		return P2PS_EIO;
	fprintf(f, "study,topo,nodes,links,degree,degree_max,diameter,diameter_exact,distance,distance_error,hops,hops_error,hops_max,"
		   "throughput_average,throughput_published,busiest,busiest_low,busiest_high,reach,reach_error,flood_messages\n");
	for (unsigned i = 0; i < s->len; i++) {
		const struct one *o = &s->cases[i];
		const struct topo_result *r = &o->r;
		fprintf(f, "%s,%s,%llu,%llu,%.5g,%u,%u,%d,%.6g,%.3g,%.6g,%.3g,%u,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.3g,%.6g\n",
			o->by_links ? "links" : "size", o->spec.name, (unsigned long long)r->nodes, (unsigned long long)r->links, r->degree,
			r->degree_max, r->diameter, r->diameter_exact, r->distance, r->distance_error, r->hops, r->hops_error, r->hops_max,
			r->average, r->published, r->busiest, r->busiest_low, r->busiest_high, r->reach, r->reach_error, r->flood_messages);
	}
	json_array_append_new(files, json_string(path));
	int failed = ferror(f);
	return fclose(f) || failed ? P2PS_EIO : 0;
}

static int report(const struct study *s, struct lab_call *c, double seconds)
{
	json_t *sizes = json_array(), *links = json_array(), *files = json_array();
	for (unsigned i = 0; i < s->len; i++)
		json_array_append_new(s->cases[i].by_links ? links : sizes, row(&s->cases[i]));
	int err = 0;
	if (s->out && mkdir(s->out, 0777) != 0 && errno != EEXIST)
		err = P2PS_EIO;
	err = err || !s->out ? err : draw_all(s, files);
	err = err || !s->out ? err : write_csv(s, files);
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	c->result = json_pack("{s:o,s:o,s:o,s:f,s:f,s:I}", "by_size", sizes, "by_links", links, "files", files, "seconds", seconds, "cpu_seconds",
			      (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6,
			      "largest_process_mib", (json_int_t)used.ru_maxrss / 1024);
	return err ? lab_fail(c, err, "%s: %s", s->out, strerror(errno)) : 0;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int lab_compare_run(struct lab_call *c)
{
	enum { CASES_MAX = 4096 };
	char error[200];
	double begun = now_s();
	struct study s = {.up_to = (uint64_t)value_int(c->args, "up_to", 3000000), .seed = (uint64_t)value_int(c->args, "seed", 1),
			  .jobs = (unsigned)value_int(c->args, "jobs", 2), .out = value_text(c->args, "out", NULL),
			  .targets = (unsigned)value_int(c->args, "targets", 0)};
	s.cases = mmap(NULL, CASES_MAX * sizeof *s.cases, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.cases == MAP_FAILED)
		return lab_fail(c, P2PS_ENOMEM, "no memory");
	int err = plan(&s, value_text(c->args, "topos", ""), error) ? 0 : lab_fail(c, P2PS_EINVAL, "%s", error);
	err = err ? err : run_all(&s, c);
	err = err ? err : report(&s, c, now_s() - begun);
	munmap(s.cases, CASES_MAX * sizeof *s.cases);
	return err;
}

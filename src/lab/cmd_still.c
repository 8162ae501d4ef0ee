/* `lab still`: routing tables on rings in which nothing happens, over sizes and seeds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lab/cmd.h"
#include "lab/plot.h"
#include "lab/still.h"
#include "p2ps.h"

#define LIST_MAX 32u
#define NODES_MAX 1000000u

struct spec { /* a table, and what stands behind it */
	char name[64];
	const struct table_strategy *table, *as;
	unsigned arg, as_arg;
	bool one_way;
};

struct means {
	struct still_result mean;        /* of the doubles */
	double max, p99, in_max, links_max, max_least;
	unsigned most;
	uint64_t wrong;
};

static bool spec_parse(struct spec *s, const char *text, size_t len)
{
	static const char one_way[] = "/clockwise", as[] = "/as-";
	char name[sizeof s->name];
	*s = (struct spec){0};
	if (len >= sizeof name)
		return false;
	memcpy(s->name, text, len);
	strcpy(name, s->name);
	for (char *slash; (slash = strrchr(name, '/')); *slash = 0) {
		if (strcmp(slash, one_way) == 0)
			s->one_way = true;
		else if (strncmp(slash, as, sizeof as - 1) != 0 || !(s->as = table_find(slash + sizeof as - 1, &s->as_arg)))
			return false;
	}
	s->table = table_find(name, &s->arg);
	return s->table != NULL;
}

static int measure(const struct spec *s, uint32_t nodes, unsigned seeds, uint32_t lookups, struct means *m)
{
	struct still_config c = {.table = s->table, .arg = s->arg, .bits = 64, .nodes = nodes, .lookups = lookups, .one_way = s->one_way};
	*m = (struct means){0};
	for (c.seed = 1; c.seed <= seeds; c.seed++) {
		struct still_result r, as;
		if (s->as) { /* as many links as that table has on this very ring; one way: as many that a node makes */
			struct still_config o = c;
			o.extra = 0;
			o.lookups = 1;
			bool ok = still_measure(&o, &r);
			o.table = s->as;
			o.arg = s->as_arg;
			o.one_way = false;
			if (!ok || !still_measure(&o, &as))
				return P2PS_ENOMEM;
			c.extra = s->one_way ? as.out - r.out : (as.links - r.links) / 2;
		}
		if (!still_measure(&c, &r))
			return P2PS_ENOMEM;
		m->mean.out += r.out / seeds;
		m->mean.links += r.links / seeds;
		m->mean.hops += r.hops / seeds;
		m->p99 += (double)r.hops_p99 / seeds;
		m->max += (double)r.hops_max / seeds;
		m->links_max += (double)r.links_max / seeds;
		m->in_max = r.in_max > m->in_max ? r.in_max : m->in_max;
		m->most = r.hops_max > m->most ? r.hops_max : m->most;
		m->max_least = c.seed == 1 || r.hops_max < m->max_least ? r.hops_max : m->max_least;
		m->wrong += r.wrong;
	}
	return 0;
}

static json_t *row(const struct spec *s, uint32_t nodes, const struct means *m)
{
	return json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:I}", "table", s->name, "nodes", (json_int_t)nodes, "out", m->mean.out, "links",
			 m->mean.links, "links_max", m->links_max, "in_max", m->in_max, "hops", m->mean.hops, "hops_p99", m->p99, "hops_max", m->max,
			 "hops_most", (int)m->most, "wrong", (json_int_t)m->wrong);
}

struct study {
	struct spec spec[LIST_MAX];
	uint32_t nodes[LIST_MAX];
	unsigned specs, sizes, seeds;
	uint32_t lookups;
	struct means m[LIST_MAX][LIST_MAX];
};

static int study_read(struct lab_call *c, struct study *st)
{
	const char *p = value_text(c->args, "tables", "");
	for (size_t len; *p; p += len + (p[len] == ',')) {
		len = strcspn(p, ",");
		if (st->specs == LIST_MAX || !spec_parse(&st->spec[st->specs++], p, len))
			return lab_fail(c, P2PS_EINVAL, "there is no table '%.*s': " TABLE_NAMES ", with /clockwise or /as-OTHER behind", (int)(len < 60 ? len : 60), p);
	}
	p = value_text(c->args, "nodes", "");
	for (char *end; *p; p = *end ? end + 1 : end) {
		unsigned long n = strtoul(p, &end, 10);
		if (st->sizes == LIST_MAX || end == p || (*end && *end != ',') || n < 2 || n > NODES_MAX)
			return lab_fail(c, P2PS_EINVAL, "nodes are numbers from 2 to %u with commas between: not '%.40s'", NODES_MAX, p);
		st->nodes[st->sizes++] = (uint32_t)n;
	}
	st->seeds = (unsigned)value_int(c->args, "seeds", 5);
	st->lookups = (uint32_t)value_int(c->args, "lookups", 20000);
	for (unsigned i = 0; i < st->specs; i++)
		for (unsigned k = 0; k < st->sizes; k++)
			if (st->spec[i].table->everybody && st->nodes[k] > 3000)
				return lab_fail(c, P2PS_EINVAL, "the table '%s' has links to everybody: 3000 nodes at most", st->spec[i].name);
	return st->specs && st->sizes ? 0 : lab_fail(c, P2PS_EINVAL, "no tables, or no sizes");
}

static int draw(const struct study *st, const char *out, const char *file, const char *title, bool longest)
{
	char path[1200];
	struct plot *p = plot_new(title, "nodes", "hops");
	plot_log(p, true, false);
	for (unsigned i = 0; i < st->specs; i++) {
		unsigned line = plot_line(p, st->spec[i].name);
		for (unsigned k = 0; k < st->sizes; k++) {
			const struct means *m = &st->m[i][k];
			if (longest)
				plot_point_between(p, line, st->nodes[k], m->max, m->max_least, m->most);
			else
				plot_point(p, line, st->nodes[k], m->mean.hops);
		}
	}
	snprintf(path, sizeof path, "%s/%s", out, file);
	int err = plot_write(p, path);
	plot_free(p);
	return err;
}

int lab_still_run(struct lab_call *c)
{
	struct study *st = calloc(1, sizeof *st);
	const char *out = value_text(c->args, "out", NULL);
	int err = st ? study_read(c, st) : lab_fail(c, P2PS_ENOMEM, "no memory");
	json_t *rows = json_array();
	for (unsigned k = 0; !err && k < st->sizes; k++)
		for (unsigned i = 0; !err && i < st->specs; i++) {
			err = measure(&st->spec[i], st->nodes[k], st->seeds, st->lookups, &st->m[i][k]);
			if (err)
				lab_fail(c, err, "no memory for rings of %u nodes", st->nodes[k]);
			else
				json_array_append_new(rows, row(&st->spec[i], st->nodes[k], &st->m[i][k]));
		}
	if (!err && out) {
		if (mkdir(out, 0777) != 0 && errno != EEXIST)
			err = P2PS_EIO;
		err = err ? err : draw(st, out, "still-hops.svg", "Mean hops of a look-up, nothing happening", false);
		err = err ? err : draw(st, out, "still-longest.svg", "Longest look-up: mean, least and most of the rings", true);
		if (err)
			lab_fail(c, err, "the plots cannot be written to %s: %s", out, strerror(errno));
	}
	if (err)
		json_decref(rows);
	else
		c->result = rows;
	free(st);
	return err;
}

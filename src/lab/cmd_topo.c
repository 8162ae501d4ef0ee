/* `lab topo`: one topology of one size, measured. */
#include "lab/cmd.h"
#include "lab/topo.h"
#include "p2ps.h"

/* What a peer of a hypercube of 2^20 may send is 1: the study's unit. */
static json_t *interval(double mid, double low, double high)
{
	return low == high ? json_real(mid) : json_pack("{s:f,s:f,s:f}", "mid", mid, "low", low, "high", high);
}

static json_t *with_error(double v, double error)
{
	return interval(v, v - error, v + error);
}

json_t *lab_topo_json(const struct topo_spec *spec, const struct topo_result *r)
{
	return json_pack("{s:s,s:I,s:I,s:f,s:i,s:i,s:b,s:o,s:o,s:i,s:f,s:f,s:o,s:s,s:i,s:o,s:f}", "topo", spec->name, "nodes", (json_int_t)r->nodes,
			 "links", (json_int_t)r->links, "degree", r->degree, "degree_max", r->degree_max, "diameter", r->diameter,
			 "diameter_exact", r->diameter_exact, "mean_distance", with_error(r->distance, r->distance_error), "mean_hops",
			 with_error(r->hops, r->hops_error), "hops_max", r->hops_max, "throughput_average_link", r->average,
			 "throughput_published", r->published, "throughput_busiest_link",
			 interval(r->busiest, r->busiest_low, r->busiest_high), "busiest", r->busiest_all ? "all links" : "99.9th percentile",
			 "ttl", r->ttl, "reach", with_error(r->reach, r->reach_error), "flood_messages", r->flood_messages);
}

int lab_topo_run(struct lab_call *c)
{
	struct topo_spec spec;
	struct topo_result r;
	char error[200];
	struct topo_options o = {.nodes = (uint64_t)value_int(c->args, "nodes", 0), .seed = (uint64_t)value_int(c->args, "seed", 1),
				 .ttl = (unsigned)value_int(c->args, "ttl", 7), .targets = (unsigned)value_int(c->args, "targets", 0)};
	if (!topo_parse(value_text(c->args, "topo", ""), &spec, error) || !topo_measure(&spec, &o, &r, error))
		return lab_fail(c, P2PS_EINVAL, "%s", error);
	c->result = lab_topo_json(&spec, &r);
	return 0;
}

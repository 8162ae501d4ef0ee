/* The makers of vectors, one per file. */
#ifndef P2PS_TESTS_VECTORS_MAKE_H
#define P2PS_TESTS_VECTORS_MAKE_H
#include "base/ids.h"
#include "tests/vectors/vectors.h"

void make_frames(json_t *v);
void make_contacts(json_t *v);
void make_access_points(json_t *v);
void make_documents(json_t *v);
void make_ids(json_t *v);
void make_hellos(json_t *v);
void make_welcomes(json_t *v);
void make_byes(json_t *v);
void make_paths(json_t *v);
void make_reach(json_t *v);
void make_judgements(json_t *v);
void make_ring(json_t *v);
void make_lookups(json_t *v);
void make_lookup_replies(json_t *v);
void make_corrections(json_t *v);
void make_routes(json_t *v);
void make_tango(json_t *v);
void make_data(json_t *v);
void make_data_acks(json_t *v);
void make_casts(json_t *v);
void make_cast_acks(json_t *v);
void make_cast_signatures(json_t *v);
void make_members(json_t *v);
void make_records(json_t *v);
void make_records_frames(json_t *v);
#endif

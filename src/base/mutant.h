/* Planted bugs: what the simulated world must find. Each breaks one rule of a protocol in a way that compiles, starts and
 * passes the unit tests; `make mutants` builds them in (meson option `mutants`), switches them on one at a time and counts
 * how many are found by running seeds (docs/TESTING.md). In every other build MUTANT() is the constant false, the
 * compiler drops what depends on it, and a name that is not in this table does not compile.
 *
 * Which one is on is set once, before anything runs (mutant.c: P2PS_MUTANT=NAME in the environment). */
#ifndef P2PS_BASE_MUTANT_H
#define P2PS_BASE_MUTANT_H
#include <stdbool.h>
#include <stdint.h>

#define MUTANTS_MAX 128u
const char *mutant_name(unsigned m); /* in builds that have them */

/* X(name, room, what is wrong) */
#define MUTANT_MAP(X) \
	X(ring_grant_on_open_lease, "core", "a range is given away under a lease from one that is still about to take over") \
	X(ring_lease_overhang, "core", "leases are granted far beyond the granter's own") \
	X(ring_no_new_epoch_apart, "core", "a neighbour that may have been taken over by another gets a lease in the old epoch") \
	X(ring_epoch_not_followed, "core", "a higher epoch of the right neighbour is not followed") \
	X(ring_hurry_in_old_epoch, "core", "after more than f deaths ranges are taken in a hurry, but in the old epoch") \
	X(ring_force_in_old_epoch, "core", "a range is forced without a new epoch") \
	X(ring_epochs_mixed, "core", "ranges of two epochs become one without a third") \
	X(ring_round_jump_unnoticed, "core", "a round that jumped over somebody counts as one that did not") \
	X(ring_own_lease_in_old_epoch, "core", "who gives itself a lease stays in the epoch of the others") \
	X(ring_status_of_any_grant, "core", "a joiner says that a grant of an earlier membership let it in") \
	X(ring_grant_after_status, "core", "a joiner that denied a grant takes it when it comes late") \
	X(ring_lives_not_told_apart, "core", "a neighbour that was started again is taken for who it was before") \
	X(ring_dropped_not_remembered, "core", "that an extension was taken back is not kept in mind until it is known to the right") \
	X(ring_lease_back_no_wait, "core", "who got its lease back takes over at once, not when those of others have run out") \
	X(ring_list_version_kept, "core", "a changed successor list passes for the one that the neighbour has") \
	X(ring_leave_to_lapsed, "core", "a leaver's range is taken by one whose own lease has lapsed") \
	X(ring_grant_not_logged, "core", "a join that is granted but not confirmed is not in the log") \
	X(ring_hint_of_old_life, "core", "a hint meant for an earlier life of this node is followed") \
	X(ring_log_to_lapsed, "core", "logs are taken, and acked, without a lease of the own") \
	X(ring_bound_without_life, "core", "a log may go on with another membership than the one that its bound means") \
	X(look_answer_without_lease, "core", "the owner of a range answers for it without a lease") \
	X(look_own_without_lease, "core", "a node answers its own look-ups for its range without a lease") \
	X(look_final_forgotten, "core", "a frame by key forgets on the way that it goes backwards") \
	X(flow_key_not_served, "core", "messages for a key are taken by who owns it without a lease") \
	X(flow_own_key_not_served, "core", "a node takes its own messages for a key that it does not serve") \
	X(flow_unknown_is_refused, "core", "what may have arrived is reported as not delivered when the node is given up") \
	X(flow_keys_twice, "core", "messages to a key that may have arrived are given to the next owner, too") \
	X(flow_part_goes_on, "core", "half a large message of an earlier attempt is kept for the next") \
	X(flow_restart_remembered, "core", "a sender that was started again is expected to go on with the numbers of its earlier life") \
	X(flow_overlap_twice, "core", "of a batch that overlaps what is there everything is delivered") \
	X(flow_old_round_taken, "core", "frames of a round that was refused are taken all the same") \
	X(cast_unproven_complete, "core", "a round with holes counts as one that reached everybody") \
	X(cast_twin_not_waited_for, "core", "a second copy is answered while the first still waits for room") \
	X(cast_keys_sent_again, "core", "a list of keys is sent a second time after a broken link") \
	X(cast_maybe_is_refused, "core", "who may have got a list before it was mended is reported as not reached") \
	X(cast_answer_to_new_life, "core", "an answer goes to the process that was started in the place of the one that asked") \
	X(cast_list_nobody_early, "core", "a node without a lease says of ids in its range that there is no such member") \
	X(cast_key_not_served, "core", "a list's message for a key is taken without a lease for it") \
	X(cast_fragment_missing, "core", "a large cast is delivered when its last piece is there, whatever else is missing") \
	X(rec_ack_before_copies, "core", "a put is acknowledged when one neighbour of several has it") \
	X(rec_ack_before_disk, "core", "a put is acknowledged before the owner has it on its disk") \
	X(rec_copy_before_disk, "core", "a copy is confirmed before it is on the disk") \
	X(rec_saved_other_version, "core", "a newer version counts as on disk when the older one is") \
	X(rec_failed_write_is_good, "core", "a write that failed counts as done") \
	X(rec_ready_at_once, "core", "who takes over a range answers for it before it has the records") \
	X(rec_firm_always, "core", "any neighbour's word that it has everything is enough") \
	X(rec_unsettled_shown, "core", "a get shows what is not yet at all neighbours") \
	X(rec_term_kept, "core", "who takes over a range goes on with the old term") \
	X(rec_older_wins, "core", "between copies the term decides, not the version") \
	X(rec_settled_in_new_life, "core", "after joining anew what was settled before still counts as settled") \
	X(rec_served_without_lease, "core", "records are put and shown by who owns their range without a lease") \
	X(rec_stray_dropped_early, "core", "what is in the wrong place is dropped when it was sent home, not when it is there") \
	X(rec_stray_unsettled_dropped, "core", "what is in the wrong place is dropped though only its owner has it") \
	X(rec_former_not_asked, "core", "who had the range before, and lives, is not asked for what it has") \
	X(rec_error_is_ack, "core", "a neighbour that could not keep its copy counts as one that has it") \
	X(rec_changed_not_fetched, "core", "neighbours exchange what is missing, but not what is older") \
	X(rec_new_neighbour_bare, "core", "a new neighbour among the first f gets no copies") \
	X(merge_never_asks, "core", "nobody that was lost is ever asked which ring it is in") \
	X(merge_both_yield, "core", "of two rings of the same size each goes over to the other") \
	X(merge_overlap_not_seen, "core", "ranges that overlap are no sign of another ring") \
	X(merge_deaf_not_seen, "core", "a node whose ring does not serve it any more stays there") \
	X(merge_strangers_kept, "core", "a member inside the own range is not taken for one of another ring") \
	X(life_members_not_kept, "core", "the members met are not written to the disk") \
	X(life_disk_error_founds, "core", "a node that cannot read whom it knew founds a ring of its own") \
	X(life_old_links_lead, "core", "after moving to another ring links of the old one still carry look-ups") \
	X(life_via_not_noted, "core", "a first join does not wait until it is on disk whom it goes through") \
	X(table_no_repair, "core", "a point whose look-up failed is never looked up again") \
	X(com_old_life_stays, "com", "a link of a node that was started again does not replace the one of its earlier life") \
	X(com_restart_unnoticed, "com", "that a peer was started again between two links is not told") \
	X(com_pending_lost, "com", "what waited for a link is dropped when the peer closed it in peace") \
	X(com_idle_though_held, "com", "links that somebody needs are closed for being idle") \
	X(com_no_probe, "com", "a second link of the same node replaces the first without a probe") \

enum mutant {
	MUTANT_NONE,
#define MUTANT_ENUM(name, room, what) MUTANT_##name,
	MUTANT_MAP(MUTANT_ENUM)
#undef MUTANT_ENUM
	MUTANTS
};

#ifdef P2PS_MUTANTS
extern enum mutant mutant_on;
extern uint64_t mutant_count; /* how often the planted bug was come upon */
extern bool mutant_met[MUTANTS]; /* who was come upon, on or not */
static inline bool mutant_here(enum mutant m)
{
	mutant_met[m] = true;
	return m == mutant_on && ++mutant_count;
}
#define MUTANT(name) mutant_here(MUTANT_##name)
#define MUTANT_COUNT mutant_count
void mutant_met_take(uint64_t met[2]); /* a bit for each that was come upon since this was asked last */
#else
#define MUTANT(name) (MUTANT_##name == MUTANTS)
#define MUTANT_COUNT UINT64_C(0)
static inline void mutant_met_take(uint64_t met[2]) { met[0] = met[1] = 0; }
#endif
#endif

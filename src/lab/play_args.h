/* What the verbs that play scenarios have in common: the scenario with what the line replaces in it, its seeds, and the
 * line that does one of them again. */
#ifndef P2PS_LAB_PLAY_ARGS_H
#define P2PS_LAB_PLAY_ARGS_H
#include <unistd.h>

#include "lab/cmd.h"
#include "lab/play.h"

int play_args_script(struct lab_call *c, struct script *s); /* SCENARIO, --nodes, --table */
int play_args_seeds(struct lab_call *c, uint64_t *from, uint64_t *to); /* --seed or --seeds */
void play_args_command(const struct lab_call *c, const struct script *s, const char *verb, char *out, size_t n);
void play_result_died(struct play_result *res, uint64_t seed, const char *why);
#endif

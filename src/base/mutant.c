/* Which of the planted bugs is on: P2PS_MUTANT=NAME in the environment. At the end the names of
 * those that were come upon are written to the file P2PS_MUTANTS_MET: a test that comes upon none needs no second look with
 * that one on. Only in builds that have them; see mutant.h. */
#include "base/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mutant mutant_on;
uint64_t mutant_count;
bool mutant_met[MUTANTS];

static const char *const names[MUTANTS] = {
#define MUTANT_NAME(name, room, what) [MUTANT_##name] = #name,
	MUTANT_MAP(MUTANT_NAME)
#undef MUTANT_NAME
};

_Static_assert(MUTANTS <= MUTANTS_MAX, "more planted bugs than there are bits");

const char *mutant_name(unsigned m) { return m && m < MUTANTS ? names[m] : ""; }

static bool ever[MUTANTS];

void mutant_met_take(uint64_t met[2])
{
	met[0] = met[1] = 0;
	for (unsigned i = 1; i < MUTANTS; i++) {
		met[i / 64] |= (uint64_t)mutant_met[i] << (i % 64);
		ever[i] |= mutant_met[i];
		mutant_met[i] = false;
	}
}

static void pick(void) __attribute__((constructor));
static void pick(void)
{
	const char *want = getenv("P2PS_MUTANT");
	for (unsigned i = 1; want && i < MUTANTS; i++)
		if (!strcmp(want, names[i]))
			mutant_on = (enum mutant)i;
	if (want && *want && !mutant_on) {
		fprintf(stderr, "P2PS_MUTANT=%s: there is no such planted bug\n", want);
		exit(2);
	}
}

static void tell(void) __attribute__((destructor));
static void tell(void)
{
	const char *path = getenv("P2PS_MUTANTS_MET");
	FILE *f = path && *path ? fopen(path, "a") : NULL;
	for (unsigned i = 1; f && i < MUTANTS; i++)
		if (mutant_met[i] || ever[i])
			fprintf(f, "%s\n", names[i]);
	if (f)
		fclose(f);
}

/* Temporary directories of tests: made anew at each call, removed when the test program ends. */
#ifndef P2PS_HOST_TEST_TMP_H
#define P2PS_HOST_TEST_TMP_H
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char test_tmp_paths[64][64];
static unsigned test_tmp_count;
static pid_t test_tmp_owner;

static inline int test_tmp_unlink(const char *path, const struct stat *st, int type, struct FTW *f) { return remove(path); }

static inline void test_tmp_remove(void)
{
	for (unsigned i = 0; i < test_tmp_count && getpid() == test_tmp_owner; i++)
		nftw(test_tmp_paths[i], test_tmp_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *test_tmp(void)
{
	if (test_tmp_count == 64)
		abort();
	if (test_tmp_count == 0) {
		test_tmp_owner = getpid();
		atexit(test_tmp_remove);
	}
	char *path = test_tmp_paths[test_tmp_count++];
	snprintf(path, sizeof test_tmp_paths[0], "/tmp/p2ps-test-XXXXXX");
	if (!mkdtemp(path))
		abort();
	return path;
}
#endif

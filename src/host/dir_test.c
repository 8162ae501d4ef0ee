/* The state directory: one owner, whole files after every crash, nothing readable by others. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/dir.h"
#include "host/test_tmp.h"
#include "p2ps.h"

static void made_and_opened_again(void **state)
{
	char path[200], why[200] = "";
	struct dir *d;
	uint8_t seed[32], again[32];
	uint64_t boot;
	snprintf(path, sizeof path, "%s/a/b/c", test_tmp());
	assert_int_equal(dir_open(&d, path, false, why, sizeof why), P2PS_ENOT_FOUND);
	assert_null(d);
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_device_seed(d, seed), 0);
	assert_int_equal(dir_next_incarnation(d, &boot), 0);
	assert_int_equal(boot, 1);
	dir_close(&d);
	assert_int_equal(dir_open(&d, path, false, why, sizeof why), 0);
	assert_int_equal(dir_device_seed(d, again), 0);
	assert_memory_equal(seed, again, 32);
	assert_int_equal(dir_next_incarnation(d, &boot), 0);
	assert_int_equal(boot, 2);
	struct stat st;
	char file[300];
	snprintf(file, sizeof file, "%s/device.key", path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	dir_close(&d);
}

static void one_daemon_at_a_time(void **state)
{
	char why[200];
	struct dir *d, *other;
	const char *path = test_tmp();
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_open(&other, path, true, why, sizeof why), P2PS_EDIR_BUSY);
	assert_non_null(strstr(why, "in use by another daemon"));
	assert_int_equal(dir_owner(path), getpid());
	dir_close(&d);
	assert_int_equal(dir_owner(path), 0);
	assert_int_equal(dir_owner("/no/such/directory"), 0);
	/* A daemon that is killed gives its lock back. */
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct dir *mine;
		char c = dir_open(&mine, path, true, why, sizeof why) == 0;
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	char c = 0;
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 1);
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), P2PS_EDIR_BUSY);
	assert_int_equal(dir_owner(path), pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	dir_close(&d);
	close(ready[0]);
	close(ready[1]);
}

static void files_are_whole(void **state)
{
	char why[200];
	struct dir *d;
	uint8_t *p;
	size_t n;
	assert_int_equal(dir_open(&d, test_tmp(), true, why, sizeof why), 0);
	assert_int_equal(dir_read(d, "network.root", &p, &n), P2PS_ENOT_FOUND);
	assert_int_equal(dir_write(d, "network.root", "one", 3), 0);
	assert_int_equal(dir_write(d, "network.root", "second", 6), 0);
	/* What a crash in the middle of a third write leaves behind does not count. */
	char file[300];
	snprintf(file, sizeof file, "%s/.network.root.new", dir_path(d));
	FILE *f = fopen(file, "w");
	fputs("thi", f);
	fclose(f);
	assert_int_equal(dir_read(d, "network.root", &p, &n), 0);
	assert_int_equal(n, 6);
	assert_string_equal((char *)p, "second");
	free(p);
	assert_int_equal(dir_write(d, "network.root", "third", 5), 0);
	assert_int_equal(dir_read(d, "network.root", &p, &n), 0);
	assert_string_equal((char *)p, "third");
	free(p);
	assert_int_equal(dir_remove(d, "network.root"), 0);
	assert_int_equal(dir_remove(d, "network.root"), 0);
	assert_int_equal(dir_read(d, "network.root", &p, &n), P2PS_ENOT_FOUND);
	dir_close(&d);
}

static void other_formats_are_refused(void **state)
{
	char why[200];
	struct dir *d;
	const char *path = test_tmp();
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_write(d, "format", "p2ps state 2\n", 13), 0);
	dir_close(&d);
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), P2PS_EVERSION);
	assert_non_null(strstr(why, "later version"));
	assert_int_equal(dir_owner(path), 0);
}

/* kill -9 at any moment of a loop of writes: the counter read afterwards is whole and was never given out before. */
static void counters_survive_kill(void **state)
{
	const char *path = test_tmp();
	uint64_t last = 0;
	for (int round = 0; round < 12; round++) {
		int out[2];
		assert_int_equal(pipe(out), 0);
		pid_t pid = fork();
		if (pid == 0) {
			char why[200];
			struct dir *d;
			uint64_t v;
			if (dir_open(&d, path, true, why, sizeof why) != 0)
				_exit(1);
			while (dir_next_incarnation(d, &v) == 0 && write(out[1], &v, sizeof v) == sizeof v)
				;
			_exit(1);
		}
		close(out[1]);
		for (int i = 0; i < 5 + round; i++) {
			uint64_t v;
			assert_int_equal(read(out[0], &v, sizeof v), sizeof v);
			assert_true(v > last);
			last = v;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		uint64_t v;
		while (read(out[0], &v, sizeof v) == sizeof v)
			last = v;
		close(out[0]);
	}
}

static bool there(const char *path, const char *name)
{
	char file[300];
	snprintf(file, sizeof file, "%s/%s", path, name);
	return access(file, F_OK) == 0;
}

static void left_for_good(void **state)
{
	char path[200], why[200], file[300];
	struct dir *d;
	uint8_t seed[32], again[32];
	uint64_t boot;
	snprintf(path, sizeof path, "%s/left", test_tmp());
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_device_seed(d, seed), 0);
	assert_int_equal(dir_next_incarnation(d, &boot), 0);
	assert_int_equal(dir_write(d, "network.root", "x", 1), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(file, sizeof file, "%s/store%s", path, i ? "/deep" : "");
		assert_int_equal(mkdir(file, 0700), 0);
	}
	assert_int_equal(dir_forget(d, "node 5\n"), 0);
	assert_false(there(path, "network.root") || there(path, "device.key") || there(path, "store"));
	assert_true(there(path, "left"));
	dir_close(&d);
	assert_int_equal(dir_open(&d, path, false, why, sizeof why), 0); /* for a next membership, as somebody else */
	assert_int_equal(dir_device_seed(d, again), 0);
	assert_true(memcmp(seed, again, 32) != 0 && dir_device_new(d));
	assert_int_equal(dir_next_incarnation(d, &boot), 0);
	assert_int_equal(boot, 2);
	dir_close(&d);
}

static void starts_that_came_to_nothing(void **state)
{
	char path[200], why[200];
	struct dir *d;
	uint8_t seed[32];
	snprintf(path, sizeof path, "%s/made", test_tmp());
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_device_seed(d, seed), 0);
	dir_discard(d);
	dir_close(&d);
	assert_int_not_equal(access(path, F_OK), 0); /* it was ours */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(dir_open(&d, path, true, why, sizeof why), 0);
	assert_int_equal(dir_device_seed(d, seed), 0);
	dir_discard(d);
	dir_close(&d);
	assert_false(there(path, "device.key")); /* it was not, but the key */
	assert_true(there(path, "format"));
	assert_int_equal(dir_open(&d, "/proc/x", true, why, sizeof why), P2PS_EPERM);
	assert_non_null(strstr(why, "/proc/x"));
	assert_int_equal(dir_open(&d, "/dev/null", true, why, sizeof why), P2PS_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_and_opened_again),
		cmocka_unit_test(one_daemon_at_a_time),
		cmocka_unit_test(files_are_whole),
		cmocka_unit_test(other_formats_are_refused),
		cmocka_unit_test(counters_survive_kill),
		cmocka_unit_test(left_for_good),
		cmocka_unit_test(starts_that_came_to_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

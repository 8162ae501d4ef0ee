/* Starting a daemon: p2psd gets the operation on its standard input and answers with one line of JSON on a pipe when the
 * node is a member (or why it is not). In the foreground the command becomes the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "p2ps.h"

/* Beside this program (a build tree), else where it was installed. */
static void daemon_path(char out[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n > 0) {
		self[n] = '\0';
		int len = snprintf(out, PATH_MAX, "%s/p2psd", dirname(self));
		if (len < PATH_MAX && access(out, X_OK) == 0)
			return;
	}
	snprintf(out, PATH_MAX, "%s", P2PS_LIBEXEC "/p2psd");
}

/* A file that holds the order, for the daemon's standard input: nothing to deadlock on. */
static int order_fd(const struct cmd_line *line)
{
	json_t *order = json_pack("{s:s,s:s,s:O}", "op", line->op->name, "dir", line->dir, "args", line->args);
	FILE *f = tmpfile();
	if (order && f) {
		json_dumpf(order, f, JSON_COMPACT);
		fflush(f);
	}
	json_decref(order);
	int fd = f ? dup(fileno(f)) : -1;
	if (f)
		fclose(f);
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static void become_daemon(const struct cmd_line *line, int order, int ready, bool foreground)
{
	char path[PATH_MAX], fd[16];
	daemon_path(path);
	snprintf(fd, sizeof fd, "%d", ready);
	dup2(order, 0);
	if (order > 0)
		close(order);
	if (!foreground)
		setsid();
	char *const argv[] = {"p2psd", "--ready-fd", fd, foreground ? "--foreground" : NULL, NULL};
	execv(path, argv);
	dprintf(ready, "{\"error\":{\"code\":%d,\"text\":\"%s: %s\"}}\n", P2PS_EIO, path, strerror(errno));
	_exit(127);
}

static json_t *read_ready(int fd)
{
	char text[8192];
	size_t len = 0;
	for (ssize_t n; len < sizeof text - 1; len += (size_t)n) {
		n = read(fd, text + len, sizeof text - 1 - len);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n <= 0)
			break;
		if (memchr(text + len, '\n', (size_t)n)) {
			len += (size_t)n;
			break;
		}
	}
	return json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
}

static int show_started(const struct cmd_line *line, json_t *j)
{
	const json_t *error = json_object_get(j, "error");
	if (!j)
		return cmd_fail(line, P2PS_EINTERNAL, "the daemon ended without a word: see daemon.log in its directory");
	if (error)
		return cmd_fail(line, (int)json_integer_value(json_object_get(error, "code")),
				json_string_value(json_object_get(error, "text")));
	if (line->json) {
		json_dumpf(j, stdout, JSON_COMPACT);
		printf("\n");
	} else
		show_value(j);
	return 0;
}

int start_run(const struct cmd_line *line)
{
	int ready[2], order = order_fd(line);
	bool foreground = json_is_true(json_object_get(line->args, "foreground"));
	if (order < 0 || pipe(ready) != 0)
		return cmd_fail(line, P2PS_EIO, strerror(errno));
	if (foreground)
		become_daemon(line, order, 1, true);
	pid_t pid = fork();
	if (pid == 0) {
		close(ready[0]);
		become_daemon(line, order, ready[1], false);
	}
	close(ready[1]);
	close(order);
	json_t *j = pid > 0 ? read_ready(ready[0]) : NULL;
	close(ready[0]);
	int code = show_started(line, j);
	bool failed = !j || json_object_get(j, "error");
	if (pid > 0 && failed)
		waitpid(pid, NULL, 0);
	json_decref(j);
	return code;
}

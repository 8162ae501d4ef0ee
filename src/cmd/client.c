/* The command's only way to a daemon: HTTP over the control socket, by libcurl. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "p2ps.h"

#define REPLY_MAX (64u << 20)
#define SILENCE_S 75 /* no operation is silent for so long, and streams have heartbeats: the daemon hangs */

struct transfer {
	CURL *curl;
	char *text;
	size_t len;
	bool stream, stopped;
	time_t heard;
	int (*on_line)(void *ctx, json_t *j);
	void *ctx;
	struct client_reply *reply;
};

static time_t now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct transfer *t = arg;
	(void)a, (void)b, (void)c, (void)d;
	return now_s() - t->heard > SILENCE_S;
}

static void feed_line(struct transfer *t, const char *p, size_t n)
{
	if (n == 0)
		return; /* heartbeat */
	json_t *j = json_loadb(p, n, JSON_ALLOW_NUL, NULL);
	if (!j)
		return;
	t->reply->lines++;
	if (t->on_line(t->ctx, j))
		t->stopped = true;
	json_decref(j);
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;
	t->heard = now_s();
	if (t->len + n > REPLY_MAX)
		return 0;
	char *text = realloc(t->text, t->len + n + 1);
	if (!text)
		return 0;
	t->text = text;
	memcpy(t->text + t->len, data, n);
	t->len += n;
	size_t at = 0;
	for (char *nl; t->stream && !t->stopped && (nl = memchr(t->text + at, '\n', t->len - at));) {
		feed_line(t, t->text + at, (size_t)(nl - t->text) - at);
		at = (size_t)(nl - t->text) + 1;
	}
	memmove(t->text, t->text + at, t->len - at);
	t->len -= at;
	return t->stopped ? 0 : n;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	char line[128];
	snprintf(line, sizeof line, "%.*s", (int)(size * count), data);
	if (strncasecmp(line, "Content-Type: application/x-ndjson", 34) == 0)
		t->stream = t->on_line != NULL;
	if (strncasecmp(line, "X-P2PS-Dropped: ", 16) == 0)
		t->reply->dropped = strtoul(line + 16, NULL, 10);
	return size * count;
}

/* The arguments as a query string: what a user of curl would write. */
static char *make_url(CURL *curl, const struct cmd_line *line)
{
	bool node = strcmp(line->op->service, "node") == 0;
	size_t cap = 1u << 20, used;
	char *url = malloc(cap);
	if (!url)
		return NULL;
	used = (size_t)snprintf(url, cap, "http://p2ps/v1/%s%s%s", node ? "" : line->op->service, node ? "" : "/", line->op->name);
	const char *key, sep[] = "?&";
	json_t *m;
	bool first = true;
	json_object_foreach(line->args, key, m) {
		size_t parts = json_is_array(m) ? json_array_size(m) : 1;
		for (size_t i = 0; i < parts; i++) {
			const json_t *v = json_is_array(m) ? json_array_get(m, i) : m;
			char number[32];
			const char *text = json_string_value(v);
			if (json_is_integer(v)) {
				snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
				text = number;
			} else if (json_is_boolean(v))
				text = json_is_true(v) ? "true" : "false";
			char *esc = curl_easy_escape(curl, text, 0);
			bool joined = i > 0 && op_find(line->op->service, line->op->name) && json_is_array(m);
			if (joined && used < cap)
				used += (size_t)snprintf(url + used, cap - used, ",%s", esc);
			else if (used < cap)
				used += (size_t)snprintf(url + used, cap - used, "%c%s=%s", sep[!first], key, esc);
			curl_free(esc);
			first = false;
		}
	}
	if (used >= cap) {
		free(url);
		return NULL;
	}
	return url;
}

/* The daemon hangs up on other users without a word. */
static bool somebody_elses(const char *socket)
{
	struct stat st;
	return stat(socket, &st) == 0 ? st.st_uid != geteuid() : errno == EACCES;
}

static int finish(struct transfer *t, CURLcode rc, const char *socket)
{
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
	if (t->stream && (rc == CURLE_OK || t->stopped))
		return 0;
	if (rc != CURLE_OK && !t->len && !t->stream && somebody_elses(socket))
		return P2PS_EPERM;
	if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_GOT_NOTHING)
		return P2PS_ENOT_RUNNING;
	if (rc == CURLE_ABORTED_BY_CALLBACK)
		return P2PS_ETIMEOUT;
	if (rc != CURLE_OK)
		return P2PS_ECLOSED;
	t->reply->json = json_loadb(t->text ? t->text : "", t->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	return t->reply->json ? 0 : P2PS_EPROTO;
}

int client_call(const struct cmd_line *line, const void *body, size_t len, struct client_reply *reply,
		int (*on_line)(void *ctx, json_t *j), void *ctx)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/control.sock", line->dir);
	*reply = (struct client_reply){0};
	struct transfer t = {.curl = curl_easy_init(), .heard = now_s(), .on_line = on_line, .ctx = ctx, .reply = reply};
	char *url = t.curl ? make_url(t.curl, line) : NULL;
	if (!url) {
		curl_easy_cleanup(t.curl);
		return P2PS_ENOMEM;
	}
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	curl_easy_setopt(t.curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(t.curl, CURLOPT_URL, url);
	curl_easy_setopt(t.curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, &t);
	curl_easy_setopt(t.curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t.curl, CURLOPT_HEADERDATA, &t);
	curl_easy_setopt(t.curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(t.curl, CURLOPT_XFERINFODATA, &t);
	curl_easy_setopt(t.curl, CURLOPT_NOPROGRESS, 0L);
	if (line->op->flags & OP_WRITES) {
		headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
		curl_easy_setopt(t.curl, CURLOPT_POST, 1L);
		curl_easy_setopt(t.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
		curl_easy_setopt(t.curl, CURLOPT_POSTFIELDS, body ? body : "");
	}
	curl_easy_setopt(t.curl, CURLOPT_HTTPHEADER, headers);
	int err = finish(&t, curl_easy_perform(t.curl), path);
	curl_slist_free_all(headers);
	curl_easy_cleanup(t.curl);
	free(url);
	free(t.text);
	reply->err = err;
	return err;
}

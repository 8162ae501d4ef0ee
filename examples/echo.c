/* Echo: sends every message back to whoever sent it; and its counterpart, which sends one and waits for the answer.
 *
 *	echo                          answers, until its standard input ends
 *	echo ACCESS_POINT ID TEXT...  asks node ID
 */
#include <inttypes.h>
#include <p2ps.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int answer(p2ps_node *node)
{
	p2ps_message *m;
	char junk[64];
	size_t len;
	struct pollfd wait[] = {{0, POLLIN, 0}, {p2ps_messages_fd(node), POLLIN, 0}};
	printf("%s %" PRIu64 "\n", p2ps_access_point(node), p2ps_id(node));
	fflush(stdout);
	while (poll(wait, 2, -1) > 0 && !(wait[0].revents && read(0, junk, sizeof junk) <= 0))
		for (; p2ps_next(node, &m) == 0; p2ps_message_free(&m)) {
			const void *data = p2ps_message_data(m, &len);
			p2ps_send(node, p2ps_message_src(m), data, len, p2ps_message_type(m), NULL);
		}
	return 0;
}

static int ask(p2ps_node *node, uint64_t id, const char *text)
{
	p2ps_message *m;
	int err = p2ps_send(node, id, text, strlen(text), P2PS_TEXT, NULL);
	if (!err)
		err = p2ps_wait(node, &m, 10000);
	if (err)
		return fprintf(stderr, "echo: %s\n", p2ps_strerror(err)), 1;
	printf("%s\n", p2ps_message_text(m));
	p2ps_message_free(&m);
	return 0;
}

int main(int argc, char **argv)
{
	p2ps_node *node;
	p2ps_config *config = p2ps_config_new();
	p2ps_config_open(config, 1);
	p2ps_config_listen(config, "127.0.0.1:0");
	if ((argc > 3 ? p2ps_join(config, argv[1], &node) : p2ps_create(config, &node)) || p2ps_wait_joined(node, 10000))
		return fprintf(stderr, "echo: %s\n", p2ps_last_error()), 1;
	p2ps_config_free(&config);
	int rc = argc > 3 ? ask(node, strtoull(argv[2], NULL, 10), argv[3]) : answer(node);
	p2ps_close(&node);
	return rc;
}

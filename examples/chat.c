/* A chat without a server: what is typed goes to everybody.
 *
 *	chat                 the first one; prints the access point that others need
 *	chat ACCESS_POINT    everybody else
 */
#include <inttypes.h>
#include <p2ps.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	char line[1000];
	p2ps_node *node;
	p2ps_message *m;
	p2ps_config *config = p2ps_config_new();
	p2ps_config_open(config, 1);
	if ((argc > 1 ? p2ps_join(config, argv[1], &node) : p2ps_create(config, &node)) || p2ps_wait_joined(node, 10000))
		return fprintf(stderr, "chat: %s\n", p2ps_last_error()), 1;
	p2ps_config_free(&config);
	printf("others join with: chat %s\n", p2ps_access_point(node));
	fflush(stdout);
	struct pollfd wait[] = {{0, POLLIN, 0}, {p2ps_messages_fd(node), POLLIN, 0}};
	while (poll(wait, 2, -1) > 0) {
		for (; p2ps_next(node, &m) == 0; p2ps_message_free(&m))
			printf("%" PRIu64 ": %s", p2ps_message_src(m), p2ps_message_text(m) ? p2ps_message_text(m) : "?\n");
		fflush(stdout);
		if (wait[0].revents && !fgets(line, sizeof line, stdin))
			break;
		if (wait[0].revents && p2ps_broadcast(node, 0, line, strlen(line), P2PS_TEXT, NULL))
			fprintf(stderr, "chat: %s\n", p2ps_last_error());
	}
	p2ps_flush_wait(node, 5000);
	return p2ps_close(&node);
}

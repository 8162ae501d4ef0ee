/* The three-node example, first part: node 1 makes a network on port 3001 and prints what it receives, until the
 * message that the third node sends to nodes 1 and 16 has come.
 *
 *	three_1 [PORT]
 */
#include <inttypes.h>
#include <p2ps.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	p2ps_node *node;
	p2ps_message *m;
	p2ps_config *config = p2ps_config_new();
	p2ps_config_open(config, 1);
	p2ps_config_id(config, 1);
	p2ps_config_listen(config, argc > 1 ? argv[1] : "3001");
	if (p2ps_create(config, &node) || p2ps_wait_joined(node, 10000)) {
		fprintf(stderr, "three_1: %s\n", p2ps_last_error());
		return 1;
	}
	p2ps_config_free(&config);
	printf("node %" PRIu64 " at %s\n", p2ps_id(node), p2ps_access_point(node));
	fflush(stdout);
	for (int last = 0; !last && p2ps_wait(node, &m, 60000) == 0; p2ps_message_free(&m)) {
		printf("node 1 received \"%s\" from %" PRIu64 "\n", p2ps_message_text(m), p2ps_message_src(m));
		last = p2ps_message_kind(m) == P2PS_TO_LIST;
	}
	return p2ps_close(&node);
}

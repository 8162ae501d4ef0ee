/* The three-node example, second part: node 16 joins on port 3002 through node 1 and prints what it receives, until
 * the message that the third node sends to nodes 1 and 16 has come.
 *
 *	three_16 [PORT [ACCESS_POINT]]
 */
#include <inttypes.h>
#include <p2ps.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	p2ps_node *node;
	p2ps_message *m;
	p2ps_config *config = p2ps_config_new();
	p2ps_config_id(config, 16);
	p2ps_config_listen(config, argc > 1 ? argv[1] : "3002");
	if (p2ps_join(config, argc > 2 ? argv[2] : "127.0.0.1:3001", &node) || p2ps_wait_joined(node, 10000)) {
		fprintf(stderr, "three_16: %s\n", p2ps_last_error());
		return 1;
	}
	p2ps_config_free(&config);
	printf("node %" PRIu64 " at %s\n", p2ps_id(node), p2ps_access_point(node));
	fflush(stdout);
	for (int last = 0; !last && p2ps_wait(node, &m, 60000) == 0; p2ps_message_free(&m)) {
		printf("node 16 received \"%s\" from %" PRIu64 "\n", p2ps_message_text(m), p2ps_message_src(m));
		last = p2ps_message_kind(m) == P2PS_TO_LIST;
	}
	return p2ps_close(&node);
}

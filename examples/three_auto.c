/* The three-node example, third part: a node whose id and port are left to the system joins through node 16, sends a
 * message to whoever is responsible for key 42, and one to nodes 1 and 16.
 *
 *	three_auto [ACCESS_POINT]
 */
#include <inttypes.h>
#include <p2ps.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	static const uint64_t both[] = {1, 16};
	p2ps_node *node;
	p2ps_op *op;
	p2ps_message *m;
	uint64_t target;
	int err = p2ps_join(NULL, argc > 1 ? argv[1] : "127.0.0.1:3002", &node);
	if (!err)
		err = p2ps_wait_joined(node, 10000);
	if (!err)
		printf("node %" PRIu64 " at %s\n", p2ps_id(node), p2ps_access_point(node));

	if (!err && !(err = p2ps_send_key(node, 42, "hello, 42", 9, P2PS_TEXT, &op))) {
		err = p2ps_op_wait(op, 10000);
		if (!err)
			printf("to key 42: %s\n", p2ps_strerror(p2ps_op_outcome(op, 0, NULL)));
		p2ps_op_free(&op);
	}
	if (!err && !(err = p2ps_lookup(node, 42, &op))) {
		if (!(err = p2ps_op_wait(op, 10000)))
			printf("key 42 belongs to node %" PRIu64 "\n", p2ps_op_owner(op));
		p2ps_op_free(&op);
	}
	if (!err && !(err = p2ps_multicast(node, both, 2, "hello, 1 and 16", 15, P2PS_TEXT, &op))) {
		err = p2ps_op_wait(op, 10000);
		for (size_t i = 0; i < p2ps_op_outcomes(op); i++) {
			int outcome = p2ps_op_outcome(op, i, &target);
			printf("to node %" PRIu64 ": %s\n", target, outcome ? p2ps_strerror(outcome) : "delivered");
		}
		p2ps_op_free(&op);
	}
	if (err) {
		fprintf(stderr, "three_auto: %s\n", p2ps_last_error());
		return 1;
	}
	for (; p2ps_next(node, &m) == 0; p2ps_message_free(&m))
		printf("node %" PRIu64 " received \"%s\" from %" PRIu64 "\n", p2ps_id(node), p2ps_message_text(m), p2ps_message_src(m));
	return p2ps_close(&node);
}

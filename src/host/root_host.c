/* The root key of a running node: out of its directory, and into it. Called by any thread but the node's. */
#include <stdio.h>
#include <string.h>

#include "com/network.h"
#include "host/host_internal.h"
#include "host/root.h"
#include "p2ps.h"

static int root_network(struct host *h, struct network *net, const char **why)
{
	pthread_mutex_lock(&h->lock);
	bool have = h->have_net;
	*net = h->net;
	pthread_mutex_unlock(&h->lock);
	*why = !have ? "the node is not a member of a network yet" : net->open ? "the network is open: its root key is of no use" :
	       "a node without a directory keeps no root key";
	return !have ? P2PS_ENOT_MEMBER : net->open || !h->dir ? P2PS_EUNSUPPORTED : 0;
}

int host_root_export(struct host *h, const char *passphrase, char out[256], const char **why)
{
	struct network net;
	char text[ROOT_TEXT_MAX];
	uint8_t secret[64];
	int err = root_network(h, &net, why);
	if (err)
		return err;
	*why = "this directory has no root key of its network";
	err = root_load(h->dir, &net, text);
	if (err)
		return err;
	if (root_sealed(text)) {
		memcpy(out, text, ROOT_TEXT_MAX);
		return 0;
	}
	*why = "the root key lies open here: give a passphrase to seal what leaves this directory (--passphrase-file)";
	err = passphrase && *passphrase ? root_read(secret, &net, text, NULL, why) : P2PS_EINVAL;
	if (!err)
		err = root_text(out, &net, secret, passphrase); /* a secret begins with its seed */
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(text, sizeof text);
	return err;
}

static void root_run(struct host *h, struct host_post *p, bool stopped)
{
	struct event ev = {.type = EVENT_REQUEST, .request = {.op = &node_use_root_op}};
	(void)p;
	pthread_mutex_lock(&h->lock);
	ev.request.body = slice_copy(h->pool, h->root_secret, sizeof h->root_secret);
	explicit_bzero(h->root_secret, sizeof h->root_secret);
	pthread_mutex_unlock(&h->lock);
	if (!stopped && ev.request.body.buf)
		loop_step(&h->loop, &ev);
	if (ev.request.body.buf)
		explicit_bzero((void *)ev.request.body.p, ev.request.body.len);
	slice_drop(&ev.request.body);
}

int host_root_import(struct host *h, const char *text, const char *passphrase, const char **why)
{
	struct network net;
	uint8_t secret[64];
	static const uint8_t none[64];
	int err = root_network(h, &net, why);
	if (!err)
		err = root_read(secret, &net, text, passphrase, why);
	if (!err && (err = root_save(h->dir, &net, text + strspn(text, " \t\r\n"))) != 0)
		*why = "the root key cannot be written";
	if (err)
		return err;
	pthread_mutex_lock(&h->lock);
	bool under_way = memcmp(h->root_secret, none, sizeof none) != 0;
	memcpy(h->root_secret, secret, sizeof secret);
	pthread_mutex_unlock(&h->lock);
	explicit_bzero(secret, sizeof secret);
	if (!under_way) {
		h->root_post.run = root_run;
		host_post(h, &h->root_post);
	}
	return 0;
}

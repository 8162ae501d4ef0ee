/* See gate.h. A source is an IPv4 address or an IPv6 /64, which is what one subscriber has. What one source may have
 * open and begin is limited, so a flood from a few addresses is refused for the price of an accept and a map look-up. A
 * flood from many addresses meets the limits of the whole: half-open connections (the source with most of them loses its
 * oldest) and handshakes (those who wait are served by who has had none for longest). Addresses from which a link was
 * accepted draw their handshakes from a store of their own, so that strangers cannot keep members apart. */
#include "host/gate.h"

#include <netinet/in.h>
#include <string.h>

#include "base/le.h"

void gate_init(struct gate *g, struct limits *l, struct pool *p, uint64_t salt)
{
	*g = (struct gate){.limits = l, .pool = p, .salt = salt};
	map_init(&g->sources, p);
}

static void idle_link(struct gate *g, struct source *s)
{
	s->prev = g->last;
	s->next = NULL;
	*(g->last ? &g->last->next : &g->first) = s;
	g->last = s;
}

static void idle_unlink(struct gate *g, struct source *s)
{
	*(s->prev ? &s->prev->next : &g->first) = s->next;
	*(s->next ? &s->next->prev : &g->last) = s->prev;
}

static void forget(struct gate *g, struct source *s)
{
	idle_unlink(g, s);
	map_del(&g->sources, s->key);
	pool_free(g->pool, s, sizeof *s);
}

void gate_free(struct gate *g)
{
	while (g->first)
		forget(g, g->first);
	map_free(&g->sources);
}

bool gate_accepts(struct gate *g, uint64_t now_us)
{
	struct limit *l = &g->limits->v[LIMIT_ACCEPTS_ID];
	bool may = bucket_take(&g->accepts, l, 1, now_us);
	l->refused += !may;
	limit_use(l, l->max * BUCKET_SECONDS - g->accepts.left);
	return may;
}

/* Exact, and mixed with a secret: nobody can choose addresses that fall together in the map. */
static uint64_t key_of(const struct gate *g, const struct sockaddr_storage *from)
{
	uint64_t key;
	if (from->ss_family == AF_INET6) {
		const uint8_t *a = ((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr;
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
		key = memcmp(a, mapped, sizeof mapped) ? le64(a) : UINT64_C(0xffff) << 32 | le32(a + 12);
	} else {
		key = UINT64_C(0xffff) << 32 | ((const struct sockaddr_in *)from)->sin_addr.s_addr;
	}
	return (key ^ g->salt) * (g->salt | 1);
}

static struct source *source_of(struct gate *g, uint64_t key)
{
	struct source *s = map_get(&g->sources, key);
	if (s)
		return s;
	if (g->sources.count >= GATE_SOURCES_MAX) {
		if (!g->first)
			return NULL;
		forget(g, g->first);
	}
	s = pool_alloc(g->pool, sizeof *s);
	if (!s || map_put(&g->sources, key, s)) {
		pool_free(g->pool, s, sizeof *s);
		return NULL;
	}
	s->key = key;
	idle_link(g, s);
	return s;
}

struct source *gate_enter(struct gate *g, const struct sockaddr_storage *from)
{
	struct limit *links = &g->limits->v[LIMIT_SOURCE_LINKS_ID], *half = &g->limits->v[LIMIT_SOURCE_HALF_OPEN_ID];
	struct source *s = source_of(g, key_of(g, from));
	if (!s || s->links >= links->max) {
		links->refused++;
		return NULL;
	}
	if (!s->links)
		idle_unlink(g, s);
	s->links++;
	s->half_open++;
	links->peak = s->links > links->peak ? s->links : links->peak;
	half->peak = s->half_open > half->peak ? s->half_open : half->peak;
	return s;
}

enum gate_answer gate_shake(struct gate *g, struct source *s, uint64_t now_us)
{
	struct limit *own = &g->limits->v[LIMIT_SOURCE_HANDSHAKES_ID], *all = &g->limits->v[LIMIT_HANDSHAKES_ID];
	bool known = s->accepted_us && now_us - s->accepted_us < GATE_KNOWN_US;
	bucket_fill(&s->shakes, own, now_us);
	if (!s->shakes.left) {
		own->refused++;
		return GATE_REFUSE;
	}
	if (!(known && bucket_take(&g->known, all, 1, now_us)) && !bucket_take(&g->strangers, all, 1, now_us)) {
		all->refused++;
		return GATE_WAIT;
	}
	bucket_take(&s->shakes, own, 1, now_us);
	s->shaken_us = now_us;
	limit_use(all, all->max * BUCKET_SECONDS - g->strangers.left);
	own->peak = own->max * BUCKET_SECONDS - s->shakes.left > own->peak ? own->max * BUCKET_SECONDS - s->shakes.left : own->peak;
	return GATE_GO;
}

void gate_shaken(struct gate *g, struct source *s)
{
	(void)g;
	s->half_open--;
}

void gate_accepted(struct source *s, uint64_t now_us) { s->accepted_us = now_us; }

void gate_leave(struct gate *g, struct source *s, bool half_open)
{
	s->half_open -= half_open;
	if (--s->links == 0)
		idle_link(g, s);
}

void gate_look(struct gate *g)
{
	struct limit *v = g->limits->v;
	uint64_t key, links = 0, half = 0;
	void *p;
	for (uint32_t i = 0; map_next(&g->sources, &i, &key, &p);) {
		const struct source *s = p;
		links = s->links > links ? s->links : links;
		half = s->half_open > half ? s->half_open : half;
	}
	limit_use(&v[LIMIT_SOURCE_LINKS_ID], links);
	limit_use(&v[LIMIT_SOURCE_HALF_OPEN_ID], half);
}

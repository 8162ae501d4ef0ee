/* Between world.c (time, processes) and links.c (what connects them). Nobody else includes this. */
#ifndef P2PS_LAB_WORLD_INTERNAL_H
#define P2PS_LAB_WORLD_INTERNAL_H
#include "base/slab.h"
#include "lab/world.h"

enum item_kind {
	ITEM_TIMER,
	ITEM_CALL,
	ITEM_DIAL,     /* a dial reaches the machine it was meant for */
	ITEM_UP,       /* an end of a link hears that it is up */
	ITEM_DOWN,
	ITEM_FRAME,    /* the next of a link's frames arrives */
	ITEM_ROOM,
	ITEM_STALL,    /* is the link still stalled? then it is given up */
	ITEM_IO,
};

struct flight {            /* a frame on its way; without bytes: the FIN */
	struct flight *next;
	uint32_t len;
	uint8_t bytes[];
};

enum end_state { END_NONE, END_DIALLING, END_ACCEPTING, END_UP, END_CLOSING, END_GONE };

struct end {
	unsigned node;
	uint32_t boot, no;
	enum end_state state;
	/* the direction in which this end sends */
	uint64_t busy_until, last_arrival, sent, told, delivered;
	bool room_pending;
	struct flight *queue, **queue_tail; /* in order; each ITEM_FRAME lets the first one arrive */
	uint32_t held;          /* arrivals that a stall holds back */
	uint64_t stalled_since; /* 0: not */
};

struct link {
	uint32_t refs;         /* items in the heap or a backlog, ends in a node's map */
	bool lost;             /* what is in flight vanishes */
	uint8_t tries;
	uint64_t used_us;      /* when a frame was last sent on it */
	enum link_class class;
	struct end end[2];     /* [0] dialled */
	struct link_place { struct link *next, **prev; } of[2]; /* among all links of each end's node, the newest dial first */
};

struct io_wait {
	uint64_t tag;
	bool sync;
	enum io_kind kind;
	char *space, *name;
	struct disk_answer answer;
};

/* When something is due, and where it stands in `items`. Four of the heap fit into a line of the cache. */
struct due {
	uint64_t at, order; /* order: sequence << DUE_SLOT_BITS | slot */
};
#define DUE_SLOT_BITS 26u
#define NEAR 8u

struct item {
	uint64_t at; /* wanted; what counts is `due` */
	uint8_t kind, end;
	uint32_t node, boot;
	union {
		struct { struct link *link; int err; };
		struct { world_call *fn; void *ctx; uint64_t a, b; };
		struct io_wait *io;
		uint32_t serial;
	};
};

struct world {
	struct world_config cfg;
	struct world_hooks hooks;
	struct pool pool;
	struct slab slab;          /* of all nodes' pools, links, frames under way */
	struct block *memory;      /* its blocks */
	struct due *heap;          /* of four children each */
	void *heap_memory;
	uint32_t heap_len, heap_cap;
	struct due near[NEAR];     /* the next ones, in order; everything in the heap comes after them */
	uint32_t near_len;
	struct item *items;        /* by slot; a free one has the next free slot in `serial` */
	uint32_t items_cap, items_used, items_free;
	uint64_t now, seq, hash;
	struct world_node *nodes;
	struct map blocks, mutes;  /* by from << 32 | to: how often, as a pointer */
	bool split;
	struct network net;
	struct arena arena;
	struct outbox out;
	struct world_counters count;
	char failed[512];
	bool stepping;
};

void world_push(struct world *w, struct item it); /* seq is given here */
void world_drop(struct world *w, struct item *it); /* gives back what it holds */
void world_step(struct world *w, struct world_node *n, struct event *ev);
void *world_alloc(size_t n); /* zeroed; never NULL */
void *world_piece(struct world *w, size_t n); /* from the world's slab, undefined; never NULL */
void world_piece_free(struct world *w, void *p, size_t n);
bool world_arrives(const struct world *w, unsigned from, unsigned to);
bool world_muted(const struct world *w, unsigned from, unsigned to);
void world_poison(struct world *w, struct world_node *n);

void links_dial(struct world *w, struct world_node *n, uint32_t no, enum link_class class, const char *address);
void links_send(struct world *w, struct world_node *n, const struct action_send *s);
void links_close(struct world *w, struct world_node *n, uint32_t no, int err);
void links_item(struct world *w, struct item *it); /* takes over what it holds */
void links_process_gone(struct world *w, struct world_node *n, enum world_death how);
void links_unblocked(struct world *w, struct world_node *n, const struct world_node *only); /* only: NULL: whoever is at the other end */
void links_machine_back(struct world *w, struct world_node *n);
void links_unref(struct world *w, struct link *l);
void links_free(struct world *w, struct world_node *n);
unsigned links_peer(const struct world_node *n, uint32_t no); /* for traces */
uint64_t links_delay(struct world *w, unsigned from, unsigned to);
#endif

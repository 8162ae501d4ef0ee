/* Inside the flows: what flow.c (entry points, time), flow_out.c (sending), flow_in.c (receiving) and flow_key.c (who is
 * responsible) share. */
#ifndef P2PS_CORE_FLOW_INTERNAL_H
#define P2PS_CORE_FLOW_INTERNAL_H
#include "core/flow_wire.h"
#include "core/internal.h"

#define FLOW_ACK_DELAY_US 1000u            /* an ack that nobody waits for may be so late */
#define FLOW_ACK_BYTES (256u << 10)        /* ... or so many bytes */
#define FLOW_UNREAD_US 2000000u            /* a stream with something in it that nobody took out for so long is unread */
#define FLOW_STALL_US 2000000u             /* a sender waits so long for room in a stream that is being read */
#define FLOW_ROOM_US 20000u                /* a receiver tells of little room after so long, of much room at once */
#define FLOW_REACH_US 10000000u            /* what could not be sent at all for so long fails */
#define FLOW_PATIENCE_US 1500000u          /* a dial under way for so long: ask the ring again who that is */
#define FLOW_SILENCE_US 30000000u          /* sent on a living link, nothing acked for so long: unknown */
#define FLOW_RESEND_US 60000000u           /* nothing is sent again later than this after it was first sent ... */
#define FLOW_REMEMBER_US 150000000u        /* ... and a receiver remembers an origin for longer */
#define FLOW_IDLE_US 30000000u             /* an unused link is released */
#define FLOW_RETRY_US 100000u              /* first back-off; doubled up to FLOW_RETRY_MAX_US */
#define FLOW_RETRY_MAX_US 1600000u
#define FLOW_CONGESTED_US 50000u           /* look again, should com's room not be heard */
#define FLOW_WINDOW_BYTES (8u << 20)       /* most in flight to one node */
#define FLOW_FIRST_BYTES (512u << 10)      /* ... before it has told how much room there is */
#define FLOW_BULK_IDLE_US 2000000u         /* unused for so long a flow begins on the control link again */
#define FLOW_QUEUE_BYTES (64u << 20)       /* most waiting here in all */
#define FLOW_ORIGINS_MAX 8192u             /* origins remembered */
#define FLOW_PARTS_BYTES (16u << 20)       /* messages being put together from fragments, all origins */
#define FLOW_FLUSHES_MAX 64u
#define FLOW_TYPE_WITH_ACK 100u              /* with a longer content type no ack fits into the head */
#define FLOW_NEVER UINT64_MAX

/* One flow_send: one or more messages. Message i has the number seq + i. */
struct flow_job {
	struct flow_job *next;
	uint64_t to;
	uint64_t node;              /* whose flow it is in; 0: in none */
	bool to_key, prompt;
	bool maybe;                 /* it was sent, and whether it arrived is not known yet */
	uint8_t service, kind, type_len, tries;
	uint32_t count;
	uint32_t acked, sent;       /* messages; acked <= sent <= count */
	uint32_t off_acked, off_sent; /* the same in bytes of entries */
	uint32_t part_sent;         /* bytes already sent of the entry at off_sent, which travels in fragments */
	uint64_t deadline_us;       /* to be on its way by then */
	uint64_t sent_us;           /* first time */
	struct slice entries;
	flow_done *done;
	void *ctx;
	char type[];
};

/* The sending end: everything for one node. */
struct flow_out {
	struct flow_out *next, *prev;
	uint64_t id;
	struct peer *peer;          /* held for COM_DIRECT; NULL until it is known who that is, and for this node itself */
	bool up, finding;           /* finding: a look-up is under way */
	bool lost;                  /* the link has just been lost: dial at once */
	bool self, pumping;
	bool bulk;                  /* more than the control link should carry: a link of its own */
	uint16_t round;
	uint32_t link;              /* what is in flight went along this one; 0: any */
	uint8_t blocked;            /* enum flow_status: the receiver said so and has not taken it back */
	uint8_t tries;              /* dials and look-ups in a row that failed */
	uint64_t their_incarnation; /* 0: none yet */
	struct flow_job *head, *tail, *cursor; /* cursor: the first that is not wholly sent */
	uint64_t base, next_seq;    /* [base, next_seq): sent and open */
	uint64_t high;              /* numbers below may have been seen by the receiver */
	uint64_t prompt_seq;        /* an answer to everything before it has been asked for */
	uint32_t flight_bytes;
	uint32_t room_messages, room_bytes;
	uint64_t blocked_us;        /* since; FLOW_FULL: since the last message was taken */
	uint64_t progress_us, used_us, down_us;
	uint64_t try_us;            /* the next dial or look-up */
	uint64_t dial_us;           /* connecting since, or asked again since */
	uint64_t due_us;
};

/* The receiving end: what is remembered of one origin. */
struct flow_in {
	struct flow_in *next, *prev;
	struct flow_in *ack_next, *wait_next;
	bool ack_listed, ack_owed, wait_listed;
	uint64_t id, incarnation;
	struct peer *peer;          /* NULL: no link now */
	uint64_t next_seq;
	uint64_t heard_us;
	uint32_t unacked_bytes;
	uint32_t want_bytes;        /* room that the next message needs, when it waits for it */
	uint16_t round;             /* the newest seen */
	uint8_t status;             /* what keeps next_seq out, told in this round */
	bool known;                 /* something of this incarnation came: round and next_seq hold */
	bool wait_service;          /* it waits for a service that got too much lately, not for the program */
	bool ended;                 /* this round is over: what still comes of it is dropped */
	struct buf *part;           /* a message that comes in fragments */
	uint32_t part_have, part_total;
};

/* Messages to one key while its owner is being looked for. */
struct flow_key {
	struct flow_key *next, *prev;
	uint64_t key;
	struct flow_job *head, *tail;
	struct flow_job *again;     /* the last of those that came back */
	bool looking;
	uint8_t tries;
	uint64_t try_us;
};

struct flow_flush {
	uint64_t tag, last; /* waits for requests numbered up to this */
	uint32_t open;
};

struct flow {
	struct node *n;
	struct map outs, ins, keys;
	struct flow_out *out_first, *out_last;
	struct flow_in *in_first, *in_last; /* the one heard last stands last */
	struct flow_key *key_first, *key_last;
	struct flow_in *acks, *waits;
	uint64_t ack_us, wait_us, out_us, key_us, sweep_us; /* when to look at each next */
	uint64_t seq_floor;         /* no flow that is new starts below */
	uint16_t round_floor;
	uint64_t queue_bytes;
	uint64_t part_bytes;
	uint64_t taken_us;          /* the program last took something out, or the stream was last empty */
	uint64_t requests;          /* numbers for flush */
	uint32_t requests_open;
	struct flow_flush *flushes; /* FLOW_FLUSHES_MAX, allocated at the first */
	uint32_t flush_count;
};

/* flow.c */
uint32_t flow_deliver(struct node *n, const struct action_deliver *d, uint8_t service, const struct contact *from);
bool flow_unread(const struct node *n);
void flow_job_end(struct node *n, struct flow_job *j, int outcome); /* frees it */
void flow_job_free(struct flow *f, struct flow_job *j);
void flow_jobs_append(struct flow_job **head, struct flow_job **tail, struct flow_job *j);
/* a comes after b, both counting on and around. */
static inline bool flow_later(uint16_t a, uint16_t b) { return (int16_t)(uint16_t)(a - b) > 0; }
static inline void flow_wake(uint64_t *when, uint64_t at)
{
	if (at < *when)
		*when = at;
}
uint64_t flow_backoff(struct node *n, unsigned tries);

/* flow_out.c */
struct flow_out *flow_out_get(struct node *n, uint64_t id); /* made when missing; NULL: no memory */
void flow_out_contact(struct node *n, struct flow_out *o, const struct contact *c); /* now it is known who that is */
void flow_out_add(struct node *n, struct flow_out *o, struct flow_job *j);
void flow_out_pump(struct node *n, struct flow_out *o);
void flow_out_ack(struct node *n, struct flow_out *o, const struct flow_ack *a);
void flow_out_up(struct node *n, struct flow_out *o, struct peer *p);
void flow_out_down(struct node *n, struct flow_out *o, int err);
void flow_out_bulk_down(struct node *n, struct flow_out *o);
void flow_out_timer(struct node *n);
void flow_out_free_all(struct flow *f);

/* flow_in.c */
void flow_in_data(struct node *n, struct peer *p, const struct frame *f);
bool flow_in_owes(struct node *n, const struct peer *p, struct flow_ack *a); /* an ack that may ride on data to it */
void flow_in_paid(struct node *n, const struct peer *p);                     /* and did */
void flow_in_acks(struct node *n);  /* sends what is owed */
void flow_in_room(struct node *n, bool any); /* tells those who wait that there is room */
void flow_in_down(struct node *n, struct flow_in *in);
void flow_in_sweep(struct node *n);
void flow_in_free_all(struct flow *f);

/* flow_key.c */
void flow_key_add(struct node *n, struct flow_job *j);                      /* takes it over; looks its owner up */
void flow_key_again(struct node *n, struct flow_job *j, uint64_t wrong_owner); /* it was not taken there */
void flow_key_timer(struct node *n);
void flow_key_free_all(struct flow *f);

/* for cast.c: programs' requests, so that a flush knows when all are settled */
uint64_t flow_request_begin(struct node *n);
void flow_request_end(struct node *n, uint64_t number);
#endif

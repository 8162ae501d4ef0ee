/* Leases that end, and epochs (ring-protocol.md: R-LEASE-2, 3, 8; R-CRASH-1, 2, 5, 7, 8, 9; R-TAKE; R-FORCE, R-FORCE-2;
 * R-EPOCH, R-EPOCH-2), checked with time as a number. ring.pml has the messages and no time; this has the time and no
 * messages: a renewal with its answer, with the log that it carries and the acks that come back, is one step at once (the
 * latest that a lease can end is when the answer takes no time).
 *
 * The idea: nobody is obliged to talk. A step of the world is one node renewing at another that takes it for its left
 * neighbour, or a node acting on what its clock lets it, or one unit of time passing for all. So every partition, pause,
 * crash and one-way link is among the runs: it is a node that no step happens to take. Judged after every step: no two
 * nodes serve one place in one epoch (I1).
 *
 * The lease is T = 4 units, the overhang O = 3 (more than T/2, less than T, as 9/16 is), f = 2. Clocks agree, T+ is T: an
 * owner stops at T, before its granter may act in that same unit. A drawn epoch belongs to who drew it, and no joins
 * divide it here: so only those that are still in the first epoch can share one, and counters suffice.
 *
 * Where the code waits longer (for politeness, for its patience to end) the model need not wait: more runs, not fewer.
 *   M_...   one planted mistake each: a rule left out. Must fail */
#ifndef N
#define N 4
#endif
#ifndef T
#define T 4
#endif
#ifdef M_OVERHANG       /* a grant is as long as ever, whatever is left of the granter's own lease; waits are as here */
#define GIVES(t) T
#else
#define GIVES(t) (s[t].lease < T -> s[t].lease : T)     /* lease is kept with O added: own lease + O, at most T */
#endif
#ifndef O
#define O 3
#endif
#ifndef TOP
#define TOP 3           /* highest counter of an epoch looked at */
#endif
#ifndef UNITS
#define UNITS 8         /* of time */
#endif
#define NIL N
#define INF 15

typedef node_state {
    bit in;
    byte lo, left, succ;        /* left: t.lo, or the bound of the open EXTEND */
    byte n1, n2;                /* log: the bounds of the left neighbour, and of the one before it */
    byte e1;                    /* counter of its epoch when it logged here last */
    byte g1;                    /* EXTEND over two: the bound between */
    byte ep;                    /* 0: the first, that all share */
    byte lease, over;           /* with O added, so that what has ended can be told from what ended long ago */
    byte others, notb;          /* R-CRASH-8: others_end, and not_before of the change */
    byte top;                   /* R-EPOCH-2: above it our left neighbour followed somebody else */
    byte dropped;               /* R-CRASH-9: bound of what was dropped, NIL: nothing */
    bit crash, forced, doubt, used, mixed;      /* of the change */
    bit own, passed;            /* own record, and log[1], are known to be stored as far as they must be */
    bit logdoubt;               /* R-LEASE-8 */
    bit near, known, drawn;
}
node_state s[N];
byte units = UNITS;
hidden byte a_, b_, c_, u_;
bool ready;

#define D(a, x) (((x) + N - (a)) % N)
#define OPEN(a, x, b) ((x) != (a) && (x) != (b) && ((a) == (b) || D(a, x) < D(a, b)))
#define OWNS(n, x) (s[n].lo == (n) || (D(s[n].lo, x) > 0 && D(s[n].lo, x) <= D(s[n].lo, n)))
#define ALONE(t) (s[t].lo == (t))
#define LEASED(t) (s[t].lease > O)
#define SERVES(t) (s[t].in && (ALONE(t) || LEASED(t)))
#define EXT(t) (s[t].left != s[t].lo)
#define OVER(t) (s[t].over <= O)        /* what it granted has run out */
#define CAN_DRAW(t) (s[t].ep < TOP)

inline check()
{
    a_ = 0;
    do
    :: a_ < N ->
        b_ = 0;
        do
        :: b_ < N ->
            assert(!(a_ != b_ && SERVES(a_) && SERVES(b_) && s[a_].ep == 0 && s[b_].ep == 0 && OWNS(b_, a_)));
            b_++
        :: else -> break
        od;
        a_++
    :: else -> break
    od;
    a_ = 0; b_ = 0; c_ = 0; u_ = 0
}

inline close_change(t)
{
    s[t].g1 = NIL; s[t].crash = 0; s[t].forced = 0; s[t].doubt = 0; s[t].used = 0; s[t].mixed = 0; s[t].notb = 0
}

inline until(t, when)           /* its left neighbour may hold a lease until then */
{
    if
    :: s[t].over < (when) + O -> s[t].over = (when) + O
    :: else
    fi
}

/* the own lease has run out: R-CRASH-7, R-CRASH-9 */
inline lapse(t)
{
    printf("%d has no lease\n", t);
    if
    :: EXT(t) && s[t].crash && !s[t].used ->
        printf("%d drops its extension down to %d\n", t, s[t].left);
#ifndef M_DROPPED
        s[t].dropped = s[t].left;
#endif
        if
        :: s[t].g1 != NIL -> s[t].n2 = s[t].left; s[t].n1 = s[t].g1
        :: else -> s[t].n2 = s[t].n1; s[t].n1 = s[t].left
        fi;
        s[t].left = s[t].lo; s[t].known = 1; s[t].top = INF; s[t].drawn = 0; s[t].own = 0; s[t].passed = 0;
        s[t].over = O;
        close_change(t)
    :: else
    fi
}

/* there is one again: R-CRASH-8 */
inline regain(me)
{
    c_ = (s[me].near -> O : T);
#ifndef M_REGAIN
    if
    :: EXT(me) && s[me].crash -> s[me].notb = c_; until(me, 2 * c_)
    :: else -> until(me, c_)
    fi;
#endif
    s[me].near = 0
}

/* R-EPOCH-2 */
inline apart(t, me)
{
    if
    :: s[t].known && s[me].ep <= s[t].top && !(s[t].dropped != NIL && OPEN(s[t].dropped, s[t].left, t)) &&
       !(EXT(t) && s[t].doubt) -> s[t].top = INF
    :: s[t].drawn -> s[t].top = INF
    :: else ->
        s[t].top = INF; s[t].drawn = 1;
        if
        :: s[me].ep >= s[t].ep -> s[t].ep = s[me].ep + 1; s[t].own = 0;
            printf("%d may not be the only one to the right of %d: epoch %d\n", t, me, s[t].ep)
        :: else
        fi
    fi
}

inline log_taken(t, me)
{
    s[t].used = EXT(t);
    if
    :: s[t].n1 != NIL && s[t].n1 != s[me].left && !OPEN(s[t].n1, s[me].left, me) -> s[t].others = T
    :: else
    fi;
    if
    :: s[t].n1 != s[me].left || s[t].n2 != s[me].n1 -> s[t].passed = 0
    :: else
    fi;
    s[t].n1 = s[me].left; s[t].n2 = s[me].n1; s[t].e1 = s[me].ep; s[t].known = 1
}

/* me renews at t */
#define CAN_RENEW(me, t) (me != t && s[me].in && s[t].in && s[t].left == me && !ALONE(me) && !ALONE(t) && s[t].lease > 0 && \
    !(s[t].ep == TOP || s[me].ep == TOP))
inline renew(me, t)
{
    printf("%d renews at %d (which extends: %d)\n", me, t, EXT(t));
    if
    :: s[me].succ != t -> s[me].succ = t; s[me].own = 0; s[me].passed = 0
    :: else
    fi;
    apart(t, me);
    u_ = GIVES(t);
    if
    :: LEASED(t) ->
        log_taken(t, me);
        s[me].passed = 1;
        /* passed on, or there is nobody that it should be passed on to */
        s[me].own = s[t].passed || s[t].succ == me || s[t].succ == s[me].lo || s[t].succ == s[me].left
    :: else
    fi;
    until(t, T);
#ifndef M_FOLLOW
    if
    :: s[t].ep > s[me].ep -> s[me].ep = s[t].ep; s[me].own = 0
    :: else
    fi;
#endif
    if
    :: s[me].own -> s[me].dropped = NIL
    :: else
    fi;
#ifndef M_PROVISIONAL
    s[me].logdoubt = EXT(t) && (s[me].logdoubt || !LEASED(me));
#endif
    s[me].near = s[t].others <= O;
    if
    :: !LEASED(me) -> s[me].lease = u_ + O; regain(me)
    :: s[me].lease < u_ + O -> s[me].lease = u_ + O
    :: else
    fi
}

/* R-CRASH-2, R-CRASH-5, R-FORCE-2: down to what the log says, over a left neighbour whose lease has run out */
#define CAN_RECLAIM(t) (s[t].in && !ALONE(t) && LEASED(t) && OVER(t) && s[t].n1 != NIL && s[t].n1 != t && !(EXT(t) && s[t].g1 != NIL))
inline reclaim(t, hurried)
{
    printf("%d extends over %d to %d (in a new epoch: %d)\n", t, s[t].left, s[t].n1, hurried);
    if
    :: EXT(t) -> s[t].g1 = s[t].left
    :: else
    fi;
    s[t].mixed = s[t].mixed || s[t].ep > 0 || s[t].e1 > 0 || s[t].logdoubt;
    s[t].doubt = s[t].doubt || s[t].logdoubt;
#ifdef M_MIXED
    s[t].mixed = 0;
#endif
    s[t].crash = 1; s[t].forced = s[t].forced || hurried;
    s[t].known = 1; s[t].drawn = 0; s[t].top = s[t].e1;
#ifdef M_TOP
    s[t].top = INF;
#endif
    s[t].left = s[t].n1; s[t].n1 = s[t].n2; s[t].n2 = NIL; s[t].own = 0; s[t].passed = 0;
    if
    :: hurried -> s[t].others = T
    :: else
    fi;
#ifndef M_BEYOND
    s[t].over = s[t].over + O;      /* counted from when the lease of the one between ended, however long that is ago */
#else
    s[t].over = O;
#endif
    if
    :: hurried -> s[t].ep++
    :: else
    fi
}

/* R-FORCE: nobody told its bound; up to p, which speaks */
#define CAN_FORCE(t, p) (p != t && s[t].in && s[p].in && !ALONE(t) && LEASED(t) && OVER(t) && s[t].n1 == NIL && \
    OPEN(t, p, s[t].left) && CAN_DRAW(t))
inline force(t, p)
{
    printf("%d extends by force to %d\n", t, p);
    s[t].left = p; s[t].n2 = NIL; s[t].known = 0; s[t].drawn = 0; s[t].top = INF; s[t].own = 0; s[t].passed = 0;
    s[t].others = T; s[t].over = T + O; s[t].forced = 1;
    s[t].g1 = NIL
}

#define CAN_TAKE(t) (s[t].in && EXT(t) && LEASED(t) && s[t].own && s[t].notb == 0 && \
    (CAN_DRAW(t) || !(s[t].forced || s[t].mixed)))
inline take(t)
{
    printf("%d owns down to %d\n", t, s[t].left);
#ifndef M_FORCED
    if
    :: s[t].forced || s[t].mixed -> s[t].ep++
    :: else
    fi;
#endif
    s[t].lo = s[t].left; s[t].own = 0;
    close_change(t)
}

/* one that hears nobody is a ring of its own; one that cannot get a lease gives itself one: both in a new epoch */
inline alone(t)
{
    printf("%d is alone\n", t);
    s[t].ep++; s[t].lo = t; s[t].left = t; s[t].lease = 0; s[t].over = 0; s[t].others = 0; s[t].n1 = NIL; s[t].n2 = NIL;
    s[t].succ = t; s[t].e1 = 0; s[t].dropped = NIL; s[t].own = 0; s[t].passed = 0; s[t].logdoubt = 0; s[t].near = 0; s[t].known = 0;
    s[t].drawn = 0; s[t].top = INF;
    close_change(t)
}

inline out(t)
{
    printf("%d was taken over\n", t);
    s[t].in = 0; s[t].ep = 0; s[t].lo = NIL; s[t].left = NIL; s[t].lease = 0; s[t].over = 0; s[t].others = 0;
    s[t].n1 = NIL; s[t].n2 = NIL; s[t].succ = t; s[t].e1 = 0; s[t].dropped = NIL; s[t].own = 0; s[t].passed = 0;
    s[t].logdoubt = 0; s[t].near = 0; s[t].known = 0; s[t].drawn = 0; s[t].top = INF;
    close_change(t)
}

#define TAKEN_OVER(me, t) (t < N && me != t && s[me].in && !SERVES(me) && SERVES(t % N) && OPEN(s[t % N].lo, me, t))
#define DOWN(x) \
    if \
    :: x > 0 -> x-- \
    :: else \
    fi

inline tick()
{
    printf("-- time passes\n");
    b_ = 0;
    do
    :: b_ < N ->
        u_ = LEASED(b_);
        DOWN(s[b_].lease);
        DOWN(s[b_].over);
        DOWN(s[b_].others);
        DOWN(s[b_].notb);
        if
        :: u_ && !LEASED(b_) && !ALONE(b_) -> lapse(b_)
        :: else
        fi;
        b_++
    :: else -> break
    od
}

#define RENEW(t) :: d_step { ready && t < N && CAN_RENEW(me, ((t) % N)) -> renew(me, ((t) % N)); check() }
#define FORCE(p) :: d_step { ready && p < N && CAN_FORCE(me, ((p) % N)) -> force(me, ((p) % N)); check() }

proctype node(byte me)
{
end:
    do
    RENEW(0)
    RENEW(1)
    RENEW(2)
    RENEW(3)
    RENEW(4)
    RENEW(5)
    FORCE(0)
    FORCE(1)
    FORCE(2)
    FORCE(3)
    FORCE(4)
    FORCE(5)
    :: d_step { ready && CAN_RECLAIM(me) -> reclaim(me, 0); check() }
    :: d_step { ready && CAN_RECLAIM(me) && CAN_DRAW(me) -> reclaim(me, 1); check() }
    :: d_step { ready && CAN_TAKE(me) -> take(me); check() }
    :: d_step { ready && s[me].in && !ALONE(me) && !LEASED(me) && OVER(me) && CAN_DRAW(me) -> alone(me); check() }
    :: d_step { ready && s[me].in && !ALONE(me) && !LEASED(me) && CAN_DRAW(me) ->
           printf("%d gives itself a lease\n", me);
           s[me].ep++; s[me].lease = T + O; s[me].dropped = NIL; s[me].own = 0; check() }
    :: d_step { ready && (TAKEN_OVER(me, 0) || TAKEN_OVER(me, 1) || TAKEN_OVER(me, 2) || TAKEN_OVER(me, 3) ||
           TAKEN_OVER(me, 4) || TAKEN_OVER(me, 5)) -> out(me); check() }
    od
}

active proctype world()
{
end:
    do
    :: d_step { ready && units -> units--; tick(); check() }
    od
}

init
{
    byte i;
    atomic {
        i = 0;
        do
        :: i < N ->
            s[i].in = 1; s[i].lo = (i + N - 1) % N; s[i].left = s[i].lo; s[i].succ = (i + 1) % N;
            s[i].n1 = (i + N - 2) % N; s[i].n2 = (i + N - 3) % N; s[i].lease = T + O; s[i].over = T + O; s[i].g1 = NIL;
            s[i].top = INF; s[i].dropped = NIL; s[i].own = 1; s[i].passed = 1; s[i].known = 1;
            run node(i);
            i++
        :: else -> break
        od;
        i = 0; ready = 1
    }
}

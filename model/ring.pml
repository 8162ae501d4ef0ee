/* The ring of ring-protocol.md, checked by exhaustive search. The names in comments (R-JOIN-2 ...) are that text's.
 *
 * The idea: N places on a small ring, a process for each; one step of a process is one event of a node (a message, a
 * time-out, a fault), taken whole. Time is not a number: a lease "may run out" whenever nothing obliges it to last, and
 * its granter may act on that only afterwards (why the rules of time give this order: ring-protocol.md). After every
 * step I1, I2, I3 and I5 are asserted; when nothing more can happen, I4.
 *
 * Compile-time choices:
 *   INIT, JOIN   bit masks of the first members and of the nodes that may join     (places 0..N-1)
 *   CRASHES, LEAVES, BREAKS, PAUSES   how many of each may happen (a break loses what is on one link, both ways; a
 *                pause is a lease that runs out though nothing is wrong, or a grant that arrives too late)
 *   NOLOG        the ring without intents and acks: must fail
 *   CHORD        the rules as Chord was published (SIGCOMM 2001, PODC 2002), on the same ring under the same faults and
 *                judged by the same invariants: must fail. With NOI1 only what is left when all is quiet is judged
 *   M_...        one planted mistake each: must fail
 */
#ifndef N
#define N 5
#endif
#ifndef INIT
#define INIT 21
#endif
#ifndef JOIN
#define JOIN 10
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
#ifndef BREAKS
#define BREAKS 1
#endif
#ifndef PAUSES
#define PAUSES 0
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef QLEN
#define QLEN 6
#endif

/* node states */
#define OUT 0
#define JOINING 1
#define IN 2
#define LEAVING 3
#define GONE 4
#define DEAD 5
/* a node's open change */
#define NONE 0
#define ASKED 1                         /* JOIN x, logged but not granted */
#define GRANTED 2                       /* JOIN x, granted, not confirmed */
#define EXTEND 3                        /* to ix, after a leave or a crash */
/* intents in a record */
#define RNONE 0
#define RJOIN 1
#define REXT 2
/* messages */
#define GRANT 1
#define LOG 2
#define LOG_ACK 3
#define NEW_SUCC 4
#define LEAVE 5
#define LEAVE_ACK 6
#define STATUS_ACK 7

/* a record is one number: lo, intent, what it is about, nonce */
#define REC(l, k, x, n) ((l) | ((k) << 3) | ((x) << 5) | ((n) << 8))
#define R_LO(r) ((r) & 7)
#define R_KIND(r) (((r) >> 3) & 3)
#define R_X(r) (((r) >> 5) & 7)
#define R_NONCE(r) (((r) >> 8) & 1)

typedef node_state {
    byte st;
    byte lo;
    byte succ;
    byte ik, ix;                        /* open change, and the node it is about */
    bit in;                             /* ... its nonce */
    bit iw;                             /* ... EXTEND because of a leave */
    bit serve;                          /* has a lease */
    bit dirty;                          /* the own record is not acked by the current successor */
    bit fresh;                          /* joined, its first log not yet acked (R-JOIN-7) */
    bit lp;                             /* the record of the left neighbour is there */
    short lg;                           /* ... this one */
    bit np;                             /* the log to have after the take-over, or after a grant that failed */
    short nl;
    byte tries;                         /* attempts to join; the nonce */
#ifdef CHORD
    byte next;                          /* the second of the successor list */
#endif
}
node_state s[N];
byte crashes = CRASHES, leaves = LEAVES, breaks = BREAKS, pauses = PAUSES;
#ifdef KNOWN
bit known[N];                           /* knows of the crash, and will not notice it again */
#endif
hidden byte i_, j_, k_, h_;
hidden short r_, d_;
hidden byte y_;
hidden byte ok_;
bool ready;

chan ch[N * N] = [QLEN] of { byte, short };
#define C(a, b) ch[(a) * N + (b)]

#define D(a, x) (((x) + N - (a)) % N)
#define OPEN(a, x, b) ((x) != (a) && (x) != (b) && ((a) == (b) || D(a, x) < D(a, b)))     /* x in (a, b) */
#define OWNS(n, x) (s[n].lo == (n) || (D(s[n].lo, x) > 0 && D(s[n].lo, x) <= D(s[n].lo, n)))
#define MEMBER(n) (s[n].st == IN || s[n].st == LEAVING)
#define SERVES(n) (s[n].st == IN && s[n].serve)
#define NONCE(n) (s[n].tries & 1)

/* t is the right neighbour of n, by its bound or by the take-over that it has decided on (R-RIGHT): it grants n's lease */
#define RIGHT(t, n) \
    (t != n && s[t].st == IN && ((s[t].lo == n && s[t].ik != EXTEND) || \
                                 (s[t].ik == EXTEND && s[t].ix == n)))
/* ... and its logs are accepted there (R-LOG-2); not while a leaver still has a copy that would then be too old */
#define ACCEPTS(t, n) (RIGHT(t, n) && s[t].serve && CONFIRMED(t) && !LEAVER(t))
#ifdef M_LEAVECOPY
#define LEAVER(t) 0
#else
#define LEAVER(t) (s[t].ik == EXTEND && s[t].iw)
#endif
#define BOUND(r) (R_KIND(r) == REXT -> R_X(r) : R_LO(r))

/* where a planted mistake bites */
#ifdef M_NORESEND
#define RESENDS(me) (s[me].ik == NONE)
#else
#define RESENDS(me) 1
#endif
#ifdef M_ACK
#define FROM_CURRENT(me, j) 1
#else
#define FROM_CURRENT(me, j) ((j) == s[me].succ)
#endif
#ifdef M_FRESH
#define CONFIRMED(me) 1
#else
#define CONFIRMED(me) (!s[me].fresh)
#endif
#ifdef M_NOABORT
#define GIVES_UP 0
#else
#define GIVES_UP 1
#endif
#ifdef M_NOQUERY
#define KNOWS(r) 1
#else
#define KNOWS(r) (R_KIND(r) != RJOIN)
#endif
#ifdef KNOWN
#define KNOWN_DEAD(me, j) (known[me] && s[j].st == DEAD)
#else
#define KNOWN_DEAD(me, j) 0
#endif
#if defined(M_HINT)
#define OLD_NEWS(me, j) 0
#else
#define OLD_NEWS(me, j) KNOWN_DEAD(me, j)
#endif
#ifdef HINTS
#define SEND_HINT(a, b, y) SEND(a, b, NEW_SUCC, y)
#else
#define SEND_HINT(a, b, y)
#endif

#define SEND(a, b, t, d) \
    if \
    :: s[b].st == DEAD || s[b].st == GONE -> skip \
    :: else -> assert(len(C(a, b)) < QLEN); C(a, b)!t, d \
    fi

/* the own record, into r_; while a grant is not confirmed it still shows the old bound (R-JOIN-4) */
inline own_record(me)
{
    if
    :: s[me].ik == ASKED -> r_ = REC(s[me].lo, RJOIN, s[me].ix, s[me].in)
    :: s[me].ik == GRANTED -> r_ = REC(R_LO(s[me].lg), RJOIN, s[me].ix, s[me].in)
    :: s[me].ik == EXTEND -> r_ = REC(s[me].lo, REXT, s[me].ix, 0)
    :: else -> r_ = REC(s[me].lo, RNONE, 0, 0)
    fi;
#if defined(NOLOG)
    r_ = REC(s[me].lo, RNONE, 0, 0);
#elif defined(M_REFRESH)
    if
    :: s[me].ik == GRANTED -> r_ = REC(R_LO(s[me].lg), RNONE, 0, 0)
    :: else
    fi
#endif
}

inline send_log(me)                     /* R-LOG-1 */
{
    if
    :: s[me].succ != me ->
        own_record(me);
        if
        :: C(me, s[me].succ)??[LOG, eval(r_)]
        :: else -> SEND(me, s[me].succ, LOG, r_)
        fi
    :: else -> s[me].dirty = 0
    fi
}

inline set_succ(me, x)                  /* R-LOG-5 */
{
    if
    :: s[me].succ != (x) ->
        s[me].succ = x; s[me].fresh = 0;
        if
        :: s[me].st == IN && RESENDS(me) -> s[me].dirty = 1
        :: else
        fi
    :: else
    fi
}

inline next_succ(me)                    /* the next of the list: here the next member, clockwise */
{
    h_ = (s[me].succ + 1) % N;
    do
    :: h_ != me && s[h_].st != IN -> h_ = (h_ + 1) % N
    :: else -> break
    od;
    set_succ(me, h_)
}

inline clear(me, state)
{
    s[me].st = state; s[me].lo = 0; s[me].succ = 0; s[me].ik = 0; s[me].ix = 0; s[me].in = 0; s[me].iw = 0;
    s[me].serve = 0; s[me].dirty = 0; s[me].fresh = 0; s[me].lp = 0; s[me].lg = 0; s[me].np = 0; s[me].nl = 0
}

inline flush(a, b)
{
    do
    :: len(C(a, b)) > 0 -> C(a, b)?_, _
    :: else -> break
    od
}

/* R-TERM: me becomes the right neighbour of x in a new term; what x logged here in an older one will be refused */
inline new_term(me, x)
{
#ifndef M_TERM
    do
    :: C(x, me)??[LOG, _] -> C(x, me)??LOG, _
    :: else -> break
    od
#else
    skip
#endif
}

inline send_grant(me)
{
    SEND(me, s[me].ix, GRANT, s[me].in | (R_LO(s[me].lg) << 1) | (s[me].np << 4) | (s[me].nl << 5))
}

inline grant(me)                        /* R-JOIN-2 */
{
    printf("%d grants %d\n", me, s[me].ix); if
    :: s[me].lo == me -> s[me].np = 1; s[me].nl = REC(s[me].ix, RNONE, 0, 0); s[me].succ = s[me].ix
    :: else -> s[me].np = s[me].lp; s[me].nl = s[me].lg
    fi;
    s[me].lg = REC(s[me].lo, RNONE, 0, 0);
    s[me].lp = 1;
    s[me].lo = s[me].ix;
    s[me].ik = GRANTED;
    new_term(me, s[me].ix);
    send_grant(me);
#ifdef M_EARLYCOMMIT
    s[me].ik = NONE; s[me].dirty = 1; send_log(me)
#endif
}

inline take(me)                         /* R-TAKE */
{
    printf("%d takes over down to %d\n", me, s[me].ix); y_ = s[me].lo;
    s[me].lo = s[me].ix;
#ifdef M_TAKEOVER
    s[me].np = 0; s[me].nl = 0;
#endif
    s[me].lp = s[me].np; s[me].lg = s[me].nl; s[me].np = 0; s[me].nl = 0;
    s[me].ik = NONE; s[me].ix = 0;
    if
    :: s[me].iw -> s[me].iw = 0; SEND(me, y_, LEAVE_ACK, 0)
    :: else
    fi;
    if
    :: s[me].lo == me -> s[me].serve = 1; s[me].dirty = 0; s[me].succ = me; s[me].lp = 0; s[me].lg = 0
    :: else -> s[me].dirty = 1; send_log(me); SEND_HINT(me, s[me].lo, y_)
    fi
}

inline extend(me, b)                    /* open EXTEND b; np, nl, iw are set */
{
    s[me].ik = EXTEND; s[me].ix = b; s[me].in = 0;
    if
    :: s[me].ix == me -> take(me)       /* R-LOG-7 */
    :: else ->
        new_term(me, s[me].ix);
        s[me].dirty = 1; send_log(me)
#ifdef NOLOG
        ; take(me)
#endif
    fi
}

inline on_join_req(owner, joiner, n)            /* R-JOIN-1 */
{
    if
    :: s[owner].st == IN && s[owner].ik == GRANTED && s[owner].ix == joiner && s[owner].in == n ->
        if
        :: C(owner, joiner)??[GRANT, _]
        :: else -> send_grant(owner)
        fi
    :: SERVES(owner) && s[owner].ik == NONE && OPEN(s[owner].lo, joiner, owner) && !s[owner].fresh ->
        s[owner].ik = ASKED; s[owner].ix = joiner; s[owner].in = n;
        if
        :: s[owner].lo == owner -> grant(owner)
        :: else ->
            s[owner].dirty = 1;
#ifdef NOLOG
            grant(owner)
#else
            send_log(owner)
#endif
        fi
    :: else
    fi
}

inline on_grant(me, j, d)               /* R-JOIN-3; d: nonce, old bound, log */
{
    if
    :: s[me].st == JOINING && NONCE(me) == (d & 1) ->
        s[me].st = IN; s[me].serve = 1; s[me].succ = j; s[me].lo = (d >> 1) & 7;
        s[me].lp = (d >> 4) & 1; s[me].lg = d >> 5;
        s[me].fresh = 1; s[me].dirty = 1;
        new_term(me, s[me].lo);
        send_log(me);
        if
        :: s[me].lo != j -> skip; SEND_HINT(me, s[me].lo, N)
        :: else
        fi
    :: else
    fi
}

inline on_log(me, j, r)                 /* R-LOG-2, R-LOG-3, R-JOIN-4 */
{
    if
    :: ACCEPTS(me, j) ->
        SEND(me, j, LOG_ACK, r);
        if
        :: s[me].ik == EXTEND -> s[me].nl = r; s[me].np = 1
        :: else -> s[me].lg = r; s[me].lp = 1
        fi;
        if
        :: s[me].ik == GRANTED && s[me].ix == j ->
            s[me].ik = NONE; s[me].ix = 0; s[me].in = 0; s[me].np = 0; s[me].nl = 0;
            s[me].dirty = 1; send_log(me)
        :: else
        fi
    :: else
    fi
}

inline on_log_ack(me, j, r)             /* R-LOG-4; without a lease it is dropped and the log sent again */
{
    s[me].fresh = 0;
    own_record(me);
    if
    :: s[me].st == IN && s[me].dirty && r == r_ && FROM_CURRENT(me, j) && (s[me].serve || s[me].ik == NONE || s[me].ik == GRANTED) ->
        s[me].dirty = 0;
#ifndef NOLOG
        if
        :: s[me].ik == ASKED -> grant(me)
        :: s[me].ik == EXTEND -> take(me)
        :: else
        fi
#endif
    :: else
    fi
}

inline on_new_succ(me, j, y)            /* R-SUCC-1 */
{
    if
    :: MEMBER(me) && (OPEN(me, j, s[me].succ) || y == s[me].succ || s[me].succ == me) && !OLD_NEWS(me, j) ->
        set_succ(me, j)
    :: else
    fi
}

inline on_leave(me, j, d)               /* R-LEAVE-2; d: lo, log */
{
    if
    :: s[me].st == IN && s[me].lo == j && (s[me].ik <= ASKED || (s[me].ik == GRANTED && s[me].ix == j)) ->
        s[me].np = (d >> 3) & 1; s[me].nl = d >> 4; s[me].iw = 1;
        extend(me, d & 7)
    :: s[me].st == IN && s[me].ik == EXTEND && s[me].ix == j ->         /* R-WIDEN */
        s[me].np = (d >> 3) & 1; s[me].nl = d >> 4; s[me].iw = 1;
        extend(me, d & 7)
    :: s[me].st == IN && OPEN(s[me].lo, j, me) && !C(me, j)??[LEAVE_ACK, _] -> SEND(me, j, LEAVE_ACK, 0)
    :: else
    fi
}

inline on_status(joiner, asker, n)              /* R-CRASH-3, the joiner's side */
{
    if
    :: MEMBER(joiner) && NONCE(joiner) == n ->
        s[joiner].fresh = 0;
        own_record(joiner);
        SEND(joiner, asker, STATUS_ACK, 1 | (n << 1) | (r_ << 2))
    :: else ->
        if
        :: s[joiner].st == JOINING && NONCE(joiner) == n && GIVES_UP -> s[joiner].st = OUT; s[joiner].tries++
        :: else
        fi;
        SEND(joiner, asker, STATUS_ACK, n << 1)
    fi
}

/* the joiner of the record r is out: nothing is open any more */
#define OPEN_JOIN(r, x, n) (R_KIND(r) == RJOIN && R_X(r) == (x) && R_NONCE(r) == (n))

/* R-WIDEN: the next one beyond an open take-over is dead, too, and what it owned is known */
#define CAN_WIDEN(me) (s[me].st == IN && s[me].ik == EXTEND && s[me].np && s[s[me].ix].st == DEAD)

inline on_status_ack(me, j, d)          /* R-CRASH-3; d: in, nonce, record */
{
    if
    :: s[me].st == IN && !(d & 1) ->
        if
        :: s[me].lp && OPEN_JOIN(s[me].lg, j, (d >> 1) & 1) -> s[me].lg = R_LO(s[me].lg)
        :: else
        fi;
        if
        :: s[me].np && OPEN_JOIN(s[me].nl, j, (d >> 1) & 1) -> s[me].nl = R_LO(s[me].nl)
        :: else
        fi
    :: s[me].st == IN && (d & 1) && s[me].ik <= ASKED && s[me].lp && OPEN_JOIN(s[me].lg, j, (d >> 1) & 1) &&
       !s[s[me].lo].serve ->
        s[me].np = 1; s[me].nl = d >> 2; extend(me, j)
    :: s[me].st == IN && (d & 1) && CAN_WIDEN(me) && OPEN_JOIN(s[me].nl, j, (d >> 1) & 1) ->
        s[me].nl = d >> 2; extend(me, j)
    :: else
    fi
}

inline receive(me, j)
{
    C(j, me)?k_, d_;
    printf("%d gets %d (%d) from %d\n", me, k_, d_, j);
    if
    :: k_ == GRANT -> on_grant(me, j, d_)
    :: k_ == LOG -> on_log(me, j, d_)
    :: k_ == LOG_ACK -> on_log_ack(me, j, d_)
    :: k_ == NEW_SUCC -> on_new_succ(me, j, d_)
    :: k_ == LEAVE -> on_leave(me, j, d_)
    :: k_ == LEAVE_ACK && s[me].st == LEAVING -> clear(me, GONE)
    :: k_ == STATUS_ACK -> on_status_ack(me, j, d_)
    :: else
    fi;
    k_ = 0; d_ = 0
}

/* --- steps that no message starts; the guards say when they are of use --- */

/* q asks the owner of its place: j */
#define CAN_ASK(q, j) \
    (q != j && s[q].tries < TRIES && !C(j, q)??[GRANT, _] && \
     ((SERVES(j) && CONFIRMED(j) && s[j].ik == NONE && OPEN(s[j].lo, q, j)) || \
      (s[j].st == IN && s[j].ik == GRANTED && s[j].ix == q && s[j].in == NONCE(q))))

#define QUIET(a, b) (len(C(a, b)) == 0 && len(C(b, a)) == 0)

#define NO_GRANTER(n) \
    (!RIGHT(0, n) && !RIGHT(1, n) && !RIGHT(2, n) && !(N > 3 && RIGHT((3 % N), n)) && \
     !(N > 4 && RIGHT((4 % N), n)) && !(N > 5 && RIGHT((5 % N), n)))

/* me looks at its successor t: a lease request and its answer, in one step */
#define SUCC(me) s[me].succ
#define REFUSED(me) (!(s[me].ik == GRANTED && s[me].ix == SUCC(me)) && \
     (s[SUCC(me)].st == OUT || s[SUCC(me)].st == JOINING || s[SUCC(me)].st == GONE))
#define CRASHED(me) (s[SUCC(me)].st == DEAD)
#define RENEWS(me) (s[me].st == IN && !s[me].serve && RIGHT(SUCC(me), me))
#define HINT(t) (s[t].ik == EXTEND -> s[t].ix : s[t].lo)
#define HINTED(me) (s[SUCC(me)].st == IN && OPEN(me, HINT(SUCC(me)), SUCC(me)) && s[HINT(SUCC(me))].st == IN)
#define LEFT(me) (s[SUCC(me)].st == LEAVING && s[SUCC(me)].succ != me)
#define LEFT_ME(me) (s[SUCC(me)].st == LEAVING && s[SUCC(me)].succ == me)
/* nobody was left, and there is somebody again */
#define FORLORN(me) (s[me].succ == me && s[me].lo != me && \
    (s[(me + 1) % N].st == IN || s[(me + 2) % N].st == IN || s[(me + N - 1) % N].st == IN || \
     s[(me + N - 2) % N].st == IN || s[(me + 3) % N].st == IN))
#define RECLAIMED(me) (SERVES(SUCC(me)) && OPEN(s[SUCC(me)].lo, me, SUCC(me)))

inline look(me)
{
    printf("%d looks at its successor %d\n", me, SUCC(me)); if
    :: FORLORN(me) || REFUSED(me) || CRASHED(me) || LEFT_ME(me) ->
#ifdef KNOWN
        known[me] = known[me] || CRASHED(me);
#endif
        next_succ(me)
    :: else ->
        if
        :: RENEWS(me) -> s[me].serve = 1
        :: HINTED(me) -> h_ = HINT(SUCC(me)); set_succ(me, h_)
        :: LEFT(me) -> set_succ(me, s[SUCC(me)].succ)
        :: RECLAIMED(me) ->
            if
            :: s[me].st == LEAVING -> clear(me, GONE)
            :: else -> clear(me, OUT); s[me].tries++
            fi
        :: else
        fi
    fi
}

/* the left neighbour's lease has run out: R-CRASH-1 .. 3, R-JOIN-5 */
#define LATE_GRANT(me) \
    (s[me].ik == GRANTED && s[me].ix == s[me].lo && (s[s[me].lo].st == JOINING || s[s[me].lo].st == OUT))
#define CAN_RECLAIM(me) \
    (s[me].st == IN && s[me].lo != me && s[me].lp && \
     ((s[me].ik <= ASKED && KNOWS(s[me].lg)) || (s[me].ik == GRANTED && s[me].ix == s[me].lo)) && !s[s[me].lo].serve)

inline reclaim(me)
{
    printf("%d starts to reclaim from %d\n", me, s[me].lo); if
    :: s[me].ik == GRANTED -> s[me].iw = 0; flush(me, s[me].ix); extend(me, R_LO(s[me].lg))
    :: else ->
        s[me].np = 0; s[me].nl = 0; r_ = BOUND(s[me].lg); extend(me, r_)
    fi
}

/* --- invariants --- */

/* what a live right neighbour t may reclaim of the dead d, if it had this record: is x in it? */
#define RB(r) (R_KIND(r) == REXT -> R_X(r) : \
               (R_KIND(r) == RJOIN && MEMBER(R_X(r)) && R_NONCE(r) == NONCE(R_X(r)) -> R_X(r) : R_LO(r)))
#define WITHIN(a, x, b) ((a) == (b) || (D(a, x) > 0 && D(a, x) <= D(a, b)))      /* x in (a, b] */

inline check()
{
    i_ = 0;
    do
    :: i_ < N ->
        ok_ = 0;
        j_ = 0; h_ = 0;
        do
        :: j_ < N ->
            if
            :: MEMBER(j_) ->
                h_ = h_ + ACCEPTS(j_, i_);
                if
                :: OWNS(j_, i_) -> ok_ = 1; assert(!(i_ != j_ && SERVES(i_) && SERVES(j_)))                /* I1 */
                :: else ->
                    if
                    :: s[j_].ik == GRANTED && WITHIN(R_LO(s[j_].lg), i_, s[j_].lo) -> ok_ = 1
                    :: s[j_].ik == GRANTED && s[R_LO(s[j_].lg)].st == DEAD && s[j_].np &&
                       WITHIN(RB(s[j_].nl), i_, R_LO(s[j_].lg)) -> ok_ = 1
                    :: s[j_].ik == EXTEND && WITHIN(s[j_].ix, i_, s[j_].lo) -> ok_ = 1
                    :: s[s[j_].lo].st == DEAD && s[j_].lp && WITHIN(RB(s[j_].lg), i_, s[j_].lo) -> ok_ = 1
                    :: s[j_].ik == EXTEND && s[s[j_].ix].st == DEAD && s[j_].np &&
                       WITHIN(RB(s[j_].nl), i_, s[j_].ix) -> ok_ = 1
                    :: else
                    fi
                fi;
                if
                :: SERVES(j_) && s[j_].lo == i_ && j_ != i_ && s[j_].lp && SERVES(i_) && R_KIND(s[j_].lg) != RJOIN ->
                    assert(s[i_].lo == R_LO(s[j_].lg) || WITHIN(s[i_].lo, R_LO(s[j_].lg), i_))             /* I2 */
                :: else
                fi
            :: else
            fi;
            j_++
        :: else -> break
        od;
#ifndef NOI3
        assert(ok_);                                                                                         /* I3 */
#endif
        assert(h_ <= 1);                                                                                     /* I5 */
        i_++
    :: else -> break
    od;
    i_ = 0; j_ = 0; h_ = 0; r_ = 0; ok_ = 0; y_ = 0
}

inline check_quiet()                                                                                         /* I4 */
{
    i_ = 0;
    do
    :: i_ < N ->
        if
        :: s[i_].st == OUT || s[i_].st == JOINING || s[i_].st == GONE || s[i_].st == DEAD
        :: else ->
            assert(s[i_].st == IN && s[i_].serve && s[i_].ik == NONE && !s[i_].dirty && !s[i_].fresh);
            h_ = (i_ + 1) % N;
            do
            :: s[h_].st != IN -> h_ = (h_ + 1) % N
            :: else -> break
            od;
            assert(s[i_].succ == h_ && s[h_].lo == i_);
            assert(h_ == i_ || (s[h_].lp && s[h_].lg == REC(s[i_].lo, RNONE, 0, 0)))
        fi;
        i_++
    :: else -> break
    od;
    i_ = 0; h_ = 0
}

#define RECEIVE(j) :: d_step { ready && j < N && len(C(((j) % N), me)) > 0 -> receive(me, ((j) % N)); check() }
#define ASK(j) :: d_step { ready && j < N && (s[me].st == OUT || s[me].st == JOINING) && ((JOIN >> me) & 1) && \
        CAN_ASK(me, ((j) % N)) -> s[me].st = JOINING; on_join_req(((j) % N), me, NONCE(me)); \
        printf("%d asks %d\n", me, ((j) % N)); check() }
#define BREAK(j) :: d_step { ready && j < N && me < j && !QUIET(me, ((j) % N)) && \
        (breaks || s[me].st == DEAD || s[((j) % N)].st == DEAD) -> \
        if \
        :: s[me].st == DEAD || s[((j) % N)].st == DEAD \
        :: else -> breaks-- \
        fi; \
        flush(me, ((j) % N)); flush(((j) % N), me); \
        printf("link %d %d breaks\n", me, ((j) % N)); check() }

#ifdef CHORD
/* --- Chord as it was published: `lo` is the predecessor, and without one (nil) a node does not serve; every exchange is one
 * step, and no message is lost. A list of two successors; nobody dies who would leave another without a live one. --- */

#define LIVES(x) (s[x].st == IN)
#define KEEPS(i, d) ((i) >= N || !LIVES((i) % N) || (i) == (d) || \
    (s[(i) % N].succ != (d) && LIVES(s[(i) % N].succ)) || (s[(i) % N].next != (d) && LIVES(s[(i) % N].next)))
#define MAY_DIE(d) (KEEPS(0, d) && KEEPS(1, d) && KEEPS(2, d) && KEEPS(3, d) && KEEPS(4, d) && KEEPS(5, d))

inline check_owners()
{
#ifndef NOI1
    i_ = 0;
    do
    :: i_ < N ->
        j_ = 0;
        do
        :: j_ < N -> assert(!(i_ != j_ && SERVES(i_) && SERVES(j_) && OWNS(j_, i_))); j_++                 /* I1 */
        :: else -> break
        od;
        i_++
    :: else -> break
    od;
    i_ = 0; j_ = 0
#else
    skip
#endif
}

inline check_chord_quiet()                                                                                   /* I4 */
{
    i_ = 0;
    do
    :: i_ < N ->
        if
        :: LIVES(i_) ->
            h_ = (i_ + 1) % N;
            do
            :: !LIVES(h_) -> h_ = (h_ + 1) % N
            :: else -> break
            od;
            if
            :: s[i_].succ != h_ || !s[h_].serve || s[h_].lo != i_ ->
                printf("at rest, but %d has successor %d and not %d, whose predecessor is %d (known: %d)\n",
                       i_, s[i_].succ, h_, s[h_].lo, s[h_].serve)
            :: else
            fi;
            assert(s[i_].succ == h_ && s[h_].serve && s[h_].lo == i_)
        :: else
        fi;
        i_++
    :: else -> break
    od
}

#define CHORD_JOIN(j) :: d_step { ready && j < N && s[me].st == OUT && ((JOIN >> me) & 1) && LIVES(j % N) && \
        OPEN(j, me, s[j % N].succ) -> \
        s[me].st = IN; s[me].lo = me; s[me].succ = s[j % N].succ; s[me].next = s[j % N].next; \
        printf("%d joins through %d: successors %d, %d\n", me, j, s[me].succ, s[me].next); check_owners() }

proctype chord_node(byte me)
{
end:
    do
    CHORD_JOIN(0)
    CHORD_JOIN(1)
    CHORD_JOIN(2)
    CHORD_JOIN(3)
    CHORD_JOIN(4)
    CHORD_JOIN(5)
    /* stabilize: whom the successor takes for its predecessor; alive or not */
    :: d_step { ready && LIVES(me) && LIVES(s[me].succ) && s[s[me].succ].serve && OPEN(me, s[s[me].succ].lo, s[me].succ) ->
           s[me].next = s[me].succ; s[me].succ = s[s[me].succ].lo;
           printf("%d stabilizes: successors %d, %d\n", me, s[me].succ, s[me].next); check_owners() }
    :: d_step { ready && LIVES(me) && LIVES(s[me].succ) && s[me].next != s[s[me].succ].succ ->
           s[me].next = s[s[me].succ].succ; printf("%d gets its list anew: %d, %d\n", me, s[me].succ, s[me].next);
           check_owners() }
    /* notify */
    :: d_step { ready && LIVES(me) && LIVES(s[me].succ) && s[me].succ != me &&
           (!s[s[me].succ].serve || OPEN(s[s[me].succ].lo, me, s[me].succ)) ->
           s[s[me].succ].lo = me; s[s[me].succ].serve = 1; printf("%d becomes the predecessor of %d\n", me, s[me].succ);
           check_owners() }
    /* check_predecessor */
    :: d_step { ready && LIVES(me) && s[me].serve && s[s[me].lo].st == DEAD ->
           s[me].serve = 0; s[me].lo = me; printf("%d has no predecessor\n", me); check_owners() }
    /* the successor does not answer: the next of the list */
    :: d_step { ready && LIVES(me) && s[s[me].succ].st == DEAD && s[me].next != s[me].succ ->
           s[me].succ = s[me].next; printf("%d drops a dead successor for %d\n", me, s[me].succ); check_owners() }
    :: d_step { ready && crashes && LIVES(me) && MAY_DIE(me) ->
           crashes--; clear(me, DEAD); s[me].next = 0; printf("%d dies\n", me); check_owners() }
    od
}

#else
proctype node(byte me)
{
end:
    do
    RECEIVE(0)
    RECEIVE(1)
    RECEIVE(2)
    RECEIVE(3)
    RECEIVE(4)
    RECEIVE(5)
    ASK(0)
    ASK(1)
    ASK(2)
    ASK(3)
    ASK(4)
    ASK(5)
    BREAK(1)
    BREAK(2)
    BREAK(3)
    BREAK(4)
    BREAK(5)
    /* R-RESEND */
    :: d_step { ready && s[me].st == IN && s[me].dirty && ACCEPTS(SUCC(me), me) && !C(me, SUCC(me))??[LOG, _] && !C(SUCC(me), me)??[LOG_ACK, _] &&
           (s[me].serve || s[me].ik == NONE || s[me].ik == GRANTED) && RESENDS(me) -> send_log(me); check() }
    :: d_step { ready && s[me].st == LEAVING && s[SUCC(me)].st == IN && QUIET(me, SUCC(me)) &&
           ((s[SUCC(me)].lo == me && s[SUCC(me)].ik != EXTEND) ||
            (s[SUCC(me)].ik == EXTEND && s[SUCC(me)].ix == me) || OPEN(s[SUCC(me)].lo, me, SUCC(me))) ->
           SEND(me, SUCC(me), LEAVE, s[me].lo | (s[me].lp << 3) | (s[me].lg << 4)); check() }
    /* R-CRASH-3: the joiner of a dead neighbour's open intent; and that of a dead one beyond a leaver */
    :: d_step { ready && s[me].st == IN && s[me].lo != me && s[me].lp && R_KIND(s[me].lg) == RJOIN && s[me].ik <= ASKED &&
           s[s[me].lo].st == DEAD && !C(R_X(s[me].lg), me)??[STATUS_ACK, _] ->
           y_ = R_X(s[me].lg); d_ = R_NONCE(s[me].lg); on_status(y_, me, d_); check() }
    :: d_step { ready && s[me].st == IN && s[me].ik == EXTEND && s[me].np && R_KIND(s[me].nl) == RJOIN &&
           s[s[me].ix].st == DEAD && !C(R_X(s[me].nl), me)??[STATUS_ACK, _] ->
           y_ = R_X(s[me].nl); d_ = R_NONCE(s[me].nl); on_status(y_, me, d_); check() }
    /* R-LOG-8: the successor lost the log (it came back into this place) */
    :: d_step { ready && s[me].st == IN && !s[me].dirty && ACCEPTS(SUCC(me), me) &&
           ((s[SUCC(me)].ik == EXTEND && !s[SUCC(me)].np) || (s[SUCC(me)].ik != EXTEND && !s[SUCC(me)].lp)) &&
           RESENDS(me) -> s[me].dirty = 1; check() }
    /* successors and leases */
    :: d_step { ready && MEMBER(me) && (s[me].succ != me || FORLORN(me)) &&
           (FORLORN(me) || LEFT_ME(me) || REFUSED(me) || (CRASHED(me) && !KNOWN_DEAD(me, SUCC(me))) || RENEWS(me) || HINTED(me) || LEFT(me) || RECLAIMED(me)) -> look(me); check() }
    :: d_step { ready && SERVES(me) && s[me].lo != me && (pauses || NO_GRANTER(me)) ->
           s[me].serve = 0; printf("%d has no lease\n", me); check() }
    :: d_step { ready && CAN_RECLAIM(me) && s[s[me].lo].st == DEAD -> reclaim(me); check() }
    :: d_step { ready && CAN_WIDEN(me) && KNOWS(s[me].nl) ->
           s[me].np = 0; r_ = BOUND(s[me].nl); s[me].nl = 0; extend(me, r_); check() }
    :: d_step { ready && CAN_RECLAIM(me) && LATE_GRANT(me) && (pauses || !C(me, s[me].lo)??[GRANT, _]) ->
           if
           :: C(me, s[me].lo)??[GRANT, _] -> pauses--
           :: else
           fi;
           reclaim(me); check() }
#if PAUSES > 0
    :: d_step { ready && CAN_RECLAIM(me) && pauses && s[s[me].lo].st == IN -> pauses--; reclaim(me); check() }
#endif
#if LEAVES > 0
    :: d_step { ready && leaves && s[me].st == IN && s[me].ik == NONE && !s[me].fresh && s[me].succ != me ->
           leaves--; printf("%d leaves\n", me); s[me].st = LEAVING; s[me].serve = 0; s[me].dirty = 0;
           SEND(me, SUCC(me), LEAVE, s[me].lo | (s[me].lp << 3) | (s[me].lg << 4)); check() }
#ifdef M_RESUME
    :: d_step { ready && s[me].st == LEAVING && s[SUCC(me)].st == DEAD -> s[me].st = IN; s[me].serve = 1;
           s[me].dirty = 1; next_succ(me); check() }
#endif
#endif
#if CRASHES > 0
    :: d_step { ready && crashes && MEMBER(me) ->
           crashes--; clear(me, DEAD); printf("%d dies\n", me);
           flush(0, me); flush(1, me); flush(2, me); flush((3 % N), me); flush((4 % N), me); flush((5 % N), me);
           check() }
#endif
    od
}
#endif

init
{
    byte i, p, f;
    d_step {
        i = 0; p = 255; f = 255;
        do
        :: i < N ->
            if
            :: (INIT >> i) & 1 ->
                s[i].st = IN; s[i].serve = 1; s[i].lp = 1;
                if
                :: p == 255 -> f = i
                :: else -> s[i].lo = p; s[p].succ = i
                fi;
                p = i
            :: else
            fi;
            i++
        :: else -> break
        od;
        s[f].lo = p; s[p].succ = f;
        i = 0;
        do
        :: i < N ->
            if
            :: (INIT >> i) & 1 -> s[i].lg = REC(s[s[i].lo].lo, RNONE, 0, 0);
#ifdef CHORD
                s[i].next = s[s[i].succ].succ
#endif
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0; p = 0; f = 0
    }
    atomic {
        i = 0;
        do
#ifdef CHORD
        :: i < N -> run chord_node(i); i++
#else
        :: i < N -> run node(i); i++
#endif
        :: else -> break
        od;
        i = 0; ready = 1
    }
    if
    :: crashes > 0 -> crashes = 0       /* it need not come to that */
    :: timeout
    fi;
#ifdef CHORD
    timeout -> d_step { check_chord_quiet() }
#else
    timeout -> d_step { check_quiet() }
#endif
}

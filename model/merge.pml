/* Rings that find each other after a partition (src/core/merge.c): who goes over to whom. Each ring is whole in itself, its
 * members judge alike, from the number of members and the leader's name: of nearly equal ones that with the smaller leader
 * stays, else the larger. That is no order: of 4, 5 and 6 members the first loses to the third by size, the third to the
 * second and the second to the first by name. And who has decided goes later, when the sizes may be others.
 *
 * The idea: three rings as numbers of members, all ways to divide M; a step is one member that decides, or one that goes.
 * When nothing more can happen there must be one ring; and it must come to that: no run in which members go to and fro for
 * ever (searched for as a cycle without progress; a ring that is empty is progress).
 *   LATE     how many of each ring may have decided and not gone yet; 0: who goes judges as it goes. With 1 there is a run without
 *            end: the two smallest exchange one member and never meet the third; turns drawn at random end it in practice
 *   M_...    one planted mistake each, must fail */
#ifndef M
#define M 15
#endif
#ifndef LATE
#define LATE 0
#endif

byte n[3];              /* members; the names of the leaders are in this order */
byte p[9];              /* p[3 x + y]: of x, decided to go to y */
byte i_;

#define CLEARLY(a, b) (n[a] * 4 > n[b] * 5)             /* a is the larger one */
#if defined(M_SIZE)     /* by size alone: equal ones never become one */
#define YIELDS(x, y) (n[x] && n[y] && n[y] > n[x])
#elif defined(M_ASKED)  /* who asks yields: they pass each other */
#define YIELDS(x, y) (n[x] && n[y])
#else
#define YIELDS(x, y) (n[x] && n[y] && (CLEARLY(y, x) || (!CLEARLY(x, y) && y < x)))
#endif
#define DECIDED(x) (p[3 * (x)] + p[3 * (x) + 1] + p[3 * (x) + 2])
#define P p[3 * x + y]
#if LATE == 0
#define MAY_GO (!P && YIELDS(x, y))
#define CAME
#else
#define MAY_GO (P && n[y])
#define CAME P--;
#endif
bool ready;

/* members of x that have met members of y; weakly fair: those two meet again and again */
proctype meet(byte x, y)
{
end:
    do
    :: d_step { ready && LATE && YIELDS(x, y) && P < LATE && DECIDED(x) < n[x] -> P++ }
    :: d_step { ready && MAY_GO && n[x] > 1 -> CAME n[x]--; n[y]++; printf("%d %d %d\n", n[0], n[1], n[2]) }
    :: d_step { ready && MAY_GO && n[x] == 1 -> CAME n[x] = 0; n[y]++; printf("%d %d %d: one is no more\n", n[0], n[1], n[2]) };
progress:
        skip
    :: d_step { ready && P && (!n[y] || !n[x]) -> P-- }
    od
}

init
{
    atomic {
        i_ = M;
        do
        :: i_ > 0 -> i_--; if
            :: n[0]++
            :: n[1]++
            :: n[2]++
            fi
        :: else -> break
        od;
        run meet(0, 1); run meet(0, 2); run meet(1, 0); run meet(1, 2); run meet(2, 0); run meet(2, 1);
        ready = 1
    }
    timeout -> assert(n[0] == M || n[1] == M || n[2] == M)
}

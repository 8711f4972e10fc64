/*
 * The pool: reactors with clients, control, servers that die, logins that fail, clients that leave.
 *
 * One step of the model is one atomic operation of the C code (src/base/shelf.c,
 * include/weir/base/demand.h, src/base/mailbox.c and those who call them); everything else a thread
 * does (its FIFO, its counters) is its own and rides along. spin is sequentially consistent, and so
 * are all those atomics. Clients are interchangeable: a reactor has `todo` transactions to begin,
 * `waiting` clients in its FIFO and the servers `in_use`.
 *
 * Proven in every state: a server is in exactly one place (MOVE), never more than SERVERS slots are
 * taken. Proven at the end of every run: nobody waits, nothing is promised or in the mail, every
 * slot is a shelved server. So no wake-up is lost, whatever dies, fails or leaves. Proven as
 * liveness, under weak fairness: no run goes on for ever without a transaction. Fairness among
 * clients is not modelled here.
 *
 * Sizes and what may go wrong are set with -D; each mutant (-DM_...) removes one rule and must be
 * caught: models.sh.
 */
#ifndef REACTORS
#define REACTORS 2
#endif
#ifndef SERVERS
#define SERVERS 1       /* pool_size */
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 1  /* transactions each reactor begins, at any time, together if it likes */
#endif
#ifndef PREOPENED
#define PREOPENED 0     /* servers on shelf 0 at the start */
#endif
#ifndef DEATHS
#define DEATHS 0 /* servers found dead: on a take, at the end of a transaction, by the guard */
#endif
#ifndef FAILURES
#define FAILURES 0      /* logins that fail */
#endif
#ifndef LEAVES
#define LEAVES 0        /* clients that leave, time out or are cancelled while they wait */
#endif
#ifndef CHECKS
#define CHECKS 0        /* times control takes one idle server (guard, check) */
#endif
#ifndef RELOADS
#define RELOADS 0       /* times the generation is raised: all servers of before must go */
#endif

#define NONE         255
#define CONTROL      REACTORS
#define BIT(i)       (1 << (i))
#define CLOSED       0
#define CONNECTING   1
#define HELD(t)      (2 + (t))
#define ON_SHELF(r)  (8 + (r))
#define IN_MAIL(t)   (16 + (t))
#define USED(r)      (24 + (r))
#define MOVE(x, from, to) assert(place[x] == (from)); place[x] = (to)
#define LOWEST(word) ((word) & 1 -> 0 : ((word) & 2 -> 1 : 2))

/* ---- shared: each line is one atomic word */
byte shelf[REACTORS];                            /* idle servers, a bitmap for each reactor */
byte has_idle; /* reactors whose shelf may hold one: set means "look there" */
byte has_waiters; /* reactors with waiting clients; each bit written by its owner alone */
byte unclaimed[REACTORS], promised[REACTORS];    /* together the demand word of a reactor */
byte n_servers;                                  /* slots taken; written by control alone */
bit  asked; /* control has been asked to look and has not begun to */
byte generation;                                 /* written by control alone */
byte born[SERVERS];                              /* the generation a server was opened in */

/* ---- mailboxes */
byte mail_grant[REACTORS];                       /* servers granted to a reactor */
bit  mail_failed[REACTORS];                      /* "the login failed for good" */
byte mail_close;                                 /* to control: dead servers */
bit  mail_ask;                                   /* to control: look for demand */

/* ---- private to their reactor; global only for the last assertions */
byte todo[REACTORS], waiting[REACTORS], in_use[REACTORS];

byte place[SERVERS]; /* where each server is: exists in the proof only */
byte deaths = DEATHS, failures = FAILURES, leaves = LEAVES, checks = CHECKS, reloads = RELOADS;

#define MAY_DIE  if :: d = 0 :: deaths > 0 -> deaths--; d = 1 fi

/* ================================================================ shelves */

/* lowest idle server of shelf r into s: load + CAS until done */
inline shelf_take(r)
{
    atomic {
        if
        :: shelf[r] == 0 -> s = NONE
        :: else ->
           s = LOWEST(shelf[r]); shelf[r] = shelf[r] & ~BIT(s);
           MOVE(s, ON_SHELF(r), HELD(me))
        fi
    }
}

/* fetch_or on the shelf, then the mask, written only if the bit is missing */
inline shelf_give(r)
{
    atomic { MOVE(s, HELD(me), ON_SHELF(r)); shelf[r] = shelf[r] | BIT(s); s = NONE };
    if
    :: has_idle & BIT(r)
    :: else -> atomic { has_idle = has_idle | BIT(r) }
    fi
}

/* own shelf, then those the mask names. Who clears a bit looks once more, and takes what came in
 * between. */
inline take(home)
{
    shelf_take(home);
    if
    :: s != NONE
    :: s == NONE ->
       atomic { m = has_idle & ~BIT(home); i = 0 };
       do
       :: i == REACTORS || s != NONE -> break
       :: i < REACTORS && s == NONE && !(m & BIT(i)) -> i++
       :: i < REACTORS && s == NONE && (m & BIT(i)) ->
          shelf_take(i);
          if
          :: s != NONE
          :: s == NONE ->
             atomic { has_idle = has_idle & ~BIT(i) };
#ifdef M_MASK_NO_SECOND_LOOK
             i++
#else
             if
             :: shelf[i] == 0 -> i++
             :: shelf[i] != 0 ->
                atomic { has_idle = has_idle | BIT(i) }
#ifdef M_MASK_NOT_TAKEN
                ; i++
#endif
             fi
#endif
          fi
       od;
       atomic { m = 0; i = 0 }
    fi
}

/* ================================================================ demand */

/* owner: after every change of its FIFO, in one CAS */
inline set_demand(r)  { unclaimed[r] = (waiting[r] > promised[r] -> waiting[r] - promised[r] : 0) }

/* owner: its bit of the mask follows "somebody waits"; a step of its own */
inline set_has_waiters(r)
{
    if
    :: (waiting[r] > 0) == ((has_waiters & BIT(r)) != 0)
    :: else -> atomic { has_waiters = has_waiters ^ BIT(r) }
    fi
}

inline claim(r, done)
{
    atomic {
        if
        :: unclaimed[r] > 0 -> unclaimed[r]--; promised[r]++; done = 1
        :: else -> done = 0
        fi
    }
}

inline ask()
{
    atomic { w = asked; asked = 1 };
    if
    :: w
    :: !w -> mail_ask = 1
    fi;
    w = 0
}

inline ask_if_room()
{
    if
    :: n_servers < SERVERS -> ask()
    :: n_servers >= SERVERS
    fi
}

inline post_close()
{
    atomic {
        MOVE(s, HELD(me), IN_MAIL(CONTROL)); mail_close = mail_close | BIT(s); s = NONE; d = 0
    }
}

/* ================================================================ acquire */

inline link_server() { MOVE(s, HELD(me), USED(me)); in_use[me] = in_use[me] | BIT(s); s = NONE }

/* the head of the FIFO gets s */
inline serve()
{
    atomic { waiting[me]--; link_server(); set_demand(me) };
    set_has_waiters(me)
}

/* a living server of this generation into s, or NONE */
inline take_alive()
{
    do
    :: take(me);
       if
       :: s == NONE -> break
       :: s != NONE ->
          atomic { MAY_DIE; d = d || born[s] != generation };
          if
          :: !d -> break
          :: d -> post_close()
          fi
       fi
    od
}

/* for as long as somebody of ours is promised nothing: look at the shelves, at last ask for a new
 * server */
inline look()
{
    do
    :: unclaimed[me] == 0 -> break
    :: else ->
       take_alive();
       if
       :: s != NONE -> serve()
       :: s == NONE -> ask_if_room(); break
       fi
    od
}

inline acquire()
{
    if
    :: waiting[me] == 0 -> take_alive()
    :: waiting[me] > 0              /* no overtaking at home */
    fi;
    if
    :: s != NONE -> atomic { link_server() }
    :: s == NONE ->
#ifdef M_ASK_BEFORE_PUBLISHING
       ask_if_room();
#endif
       atomic { waiting[me]++; set_demand(me) };
       set_has_waiters(me);
#ifdef M_NO_SECOND_LOOK
       ask_if_room()
#else
#ifdef M_ASK_BEFORE_PUBLISHING
       do
       :: unclaimed[me] == 0 -> break
       :: else -> take_alive(); if :: s != NONE -> serve() :: s == NONE -> break fi
       od
#else
       look()
#endif
#endif
    fi
}

/* ================================================================ release */

/* s to a waiter of another reactor, if one can be claimed */
inline grant()
{
    atomic { m = has_waiters; i = 0 };
    do
    :: i == REACTORS || s == NONE -> break
    :: i < REACTORS && s != NONE && (i == me || !(m & BIT(i))) -> i++
    :: i < REACTORS && s != NONE && i != me && (m & BIT(i)) ->
       claim(i, w);
       if
       :: w ->
          atomic {
              MOVE(s, HELD(me), IN_MAIL(i)); mail_grant[i] = mail_grant[i] | BIT(s); s = NONE
          }
       :: !w -> i++
       fi
    od;
    atomic { m = 0; i = 0; w = 0 }
}

/* w: somebody waits to whom nothing is promised */
inline anyone_waits()
{
    atomic { m = has_waiters; i = 0; w = 0 };
    do
    :: i == REACTORS || w -> break
    :: i < REACTORS && !w ->
       if :: m & BIT(i) -> atomic { w = (unclaimed[i] > 0); i++ } :: else -> i++ fi
    od;
    atomic { m = 0; i = 0 }
}

/* Give, then look: at the generation (control has swept the shelves, perhaps before this give), at
 * the waiters. A claim is made only with a server in the hand: so one is taken back first, any. */
inline shelve_and_look(home)
{
#if RELOADS > 0
    c = s;
#endif
    shelf_give(home);
#if RELOADS > 0 && !defined(M_NO_GENERATION_RECHECK)
    if
    :: born[c] == generation
    :: else ->
       atomic {
           if
           :: shelf[home] & BIT(c) ->
              shelf[home] = shelf[home] & ~BIT(c); s = c;
              MOVE(s, ON_SHELF(home), HELD(me))
           :: else
           fi
       };
       if
       :: s != NONE -> post_close()
       :: s == NONE
       fi
    fi;
    c = 0;
#endif
#ifndef M_RELEASE_NO_LOOK
    anyone_waits();
#ifdef M_CLAIM_FIRST
    if
    :: w ->
       atomic { m = has_waiters; i = 0; w = 0 };
       do
       :: i == REACTORS || w -> break
       :: i < REACTORS && !w -> if :: m & BIT(i) -> claim(i, w) :: else fi; if :: w :: !w -> i++ fi
       od;
       if
       :: !w
       :: w -> m = i; w = 0; i = 0; c = m; m = 0;
          take(home);
          if
          :: s != NONE ->
             atomic {
                 MOVE(s, HELD(me), IN_MAIL(c)); mail_grant[c] = mail_grant[c] | BIT(s); s = NONE
             }
          :: s == NONE -> atomic { promised[c]--; set_demand(c) } /* hand the claim back */
          fi; c = 0
       fi
    :: !w
    fi;
#else
    if
    :: w -> take(home)
    :: !w
    fi;
#endif
    w = 0
#endif
}

inline close_if_stale()
{
#if RELOADS > 0
    if
    :: born[s] != generation -> post_close()
    :: else
    fi
#else
    skip
#endif
}

inline release()
{
    close_if_stale();
    do
    :: s == NONE -> break
    :: s != NONE && waiting[me] > 0 -> serve() /* fairness may choose either: so may the model */
    :: s != NONE ->
       grant();
       if
       :: s == NONE
       :: s != NONE && waiting[me] > 0 -> serve()
       :: s != NONE && waiting[me] == 0 -> shelve_and_look(me)
       fi
    od
}

inline release_by_control(home)
{
    close_if_stale();
    do
    :: s == NONE -> break
    :: s != NONE ->
       grant();
       if
       :: s == NONE
       :: s != NONE -> shelve_and_look(home)
       fi
    od
}

/* ================================================================ a reactor */

inline read_mail()
{
    atomic {
        g = mail_grant[me]; mail_grant[me] = 0;
        f = mail_failed[me]; mail_failed[me] = 0
    };
    do
    :: g == 0 -> break
    :: g != 0 ->
       atomic { s = LOWEST(g); g = g & ~BIT(s); MOVE(s, IN_MAIL(me), HELD(me)); promised[me]--;
                MAY_DIE;
                if :: !d && waiting[me] > 0 -> waiting[me]--; link_server(); c = 1 :: else fi;
                set_demand(me) };
       if
       :: c -> c = 0; set_has_waiters(me)
       :: !c && d -> post_close()
#ifndef M_DEAD_GRANT_FORGOTTEN
          ; look()
#endif
       :: !c && !d -> /* the client has left, or was served at home */
#ifdef M_SURPLUS_SHELVED_BLINDLY
          shelf_give(me)
#else
          release()
#endif
       fi
    od;
    if
    :: f -> atomic { waiting[me] = 0; f = 0; set_demand(me) }; set_has_waiters(me)
    :: !f
    fi
}

proctype Reactor(byte me)
{
    byte s = NONE, i, m, g, c;
    bit w, d, f;

end:
    do
    :: mail_grant[me] != 0 || mail_failed[me] -> read_mail()
    :: todo[me] > 0 -> todo[me]--; acquire()
    :: in_use[me] != 0 ->
progress:                                                         /* one transaction ends */
       atomic {
           s = LOWEST(in_use[me]); in_use[me] = in_use[me] & ~BIT(s);
           MOVE(s, USED(me), HELD(me)); MAY_DIE
       };
       if
       :: d -> post_close()
       :: !d -> release()
       fi
    :: atomic { leaves > 0 && waiting[me] > 0 -> leaves--; waiting[me]--; set_demand(me) };
       set_has_waiters(me)
    od
}

/* ================================================================ control */

/* as many logins under way as there are waiters without a promise, within the limit */
inline look_for_demand()
{
    if
    :: backing_off
    :: !backing_off ->
       atomic { m = has_waiters; i = 0; n = 0 };
       do
       :: i == REACTORS -> break
       :: i < REACTORS -> if :: m & BIT(i) -> atomic { n = n + unclaimed[i]; i++ } :: else -> i++ fi
       od;
       atomic {
           i = 0;
           do
           :: i == SERVERS || n_servers == SERVERS || n <= connecting -> break
           :: else ->
              if
              :: place[i] == CLOSED ->
                 MOVE(i, CLOSED, CONNECTING); born[i] = generation; connecting++;
                 n_servers++; assert(n_servers <= SERVERS)
              :: else
              fi;
              i++
           od;
           m = 0; i = 0; n = 0
       }
    fi
}

#define FREE_SLOT(from)  atomic { MOVE(s, from, CLOSED); s = NONE; d = 0; n_servers-- }

inline read_control_mail()
{
    atomic { g = mail_close; mail_close = 0; w = mail_ask; mail_ask = 0 };
    do
    :: g == 0 -> break
    :: g != 0 -> atomic { s = LOWEST(g); g = g & ~BIT(s) }; FREE_SLOT(IN_MAIL(CONTROL))
    od;
#ifdef M_ASKED_CLEARED_LATE
    look_for_demand();
    if :: w -> asked = 0 :: !w fi;
#else
    if :: w -> asked = 0 :: !w fi;
#ifdef M_CLOSE_BLIND
    if :: w -> look_for_demand() :: !w fi;
#else
    look_for_demand();
#endif
#endif
    w = 0
}

inline login_ends()
{
    atomic {
        s = 0;
        do :: place[s] == CONNECTING -> break :: else -> s++ od;
        connecting--;
        if :: d = 0 :: failures > 0 -> failures--; d = 1 fi
    };
    if
    :: !d -> atomic { MOVE(s, CONNECTING, HELD(CONTROL)) }; release_by_control(0)
    :: d ->
       FREE_SLOT(CONNECTING);
#ifndef M_FAILURE_BLIND
       if
       :: backing_off = 1                                         /* try again later */
       :: atomic { m = has_waiters; i = 0 };                      /* or tell those who wait */
          do
          :: i == REACTORS -> break
          :: i < REACTORS -> if :: m & BIT(i) -> mail_failed[i] = 1 :: else fi; i++
          od;
          atomic { i = 0; m = 0 };
          backing_off = 1
       fi
#endif
    fi
}

/* guard, check, reload: exactly this server, by CAS of its bit */
inline check(r)
{
    shelf_take(r);
    if
    :: s == NONE
    :: s != NONE ->
       atomic { MAY_DIE };
       if
       :: d -> FREE_SLOT(HELD(CONTROL));
#ifndef M_CLOSE_BLIND
          look_for_demand()
#endif
       :: !d ->
#ifdef M_CHECKED_SHELVED_BLINDLY
          shelf_give(r)
#else
          release_by_control(r)
#endif
       fi
    fi
}

/* everything opened before now goes: what is shelved by this sweep, the rest when it is given
 * back */
inline reload()
{
    generation++;
    k = 0;
    do
    :: k == REACTORS -> break
    :: k < REACTORS ->
       g = shelf[k];
       do
       :: g == 0 -> break
       :: g != 0 ->
          atomic {
              s = LOWEST(g); g = g & ~BIT(s);
              if
              :: (shelf[k] & BIT(s)) && born[s] != generation ->
                 shelf[k] = shelf[k] & ~BIT(s); MOVE(s, ON_SHELF(k), HELD(CONTROL))
              :: else -> s = NONE
              fi
          };
          if
          :: s != NONE -> FREE_SLOT(HELD(CONTROL))
          :: s == NONE
          fi
       od;
       k++
    od;
    k = 0;
    look_for_demand()
}

proctype Control()
{
    byte me = CONTROL, s = NONE, i, m, g, n, c, k, connecting;
    bit w, d, backing_off;

end:
    do
    :: mail_close != 0 || mail_ask -> read_control_mail()
    :: connecting > 0 -> login_ends()
    :: backing_off -> backing_off = 0; look_for_demand()
    :: atomic { checks > 0 && shelf[0] != 0 -> checks-- }; check(0)
    :: atomic { checks > 0 && shelf[1] != 0 -> checks-- }; check(1)
    :: reloads > 0 -> reloads--; reload()
    od
}

init
{
    byte i;
    atomic {
        for (i : 0 .. REACTORS - 1) { todo[i] = TRANSACTIONS; run Reactor(i) };
        run Control();
        i = 0;
        do
        :: n_servers == PREOPENED -> break
        :: else ->
           place[n_servers] = ON_SHELF(0); shelf[0] = shelf[0] | BIT(n_servers); has_idle = 1;
           n_servers++
        od
    };
    timeout -> /* nobody can take a step any more */
    d_step {
        for (i : 0 .. REACTORS - 1) {
            assert(todo[i] == 0 && waiting[i] == 0 && in_use[i] == 0);
            assert(unclaimed[i] == 0 && promised[i] == 0 && mail_grant[i] == 0 && !mail_failed[i]);
            assert(shelf[i] == 0 || (has_idle & BIT(i)))
        };
        assert(has_waiters == 0 && mail_close == 0 && !mail_ask && !asked);
        for (i : 0 .. SERVERS - 1) {
            assert(place[i] == CLOSED ||
                   (place[i] >= ON_SHELF(0) && place[i] < ON_SHELF(REACTORS)));
            if :: place[i] != CLOSED -> n_servers--; assert(born[i] == generation) :: else fi
        };
        assert(n_servers == 0)
    }
}

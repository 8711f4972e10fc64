/*
 * Two pools under one shared limit (max_db_connections, max_user_connections). Inside a pool
 * acquire and release are those of pool.pml, folded into few steps; what is proven here lies
 * between pools:
 * a pool with waiters and no server gets a slot, whatever the order; nobody else is disturbed for
 * nothing; and the closing of one server for another pool, which takes time, never turns into
 * opening and closing for ever. One step is one atomic operation. Reactors know nothing of limits:
 * they see give_back and listed of their own pool.
 */
#ifndef LIMIT
#define LIMIT 1         /* servers of both pools together */
#endif
#ifndef CLIENTS
#define CLIENTS 2       /* of each pool */
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 1  /* transactions of each client */
#endif
#ifndef FAILURES
#define FAILURES 0      /* logins that fail */
#endif

/* shared words of a pool */
byte idle[2];           /* servers on its shelves */
byte waiting[2];        /* its clients to whom nothing is promised */
byte granted[2];        /* servers under way to them */
byte give_back[2];      /* servers that control wants from it */
bit  asked[2];          /* guards the message below: it can be in the mailbox once */
bit  listed[2];         /* control knows that it wants more than the limit allows: no need to ask */

/* control's mailbox */
bit  mail_ask[2];
byte mail_given[2];     /* servers given back */

byte slots;             /* control's; global for the last assertion */
byte closing;           /* closed, the server's FIN not seen yet: the slot is still taken */
byte done, failures = FAILURES;

#define OTHER(p) (1 - (p))

inline ask(p)
{
    if
    :: listed[p]
    :: !listed[p] ->
       atomic { got = asked[p]; asked[p] = 1 };
       if
       :: !got -> mail_ask[p] = 1
       :: got
       fi
    fi;
    got = 0
}

/* a server of pool p in a reactor's hand, nobody uses it */
inline release(p)
{
    do
    :: give_back[p] > 0 ->
       atomic { if :: give_back[p] > 0 -> give_back[p]--; mail_given[p]++; break :: else fi }
    :: give_back[p] == 0 ->
       atomic { if :: waiting[p] > 0 -> waiting[p]--; granted[p]++; break :: else fi };
       idle[p]++;                                                   /* give, */
#ifdef M_NO_LOOK_AT_GIVE_BACK
       if :: waiting[p] == 0 -> break :: waiting[p] > 0 fi;
#else
       if
       :: waiting[p] == 0 -> if :: give_back[p] == 0 -> break :: give_back[p] > 0 fi
       :: waiting[p] > 0
       fi;
#endif
       /* then look: one back into the hand */
       atomic { if :: idle[p] > 0 -> idle[p]-- :: else -> break fi }
    od
}

proctype Client(byte p)
{
    byte n; bit got;
    do
    :: n == TRANSACTIONS -> break
    :: n < TRANSACTIONS ->
       atomic { if :: idle[p] > 0 -> idle[p]--; got = 1 :: else fi };
       if
       :: got
       :: !got ->
          waiting[p]++;
          atomic {
              if
              :: idle[p] > 0 && waiting[p] > 0 -> idle[p]--; waiting[p]--; got = 1
              :: else
              fi
          };
          if
          :: got
          :: !got -> ask(p); atomic { granted[p] > 0 -> granted[p]-- }
          fi
       fi;
       got = 0;
progress:
       n++;                                                         /* the transaction */
       release(p)
    od;
    done++
}

/* ---------------------------------------------------------------- control */

/* one idle server of pool p, to close */
inline evict(p)
{
    atomic { if :: idle[p] > 0 -> idle[p]--; got = 1 :: else -> got = 0 fi };
    if
    :: got -> servers[p]--; closing++; got = 0
    :: !got
    fi
}

/* nobody who starves is first in line before p */
#define IN_TURN(p) (p == first || waiting[first] <= connecting[first] || servers[first] > 0)

/* demand of pool p against the limit */
inline look(p)
{
    do
    :: waiting[p] <= connecting[p] ->
       if
       :: listed[p] -> listed[p] = 0 /* forget it, then look once more */
       :: !listed[p] -> break
       fi
    :: waiting[p] > connecting[p] && slots < LIMIT && IN_TURN(p) ->
       slots++; servers[p]++; connecting[p]++; assert(slots <= LIMIT)
    :: waiting[p] > connecting[p] && (slots == LIMIT || !IN_TURN(p)) ->
       listed[p] = 1;
       if
       /* it starves, and nothing is on its way */
       :: servers[p] == 0 && closing == 0 && servers[OTHER(p)] > 0 ->
          first = p;
#ifdef M_LOOK_BEFORE_GIVE_BACK
          evict(OTHER(p));
          if :: closing == 0 -> give_back[OTHER(p)] = 1 :: closing > 0 fi
#else
          give_back[OTHER(p)] = 1; /* say so, then look: release gives, then looks */
          evict(OTHER(p));
          if
          :: closing > 0 -> give_back[OTHER(p)] = 0
          :: closing == 0
          fi
#endif
       :: else
       fi;
       break
    od
}

/* a server in control's hand: to a waiter of its pool, else to the pool that starves, else to the
 * shelf */
inline release_by_control(p)
{
    do
    :: atomic { waiting[p] > 0 -> waiting[p]--; granted[p]++ }; break
    :: waiting[p] == 0 ->
       if
       :: servers[OTHER(p)] == 0 && waiting[OTHER(p)] > 0 && slots == LIMIT && closing == 0 ->
          servers[p]--; closing++; break
       :: else ->
          idle[p]++;
          if
          :: waiting[p] == 0 -> break
          :: waiting[p] > 0 -> atomic { if :: idle[p] > 0 -> idle[p]-- :: else -> break fi }
          fi
       fi
    od
}

/* what was asked of pool p may be out of date: does the other still starve? */
inline take_given(p)
{
    if
    :: servers[OTHER(p)] == 0 && waiting[OTHER(p)] > 0 && closing == 0 -> servers[p]--; closing++
    :: else -> release_by_control(p)
    fi
}

proctype Control()
{
    byte connecting[2], servers[2], p, first; bit got;
endloop:
    do
    :: mail_ask[0] -> mail_ask[0] = 0; asked[0] = 0; look(0)
    :: mail_ask[1] -> mail_ask[1] = 0; asked[1] = 0; look(1)
    :: mail_given[0] > 0 -> mail_given[0]--; take_given(0); look(1); look(0)
    :: mail_given[1] > 0 -> mail_given[1]--; take_given(1); look(0); look(1)
    :: closing > 0 -> /* the server's FIN: every pool of the limit looks */
       closing--; slots--;
#ifdef M_FREED_OWN_POOL_ONLY
       look(0)
#else
       look(first); look(OTHER(first))
#endif
    :: connecting[0] + connecting[1] > 0 ->
       atomic {
           if :: connecting[0] > 0 -> p = 0 :: connecting[1] > 0 -> p = 1 fi;
           connecting[p]--
       };
       if
       :: true ->
#ifdef M_LOGIN_GOES_TO_THE_STARVING
          if
          :: waiting[OTHER(p)] > 0 -> servers[p]--; closing++
          :: else -> release_by_control(p)
          fi
#else
          release_by_control(p)
#endif
       :: failures > 0 -> failures--; servers[p]--; closing++
       fi;
       look(OTHER(p)); look(p)
    od
}

init
{
    byte i;
    atomic {
        run Control();
        for (i : 1 .. CLIENTS) { run Client(0); run Client(1) }
    };
    timeout ->
        assert(done == 2 * CLIENTS && slots == idle[0] + idle[1]);
        assert(granted[0] + granted[1] + closing == 0)
}

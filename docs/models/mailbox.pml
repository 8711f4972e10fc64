/*
 * How a thread is told something while it may be going to sleep: src/base/mailbox.c. PRODUCERS
 * threads post ROUNDS messages each to one consumer. The mailbox is a list that producers push to
 * and the consumer takes whole; `asleep` says that a producer must write the eventfd. One step is
 * one atomic operation. Proven: every message is read; nobody sleeps beside a full mailbox. One
 * wake-up too many is possible, and harmless: a producer may write the eventfd when the consumer
 * has already found the message itself.
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
byte list;                      /* messages in the mailbox */
bit  asleep;                    /* written by the consumer, exchanged by producers */
byte eventfd;                   /* the kernel's counter: 0 or more */
byte posted, taken;

proctype Producer()
{
    byte n; bit wake;
    do
    :: n == ROUNDS -> break
    :: n < ROUNDS ->
       atomic { list++; posted++; n++ };                        /* push */
       if /* a plain load first spares the line of one awake */
       :: !asleep
       :: asleep ->
          atomic { wake = asleep; asleep = 0 };                 /* exchange */
          if
          :: wake -> eventfd++; wake = 0
          :: !wake                                              /* somebody else is waking it */
          fi
       fi
    od
}

proctype Consumer()
{
    byte got;
endloop:
    do
    /* take all: exchange with the empty list */
    :: atomic { got = list; list = 0; taken = taken + got };
#ifdef M_LOOK_THEN_SLEEP
       if
       :: list != 0
       :: list == 0 ->
          asleep = 1;
#else
       asleep = 1;                                              /* say so, */
       if
       :: list != 0 -> asleep = 0                               /* then look once more */
       :: list == 0 ->
#endif
endsleep: atomic { eventfd > 0 -> eventfd = 0 }; /* the loop waits; reading the eventfd clears it */
          asleep = 0
       fi
    od
}

init
{
    byte i;
    atomic { run Consumer(); for (i : 1 .. PRODUCERS) { run Producer() } };
    timeout -> assert(taken == posted && taken == PRODUCERS * ROUNDS)
}

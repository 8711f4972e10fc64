/*
 * What reply accounting costs: Bind, Execute and Sync with their four replies, and Query with
 * three, one after the other and sent ahead ten at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pgwire/reply.h"

#define ROOM 64
#define N_ROUNDS 10000000U

/* CPU time: what else runs on the machine then disturbs little. */
static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(bool is_right)
{
    if (!is_right)
        abort();
}

static void send(struct pgw_reply_queue *q, uint8_t letter, uint32_t cookie)
{
    check(pgw_reply_sent(q, pgw_reply_kind_of(letter, 0), PGW_REPLY_FORWARD, cookie) ==
          PGW_REPLY_NOTED);
}

/* As a relay does: judge, and look for made-up answers behind each that is complete. */
static void receive(struct pgw_reply_queue *q, uint8_t letter)
{
    struct pgw_reply_verdict v;

    check(pgw_reply_received(q, letter, 'I', &v) == PGW_REPLY_PASS);
    check(!(v.is_done && pgw_reply_is_due(q)));
}

static void measure(const char *name, const char *sent, const char *received, unsigned n_ahead)
{
    struct pgw_reply_entry ring[ROOM];
    struct pgw_reply_queue q;
    double start;

    pgw_reply_init(&q, ring, ROOM, 'I');
    start = now_s();
    for (unsigned i = 0; i < N_ROUNDS / n_ahead; i++) {
        for (unsigned j = 0; j < n_ahead; j++) {
            for (const char *s = sent; *s != '\0'; s++)
                send(&q, (uint8_t)*s, i);
        }
        for (unsigned j = 0; j < n_ahead; j++) {
            for (const char *r = received; *r != '\0'; r++)
                receive(&q, (uint8_t)*r);
        }
        check(pgw_reply_is_at_rest(&q));
    }
    printf("%-22s %2u ahead: %5.1f ns\n", name, n_ahead, (now_s() - start) * 1e9 / N_ROUNDS);
}

int main(void)
{
    for (unsigned n_ahead = 1; n_ahead <= 10; n_ahead += 9) {
        measure("Bind, Execute, Sync", "BES", "2DCZ", n_ahead);
        measure("Query", "Q", "TDCZ", n_ahead);
    }
    return 0;
}

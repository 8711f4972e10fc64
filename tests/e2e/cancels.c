/*
 * Clients that cancel their own queries of 0 to 2 ms, beside clients that run such queries and must
 * never be hit. Each row says whose it is and which. Wrong answers end it with status 1; else it
 * prints how many requests were sent, and how many queries ended by them: in all, and of those that
 * were running, not waiting for a server.
 *
 * cancels CONNINFO CANCELS SEED
 *
 * A thread for each client.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/random.h"

#define N_CANCELLING 4
#define N_WATCHING 8
#define QUERY_US 2000
#define TEXT_SIZE 128

struct clients {
    const char *conninfo;
    uint64_t seed;
    atomic_uint n_left; /* cancels to be begun; relaxed, a number */
    atomic_uint n_hit, n_hit_running;
};

struct client {
    struct clients *all;
    unsigned number, sequence;
    PGconn *connection;
    PGcancel *cancel;
    struct random random;
};

static void fail(const struct client *c, const char *what, const PGresult *r)
{
    fprintf(stderr, "client %u, query %u: %s: %s", c->number, c->sequence, what,
            r != NULL ? PQresStatus(PQresultStatus(r)) : "");
    for (int i = 0; r != NULL && PQntuples(r) > 0 && i < PQnfields(r); i++)
        fprintf(stderr, " %s", PQgetvalue(r, 0, i));
    fprintf(stderr, " %s%s\n", r != NULL ? PQresultErrorMessage(r) : "",
            PQerrorMessage(c->connection));
    exit(1);
}

static void pause_us(uint64_t us)
{
    const struct timespec t = {.tv_nsec = (long)us * 1000};

    nanosleep(&t, NULL);
}

/* ---- queries ---- */

static void send_command(struct client *c, const char *text)
{
    if (PQsendQuery(c->connection, text) != 1)
        fail(c, "not sent", NULL);
}

/* One of at most max_us: half of them sleep, the others count. */
static void send_query(struct client *c, unsigned max_us)
{
    char text[TEXT_SIZE];
    unsigned us = (unsigned)random_below(&c->random, max_us + 1);

    c->sequence++;
    if (random_below(&c->random, 2) == 0)
        snprintf(text, sizeof(text), "select %u, %u, pg_sleep(%u / 1e6)", c->number, c->sequence,
                 us);
    else
        snprintf(text, sizeof(text), "select %u, %u, count(*) from generate_series(1, %u)",
                 c->number, c->sequence, us * 2);
    send_command(c, text);
}

static bool is_row_of(const struct client *c, const PGresult *r)
{
    return PQntuples(r) == 1 && PQnfields(r) == 3 &&
           strtoul(PQgetvalue(r, 0, 0), NULL, 10) == c->number &&
           strtoul(PQgetvalue(r, 0, 1), NULL, 10) == c->sequence;
}

static bool was_cancelled(const PGresult *r)
{
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    return sqlstate != NULL && strcmp(sqlstate, "57014") == 0;
}

/* The row of the query just sent. False: it was cancelled, and may have been. */
static bool hear_row(struct client *c, bool may_be_cancelled)
{
    PGresult *r = PQgetResult(c->connection);
    bool has_row = PQresultStatus(r) == PGRES_TUPLES_OK;

    if (has_row ? !is_row_of(c, r) : !may_be_cancelled || !was_cancelled(r))
        fail(c, "wrong answer", r);
    PQclear(r);
    if (PQgetResult(c->connection) != NULL)
        fail(c, "one answer too many", NULL);
    return has_row;
}

/* A command without rows. A request that was late may hit it: then again. */
static void run_command(struct client *c, const char *text)
{
    PGresult *r;

    do {
        send_command(c, text);
        r = PQgetResult(c->connection);
        if (PQresultStatus(r) != PGRES_COMMAND_OK && !was_cancelled(r))
            fail(c, text, r);
        PQclear(r);
        while ((r = PQgetResult(c->connection)) != NULL)
            PQclear(r);
    } while (PQtransactionStatus(c->connection) == PQTRANS_INERROR);
}

/* ---- clients ---- */

/* In a transaction its server is running the query; else it may wait for one. */
static void cancel_one(struct client *c)
{
    char error[256];
    bool in_block = random_below(&c->random, 2) == 0;

    if (in_block)
        run_command(c, "begin");
    send_query(c, QUERY_US);
    if (!in_block)
        pause_us(random_below(&c->random, QUERY_US + 1));
    if (PQcancel(c->cancel, error, sizeof(error)) != 1)
        fail(c, error, NULL);
    if (!hear_row(c, true)) {
        atomic_fetch_add_explicit(&c->all->n_hit, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->all->n_hit_running, in_block, memory_order_relaxed);
    }
    if (in_block)
        run_command(c, "rollback");
}

static void *cancel(void *arg)
{
    struct client *c = arg;
    unsigned n;

    do {
        n = atomic_load_explicit(&c->all->n_left, memory_order_relaxed);
        while (n > 0 && !atomic_compare_exchange_weak_explicit(
                            &c->all->n_left, &n, n - 1, memory_order_relaxed, memory_order_relaxed))
            continue;
        if (n > 0)
            cancel_one(c);
    } while (n > 0);
    return NULL;
}

static void *watch(void *arg)
{
    struct client *c = arg;

    while (atomic_load_explicit(&c->all->n_left, memory_order_relaxed) > 0) {
        send_query(c, QUERY_US / 2);
        (void)hear_row(c, false);
    }
    return NULL;
}

static void log_in(struct client *c, struct clients *all, unsigned number)
{
    *c = (struct client){.all = all, .number = number, .random.state = all->seed + number};
    c->connection = PQconnectdb(all->conninfo);
    if (PQstatus(c->connection) != CONNECTION_OK)
        fail(c, "no connection", NULL);
    c->cancel = PQgetCancel(c->connection);
}

int main(int argc, char **argv)
{
    struct clients all = {.conninfo = argv[1]};
    struct client clients[N_CANCELLING + N_WATCHING];
    pthread_t threads[N_CANCELLING + N_WATCHING];
    unsigned n = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (n == 0)
        return 2;
    all.seed = strtoull(argv[3], NULL, 10);
    atomic_init(&all.n_left, n);
    for (unsigned i = 0; i < N_CANCELLING + N_WATCHING; i++)
        log_in(&clients[i], &all, i);
    for (unsigned i = 0; i < N_CANCELLING + N_WATCHING; i++)
        if (pthread_create(&threads[i], NULL, i < N_CANCELLING ? cancel : watch, &clients[i]) != 0)
            return 2;
    for (unsigned i = 0; i < N_CANCELLING + N_WATCHING; i++) {
        pthread_join(threads[i], NULL);
        PQfreeCancel(clients[i].cancel);
        PQfinish(clients[i].connection);
    }
    printf("%u %u %u\n", n, atomic_load_explicit(&all.n_hit, memory_order_relaxed),
           atomic_load_explicit(&all.n_hit_running, memory_order_relaxed));
    return 0;
}

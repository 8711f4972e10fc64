/*
 * A client that keeps up to ten batches under way by libpq's pipeline mode, of statements chosen at
 * random; each row says whose it is and which. Wrong answers end it with status 1.
 *
 * pipeline CONNINFO CLIENT BATCHES SEED, where CONNINFO has the number CLIENT as application_name
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"

#define N_STATEMENTS 100
#define DEPTH_MAX 10
#define NAME_SIZE 16
#define TEXT_SIZE 80

/* What was sent up to a Sync, in this order, but for the last two */
struct batch {
    unsigned sequence, statement;
    bool prepares, deallocates; /* the statement, before and after its use */
    bool fails;                 /* an unknown statement is used, and then the known one again */
};

struct client {
    PGconn *connection;
    const char *number;
    struct random random;
    bool is_prepared[N_STATEMENTS];
    struct batch under_way[DEPTH_MAX];
    unsigned n_begun, n_checked;
};

static void wrong(const struct client *c, const struct batch *b, const char *what, PGresult *r)
{
    fprintf(stderr, "client %s, batch %u: %s wanted, not %s \"%s\" %s", c->number, b->sequence,
            what, PQresStatus(PQresultStatus(r)), PQcmdStatus(r), PQresultErrorMessage(r));
    for (int i = 0; i < PQnfields(r) && PQntuples(r) > 0; i++)
        fprintf(stderr, " %s", PQgetvalue(r, 0, i));
    fprintf(stderr, "; %s\n", PQerrorMessage(c->connection));
    exit(1);
}

static void sent(const struct client *c, int done)
{
    if (done == 1)
        return;
    fprintf(stderr, "client %s: %s\n", c->number, PQerrorMessage(c->connection));
    exit(1);
}

static bool chance(struct client *c, unsigned percent)
{
    return random_below(&c->random, 100) < percent;
}

/* ---- sending ---- */

static void send_use(struct client *c, const struct batch *b, const char *name)
{
    char sequence[NAME_SIZE];
    const char *values[] = {c->number, sequence};

    snprintf(sequence, sizeof(sequence), "%u", b->sequence);
    sent(c, PQsendQueryPrepared(c->connection, name, 2, values, NULL, NULL, 0));
}

static void send_batch(struct client *c, const struct batch *b)
{
    char name[NAME_SIZE], text[TEXT_SIZE];

    snprintf(name, sizeof(name), "s%u", b->statement);
    snprintf(text, sizeof(text),
             "select %u, $1::text, $2::text, current_setting('application_name')", b->statement);
    if (b->prepares)
        sent(c, PQsendPrepare(c->connection, name, text, 0, NULL));
    send_use(c, b, name);
    if (b->fails) {
        send_use(c, b, "unknown");
        send_use(c, b, name);
    }
    if (b->deallocates) {
        snprintf(text, sizeof(text), "deallocate %s", name);
        sent(c, PQsendQueryParams(c->connection, text, 0, NULL, NULL, NULL, NULL, 0));
    }
    sent(c, PQpipelineSync(c->connection));
}

static void begin(struct client *c)
{
    struct batch *b = &c->under_way[c->n_begun % DEPTH_MAX];

    *b = (struct batch){.sequence = c->n_begun++,
                        .statement = (unsigned)random_below(&c->random, N_STATEMENTS)};
    b->prepares = !c->is_prepared[b->statement];
    b->fails = chance(c, 10);
    b->deallocates = chance(c, 10);
    c->is_prepared[b->statement] = b->fails || !b->deallocates;
    send_batch(c, b);
}

/* ---- checking ---- */

static bool is_row_of(const struct client *c, const struct batch *b, const PGresult *r)
{
    return PQntuples(r) == 1 && PQnfields(r) == 4 &&
           strtoul(PQgetvalue(r, 0, 0), NULL, 10) == b->statement &&
           strcmp(PQgetvalue(r, 0, 1), c->number) == 0 &&
           strtoul(PQgetvalue(r, 0, 2), NULL, 10) == b->sequence &&
           strcmp(PQgetvalue(r, 0, 3), c->number) == 0;
}

/* The next result, which must be of this kind; one of a query is followed by a NULL. */
static void check(const struct client *c, const struct batch *b, ExecStatusType wanted)
{
    PGresult *r = PQgetResult(c->connection);
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    if (PQresultStatus(r) != wanted || (wanted == PGRES_TUPLES_OK && !is_row_of(c, b, r)) ||
        (wanted == PGRES_FATAL_ERROR && (sqlstate == NULL || strcmp(sqlstate, "26000") != 0)) ||
        (wanted != PGRES_PIPELINE_SYNC && PQgetResult(c->connection) != NULL))
        wrong(c, b, PQresStatus(wanted), r);
    PQclear(r);
}

static void check_first(struct client *c)
{
    const struct batch *b = &c->under_way[c->n_checked++ % DEPTH_MAX];

    if (b->prepares)
        check(c, b, PGRES_COMMAND_OK);
    check(c, b, PGRES_TUPLES_OK);
    if (b->fails) {
        check(c, b, PGRES_FATAL_ERROR);
        check(c, b, PGRES_PIPELINE_ABORTED);
    }
    if (b->deallocates)
        check(c, b, b->fails ? PGRES_PIPELINE_ABORTED : PGRES_COMMAND_OK);
    check(c, b, PGRES_PIPELINE_SYNC);
}

static void run(struct client *c, unsigned n_batches)
{
    sent(c, PQenterPipelineMode(c->connection));
    while (c->n_begun < n_batches) {
        uint64_t depth = random_below(&c->random, DEPTH_MAX);

        begin(c);
        while (c->n_begun - c->n_checked > depth)
            check_first(c);
    }
    while (c->n_checked < c->n_begun)
        check_first(c);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: pipeline CONNINFO CLIENT BATCHES SEED\n");
        return 2;
    }

    struct client c = {.connection = PQconnectdb(argv[1]), .number = argv[2]};

    c.random.state = strtoul(argv[4], NULL, 10) << 32 | strtoul(argv[2], NULL, 10);
    sent(&c, PQstatus(c.connection) == CONNECTION_OK);
    run(&c, (unsigned)strtoul(argv[3], NULL, 10));
    PQfinish(c.connection);
    return 0;
}

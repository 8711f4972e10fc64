/*
 * What all reactors share of the session layer, and what each has of it: accepting, stopping,
 * counting, SHOW.
 *
 * Invariant: a shard's n_clients counts its list and those whose letter is on its way to it, so a
 * shard that is stopping and counts none will never have one again. Runs on: see session.h.
 */
#include "sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "known.h"
#include "login.h"
#include "pgwire/sqlstate.h"
#include "weir/auth/users.h"
#include "weir/base/clock.h"
#include "weir/base/throttle.h"

/* Slots are address space until they are used: enough for the highest max_client_conn there can be,
 * and for those who log in beside them. */
#define CLIENTS_MAX (1U << 20)

/* Wrong cancel keys that come from one place before others from there are not looked at, and the
 * time after which one more is. A key of four bytes is guessed with one try in 2^32: by 3.2e7 tries
 * a year, one place hits any client's query with a chance of 0.7 % a year. */
#define CANCEL_GUESSES 100
#define CANCEL_GUESS_NS NS_PER_S

static struct shard *shard_of(const struct thread *t)
{
    ASSERT(t->session != NULL);
    return t->session;
}

static int slabs_new(struct sessions *ss)
{
    const struct slab_config clients = {
        .object_size = sizeof(struct client),
        .shared_size = sizeof(((struct client *)NULL)->word),
        .max_objects = CLIENTS_MAX,
    };
    const struct slab_config held = {.object_size = HELD_SMALL, .max_objects = CLIENTS_MAX};
    int error = slab_new(&ss->clients, &clients);

    return error < 0 ? error : slab_new(&ss->held, &held);
}

static int shards_new(struct crew *crew, struct sessions *ss)
{
    _Static_assert(sizeof(struct shard) % CACHE_LINE == 0, "shards share no cache line");
    ss->shards = aligned_alloc(CACHE_LINE, crew->n_reactors * sizeof(struct shard));
    if (ss->shards == NULL)
        return -ENOMEM;
    memset(ss->shards, 0, crew->n_reactors * sizeof(struct shard));
    for (unsigned i = 0; i < crew->n_reactors; i++) {
        struct shard *shard = &ss->shards[i];

        shard->all = ss;
        shard->thread = &crew->threads[i];
        list_init(&shard->clients);
        list_init(&shard->stuck);
        crew->threads[i].session = shard;
    }
    return 0;
}

int sessions_new(struct sessions **out, const struct sessions_config *config)
{
    struct sessions *ss = calloc(1, sizeof(*ss));

    if (ss == NULL)
        return -ENOMEM;
    ss->config = *config;
    conf_get(config->conf);
    if (config->users != NULL)
        users_get(config->users);
    digest_random(ss->mock_key, sizeof(ss->mock_key));
    digest_random(ss->cancel_secret, sizeof(ss->cancel_secret));

    int error = slabs_new(ss);

    if (error == 0)
        error = known_new(&ss->known);
    if (error == 0)
        error = throttle_new(&ss->unknown_cancels, CANCEL_GUESSES, CANCEL_GUESS_NS);
    if (error == 0)
        error = shards_new(config->crew, ss);
    if (error < 0) {
        sessions_free(ss);
        return error;
    }
    *out = ss;
    return 0;
}

void sessions_free(struct sessions *ss)
{
    if (ss == NULL)
        return;
    for (unsigned i = 0; ss->shards != NULL && i < ss->config.crew->n_reactors; i++)
        ss->config.crew->threads[i].session = NULL;
    free(ss->shards);
    slab_free(ss->clients);
    slab_free(ss->held);
    known_free(ss->known);
    throttle_free(ss->unknown_cancels);
    users_put(ss->config.users);
    conf_put(ss->config.conf);
    digest_wipe(ss->mock_key, sizeof(ss->mock_key));
    digest_wipe(ss->cancel_secret, sizeof(ss->cancel_secret));
    free(ss);
}

static unsigned n_clients(const struct shard *shard)
{
    return atomic_load_explicit(&shard->n_clients, memory_order_relaxed); /* a moment's value */
}

static struct shard *fewest_clients(struct sessions *ss)
{
    struct shard *fewest = &ss->shards[0];

    for (unsigned i = 1; i < ss->config.crew->n_reactors; i++) {
        if (n_clients(&ss->shards[i]) < n_clients(fewest))
            fewest = &ss->shards[i];
    }
    return fewest;
}

void sessions_accept(struct sessions *ss, struct thread *self, int fd)
{
    struct shard *shard = fewest_clients(ss);

    /* At the choice, or a burst of connections would all go the same way. Relaxed: a number. */
    atomic_fetch_add_explicit(&shard->n_clients, 1, memory_order_relaxed);

    struct client *c = client_new(ss, shard, fd);

    if (c == NULL) {
        atomic_fetch_sub_explicit(&shard->n_clients, 1, memory_order_relaxed);
        counter_add(&shard_of(self)->counters.n_no_slot, 1);
        close(fd);
        return;
    }
    thread_post(shard->thread, &c->letter);
}

static void stop_client(struct client *c)
{
    switch (c->phase) {
    case CLIENT_STARTUP:
        client_close(c, "weir is shutting down"); /* it has asked nothing yet */
        break;
    case CLIENT_LOGIN:
    case CLIENT_COLD:
    case CLIENT_GUEST:
        client_refuse(c, PGW_STATE_ADMIN_SHUTDOWN, "weir is shutting down");
        break;
    case CLIENT_IDLE:
    case CLIENT_WAITING:
    case CLIENT_ACTIVE:
    case CLIENT_PARTING:
        relay_stop(c);
        break;
    case CLIENT_FREE:
    case CLIENT_LOST:
    case CLIENT_CLOSING:
    case CLIENT_PHASES:
        break;
    }
}

void sessions_stop(struct thread *self, void (*done)(void *ctx), void *ctx)
{
    struct shard *shard = shard_of(self);

    ASSERT(!shard->stopping);
    shard->stopping = true;
    shard->stopped = done;
    shard->stopped_ctx = ctx;
    if (n_clients(shard) == 0) {
        done(ctx);
        return;
    }
    LIST_FOREACH (link, &shard->clients)
        stop_client(LIST_ITEM(link, struct client, link));
}

const struct session_counters *sessions_counters(const struct thread *reactor)
{
    return &shard_of(reactor)->counters;
}

unsigned sessions_n_clients(const struct thread *reactor)
{
    return n_clients(shard_of(reactor));
}

void sessions_count_memory(const struct thread *reactor, struct slab_counts *clients,
                           struct slab_counts *held)
{
    const struct sessions *ss = shard_of(reactor)->all;

    *clients = slab_count(ss->clients);
    *held = slab_count(ss->held);
}

static const char *user_of(const struct client *c)
{
    if (c->pool != NULL)
        return pool_user(c->pool);
    if (c->guest_input != NULL)
        return guest_user(c);
    return c->login != NULL ? c->login->user : "";
}

static const char *database_of(const struct client *c)
{
    if (c->pool != NULL)
        return pool_database(c->pool);
    if (c->guest_input != NULL)
        return guest_database(c);
    return c->login != NULL ? c->login->database : "";
}

static void tell(const struct client *c, struct session_info *out)
{
    *out = (struct session_info){
        .id = c->id,
        .user = user_of(c),
        .database = database_of(c),
        .replication = c->replication,
        .phase = client_phase_name(c->phase),
        .pool = c->pool,
        .connected_ns = c->connected_ns,
        .unsent = stream_unsent(&c->stream),
    };
    if (c->phase == CLIENT_WAITING || c->phase == CLIENT_COLD)
        out->waiting_since_ns = c->waiter.since_ns;
    if (c->server != NULL) {
        out->server_id = c->server->id;
        out->server_pid = c->server->backend_pid;
    }
}

void sessions_visit(struct thread *self, void (*visit)(void *ctx, const struct session_info *info),
                    void *ctx)
{
    LIST_FOREACH (link, &shard_of(self)->clients) {
        struct session_info info;

        tell(LIST_ITEM(link, struct client, link), &info);
        visit(ctx, &info);
    }
}

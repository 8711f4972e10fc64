/*
 * What nobody suspects: servers that were used and are idle are asked now and then what is left on
 * them, one at a time per pool, each at most once in an interval. A find is cleaned, told and
 * counted: it is state that hides in functions, DO, CALL and triggers. Where `reset` is "suspect";
 * in session mode clients leave their servers by DISCARD ALL.
 *
 * No client waits for an audit if that can be helped: a server is only asked after a while without
 * work, and the last idle one after a longer while. A daemon in which nothing was used since the
 * last audits sleeps: then audit_rests is set, and whoever shelves a server clears it and writes to
 * control. First set, then looked once more; first shelved, then seen: so no use goes unnoticed.
 *
 * Runs on: control.
 */
#include <inttypes.h>

#include "weir/base/clock.h"
#include "weir/base/log.h"

#include "control.h"
#include "inspection.h"
#include "pools.h"
#include "state.h"

/* Parts of the interval that a server is left alone after its last use: where others are idle, and
 * where none is. */
#define REST_PART 60
#define LONG_REST_PART 12

static uint64_t interval_ns(const struct pool *p)
{
    return p->pools->config.audit_interval_ns;
}

static struct thread *control_of(const struct pool *p)
{
    return crew_control(p->crew);
}

static bool has_audits(const struct pool *p)
{
    return interval_ns(p) != 0 && p->conf.policy.reset == CONF_RESET_SUSPECT &&
           p->conf.policy.pool_mode != CONF_SESSION;
}

/* ---- which server, and when ---- */

/* Not before it has rested this long. A waiting client takes the last one, however short. */
static uint64_t rest_ns(const struct pool *p, unsigned n_shelved)
{
    return interval_ns(p) / (n_shelved > 1 ? REST_PART : LONG_REST_PART);
}

/* CLOCK_NEVER: it is in use, or was not since it was asked last. */
static uint64_t due_ns(const struct pool *p, const struct server *s, uint64_t rest)
{
    /* Their writers' own; that s is on a shelf is seen behind them. */
    uint64_t used_ns = atomic_load_explicit(&s->idle_since_ns, memory_order_relaxed);
    uint64_t asked_ns = atomic_load_explicit(&s->inspected_ns, memory_order_relaxed);
    uint64_t rested_ns = clock_add_ns(used_ns, rest);
    uint64_t next_ns = clock_add_ns(asked_ns, interval_ns(p));

    if (used_ns <= asked_ns)
        return CLOCK_NEVER;
    return rested_ns > next_ns ? rested_ns : next_ns;
}

static struct server *server_at(struct list_link *link)
{
    return LIST_ITEM(link, struct server, link);
}

/* The idle server that is due first, and when; NULL: none will be. */
static struct server *first_due(const struct pool *p, uint64_t *first_ns)
{
    struct server *first = NULL;
    unsigned n_shelved = 0;

    LIST_FOREACH (link, &p->control->servers)
        n_shelved += control_is_shelved(p, server_at(link));
    *first_ns = CLOCK_NEVER;
    LIST_FOREACH (link, &p->control->servers) {
        struct server *s = server_at(link);
        uint64_t ns;

        if (!control_is_shelved(p, s))
            continue;
        ns = due_ns(p, s, rest_ns(p, n_shelved));
        if (ns < *first_ns) {
            *first_ns = ns;
            first = s;
        }
    }
    return first;
}

/* ---- asking ---- */

static void plan(struct pool *p);

static void tell(struct server *s, const struct inspect_found *found)
{
    char what[STATE_TEXT_MAX];

    if (found->found == 0 || found->answered == 0)
        return;
    state_count(s->pool->pools->state[s->thread->number].undetected, found->found);
    state_describe(found, found->found, what);
    log_warning(&s->log, "state that nobody suspected was on an idle server, and is cleaned",
                "database=%s user=%s client=c%" PRIu64 " what=%s", s->pool->database, s->pool->user,
                atomic_load_explicit(&s->client_id, memory_order_relaxed), what); /* for people */
}

static void done(void *ctx, struct thread *control, struct server *s, struct inspect_found *found)
{
    struct pool *p = ctx;

    p->control->audited = NULL;
    if (s != NULL) {
        tell(s, found);
        server_move(s, SERVER_IDLE);
        control_release(control, s);
    }
    plan(p);
}

/* Where there is no memory it counts as asked: there may be some next time. */
static void ask(struct pool *p, struct server *s)
{
    struct thread *control = control_of(p);

    server_move(s, SERVER_ACTIVE);
    if (inspect_audit(s, control, done, p) == 0) {
        p->control->audited = s;
        return;
    }
    atomic_store_explicit(&s->inspected_ns, loop_now_ns(control->loop),
                          memory_order_relaxed); /* control reads it */
    server_move(s, SERVER_IDLE);
    control_release(control, s);
    plan(p);
}

static void audit(struct wheel_timer *t)
{
    struct pool *p = CONTAINER_OF(t, struct pool_control, audit)->pool;
    uint64_t now_ns = loop_now_ns(control_of(p)->loop), ns;
    struct server *s = first_due(p, &ns);

    if (s != NULL && ns <= now_ns && !pool_has_unclaimed(p) && control_take_this(p, s))
        ask(p, s);
    else
        plan(p);
}

/* ---- when to look ---- */

static void wait_until(struct pool *p, uint64_t ns)
{
    struct loop *loop = control_of(p)->loop;
    uint64_t now_ns = loop_now_ns(loop), least_ns = rest_ns(p, 2);

    p->control->audit.fire = audit;
    loop_timer_set(loop, &p->control->audit, ns > now_ns ? ns - now_ns : least_ns);
}

static void plan(struct pool *p)
{
    uint64_t ns;

    if (!has_audits(p) || p->pools->stopping || p->control->audited != NULL)
        return;
    if (first_due(p, &ns) == NULL) {
        atomic_store_explicit(&p->audit_rests, true, memory_order_seq_cst); /* then looks again */
        if (first_due(p, &ns) == NULL)
            return;
        atomic_store_explicit(&p->audit_rests, false, memory_order_seq_cst);
    }
    wait_until(p, ns);
}

void audit_init(struct pool *p)
{
    atomic_init(&p->audit_rests, has_audits(p));
}

void audit_wake(struct pool *p)
{
    if (wheel_armed(&p->control->audit) ||
        atomic_load_explicit(&p->audit_rests, memory_order_seq_cst)) /* pairs: pool_shelved() */
        return;
    plan(p);
}

void audit_stop(struct pool *p)
{
    loop_timer_clear(control_of(p)->loop, &p->control->audit);
}

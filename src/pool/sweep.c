/*
 * Servers that nobody uses, or that have lived long enough, are closed when they are due; a timer
 * per pool is armed for that time and for no other, so a daemon that has nothing to do sleeps. Also
 * how control finds one particular idle server. Runs on: control.
 */
#include "weir/base/clock.h"

#include "control.h"

static struct server *server_at(struct list_link *link)
{
    return LIST_ITEM(link, struct server, link);
}

/* ---- one particular server ---- */

/* Where s lies at this moment; NULL: on no shelf. */
static struct shelf *shelf_of(const struct pool *p, const struct server *s)
{
    for (unsigned r = 0; r < p->crew->n_reactors; r++) {
        struct shelf *h = shelves_get(&p->shelves, r);

        if (h != NULL && (shelf_word(h, s->number / 64) >> s->number % 64 & 1) != 0)
            return h;
    }
    return NULL;
}

bool control_is_shelved(const struct pool *p, const struct server *s)
{
    return shelf_of(p, s) != NULL;
}

bool control_take_this(struct pool *p, struct server *s)
{
    struct shelf *h = shelf_of(p, s);

    return h != NULL && shelf_take_this(h, s->number);
}

static uint64_t idle_since_ns(const struct server *s)
{
    return atomic_load_explicit(&s->idle_since_ns, memory_order_relaxed); /* its taker's word */
}

static struct server *longest_idle(const struct pool *p)
{
    struct server *longest = NULL;

    LIST_FOREACH (link, &p->control->servers) {
        struct server *s = server_at(link);

        if (shelf_of(p, s) != NULL &&
            (longest == NULL || idle_since_ns(s) < idle_since_ns(longest)))
            longest = s;
    }
    return longest;
}

/* Zero also where its taker, whose clock of the turn may be ahead of ours, gave it back just now.
 */
static uint64_t idle_for_ns(const struct server *s, uint64_t now_ns)
{
    uint64_t since_ns = idle_since_ns(s);

    return now_ns > since_ns ? now_ns - since_ns : 0;
}

struct server *control_take_idle(struct pool *p, uint64_t now_ns, uint64_t min_idle_ns)
{
    struct server *s;

    while ((s = longest_idle(p)) != NULL && idle_for_ns(s, now_ns) >= min_idle_ns)
        if (control_take_this(p, s))
            return s; /* else somebody was faster, and it is not idle any more */
    return NULL;
}

void control_renew(struct thread *control, struct pool *p, const char *why)
{
    /* First raised, then swept: who gives a server back meanwhile compares, gives, and compares
     * again (M_NO_GENERATION_RECHECK). */
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_seq_cst);
    LIST_FOREACH (link, &p->control->servers)
        if (pool_is_stale(server_at(link), 0) && control_take_this(p, server_at(link)))
            control_close(control, server_at(link), why);
    control_look(p);
}

/* ---- what is due ---- */

static bool has_spare(const struct pool *p)
{
    return control_n_staying(p) > p->conf.policy.min_pool_size;
}

/* Why s should go now; NULL: it may stay. */
static const char *due(const struct pool *p, const struct server *s, uint64_t now_ns)
{
    uint64_t idle_timeout_ns = p->conf.policy.server_idle_timeout_ns;

    if (now_ns >= s->opened_ns + p->conf.policy.server_lifetime_ns)
        return "server_lifetime";
    if (idle_timeout_ns != 0 && has_spare(p) && idle_for_ns(s, now_ns) >= idle_timeout_ns)
        return "server_idle_timeout";
    return NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When to look at s next. What is past has been dealt with, or s is in use: then its lifetime is
 * seen to when it is given back, and it has not been idle yet. */
static uint64_t next_look_ns(const struct pool *p, const struct server *s, uint64_t now_ns)
{
    uint64_t lifetime_ns = clock_add_ns(s->opened_ns, p->conf.policy.server_lifetime_ns);
    uint64_t timeout_ns = p->conf.policy.server_idle_timeout_ns;
    uint64_t next_ns = lifetime_ns > now_ns ? lifetime_ns : CLOCK_NEVER;

    if (timeout_ns != 0 && has_spare(p)) {
        uint64_t idle_ns = clock_add_ns(idle_since_ns(s), timeout_ns);

        next_ns = earlier(next_ns, idle_ns > now_ns ? idle_ns : clock_add_ns(now_ns, timeout_ns));
    }
    return next_ns;
}

static void sweep(struct wheel_timer *t)
{
    struct pool_control *c = CONTAINER_OF(t, struct pool_control, sweep);
    struct pool *p = c->pool;
    struct thread *control = crew_control(p->crew);

    LIST_FOREACH (link, &c->servers) {
        struct server *s = server_at(link);
        const char *why = due(p, s, loop_now_ns(control->loop));

        if (why != NULL && control_take_this(p, s))
            control_close(control, s, why);
    }
    sweep_plan(p);
}

void sweep_plan(struct pool *p)
{
    struct pool_control *c = p->control;
    struct loop *loop = crew_control(p->crew)->loop;
    uint64_t now_ns = loop_now_ns(loop), next_ns = CLOCK_NEVER;

    LIST_FOREACH (link, &c->servers) {
        const struct server *s = server_at(link);

        if (server_phase(s) != SERVER_CLOSING)
            next_ns = earlier(next_ns, next_look_ns(p, s, now_ns));
    }
    c->sweep.fire = sweep;
    if (next_ns == CLOCK_NEVER)
        loop_timer_clear(loop, &c->sweep);
    else
        loop_timer_set(loop, &c->sweep, next_ns - now_ns);
}

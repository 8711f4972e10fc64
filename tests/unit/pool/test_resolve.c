/* Names: answered, dropped in time, dropped too late. */
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "../../../src/pool/resolve.h"
#include "weir/base/arena.h"
#include "weir/base/jobs.h"

static sem_t asked, go; /* of the name that blocks */

/* In the place of the C library's. */
int find_name(const char *name, const char *service, const struct addrinfo *hints,
              struct addrinfo **found) __asm__("getaddrinfo");
void free_found(struct addrinfo *list) __asm__("freeaddrinfo");

int find_name(const char *name, const char *service, const struct addrinfo *hints,
              struct addrinfo **found)
{
    static struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {0x0100007f}};
    static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    static struct addrinfo second = {.ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4)};
    static struct addrinfo first = {
        .ai_addr = (struct sockaddr *)&v6, .ai_addrlen = sizeof(v6), .ai_next = &second};

    cr_assert_str_eq(service, "65535");
    cr_assert_eq(hints->ai_socktype, SOCK_STREAM);
    if (name[0] == 'b') {
        sem_post(&asked);
        while (sem_wait(&go) != 0)
            ;
    }
    if (name[0] == 'n')
        return EAI_NONAME;
    *found = &first;
    return 0;
}

void free_found(struct addrinfo *list)
{
    (void)list;
}

struct scene {
    struct arena *arena;
    struct crew crew;
    struct thread *self;
    struct jobs *jobs;
    unsigned n_done;
    struct resolve_answer answer;
};

static void scene_init(struct scene *sc)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 8};
    struct loop_config config = {.engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail};

    *sc = (struct scene){.n_done = 0};
    sc->self = &sc->crew.threads[0];
    sc->self->crew = &sc->crew;
    sem_init(&asked, 0, 0);
    sem_init(&go, 0, 0);
    cr_assert_eq(arena_new(&sc->arena, &chunks), 0);
    config.arena = sc->arena;
    config.ctx = sc->self;
    cr_assert_eq(loop_new(&sc->self->loop, &config), 0);
    cr_assert_eq(jobs_new(&sc->jobs, 1), 0);
}

/* Waits for the helper: what it had to post is in the mailbox then. */
static void scene_end_helpers(struct scene *sc)
{
    jobs_free(sc->jobs);
    sc->jobs = NULL;
}

static void scene_fini(struct scene *sc)
{
    jobs_free(sc->jobs);
    loop_free(sc->self->loop);
    arena_free(sc->arena);
}

static void done(void *ctx, const struct resolve_answer *answer)
{
    struct scene *sc = ctx;

    sc->n_done++;
    sc->answer = *answer;
}

static struct resolve *ask(struct scene *sc, const char *name)
{
    const struct resolve_config config = {
        .jobs = sc->jobs, .host = name, .port = 65535, .done = done, .ctx = sc};
    struct resolve *r = resolve_start(&config, sc->self);

    cr_assert_not_null(r);
    cr_assert_eq(sc->n_done, 0, "answered at once");
    return r;
}

Test(resolve, answers)
{
    struct scene sc;

    scene_init(&sc);
    (void)ask(&sc, "db");
    while (sc.n_done == 0)
        cr_assert_eq(loop_turn(sc.self->loop), 0);
    cr_assert_null(sc.answer.error);
    cr_assert_eq(sc.answer.n_addrs, 2);
    cr_assert_eq(sc.answer.addrs[0].any.sa_family, AF_INET6);
    cr_assert_eq(sc.answer.addrs[0].len, sizeof(struct sockaddr_in6));
    cr_assert_eq(sc.answer.addrs[1].v4.sin_addr.s_addr, 0x0100007f);
    scene_fini(&sc);
}

Test(resolve, says_why_not)
{
    struct scene sc;

    scene_init(&sc);
    (void)ask(&sc, "nobody");
    while (sc.n_done == 0)
        cr_assert_eq(loop_turn(sc.self->loop), 0);
    cr_assert_str_eq(sc.answer.error, gai_strerror(EAI_NONAME));
    cr_assert_eq(sc.answer.n_addrs, 0);
    scene_fini(&sc);
}

Test(resolve, dropped_while_it_is_asked)
{
    struct scene sc;

    scene_init(&sc);
    cr_assert(resolve_drop(ask(&sc, "blocks")));
    sem_post(&go);
    scene_end_helpers(&sc);
    scene_fini(&sc);
}

Test(resolve, dropped_too_late)
{
    struct scene sc;
    struct resolve *r;

    scene_init(&sc);
    r = ask(&sc, "db");
    scene_end_helpers(&sc);
    cr_assert_not(resolve_drop(r));
    cr_assert_eq(loop_turn(sc.self->loop), 0);
    cr_assert_eq(sc.n_done, 1);
    scene_fini(&sc);
}

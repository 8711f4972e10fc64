/* All reactors together: who gets a client, what SHOW tells, how everything ends, what is logged.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "front.h"
#include "sessions.h"

#define BYTES(text) (text), sizeof(text) - 1

FRONT_TEST(sessions, fewest_clients)
{
    enum { N = 9 };
    struct front f;
    int fds[N];

    front_init(&f, &(struct front_config){.engine = *engine, .n_reactors = 3});
    for (unsigned i = 0; i < N; i++)
        fds[i] = front_connect(&f);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(sessions_n_clients(&f.crew.threads[i]), N / 3);
    /* Those of one reactor go: the next ones come there. */
    for (unsigned i = 1; i < N; i += 3)
        close(fds[i]);
    front_await_clients(&f, N - N / 3);
    for (unsigned i = 1; i < N; i += 3)
        fds[i] = front_connect(&f);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(sessions_n_clients(&f.crew.threads[i]), N / 3);
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
    front_fini(&f);
}

struct shown {
    unsigned n;
    struct {
        char user[64], database[64], phase[16];
        uint64_t id, connected_ns, waiting_since_ns;
    } items[4];
};

static void show(void *ctx, const struct session_info *info)
{
    struct shown *s = ctx;

    cr_assert_lt(s->n, 4);
    snprintf(s->items[s->n].user, 64, "%s", info->user);
    snprintf(s->items[s->n].database, 64, "%s", info->database);
    snprintf(s->items[s->n].phase, 16, "%s", info->phase);
    s->items[s->n].id = info->id;
    s->items[s->n].connected_ns = info->connected_ns;
    s->items[s->n].waiting_since_ns = info->waiting_since_ns;
    cr_assert_eq(info->server_id, 0);
    s->n++;
}

static void visit(struct thread *self, void *ctx)
{
    sessions_visit(self, show, ctx);
}

FRONT_TEST(sessions, show)
{
    static const struct {
        const char *user, *database, *phase;
        bool waits;
    } expected[] = {
        {"", "", "startup", false},
        {"alice", "cold", "login", true},
        {"alice", "app", "idle", false},
        {"alice", "app", "waiting", true},
    };
    struct front f;
    struct shown s = {0};
    int fds[4];

    front_init(&f, &(struct front_config){.engine = *engine});
    fds[0] = front_connect(&f);
    fds[1] = front_connect(&f);
    say_startup(fds[1], "alice", "cold");
    fds[2] = front_login(&f, "app", NULL);
    fds[3] = front_login(&f, "app", NULL);
    say(fds[3], BYTES("Q\0\0\0\x0dselect 1\0"));
    front_sync(&f);
    front_do(&f, 0, visit, &s);
    cr_assert_eq(s.n, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_str_eq(s.items[i].user, expected[i].user);
        cr_assert_str_eq(s.items[i].database, expected[i].database);
        cr_assert_str_eq(s.items[i].phase, expected[i].phase);
        cr_assert_eq(s.items[i].id, i + 1);
        cr_assert_neq(s.items[i].connected_ns, 0);
        cr_assert_eq(s.items[i].waiting_since_ns != 0, expected[i].waits);
        close(fds[i]);
    }
    front_fini(&f);
}

/* Each is told, unless it has asked nothing yet. */
FRONT_TEST(sessions, stop)
{
    struct front f;
    int startup, login, cold, idle, waiting;

    front_init(&f, &(struct front_config){
                       .engine = *engine, .n_reactors = 2, .weir = "auth_type = \"password\";"});
    startup = front_connect(&f);
    login = front_connect(&f);
    say_startup(login, "alice", "app");
    hear_bytes(login, (uint8_t[9]){0}, 9);
    cold = front_connect(&f);
    say_startup(cold, "alice", "cold");
    hear_bytes(cold, (uint8_t[9]){0}, 9);
    say(cold, BYTES("p\0\0\0\x0bpencil\0"));
    idle = front_connect(&f);
    say_startup(idle, "alice", "app");
    hear_bytes(idle, (uint8_t[9]){0}, 9);
    say(idle, BYTES("p\0\0\0\x0bpencil\0"));
    hear_greeting(idle, NULL);
    waiting = front_connect(&f);
    say_startup(waiting, "alice", "app");
    hear_bytes(waiting, (uint8_t[9]){0}, 9);
    say(waiting, BYTES("p\0\0\0\x0bpencil\0"));
    hear_greeting(waiting, NULL);
    say(waiting, BYTES("Q\0\0\0\x0dselect 1\0"));
    front_sync(&f);
    front_stop(&f);
    hear_end(startup);
    hear_fatal(login, "57P01", "shutting down");
    hear_fatal(cold, "57P01", "shutting down");
    hear_fatal(idle, "57P01", "shutting down");
    hear_fatal(waiting, "57P01", "shutting down");
    close(startup);
    close(login);
    close(cold);
    close(idle);
    close(waiting);
    front_fini(&f);
}

struct arrivals {
    struct front *front;
    int fds[9];
};

static void gone(void *ctx)
{
    struct front *f = ctx;

    sem_post(&f->gone);
}

/* Accepts, then stops, before any letter can have come. */
static void accept_and_stop(struct thread *self, void *ctx)
{
    struct arrivals *a = ctx;

    for (unsigned i = 0; i < 9; i++)
        sessions_accept(a->front->sessions, self, a->fds[i]);
    sessions_stop(self, gone, a->front);
}

static void stop(struct thread *self, void *ctx)
{
    sessions_stop(self, gone, ctx);
}

/* Clients who are on their way to a reactor when it stops are waited for, and let in no more. */
FRONT_TEST(sessions, stop_with_letters_on_their_way)
{
    struct front f;
    struct arrivals a = {.front = &f};
    int fds[9];

    front_init(&f, &(struct front_config){.engine = *engine, .n_reactors = 3});
    for (unsigned i = 0; i < 9; i++)
        front_connect_pair(&fds[i], &a.fds[i]);
    f.stopped = true;
    front_do(&f, 0, accept_and_stop, &a);
    front_do(&f, 1, stop, &f);
    front_do(&f, 2, stop, &f);
    for (unsigned i = 0; i < 3; i++)
        front_await_gone(&f);
    for (unsigned i = 0; i < 9; i++) {
        hear_end(fds[i]);
        close(fds[i]);
    }
    cr_assert_eq(FRONT_COUNT(&f, n_accepted), 9);
    front_fini(&f);
}

/* The same where the last client that is there goes before the letter comes. */
FRONT_TEST(sessions, stop_with_a_late_letter)
{
    struct front f;
    struct client *late;
    int there, late_fd, accepted;

    front_init(&f, &(struct front_config){.engine = *engine});
    there = front_login(&f, "app", NULL);
    front_connect_pair(&late_fd, &accepted);
    atomic_fetch_add(&f.sessions->shards[0].n_clients, 1);
    late = client_new(f.sessions, &f.sessions->shards[0], accepted);
    cr_assert_not_null(late);
    f.stopped = true;
    front_do(&f, 0, stop, &f);
    hear_fatal(there, "57P01", "shutting down");
    close(there);
    front_await_clients(&f, 1);
    cr_assert_lt(sem_trywait(&f.gone), 0, "it has not come yet");
    thread_post(&f.crew.threads[0], &late->letter);
    front_await_gone(&f);
    hear_end(late_fd);
    close(late_fd);
    front_fini(&f);
}

static unsigned n_lines(const struct front *f, const char *text)
{
    unsigned n = 0;

    for (const char *at = f->text; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void log_a_life(struct front *f, const enum loop_engine *engine, const char *weir)
{
    int fd;

    front_init(f, &(struct front_config){.engine = *engine, .weir = weir});
    fd = front_login(f, "app", NULL);
    say(fd, BYTES("X\0\0\0\4"));
    hear_end(fd);
    close(fd);
    fd = front_connect(f);
    say_startup(fd, "alice", "no where");
    hear_fatal(fd, "3D000", "no where");
    close(fd);
    fd = front_connect(f);
    say(fd, BYTES("\0\0\0\x0b\0\4\0\0u\0\0")); /* a version to come */
    hear_fatal(fd, "0A000", "protocol");
    close(fd);
    front_fini(f);
}

FRONT_TEST(sessions, log)
{
    static struct front f;

    log_a_life(&f, engine, "auth_type = \"trust\";");
    cr_assert_eq(n_lines(&f, "c1: login user=alice database=app address=127.0.0.1:"), 1, "%s",
                 f.text);
    cr_assert_eq(n_lines(&f, "c1: client left phase=idle reason=\"client closed"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "c2: pooler error sqlstate=3D000"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "c2: client left phase=login reason=refused\n"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "c3: pooler error sqlstate=0A000"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "c3: client left phase=startup reason=refused\n"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "\n"), 6);

    log_a_life(&f, engine,
               "auth_type = \"trust\"; log_connections = false; log_pooler_errors = false;");
    cr_assert_eq(n_lines(&f, "c2: client left phase=login reason=\"database"), 1, "%s", f.text);
    cr_assert_eq(n_lines(&f, "\n"), 3);

    log_a_life(&f, engine,
               "auth_type = \"trust\"; log_connections = false; log_disconnections = false; "
               "log_pooler_errors = false;");
    cr_assert_eq(f.n_text, 0, "%s", f.text);
}

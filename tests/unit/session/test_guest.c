/* Clients of a service: whole messages, one at a time, and an orderly end however it comes. */
#include <string.h>
#include <unistd.h>

#include "front.h"
#include "pgwire/build.h"
#include "weir/auth/wire.h"

#define BYTES(text) (text), sizeof(text) - 1
#define READY "Z\0\0\0\x05I"

/* Echoes the body of each message, and counts. Runs on one reactor; the numbers are read when that
 * has been synchronised with. */
struct echo {
    struct service service;
    struct guest *guest; /* who entered last */
    unsigned n_entered, n_left, n_messages;
    bool busy; /* in message(), or the last one is not dealt with */
    bool no_memory;
};

static struct echo *echo_of(struct service *s)
{
    return CONTAINER_OF(s, struct echo, service);
}

static bool serves(const struct service *s, struct span database)
{
    (void)s;
    return span_equal(database, span_str("weir"));
}

static bool admits(const struct service *s, struct span user)
{
    (void)s;
    return span_equal(user, span_str("alice"));
}

static bool entered(struct service *s, struct guest *g, struct span user)
{
    struct echo *e = echo_of(s);

    cr_assert(span_equal(user, span_str("alice")));
    if (e->no_memory)
        return false;
    e->n_entered++;
    e->guest = g;
    g->state = e;
    guest_send(g, span_of(BYTES(READY)));
    return true;
}

/* Letter H (Flush) is answered later, S (Sync) ends it after its answer. */
static void message(struct service *s, struct guest *g, uint8_t letter, struct span body)
{
    struct echo *e = echo_of(s);
    uint8_t *copy = loop_scratch(g->thread->loop, body.len + PGW_HEADER_LEN);
    struct pgw_writer w = pgw_writer_of(copy, body.len + PGW_HEADER_LEN);

    cr_assert_not(e->busy, "a message before the last one was dealt with");
    e->busy = true;
    e->n_messages++;
    cr_assert_not_null(copy);
    pgw_writer_begin(&w, letter);
    pgw_writer_bytes(&w, span_out(body));
    pgw_writer_end(&w);
    guest_send(g, span_of(copy, w.len));
    if (letter == PGW_F_FLUSH)
        return;
    e->busy = false;
    guest_ready(g);
    if (letter == PGW_F_SYNC) {
        guest_close(g);
        guest_close(g);
        guest_send(g, span_of(BYTES(READY))); /* too late: dropped */
    }
    cr_assert_eq(memcmp(copy + PGW_HEADER_LEN, body.ptr, body.len), 0, "the body has changed");
}

static void left(struct service *s, struct guest *g)
{
    struct echo *e = echo_of(s);

    cr_assert_eq(g->state, e);
    e->n_left++;
}

static struct echo echo_new(void)
{
    return (struct echo){.service = {.serves = serves,
                                     .admits = admits,
                                     .entered = entered,
                                     .message = message,
                                     .left = left}};
}

static void begin(struct front *f, const enum loop_engine *engine, struct echo *e)
{
    *e = echo_new();
    front_init(f, &(struct front_config){.engine = *engine, .service = &e->service});
}

static int enter(struct front *f)
{
    uint8_t bytes[9 + PGW_HEADER_LEN + KEY_LEN + 6];
    int fd = front_connect(f);

    say_startup(fd, "alice", "weir");
    hear_bytes(fd, bytes, sizeof(bytes));
    cr_assert_eq(bytes[0], 'R');
    cr_assert_eq(bytes[9], 'K');
    cr_assert_arr_eq(bytes + sizeof(bytes) - 6, READY, 6);
    return fd;
}

static void finish(struct front *f, const struct echo *e, unsigned n_guests)
{
    front_fini(f);
    cr_assert_eq(e->n_entered, n_guests);
    cr_assert_eq(e->n_left, n_guests);
}

static void hear_echo(int fd, uint8_t letter, const char *body)
{
    struct heard h;

    hear(fd, &h);
    cr_assert_eq(h.type, letter);
    cr_assert_eq(h.len, strlen(body) + 1);
    cr_assert_arr_eq(h.body, body, h.len);
}

FRONT_TEST(guest, in_and_out)
{
    struct front f;
    struct echo e;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    say(fd, BYTES("Q\0\0\0\x0aSHOW!\0"));
    hear_echo(fd, 'Q', "SHOW!");
    say(fd, BYTES("X\0\0\0\4"));
    hear_end(fd);
    close(fd);
    front_await_clients(&f, 0);
    fd = enter(&f);
    close(fd);
    front_await_clients(&f, 0);
    fd = enter(&f);
    front_stop(&f);
    hear_fatal(fd, "57P01", "shutting down");
    close(fd);
    finish(&f, &e, 3);
}

FRONT_TEST(guest, cut_at_every_byte)
{
    static const char bytes[] = "Q\0\0\0\x06X\0Q\0\0\0\x05\0Q\0\0\0\x0cgoodbye\0";
    struct front f;
    struct echo e;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    for (size_t cut = 1; cut < sizeof(bytes) - 1; cut++) {
        say(fd, bytes, cut);
        front_sync(&f);
        say(fd, bytes + cut, sizeof(bytes) - 1 - cut);
        hear_echo(fd, 'Q', "X");
        hear_echo(fd, 'Q', "");
        hear_echo(fd, 'Q', "goodbye");
    }
    close(fd);
    finish(&f, &e, 1);
}

static void ready(struct thread *self, void *ctx)
{
    struct echo *e = ctx;

    (void)self;
    e->busy = false;
    guest_ready(e->guest);
}

FRONT_TEST(guest, one_at_a_time)
{
    struct front f;
    struct echo e;
    struct heard h;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    say(fd, BYTES("H\0\0\0\4H\0\0\0\4Q\0\0\0\x05\0"));
    for (unsigned i = 0; i < 2; i++) {
        hear(fd, &h);
        cr_assert_eq(h.type, 'H');
        front_sync(&f);
        cr_assert_eq(e.n_messages, i + 1);
        front_do(&f, 0, ready, &e);
    }
    hear_echo(fd, 'Q', "");
    close(fd);
    finish(&f, &e, 1);
}

/* Its service has not yet answered when it goes; the answer is not missed. */
FRONT_TEST(guest, leaves_while_it_is_served)
{
    struct front f;
    struct echo e;
    struct heard h;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    say(fd, BYTES("H\0\0\0\4X\0\0\0\4"));
    hear(fd, &h);
    close(fd);
    front_await_clients(&f, 0);
    finish(&f, &e, 1);
}

FRONT_TEST(guest, closed_by_the_service)
{
    struct front f;
    struct echo e;
    struct heard h;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    say(fd, BYTES("S\0\0\0\4Q\0\0\0\x05\0"));
    hear(fd, &h);
    cr_assert_eq(h.type, 'S');
    hear_end(fd);
    close(fd);
    finish(&f, &e, 1);
    cr_assert_eq(e.n_messages, 1);
}

FRONT_TEST(guest, violations)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        const char *sqlstate, *text;
    } cases[] = {
        {"unknown letter", BYTES("\1\0\0\0\4"), "08P01", "invalid"},
        {"a length below itself", BYTES("Q\0\0\0\3"), "08P01", "invalid"},
        {"a password", BYTES("p\0\0\0\6x\0"), "08P01", "invalid"},
        {"too long", BYTES("Q\0\1\0\5"), "54000", "65536"},
    };
    struct front f;
    struct echo e;

    begin(&f, engine, &e);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = enter(&f);

        cr_log_info("%s", cases[i].name);
        say(fd, cases[i].bytes, cases[i].len);
        hear_fatal(fd, cases[i].sqlstate, cases[i].text);
        close(fd);
    }
    finish(&f, &e, 4);
}

FRONT_TEST(guest, longest_message)
{
    static uint8_t bytes[PGW_HEADER_LEN + SERVICE_MESSAGE_MAX] = "Q\0\1\0\4", echo[sizeof(bytes)];
    struct front f;
    struct echo e;
    int fd;

    for (size_t i = PGW_HEADER_LEN; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    begin(&f, engine, &e);
    fd = enter(&f);
    for (unsigned i = 0; i < 3; i++) {
        say(fd, bytes, sizeof(bytes));
        hear_bytes(fd, echo, sizeof(echo));
        cr_assert_eq(memcmp(bytes, echo, sizeof(bytes)), 0);
    }
    close(fd);
    finish(&f, &e, 1);
}

/* Whoever sends on and on without an answer is stopped where the buffer ends. */
FRONT_TEST(guest, flood)
{
    static uint8_t bytes[PGW_HEADER_LEN + SERVICE_MESSAGE_MAX + 1] = "H\0\0\0\4Q\0\1\0\4";
    struct front f;
    struct echo e;
    struct heard h;
    int fd;

    begin(&f, engine, &e);
    fd = enter(&f);
    say(fd, bytes, sizeof(bytes));
    say(fd, bytes, sizeof(bytes));
    hear(fd, &h);
    cr_assert_eq(h.type, 'H');
    hear(fd, &h);
    check_fatal(&h, "54000", "too much");
    close(fd);
    finish(&f, &e, 1);
}

FRONT_TEST(guest, not_admitted)
{
    struct front f;
    struct echo e;
    int fd;

    begin(&f, engine, &e);
    fd = front_connect(&f);
    say_startup(fd, "mallory", "weir");
    hear_fatal(fd, "28000", "mallory");
    close(fd);
    e.no_memory = true;
    fd = front_connect(&f);
    say_startup(fd, "alice", "weir");
    hear_bytes(fd, (uint8_t[9 + PGW_HEADER_LEN + KEY_LEN]){0}, 9 + PGW_HEADER_LEN + KEY_LEN);
    hear_fatal(fd, "53200", "memory");
    close(fd);
    finish(&f, &e, 0);
}

/* Messages that came behind the login reach the service; guests do not count as clients. */
FRONT_TEST(guest, early_and_uncounted)
{
    struct front f;
    struct echo e = echo_new();
    uint8_t bytes[9 + PGW_HEADER_LEN + KEY_LEN + 6];
    int fd, other;

    front_init(&f, &(struct front_config){.engine = *engine,
                                          .weir = "auth_type = \"trust\"; max_client_conn = 1;",
                                          .service = &e.service});
    other = front_login(&f, "app", NULL);
    fd = front_connect(&f);
    say(fd, BYTES("\0\0\0\x22\0\3\0\0user\0alice\0database\0weir\0\0Q\0\0\0\x06X\0"));
    hear_bytes(fd, bytes, sizeof(bytes));
    hear_echo(fd, 'Q', "X");
    close(fd);
    close(other);
    finish(&f, &e, 1);
}

/* First packets: what is taken, what is refused, in which words, and in how many pieces. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"
#include "pgwire/build.h"
#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"

/* A startup packet of version 3.0 around these parameters, to be used with PACKET(). */
#define V3 "\0\3\0\0"
#define ALICE "user\0alice\0database\0app\0"
#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define GSS_REQUEST "\0\0\0\x08\x04\xd2\x16\x30"
#define CANCEL_REQUEST "\0\0\0\x10\x04\xd2\x16\x2e"

#define BYTES(text) (text), sizeof(text) - 1

enum outcome {
    GREETED,
    SILENCE,  /* closed without a word */
    FATAL,    /* told why, closed */
    DECLINED, /* 'N', and the connection goes on */
    WAITS,    /* not whole yet */
};

static const struct startup_case {
    const char *name;
    const char *bytes;
    size_t len;
    bool framed; /* the length is put in front */
    enum outcome outcome;
    const char *sqlstate, *text;
} startup_cases[] = {
    {"plain", BYTES(V3 ALICE "\0"), true, GREETED, NULL, NULL},
    {"database of the user's name", BYTES(V3 "user\0app\0\0"), true, GREETED, NULL, NULL},
    {"other parameters", BYTES(V3 ALICE "application_name\0psql\0options\0\0\0"), true, GREETED,
     NULL, NULL},
    {"one that nobody sets", BYTES(V3 ALICE "IS_superuser\0on\0\0"), true, FATAL, "55P02",
     "cannot be changed"},
    {"one for the start of a process", BYTES(V3 ALICE "options\0-c log-connections=on\0\0"), true,
     FATAL, "55P02", "log_connections"},
    {"no option", BYTES(V3 ALICE "options\0work_mem\0\0"), true, FATAL, "42601", "work_mem"},
    {"replication off", BYTES(V3 ALICE "replication\0false\0\0"), true, GREETED, NULL, NULL},
    {"replication", BYTES(V3 ALICE "replication\0true\0\0"), true, WAITS, NULL, NULL},
    {"logical", BYTES(V3 ALICE "replication\0database\0\0"), true, WAITS, NULL, NULL},
    {"no replication", BYTES(V3 ALICE "replication\0maybe\0\0"), true, FATAL, "22023",
     "replication"},
    {"no user", BYTES(V3 "database\0app\0\0"), true, FATAL, "28000", "user"},
    {"empty user", BYTES(V3 "user\0\0database\0app\0\0"), true, FATAL, "28000", "user"},
    {"no end", BYTES(V3 ALICE), true, FATAL, "08P01", "terminator"},
    {"a version to come", BYTES("\0\4\0\0" ALICE "\0"), true, FATAL, "0A000", "protocol"},
    {"the encryption of nobody", BYTES("\x04\xd2\x16\x31"), true, FATAL, "0A000", "protocol"},
    {"no length", BYTES("\0\0\0"), false, WAITS, NULL, NULL},
    {"length 0", BYTES("\0\0\0\0"), false, SILENCE, NULL, NULL},
    {"too short", BYTES("\0\0\0\7\0\3\0"), false, SILENCE, NULL, NULL},
    {"too long", BYTES("\0\0\x27\x15" V3), false, SILENCE, NULL, NULL},
    {"as long as can be", BYTES("\0\0\x27\x14" V3), false, WAITS, NULL, NULL},
    {"far too long", BYTES("\xff\xff\xff\xff" V3), false, SILENCE, NULL, NULL},
    {"HTTP", BYTES("GET / HTTP/1.1\r\n\r\n"), false, SILENCE, NULL, NULL},
    {"TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), false, SILENCE, NULL, NULL},
    {"SSL", BYTES(SSL_REQUEST), false, DECLINED, NULL, NULL},
    {"GSSAPI", BYTES(GSS_REQUEST), false, DECLINED, NULL, NULL},
    {"SSL and more", BYTES(SSL_REQUEST "\0"), false, FATAL, "08P01", "encryption"},
    {"GSSAPI and more", BYTES(GSS_REQUEST "\0"), false, FATAL, "08P01", "encryption"},
    {"SSL and startup at once", BYTES(SSL_REQUEST "\0\0\0\x22" V3 ALICE "\0"), false, FATAL,
     "08P01", "encryption"},
    {"SSL too long", BYTES("\0\0\0\x09\x04\xd2\x16\x2f\0"), false, SILENCE, NULL, NULL},
    {"cancel of nobody", BYTES(CANCEL_REQUEST "\0\0\0\1\1\2\3\4"), false, SILENCE, NULL, NULL},
    {"cancel of 0", BYTES(CANCEL_REQUEST "\0\0\0\0\1\2\3\4"), false, SILENCE, NULL, NULL},
    {"cancel of the last", BYTES(CANCEL_REQUEST "\xff\xff\xff\xff\1\2\3\4"), false, SILENCE, NULL,
     NULL},
    {"cancel without a key", BYTES("\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\1"), false, SILENCE, NULL,
     NULL},
};
#define N_STARTUP_CASES (sizeof(startup_cases) / sizeof(startup_cases[0]))

static size_t packet_of(const struct startup_case *c, uint8_t out[512])
{
    size_t at = c->framed ? 4 : 0;

    memcpy(out + at, c->bytes, c->len);
    if (c->framed)
        memcpy(out, (const uint8_t[4]){0, 0, 0, (uint8_t)(c->len + 4)}, 4);
    return at + c->len;
}

static void check_open(struct front *f, int fd)
{
    uint8_t byte;

    front_sync(f);
    cr_assert_lt(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "neither data nor the end was expected");
}

static void check_outcome(struct front *f, const struct startup_case *c, int fd)
{
    char n;

    switch (c->outcome) {
    case GREETED:
        hear_greeting(fd, NULL);
        break;
    case SILENCE:
        hear_end(fd);
        break;
    case FATAL:
        hear_fatal(fd, c->sqlstate, c->text);
        break;
    case DECLINED:
        hear_bytes(fd, &n, 1);
        cr_assert_eq(n, 'N');
        check_open(f, fd);
        break;
    case WAITS:
        check_open(f, fd);
        break;
    }
}

FRONT_TEST(startup, first_packets)
{
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (size_t i = 0; i < N_STARTUP_CASES; i++) {
        const struct startup_case *c = &startup_cases[i];
        uint8_t packet[512];
        size_t len = packet_of(c, packet);
        int fd = front_connect(&f);

        cr_log_info("%s", c->name);
        say(fd, packet, len);
        check_outcome(&f, c, fd);
        close(fd);
    }
    front_await_clients(&f, 0);
    front_fini(&f);
}

/* Each packet whose first part alone says nothing, cut at every place. */
FRONT_TEST(startup, cut_at_every_byte)
{
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (size_t i = 0; i < N_STARTUP_CASES; i++) {
        const struct startup_case *c = &startup_cases[i];
        uint8_t packet[512];
        size_t len = packet_of(c, packet);

        if (c->outcome == SILENCE || c->outcome == WAITS || strstr(c->name, "more") != NULL ||
            strstr(c->name, "at once") != NULL)
            continue;
        for (size_t cut = 1; cut < len; cut++) {
            int fd = front_connect(&f);

            say(fd, packet, cut);
            check_open(&f, fd);
            say(fd, packet + cut, len - cut);
            check_outcome(&f, c, fd);
            close(fd);
        }
    }
    front_fini(&f);
}

static void ask_encryption(int fd, const char *request)
{
    char n;

    say(fd, request, 8);
    hear_bytes(fd, &n, 1);
    cr_assert_eq(n, 'N');
}

FRONT_TEST(startup, encryption_is_declined_once_each)
{
    struct front f;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});

    fd = front_connect(&f);
    ask_encryption(fd, GSS_REQUEST);
    ask_encryption(fd, SSL_REQUEST);
    say_startup(fd, "alice", "app");
    hear_greeting(fd, NULL);
    close(fd);

    fd = front_connect(&f);
    ask_encryption(fd, SSL_REQUEST);
    say(fd, SSL_REQUEST, 8);
    hear_fatal(fd, "08P01", "twice");
    close(fd);

    fd = front_connect(&f);
    ask_encryption(fd, SSL_REQUEST);
    say(fd, BYTES(CANCEL_REQUEST "\0\0\0\1\1\2\3\4"));
    hear_end(fd);
    close(fd);
    cr_assert_eq(FRONT_COUNT(&f, n_violations), 1);
    cr_assert_eq(FRONT_COUNT(&f, n_refused), 1);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels_unknown), 1);
    front_fini(&f);
}

/* A version 2 client is told in the form that it knows: E, a text, a NUL. */
FRONT_TEST(startup, version_2)
{
    struct front f;
    uint8_t packet[296] = {0, 0, 1, 0x28, 0, 2, 0, 0}, answer[512];
    ssize_t n;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say(fd, packet, sizeof(packet));
    n = recv(fd, answer, sizeof(answer), MSG_WAITALL);
    cr_assert_gt(n, 8);
    cr_assert_eq(answer[0], 'E');
    cr_assert_eq(answer[n - 1], '\0');
    cr_assert_not_null(memmem(answer, (size_t)n, "protocol", 8));
    close(fd);
    front_fini(&f);
}

/* Versions later than 3.2 and options are declined in one message, and the login goes on. */
FRONT_TEST(startup, negotiation)
{
    static const struct {
        uint32_t version;
        const char *option;
        uint32_t n_options;
        uint32_t told;
    } cases[] = {{PGW_VERSION(3, 3), NULL, 0, PGW_VERSION_3_2},
                 {PGW_VERSION_3_0, "_pq_.shoe_size", 1, PGW_VERSION_3_0},
                 {PGW_VERSION(3, 1), "_pq_.x", 1, PGW_VERSION(3, 1)},
                 {PGW_VERSION_3_2, "_pq_.x", 1, PGW_VERSION_3_2},
                 {PGW_VERSION(3, 9999), "_pq_.x", 1, PGW_VERSION_3_2}};
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[256];
        struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
        const struct pgw_param params[] = {
            {pgw_span_str("user"), pgw_span_str("alice")},
            {pgw_span_str("database"), pgw_span_str("app")},
            {pgw_span_str(cases[i].option != NULL ? cases[i].option : ""), pgw_span_str("44")}};
        struct pgw_negotiation said;
        struct heard h;
        int fd = front_connect(&f);

        pgw_build_startup(&w, cases[i].version, params, 2 + cases[i].n_options);
        say(fd, buf, w.len);
        hear(fd, &h);
        cr_assert_eq(h.type, PGW_B_NEGOTIATE_PROTOCOL_VERSION);
        cr_assert_eq(pgw_read_negotiate_protocol_version(pgw_span_of(h.body, h.len), &said),
                     PGW_READY);
        cr_assert_eq(said.version, cases[i].told);
        cr_assert_eq(said.n_options, cases[i].n_options);
        hear(fd, &h);
        cr_assert_eq(h.type, PGW_B_AUTHENTICATION);
        close(fd);
    }
    front_fini(&f);
}

/* The answer has room also where it is longer than what it answers. */
FRONT_TEST(startup, negotiation_of_the_shortest)
{
    struct front f;
    struct heard h;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say(fd, BYTES("\0\0\0\x18" V3 "user\0a\0_pq_.x\0\0\0"));
    hear(fd, &h);
    cr_assert_eq(h.type, PGW_B_NEGOTIATE_PROTOCOL_VERSION);
    hear_fatal(fd, "3D000", "\"a\"");
    close(fd);
    front_fini(&f);
}

/* As many options as a packet can hold are all declined. */
FRONT_TEST(startup, negotiation_of_everything)
{
    struct front f;
    uint8_t packet[PGW_STARTUP_BODY_MAX + 4] = {0, 0, 0x27, 0x14, 0, 3, 0, 0};
    size_t at = 8;
    uint8_t answer[PGW_HEADER_LEN];
    int fd;

    memcpy(packet + at, ALICE, sizeof(ALICE) - 1);
    at += sizeof(ALICE) - 1;
    while (sizeof(packet) - 1 - at >= 7 + 7) {
        memcpy(packet + at, "_pq_.\0", 7);
        at += 7; /* name and value: both end here */
    }
    memcpy(packet + at, "_pq_.xxxxxxxxxxxxxx", sizeof(packet) - 3 - at);
    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say(fd, packet, sizeof(packet));
    hear_bytes(fd, answer, sizeof(answer));
    cr_assert_eq(answer[0], PGW_B_NEGOTIATE_PROTOCOL_VERSION);
    cr_assert_gt(answer[3] << 8 | answer[4], 8000);
    close(fd);
    front_fini(&f);
}

/* Names are cut at 63 bytes, as PostgreSQL does. */
FRONT_TEST(startup, long_names)
{
    char user[101] = "", database[101] = "";
    struct front f;
    int fd;

    memset(user, 'u', 100);
    memset(database, 'd', 100);
    front_init(&f,
               &(struct front_config){
                   .engine = *engine,
                   .users = "\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\" "
                            "\"x\"\n"});
    fd = front_connect(&f);
    say_startup(fd, user, database);
    database[63] = '\0';
    hear_fatal(fd, "3D000", database);
    close(fd);
    front_fini(&f);
}

FRONT_TEST(startup, max_client_conn)
{
    struct front f;
    int first, second;

    front_init(&f, &(struct front_config){.engine = *engine,
                                          .weir = "auth_type = \"trust\"; max_client_conn = 1;"});
    first = front_login(&f, "app", NULL);
    second = front_connect(&f); /* does not count before it has said something */
    front_sync(&f);
    say_startup(second, "alice", "app");
    hear_fatal(second, "53300", "max_client_conn = 1");
    close(second);
    front_await_clients(&f, 1);
    close(first);
    front_await_clients(&f, 0);
    close(front_login(&f, "app", NULL));
    cr_assert_eq(FRONT_COUNT(&f, n_refused), 1);
    cr_assert_eq(FRONT_COUNT(&f, n_logins), 2);
    cr_assert_eq(FRONT_COUNT(&f, n_accepted), 3);
    front_fini(&f);
}

/* Nothing is said to who has said nothing. */
FRONT_TEST(startup, client_login_timeout)
{
    struct front f;
    int silent, half;

    front_init(&f, &(struct front_config){
                       .engine = *engine,
                       .weir = "auth_type = \"password\"; client_login_timeout = \"100ms\";"});
    silent = front_connect(&f);
    half = front_connect(&f);
    say_startup(half, "alice", "app");
    hear_end(silent);
    hear_bytes(half, (uint8_t[9]){0}, 9); /* the request for a password */
    hear_fatal(half, "08P01", "client_login_timeout");
    close(silent);
    close(half);
    front_fini(&f);
}

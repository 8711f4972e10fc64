/* First packets: what PostgreSQL 15 was seen to do with them is in the comments of the cases. */
#include "pgwire/startup.h"

#include <criterion/criterion.h>

#include "exact.h"
#include "pgwire/build.h"
#include "pgwire/endian.h"
#include "pgwire/proto.h"

#define SPAN(s) pgw_span_of(s, sizeof(s) - 1)
#define MAX_PACKET (PGW_LENGTH_LEN + PGW_STARTUP_BODY_MAX)

/* A packet of this code and body, in a buffer of exactly its length; the caller frees it. */
static struct pgw_span packet_of(uint32_t code, struct pgw_span body)
{
    size_t len = PGW_LENGTH_LEN + sizeof(code) + body.len;
    uint8_t *packet = malloc(len);

    if (packet == NULL)
        abort();
    pgw_store_u32(packet, (uint32_t)len);
    pgw_store_u32(packet + PGW_LENGTH_LEN, code);
    if (body.len > 0)
        memcpy(packet + PGW_LENGTH_LEN + sizeof(code), body.ptr, body.len);
    return pgw_span_of(packet, len);
}

static void free_packet(struct pgw_span packet)
{
    free((void *)(uintptr_t)packet.ptr); /* NOLINT(performance-no-int-to-ptr): it was not const */
}

struct session_case {
    const char *what;
    uint32_t version;
    struct pgw_span params;
    const char *sqlstate; /* NULL: accepted */
    const char *user;
    const char *database;
};

#define BODY(s)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }
#define V3 PGW_VERSION_3_0

/* clang-format off */
static const struct session_case session_cases[] = {
    {"plain", V3, BODY("user\0joe\0database\0app\0\0"), NULL, "joe", "app"},
    {"no database", V3, BODY("user\0joe\0\0"), NULL, "joe", "joe"},
    {"empty database", V3, BODY("user\0joe\0database\0\0\0"), NULL, "joe", "joe"},
    {"database first", V3, BODY("database\0app\0user\0joe\0\0"), NULL, "joe", "app"},
    {"user twice: the last counts", V3, BODY("user\0joe\0user\0ann\0\0"), NULL, "ann", "ann"},
    {"later minor version", PGW_VERSION(3, 9999), BODY("user\0joe\0\0"), NULL, "joe", "joe"},
    {"name cut to 63 bytes", V3,
     BODY("user\0" "0123456789012345678901234567890123456789012345678901234567890123" "\0\0"), NULL,
     "012345678901234567890123456789012345678901234567890123456789012",
     "012345678901234567890123456789012345678901234567890123456789012"},
    {"nothing at all", V3, BODY(""), "08P01", NULL, NULL},
    {"no parameter", V3, BODY("\0"), "28000", NULL, NULL},
    {"no user", V3, BODY("database\0app\0\0"), "28000", NULL, NULL},
    {"empty user", V3, BODY("user\0\0\0"), "28000", NULL, NULL},
    {"no terminator", V3, BODY("user\0joe\0"), "08P01", NULL, NULL},
    {"a name without value", V3, BODY("user\0joe\0database\0"), "08P01", NULL, NULL},
    {"value without its NUL", V3, BODY("user\0joe"), "08P01", NULL, NULL},
    {"name without its NUL", V3, BODY("user"), "08P01", NULL, NULL},
    {"bytes after the terminator", V3, BODY("user\0joe\0\0x"), "08P01", NULL, NULL},
    {"an empty name ends the list", V3, BODY("user\0joe\0\0app\0\0"), "08P01", NULL, NULL},
    {"a letter for a terminator (PostgreSQL lets it pass)", V3, BODY("user\0joe\0x"), "08P01", NULL,
     NULL},
    {"protocol 2", PGW_VERSION(2, 0), BODY("whatever"), "0A000", NULL, NULL},
    {"protocol 4", PGW_VERSION(4, 0), BODY("user\0joe\0\0"), "0A000", NULL, NULL},
    {"protocol 0", 0, BODY("user\0joe\0\0"), "0A000", NULL, NULL},
    {"unknown request code", PGW_VERSION(1234, 5677), BODY(""), "0A000", NULL, NULL},
    {"bad replication", V3, BODY("user\0joe\0replication\0maybe\0\0"), "22023", NULL, NULL},
};
/* clang-format on */

static void check_session(const struct session_case *c, const struct pgw_startup *s)
{
    if (c->sqlstate != NULL) {
        cr_assert_eq(s->kind, PGW_STARTUP_REFUSED, "%s", c->what);
        cr_assert_str_eq(s->refusal.sqlstate, c->sqlstate, "%s", c->what);
        return;
    }
    cr_assert_eq(s->kind, PGW_STARTUP_SESSION, "%s", c->what);
    cr_assert(pgw_span_is(s->user, c->user), "%s", c->what);
    cr_assert(pgw_span_is(s->database, c->database), "%s", c->what);
    cr_assert_eq(s->params.len, c->params.len - 1, "%s", c->what);
}

Test(startup, sessions)
{
    for (size_t i = 0; i < sizeof(session_cases) / sizeof(session_cases[0]); i++) {
        const struct session_case *c = &session_cases[i];
        struct pgw_span packet = packet_of(c->version, c->params), in = packet;
        struct pgw_startup s;

        cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY, "%s", c->what);
        cr_assert_eq(in.len, 0, "%s", c->what);
        cr_assert_eq(s.version, c->version, "%s", c->what);
        check_session(c, &s);
        free_packet(packet);
    }
}

Test(startup, params_are_handed_out_in_order)
{
    struct pgw_span packet = packet_of(V3, SPAN("user\0joe\0options\0-c a=b\0_pq_.x\0"
                                                "1\0"
                                                "_pq\0no\0_pq_.y\0\0\0"));
    struct pgw_span in = packet;
    struct pgw_startup s;
    struct pgw_param p;

    cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
    cr_assert(pgw_span_is(s.options, "-c a=b"));
    cr_assert_eq(s.n_protocol_options, 2);
    cr_assert(pgw_startup_needs_negotiation(&s, PGW_VERSION_3_2));
    for (int i = 0; i < 5; i++)
        cr_assert(pgw_param_next(&s.params, &p));
    cr_assert(pgw_span_is(p.name, "_pq_.y"));
    cr_assert(pgw_span_is(p.value, ""));
    cr_assert_not(pgw_param_next(&s.params, &p));
    free_packet(packet);
}

Test(startup, negotiation)
{
    const struct pgw_startup of_3_0 = {.version = PGW_VERSION_3_0};
    const struct pgw_startup of_3_2 = {.version = PGW_VERSION_3_2};

    cr_assert_not(pgw_startup_needs_negotiation(&of_3_0, PGW_VERSION_3_0));
    cr_assert_not(pgw_startup_needs_negotiation(&of_3_0, PGW_VERSION_3_2));
    cr_assert_not(pgw_startup_needs_negotiation(&of_3_2, PGW_VERSION_3_2));
    cr_assert(pgw_startup_needs_negotiation(&of_3_2, PGW_VERSION_3_0));
}

struct replication_case {
    const char *value;
    bool is_valid;
    enum pgw_replication expected;
};

Test(startup, replication)
{
    const struct replication_case cases[] = {
        {"database", true, PGW_REPLICATION_LOGICAL},
        {"true", true, PGW_REPLICATION_PHYSICAL},
        {"TRUE", true, PGW_REPLICATION_PHYSICAL},
        {"t", true, PGW_REPLICATION_PHYSICAL},
        {"yes", true, PGW_REPLICATION_PHYSICAL},
        {"on", true, PGW_REPLICATION_PHYSICAL},
        {"1", true, PGW_REPLICATION_PHYSICAL},
        {"false", true, PGW_REPLICATION_OFF},
        {"F", true, PGW_REPLICATION_OFF},
        {"no", true, PGW_REPLICATION_OFF},
        {"of", true, PGW_REPLICATION_OFF},
        {"off", true, PGW_REPLICATION_OFF},
        {"0", true, PGW_REPLICATION_OFF},
        {"o", false, 0},
        {"", false, 0},
        {"truely", false, 0},
        {"10", false, 0},
        {"Database", false, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[128];
        struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
        const struct pgw_param params[] = {
            {pgw_span_str("user"), pgw_span_str("joe")},
            {pgw_span_str("replication"), pgw_span_str(cases[i].value)}};
        struct pgw_startup s;

        pgw_build_startup(&w, V3, params, 2);

        struct pgw_span in = pgw_writer_span(&w);

        cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
        cr_assert_eq(s.kind, cases[i].is_valid ? PGW_STARTUP_SESSION : PGW_STARTUP_REFUSED, "%s",
                     cases[i].value);
        cr_assert(!cases[i].is_valid || s.replication == cases[i].expected, "%s", cases[i].value);
    }
}

struct request_case {
    const char *what;
    uint32_t code;
    size_t body_len;
    enum pgw_answer answer;
    enum pgw_startup_kind kind;
};

Test(startup, requests)
{
    static const uint8_t body[4 + PGW_CANCEL_KEY_MAX + 1] = {0, 0, 0x12, 0x34, 1, 2, 3, 4};
    const struct request_case cases[] = {
        {"SSLRequest", PGW_CODE_SSL, 0, PGW_READY, PGW_STARTUP_SSL},
        {"SSLRequest with a body", PGW_CODE_SSL, 1, PGW_INVALID, 0},
        {"GSSENCRequest", PGW_CODE_GSSENC, 0, PGW_READY, PGW_STARTUP_GSSENC},
        {"GSSENCRequest with a body", PGW_CODE_GSSENC, 4, PGW_INVALID, 0},
        {"CancelRequest", PGW_CODE_CANCEL, 8, PGW_READY, PGW_STARTUP_CANCEL},
        {"CancelRequest of 3.2", PGW_CODE_CANCEL, 36, PGW_READY, PGW_STARTUP_CANCEL},
        {"longest key", PGW_CODE_CANCEL, sizeof(body) - 1, PGW_READY, PGW_STARTUP_CANCEL},
        {"key too long", PGW_CODE_CANCEL, sizeof(body), PGW_INVALID, 0},
        {"key too short", PGW_CODE_CANCEL, 7, PGW_INVALID, 0},
        {"no key", PGW_CODE_CANCEL, 4, PGW_INVALID, 0},
        {"no process", PGW_CODE_CANCEL, 0, PGW_INVALID, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct request_case *c = &cases[i];
        struct pgw_span packet = packet_of(c->code, pgw_span_of(body, c->body_len)), in = packet;
        struct pgw_startup s;

        cr_assert_eq(pgw_startup_next(&in, &s), c->answer, "%s", c->what);
        cr_assert_eq(in.len, c->answer == PGW_READY ? 0 : packet.len, "%s", c->what);
        if (c->answer == PGW_READY)
            cr_assert_eq(s.kind, c->kind, "%s", c->what);
        if (c->answer == PGW_READY && c->kind == PGW_STARTUP_CANCEL) {
            cr_assert_eq(s.cancel_pid, 0x1234, "%s", c->what);
            cr_assert_eq(s.cancel_key.len, c->body_len - 4, "%s", c->what);
            cr_assert_eq(pgw_load_u32(s.cancel_key.ptr), 0x01020304, "%s", c->what);
        }
        free_packet(packet);
    }
}

Test(startup, cut_anywhere_is_partial_and_consumes_nothing)
{
    for (size_t i = 0; i < sizeof(session_cases) / sizeof(session_cases[0]); i++) {
        struct pgw_span packet = packet_of(session_cases[i].version, session_cases[i].params);

        for (size_t len = 0; len < packet.len; len++) {
            uint8_t *copy = exact_copy(pgw_span_of(packet.ptr, len));
            struct pgw_span in = {copy, len};
            struct pgw_startup s;

            cr_assert_eq(pgw_startup_next(&in, &s), PGW_PARTIAL);
            cr_assert_eq(in.len, len);
            free(copy);
        }
        free_packet(packet);
    }
}

/* As if the client had meant to send less: never a session but with the whole of a parameter list.
 */
Test(startup, cut_bodies_are_refused)
{
    const struct session_case *c = &session_cases[0];

    for (size_t len = 0; len < c->params.len; len++) {
        struct pgw_span packet = packet_of(V3, pgw_span_of(c->params.ptr, len)), in = packet;
        struct pgw_startup s;

        cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
        cr_assert_eq(s.kind, PGW_STARTUP_REFUSED, "%zu bytes", len);
        free_packet(packet);
    }
}

Test(startup, one_wrong_byte_is_never_read_beyond)
{
    struct pgw_span packet = packet_of(V3, SPAN("user\0joe\0database\0app\0replication\0t\0\0"));

    for (size_t at = 0; at < packet.len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t *copy = exact_copy(packet);
            struct pgw_span in = {copy, packet.len};
            struct pgw_startup s;

            copy[at] = (uint8_t)value;

            enum pgw_answer answer = pgw_startup_next(&in, &s);

            if (at == PGW_LENGTH_LEN || at == PGW_LENGTH_LEN + 1) /* the major version */
                cr_assert(value == packet.ptr[at] || s.kind == PGW_STARTUP_REFUSED);
            if (answer == PGW_READY && s.kind == PGW_STARTUP_SESSION)
                cr_assert(s.user.ptr >= copy && s.user.ptr + s.user.len < copy + packet.len);
            free(copy);
        }
    }
    free_packet(packet);
}

struct length_case {
    uint32_t length;
    enum pgw_answer answer;
};

Test(startup, lengths)
{
    const struct length_case cases[] = {
        {0, PGW_INVALID},          {4, PGW_INVALID},          {7, PGW_INVALID},
        {8, PGW_PARTIAL},          {MAX_PACKET, PGW_PARTIAL}, {MAX_PACKET + 1, PGW_INVALID},
        {0x16030100, PGW_INVALID}, {0x47455420, PGW_INVALID}, {UINT32_MAX, PGW_INVALID},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[PGW_LENGTH_LEN];
        struct pgw_span in = {bytes, sizeof(bytes)};
        struct pgw_startup s;

        pgw_store_u32(bytes, cases[i].length);
        cr_assert_eq(pgw_startup_next(&in, &s), cases[i].answer, "%u", cases[i].length);
    }
}

Test(startup, the_longest_packet_is_read)
{
    static char params[PGW_STARTUP_BODY_MAX - 4] = "user\0joe\0application_name";
    struct pgw_startup s;

    memset(params + 26, 'a', sizeof(params) - 28);

    struct pgw_span packet = packet_of(V3, pgw_span_of(params, sizeof(params))), in = packet;

    cr_assert_eq(packet.len, MAX_PACKET);
    cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
    cr_assert_eq(s.kind, PGW_STARTUP_SESSION);
    free_packet(packet);
}

Test(startup, what_follows_is_left)
{
    static const uint8_t bytes[] = "\0\0\0\x08\x04\xd2\x16\x2f"
                                   "\x16\3\1";
    struct pgw_span in = {bytes, sizeof(bytes) - 1};
    struct pgw_startup s;

    cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
    cr_assert_eq(s.kind, PGW_STARTUP_SSL);
    cr_assert_eq(in.ptr, bytes + 8);
    cr_assert_eq(in.len, 3);
}

Test(startup, refusals_are_told_in_the_form_of_their_protocol)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_startup old = {
        .kind = PGW_STARTUP_REFUSED, .version = PGW_VERSION(2, 0), .refusal = {"0A000", "too old"}};
    const struct pgw_startup new = {
        .kind = PGW_STARTUP_REFUSED, .version = V3, .refusal = {"28000", "no user"}};

    pgw_build_refusal(&w, &old);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("EFATAL:  too old\n\0")));
    pgw_writer_clear(&w);
    pgw_build_refusal(&w, &new);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("E\0\0\0\x23"
                                                       "SFATAL\0VFATAL\0C28000\0Mno user\0\0")));
}

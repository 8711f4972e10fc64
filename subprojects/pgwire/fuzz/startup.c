/*
 * First packets. What is accepted as a session consists of its parameters and nothing else: built
 * from them again it is the same packet.
 */
#include "pgwire/startup.h"

#include "check.h"
#include "pgwire/build.h"
#include "pgwire/message_backend.h"
#include "pgwire/proto.h"

#define MAX_PARAMS 5000
#define MAX_ANSWER 16384

static void check_same(const struct pgw_startup *s, struct pgw_span packet)
{
    static struct pgw_param params[MAX_PARAMS];
    static uint8_t buf[PGW_LENGTH_LEN + PGW_STARTUP_BODY_MAX];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    struct pgw_span left = s->params;
    size_t n = 0;

    while (n < MAX_PARAMS && pgw_param_next(&left, &params[n]))
        n++;
    CHECK(left.len == 0);
    pgw_build_startup(&w, s->version, params, n);
    CHECK(!w.full && pgw_span_equal(pgw_writer_span(&w), packet));
}

static void check_negotiation(const struct pgw_startup *s)
{
    static uint8_t buf[MAX_ANSWER];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    struct pgw_negotiation m;

    if (!pgw_startup_needs_negotiation(s, PGW_VERSION_3_2))
        return;
    pgw_build_negotiate_protocol_version(&w, PGW_VERSION_3_2, s);
    CHECK(!w.full);
    CHECK(pgw_read_negotiate_protocol_version(pgw_span_skip(pgw_writer_span(&w), PGW_HEADER_LEN),
                                              &m) == PGW_READY);
    CHECK(m.n_options == s->n_protocol_options);
}

static void check_refusal(const struct pgw_startup *s)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

    CHECK(strlen(s->refusal.sqlstate) == PGW_SQLSTATE_LEN);
    pgw_build_refusal(&w, s);
    CHECK(!w.full && w.len > 0);
}

static void check_session(const struct pgw_startup *s, struct pgw_span packet)
{
    CHECK(s->user.len > 0 && s->user.len <= PGW_NAME_MAX);
    CHECK(s->database.len > 0 && s->database.len <= PGW_NAME_MAX);
    check_inside(s->user, packet);
    check_inside(s->database, packet);
    check_inside(s->options, packet);
    check_same(s, packet);
    check_negotiation(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pgw_span in = {data, len};
    struct pgw_startup s;

    if (pgw_startup_next(&in, &s) != PGW_READY) {
        CHECK(in.ptr == data && in.len == len);
        return 0;
    }

    struct pgw_span packet = {data, len - in.len};

    switch (s.kind) {
    case PGW_STARTUP_SESSION:
        check_session(&s, packet);
        break;
    case PGW_STARTUP_CANCEL:
        check_inside(s.cancel_key, packet);
        CHECK(s.cancel_key.len >= PGW_CANCEL_KEY_MIN && s.cancel_key.len <= PGW_CANCEL_KEY_MAX);
        break;
    case PGW_STARTUP_SSL:
    case PGW_STARTUP_GSSENC:
        CHECK(packet.len == PGW_LENGTH_LEN + PGW_STARTUP_BODY_MIN);
        break;
    case PGW_STARTUP_REFUSED:
        check_refusal(&s);
        break;
    }
    return 0;
}

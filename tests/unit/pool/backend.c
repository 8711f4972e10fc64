#include "backend.h"

#include <string.h>

#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "pgwire/message_frontend.h"
#include "pgwire/startup.h"
#include "weir/auth/digest.h"
#include "weir/auth/wire.h"

enum { STARTUP, PASSWORD, FIRST, FINAL, LOGGED_IN };

static const uint8_t md5_salt[4] = {9, 8, 7, 6};

bool backend_logged_in(const struct backend *b)
{
    return b->step == LOGGED_IN;
}

static void say_parameters(struct pgw_writer *out)
{
    pgw_build_parameter_status(out, pgw_span_str("server_version"), pgw_span_str("15.8"));
    pgw_build_parameter_status(out, pgw_span_str("TimeZone"), pgw_span_str("Europe/Berlin"));
}

struct span backend_greeting(uint8_t *room, size_t size)
{
    struct pgw_writer w = pgw_writer_of(room, size);

    say_parameters(&w);
    return span_in(pgw_writer_span(&w));
}

static void refuse(struct pgw_writer *out, const char *sqlstate)
{
    struct pgw_report report = {"FATAL", sqlstate, "password authentication failed for user", NULL,
                                NULL};

    pgw_build_error(out, &report);
}

static void let_in(struct backend *b, struct pgw_writer *out)
{
    b->step = LOGGED_IN;
    if (b->refusal != NULL) {
        refuse(out, b->refusal);
        return;
    }
    pgw_build_authentication(out, PGW_AUTH_OK);
    say_parameters(out);
    pgw_build_backend_key_data(out, BACKEND_PID, pgw_span_of(BACKEND_KEY, 4));
    pgw_build_ready_for_query(out, PGW_TX_IDLE);
}

static void begin(struct backend *b, const struct pgw_startup *s, struct pgw_writer *out)
{
    static const char *const mechanisms[] = {SCRAM_MECHANISM};

    ASSERT(s->kind == PGW_STARTUP_SESSION);
    ASSERT(s->version == PGW_VERSION_3_0);
    ASSERT(pgw_span_is(s->user, BACKEND_USER) && pgw_span_is(s->database, BACKEND_DATABASE));
    b->step = b->method == BACKEND_SCRAM ? FIRST : PASSWORD;
    switch (b->method) {
    case BACKEND_TRUST:
        let_in(b, out);
        break;
    case BACKEND_CLEARTEXT:
        pgw_build_authentication(out, PGW_AUTH_CLEARTEXT_PASSWORD);
        break;
    case BACKEND_MD5:
        pgw_build_authentication_md5(out, md5_salt);
        break;
    case BACKEND_SCRAM:
        pgw_build_authentication_sasl(out, mechanisms, 1);
        break;
    }
}

static void check_password(struct backend *b, struct pgw_span body, struct pgw_writer *out)
{
    char inner[MD5_HEX_LEN], md5[3 + MD5_HEX_LEN + 1] = "md5";
    const char *wanted = b->password;

    if (b->method == BACKEND_MD5) {
        digest_md5_hex(span_str(b->password), span_str(BACKEND_USER), inner);
        digest_md5_hex(span_of(inner, sizeof(inner)), span_of(md5_salt, sizeof(md5_salt)), md5 + 3);
        wanted = md5;
    }
    if (pgw_span_equal(body, pgw_span_of(wanted, strlen(wanted) + 1)))
        let_in(b, out);
    else
        refuse(out, "28P01");
}

void backend_verifier(const struct backend *b, struct scram_verifier *out)
{
    *out = (struct scram_verifier){.salt = {'s', b->salt},
                                   .salt_len = 2,
                                   .iterations = b->iterations == 0 ? 1 : b->iterations};
    ASSERT(scram_derive(span_str(b->password), out, NULL));
}

static void scram_first(struct backend *b, struct pgw_span body, struct pgw_writer *out)
{
    struct pgw_sasl_initial_response initial;
    struct scram_message reply;
    struct scram_verifier v;

    if (b->verifier == NULL)
        backend_verifier(b, &v);
    scram_server_init(&b->scram, b->verifier == NULL ? &v : b->verifier, false,
                      span_str("server-nonce"));
    ASSERT(pgw_read_sasl_initial_response(body, &initial) == PGW_READY);
    ASSERT(pgw_span_is(initial.mechanism, SCRAM_MECHANISM));
    ASSERT(scram_server_first(&b->scram, span_in(initial.data.bytes), &reply) == SCRAM_OK);
    pgw_build_authentication_data(out, PGW_AUTH_SASL_CONTINUE, pgw_span_of(reply.text, reply.len));
    b->step = FINAL;
}

static void scram_final(struct backend *b, struct pgw_span body, struct pgw_writer *out)
{
    uint8_t client_key[SHA256_LEN];
    struct scram_message reply;

    if (scram_server_final(&b->scram, span_in(body), &reply, client_key) != SCRAM_OK) {
        refuse(out, "28P01");
        return;
    }
    pgw_build_authentication_data(out, PGW_AUTH_SASL_FINAL, pgw_span_of(reply.text, reply.len));
    let_in(b, out);
}

static bool take_one(struct backend *b, struct pgw_span *in, struct pgw_writer *out)
{
    struct pgw_startup startup;
    struct pgw_frame f;

    if (b->step == STARTUP) {
        if (pgw_startup_next(in, &startup) != PGW_READY)
            return false;
        begin(b, &startup, out);
        return true;
    }
    if (pgw_frame_next(pgw_frontend_rules, in, &f) != PGW_READY)
        return false;
    ASSERT(f.type == PGW_F_PASSWORD);
    ASSERT(b->step != LOGGED_IN);
    if (b->step == PASSWORD)
        check_password(b, f.body, out);
    else if (b->step == FIRST)
        scram_first(b, f.body, out);
    else
        scram_final(b, f.body, out);
    return true;
}

void backend_take(struct backend *b, struct span in, struct pgw_writer *out)
{
    struct pgw_span rest;

    ASSERT(in.len <= sizeof(b->in) - b->n_in);
    memcpy(b->in + b->n_in, in.ptr, in.len);
    b->n_in += in.len;
    rest = pgw_span_of(b->in, b->n_in);
    while (!b->silent && take_one(b, &rest, out))
        ;
    memmove(b->in, rest.ptr, rest.len);
    b->n_in = rest.len;
    ASSERT(!out->full);
}

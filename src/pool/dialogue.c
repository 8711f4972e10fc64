/*
 * Which message may come when is the table's of pgwire (rule.h): authentication first, then what
 * the session is set up with, errors and notices at any time.
 */
#include "dialogue.h"

#include <string.h>

#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"
#include "pgwire/status.h"
#include "weir/auth/wire.h"
#include "weir/base/log.h"

#include "failure.h"

/* How much of a server's error text is passed on; a hint must fit behind it. */
#define TEXT_MAX 240
#define SEVERITY_MAX 20

void dialogue_init(struct dialogue *d, const struct server_auth_config *config,
                   struct span database, struct span settings)
{
    const struct pgw_param params[] = {
        {pgw_span_str("user"), span_out(config->user)},
        {pgw_span_str("database"), span_out(database)},
    };

    server_auth_init(&d->auth, config);
    d->phase = PGW_IN_AUTH;
    d->pid = 0;
    d->key_len = 0;
    d->greeting_len = 0;
    d->permanent = false;
    d->n_in = 0;
    d->out = pgw_writer_of(d->out_bytes, sizeof(d->out_bytes));
    pgw_build_startup_more(&d->out, PGW_VERSION_3_0, params, sizeof(params) / sizeof(params[0]),
                           span_out(settings));
}

void dialogue_fini(struct dialogue *d)
{
    server_auth_fini(&d->auth);
    explicit_bzero(d->out_bytes, sizeof(d->out_bytes)); /* perhaps a password */
}

static enum dialogue_step broken(struct dialogue *d, const char *what)
{
    failure_set(&d->failure, PGW_STATE_PROTOCOL_VIOLATION, "server login failed: %s", what);
    return DIALOGUE_FAILED;
}

static enum dialogue_step step_of_auth(struct dialogue *d, enum server_auth_result result)
{
    switch (result) {
    case SERVER_AUTH_SEND:
    case SERVER_AUTH_WAIT:
        break;
    case SERVER_AUTH_WORK:
        return DIALOGUE_WORK;
    case SERVER_AUTH_OK:
        d->phase = PGW_IN_SETUP;
        break;
    case SERVER_AUTH_FAILED:
        failure_set(&d->failure, PGW_STATE_INVALID_AUTHORIZATION_SPECIFICATION,
                    "server login failed: %s", server_auth_why(&d->auth));
        d->permanent = true;
        return DIALOGUE_FAILED;
    case SERVER_AUTH_MALFORMED:
        return broken(d, "a malformed authentication message from the server");
    }
    return DIALOGUE_MORE;
}

static enum dialogue_step backend_key(struct dialogue *d, struct pgw_span body)
{
    struct pgw_backend_key k;

    if (pgw_read_backend_key_data(body, &k) != PGW_READY)
        return broken(d, "a malformed BackendKeyData from the server");
    d->pid = k.pid;
    d->key_len = (uint32_t)k.key.len;
    memcpy(d->key, k.key.ptr, k.key.len);
    return DIALOGUE_MORE;
}

/* Keeps the message as it came. */
static enum dialogue_step parameter_status(struct dialogue *d, struct pgw_span body)
{
    size_t len = PGW_HEADER_LEN + body.len;
    struct pgw_param param;

    if (pgw_read_parameter_status(body, &param) != PGW_READY)
        return broken(d, "a malformed ParameterStatus from the server");
    if (len > sizeof(d->greeting) - d->greeting_len)
        return broken(d, "too many parameters from the server");
    memcpy(d->greeting + d->greeting_len, body.ptr - PGW_HEADER_LEN, len);
    d->greeting_len += len;
    return DIALOGUE_MORE;
}

static enum dialogue_step ready(struct dialogue *d, struct pgw_span body)
{
    enum pgw_tx_status status;

    if (pgw_read_ready_for_query(body, &status) != PGW_READY || status != PGW_TX_IDLE)
        return broken(d, "the server is ready but not idle");
    return DIALOGUE_READY;
}

/* How much of a text goes into max bytes without cutting a character of UTF-8. */
static int precision(struct pgw_span text, size_t max)
{
    size_t len = max;

    if (text.len <= max)
        return (int)text.len;
    while (len > 0 && (text.ptr[len] & 0xc0) == 0x80) /* goes on with the character before */
        len--;
    return (int)len;
}

static enum dialogue_step refused(struct dialogue *d, struct pgw_span body)
{
    char sqlstate[PGW_SQLSTATE_LEN + 1] =
        PGW_STATE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION;
    struct pgw_report_fields report;
    const char *hint;

    if (pgw_read_report(body, &report) != PGW_READY)
        return broken(d, "a malformed ErrorResponse from the server");
    if (report.sqlstate.len == PGW_SQLSTATE_LEN)
        memcpy(sqlstate, report.sqlstate.ptr, PGW_SQLSTATE_LEN);
    hint = server_auth_refused(&d->auth, sqlstate);
    failure_set(&d->failure, sqlstate, "server login failed: %.*s: %.*s (%s)%s%s",
                precision(report.severity, SEVERITY_MAX), (const char *)report.severity.ptr,
                precision(report.message, TEXT_MAX), (const char *)report.message.ptr, sqlstate,
                hint[0] == '\0' ? "" : "; ", hint);
    d->permanent = failure_is_permanent(sqlstate);
    return DIALOGUE_FAILED;
}

static enum dialogue_step notice(struct dialogue *d, struct pgw_span body)
{
    struct pgw_report_fields report;

    if (pgw_read_report(body, &report) != PGW_READY)
        return broken(d, "a malformed NoticeResponse from the server");
    log_debug(NULL, "notice at login", "message=%.*s", precision(report.message, TEXT_MAX),
              (const char *)report.message.ptr);
    return DIALOGUE_MORE;
}

static enum dialogue_step message(struct dialogue *d, const struct pgw_frame *f)
{
    const struct pgw_rule *rule = &pgw_backend_rules[f->type];

    if (pgw_rule_allows(rule, d->phase)) {
        switch (f->type) {
        case PGW_B_AUTHENTICATION:
            return step_of_auth(d, server_auth_message(&d->auth, span_in(f->body), &d->out));
        case PGW_B_BACKEND_KEY_DATA:
            return backend_key(d, f->body);
        case PGW_B_PARAMETER_STATUS:
            return parameter_status(d, f->body);
        case PGW_B_READY_FOR_QUERY:
            return ready(d, f->body);
        case PGW_B_ERROR_RESPONSE:
            return refused(d, f->body);
        case PGW_B_NOTICE_RESPONSE:
            return notice(d, f->body);
        default: /* NegotiateProtocolVersion: nothing was asked for that could be negotiated */
            break;
        }
    }
    failure_set(&d->failure, PGW_STATE_PROTOCOL_VIOLATION,
                "server login failed: %s from the server out of order", rule->name);
    return DIALOGUE_FAILED;
}

/* Takes the messages that are whole, as long as they ask for nothing but the next one. */
static enum dialogue_step take_messages(struct dialogue *d)
{
    struct pgw_span rest = pgw_span_of(d->in, d->n_in);
    enum dialogue_step step = DIALOGUE_MORE;

    while (step == DIALOGUE_MORE) {
        struct pgw_frame f;
        enum pgw_answer answer = pgw_frame_next(pgw_backend_rules, &rest, &f);

        if (answer == PGW_INVALID)
            return broken(d, "what came from the server is not the PostgreSQL protocol");
        if (answer == PGW_PARTIAL)
            break;
        step = message(d, &f);
    }
    if (step == DIALOGUE_READY && rest.len > 0)
        return broken(d, "the server said more than it was asked for");
    if (rest.len == sizeof(d->in))
        return broken(d, "too much at once from the server");
    memmove(d->in, rest.ptr, rest.len);
    d->n_in = rest.len;
    return step;
}

enum dialogue_step dialogue_received(struct dialogue *d, struct span data)
{
    pgw_writer_clear(&d->out);
    if (data.len > sizeof(d->in) - d->n_in)
        return broken(d, "too much at once from the server");
    memcpy(d->in + d->n_in, data.ptr, data.len);
    d->n_in += data.len;
    return take_messages(d);
}

void dialogue_work(struct dialogue *d)
{
    server_auth_work(&d->auth);
}

enum dialogue_step dialogue_worked(struct dialogue *d)
{
    enum dialogue_step step;

    pgw_writer_clear(&d->out);
    step = step_of_auth(d, server_auth_worked(&d->auth, &d->out));
    return step == DIALOGUE_MORE ? take_messages(d) : step;
}

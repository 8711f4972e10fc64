#include "pgwire/startup.h"

#include <strings.h>

#include "pgwire/names.h"
#include "pgwire/proto.h"
#include "pgwire/reader.h"
#include "pgwire/sqlstate.h"

static const struct pgw_refusal bad_version = {
    PGW_STATE_FEATURE_NOT_SUPPORTED, "unsupported frontend protocol: this server speaks version 3"};
static const struct pgw_refusal bad_layout = {
    PGW_STATE_PROTOCOL_VIOLATION, "invalid startup packet: expected a terminator as its last byte"};
static const struct pgw_refusal no_user = {PGW_STATE_INVALID_AUTHORIZATION_SPECIFICATION,
                                           "no PostgreSQL user name given in startup packet"};
static const struct pgw_refusal bad_replication = {
    PGW_STATE_INVALID_PARAMETER_VALUE,
    "invalid value for parameter \"replication\": expected false, 0, true, 1 or database"};

static void refuse(struct pgw_startup *s, const struct pgw_refusal *why)
{
    s->kind = PGW_STARTUP_REFUSED;
    s->refusal = *why;
}

/* True if value is word or the first letters of it, at least min of them, in either case. */
static bool abbreviates(struct pgw_span value, const char *word, size_t min)
{
    return value.len >= min && value.len <= strlen(word) &&
           strncasecmp((const char *)value.ptr, word, value.len) == 0;
}

static bool read_replication(struct pgw_span value, enum pgw_replication *out)
{
    if (pgw_span_is(value, "database"))
        *out = PGW_REPLICATION_LOGICAL;
    else if (abbreviates(value, "true", 1) || abbreviates(value, "yes", 1) ||
             abbreviates(value, "on", 2) || abbreviates(value, "1", 1))
        *out = PGW_REPLICATION_PHYSICAL;
    else if (abbreviates(value, "false", 1) || abbreviates(value, "no", 1) ||
             abbreviates(value, "off", 2) || abbreviates(value, "0", 1))
        *out = PGW_REPLICATION_OFF;
    else
        return false;
    return true;
}

bool pgw_is_protocol_option(struct pgw_span name)
{
    static const char prefix[] = PGW_PROTOCOL_OPTION_PREFIX;

    return name.len >= sizeof(prefix) - 1 && memcmp(name.ptr, prefix, sizeof(prefix) - 1) == 0;
}

/* Takes notice of one parameter; false if its value is refused. */
static bool note_param(struct pgw_startup *s, const struct pgw_param *p)
{
    if (pgw_span_is(p->name, "user"))
        s->user = pgw_name_clip(p->value);
    else if (pgw_span_is(p->name, "database"))
        s->database = pgw_name_clip(p->value);
    else if (pgw_span_is(p->name, "options"))
        s->options = p->value;
    else if (pgw_span_is(p->name, "replication"))
        return read_replication(p->value, &s->replication);
    else if (pgw_is_protocol_option(p->name))
        s->n_protocol_options++;
    return true;
}

static void read_params(struct pgw_span body, struct pgw_startup *s)
{
    struct pgw_span left = body;
    struct pgw_param param;

    while (pgw_param_next(&left, &param)) {
        if (!note_param(s, &param)) {
            refuse(s, &bad_replication);
            return;
        }
    }
    if (left.len != 1 || left.ptr[0] != 0) {
        refuse(s, &bad_layout);
        return;
    }
    if (s->user.len == 0) {
        refuse(s, &no_user);
        return;
    }
    if (s->database.len == 0)
        s->database = s->user;
    s->params = (struct pgw_span){body.ptr, body.len - 1};
}

static bool read_cancel(struct pgw_reader *r, struct pgw_startup *s)
{
    s->kind = PGW_STARTUP_CANCEL;
    s->cancel_pid = pgw_reader_u32(r);
    s->cancel_key = pgw_reader_rest(r);
    return !r->failed && s->cancel_key.len >= PGW_CANCEL_KEY_MIN &&
           s->cancel_key.len <= PGW_CANCEL_KEY_MAX;
}

/* False if a packet of its kind cannot have this length. */
static bool read_packet(struct pgw_span packet, struct pgw_startup *s)
{
    struct pgw_reader r = pgw_reader_of(packet);
    uint32_t code = pgw_reader_u32(&r);

    switch (code) {
    case PGW_CODE_CANCEL:
        return read_cancel(&r, s);
    case PGW_CODE_SSL:
        s->kind = PGW_STARTUP_SSL;
        return pgw_reader_done(&r);
    case PGW_CODE_GSSENC:
        s->kind = PGW_STARTUP_GSSENC;
        return pgw_reader_done(&r);
    default:
        break;
    }
    s->kind = PGW_STARTUP_SESSION;
    s->version = code;
    if (PGW_VERSION_MAJOR(code) != PGW_VERSION_MAJOR(PGW_VERSION_3_0))
        refuse(s, &bad_version);
    else
        read_params(pgw_reader_rest(&r), s);
    return true;
}

enum pgw_answer pgw_startup_next(struct pgw_span *in, struct pgw_startup *out)
{
    struct pgw_reader r = pgw_reader_of(*in);
    uint32_t length = pgw_reader_u32(&r);

    if (r.failed)
        return PGW_PARTIAL;
    if (length < PGW_LENGTH_LEN + PGW_STARTUP_BODY_MIN ||
        length > PGW_LENGTH_LEN + PGW_STARTUP_BODY_MAX)
        return PGW_INVALID;

    struct pgw_startup s = {0};
    struct pgw_span packet = pgw_reader_bytes(&r, length - PGW_LENGTH_LEN);

    if (r.failed)
        return PGW_PARTIAL;
    if (!read_packet(packet, &s))
        return PGW_INVALID;
    *in = pgw_reader_rest(&r);
    *out = s;
    return PGW_READY;
}

bool pgw_startup_needs_negotiation(const struct pgw_startup *s, uint32_t newest)
{
    return PGW_VERSION_MINOR(s->version) > PGW_VERSION_MINOR(newest) || s->n_protocol_options > 0;
}

/* The statements that make a server's settings those that a client wants; see difference.h. */
#include "difference.h"

#include "pgwire/proto.h"
#include "weir/pool/greetings.h"
#include "weir/pool/settable.h"

/* Around names and value of a statement: that of write_condition() is the longest. */
#define STATEMENT_MAX 256
#define FRAME_MAX 128 /* of the message, and the guard */

static bool is_there(const struct difference *d, const struct pair *wanted)
{
    struct span value;
    bool is_reported = greeting_get(d->greeting, wanted->name, &value);

    if (d->doubted && !is_reported)
        return false;
    if (!pairs_get(d->there, wanted->name, &value) && !is_reported)
        return false;
    return span_equal(value, wanted->value);
}

/* Was it given by nobody, as far as can be told? */
static bool is_as_at_login(const struct difference *d, const struct pair *there)
{
    struct span value;

    return !settable_has(there->name) ||
           (greeting_get(d->greeting, there->name, &value) && span_equal(value, there->value));
}

/* The next name of either set, in order; *w or *t has it. */
static bool next_pair(struct difference *d, struct pair *w, struct pair *t, bool *in_wanted,
                      bool *in_there)
{
    size_t at_wanted = d->at_wanted, at_there = d->at_there;
    int order;

    *in_wanted = pairs_next(d->wanted, &at_wanted, w);
    *in_there = pairs_next(d->there, &at_there, t);
    if (*in_wanted && *in_there) {
        order = pairs_compare(w->name, t->name);
        *in_wanted = order <= 0;
        *in_there = order >= 0;
    }
    if (*in_wanted)
        d->at_wanted = at_wanted;
    if (*in_there)
        d->at_there = at_there;
    return *in_wanted || *in_there;
}

/* The passes, in which parameters have their turns. */
enum { OTHERS, AUTHORIZATION, ROLE, TIMEOUT, N_PASSES };

static unsigned pass_of(struct span name)
{
    static const char *const names[N_PASSES] = {"", "session_authorization", "role",
                                                "statement_timeout"};

    for (unsigned pass = AUTHORIZATION; pass < N_PASSES; pass++)
        if (pairs_compare(name, span_str(names[pass])) == 0)
            return pass;
    return OTHERS;
}

/* is_anyway: also where the server has what is wanted. */
static bool next_change(struct difference *d, bool is_anyway, struct change *out)
{
    bool in_wanted, in_there;
    struct pair w, t;

    while (next_pair(d, &w, &t, &in_wanted, &in_there)) {
        if (pass_of(in_wanted ? w.name : t.name) != d->pass)
            continue;
        if (!is_anyway && (in_wanted ? is_there(d, &w) : is_as_at_login(d, &t)))
            continue;
        *out = in_wanted ? (struct change){.name = w.name, .value = w.value}
                         : (struct change){.name = t.name, .resets = true};
        out->if_unset = in_wanted && d->in_block && !greeting_has(d->greeting, w.name);
        return true;
    }
    return false;
}

static bool has_change(const struct difference *d, unsigned pass)
{
    struct difference first = *d;
    struct change change;

    first.at_wanted = first.at_there = 0;
    first.pass = pass;
    return next_change(&first, false, &change);
}

/* Is somebody else on the server who must not be while other things are set? */
static bool drops_identity(const struct difference *d)
{
    return (pairs_has(d->there, span_str("role")) ||
            pairs_has(d->there, span_str("session_authorization"))) &&
           has_change(d, OTHERS);
}

/* Would a timeout of the client before count for what is set? */
static bool drops_timeout(const struct difference *d)
{
    return !d->in_block && pairs_has(d->there, span_str("statement_timeout")) &&
           (has_change(d, OTHERS) || has_change(d, AUTHORIZATION) || has_change(d, ROLE));
}

static bool is_anyway(const struct difference *d)
{
    if (d->pass == TIMEOUT)
        return drops_timeout(d);
    return d->pass != OTHERS && drops_identity(d);
}

bool difference_next(struct difference *d, struct change *out)
{
    while (!next_change(d, is_anyway(d), out)) {
        if (d->pass + 1 == N_PASSES)
            return false;
        d->pass++;
        d->at_wanted = d->at_there = 0;
    }
    return true;
}

bool difference_nth(const struct pairs *changes, uint32_t n, struct pair *out)
{
    for (unsigned pass = OTHERS; pass < N_PASSES; pass++) {
        size_t at = 0;

        while (pairs_next(changes, &at, out))
            if (pass_of(out->name) == pass && n-- == 0)
                return true;
    }
    return false;
}

uint32_t difference_n_before(const struct difference *d)
{
    return 1 + (drops_timeout(d) ? 1 : 0) + (drops_identity(d) ? 2 : 0);
}

size_t difference_max_len(const struct difference *d)
{
    struct difference walk = *d;
    size_t len = FRAME_MAX;
    struct change change;

    while (difference_next(&walk, &change))
        len += STATEMENT_MAX + 8 * change.name.len + 4 * change.value.len;
    return len;
}

static void write(struct pgw_writer *w, const char *text)
{
    pgw_writer_bytes(w, pgw_span_str(text));
}

/* "a"."b"."c"; a name has letters, digits, _, $ and dots, or came from the server. */
static void write_name(struct pgw_writer *w, struct span name)
{
    write(w, "\"");
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.')
            write(w, "\".\"");
        else if (name.ptr[i] == '"')
            write(w, "\"\"");
        else
            pgw_writer_u8(w, name.ptr[i]);
    }
    write(w, "\"");
}

static void write_string(struct pgw_writer *w, struct span text)
{
    static const char digits[] = "0123456789ABCDEF";

    write(w, "E'");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '\'' || c == '\\')
            pgw_writer_u8(w, c);
        if (c < 0x80) {
            pgw_writer_u8(w, c);
        } else {
            write(w, "\\x");
            pgw_writer_u8(w, (uint8_t)digits[c >> 4]);
            pgw_writer_u8(w, (uint8_t)digits[c & 15]);
        }
    }
    write(w, "'");
}

/* GUC_LIST_QUOTE in guc.c. */
static bool is_quoted_list(struct span name)
{
    static const char *const list[] = {"search_path", "temp_tablespaces",
                                       "session_preload_libraries", "local_preload_libraries"};

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (pairs_compare(name, span_str(list[i])) == 0)
            return true;
    return false;
}

/* Nobody has set it in this session. pg_settings does not list parameters with a dot. */
static void write_condition(struct pgw_writer *w, struct span name)
{
    write(w, " WHERE NOT EXISTS(SELECT FROM pg_catalog.pg_settings WHERE"
             " pg_catalog.lower(name)OPERATOR(pg_catalog.=)");
    write_string(w, name);
    write(w, "AND source OPERATOR(pg_catalog.=)'session')");
}

static void write_change(struct pgw_writer *w, const struct change *change)
{
    if (change->resets) {
        write(w, "RESET ");
        write_name(w, change->name);
    } else if (change->if_unset || is_quoted_list(change->name)) {
        write(w, "SELECT pg_catalog.set_config(");
        write_string(w, change->name);
        write(w, ",");
        write_string(w, change->value);
        write(w, ",false)");
        if (change->if_unset)
            write_condition(w, change->name);
    } else {
        write(w, "SET ");
        write_name(w, change->name);
        write(w, "=");
        write_string(w, change->value);
    }
    write(w, ";");
}

/* RESET and not "off": nothing must stay that was set in the session. */
void difference_build(struct pgw_writer *w, struct difference d, bool guarded)
{
    struct change change;

    pgw_writer_begin(w, PGW_F_QUERY);
    if (guarded)
        write(w, "SET exit_on_error=on;");
    if (drops_timeout(&d))
        write(w, "SET statement_timeout=0;");
    if (drops_identity(&d))
        write(w, "RESET SESSION AUTHORIZATION;RESET ROLE;");
    while (difference_next(&d, &change))
        write_change(w, &change);
    if (guarded)
        write(w, "RESET exit_on_error");
    pgw_writer_u8(w, '\0');
    pgw_writer_end(w);
}

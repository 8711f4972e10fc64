/* The statements that make a server's settings those that a client wants; see difference.h. */
#include "difference.h"

#include "greetings.h"
#include "pgwire/proto.h"
#include "weir/pool/settable.h"

/* Around name and value of a statement: "SELECT pg_catalog.set_config(E'',E'',false);" */
#define STATEMENT_MAX 64
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

bool difference_next(struct difference *d, struct change *out)
{
    bool in_wanted, in_there;
    struct pair w, t;

    while (next_pair(d, &w, &t, &in_wanted, &in_there)) {
        if (in_wanted ? is_there(d, &w) : is_as_at_login(d, &t))
            continue;
        *out = in_wanted ? (struct change){w.name, w.value, false}
                         : (struct change){t.name, {NULL, 0}, true};
        return true;
    }
    return false;
}

size_t difference_max_len(const struct difference *d)
{
    struct difference walk = *d;
    size_t len = FRAME_MAX;
    struct change change;

    while (difference_next(&walk, &change))
        len += STATEMENT_MAX + 3 * change.name.len + 4 * change.value.len;
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

static void write_change(struct pgw_writer *w, const struct change *change)
{
    if (change->resets) {
        write(w, "RESET ");
        write_name(w, change->name);
    } else if (is_quoted_list(change->name)) {
        write(w, "SELECT pg_catalog.set_config(");
        write_string(w, change->name);
        write(w, ",");
        write_string(w, change->value);
        write(w, ",false)");
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
    while (difference_next(&d, &change))
        write_change(w, &change);
    if (guarded)
        write(w, "RESET exit_on_error");
    pgw_writer_u8(w, '\0');
    pgw_writer_end(w);
}

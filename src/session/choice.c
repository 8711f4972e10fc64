/* What a client chooses for itself when it comes; see choice.h. */
#include "choice.h"

#include <stdio.h>
#include <stdlib.h>

#include "pgwire/options.h"
#include "pgwire/sqlstate.h"
#include "weir/auth/wire.h"
#include "weir/pool/settable.h"

/* Longer identifiers are cut by PostgreSQL (NAMEDATALEN). */
#define IDENTIFIER_MAX 63

/* Of a name that is told in a refusal. */
#define TOLD_MAX 100

bool choice_is_plain(struct span name, struct span value)
{
    if (pairs_compare(name, span_str("application_name")) != 0 || value.len > IDENTIFIER_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < ' ' || value.ptr[i] > '~')
            return false;
    return true;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$';
}

/* Identifiers with dots between: no other name is known to any server. */
static bool is_name(struct span name)
{
    size_t n = 0; /* bytes of the identifier so far */

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.' && n > 0)
            n = 0;
        else if (is_name_byte(name.ptr[i]) && n < IDENTIFIER_MAX)
            n++;
        else
            return false;
    }
    return n > 0;
}

/* The message is before, what, after. */
static enum choice refuse(struct choice_refusal *refusal, const char *sqlstate, const char *before,
                          struct span what, const char *after)
{
    int n = (int)(what.len < TOLD_MAX ? what.len : TOLD_MAX);

    refusal->sqlstate = sqlstate;
    snprintf(refusal->message, sizeof(refusal->message), "%s%.*s%s", before, n,
             (const char *)what.ptr, after);
    return CHOICE_REFUSED;
}

static enum choice choose(struct pairs *out, const struct pgw_param *param,
                          struct choice_refusal *refusal)
{
    struct span name = span_in(param->name);

    if (settable_is_fixed(name) || pairs_compare(name, span_str("session_authorization")) == 0)
        return refuse(refusal, PGW_STATE_CANT_CHANGE_RUNTIME_PARAM, "parameter \"", name,
                      "\" cannot be changed");
    if (settable_is_of_backend(name))
        return refuse(refusal, PGW_STATE_CANT_CHANGE_RUNTIME_PARAM, "parameter \"", name,
                      "\" cannot be set after connection start");
    if (settable_is_of_pool(name))
        return CHOICE_MADE;
    if (!is_name(name))
        return refuse(refusal, PGW_STATE_UNDEFINED_OBJECT,
                      "unrecognized configuration parameter \"", name, "\"");
    return pairs_put(out, name, span_in(param->value)) ? CHOICE_MADE : CHOICE_NO_MEMORY;
}

static enum choice read_option(enum pgw_option option, const struct pgw_param *param,
                               struct pairs *out, struct choice_refusal *refusal)
{
    if (option == PGW_OPTION_SET)
        return choose(out, param, refusal);
    if (option == PGW_OPTION_SWITCH)
        return refuse(refusal, PGW_STATE_FEATURE_NOT_SUPPORTED,
                      "options may be -c name=value and --name=value, not ", span_in(param->name),
                      "");
    return refuse(refusal, PGW_STATE_SYNTAX_ERROR,
                  "invalid command-line argument for server process: ", span_in(param->name), "");
}

static enum choice read_options(struct pgw_span options, struct pairs *out,
                                struct choice_refusal *refusal)
{
    size_t size = options.len;
    uint8_t *buf = malloc(size + 1);
    enum choice choice = buf == NULL ? CHOICE_NO_MEMORY : CHOICE_MADE;

    while (choice == CHOICE_MADE) {
        struct pgw_param param = {{NULL, 0}, {NULL, 0}};
        enum pgw_option option = pgw_options_next(&options, buf, size, &param);

        if (option == PGW_OPTION_END)
            break;
        choice = read_option(option, &param, out, refusal);
    }
    free(buf);
    return choice;
}

/* Is it about the connection, not a setting? */
static bool is_of_protocol(struct pgw_span name)
{
    return pgw_span_is(name, "user") || pgw_span_is(name, "database") ||
           pgw_span_is(name, "options") || pgw_span_is(name, "replication") ||
           pgw_is_protocol_option(name);
}

enum choice choice_read(const struct pgw_startup *s, struct pairs *out,
                        struct choice_refusal *refusal)
{
    struct pgw_span left = s->params;
    struct pgw_param param;
    enum choice choice = CHOICE_MADE;

    if (s->options.len > 0)
        choice = read_options(s->options, out, refusal);
    while (choice == CHOICE_MADE && pgw_param_next(&left, &param))
        if (!is_of_protocol(param.name))
            choice = choose(out, &param, refusal);
    return choice;
}

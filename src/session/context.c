/* The context of a statement: under which settings its text is read. See settings_context(). */
#include "client.h"
#include "known.h"
#include "sessions.h"
#include "weir/pool/greetings.h"

static uint64_t hash_value(const struct client *c, const char *name, uint64_t so_far)
{
    const struct hash_key *key = known_hash_key(c->all->known);
    struct span value;

    if (!pairs_get(&c->settings.wanted, span_str(name), &value) &&
        !greeting_get(c->settings.greeting, span_str(name), &value))
        return hash64_u64(key, so_far + 1);
    return hash64_u64(key, so_far ^ hash64(key, value));
}

uint64_t settings_context(struct client *c)
{
    static const char *const names[] = {"array_nulls",
                                        "backslash_quote",
                                        "bytea_output",
                                        "client_encoding",
                                        "DateStyle",
                                        "extra_float_digits",
                                        "IntervalStyle",
                                        "lc_monetary",
                                        "lc_numeric",
                                        "lc_time",
                                        "role",
                                        "row_security",
                                        "search_path",
                                        "session_authorization",
                                        "session_replication_role",
                                        "standard_conforming_strings",
                                        "TimeZone",
                                        "timezone_abbreviations",
                                        "transform_null_equals",
                                        "xmlbinary",
                                        "xmloption"};
    uint64_t hash = suspect_context(c);

    if (hash != 0)
        return hash;
    if (c->settings.context != 0)
        return c->settings.context;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        hash = hash_value(c, names[i], hash);
    hash = suspect_share(hash);
    c->settings.context = hash == 0 ? 1 : hash;
    return c->settings.context;
}

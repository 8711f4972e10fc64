/* What a server was given or reported last; see server_settings.h. */
#include "weir/pool/server_settings.h"

#include "weir/pool/greetings.h"
#include "weir/pool/server.h"
#include "weir/pool/settable.h"

/* Reported, and not as at its login. */
static bool is_changed(const struct server *s, const struct pair *there)
{
    struct span at_login;

    return settable_has(there->name) && greeting_get(s->greeting, there->name, &at_login) &&
           !span_equal(at_login, there->value);
}

bool server_settings_put(struct server *s, const struct pairs *set)
{
    struct pairs now = {0};
    struct pair pair;
    size_t at = 0;
    bool ok = pairs_copy(&now, set);

    while (ok && pairs_next(&s->settings, &at, &pair))
        if (!settable_has(pair.name) || (is_changed(s, &pair) && !pairs_has(set, pair.name)))
            ok = pairs_put(&now, pair.name, pair.value);
    if (!ok) {
        pairs_fini(&now);
        return false;
    }
    pairs_fini(&s->settings);
    s->settings = now;
    s->settings_doubted = false;
    return true;
}

void server_settings_forget(struct server *s)
{
    struct pair pair;
    size_t at = 0, before = 0;

    while (pairs_next(&s->settings, &at, &pair)) {
        if (settable_has(pair.name)) {
            pairs_remove(&s->settings, pair.name);
            at = before;
        } else {
            before = at;
        }
    }
    s->settings_doubted = false;
}

bool server_settings_are_new(const struct server *s, const struct pairs *set)
{
    struct pair pair;
    size_t at = 0;

    while (pairs_next(&s->settings, &at, &pair))
        if (is_changed(s, &pair) && !pairs_has(set, pair.name))
            return true;
    return false;
}

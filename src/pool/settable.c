/* Which parameters a SET can change; see settable.h. */
#include "weir/pool/settable.h"

#include "weir/base/pairs.h"

static bool is_listed(struct span name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (pairs_compare(name, span_str(*list)) == 0)
            return true;
    return false;
}

bool settable_is_fixed(struct span name)
{
    static const char *const list[] = {"exit_on_error",
                                       "in_hot_standby",
                                       "integer_datetimes",
                                       "is_superuser",
                                       "seed",
                                       "server_encoding",
                                       "server_version",
                                       "server_version_num",
                                       "transaction_deferrable",
                                       "transaction_isolation",
                                       "transaction_read_only",
                                       NULL};

    return is_listed(name, list);
}

bool settable_is_of_backend(struct span name)
{
    static const char *const list[] = {"ignore_system_indexes",
                                       "jit_debugging_support",
                                       "jit_profiling_support",
                                       "log_connections",
                                       "log_disconnections",
                                       "post_auth_delay",
                                       NULL};

    return is_listed(name, list);
}

bool settable_is_of_pool(struct span name)
{
    return pairs_compare(name, span_str("idle_session_timeout")) == 0;
}

bool settable_has(struct span name)
{
    return !settable_is_fixed(name) && !settable_is_of_backend(name) && !settable_is_of_pool(name);
}

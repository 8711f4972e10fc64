/* See failure.h. */
#include "failure.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "pgwire/sqlstate.h"

void failure_set(struct pool_failure *f, const char *sqlstate, const char *format, ...)
{
    va_list args;

    ASSERT(strlen(sqlstate) == sizeof(f->sqlstate) - 1);
    memset(f, 0, sizeof(*f));
    memcpy(f->sqlstate, sqlstate, sizeof(f->sqlstate));
    va_start(args, format);
    (void)vsnprintf(f->message, sizeof(f->message), format, args);
    va_end(args);
}

bool failure_is_permanent(const char *sqlstate)
{
    static const char *const permanent[] = {
        PGW_STATE_INVALID_PASSWORD,
        PGW_STATE_INVALID_AUTHORIZATION_SPECIFICATION,
        PGW_STATE_INVALID_CATALOG_NAME,
        PGW_STATE_INSUFFICIENT_PRIVILEGE,
    };

    for (size_t i = 0; i < sizeof(permanent) / sizeof(permanent[0]); i++)
        if (strcmp(sqlstate, permanent[i]) == 0)
            return true;
    return false;
}

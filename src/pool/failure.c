/* See failure.h. */
#include "failure.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "pgwire/sqlstate.h"

/* How much of a text of len bytes is whole characters, if its last one may be cut. */
static size_t whole_characters(const char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0xc0)
        start--;
    return start;
}

void failure_set(struct pool_failure *f, const char *sqlstate, const char *format, ...)
{
    va_list args;
    int len;

    ASSERT(strlen(sqlstate) == sizeof(f->sqlstate) - 1);
    memset(f, 0, sizeof(*f));
    memcpy(f->sqlstate, sqlstate, sizeof(f->sqlstate));
    va_start(args, format);
    len = vsnprintf(f->message, sizeof(f->message), format, args);
    va_end(args);
    if (len >= (int)sizeof(f->message)) {
        size_t whole = whole_characters(f->message, sizeof(f->message) - 1);

        memset(f->message + whole, 0, sizeof(f->message) - whole);
    }
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

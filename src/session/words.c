/* What a server's error says; see words.h. */
#include "words.h"

#include <string.h>

#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"

/* How many bytes of a text that is too long: in UTF-8, its last letter is whole. */
static size_t cut(struct pgw_span text, size_t max)
{
    size_t n = max;

    while (n > max - 3 && (text.ptr[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static void keep(struct pgw_span text, char out[WORDS_SIZE])
{
    size_t n = text.len < WORDS_SIZE ? text.len : cut(text, WORDS_SIZE - 1);

    memcpy(out, text.ptr, n);
    out[n] = '\0';
}

void words_read(struct pgw_span body, struct words *out)
{
    struct pgw_field field;

    *out = (struct words){PGW_STATE_CANT_CHANGE_RUNTIME_PARAM,
                          "the server has refused a setting of this session", "", ""};
    while (pgw_field_next(&body, &field)) {
        if (field.code == PGW_FIELD_SQLSTATE && field.value.len == PGW_SQLSTATE_LEN)
            memcpy(out->sqlstate, field.value.ptr, PGW_SQLSTATE_LEN);
        else if (field.code == PGW_FIELD_MESSAGE)
            keep(field.value, out->message);
        else if (field.code == PGW_FIELD_DETAIL)
            keep(field.value, out->detail);
        else if (field.code == PGW_FIELD_HINT)
            keep(field.value, out->hint);
    }
}

struct pgw_report words_report(const struct words *w, const char *severity)
{
    return (struct pgw_report){.severity = severity,
                               .sqlstate = w->sqlstate,
                               .message = w->message,
                               .detail = w->detail[0] == '\0' ? NULL : w->detail,
                               .hint = w->hint[0] == '\0' ? NULL : w->hint};
}

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

void words_read(struct pgw_span body, struct words *out)
{
    struct pgw_field field;

    *out = (struct words){PGW_STATE_CANT_CHANGE_RUNTIME_PARAM,
                          "the server has refused a setting of this session"};
    while (pgw_field_next(&body, &field)) {
        size_t n = field.value.len;

        if (field.code == PGW_FIELD_SQLSTATE && n == PGW_SQLSTATE_LEN)
            memcpy(out->sqlstate, field.value.ptr, n);
        if (field.code == PGW_FIELD_MESSAGE) {
            n = n < sizeof(out->message) ? n : cut(field.value, sizeof(out->message) - 1);
            memcpy(out->message, field.value.ptr, n);
            out->message[n] = '\0';
        }
    }
}

/* What a server's error says; see words.h. */
#include "words.h"

#include <string.h>

#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"

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
            n = n < sizeof(out->message) ? n : sizeof(out->message) - 1;
            memcpy(out->message, field.value.ptr, n);
            out->message[n] = '\0';
        }
    }
}

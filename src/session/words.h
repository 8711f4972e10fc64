/* What a server's error says, kept beyond the message that brought it. Pure. */
#ifndef WEIR_SESSION_WORDS_H
#define WEIR_SESSION_WORDS_H

#include "pgwire/proto.h"
#include "pgwire/span.h"

struct words {
    char sqlstate[PGW_SQLSTATE_LEN + 1];
    char message[256]; /* cut to fit, between two letters of UTF-8 */
};

/* body is that of an ErrorResponse or its beginning: fields are taken as far as they are whole, for
 * others there is something to say. */
void words_read(struct pgw_span body, struct words *out);

#endif

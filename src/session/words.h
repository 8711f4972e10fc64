/* What a server's error says, kept beyond the message that brought it. Pure. */
#ifndef WEIR_SESSION_WORDS_H
#define WEIR_SESSION_WORDS_H

#include "pgwire/build.h"
#include "pgwire/proto.h"
#include "pgwire/span.h"

#define WORDS_SIZE 512

/* Texts are cut to fit, between two letters of UTF-8. */
struct words {
    char sqlstate[PGW_SQLSTATE_LEN + 1];
    char message[WORDS_SIZE];
    char detail[WORDS_SIZE], hint[WORDS_SIZE]; /* empty: there is none */
};

/* body is that of an ErrorResponse or its beginning: fields are taken as far as they are whole, for
 * others there is something to say. */
void words_read(struct pgw_span body, struct words *out);

/* To tell a client; lives as long as w. */
struct pgw_report words_report(const struct words *w, const char *severity);

#endif

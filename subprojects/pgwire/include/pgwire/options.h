/*
 * The startup parameter "options": command-line options for the server process, of which those that
 * set a configuration parameter are read, "-c name=value" and "--name=value". Words are split as
 * PostgreSQL does (at white space, a backslash takes the meaning from what follows it) and a dash
 * in a name reads as an underscore.
 */
#ifndef PGWIRE_OPTIONS_H
#define PGWIRE_OPTIONS_H

#include "pgwire/span.h"
#include "pgwire/value.h"

enum pgw_option {
    PGW_OPTION_SET,     /* *out is set */
    PGW_OPTION_END,     /* there are no more */
    PGW_OPTION_SWITCH,  /* another switch of the server process: out->name is the word */
    PGW_OPTION_INVALID, /* PostgreSQL refuses it too: 42601; out->name is the word */
    PGW_OPTION_NO_ROOM, /* a word does not fit the buffer */
};

/*
 * Takes the first option out of *in, which begins as struct pgw_startup's options. Words are
 * written into buf, where *out then lies until the next call; as many bytes as *in has are always
 * enough.
 */
PGW_NODISCARD enum pgw_option pgw_options_next(struct pgw_span *in, uint8_t *buf, size_t size,
                                               struct pgw_param *out);

#endif

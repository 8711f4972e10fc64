/*
 * The grammar of libconfig, checked by ourselves so that an error can say what is wrong and what
 * was expected, and so that the library only ever sees text that it parses without mishap: no
 * comments, no includes, every integer decimal with 64 bits, one token per line.
 *
 * One token per line makes the library's line numbers an index: line N of text is places[N - 1].
 */
#ifndef WEIR_CONF_SYNTAX_H
#define WEIR_CONF_SYNTAX_H

#include "source.h"

struct syntax {
    char *text; /* for config_read_string() */
    struct place *places;
    uint32_t n_places;
};

/* Reads all of s. 0, -EINVAL with the source's error set, or -ENOMEM; *out only on success. */
NODISCARD int syntax_read(struct source *s, struct syntax *out);
void syntax_free(struct syntax *x);

#endif

/*
 * Is a text one PREPARE and nothing else, so that running it again prepares that statement and does
 * no more? PostgreSQL keeps, with each statement that SQL has prepared, the whole text that it was
 * sent then, which may hold other statements, too. Pure.
 */
#ifndef WEIR_POOL_PREPARE_TEXT_H
#define WEIR_POOL_PREPARE_TEXT_H

#include <stdbool.h>

#include "weir/base/span.h"

/* A text that already was a statement's, in any encoding that a client may have. Where it cannot
 * be told (a backslash in a literal, which may or may not escape, in front of a semicolon) it is
 * not. Source: PostgreSQL documentation, 4.1 "Lexical Structure". */
bool prepare_text_is_single(struct span text);

#endif

/*
 * The words of libconfig's language, read by ourselves before the library sees anything: it wraps
 * integers, cuts strings at an escaped NUL, calls exit() on some includes, and says no more than
 * "syntax error" about the rest. What is accepted here is a subset of what libconfig accepts.
 */
#ifndef WEIR_CONF_LEX_H
#define WEIR_CONF_LEX_H

#include <stddef.h>
#include <stdint.h>

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_EQUALS,
    TOKEN_BOOL,
    TOKEN_INTEGER, /* beyond 64 bits: the nearest integer that fits, which no setting accepts */
    TOKEN_FLOAT,
    TOKEN_STRING,
    TOKEN_GROUP_OPEN,
    TOKEN_GROUP_CLOSE,
    TOKEN_LIST_OPEN,
    TOKEN_LIST_CLOSE,
    TOKEN_ARRAY_OPEN,
    TOKEN_ARRAY_CLOSE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_INCLUDE, /* text is the path between the quotes */
    /* What no file may contain: */
    TOKEN_BAD_WORD,    /* letters and digits that are neither a name nor a number: 30s */
    TOKEN_BAD_STRING,  /* not closed on its line */
    TOKEN_BAD_ZERO,    /* a zero byte, as it is or as \x00 in a string */
    TOKEN_BAD_COMMENT, /* not closed */
    TOKEN_BAD_INCLUDE, /* an @ that does not begin @include "path" */
    TOKEN_BAD_BYTE,    /* belongs to nothing */
};

struct token {
    enum token_kind kind;
    const char *text; /* in the text that is read: the token as it is written, quotes included */
    size_t len;
    unsigned line;   /* from 1 */
    int64_t integer; /* of a TOKEN_INTEGER */
};

struct lexer {
    const char *pos, *end;
    unsigned line;
};

/* The next token; TOKEN_END again and again at the end. Behind a TOKEN_BAD_* nothing useful
 * follows. Never reads outside pos .. end. */
void lex_next(struct lexer *lexer, struct token *out);

#endif

/*
 * Recursive descent with one token of look-ahead. Groups are bounded in depth, so the recursion
 * is, and in settings, so that looking for duplicates (here and in the library, which compares
 * each name with all before it) stays cheap.
 */
#include "syntax.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

#define MAX_DEPTH 32
#define MAX_SETTINGS 256 /* in one group */
#define SHOWN_MAX 40     /* bytes of a token in a message */

struct parser {
    struct source *source;
    struct token token;           /* the look-ahead, not yet written */
    struct place place;           /* of token */
    struct place key;             /* the name of the setting whose value is being read */
    struct place open[MAX_DEPTH]; /* the brackets that are not closed yet */
    unsigned depth;
    FILE *out;
    struct place *places; /* of the tokens written so far */
    uint32_t n_places, room;
};

/* The names of one group, to find duplicates: indexes into places. */
struct names {
    uint32_t at[MAX_SETTINGS];
    unsigned n;
};

static int parse_value(struct parser *p);

/* What is wrong with a token that no file may contain; NULL: the token is a good one. */
static const char *bad_token(enum token_kind kind)
{
    switch (kind) {
    case TOKEN_BAD_STRING:
        return "this string is not closed: a '\"' is missing at its end";
    case TOKEN_BAD_ZERO:
        return "zero bytes are not possible, neither as they are nor as \\x00";
    case TOKEN_BAD_COMMENT:
        return "this comment is not closed: a '*/' is missing";
    case TOKEN_BAD_INCLUDE:
        return "expected @include \"FILE\"";
    case TOKEN_BAD_BYTE:
        return "this character belongs to nothing; text stands in double quotes";
    case TOKEN_BAD_WORD:
    case TOKEN_END:
    case TOKEN_NAME:
    case TOKEN_EQUALS:
    case TOKEN_BOOL:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_STRING:
    case TOKEN_GROUP_OPEN:
    case TOKEN_GROUP_CLOSE:
    case TOKEN_LIST_OPEN:
    case TOKEN_LIST_CLOSE:
    case TOKEN_ARRAY_OPEN:
    case TOKEN_ARRAY_CLOSE:
    case TOKEN_COMMA:
    case TOKEN_SEMICOLON:
    case TOKEN_INCLUDE:
        break;
    }
    return NULL;
}

/* Refuses the look-ahead: expected says what could have stood here. */
static int fail(const struct parser *p, const char *expected)
{
    const char *bad = bad_token(p->token.kind);
    int len = p->place.len < SHOWN_MAX ? (int)p->place.len : SHOWN_MAX;

    if (bad != NULL)
        return source_fail(p->source, &p->place, true, "syntax error: %s", bad);
    if (p->token.kind == TOKEN_END && p->depth > 0) {
        const struct place *open = &p->open[p->depth - 1];

        return source_fail(p->source, &p->place, false,
                           "syntax error: the file ends, but the '%c' of %s:%u is not closed",
                           *open->text, p->source->files[open->file]->path, open->line);
    }
    if (p->token.kind == TOKEN_END)
        return source_fail(p->source, &p->place, false, "syntax error: the file ends; expected %s",
                           expected);
    return source_fail(p->source, &p->place, true, "syntax error at '%.*s': expected %s", len,
                       p->place.text, expected);
}

static bool is_switch_word(const struct place *at)
{
    static const char *const words[] = {"yes", "no", "on", "off"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (at->len == strlen(words[i]) && strncasecmp(at->text, words[i], at->len) == 0)
            return true;
    }
    return false;
}

/* Refuses a bare word as the value of a key: says how it is written and, where the key is known,
 * what it takes. The grammar knows no sections; a key that two of them have takes the same in
 * both. */
static int fail_word(const struct parser *p)
{
    static const enum schema_section sections[] = {SCHEMA_WEIR, SCHEMA_ARENA, SCHEMA_DATABASES,
                                                   SCHEMA_USERS};
    int len = p->place.len < SHOWN_MAX ? (int)p->place.len : SHOWN_MAX;
    char key[64], accepted[400] = "";
    const struct schema_row *row = NULL;

    snprintf(key, sizeof(key), "%.*s", (int)p->key.len, p->key.text);
    for (size_t i = 0; row == NULL && i < sizeof(sections) / sizeof(sections[0]); i++)
        row = schema_find(sections[i], key);
    if (row != NULL)
        value_accepted(row, true, accepted, sizeof(accepted));
    return source_fail(
        p->source, &p->place, true, "syntax error: %s = %.*s: %s%s%s", key, len, p->place.text,
        is_switch_word(&p->place) ? "a switch is true or false"
                                  : "text, and a number with a unit, stands in double quotes",
        row != NULL ? "; accepted: " : "", accepted);
}

/* The look-ahead is no value. */
static int fail_value(const struct parser *p)
{
    if (p->token.kind == TOKEN_NAME || p->token.kind == TOKEN_BAD_WORD)
        return fail_word(p);
    return fail(p, "a value: a number, true, false, a text in quotes, or a group, list or array");
}

/* Writes the look-ahead for the library, on a line of its own. */
static int write_token(struct parser *p)
{
    if (p->n_places == p->room) {
        uint32_t room = p->room == 0 ? 1024 : p->room * 2;
        struct place *places = realloc(p->places, room * sizeof(*places));

        if (places == NULL)
            return -ENOMEM;
        p->places = places;
        p->room = room;
    }
    p->places[p->n_places++] = p->place;
    if (p->token.kind == TOKEN_INTEGER)
        fprintf(p->out, "%" PRId64 "L\n", p->token.integer);
    else
        fprintf(p->out, "%.*s\n", (int)p->place.len, p->place.text);
    return 0;
}

/* Reads the next token into the look-ahead. */
static int look(struct parser *p)
{
    return source_next(p->source, &p->token, &p->place);
}

/* Accepts the look-ahead and reads the next token. */
static int advance(struct parser *p)
{
    int r = write_token(p);

    return r == 0 ? look(p) : r;
}

/* Accepts an opening bracket. */
static int enter(struct parser *p)
{
    if (p->depth == MAX_DEPTH)
        return source_fail(p->source, &p->place, true,
                           "syntax error: brackets are nested more than %d deep", MAX_DEPTH);
    p->open[p->depth++] = p->place;
    return advance(p);
}

/* Accepts the closing bracket. */
static int leave(struct parser *p)
{
    p->depth--;
    return advance(p);
}

/* Accepts the name of a setting, which must be new in its group. */
static int parse_name(struct parser *p, struct names *names)
{
    for (unsigned i = 0; i < names->n; i++) {
        const struct place *old = &p->places[names->at[i]];

        if (old->len == p->place.len && memcmp(old->text, p->place.text, old->len) == 0)
            return source_fail(p->source, &p->place, true,
                               "%.*s is set twice, first at %s:%u; accepted: once", (int)old->len,
                               old->text, p->source->files[old->file]->path, old->line);
    }
    if (names->n == MAX_SETTINGS)
        return source_fail(p->source, &p->place, true, "more than %d settings in one group",
                           MAX_SETTINGS);
    names->at[names->n++] = p->n_places;
    p->key = p->place;
    return advance(p);
}

/* Settings up to a closing token, which is left to the caller. */
static int parse_settings(struct parser *p, enum token_kind closing)
{
    struct names names = {.n = 0};

    while (p->token.kind == TOKEN_NAME) {
        int r = parse_name(p, &names);

        if (r == 0 && p->token.kind != TOKEN_EQUALS)
            r = fail(p, "'=' after a key");
        if (r == 0)
            r = advance(p);
        if (r == 0)
            r = parse_value(p);
        if (r == 0 && (p->token.kind == TOKEN_SEMICOLON || p->token.kind == TOKEN_COMMA))
            r = advance(p);
        if (r != 0)
            return r;
    }
    if (p->token.kind == closing)
        return 0;
    if (closing == TOKEN_END)
        return fail(p, "a key, as in: key = value;");
    return fail(p, "a key, as in: key = value; or the '}' that ends the group");
}

static int parse_group(struct parser *p)
{
    int r = enter(p);

    if (r == 0)
        r = parse_settings(p, TOKEN_GROUP_CLOSE);
    return r == 0 ? leave(p) : r;
}

/* One element of a list, or of an array, whose elements are plain values of one kind: that of
 * *first, which the first one sets. */
static int parse_element(struct parser *p, bool is_array, enum token_kind *first)
{
    enum token_kind kind = p->token.kind;

    if (!is_array)
        return parse_value(p);
    if (kind == TOKEN_GROUP_OPEN || kind == TOKEN_LIST_OPEN || kind == TOKEN_ARRAY_OPEN)
        return fail(p, "plain values in an array; a list of other things stands in ( )");
    if (*first == TOKEN_END)
        *first = kind;

    int r = parse_value(p);

    return r == 0 && kind != *first ? fail(p, "values of one kind in an array") : r;
}

/* ( a, b ) or [ a, b ]. */
static int parse_sequence(struct parser *p)
{
    bool is_array = p->token.kind == TOKEN_ARRAY_OPEN;
    enum token_kind closing = is_array ? TOKEN_ARRAY_CLOSE : TOKEN_LIST_CLOSE;
    enum token_kind first = TOKEN_END;
    struct place key = p->key; /* elements may be groups with keys of their own */
    int r = enter(p);

    if (r == 0 && p->token.kind == closing)
        return leave(p);
    while (r == 0) {
        p->key = key;
        r = parse_element(p, is_array, &first);
        if (r == 0 && p->token.kind == closing)
            return leave(p);
        if (r == 0 && p->token.kind != TOKEN_COMMA)
            return fail(p, is_array ? "',' or ']' after an element of an array"
                                    : "',' or ')' after an element of a list");
        if (r == 0)
            r = advance(p);
        if (r == 0 && p->token.kind == closing)
            return fail(p, "another element: no ',' may follow the last one");
    }
    return r;
}

static int parse_string(struct parser *p)
{
    int r = advance(p);

    if (r == 0 && p->token.kind == TOKEN_STRING)
        return fail(p, "one text, then ';'");
    return r;
}

static int parse_value(struct parser *p)
{
    switch (p->token.kind) {
    case TOKEN_BOOL:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        return advance(p);
    case TOKEN_STRING:
        return parse_string(p);
    case TOKEN_GROUP_OPEN:
        return parse_group(p);
    case TOKEN_LIST_OPEN:
    case TOKEN_ARRAY_OPEN:
        return parse_sequence(p);
    case TOKEN_END:
    case TOKEN_NAME:
    case TOKEN_EQUALS:
    case TOKEN_GROUP_CLOSE:
    case TOKEN_LIST_CLOSE:
    case TOKEN_ARRAY_CLOSE:
    case TOKEN_COMMA:
    case TOKEN_SEMICOLON:
    case TOKEN_INCLUDE:
    case TOKEN_BAD_WORD:
    case TOKEN_BAD_STRING:
    case TOKEN_BAD_ZERO:
    case TOKEN_BAD_COMMENT:
    case TOKEN_BAD_INCLUDE:
    case TOKEN_BAD_BYTE:
        break;
    }
    return fail_value(p);
}

int syntax_read(struct source *s, struct syntax *out)
{
    struct parser p = {.source = s};
    char *text = NULL;
    size_t len = 0;

    p.out = open_memstream(&text, &len);
    if (p.out == NULL)
        return -ENOMEM;

    int r = look(&p);

    if (r == 0)
        r = parse_settings(&p, TOKEN_END);
    if (fclose(p.out) != 0 && r == 0)
        r = -ENOMEM;
    if (r != 0) {
        free(text);
        free(p.places);
        return r;
    }
    *out = (struct syntax){text, p.places, p.n_places};
    return 0;
}

void syntax_free(struct syntax *x)
{
    free(x->text);
    free(x->places);
    *x = (struct syntax){0};
}

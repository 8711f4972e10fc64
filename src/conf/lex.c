/*
 * Tokens. A "word" is the longest run of letters, digits and the few characters that names and
 * numbers are made of; only then it is decided what it is. So "30s" is one bad word here, where
 * libconfig sees the number 30 followed by a key named s.
 */
#include "lex.h"

#include <stdbool.h>
#include <string.h>

/* The "C" locale's classes, whatever the process's locale is. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_word(char c)
{
    return is_digit(c) || is_letter(c) || (c != '\0' && strchr("_*+-.", c) != NULL);
}

static bool starts_with(const struct lexer *l, const char *prefix)
{
    size_t len = strlen(prefix);

    return (size_t)(l->end - l->pos) >= len && memcmp(l->pos, prefix, len) == 0;
}

static void skip_line(struct lexer *l)
{
    while (l->pos < l->end && *l->pos != '\n')
        l->pos++;
}

/* Moves behind the comment that starts here. False, without moving: it never ends. */
static bool skip_comment(struct lexer *l)
{
    unsigned line = l->line;

    for (const char *p = l->pos + 2; p + 1 < l->end; p++) {
        line += *p == '\n';
        if (p[0] == '*' && p[1] == '/') {
            l->pos = p + 2;
            l->line = line;
            return true;
        }
    }
    return false;
}

/* Moves to the next byte that is neither blank nor comment. False: a comment never ends. */
static bool skip_blanks(struct lexer *l)
{
    while (l->pos < l->end) {
        char c = *l->pos;

        if (c == '\n')
            l->line++;
        if (c == '\n' || c == ' ' || c == '\t' || c == '\r' || c == '\f') {
            l->pos++;
        } else if (c == '#' || starts_with(l, "//")) {
            skip_line(l);
        } else if (starts_with(l, "/*")) {
            if (!skip_comment(l))
                return false;
        } else {
            break;
        }
    }
    return true;
}

/* Up to and with the closing quote. */
static enum token_kind take_string(struct lexer *l)
{
    for (const char *p = l->pos + 1; p < l->end && *p != '\n'; p++) {
        if (*p == '\0')
            return TOKEN_BAD_ZERO;
        if (*p == '"') {
            l->pos = p + 1;
            return TOKEN_STRING;
        }
        if (*p != '\\' || p + 1 >= l->end)
            continue;
        if ((p[1] == 'x' || p[1] == 'X') && l->end - p >= 4 && p[2] == '0' && p[3] == '0')
            return TOKEN_BAD_ZERO;
        if (p[1] == '\\' || p[1] == '"')
            p++;
    }
    return TOKEN_BAD_STRING;
}

static enum token_kind take_include(struct lexer *l, struct token *out)
{
    static const char word[] = "@include";
    const char *p = l->pos + sizeof(word) - 1;

    if (!starts_with(l, word))
        return TOKEN_BAD_INCLUDE;
    while (p < l->end && (*p == ' ' || *p == '\t'))
        p++;
    if (p >= l->end || *p != '"')
        return TOKEN_BAD_INCLUDE;

    const char *path = ++p;

    while (p < l->end && *p != '"' && *p != '\n' && *p != '\0')
        p++;
    if (p >= l->end || *p != '"')
        return TOKEN_BAD_STRING;
    out->text = path;
    out->len = (size_t)(p - path);
    l->pos = p + 1;
    return TOKEN_INCLUDE;
}

/* Digits in the given base up to end, with L or LL behind them; saturates. */
static bool read_integer(const char *p, const char *end, int base, int64_t *out)
{
    bool negative = *p == '-';
    int64_t value = 0;

    if (*p == '-' || *p == '+')
        p++;
    if (base == 16)
        p += 2;
    for (int n = 0; n < 2 && end > p && end[-1] == 'L'; n++)
        end--;
    if (p >= end)
        return false;
    for (; p < end; p++) {
        int digit = hex_value(*p);

        if (digit < 0 || digit >= base)
            return false;
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            value = negative ? INT64_MIN : INT64_MAX;
    }
    *out = value;
    return true;
}

/* [+-]digits.digits, with or without exponent. */
static bool is_float(const char *p, const char *end)
{
    unsigned n_digits = 0;

    p += p < end && (*p == '-' || *p == '+');
    for (; p < end && is_digit(*p); p++)
        n_digits++;
    if (p >= end || *p != '.' || n_digits == 0)
        return false;
    for (p++; p < end && is_digit(*p); p++)
        ;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '-' || *p == '+');
        if (p >= end)
            return false;
        for (; p < end && is_digit(*p); p++)
            ;
    }
    return p == end;
}

static bool is_name(const char *p, const char *end)
{
    if (!is_letter(*p) && *p != '*')
        return false;
    for (p++; p < end; p++) {
        if (*p == '.' || *p == '+')
            return false;
    }
    return true;
}

/* Whether the word is the given one, letters of either case. */
static bool is_one(const char *p, const char *end, const char *lower)
{
    size_t len = strlen(lower);

    if ((size_t)(end - p) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((p[i] | 0x20) != lower[i])
            return false;
    }
    return true;
}

static enum token_kind take_word(struct lexer *l, struct token *out)
{
    const char *word = l->pos;

    while (l->pos < l->end && is_word(*l->pos))
        l->pos++;

    size_t len = (size_t)(l->pos - word);
    bool hex = len > 2 && word[0] == '0' && (word[1] | 0x20) == 'x';

    if (is_one(word, l->pos, "true") || is_one(word, l->pos, "false"))
        return TOKEN_BOOL;
    if (is_name(word, l->pos))
        return TOKEN_NAME;
    if (read_integer(word, l->pos, hex ? 16 : 10, &out->integer))
        return TOKEN_INTEGER;
    return is_float(word, l->pos) ? TOKEN_FLOAT : TOKEN_BAD_WORD;
}

static enum token_kind take_sign(struct lexer *l)
{
    static const struct {
        char byte;
        enum token_kind kind;
    } signs[] = {
        {'=', TOKEN_EQUALS},      {':', TOKEN_EQUALS},      {'{', TOKEN_GROUP_OPEN},
        {'}', TOKEN_GROUP_CLOSE}, {'(', TOKEN_LIST_OPEN},   {')', TOKEN_LIST_CLOSE},
        {'[', TOKEN_ARRAY_OPEN},  {']', TOKEN_ARRAY_CLOSE}, {',', TOKEN_COMMA},
        {';', TOKEN_SEMICOLON},   {'\0', TOKEN_BAD_ZERO},
    };

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (*l->pos == signs[i].byte) {
            l->pos++;
            return signs[i].kind;
        }
    }
    return TOKEN_BAD_BYTE;
}

void lex_next(struct lexer *l, struct token *out)
{
    bool closed = skip_blanks(l);
    const char *start = l->pos;

    *out = (struct token){.text = start, .line = l->line};
    if (!closed)
        out->kind = TOKEN_BAD_COMMENT;
    else if (start == l->end)
        out->kind = TOKEN_END;
    else if (*start == '"')
        out->kind = take_string(l);
    else if (*start == '@')
        out->kind = take_include(l, out);
    else if (is_word(*start))
        out->kind = take_word(l, out);
    else
        out->kind = take_sign(l);
    if (out->kind != TOKEN_INCLUDE)
        out->len = (size_t)(l->pos - start);
}

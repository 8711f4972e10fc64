/*
 * Is a text one PREPARE and nothing else; see prepare_text.h. Bytes of other encodings do not get
 * in the way: where a letter's second byte is an ASCII one, it is none that ends a literal, a name
 * or a statement.
 */
#include "prepare_text.h"

#include <stdint.h>
#include <string.h>

#define IS_UNKNOWN SIZE_MAX /* in the place of an offset: it cannot be told, or never ends */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_of_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c >= 0x80;
}

static bool has(struct span t, size_t at, const char *what)
{
    size_t len = strlen(what);

    return t.len - at >= len && memcmp(t.ptr + at, what, len) == 0;
}

/* ---- each of these takes the offset of something's begin and returns that of its end ---- */

static size_t past_line_comment(struct span t, size_t at)
{
    while (at < t.len && t.ptr[at] != '\n' && t.ptr[at] != '\r')
        at++;
    return at;
}

static size_t past_block_comment(struct span t, size_t at)
{
    unsigned depth = 0;

    while (at < t.len) {
        if (has(t, at, "/*")) {
            depth++;
            at += 2;
        } else if (has(t, at, "*/")) {
            at += 2;
            if (--depth == 0)
                return at;
        } else {
            at++;
        }
    }
    return IS_UNKNOWN;
}

static size_t past_blank(struct span t, size_t at)
{
    while (at < t.len) {
        if (is_space(t.ptr[at]))
            at++;
        else if (has(t, at, "--"))
            at = past_line_comment(t, at);
        else if (has(t, at, "/*"))
            at = past_block_comment(t, at);
        else
            break;
        if (at == IS_UNKNOWN)
            break;
    }
    return at;
}

/* A doubled quote ends one and begins another, which comes to the same. */
static size_t past_quoted(struct span t, size_t at)
{
    uint8_t quote = t.ptr[at];

    for (at++; at < t.len; at++) {
        if (t.ptr[at] == quote)
            return at + 1;
        if (t.ptr[at] == '\\' && quote == '\'')
            break; /* whether it escapes depends on the literal's kind and on a setting */
    }
    return IS_UNKNOWN;
}

/* $$...$$ or $tag$...$tag$; $1 and a lone $ are one byte long here. */
static size_t past_dollar(struct span t, size_t at)
{
    size_t end = at + 1;

    while (end < t.len && is_of_name(t.ptr[end]))
        end++;
    if (end == t.len || t.ptr[end] != '$' || (t.ptr[at + 1] >= '0' && t.ptr[at + 1] <= '9'))
        return at + 1;

    size_t len = end + 1 - at;

    for (end++; end + len <= t.len; end++)
        if (memcmp(t.ptr + end, t.ptr + at, len) == 0)
            return end + len;
    return IS_UNKNOWN;
}

static size_t past_word(struct span t, size_t at)
{
    while (at < t.len && (is_of_name(t.ptr[at]) || t.ptr[at] == '$'))
        at++;
    return at;
}

static size_t past_token(struct span t, size_t at)
{
    uint8_t c = t.ptr[at];

    if (is_of_name(c))
        return past_word(t, at);
    if (c == '\'' || c == '"')
        return past_quoted(t, at);
    if (c == '$')
        return past_dollar(t, at);
    if (has(t, at, "--") || has(t, at, "/*"))
        return past_blank(t, at);
    return at + 1;
}

/* ---- the whole ---- */

static bool begins_with_prepare(struct span t)
{
    static const char word[] = "prepare";
    size_t at = past_blank(t, 0), len = sizeof(word) - 1;

    if (at == IS_UNKNOWN || t.len - at <= len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((t.ptr[at + i] | 0x20) != word[i])
            return false;
    return !is_of_name(t.ptr[at + len]);
}

static struct span without_end(struct span t)
{
    while (t.len > 0 && (is_space(t.ptr[t.len - 1]) || t.ptr[t.len - 1] == ';'))
        t.len--;
    return t;
}

bool prepare_text_is_single(struct span text)
{
    struct span t = without_end(text);
    size_t at = 0;

    if (!begins_with_prepare(t))
        return false;
    if (memchr(t.ptr, ';', t.len) == NULL)
        return true;
    while (at != IS_UNKNOWN && at < t.len && t.ptr[at] != ';')
        at = past_token(t, at);
    if (at == IS_UNKNOWN)
        return false;
    while (at != IS_UNKNOWN && at < t.len && t.ptr[at] == ';')
        at = past_blank(t, at + 1);
    return at == t.len;
}

/* Reading a DEALLOCATE; see deallocate.h. */
#include "deallocate.h"

#include <ctype.h>
#include <strings.h>

/* Spaces as PostgreSQL's scanner has them. */
static bool is_space(uint8_t ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static void skip_spaces(struct pgw_span *s)
{
    while (s->len > 0 && is_space(s->ptr[0]))
        *s = pgw_span_skip(*s, 1);
}

/* A word in any case, which must not go on. */
static bool take_word(struct pgw_span *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len <= len || strncasecmp((const char *)s->ptr, word, len) != 0 ||
        (!is_space(s->ptr[len]) && s->ptr[len] != '"'))
        return false;
    *s = pgw_span_skip(*s, len);
    skip_spaces(s);
    return true;
}

static void put(char name[CONF_NAME_MAX], size_t *len, uint8_t ch)
{
    if (*len < CONF_NAME_MAX)
        name[(*len)++] = (char)ch;
}

static bool take_quoted(struct pgw_span *s, char name[CONF_NAME_MAX], size_t *len)
{
    for (size_t i = 1; i < s->len && s->ptr[i] != '\0'; i++) {
        if (s->ptr[i] != '"') {
            put(name, len, s->ptr[i]);
        } else if (i + 1 < s->len && s->ptr[i + 1] == '"') {
            put(name, len, s->ptr[i++]);
        } else {
            *s = pgw_span_skip(*s, i + 1);
            return *len > 0;
        }
    }
    return false;
}

/* Letters beyond ASCII are folded by the server's locale: left to it. */
static bool take_bare(struct pgw_span *s, char name[CONF_NAME_MAX], size_t *len)
{
    size_t i = 0;

    for (; i < s->len; i++) {
        uint8_t ch = s->ptr[i];
        bool first = (ch | 0x20) >= 'a' && (ch | 0x20) <= 'z';

        if (!first && ch != '_' && (i == 0 || (!isdigit(ch) && ch != '$')))
            break;
        put(name, len, first ? ch | 0x20 : ch);
    }
    *s = pgw_span_skip(*s, i);
    return i > 0;
}

/* A name or ALL. */
static enum deallocate read_name(struct pgw_span *s, char name[CONF_NAME_MAX], size_t *len)
{
    if (s->len > 0 && s->ptr[0] == '"')
        return take_quoted(s, name, len) ? DEALLOCATE_NAME : DEALLOCATE_NONE;
    if (!take_bare(s, name, len))
        return DEALLOCATE_NONE;
    return *len == 3 && memcmp(name, "all", 3) == 0 ? DEALLOCATE_ALL : DEALLOCATE_NAME;
}

static bool take_end(struct pgw_span *s)
{
    skip_spaces(s);
    while (s->len > 0 && s->ptr[0] == ';') {
        *s = pgw_span_skip(*s, 1);
        skip_spaces(s);
    }
    return s->len == 1 && s->ptr[0] == '\0';
}

enum deallocate deallocate_read(struct pgw_span text, char name[CONF_NAME_MAX], size_t *len)
{
    char out[CONF_NAME_MAX];
    enum deallocate what;
    size_t n = 0;

    if (text.len > DEALLOCATE_TEXT_MAX)
        return DEALLOCATE_NONE;
    skip_spaces(&text);

    bool discards = take_word(&text, "discard");

    if (!discards && !take_word(&text, "deallocate"))
        return DEALLOCATE_NONE;
    if (!discards)
        (void)take_word(&text, "prepare");
    what = read_name(&text, out, &n);
    if ((discards && what != DEALLOCATE_ALL) || !take_end(&text))
        return DEALLOCATE_NONE;
    if (what == DEALLOCATE_NAME) {
        memcpy(name, out, n);
        *len = n;
    }
    return what;
}

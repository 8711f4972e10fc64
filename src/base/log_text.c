/*
 * Fields are formatted here and not by printf, because only who sees the single value can quote it:
 * a user name with a blank, a quote or a newline in it must not look like another field or line.
 */
#include "log_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "weir/base/log.h"

#define MARK "..."
#define N_RESERVED (sizeof(MARK "\"") - 1) /* always free, for a cut value's end */

_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(size_t) &&
                   sizeof(long) == sizeof(intmax_t),
               "l, ll, z and j are one size");

/* One conversion of a format: "%.3f". */
struct conversion {
    int precision; /* -1: none */
    bool is_long;  /* l, ll, z or j */
    char type;
};

void log_text_init(struct log_text *t, char *bytes, size_t size)
{
    ASSERT(size > N_RESERVED);
    t->bytes = bytes;
    t->size = size;
    t->len = 0;
    t->cut = t->open_quote = false;
}

/* All of it or nothing, and then nothing more. */
static void put(struct log_text *t, const char *bytes, size_t n)
{
    if (t->cut || n > t->size - N_RESERVED - t->len) {
        t->cut = true;
        return;
    }
    memcpy(t->bytes + t->len, bytes, n);
    t->len += n;
}

static void put_char(struct log_text *t, char c)
{
    put(t, &c, 1);
}

/* Into the reserve. */
static void put_end(struct log_text *t, const char *bytes, size_t n)
{
    ASSERT(n <= t->size - t->len);
    memcpy(t->bytes + t->len, bytes, n);
    t->len += n;
}

size_t log_text_end(struct log_text *t)
{
    if (t->cut)
        put_end(t, MARK "\"", sizeof(MARK) - 1 + t->open_quote);
    return t->len;
}

void log_text_words(struct log_text *t, const char *words)
{
    put(t, words, strlen(words));
}

/* ---- values */

/* The control characters of Latin 1, and those that end lines or turn the direction of writing. */
static bool changes_lines(uint32_t code)
{
    return code < 0xa0 || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* Length of the UTF-8 character at s if it is well formed (RFC 3629) and may be shown; else 0. */
static size_t printable(const unsigned char *s, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* that needs so many bytes */
    size_t len = s[0] < 0x80 ? 1 : s[0] >> 5 == 0x06 ? 2 : s[0] >> 4 == 0x0e ? 3 : 4;
    uint32_t code;

    if (len == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (s[0] < 0xc0 || s[0] > 0xf4 || len > left)
        return 0;
    code = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (s[i] >> 6 != 0x02)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    return changes_lines(code) ? 0 : len;
}

static void put_escaped(struct log_text *t, unsigned char c)
{
    static const char short_form[] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char escape[5] = {'\\', (char)c};
    size_t len = 2;

    if (c < sizeof(short_form) && short_form[c] != 0)
        escape[1] = short_form[c];
    else if (c != '"' && c != '\\')
        len = (size_t)snprintf(escape, sizeof(escape), "\\x%02x", c);
    put(t, escape, len);
}

static void put_quoted(struct log_text *t, const char *value, size_t len, bool cut)
{
    const unsigned char *s = (const unsigned char *)value;

    put_char(t, '"');
    if (t->cut)
        return;
    for (size_t i = 0; i < len;) {
        size_t n = printable(s + i, len - i);

        if (n == 0 || s[i] == '"' || s[i] == '\\') {
            put_escaped(t, s[i]);
            n = 1;
        } else {
            put(t, value + i, n);
        }
        i += n;
    }
    if (cut)
        put(t, MARK, sizeof(MARK) - 1);
    put_char(t, '"');
    t->open_quote = t->cut;
}

static bool plain(const char *value, size_t len)
{
    const unsigned char *s = (const unsigned char *)value;

    for (size_t i = 0; i < len;) {
        size_t n = printable(s + i, len - i);

        if (n == 0 || s[i] == ' ' || s[i] == '"' || s[i] == '\\' || s[i] == '=')
            return false;
        i += n;
    }
    return len > 0;
}

static void put_value(struct log_text *t, const struct log_text *value)
{
    if (!value->cut && plain(value->bytes, value->len))
        put(t, value->bytes, value->len);
    else
        put_quoted(t, value->bytes, value->len, value->cut);
}

/* ---- conversions */

/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized): it does not follow pointers to a va_list */

/* From behind the %; returns where it ends. */
static const char *parse_conversion(const char *p, va_list *args, struct conversion *c)
{
    *c = (struct conversion){.precision = -1};
    if (*p == '.') {
        p++;
        if (*p == '*') {
            c->precision = va_arg(*args, int);
            p++;
        } else {
            for (c->precision = 0; *p >= '0' && *p <= '9'; p++)
                c->precision = c->precision * 10 + (*p - '0');
        }
    }
    for (; *p == 'l' || *p == 'z' || *p == 'j'; p++)
        c->is_long = true;
    c->type = *p;
    return p + 1;
}

static void put_string(struct log_text *value, const char *s, int precision)
{
    size_t len, room = value->size - N_RESERVED - value->len;

    if (s == NULL)
        s = "(null)";
    len = precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s);
    put(value, s, len < room ? len : room);
    value->cut = value->cut || len > room;
}

static void put_conversion(struct log_text *value, const struct conversion *c, va_list *args)
{
    char number[352]; /* the longest double without an exponent has 309 digits before the point */
    int len = 0;

    switch (c->type) {
    case 's':
        put_string(value, va_arg(*args, const char *), c->precision);
        return;
    case 'c':
        put_char(value, (char)va_arg(*args, int));
        return;
    case '%':
        put_char(value, '%');
        return;
    case 'd':
    case 'i':
        len = snprintf(number, sizeof(number), "%ld",
                       c->is_long ? va_arg(*args, long) : va_arg(*args, int));
        break;
    case 'u':
        len = snprintf(number, sizeof(number), "%lu",
                       c->is_long ? va_arg(*args, unsigned long) : va_arg(*args, unsigned));
        break;
    case 'x':
        len = snprintf(number, sizeof(number), "%lx",
                       c->is_long ? va_arg(*args, unsigned long) : va_arg(*args, unsigned));
        break;
    case 'f':
        ASSERT(c->precision <= 20);
        len = snprintf(number, sizeof(number), "%.*f", c->precision < 0 ? 6 : c->precision,
                       va_arg(*args, double));
        break;
    case 'p':
        len = snprintf(number, sizeof(number), "%p", va_arg(*args, void *));
        break;
    default:
        ASSERT(false); /* log.h lists what a format may use */
    }
    put(value, number, (size_t)len);
}

/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

/* One word of the format from p; returns where it ends. */
static const char *put_field(struct log_text *t, const char *p, va_list *args)
{
    char bytes[LOG_TEXT_MAX];
    struct log_text value;
    const char *end = p + strcspn(p, " ");
    size_t key = strcspn(p, "=%"); /* "user=" of "user=%s", all of a word of ours */

    key = p[key] == '=' ? key + 1 : 0;
    if (memchr(p, '%', (size_t)(end - p)) == NULL)
        key = (size_t)(end - p);
    put_char(t, ' ');
    put(t, p, key);
    if (p + key == end)
        return end;

    log_text_init(&value, bytes, sizeof(bytes));
    for (p += key; p < end;) {
        struct conversion c;

        if (*p != '%') {
            put_char(&value, *p++);
            continue;
        }
        p = parse_conversion(p + 1, args, &c);
        put_conversion(&value, &c, args);
    }
    put_value(t, &value);
    return p;
}

void log_text_fields(struct log_text *t, const char *fields, va_list args)
{
    va_list copy; /* of which there is a pointer: the parameter may be an array */

    if (fields == NULL)
        return;
    va_copy(copy, args);
    for (const char *p = fields; *(p += strspn(p, " ")) != '\0';)
        p = put_field(t, p, &copy);
    va_end(copy);
}

void log_text_number(struct log_text *t, const char *key, unsigned long long value)
{
    char number[24];
    int len = snprintf(number, sizeof(number), "=%llu", value);

    put_char(t, ' ');
    log_text_words(t, key);
    put(t, number, (size_t)len);
}

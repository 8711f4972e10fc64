#include "pgwire/options.h"

#include "pgwire/reader.h"

/* isspace() of the C locale. */
static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Puts the next word, its escapes undone, into buf. END, NO_ROOM, or SET for a word. */
static enum pgw_option next_word(struct pgw_span *in, uint8_t *buf, size_t size,
                                 struct pgw_span *out)
{
    size_t i = 0, n = 0;
    bool is_escaped = false;

    while (i < in->len && is_space(in->ptr[i]))
        i++;
    if (i == in->len)
        return PGW_OPTION_END;
    for (; i < in->len && (is_escaped || !is_space(in->ptr[i])); i++) {
        if (!is_escaped && in->ptr[i] == '\\') {
            is_escaped = true;
            continue;
        }
        if (n == size)
            return PGW_OPTION_NO_ROOM;
        buf[n++] = in->ptr[i];
        is_escaped = false;
    }
    *in = pgw_span_skip(*in, i);
    *out = (struct pgw_span){buf, n};
    return PGW_OPTION_SET;
}

/* Splits "name=value" in place and reads dashes in the name as underscores. */
static bool split_setting(uint8_t *setting, size_t len, struct pgw_param *out)
{
    const uint8_t *equals = len > 0 ? memchr(setting, '=', len) : NULL;

    if (equals == NULL || equals == setting)
        return false;

    size_t name_len = (size_t)(equals - setting);

    for (size_t i = 0; i < name_len; i++) {
        if (setting[i] == '-')
            setting[i] = '_';
    }
    out->name = (struct pgw_span){setting, name_len};
    out->value = (struct pgw_span){equals + 1, len - name_len - 1};
    return true;
}

/* What a word is, judged by its first two bytes as getopt() does. */
static enum pgw_option classify(struct pgw_span word, struct pgw_span left)
{
    uint8_t byte;
    struct pgw_span unused;

    if (word.len < 2 || word.ptr[0] != '-')
        return PGW_OPTION_INVALID; /* the server process takes no arguments */
    if (word.ptr[1] == 'c')
        return PGW_OPTION_SET;
    if (word.ptr[1] != '-')
        return PGW_OPTION_SWITCH;
    if (word.len > 2)
        return PGW_OPTION_SET;
    /* A bare "--" ends the options, and arguments would follow. */
    return next_word(&left, &byte, 0, &unused) == PGW_OPTION_END ? PGW_OPTION_END
                                                                 : PGW_OPTION_INVALID;
}

enum pgw_option pgw_options_next(struct pgw_span *in, uint8_t *buf, size_t size,
                                 struct pgw_param *out)
{
    const size_t n_dash = 2; /* "-c" or "--" */
    struct pgw_span left = *in, word;
    enum pgw_option answer = next_word(&left, buf, size, &word);
    size_t start = n_dash;

    if (answer != PGW_OPTION_SET)
        return answer;
    answer = classify(word, left);
    if (answer == PGW_OPTION_SET && word.len == n_dash) { /* "-c", and the setting on its own */
        answer = next_word(&left, buf, size, &word);
        start = 0;
        if (answer == PGW_OPTION_END)
            answer = PGW_OPTION_INVALID;
    }
    if (answer == PGW_OPTION_SET && !split_setting(buf + start, word.len - start, out))
        answer = PGW_OPTION_INVALID;
    if (answer == PGW_OPTION_SWITCH || answer == PGW_OPTION_INVALID)
        *out = (struct pgw_param){.name = word};
    if (answer != PGW_OPTION_NO_ROOM)
        *in = left;
    return answer;
}

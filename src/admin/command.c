/*
 * Commands are compared word by word with a table; there is no grammar beyond that.
 */
#include "command.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WORDS_MAX 2

static const char *const names[][WORDS_MAX] = {
    [COMMAND_SHOW_CLIENTS] = {"SHOW", "CLIENTS"}, [COMMAND_SHOW_MEM] = {"SHOW", "MEM"},
    [COMMAND_SHOW_POOLS] = {"SHOW", "POOLS"},     [COMMAND_SHOW_REACTORS] = {"SHOW", "REACTORS"},
    [COMMAND_SHOW_SERVERS] = {"SHOW", "SERVERS"}, [COMMAND_SHOW_STATE] = {"SHOW", "STATE"},
    [COMMAND_SHOW_VERSION] = {"SHOW", "VERSION"}, [COMMAND_RELOAD] = {"RELOAD", NULL},
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_end(uint8_t c)
{
    return is_blank(c) || c == ';';
}

static struct span skip(struct span text, bool (*is_skipped)(uint8_t c))
{
    while (text.len > 0 && is_skipped(text.ptr[0]))
        text = span_skip(text, 1);
    return text;
}

/* The word that *text begins with; empty at its end or at a semicolon. */
static struct span next_word(struct span *text)
{
    struct span word = skip(*text, is_blank);
    size_t len = 0;

    while (len < word.len && !is_end(word.ptr[len]))
        len++;
    *text = span_skip(word, len);
    word.len = len;
    return word;
}

static bool is_word(struct span word, const char *name)
{
    return word.len == strlen(name) && strncasecmp((const char *)word.ptr, name, word.len) == 0;
}

static bool is_command(struct span text, const char *const name[WORDS_MAX])
{
    for (size_t i = 0; i < WORDS_MAX && name[i] != NULL; i++) {
        if (!is_word(next_word(&text), name[i]))
            return false;
    }
    return skip(text, is_end).len == 0;
}

enum command command_parse(struct span text)
{
    if (skip(text, is_end).len == 0)
        return COMMAND_EMPTY;
    for (size_t i = 0; i < N_NAMES; i++) {
        if (is_command(text, names[i]))
            return (enum command)i;
    }
    return COMMAND_UNKNOWN;
}

const char *command_list(char out[COMMAND_LIST_SIZE])
{
    size_t len = 0;

    for (size_t i = 0; i < COMMAND_RELOAD; i++) /* that is known in order to be refused */
        len += (size_t)snprintf(out + len, COMMAND_LIST_SIZE - len, "%s%s %s", i > 0 ? ", " : "",
                                names[i][0], names[i][1]);
    return out;
}

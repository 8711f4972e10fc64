/* Suspicion by the words of a text; see traces.h. */
#include "weir/pool/traces.h"

#include <string.h>
#include <strings.h>

/* A set of names larger than this is not gathered. */
#define NAMES_MAX 4096

/* ---- words ---- */

/* What SQL makes identifiers and keywords of: A to Z, a to z, 0 to 9, $, _ and every byte above
 * 127.
 */
// clang-format off
static const uint8_t letters[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
};
// clang-format on

static bool is_letter(uint8_t ch)
{
    return letters[ch] != 0;
}

/* What may stand before TEMP, before HOLD, and before the & of a name that is spelled in numbers.
 */
enum last_word { OTHER, MAKES, WITH, UNICODE };

struct word {
    const char *text;
    uint8_t len;
    uint8_t before;    /* enum last_word */
    uint8_t is;        /* the same, of itself */
    uint16_t traces;   /* wherever it stands... */
    uint16_t at_start; /* ...at the beginning of a statement... */
    uint16_t after;    /* ...and behind `before`, or where comments hide what is before it */
};

#define WORD(word) .text = (word), .len = sizeof(word) - 1
#define SETTINGS STATE_BIT(STATE_SETTINGS)
#define LOCKS STATE_BIT(STATE_LOCKS)
#define TEMP STATE_BIT(STATE_TEMP)
#define CURSORS STATE_BIT(STATE_CURSORS)

/* Of set_config(): it may set the search_path to where temporary relations are, which its text need
 * not say. */
#define CONFIG (SETTINGS | TEMP | TRACE_SETS | TRACE_NAMES)

/* What U&"pg\005ftemp" may be: any name, but no keyword. */
#define HIDDEN (CONFIG | LOCKS | TRACE_SEQUENCES)

/* In alphabetical order. */
static const struct word words[] = {
    {WORD("call"), .at_start = TRACE_SETS},
    {WORD("create"), .is = MAKES},
    {WORD("currval"), .traces = TRACE_SEQUENCES},
    {WORD("discard"), .at_start = TRACE_SETS | TRACE_RESETS},
    {WORD("do"), .at_start = TRACE_SETS},
    {WORD("execute"), .traces = TRACE_EXECUTES},
    {WORD("global"), .is = MAKES},
    {WORD("hold"), .after = CURSORS, .before = WITH},
    {WORD("into"), .is = MAKES},
    {WORD("lastval"), .traces = TRACE_SEQUENCES},
    {WORD("local"), .is = MAKES},
    {WORD("pg_advisory_lock"), .traces = LOCKS},
    {WORD("pg_advisory_lock_shared"), .traces = LOCKS},
    {WORD("pg_temp"), .traces = TEMP},
    {WORD("pg_try_advisory_lock"), .traces = LOCKS},
    {WORD("pg_try_advisory_lock_shared"), .traces = LOCKS},
    {WORD("prepare"), .traces = TRACE_PREPARES},
    {WORD("replace"), .is = MAKES},
    {WORD("reset"), .at_start = TRACE_SETS | TRACE_RESETS},
    {WORD("set"), .at_start = TRACE_SETS | TRACE_NAMES},
    {WORD("set_config"), .traces = CONFIG},
    {WORD("temp"), .after = TEMP, .before = MAKES},
    {WORD("temporary"), .after = TEMP, .before = MAKES},
    {WORD("u"), .is = UNICODE},
    {WORD("with"), .is = WITH},
};

/* Where in words[] those begin that begin with a letter, and how many they are. */
static const struct {
    uint8_t from, n;
} by_letter[26] = {
    ['c' - 'a'] = {0, 3},  ['d' - 'a'] = {3, 2},  ['e' - 'a'] = {5, 1},  ['g' - 'a'] = {6, 1},
    ['h' - 'a'] = {7, 1},  ['i' - 'a'] = {8, 1},  ['l' - 'a'] = {9, 2},  ['p' - 'a'] = {11, 6},
    ['r' - 'a'] = {17, 2}, ['s' - 'a'] = {19, 2}, ['t' - 'a'] = {21, 2}, ['u' - 'a'] = {23, 1},
    ['w' - 'a'] = {24, 1},
};

static const struct word *word_find(const uint8_t *text, size_t len)
{
    unsigned letter = (text[0] | 0x20u) - 'a';

    if (letter >= 26)
        return NULL;
    for (unsigned i = 0; i < by_letter[letter].n; i++) {
        const struct word *w = &words[by_letter[letter].from + i];

        if (w->len == len && strncasecmp(w->text, (const char *)text, len) == 0)
            return w;
    }
    return NULL;
}

static void take_word(struct traces *t, const uint8_t *text, size_t len)
{
    const struct word *w = word_find(text, len);

    if (len > 7 && strncasecmp((const char *)text, "pg_temp", 7) == 0)
        t->found |= TEMP; /* its number may follow */
    if (w != NULL) {
        t->found |= w->traces;
        if (!t->is_inside)
            t->found |= w->at_start;
        if (t->last_word == w->before || t->has_comment)
            t->found |= w->after;
    }
    t->last_word = w == NULL ? OTHER : w->is;
    t->is_inside = true;
    t->separator = 0;
}

/* A comment may stand in front of a statement: behind its end one may begin. */
static void take_separator(struct traces *t, uint8_t ch)
{
    bool ends_line = ch == '\n' || ch == '\r';
    bool ends_comment = (ch == '/' && t->separator == '*') || (ends_line && t->in_line_comment);

    if (ends_comment || ch == ';')
        t->is_inside = false;
    else if (ch > ' ' && ch != '/' && ch != '*' && ch != '-')
        t->is_inside = true;
    if (ch == '&' && t->separator == 0 && t->last_word == UNICODE)
        t->found |= HIDDEN;
    if ((ch == '*' && t->separator == '/') || (ch == '-' && t->separator == '-'))
        t->has_comment = true;
    if (ch == '-' && t->separator == '-')
        t->in_line_comment = true;
    else if (ends_line)
        t->in_line_comment = false;
    t->separator = ch;
}

/* ---- texts ---- */

/* The rest of a word that the last piece ended with; returns how much of this one that is. A word
 * that is too long to be one of ours fills the buffer. */
static size_t finish_word(struct traces *t, struct span piece)
{
    size_t n = 0;

    while (n < piece.len && is_letter(piece.ptr[n])) {
        if (t->n_word < sizeof(t->word))
            t->word[t->n_word++] = piece.ptr[n];
        n++;
    }
    if (n < piece.len) {
        take_word(t, t->word, t->n_word);
        t->n_word = 0;
    }
    return n;
}

void traces_scan(struct traces *t, struct span piece)
{
    size_t i = t->n_word > 0 ? finish_word(t, piece) : 0;

    while (i < piece.len) {
        size_t begin = i;

        while (i < piece.len && is_letter(piece.ptr[i]))
            i++;
        if (i == piece.len) {
            (void)finish_word(t, span_skip(piece, begin));
            return;
        }
        if (i > begin)
            take_word(t, piece.ptr + begin, i - begin);
        take_separator(t, piece.ptr[i++]);
    }
}

unsigned traces_of_text(struct span text)
{
    struct traces t = {0};

    traces_scan(&t, text);
    return t.found;
}

/* ---- tags ---- */

unsigned traces_of_tag(struct span tag)
{
    static const struct {
        const char *text;
        unsigned traces;
    } tags[] = {
        {"SET", SETTINGS},
        {"RESET", SETTINGS},
        {"LISTEN", STATE_BIT(STATE_CHANNELS)},
        {"PREPARE", STATE_BIT(STATE_STATEMENTS)},
        {"DEALLOCATE", STATE_BIT(STATE_STATEMENTS)},
        {"DO", STATE_ALL & ~STATE_BIT(STATE_SEQUENCES)},
        {"CALL", STATE_ALL & ~STATE_BIT(STATE_SEQUENCES)},
    };

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (tag.len == strlen(tags[i].text) + 1 && memcmp(tag.ptr, tags[i].text, tag.len) == 0)
            return tags[i].traces;
    return 0;
}

/* ---- function calls ---- */

unsigned traces_of_call(uint32_t oid)
{
    static const struct {
        uint32_t first, last;
        unsigned traces;
    } calls[] = {
        {0, 0, HIDDEN},
        {1575, 1575, TRACE_SEQUENCES}, /* currval() */
        {2078, 2078, CONFIG},          /* set_config() */
        {2559, 2559, TRACE_SEQUENCES}, /* lastval() */
        {2880, 2883, LOCKS},           /* pg_[try_]advisory_lock[_shared]() */
        {2886, 2889, LOCKS},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (oid >= calls[i].first && oid <= calls[i].last)
            return calls[i].traces;
    return 0;
}

/* ---- SET ---- */

static bool is_space(uint8_t ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static void skip_spaces(struct span *s)
{
    while (s->len > 0 && is_space(s->ptr[0]))
        *s = span_skip(*s, 1);
}

/* The letters at the beginning, and the spaces behind them; empty: there is none. */
static struct span take_letters(struct span *s)
{
    struct span word = {s->ptr, 0};

    while (word.len < s->len && is_letter(s->ptr[word.len]))
        word.len++;
    *s = span_skip(*s, word.len);
    skip_spaces(s);
    return word;
}

static bool is_word(struct span word, const char *text)
{
    return word.len == strlen(text) && strncasecmp((const char *)word.ptr, text, word.len) == 0;
}

static bool is_one_statement(struct span text)
{
    const uint8_t *semicolon = memchr(text.ptr, ';', text.len);

    if (semicolon == NULL)
        return true;
    text = span_skip(text, (size_t)(semicolon - text.ptr) + 1);
    skip_spaces(&text);
    return text.len == 1 && text.ptr[0] == '\0';
}

/* Forms of SET that have no name of a parameter. */
static struct span name_of(struct span word, struct span rest)
{
    if (is_word(word, "time") && is_word(take_letters(&rest), "zone"))
        return span_str("timezone");
    return is_word(word, "names") ? span_str("client_encoding") : word;
}

enum traces_set traces_of_set(struct span text, struct span *name)
{
    struct span word;

    skip_spaces(&text);
    if (!is_word(take_letters(&text), "set") || !is_one_statement(text))
        return TRACES_NO_SET;
    word = take_letters(&text);
    if (is_word(word, "local") || is_word(word, "transaction") || is_word(word, "constraints"))
        return TRACES_LOCAL;
    if (is_word(word, "session"))
        word = take_letters(&text);
    *name = name_of(word, text);
    return name->len > 0 ? TRACES_NAME : TRACES_NO_SET;
}

/* ---- names ---- */

/* A name with dots, each part bare or quoted without quotes inside. False: there may be one, but it
 * cannot be told. *has_dot: it is one that pg_settings does not list. */
static bool read_name(struct span *s, uint8_t *out, size_t *len, bool *has_dot)
{
    *len = 0;
    *has_dot = false;
    for (;;) {
        bool quoted = s->len > 0 && s->ptr[0] == '"';
        size_t n = 0;

        *s = span_skip(*s, quoted ? 1 : 0);
        while (n < s->len &&
               (quoted ? s->ptr[n] != '"' && s->ptr[n] != '\0' : is_letter(s->ptr[n])))
            n++;
        if (n == 0 || *len + n >= NAMES_MAX || (quoted && (n == s->len || s->ptr[n] == '\0')))
            return false;
        memcpy(out + *len, s->ptr, n);
        *len += n;
        *s = span_skip(*s, n + (quoted ? 1 : 0));
        skip_spaces(s);
        if (s->len == 0 || s->ptr[0] != '.')
            return !(quoted && s->len > 0 && s->ptr[0] == '"');
        *has_dot = true;
        out[(*len)++] = '.';
        *s = span_skip(*s, 1);
        skip_spaces(s);
    }
}

static bool add_name(struct pairs *out, const uint8_t *name, size_t len)
{
    return out->len + len + 2 <= NAMES_MAX && pairs_put(out, span_of(name, len), span_str(""));
}

/* Behind the word SET. */
static bool names_of_set(struct span *s, struct pairs *out)
{
    uint8_t name[NAMES_MAX];
    struct span rest = *s, word;
    bool has_dot;
    size_t len;

    skip_spaces(&rest);
    *s = rest;
    word = take_letters(&rest);
    if ((is_word(word, "session") || is_word(word, "local")) && rest.len > 0 && rest.ptr[0] != '.')
        *s = rest;
    if (!read_name(s, name, &len, &has_dot))
        return false;
    return !has_dot || add_name(out, name, len);
}

/* Behind the word set_config. */
static bool names_of_call(struct span *s, struct pairs *out)
{
    const uint8_t *end;
    struct span name;

    skip_spaces(s);
    if (s->len == 0 || s->ptr[0] != '(')
        return false;
    *s = span_skip(*s, 1);
    skip_spaces(s);
    if (s->len == 0 || s->ptr[0] != '\'')
        return false;
    *s = span_skip(*s, 1);
    end = memchr(s->ptr, '\'', s->len);
    if (end == NULL)
        return false;
    name = span_of(s->ptr, (size_t)(end - s->ptr));
    *s = span_skip(*s, name.len + 1);
    skip_spaces(s);
    if (s->len == 0 || s->ptr[0] != ',')
        return false;
    return memchr(name.ptr, '.', name.len) == NULL || add_name(out, name.ptr, name.len);
}

bool traces_names(struct span text, struct pairs *out)
{
    bool all = true;

    for (;;) {
        skip_spaces(&text);
        if (text.len == 0)
            return all;

        struct span word = take_letters(&text);

        if (is_word(word, "set"))
            all = names_of_set(&text, out) && all;
        else if (is_word(word, "set_config"))
            all = names_of_call(&text, out) && all;
        else if (is_word(word, "u") && text.len > 0 && text.ptr[0] == '&')
            all = false; /* set_config itself, perhaps */
        else if (word.len == 0)
            text = span_skip(text, 1);
    }
}

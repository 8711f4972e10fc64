/*
 * One function per type of key and direction. Numbers with a unit are exact: a duration or a size
 * that does not fit into 64 bits, or has a fraction, is refused, never rounded.
 */
#include "value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "weir/base/clock.h"
#include "weir/conf/conf.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first; how numbers are shown takes the first that divides them. */
static const struct unit durations[] = {
    {"d", 86400 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"min", 60 * NS_PER_S},
    {"s", NS_PER_S},
    {"ms", NS_PER_MS},
    {"us", NS_PER_US},
    {NULL, 0},
};

static const struct unit sizes[] = {
    {"TB", UINT64_C(1) << 40}, {"GB", 1 << 30}, {"MB", 1 << 20},
    {"kB", 1 << 10},           {"B", 1},        {NULL, 0},
};

static void *field(const struct schema_row *row, void *section)
{
    return (char *)section + row->offset;
}

static const void *const_field(const struct schema_row *row, const void *section)
{
    return (const char *)section + row->offset;
}

static const struct unit *units_of(const struct schema_row *row)
{
    return row->type == SCHEMA_SIZE ? sizes : durations;
}

bool value_is_quoted(const struct schema_row *row)
{
    return row->type != SCHEMA_BOOL && row->type != SCHEMA_INTEGER;
}

uint64_t value_number(const struct schema_row *row, const void *section)
{
    const void *at = const_field(row, section);
    uint64_t wide = 0;
    uint32_t narrow = 0;
    bool truth = false;

    if (row->type == SCHEMA_BOOL) {
        memcpy(&truth, at, sizeof(truth));
        return truth;
    }
    if (row->type == SCHEMA_DURATION || row->type == SCHEMA_SIZE) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    ASSERT(row->type == SCHEMA_INTEGER || row->type == SCHEMA_MODE || row->type == SCHEMA_ENUM);
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

_Static_assert(sizeof(enum conf_pool_mode) == sizeof(uint32_t), "enums are stored as numbers");

void value_put_number(const struct schema_row *row, void *section, uint64_t number)
{
    void *at = field(row, section);
    uint32_t narrow = (uint32_t)number;
    bool truth = number != 0;

    if (row->type == SCHEMA_BOOL)
        memcpy(at, &truth, sizeof(truth));
    else if (row->type == SCHEMA_DURATION || row->type == SCHEMA_SIZE)
        memcpy(at, &number, sizeof(number));
    else
        memcpy(at, &narrow, sizeof(narrow));
}

/* Range, zero and step of a number in the row's own unit. */
static int number_store(const struct schema_row *row, uint64_t number, void *section)
{
    bool is_zero = row->zero != NULL && number == 0;

    if (!is_zero && (number < row->min || number > row->max))
        return -EINVAL;
    if (row->step != 0 && number % row->step != 0)
        return -EINVAL;
    if (row->power_of_two && (number & (number - 1)) != 0)
        return -EINVAL;
    value_put_number(row, section, number);
    return 0;
}

/* Digits in a base of at most ten; *end is what follows them. */
static bool digits_read(const char *text, unsigned base, const char **end, uint64_t *out)
{
    uint64_t number = 0;
    const char *p = text;

    for (; *p >= '0' && (unsigned)(*p - '0') < base; p++) {
        if (__builtin_mul_overflow(number, base, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
            return false;
    }
    *end = p;
    *out = number;
    return p != text;
}

/* "250ms", "250 ms", or "250", which is as if it were not in quotes. */
static int quantity_store(const struct schema_row *row, const char *text, void *section)
{
    const char *name;
    uint64_t number;

    if (!digits_read(text, 10, &name, &number))
        return -EINVAL;
    while (*name == ' ')
        name++;
    if (*name == '\0')
        name = row->type == SCHEMA_SIZE ? "B" : "s";
    for (const struct unit *u = units_of(row); u->name != NULL; u++) {
        /* Sizes are commonly written KB as well as kB. */
        bool same =
            row->type == SCHEMA_SIZE ? strcasecmp(name, u->name) == 0 : strcmp(name, u->name) == 0;

        if (same && !__builtin_mul_overflow(number, u->factor, &number))
            return number_store(row, number, section);
        if (same)
            return -EINVAL;
    }
    return -EINVAL;
}

static int mode_store(const struct schema_row *row, const char *text, void *section)
{
    const char *end;
    uint64_t number;

    if (!digits_read(text, 8, &end, &number) || *end != '\0')
        return -EINVAL;
    return number_store(row, number, section);
}

static int enum_store(const struct schema_row *row, const char *text, void *section)
{
    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(text, row->choices[i]) == 0) {
            value_put_number(row, section, i);
            return 0;
        }
    }
    return -EINVAL;
}

static bool length_accepted(const struct schema_row *row, size_t len)
{
    return (row->zero != NULL && len == 0) || (len >= row->min && len <= row->max);
}

static int text_store(const struct schema_row *row, const char *text,
                      const struct value_target *target)
{
    bool relative = row->type == SCHEMA_FILE && text[0] != '\0' && text[0] != '/';
    char *copy = memory_print(target->memory, "%s%s", relative ? target->folder : "", text);

    if (copy == NULL)
        return -ENOMEM;
    if (!length_accepted(row, strlen(copy)))
        return -EINVAL;
    memcpy(field(row, target->section), &copy, sizeof(copy));
    return 0;
}

static bool item_accepted(const struct schema_row *row, const char *item)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (item[0] == '\0' || strlen(item) > row->max)
        return false;
    return row->type != SCHEMA_ADDRESSES || strcmp(item, "*") == 0 ||
           inet_pton(AF_INET, item, address) == 1 || inet_pton(AF_INET6, item, address) == 1;
}

static int items_store(const struct schema_row *row, const char *const *texts, size_t n_texts,
                       const struct value_target *target)
{
    struct conf_list list = {NULL, n_texts};
    const char **items = memory_get(target->memory, n_texts * sizeof(*items));

    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n_texts; i++) {
        if (!item_accepted(row, texts[i]))
            return -EINVAL;
        items[i] = memory_copy(target->memory, texts[i], strlen(texts[i]));
        if (items[i] == NULL)
            return -ENOMEM;
    }
    list.items = items;
    memcpy(field(row, target->section), &list, sizeof(list));
    return 0;
}

/* "a, b" as PgBouncer writes lists. */
static int items_store_text(const struct schema_row *row, const char *text,
                            const struct value_target *target)
{
    size_t n = 0, room = 1;

    for (const char *p = text; *p != '\0'; p++)
        room += *p == ',';

    const char **texts = memory_get(target->memory, room * sizeof(*texts));

    if (texts == NULL)
        return -ENOMEM;
    text += strspn(text, " ");
    while (*text != '\0') {
        size_t len = strcspn(text, ","), kept = len;

        while (kept > 0 && text[kept - 1] == ' ')
            kept--;
        texts[n] = memory_copy(target->memory, text, kept);
        if (texts[n++] == NULL)
            return -ENOMEM;
        text += len;
        if (*text == ',' && *(text += 1 + strspn(text + 1, " ")) == '\0')
            return -EINVAL;
    }
    return items_store(row, texts, n, target);
}

static int store_text(const struct schema_row *row, const char *text,
                      const struct value_target *target)
{
    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return quantity_store(row, text, target->section);
    case SCHEMA_MODE:
        return mode_store(row, text, target->section);
    case SCHEMA_ENUM:
        return enum_store(row, text, target->section);
    case SCHEMA_STRING:
    case SCHEMA_FILE:
        return text_store(row, text, target);
    case SCHEMA_NAMES:
    case SCHEMA_ADDRESSES:
        return items_store_text(row, text, target);
    case SCHEMA_BOOL:
    case SCHEMA_INTEGER:
    case SCHEMA_GROUP:
        break;
    }
    return -EINVAL;
}

static int store_integer(const struct schema_row *row, int64_t integer, void *section)
{
    uint64_t number = (uint64_t)integer;

    if (integer < 0)
        return -EINVAL;
    if (row->type == SCHEMA_DURATION && __builtin_mul_overflow(number, NS_PER_S, &number))
        return -EINVAL;
    if (row->type == SCHEMA_INTEGER || row->type == SCHEMA_DURATION || row->type == SCHEMA_SIZE)
        return number_store(row, number, section);
    return -EINVAL;
}

int value_store(const struct schema_row *row, const struct value *value,
                const struct value_target *target)
{
    switch (value->kind) {
    case VALUE_BOOL:
        if (row->type != SCHEMA_BOOL)
            return -EINVAL;
        value_put_number(row, target->section, value->integer != 0);
        return 0;
    case VALUE_INTEGER:
        return store_integer(row, value->integer, target->section);
    case VALUE_TEXT:
        return store_text(row, value->text, target);
    case VALUE_TEXTS:
        if (row->type != SCHEMA_NAMES && row->type != SCHEMA_ADDRESSES)
            return -EINVAL;
        return items_store(row, value->texts, value->n_texts, target);
    case VALUE_FLOAT:
    case VALUE_OTHER:
        break;
    }
    return -EINVAL;
}

int value_store_default(const struct schema_row *row, const struct value_target *target)
{
    struct value value = {.kind = VALUE_TEXT, .text = row->default_text};

    if (row->type == SCHEMA_BOOL) {
        value.kind = VALUE_BOOL;
        value.integer = strcmp(row->default_text, "true") == 0;
    } else if (row->type == SCHEMA_INTEGER) {
        const char *end;
        uint64_t number = 0;

        value.kind = VALUE_INTEGER;
        ASSERT(digits_read(row->default_text, 10, &end, &number) && *end == '\0');
        value.integer = (int64_t)number;
    }

    int r = value_store(row, &value, target);

    ASSERT(r != -EINVAL);
    return r;
}

/* Appends to a text that may already be longer than its room; returns the new length. */
static size_t append(char *out, size_t size, size_t used, const char *format, ...)
    PRINTF_LIKE(4, 5);

static size_t append(char *out, size_t size, size_t used, const char *format, ...)
{
    va_list args;

    va_start(args, format);

    int n = vsnprintf(used < size ? out + used : NULL, used < size ? size - used : 0, format, args);

    va_end(args);
    return used + (n > 0 ? (size_t)n : 0);
}

static size_t append_quantity(const struct schema_row *row, uint64_t number, char *out, size_t size,
                              size_t used)
{
    const struct unit *u = units_of(row);

    if (number == 0)
        return append(out, size, used, "0");
    while (u[1].name != NULL && number % u->factor != 0)
        u++;
    return append(out, size, used, "%" PRIu64 "%s", number / u->factor, u->name);
}

static size_t append_list(const struct conf_list *list, char *out, size_t size)
{
    size_t used = append(out, size, 0, "%s", "");

    for (size_t i = 0; i < list->n_items; i++)
        used = append(out, size, used, "%s%s", i == 0 ? "" : ", ", list->items[i]);
    return used;
}

size_t value_text(const struct schema_row *row, const void *section, char *out, size_t size)
{
    const char *text;
    struct conf_list list;

    switch (row->type) {
    case SCHEMA_BOOL:
        return append(out, size, 0, "%s", value_number(row, section) != 0 ? "true" : "false");
    case SCHEMA_INTEGER:
        return append(out, size, 0, "%" PRIu64, value_number(row, section));
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return append_quantity(row, value_number(row, section), out, size, 0);
    case SCHEMA_MODE:
        return append(out, size, 0, "%04" PRIo64, value_number(row, section));
    case SCHEMA_ENUM:
        return append(out, size, 0, "%s", row->choices[value_number(row, section)]);
    case SCHEMA_STRING:
    case SCHEMA_FILE:
        memcpy(&text, const_field(row, section), sizeof(text));
        return append(out, size, 0, "%s", row->secret && text[0] != '\0' ? "****" : text);
    case SCHEMA_NAMES:
    case SCHEMA_ADDRESSES:
        memcpy(&list, const_field(row, section), sizeof(list));
        return append_list(&list, out, size);
    case SCHEMA_GROUP:
        break;
    }
    return append(out, size, 0, "{ ... }");
}

/* "a time from 1ms to 1h" */
static size_t append_range(const struct schema_row *row, char *out, size_t size)
{
    size_t used;

    if (row->type == SCHEMA_INTEGER)
        return append(out, size, 0, "a whole number from %" PRIu64 " to %" PRIu64, row->min,
                      row->max);
    if (row->power_of_two)
        used = append(out, size, 0, "a power of two from ");
    else
        used = append(out, size, 0, row->type == SCHEMA_SIZE ? "a size from " : "a time from ");
    used = append_quantity(row, row->min, out, size, used);
    used = append(out, size, used, " to ");
    used = append_quantity(row, row->max, out, size, used);
    if (row->step > NS_PER_US)
        used = append(out, size, used, " in whole %s",
                      row->step == NS_PER_S ? "seconds" : "milliseconds");
    return used;
}

static size_t append_choices(const struct schema_row *row, char *out, size_t size)
{
    size_t used = append(out, size, 0, "%s", "");

    for (size_t i = 0; row->choices[i] != NULL; i++)
        used = append(out, size, used, "%s\"%s\"",
                      i == 0                        ? ""
                      : row->choices[i + 1] == NULL ? " or "
                                                    : ", ",
                      row->choices[i]);
    return used;
}

static size_t append_type(const struct schema_row *row, char *out, size_t size)
{
    switch (row->type) {
    case SCHEMA_BOOL:
        return append(out, size, 0, "true or false");
    case SCHEMA_INTEGER:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return append_range(row, out, size);
    case SCHEMA_MODE:
        return append(out, size, 0, "octal digits up to %04" PRIo64, row->max);
    case SCHEMA_ENUM:
        return append_choices(row, out, size);
    case SCHEMA_STRING:
        return append(out, size, 0, "a text of %d to %" PRIu64 " bytes", 1, row->max);
    case SCHEMA_FILE:
        return append(out, size, 0, "a path of at most %" PRIu64 " bytes", row->max);
    case SCHEMA_NAMES:
        return append(out, size, 0, "names of at most %" PRIu64 " bytes", row->max);
    case SCHEMA_ADDRESSES:
        return append(out, size, 0, "\"*\" or numeric addresses");
    case SCHEMA_GROUP:
        break;
    }
    return append(out, size, 0, "a group");
}

/* How to write a value, where that is not plain from its type. */
static const char *example(const struct schema_row *row)
{
    switch (row->type) {
    case SCHEMA_DURATION:
        return row->step >= NS_PER_S
                   ? ": \"30s\", \"2min\", \"1h\", or a number of seconds"
                   : ": \"250ms\", \"30s\", \"2min\", \"1h\", or a number of seconds";
    case SCHEMA_SIZE:
        return ": \"64kB\", \"256MB\", \"1GB\", or a number of bytes";
    case SCHEMA_MODE:
        return ", in quotes: \"0770\"";
    case SCHEMA_STRING:
        return ", in quotes";
    case SCHEMA_FILE:
        return ", in quotes; a relative one counts from the folder of the main file";
    case SCHEMA_NAMES:
        return ": \"a, b\" or [\"a\", \"b\"]";
    case SCHEMA_ADDRESSES:
        return ": \"127.0.0.1, ::1\" or [\"127.0.0.1\", \"::1\"]";
    case SCHEMA_GROUP:
        return ": { ... }";
    case SCHEMA_BOOL:
    case SCHEMA_INTEGER:
    case SCHEMA_ENUM:
        break;
    }
    return "";
}

static bool is_quantity(const struct schema_row *row)
{
    return row->type == SCHEMA_INTEGER || row->type == SCHEMA_DURATION || row->type == SCHEMA_SIZE;
}

size_t value_accepted(const struct schema_row *row, bool examples, char *out, size_t size)
{
    size_t used = append_type(row, out, size);

    if (examples)
        used = append(out, size, used, "%s", example(row));
    if (row->zero != NULL)
        used = append(out, size, used, "; or %s (%s)", is_quantity(row) ? "0" : "\"\"", row->zero);
    return used;
}

static bool list_equal(const struct conf_list *a, const struct conf_list *b)
{
    for (size_t i = 0; i < a->n_items && i < b->n_items; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return a->n_items == b->n_items;
}

bool value_equal(const struct schema_row *row, const void *a, const void *b)
{
    const char *text_a, *text_b;
    struct conf_list list_a, list_b;

    switch (row->type) {
    case SCHEMA_BOOL:
    case SCHEMA_INTEGER:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_MODE:
    case SCHEMA_ENUM:
        return value_number(row, a) == value_number(row, b);
    case SCHEMA_STRING:
    case SCHEMA_FILE:
        memcpy(&text_a, const_field(row, a), sizeof(text_a));
        memcpy(&text_b, const_field(row, b), sizeof(text_b));
        return strcmp(text_a, text_b) == 0;
    case SCHEMA_NAMES:
    case SCHEMA_ADDRESSES:
        memcpy(&list_a, const_field(row, a), sizeof(list_a));
        memcpy(&list_b, const_field(row, b), sizeof(list_b));
        return list_equal(&list_a, &list_b);
    case SCHEMA_GROUP:
        break;
    }
    return true;
}

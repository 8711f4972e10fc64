/*
 * Every key of the schema in every section where it may stand: its default, the ends of its range
 * and what lies beyond them, values of every wrong type, an unknown key beside it, itself twice.
 * The cases are made from the rows, so a new key is tested as soon as it has one.
 */
#include "conf_case.h"

#include <inttypes.h>
#include <stdlib.h>

#include "value.h"
#include "weir/conf/schema.h"

/* One key where it may stand. */
struct place_of_key {
    const struct schema_row *row;
    enum schema_section section;
    const char *path;   /* of the section, as messages call it */
    const char *before; /* the file up to the key, which stands alone on the next line */
    const char *after;
    unsigned line;
};

/* What must be said beside a key so that the rules between keys are content with its extremes. */
static const char *companion(const struct schema_row *row, enum schema_section section)
{
    if (strcmp(row->key, "min_pool_size") == 0)
        return section == SCHEMA_WEIR ? "default_pool_size = 1024;" : "pool_size = 1024;";
    if (strcmp(row->key, "listen_addr") == 0)
        return "unix_socket_dir = \"/tmp\";";
    if (row->required)
        return "";
    return section == SCHEMA_DATABASES || section == SCHEMA_USERS ? "name = \"some\";" : "";
}

static struct place_of_key place_in(const struct schema_row *row, enum schema_section section)
{
    struct place_of_key p = {.row = row, .section = section, .line = 2};

    switch (section) {
    case SCHEMA_WEIR:
        p.path = "weir";
        p.before = "weir = {";
        p.after = "};";
        break;
    case SCHEMA_ARENA:
        p.path = "weir.arena";
        p.before = "weir = { arena = {";
        p.after = "}; };";
        break;
    case SCHEMA_DATABASES:
        p.path = "databases[0]";
        p.before = "weir = { }; databases = ( {";
        p.after = "} );";
        break;
    case SCHEMA_USERS:
        p.path = "users[0]";
        p.before = "weir = { }; users = ( {";
        p.after = "} );";
        break;
    }
    return p;
}

/* The whole file with these settings on the key's line and the next one. */
static void write_file(const struct place_of_key *p, const char *setting, const char *next,
                       char *out, size_t size)
{
    const char *name = "";

    if ((p->section == SCHEMA_DATABASES || p->section == SCHEMA_USERS) && !p->row->required &&
        strcmp(companion(p->row, p->section), "name = \"some\";") != 0)
        name = "name = \"some\";";
    snprintf(out, size, "%s\n%s\n%s\n%s %s %s", p->before, setting, next, name,
             companion(p->row, p->section), p->after);
}

static const void *section_base(const struct conf *c, enum schema_section section)
{
    switch (section) {
    case SCHEMA_WEIR:
        return &c->weir;
    case SCHEMA_ARENA:
        return &c->weir.arena;
    case SCHEMA_DATABASES:
        return c->databases;
    case SCHEMA_USERS:
        return c->users;
    }
    return NULL;
}

/* What a value must be after loading. */
static void check_text(const struct place_of_key *p, const struct conf *c, const char *expected,
                       const char *setting)
{
    static char text[8192];

    value_text(p->row, section_base(c, p->section), text, sizeof(text));
    cr_assert_str_eq(text, p->row->secret && expected[0] != '\0' ? "****" : expected, "by %s",
                     setting);
}

static void accept(const struct place_of_key *p, const char *value, const char *expected)
{
    static char setting[9000], file[12000];

    snprintf(setting, sizeof(setting), "%s = %s;", schema_key(p->row, p->section), value);
    write_file(p, setting, "", file, sizeof(file));

    struct conf *c = case_accept(file);

    check_text(p, c, expected, setting);
    conf_put(c);
}

/* The message must name file, line, key, what was found and what is accepted. */
static void refuse(const struct place_of_key *p, const char *value)
{
    static char setting[9000], file[12000];
    char key[100], accepted[400];
    struct conf_error error;

    snprintf(setting, sizeof(setting), "%s = %s;", schema_key(p->row, p->section), value);
    snprintf(key, sizeof(key), "%s.%s = ", p->path, schema_key(p->row, p->section));
    value_accepted(p->row, true, accepted, sizeof(accepted));
    write_file(p, setting, "", file, sizeof(file));
    case_refuse(file, &error);
    case_message(&error, p->line, key, file);
    case_message(&error, p->line, accepted, file);
    if (value[0] != '{' && value[0] != '(' && value[0] != '[' && strlen(value) < 70)
        case_message(&error, p->line, p->row->secret ? "(not shown)" : value, file);
}

static void integer_cases(const struct place_of_key *p)
{
    const struct schema_row *row = p->row;
    char value[64], expected[64];
    uint64_t ends[] = {row->min, row->max};

    for (size_t i = 0; i < 2; i++) {
        snprintf(value, sizeof(value), "%" PRIu64, ends[i]);
        accept(p, value, value);
        snprintf(expected, sizeof(expected), "%" PRIu64, ends[i]);
        snprintf(value, sizeof(value), "0x%" PRIX64, ends[i]);
        accept(p, value, expected);
    }
    if (row->min > 1 || (row->min == 1 && row->zero == NULL)) {
        snprintf(value, sizeof(value), "%" PRIu64, row->min - 1);
        refuse(p, value);
    }
    snprintf(value, sizeof(value), "%" PRIu64, row->max + 1);
    refuse(p, value);
    /* would wrap to something in range if 32 or 64 bits were all that is looked at */
    snprintf(value, sizeof(value), "%" PRIu64, row->max + (UINT64_C(1) << 32));
    refuse(p, value);
    refuse(p, "-1");
    refuse(p, "0xFFFFFFFF1");
    refuse(p, "3000000000");
    refuse(p, "4294967297");
    refuse(p, "18446744073709551617");
    refuse(p, "99999999999999999999");
    refuse(p, "-99999999999999999999");
    refuse(p, "0xFFFFFFFFFFFFFFFFFF");
    refuse(p, "\"1\"");
}

static void quantity(const struct schema_row *row, uint64_t number, char *out, size_t size)
{
    if (row->type == SCHEMA_SIZE)
        snprintf(out, size, "\"%" PRIu64 "B\"", number);
    else
        snprintf(out, size, "\"%" PRIu64 "us\"", number / 1000);
}

/* Durations and sizes. What is stored is read back as a number. */
static void accept_number(const struct place_of_key *p, const char *value, uint64_t expected)
{
    char file[1000], setting[200];

    snprintf(setting, sizeof(setting), "%s = %s;", schema_key(p->row, p->section), value);
    write_file(p, setting, "", file, sizeof(file));

    struct conf *c = case_accept(file);

    cr_assert_eq(value_number(p->row, section_base(c, p->section)), expected, "by %s", setting);
    conf_put(c);
}

static void quantity_cases(const struct place_of_key *p)
{
    const struct schema_row *row = p->row;
    uint64_t unit = row->type == SCHEMA_SIZE ? 1 : row->step != 0 ? row->step : 1000;
    uint64_t ends[] = {row->min, row->max};
    char value[64];

    for (size_t i = 0; i < 2; i++) {
        quantity(row, ends[i], value, sizeof(value));
        accept_number(p, value, ends[i]);
    }
    if (row->min > unit || (row->min > 0 && row->zero == NULL)) {
        quantity(row, row->power_of_two ? row->min / 2 : row->min - unit, value, sizeof(value));
        refuse(p, value);
    }
    quantity(row, row->power_of_two ? row->max * 2 : row->max + unit, value, sizeof(value));
    refuse(p, value);
    if (row->power_of_two || row->step != 0) {
        quantity(row, row->min + (row->power_of_two ? 1 : row->step / 2), value, sizeof(value));
        refuse(p, value);
    }
    refuse(p, "\"\"");
    refuse(p, "\"1 parsec\"");
    refuse(p, "\"-1\"");
    refuse(p, "\"1.5h\"");
    refuse(p, "\"5s MB\"");
    refuse(p, "\"99999999999999999999\"");
    /* each of these is small again if it wraps at 64 bits */
    refuse(p, "\"18446744073709551621\"");
    refuse(p, row->type == SCHEMA_SIZE ? "\"18014398509481985kB\"" : "\"18446744073709552us\"");
    if (row->type == SCHEMA_DURATION)
        refuse(p, "18446744074");
    refuse(p,
           row->type == SCHEMA_SIZE ? "\"18446744073709551615kB\"" : "\"18446744073709551615d\"");
    refuse(p, row->type == SCHEMA_SIZE ? "\"5s\"" : "\"5kB\"");
    refuse(p, "-1");
    refuse(p, "99999999999999999999");
    refuse(p, "18446744073709551621");
    refuse(p, "0x7FFFFFFFFFFFFFFF");
}

static void mode_cases(const struct place_of_key *p)
{
    accept(p, "\"0700\"", "0700");
    accept(p, "\"777\"", "0777");
    accept(p, "\"0\"", "0000");
    refuse(p, "\"01000\"");
    refuse(p, "\"0778\"");
    refuse(p, "\"rwx\"");
    refuse(p, "\"\"");
    refuse(p, "0777");
}

static void enum_cases(const struct place_of_key *p)
{
    char value[64];

    for (size_t i = 0; p->row->choices[i] != NULL; i++) {
        snprintf(value, sizeof(value), "\"%s\"", p->row->choices[i]);
        accept(p, value, p->row->choices[i]);
        accept_number(p, value, i);
        snprintf(value, sizeof(value), "\"%sx\"", p->row->choices[i]);
        refuse(p, value);
    }
    refuse(p, "\"\"");
}

/* A text of this length, in quotes. */
static const char *text_of(size_t len, const char *first)
{
    static char text[9000];

    cr_assert_lt(len + 3, sizeof(text));
    text[0] = '"';
    memset(text + 1, 'x', len);
    memcpy(text + 1, first, strlen(first) < len ? strlen(first) : len);
    text[1 + len] = '"';
    text[2 + len] = '\0';
    return text;
}

static void accept_text(const struct place_of_key *p, const char *quoted)
{
    char expected[9000];

    snprintf(expected, sizeof(expected), "%.*s", (int)strlen(quoted) - 2, quoted + 1);
    accept(p, quoted, expected);
}

static void text_cases(const struct place_of_key *p)
{
    const struct schema_row *row = p->row;
    const char *first = row->type == SCHEMA_FILE ? "/" : "";

    accept_text(p, text_of(row->min > 0 ? row->min : 1, first));
    accept_text(p, text_of(row->max, first));
    refuse(p, text_of(row->max + 1, first));
    if (row->zero != NULL)
        accept_text(p, "\"\"");
    else
        refuse(p, "\"\"");
}

static void file_cases(const struct place_of_key *p)
{
    text_cases(p);
    accept(p, "\"a/b\"", "/etc/weir/a/b");
    accept(p, "\"../b\"", "/etc/weir/../b");
    accept(p, "\"/a/b\"", "/a/b");
    refuse(p, text_of(p->row->max, "relative"));
}

static void names_cases(const struct place_of_key *p)
{
    accept(p, "\"a\"", "a");
    accept(p, "\"a,b\"", "a, b");
    accept(p, "\"  a , b c,d  \"", "a, b c, d");
    accept(p, "[\"a\", \"b\"]", "a, b");
    accept(p, "(\"a\", \"b, c\")", "a, b, c");
    accept(p, "\"\"", "");
    accept(p, "[]", "");
    accept_text(p, text_of(p->row->max, ""));
    refuse(p, text_of(p->row->max + 1, ""));
    refuse(p, "\"a,\"");
    refuse(p, "\",a\"");
    refuse(p, "\"a,,b\"");
    refuse(p, "[\"a\", \"\"]");
    refuse(p, "(\"a\", 1)");
}

static void addresses_cases(const struct place_of_key *p)
{
    accept(p, "\"*\"", "*");
    accept(p, "\"0.0.0.0\"", "0.0.0.0");
    accept(p, "\"::1, 127.0.0.1\"", "::1, 127.0.0.1");
    accept(p, "[\"::\", \"10.0.0.1\"]", "::, 10.0.0.1");
    accept(p, "\"\"", "");
    refuse(p, "\"localhost\"");
    refuse(p, "\"127.0.0.1/8\"");
    refuse(p, "\"127.0.0.256\"");
    refuse(p, "\"127.1\"");
    refuse(p, "\"127.0.0.1:6432\"");
    refuse(p, "\"127.0.0.1,\"");
}

/* Values of each kind, whatever the key takes. */
static void wrong_type_cases(const struct place_of_key *p)
{
    enum schema_type type = p->row->type;
    bool is_list = type == SCHEMA_NAMES || type == SCHEMA_ADDRESSES;
    bool is_number = type == SCHEMA_INTEGER || type == SCHEMA_DURATION || type == SCHEMA_SIZE;

    refuse(p, "1.5");
    refuse(p, "{ a = 1; }");
    refuse(p, "( 1 )");
    refuse(p, "[ true ]");
    refuse(p, "( { a = 1; } )");
    if (type != SCHEMA_BOOL)
        refuse(p, "true");
    if (!is_number)
        refuse(p, "5");
    if (!is_list)
        refuse(p, "[ \"a\" ]");
    if (type == SCHEMA_BOOL || is_number || type == SCHEMA_ENUM || type == SCHEMA_MODE)
        refuse(p, "\"nothing that it takes\"");
}

static void value_cases(const struct place_of_key *p)
{
    switch (p->row->type) {
    case SCHEMA_BOOL:
        accept(p, "true", "true");
        accept(p, "false", "false");
        accept(p, "TRUE", "true");
        refuse(p, "\"true\"");
        refuse(p, "1");
        break;
    case SCHEMA_INTEGER:
        integer_cases(p);
        break;
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        quantity_cases(p);
        break;
    case SCHEMA_MODE:
        mode_cases(p);
        break;
    case SCHEMA_ENUM:
        enum_cases(p);
        break;
    case SCHEMA_STRING:
        text_cases(p);
        break;
    case SCHEMA_FILE:
        file_cases(p);
        break;
    case SCHEMA_NAMES:
        names_cases(p);
        break;
    case SCHEMA_ADDRESSES:
        addresses_cases(p);
        break;
    case SCHEMA_GROUP:
        break;
    }
    if (p->row->type != SCHEMA_GROUP) {
        wrong_type_cases(p);
    } else {
        char key[100];
        struct conf_error error;

        case_refuse("weir = {\narena = 5;\n};", &error);
        snprintf(key, sizeof(key), "weir.%s = 5; accepted: a group", p->row->key);
        case_message(&error, 2, key, "arena = 5");
    }
}

/* Something that the key takes: its default, or a name where there is none. */
static void good_setting(const struct place_of_key *p, char *out, size_t size)
{
    const char *value = p->row->default_text != NULL ? p->row->default_text : "some";
    const char *quote = value_is_quoted(p->row) ? "\"" : "";

    if (p->row->type == SCHEMA_GROUP)
        snprintf(out, size, "%s = { };", p->row->key);
    else
        snprintf(out, size, "%s = %s%s%s;", schema_key(p->row, p->section), quote, value, quote);
}

static void unknown_beside(const struct place_of_key *p)
{
    char good[200], unknown[200], file[1000], expected[200];
    struct conf_error error;

    good_setting(p, good, sizeof(good));
    snprintf(unknown, sizeof(unknown), "%sx = 1;", schema_key(p->row, p->section));
    write_file(p, good, unknown, file, sizeof(file));
    case_refuse(file, &error);
    snprintf(expected, sizeof(expected), "%s.%sx: there is no such key; did you mean \"%s\"?",
             p->path, schema_key(p->row, p->section), schema_key(p->row, p->section));
    case_message(&error, p->line + 1, expected, file);
}

static void twice(const struct place_of_key *p)
{
    char good[200], file[1000], expected[200];
    struct conf_error error;

    good_setting(p, good, sizeof(good));
    write_file(p, good, good, file, sizeof(file));
    case_refuse(file, &error);
    snprintf(expected, sizeof(expected), "%s is set twice, first at " CASE_PATH ":%u",
             schema_key(p->row, p->section), p->line);
    case_message(&error, p->line + 1, expected, file);
}

/* What is there when the key is not given. */
static void default_value(const struct place_of_key *p)
{
    char file[1000];

    if (p->row->default_text == NULL)
        return;
    write_file(p, "", "", file, sizeof(file));

    struct conf *c = case_accept(file);
    const struct conf_policy *policy = section_base(c, p->section);

    if (p->row->policy && p->section != SCHEMA_WEIR)
        cr_assert_eq(policy->given & schema_policy_bit(p->row), 0, "%s is inherited", p->row->key);
    else if (strcmp(p->row->key, "chunks_count") == 0)
        check_text(p, c, "4096", "256MB / 64kB");
    else if (strcmp(p->row->key, "unix_socket_dir") != 0)
        check_text(p, c, p->row->default_text, "default");
    conf_put(c);
}

static void for_each_key(enum schema_section section, void (*run)(const struct place_of_key *p))
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & section) != 0) {
            struct place_of_key p = place_in(&rows[i], section);

            run(&p);
        }
    }
}

static void all_cases(const struct place_of_key *p)
{
    default_value(p);
    value_cases(p);
    unknown_beside(p);
    twice(p);
}

Test(keys, weir)
{
    for_each_key(SCHEMA_WEIR, all_cases);
}

Test(keys, arena)
{
    for_each_key(SCHEMA_ARENA, all_cases);
}

Test(keys, databases)
{
    for_each_key(SCHEMA_DATABASES, all_cases);
}

Test(keys, users)
{
    for_each_key(SCHEMA_USERS, all_cases);
}

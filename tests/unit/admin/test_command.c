/* Commands of the console: every spelling that counts, and those that nearly do. */
#include "command.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct command_case {
    const char *text;
    enum command command;
} command_cases[] = {
    {"SHOW CLIENTS", COMMAND_SHOW_CLIENTS},
    {"SHOW MEM", COMMAND_SHOW_MEM},
    {"SHOW POOLS", COMMAND_SHOW_POOLS},
    {"SHOW REACTORS", COMMAND_SHOW_REACTORS},
    {"SHOW SERVERS", COMMAND_SHOW_SERVERS},
    {"SHOW STATE", COMMAND_SHOW_STATE},
    {"SHOW VERSION", COMMAND_SHOW_VERSION},
    {"RELOAD", COMMAND_RELOAD},
    {"show pools;", COMMAND_SHOW_POOLS},
    {"Show\tPools", COMMAND_SHOW_POOLS},
    {" \r\n show \v\f pools \n ; ; \n", COMMAND_SHOW_POOLS},
    {"reload;;", COMMAND_RELOAD},
    {"", COMMAND_EMPTY},
    {" \n\t", COMMAND_EMPTY},
    {";", COMMAND_EMPTY},
    {" ; ; ", COMMAND_EMPTY},
    {"SHOW", COMMAND_UNKNOWN},
    {"SHOWPOOLS", COMMAND_UNKNOWN},
    {"SHOW POOL", COMMAND_UNKNOWN},
    {"SHOW POOLSX", COMMAND_UNKNOWN},
    {"SHOW; POOLS", COMMAND_UNKNOWN},
    {"; SHOW POOLS", COMMAND_UNKNOWN},
    {"SHOW POOLS; SHOW MEM", COMMAND_UNKNOWN},
    {"SHOW POOLS x", COMMAND_UNKNOWN},
    {"RELOAD x", COMMAND_UNKNOWN},
    {"SHOW RELOAD", COMMAND_UNKNOWN},
    {"SELECT 1", COMMAND_UNKNOWN},
    {"'SHOW' POOLS", COMMAND_UNKNOWN},
    {"SHOW \xc3\x9cPOOLS", COMMAND_UNKNOWN},
};

Test(command, parse)
{
    for (size_t i = 0; i < sizeof(command_cases) / sizeof(command_cases[0]); i++) {
        const struct command_case *c = &command_cases[i];

        cr_expect_eq(command_parse(span_str(c->text)), c->command, "\"%s\"", c->text);
    }
}

/* No byte behind the text is looked at, and no shorter text is taken for the command. */
Test(command, every_length)
{
    const char *text = "SHOW POOLS";

    for (size_t len = 0; len < strlen(text); len++) {
        char *cut = strndup(text, len);
        enum command expected = len == 0 ? COMMAND_EMPTY : COMMAND_UNKNOWN;

        cr_expect_eq(command_parse(span_of(cut, len)), expected, "%zu bytes", len);
        free(cut);
    }
    cr_expect_eq(command_parse(span_of("SHOW POOLSSS", 10)), COMMAND_SHOW_POOLS);
    cr_expect_eq(command_parse(span_of("SHOW\0POOLS", 10)), COMMAND_UNKNOWN);
}

Test(command, list_names_all)
{
    char list[COMMAND_LIST_SIZE];

    cr_expect_str_eq(command_list(list), "SHOW CLIENTS, SHOW MEM, SHOW POOLS, SHOW REACTORS, "
                                         "SHOW SERVERS, SHOW STATE, SHOW VERSION");
}

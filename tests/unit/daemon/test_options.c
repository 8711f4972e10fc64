/* Every form of the command line, right and wrong. */
#include "options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct options_case {
    const char *args[6];
    struct options expected;
    const char *message;
} options_cases[] = {
    {{"a.conf"}, {OPTIONS_RUN, "a.conf", 0, 0}, ""},
    {{"-t", "a.conf"}, {OPTIONS_CHECK, "a.conf", 0, 0}, ""},
    {{"a.conf", "-t"}, {OPTIONS_CHECK, "a.conf", 0, 0}, ""},
    {{"-v", "-vv", "-q", "a.conf"}, {OPTIONS_RUN, "a.conf", 3, 1}, ""},
    {{"--", "-t"}, {OPTIONS_RUN, "-t", 0, 0}, ""},
    {{"--help"}, {OPTIONS_HELP, NULL, 0, 0}, ""},
    {{"--help-config"}, {OPTIONS_HELP_CONFIG, NULL, 0, 0}, ""},
    {{"--version"}, {OPTIONS_VERSION, NULL, 0, 0}, ""},
    {{NULL}, {OPTIONS_WRONG, NULL, 0, 0}, "no configuration file"},
    {{"-t"}, {OPTIONS_WRONG, NULL, 0, 0}, "no configuration file"},
    {{"a.conf", "b.conf"}, {OPTIONS_WRONG, NULL, 0, 0}, "more than one"},
    {{"-txv", "a.conf"}, {OPTIONS_WRONG, NULL, 0, 0}, "no option -x;"},
    {{"--halp"}, {OPTIONS_WRONG, NULL, 0, 0}, "no option --halp;"},
    {{"--help=x"}, {OPTIONS_WRONG, NULL, 0, 0}, "no option --help=x;"},
};

static void check_case(const struct options_case *c)
{
    char *argv[8] = {strdup("weir")};
    int argc = 1;
    char *message = NULL;
    size_t size = 0;
    FILE *errors = open_memstream(&message, &size);

    for (; c->args[argc - 1] != NULL; argc++)
        argv[argc] = strdup(c->args[argc - 1]);

    struct options o = options_parse(argc, argv, errors);

    fclose(errors);
    cr_expect_eq(o.action, c->expected.action, "%s", c->args[0]);
    cr_expect_eq(o.n_verbose, c->expected.n_verbose);
    cr_expect_eq(o.n_quiet, c->expected.n_quiet);
    if (c->expected.config == NULL)
        cr_expect_null(o.config);
    else
        cr_expect_str_eq(o.config, c->expected.config);
    if (c->message[0] == '\0')
        cr_expect_str_eq(message, "");
    else
        cr_expect_not_null(strstr(message, c->message), "%s", message);
    while (argc > 0)
        free(argv[--argc]);
    free(message);
}

Test(options, parse)
{
    for (size_t i = 0; i < sizeof(options_cases) / sizeof(options_cases[0]); i++)
        check_case(&options_cases[i]);
}

/*
 * The command line. Of several options that only show something the last one counts; an unknown
 * option is never skipped, because it might have been meant to change how clients are let in.
 */
#include "options.h"

#include <getopt.h>

/* Beyond every character: options that have a long name only. */
enum { LONG_HELP = 256, LONG_HELP_CONFIG, LONG_VERSION };

static const struct option long_options[] = {
    {"help", no_argument, NULL, LONG_HELP},
    {"help-config", no_argument, NULL, LONG_HELP_CONFIG},
    {"version", no_argument, NULL, LONG_VERSION},
    {NULL, 0, NULL, 0},
};

void options_print_help(FILE *out)
{
    fputs("usage: weir [OPTION ...] CONFIG\n"
          "\n"
          "A connection pooler for PostgreSQL. CONFIG is its configuration file.\n"
          "\n"
          "  -t             only check CONFIG and its auth_file; exit status 0 if they could be\n"
          "                 used, else 1\n"
          "  -v             log one level more; may be repeated\n"
          "  -q             log one level less; may be repeated\n"
          "  --help-config  list all keys of the configuration\n"
          "  --version      print the version\n"
          "  --help         print this text\n"
          "\n"
          "Signals: HUP reloads CONFIG; TERM and INT stop gracefully, a second one at once; QUIT\n"
          "stops at once; ABRT leaves a core.\n",
          out);
}

static struct options wrong(FILE *errors, const char *message)
{
    fprintf(errors, "weir: %s; weir --help lists the options\n", message);
    return (struct options){.action = OPTIONS_WRONG};
}

static struct options wrong_option(FILE *errors, char *argv[])
{
    char message[256];

    if (optopt > 0 && optopt < LONG_HELP)
        snprintf(message, sizeof(message), "there is no option -%c", optopt);
    else
        snprintf(message, sizeof(message), "there is no option %s", argv[optind - 1]);
    return wrong(errors, message);
}

struct options options_parse(int argc, char *argv[], FILE *errors)
{
    struct options o = {.action = OPTIONS_RUN};
    int option;

    optind = 0; /* start afresh, also in a second call */
    opterr = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    while ((option = getopt_long(argc, argv, "tvq", long_options, NULL)) != -1) {
        switch (option) {
        case 't':
            o.action = OPTIONS_CHECK;
            break;
        case 'v':
            o.n_verbose++;
            break;
        case 'q':
            o.n_quiet++;
            break;
        case LONG_HELP:
            o.action = OPTIONS_HELP;
            break;
        case LONG_HELP_CONFIG:
            o.action = OPTIONS_HELP_CONFIG;
            break;
        case LONG_VERSION:
            o.action = OPTIONS_VERSION;
            break;
        default:
            return wrong_option(errors, argv);
        }
    }
    if (o.action != OPTIONS_RUN && o.action != OPTIONS_CHECK)
        return o;
    if (optind >= argc)
        return wrong(errors, "no configuration file was named");
    if (optind + 1 < argc)
        return wrong(errors, "more than one configuration file was named");
    o.config = argv[optind];
    return o;
}

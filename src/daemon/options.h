/*
 * The command line of the daemon. Pure but for getopt_long()'s own state: main() calls it once,
 * before there are threads.
 */
#ifndef WEIR_DAEMON_OPTIONS_H
#define WEIR_DAEMON_OPTIONS_H

#include <stdio.h>

#include "weir/base/check.h"

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK,       /* -t */
    OPTIONS_HELP,        /* --help */
    OPTIONS_HELP_CONFIG, /* --help-config */
    OPTIONS_VERSION,     /* --version */
    OPTIONS_WRONG,       /* a message has been written: exit with OPTIONS_EXIT_WRONG */
};

#define OPTIONS_EXIT_WRONG 2

struct options {
    enum options_action action;
    const char *config; /* path as given; NULL only where the action needs none */
    int n_verbose;      /* -v given so often */
    int n_quiet;        /* -q given so often */
};

/* What is wrong with the command line goes to errors, one line. */
NODISCARD struct options options_parse(int argc, char *argv[], FILE *errors);

void options_print_help(FILE *out);

#endif

/*
 * weir, the daemon: the command line, and what needs no threads.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "disposition.h"
#include "logging.h"
#include "options.h"
#include "weir/auth/users.h"
#include "weir/conf/conf.h"
#include "weir/conf/manual.h"

/* Standard output may be a full disk or a closed pipe: what was asked for has then not been done.
 */
static int written(FILE *out)
{
    return fflush(out) == 0 && !ferror(out) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* text: what is wrong where error is -EINVAL. */
static void complain(int error, const char *text)
{
    fprintf(stderr, "weir: %s\n", error == -EINVAL ? text : strerrordesc_np(-error));
}

static struct conf *load(const char *path)
{
    struct conf_error error;
    struct conf *conf;
    int status = conf_load(path, &conf, &error);

    if (status == 0)
        return conf;
    complain(status, error.text);
    return NULL;
}

/* A start refuses an auth file that it cannot use, so a check does, too. */
static bool check_users(const struct conf *conf)
{
    struct users_error error;
    struct users *users = NULL;
    int status = 0;

    if (conf->weir.auth_file[0] != '\0')
        status = users_load(conf->weir.auth_file, &users, &error);
    if (status < 0)
        complain(status, error.text);
    users_put(users);
    return status == 0;
}

static int check(const struct options *o)
{
    struct conf *conf = load(o->config);

    if (conf == NULL)
        return EXIT_FAILURE;
    for (size_t i = 0; i < conf->warnings.n_items; i++)
        fprintf(stderr, "warning: %s\n", conf->warnings.items[i]);

    bool ok = check_users(conf);

    if (ok)
        printf("%s: ok\n", conf->path);
    conf_put(conf);
    return ok ? written(stdout) : EXIT_FAILURE;
}

static int run(const struct options *o)
{
    struct conf *conf = load(o->config);

    if (conf == NULL)
        return EXIT_FAILURE;

    struct logging logging;
    const char *what = "signals";
    int error = disposition_init();

    if (error == 0) {
        what = conf->weir.logfile[0] == '\0' ? "the log" : conf->weir.logfile;
        error = logging_init(&logging, conf, o->n_quiet - o->n_verbose);
    }
    if (error < 0) {
        fprintf(stderr, "weir: cannot start: %s: %s\n", what, strerrordesc_np(-error));
        conf_put(conf);
        return EXIT_FAILURE;
    }

    int status = control_run(conf, &logging);

    logging_fini(&logging);
    return status;
}

int main(int argc, char *argv[])
{
    struct options o = options_parse(argc, argv, stderr);

    switch (o.action) {
    case OPTIONS_RUN:
        return run(&o);
    case OPTIONS_CHECK:
        return check(&o);
    case OPTIONS_HELP:
        options_print_help(stdout);
        return written(stdout);
    case OPTIONS_HELP_CONFIG:
        conf_help_write(stdout);
        return written(stdout);
    case OPTIONS_VERSION:
        puts("weir " WEIR_VERSION);
        return written(stdout);
    case OPTIONS_WRONG:
        break;
    }
    return OPTIONS_EXIT_WRONG;
}

/*
 * A loaded configuration: an immutable, counted snapshot. Whoever wants to keep one calls
 * conf_get(); the last conf_put() frees it. Nothing is remembered from earlier or failed loads.
 */
#ifndef WEIR_CONF_CONF_H
#define WEIR_CONF_CONF_H

#include "weir/base/check.h"

struct conf;

/* What went wrong, for people: file, line, key, what was found and what would be accepted. */
struct conf_error {
    char text[1024];
};

/* Reads and checks a configuration file and all it includes. 0, -EINVAL with error->text set, or
 * -ENOMEM. *out is set only on success and belongs to the caller. Any thread; blocks on files. */
NODISCARD int conf_load(const char *path, struct conf **out, struct conf_error *error);

/* Any thread. */
struct conf *conf_get(struct conf *c);
void conf_put(struct conf *c);

#endif

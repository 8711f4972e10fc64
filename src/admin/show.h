/*
 * What SHOW shows: for each command its columns and how its rows are gathered.
 *
 * Runs on: the threads of the crew, one at a time.
 */
#ifndef WEIR_ADMIN_SHOW_H
#define WEIR_ADMIN_SHOW_H

#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "rows.h"
#include "weir/admin/console.h"
#include "weir/base/check.h"
#include "weir/pool/thread.h"

/* An answer while it is gathered; belongs to the thread that it visits. */
struct showing {
    const struct console_config *config;
    const struct thread *at; /* whom it visits */
    struct rows rows;
    uintptr_t *pools; /* addresses: the pool of each client, where that is asked for */
    size_t n_pools, max_pools;
};

struct show {
    const struct rows_column *columns;
    /* On each reactor in the order of their numbers, then on control. NULL: nobody has to be
     * visited. */
    void (*visit)(struct showing *s, struct thread *self);
    /* On the thread that asked, afterwards. May be NULL. */
    void (*finish)(struct showing *s);
};

/* NULL: the command shows nothing. */
const struct show *show_of(enum command command);

void showing_init(struct showing *s, const struct console_config *config);
void showing_fini(struct showing *s);

#endif

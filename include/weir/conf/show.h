/*
 * The values of a snapshot as text: for SHOW CONFIG, and to tell after a reload which of the
 * changed keys need a restart. Covers the keys under weir, those of its arena as "arena.KEY".
 */
#ifndef WEIR_CONF_SHOW_H
#define WEIR_CONF_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/base/check.h"
#include "weir/conf/conf.h"

#define CONF_SHOW_KEY_SIZE 48
#define CONF_SHOW_VALUE_SIZE 4096

struct conf_shown {
    char key[CONF_SHOW_KEY_SIZE];
    char value[CONF_SHOW_VALUE_SIZE]; /* cut where a list is longer */
    const char *default_text;
    bool changeable; /* by a reload */
};

/* The i-th key, counted from 0, in the manual's order. False: there are no more. Any thread. */
NODISCARD bool conf_show(const struct conf *c, size_t i, struct conf_shown *out);

/* The next key from the *i-th on whose value differs between two snapshots and counts only after
 * a restart; moves *i behind it. False: there are no more. Start with *i = 0. Any thread. */
NODISCARD bool conf_restart_key(const struct conf *old, const struct conf *new, size_t *i,
                                char key[CONF_SHOW_KEY_SIZE]);

#endif

/*
 * What the steps of one load share. A load runs on one thread, from begin to end.
 */
#ifndef WEIR_CONF_LOAD_H
#define WEIR_CONF_LOAD_H

#include "source.h"
#include "syntax.h"
#include "weir/conf/conf.h"
#include "weir/conf/schema.h"

#define SECTION_MAX_ROWS 128

struct loader {
    struct conf *conf;
    struct source source;
    struct syntax syntax;
    const char *folder; /* of the main file, ends with '/' */
};

/* One group of the file while its keys are read and checked. */
struct section {
    enum schema_section id;
    char path[48];                               /* "weir", "databases[2]" */
    struct place at;                             /* where the group begins */
    void *base;                                  /* the struct that the rows' offsets count in */
    struct conf_policy *policy;                  /* in base; NULL for the arena */
    const struct place *given[SECTION_MAX_ROWS]; /* by row: where its key stands; NULL: nowhere */
};

/* Where a key of this section was given; where the section begins if it was not. */
const struct place *section_place(const struct section *section, const char *key);
bool section_has(const struct section *section, const char *key);

/* What no single row can tell. 0, -EINVAL with the error set, or -ENOMEM. */
NODISCARD int check_section(struct loader *l, const struct section *section);

/* Adds a line to the warnings of the snapshot. 0 or -ENOMEM. */
NODISCARD int check_warn(struct loader *l, const struct place *at, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif

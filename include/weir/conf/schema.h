/*
 * The table of all configuration keys: what the loader accepts, what the manual says and what the
 * console shows are all made from it, so they cannot disagree.
 *
 * A row says where its value lies: at `offset` in the struct of each section it may stand in. Rows
 * that are `policy` lie in struct conf_policy, the first member of conf_weir, conf_database and
 * conf_user alike, and stand together in the table; bit i of conf_policy.given is the i-th of
 * them.
 */
#ifndef WEIR_CONF_SCHEMA_H
#define WEIR_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_section {
    SCHEMA_WEIR = 1,      /* struct conf_weir */
    SCHEMA_ARENA = 2,     /* struct conf_arena */
    SCHEMA_DATABASES = 4, /* struct conf_database */
    SCHEMA_USERS = 8,     /* struct conf_user */
};

enum schema_type {
    SCHEMA_BOOL,
    SCHEMA_INTEGER,   /* uint32_t */
    SCHEMA_DURATION,  /* uint64_t, ns */
    SCHEMA_SIZE,      /* uint64_t, bytes */
    SCHEMA_MODE,      /* uint32_t, permission bits, written in octal */
    SCHEMA_ENUM,      /* an enum whose values count from 0 in the order of choices */
    SCHEMA_STRING,    /* const char * */
    SCHEMA_FILE,      /* const char *, absolute unless "" */
    SCHEMA_NAMES,     /* struct conf_list */
    SCHEMA_ADDRESSES, /* struct conf_list of "*" or numeric IPv4 and IPv6 addresses */
    SCHEMA_GROUP,     /* a group of keys of its own: the arena */
};

/* When a changed value counts after a reload. */
enum schema_applies {
    SCHEMA_LIVE,
    SCHEMA_NEW_CONNECTIONS,
    SCHEMA_RESTART,
};

struct schema_row {
    const char *topic;    /* not NULL: a new subject starts with this row */
    const char *key;      /* its name */
    const char *weir_key; /* its name under weir where that is another one, else NULL */
    unsigned sections;    /* where it may stand: enum schema_section, or-ed */
    enum schema_type type;
    enum schema_applies applies;
    bool policy;
    bool required;     /* an entry without it is refused */
    bool secret;       /* never shown */
    bool power_of_two; /* of a SCHEMA_SIZE */
    size_t offset;     /* in the section's struct */
    uint64_t min, max; /* in the unit of the field; of text: its length in bytes */
    uint64_t step;     /* of a SCHEMA_DURATION: a multiple of this many ns; 0: any */
    const char *zero;  /* 0 (or "") is accepted beside the range and means this, else NULL */
    const char *const *choices; /* of a SCHEMA_ENUM, ends with NULL */
    const char *default_text;   /* NULL: inherited, or required */
    const char *help;           /* one to three sentences */
};

/* All rows, in the order in which a manual should show them. */
const struct schema_row *schema_rows(size_t *n_rows);

/* The name of a row's key in a section. */
const char *schema_key(const struct schema_row *row, enum schema_section section);

/* NULL: the section has no such key. */
const struct schema_row *schema_find(enum schema_section section, const char *key);

/* The name in this section of what is called key in another; NULL: nothing is. */
const char *schema_other_name(enum schema_section section, const char *key);

/* The key of this section that key most looks like; NULL: none is near. */
const char *schema_suggest(enum schema_section section, const char *key);

/* The row's bit in conf_policy.given. Policy rows only. */
uint64_t schema_policy_bit(const struct schema_row *row);

#endif

/*
 * The auth file: who may log in and with which secret, in PgBouncer's format. A line is
 *
 *     "name" "secret"
 *
 * where a quote within is doubled; what follows on the line is ignored, and so are empty lines and
 * those that begin with a semicolon. A loaded file is an immutable, counted table.
 */
#ifndef WEIR_AUTH_USERS_H
#define WEIR_AUTH_USERS_H

#include <stddef.h>

#include "weir/auth/secret.h"
#include "weir/base/check.h"
#include "weir/base/span.h"

struct users;

/* What is wrong, for people: file, line, what was found, what is accepted. */
struct users_error {
    char text[512];
};

/* Reads a regular file of at most 64 MiB. 0; -EINVAL with error->text set; -ENOMEM. Any thread;
 * blocks on the file. *out is set only on success and belongs to the caller. */
NODISCARD int users_load(const char *path, struct users **out, struct users_error *error);

/* The same from memory; path is for messages. */
NODISCARD int users_load_text(const char *path, struct span text, struct users **out,
                              struct users_error *error);

/* Any thread. */
struct users *users_get(struct users *us);
void users_put(struct users *us); /* wipes the secrets with the last reference; NULL is fine */

/* NULL: no such user. Lives as long as the table. Names are compared by their bytes. */
const struct secret *users_find(const struct users *us, struct span name);

size_t users_count(const struct users *us);

#endif

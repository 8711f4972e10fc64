/*
 * What the tests of conf share: loading a text, and saying what its error must contain.
 */
#ifndef TESTS_UNIT_CONF_CASE_H
#define TESTS_UNIT_CONF_CASE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "weir/conf/conf.h"

#define CASE_PATH "/etc/weir/case.conf"

/* Loads a text that must be accepted. */
static inline struct conf *case_accept(const char *text)
{
    struct conf_error error = {""};
    struct conf *c = NULL;
    int r = conf_load_text(CASE_PATH, span_str(text), &c, &error);

    cr_assert_eq(r, 0, "refused: %s\nin: %s", error.text, text);
    cr_assert_not_null(c);
    return c;
}

/* Loads a text that must be refused; the message is in *error. */
static inline void case_refuse(const char *text, struct conf_error *error)
{
    struct conf *untouched = (struct conf *)error, *c = untouched;
    int r = conf_load_text(CASE_PATH, span_str(text), &c, error);

    cr_assert_eq(r, -EINVAL, "accepted: %s", text);
    cr_assert_eq(c, untouched, "an error must not write the result");
}

/* The message must begin with the file and this line, and contain the text. */
static inline void case_message(const struct conf_error *error, unsigned line, const char *contains,
                                const char *text)
{
    char where[64];

    snprintf(where, sizeof(where), CASE_PATH ":%u: ", line);
    cr_assert_eq(strncmp(error->text, where, strlen(where)), 0, "not at line %u: %s\nin: %s", line,
                 error->text, text);
    cr_assert_not_null(strstr(error->text, contains), "'%s' is not in: %s\nfor: %s", contains,
                       error->text, text);
}

#endif

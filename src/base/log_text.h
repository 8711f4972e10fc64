/*
 * The text of log lines, built in a buffer that may be too small: what does not fit is cut off
 * where a character ends, and "..." says so. No state, no allocation; any thread.
 */
#ifndef WEIR_BASE_LOG_TEXT_H
#define WEIR_BASE_LOG_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "weir/base/check.h"

struct log_text {
    char *bytes; /* no NUL at the end */
    size_t size, len;
    bool cut;        /* nothing more is put */
    bool open_quote; /* it was cut in a quoted value */
};

void log_text_init(struct log_text *t, char *bytes, size_t size);

/* Our own words: no escapes. */
void log_text_words(struct log_text *t, const char *words);

/* " key=value ..." as described at log_info(). fields may be NULL. */
void log_text_fields(struct log_text *t, const char *fields, va_list args);

/* The same for a number of our own. */
void log_text_number(struct log_text *t, const char *key, unsigned long long value);

/* Marks a text that was cut; returns its length. */
size_t log_text_end(struct log_text *t);

#endif

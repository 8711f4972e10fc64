/*
 * The schema in words, three times: for the terminal, as an example file and as the manual's page.
 * The committed docs/weir.conf.example and docs/configuration.md are what these functions write; a
 * test compares them. `ninja configuration-docs` writes them anew.
 *
 * Any thread. Whether writing succeeded is for the caller to ask the stream.
 */
#ifndef WEIR_CONF_MANUAL_H
#define WEIR_CONF_MANUAL_H

#include <stdio.h>

/* weir --help-config */
void conf_help_write(FILE *out);

/* A complete file: every key with its default, explained. It loads as it is. */
void conf_example_write(FILE *out);

/* Markdown. */
void conf_manual_write(FILE *out);

#endif

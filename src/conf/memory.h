/*
 * Memory of one snapshot: blocks in a chain, all freed together. So no error path of the loader
 * has anything to free but the snapshot.
 */
#ifndef WEIR_CONF_MEMORY_H
#define WEIR_CONF_MEMORY_H

#include <stddef.h>

#include "weir/base/check.h"

struct conf_block {
    struct conf_block *next;
    _Alignas(max_align_t) unsigned char bytes[];
};

/* Zeroed bytes that live until memory_free(*head). NULL: no memory. */
NODISCARD void *memory_get(struct conf_block **head, size_t size);

/* A copy of len bytes with a NUL behind it. NULL: no memory. */
NODISCARD char *memory_copy(struct conf_block **head, const char *text, size_t len);

/* As printf. NULL: no memory. */
NODISCARD char *memory_print(struct conf_block **head, const char *format, ...) PRINTF_LIKE(2, 3);

void memory_free(struct conf_block *head);

#endif

/*
 * A configuration is small and loaded seldom: one malloc per piece is simple and lets ASan see
 * every overrun.
 */
#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *memory_get(struct conf_block **head, size_t size)
{
    struct conf_block *block =
        size <= PTRDIFF_MAX - sizeof(*block) ? calloc(1, sizeof(*block) + size) : NULL;

    if (block == NULL)
        return NULL;
    block->next = *head;
    *head = block;
    return block->bytes;
}

char *memory_copy(struct conf_block **head, const char *text, size_t len)
{
    char *copy = memory_get(head, len + 1);

    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

char *memory_print(struct conf_block **head, const char *format, ...)
{
    va_list args;

    va_start(args, format);

    int len = vsnprintf(NULL, 0, format, args);

    va_end(args);

    char *text = len < 0 ? NULL : memory_get(head, (size_t)len + 1);

    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    return text;
}

void memory_free(struct conf_block *head)
{
    while (head != NULL) {
        struct conf_block *next = head->next;

        free(head);
        head = next;
    }
}

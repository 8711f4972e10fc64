/*
 * The commands of the console, as text. Pure.
 */
#ifndef WEIR_ADMIN_COMMAND_H
#define WEIR_ADMIN_COMMAND_H

#include "weir/base/check.h"
#include "weir/base/span.h"

enum command {
    COMMAND_SHOW_CLIENTS,
    COMMAND_SHOW_MEM,
    COMMAND_SHOW_POOLS,
    COMMAND_SHOW_REACTORS,
    COMMAND_SHOW_SERVERS,
    COMMAND_SHOW_STATE,
    COMMAND_SHOW_VERSION,
    COMMAND_RELOAD,
    COMMAND_EMPTY,   /* blanks and semicolons only */
    COMMAND_UNKNOWN, /* also: several in one text */
};

/* What a query asks for: words in any case, blanks between them, semicolons behind. */
NODISCARD enum command command_parse(struct span text);

/* Every command that does something, for people: "SHOW CLIENTS, SHOW MEM, ...". */
#define COMMAND_LIST_SIZE 256
const char *command_list(char out[COMMAND_LIST_SIZE]);

#endif

/*
 * Any bytes as an auth file: it loads or is refused with a message, and every user that was loaded
 * is found again.
 */
#include <string.h>

#include "weir/auth/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct users_error error = {""};
    struct users *us = NULL;

    if (users_load_text("f", span_of(data, len), &us, &error) != 0) {
        ASSERT(us == NULL && strncmp(error.text, "f:", 2) == 0);
        return 0;
    }
    ASSERT(users_count(us) <= len / 6); /* the shortest line: "a" "" */
    (void)users_find(us, span_of(data, len < 8 ? len : 8));
    users_put(us);
    return 0;
}

/*
 * The loader on any text: it answers 0 or -EINVAL with a message, leaks nothing, and hands out
 * only snapshots that keep their promises. And what our own check of the grammar lets through,
 * libconfig must accept: it has no way to say no that is fit for people.
 */
#include <errno.h>
#include <string.h>

#include "weir/conf/conf.h"
#include "weir/conf/pool.h"
#include "weir/conf/show.h"

static void check_snapshot(const struct conf *c)
{
    const struct conf_arena *arena = &c->weir.arena;
    struct conf_shown shown;
    struct conf_pool pool;

    ASSERT(arena->total_size == arena->chunk_size * arena->chunks_count && arena->total_size > 0);
    for (size_t i = 0; conf_show(c, i, &shown); i++)
        ASSERT(shown.key[0] != '\0');
    for (size_t i = 0; i < c->n_databases; i++) {
        ASSERT(i == 0 || strcmp(c->databases[i - 1].name, c->databases[i].name) < 0);
        ASSERT(conf_pool_find(c, c->databases[i].name, "user", &pool));
        ASSERT(pool.policy.pool_size >= 1 && pool.policy.min_pool_size <= pool.policy.pool_size);
    }
    for (size_t i = 1; i < c->n_users; i++)
        ASSERT(strcmp(c->users[i - 1].name, c->users[i].name) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct conf_error error = {""};
    struct conf *c = NULL;
    int r = conf_load_text("/f", span_of(data, len), &c, &error);

    if (r == 0) {
        check_snapshot(c);
        conf_put(c);
        return 0;
    }
    ASSERT(r == -EINVAL && c == NULL);
    ASSERT(strncmp(error.text, "/f:", 3) == 0);

    const char *message = error.text + 3 + strspn(error.text + 3, "0123456789");

    ASSERT(strncmp(message, ": ", 2) == 0 && strncmp(message, ": libconfig:", 12) != 0);
    return 0;
}

/*
 * What psql, pgbench and PostgreSQL 15 have really sent, recorded between them after the first
 * packet, is read to its last byte.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "messages.h"
#include "pgwire/frame.h"

#define MAX_RECORDED 16384

static uint8_t recorded[MAX_RECORDED];

static struct pgw_span load(const char *direction, const char *name)
{
    char path[1024];
    FILE *f;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s/recorded-%s.bin", PGW_CORPUS, direction, name);
    f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    len = fread(recorded, 1, sizeof(recorded), f);
    fclose(f);
    cr_assert(len > 0 && len < sizeof(recorded), "%s", path);
    return pgw_span_of(recorded, len);
}

/* All messages of a letter have one format, but PasswordMessage. */
static const struct message *message_of(const struct message *messages, size_t n, uint8_t type)
{
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)messages[i].bytes[0] == type)
            return &messages[i];
    }
    cr_assert_fail("no message has the letter %c", type);
    return NULL;
}

static void check_recorded(const char *direction, const struct pgw_rule *table,
                           const struct message *messages, size_t n, const char *name)
{
    struct pgw_span in = load(direction, name);
    struct pgw_frame f;
    size_t n_frames = 0;

    while (pgw_frame_next(table, &in, &f) == PGW_READY) {
        if (f.type != PGW_F_PASSWORD)
            cr_assert_eq(message_read(message_of(messages, n, f.type), f.body), PGW_READY,
                         "%s of %s, message %zu: %c", direction, name, n_frames, f.type);
        n_frames++;
    }
    cr_assert_eq(in.len, 0, "%s of %s after %zu messages", direction, name, n_frames);
    cr_assert_gt(n_frames, 2);
}

Test(recorded, streams_are_read_to_their_end)
{
    const char *const names[] = {"psql", "pgbench", "scram"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        check_recorded("frontend", pgw_frontend_rules, frontend_messages, n_frontend_messages,
                       names[i]);
        check_recorded("backend", pgw_backend_rules, backend_messages, n_backend_messages,
                       names[i]);
    }
}

/*
 * A server that is inspected, in a scene with one reactor: the test reads what it is asked and says
 * what it answers.
 */
#ifndef WEIR_TESTS_UNIT_POOL_PLAY_H
#define WEIR_TESTS_UNIT_POOL_PLAY_H

#include "pgwire/span.h"
#include "pgwire/writer.h"
#include "scene.h"
#include "weir/pool/inspect.h"

struct play {
    struct scene sc;
    struct pool *pool;
    struct client client;
    struct server *server; /* being asked */
    uint8_t in[16384];     /* of its last Query */
    size_t n_in;

    /* how an inspection ended that the test began */
    unsigned n_done;
    bool was_lost;
    struct inspect_found found; /* sets apart */
    char settings[128], statements[128];
};

/* One turn of every loop; peers are the test's. */
void play_turn(struct play *p);

#define PLAY_UNTIL(p, condition)                                                                   \
    do {                                                                                           \
        rig_wait_begin(&(p)->sc.rigs[0], RIG_PATIENCE_MS);                                         \
        while (!(condition)) {                                                                     \
            play_turn(p);                                                                          \
            cr_assert_not((p)->sc.rigs[0].late, "never came: %s", #condition);                     \
        }                                                                                          \
        rig_wait_end(&(p)->sc.rigs[0]);                                                            \
    } while (0)

/* audit_interval_ns: 0 for none. */
void play_begin(struct play *p, enum rig_variant variant, const char *settings,
                uint64_t audit_interval_ns);
void play_end(struct play *p);

/* p->client has a server when this returns. */
void play_acquire(struct play *p);

/* The other end of the server's connection. */
int play_peer(const struct play *p);

/* Reads what the server is sent; true when that is a whole Query. */
bool play_is_asked(struct play *p);

/* The text of the next Query, which is there when this returns; until the next one. */
const char *play_asked(struct play *p);

/* The server sends it. */
void play_say(struct play *p, struct pgw_span words);

/* What a server says, message by message. */
struct words {
    struct pgw_writer w;
    uint8_t bytes[4096];
};

void words_begin(struct words *words);
void words_row(struct words *words, const char *letter, const char *name, const char *value);
void words_error(struct words *words, const char *severity);

/* And that it is ready: all of it. */
struct pgw_span words_ready(struct words *words);

/* Whole answers. To the question: settings, statements (one that moves, one that does not) and
 * locks, among what comes unasked; or nothing. To a cleaning. */
struct pgw_span words_all_kinds(struct words *words);
struct pgw_span words_nothing(struct words *words);
struct pgw_span words_cleaned(struct words *words);

#endif

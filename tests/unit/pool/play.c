/* A server that is inspected; see play.h. */
#include "play.h"

#include <string.h>
#include <sys/socket.h>

#include "pgwire/build.h"
#include "pgwire/frame.h"

void play_turn(struct play *p)
{
    for (unsigned i = 0; i <= p->sc.n_reactors; i++)
        scene_turn(&p->sc, &p->sc.crew.threads[i]);
}

void play_begin(struct play *p, enum rig_variant variant, const char *settings,
                uint64_t audit_interval_ns)
{
    *p = (struct play){.n_in = 0};
    scene_init(&p->sc, variant, 1, settings);
    p->sc.pools->config.audit_interval_ns = audit_interval_ns;
    p->pool = scene_pool(&p->sc, "db", "alice");
}

void play_acquire(struct play *p)
{
    client_acquire(&p->client, &p->sc, p->pool, 0);
    SCENE_UNTIL(&p->sc, p->client.server != NULL);
}

void play_end(struct play *p)
{
    if (p->client.server != NULL)
        client_release(&p->client);
    scene_fini(&p->sc);
}

int play_peer(const struct play *p)
{
    return p->sc.peers[p->server->id];
}

bool play_is_asked(struct play *p)
{
    struct pgw_span left;
    struct pgw_frame frame;
    ssize_t n = recv(play_peer(p), p->in + p->n_in, sizeof(p->in) - p->n_in, MSG_DONTWAIT);

    if (n > 0)
        p->n_in += (size_t)n;
    left = pgw_span_of(p->in, p->n_in);
    if (pgw_frame_next(pgw_frontend_rules, &left, &frame) != PGW_READY)
        return false;
    cr_assert_eq(frame.type, 'Q');
    cr_assert_eq(left.len, 0);
    return true;
}

const char *play_asked(struct play *p)
{
    PLAY_UNTIL(p, play_is_asked(p));
    p->n_in = 0;
    return (const char *)p->in + PGW_HEADER_LEN;
}

void play_say(struct play *p, struct pgw_span words)
{
    if (words.len > 0)
        cr_assert_eq(send(play_peer(p), words.ptr, words.len, MSG_NOSIGNAL), (ssize_t)words.len);
}

/* ---- what it says ---- */

void words_begin(struct words *words)
{
    words->w = pgw_writer_of(words->bytes, sizeof(words->bytes));
}

void words_row(struct words *words, const char *letter, const char *name, const char *value)
{
    struct pgw_column columns[] = {pgw_column_text("a"), pgw_column_text("b"),
                                   pgw_column_text("c")};
    struct pgw_value values[] = {{.bytes = pgw_span_str(letter)},
                                 {.bytes = pgw_span_str(name)},
                                 {.bytes = pgw_span_str(value)}};

    pgw_build_row_description(&words->w, columns, 3);
    pgw_build_data_row(&words->w, values, 3);
    pgw_build_command_complete(&words->w, pgw_span_str("SELECT 1"));
}

void words_error(struct words *words, const char *severity)
{
    struct pgw_report report = {.severity = severity, .sqlstate = "57014", .message = "canceled"};

    pgw_build_error(&words->w, &report);
}

struct pgw_span words_ready(struct words *words)
{
    pgw_build_ready_for_query(&words->w, PGW_TX_IDLE);
    cr_assert_not(words->w.full);
    return pgw_writer_span(&words->w);
}

struct pgw_span words_all_kinds(struct words *words)
{
    static const uint8_t notification[] = {'A', 0, 0, 0, 12, 0, 0, 0, 1, 'a', 0, 'b', 0};
    struct pgw_report notice = {.severity = "NOTICE", .sqlstate = "00000", .message = "well"};

    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SET"));
    words_row(words, "s", "work_mem", "3634");
    pgw_build_notice(&words->w, &notice);
    words_row(words, "p", "a", "prepare a as select 1");
    words_row(words, "p", "b", "prepare b as select 1; select 2");
    pgw_writer_bytes(&words->w, pgw_span_of(notification, sizeof(notification)));
    words_row(words, "t", "", "0");
    words_row(words, "l", "", "2");
    words_row(words, "c", "", "0");
    pgw_build_parameter_status(&words->w, pgw_span_str("is_superuser"), pgw_span_str("on"));
    words_row(words, "h", "", "0");
    return words_ready(words);
}

struct pgw_span words_cleaned(struct words *words)
{
    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SET"));
    words_row(words, "", "", "");
    pgw_build_command_complete(&words->w, pgw_span_str("RESET"));
    return words_ready(words);
}

struct pgw_span words_nothing(struct words *words)
{
    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SELECT 0"));
    return words_ready(words);
}

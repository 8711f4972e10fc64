/*
 * The console's clients: greeting, one answer a message, the round that gathers it.
 *
 * A visitor is one of them, and one answer under way. It goes when both its client has left and
 * its round is home.
 */
#include "weir/admin/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/build.h"
#include "pgwire/message_frontend.h"
#include "pgwire/proto.h"
#include "pgwire/sqlstate.h"
#include "weir/conf/conf.h"
#include "weir/session/service.h"

#include "command.h"
#include "show.h"

#define ANSWER_SIZE 1024 /* of an answer without rows, and of the greeting */

struct console {
    struct service service;
    struct console_config config;
};

/* Thread: its client's reactor; `showing` while the round is under way: whomever it visits. */
struct visitor {
    struct guest *guest; /* NULL: it has left */
    bool skipping;       /* what it sends up to a Sync, after an error */
    bool asking;         /* the round is under way */
    const struct show *show;
    struct showing showing;
    struct round round;
};

static struct console *console_of(struct service *s)
{
    return CONTAINER_OF(s, struct console, service);
}

/* ---- who may come in ---- */

static bool is_listed(const struct conf_list *list, struct span name)
{
    for (size_t i = 0; i < list->n_items; i++) {
        if (span_equal(span_str(list->items[i]), name))
            return true;
    }
    return false;
}

static bool serves(const struct service *s, struct span database)
{
    (void)s;
    return conf_is_console(database);
}

static bool admits(const struct service *s, struct span user)
{
    const struct conf_weir *weir =
        &CONTAINER_OF_CONST(s, struct console, service)->config.conf->weir;

    return is_listed(&weir->admin_users, user) || is_listed(&weir->stats_users, user);
}

/* ---- answers ---- */

/* A writer in memory that lives until the end of the turn. False: there is none, and the client
 * goes. */
static bool answer_begin(struct visitor *v, struct pgw_writer *w)
{
    void *room = loop_scratch(v->guest->thread->loop, ANSWER_SIZE);

    if (room == NULL) {
        guest_close(v->guest);
        return false;
    }
    *w = pgw_writer_of(room, ANSWER_SIZE);
    return true;
}

static void answer_end(struct visitor *v, const struct pgw_writer *w)
{
    ASSERT(!w->full);
    guest_send(v->guest, span_of(w->buf, w->len));
}

static void answer_ready(struct visitor *v)
{
    struct pgw_writer w;

    if (!answer_begin(v, &w))
        return;
    pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    answer_end(v, &w);
}

/* With ReadyForQuery, unless a Sync has to bring that. */
static void answer_error(struct visitor *v, const char *sqlstate, const char *message,
                         const char *hint)
{
    struct pgw_report report = {
        .severity = "ERROR", .sqlstate = sqlstate, .message = message, .hint = hint};
    struct pgw_writer w;

    if (!answer_begin(v, &w))
        return;
    pgw_build_error(&w, &report);
    if (!v->skipping)
        pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    answer_end(v, &w);
}

static void answer_empty(struct visitor *v)
{
    struct pgw_writer w;

    if (!answer_begin(v, &w))
        return;
    pgw_build_bare(&w, PGW_B_EMPTY_QUERY_RESPONSE);
    pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    answer_end(v, &w);
}

static void answer_unknown(struct visitor *v)
{
    char list[COMMAND_LIST_SIZE];
    char hint[COMMAND_LIST_SIZE + 32];

    snprintf(hint, sizeof(hint), "The console knows %s.", command_list(list));
    answer_error(v, PGW_STATE_SYNTAX_ERROR, "the console has no such command", hint);
}

/* ---- SHOW ---- */

/* A later turn: the bytes are with the kernel or copied. */
static void free_block(struct letter *l, struct thread *self)
{
    (void)self;
    free(CONTAINER_OF(l, struct rows_block, letter));
}

static void answer_rows(struct visitor *v, struct rows *rows)
{
    size_t len;

    rows_end(rows, "SHOW");
    if (rows->error == -E2BIG) {
        answer_error(v, PGW_STATE_PROGRAM_LIMIT_EXCEEDED, "the answer would be too large", NULL);
        return;
    }
    if (rows->error < 0) {
        answer_error(v, PGW_STATE_OUT_OF_MEMORY, "there is no memory for the answer", NULL);
        return;
    }

    struct rows_block *block = rows_take(rows, &len);

    block->letter.open = free_block;
    guest_send(v->guest, span_of(block->bytes, len));
    thread_post(v->guest->thread, &block->letter);
}

/* On the thread that asked. */
static void finish_show(struct visitor *v)
{
    struct showing *s = &v->showing;

    if (v->show->finish != NULL)
        v->show->finish(s);
    answer_rows(v, &s->rows);
    showing_fini(s);
}

static void on_visit(struct round *r, struct thread *self)
{
    struct visitor *v = CONTAINER_OF(r, struct visitor, round);

    v->showing.at = self;
    v->show->visit(&v->showing, self);
}

static void on_home(struct round *r, struct thread *self)
{
    struct visitor *v = CONTAINER_OF(r, struct visitor, round);

    (void)self;
    v->asking = false;
    if (v->guest == NULL) {
        showing_fini(&v->showing);
        free(v);
        return;
    }
    finish_show(v);
    guest_ready(v->guest); /* last: the next command may begin within */
}

static void begin_show(struct visitor *v, const struct console *c, const struct show *show)
{
    v->show = show;
    showing_init(&v->showing, &c->config);
    rows_begin(&v->showing.rows, show->columns);
    if (show->visit == NULL) {
        finish_show(v);
        return;
    }
    v->asking = true;
    v->round = (struct round){.visit = on_visit, .done = on_home};
    round_start(&v->round, v->guest->thread);
}

/* ---- messages ---- */

static void run_query(struct visitor *v, const struct console *c, struct span body)
{
    struct pgw_span text;

    if (pgw_read_text(pgw_span_of(body.ptr, body.len), &text) != PGW_READY) {
        answer_error(v, PGW_STATE_PROTOCOL_VIOLATION, "the query is not one string", NULL);
        return;
    }

    enum command command = command_parse(span_of(text.ptr, text.len));
    const struct show *show = show_of(command);

    if (show != NULL)
        begin_show(v, c, show);
    else if (command == COMMAND_EMPTY)
        answer_empty(v);
    else if (command == COMMAND_RELOAD)
        answer_error(v, PGW_STATE_FEATURE_NOT_SUPPORTED, "RELOAD is not possible here yet",
                     "Send SIGHUP to the daemon.");
    else
        answer_unknown(v);
}

/* The extended protocol: one error, then nothing is looked at before the Sync, as in PostgreSQL. */
static void refuse(struct visitor *v, uint8_t letter)
{
    v->skipping = letter != PGW_F_FUNCTION_CALL;
    answer_error(v, PGW_STATE_FEATURE_NOT_SUPPORTED,
                 "the console speaks the simple query protocol only", NULL);
}

static void look_at(struct visitor *v, const struct console *c, uint8_t letter, struct span body)
{
    switch (letter) {
    case PGW_F_QUERY:
        run_query(v, c, body);
        break;
    case PGW_F_PARSE:
    case PGW_F_BIND:
    case PGW_F_DESCRIBE:
    case PGW_F_EXECUTE:
    case PGW_F_CLOSE:
    case PGW_F_FUNCTION_CALL:
        refuse(v, letter);
        break;
    default: /* Flush; what is left of a COPY that there never was */
        break;
    }
}

static void on_message(struct service *s, struct guest *g, uint8_t letter, struct span body)
{
    struct visitor *v = g->state;

    if (letter == PGW_F_SYNC) {
        v->skipping = false;
        answer_ready(v);
    } else if (!v->skipping) {
        look_at(v, console_of(s), letter, body);
    }
    if (!v->asking)
        guest_ready(g);
}

/* ---- coming and going ---- */

static void build_greeting(struct pgw_writer *w)
{
    static const struct {
        const char *name, *value;
    } parameters[] = {
        /* Drivers choose by the number what they may ask for; psql shows the rest. */
        {"server_version", "15.0 (weir " WEIR_VERSION ")"},
        {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO, MDY"},
        {"IntervalStyle", "postgres"},
        {"TimeZone", "UTC"},
        {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},
        {"is_superuser", "off"},
    };

    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        pgw_build_parameter_status(w, pgw_span_str(parameters[i].name),
                                   pgw_span_str(parameters[i].value));
    pgw_build_ready_for_query(w, PGW_TX_IDLE);
}

static bool on_entered(struct service *s, struct guest *g, struct span user)
{
    struct visitor *v = calloc(1, sizeof(*v));
    void *room = loop_scratch(g->thread->loop, ANSWER_SIZE);

    (void)s;
    (void)user;
    if (v == NULL || room == NULL) {
        free(v);
        return false;
    }
    v->guest = g;
    g->state = v;

    struct pgw_writer w = pgw_writer_of(room, ANSWER_SIZE);

    build_greeting(&w);
    answer_end(v, &w);
    return true;
}

static void on_left(struct service *s, struct guest *g)
{
    struct visitor *v = g->state;

    (void)s;
    v->guest = NULL;
    if (!v->asking)
        free(v);
}

/* ---- the console ---- */

int console_new(struct console **out, const struct console_config *config)
{
    struct console *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->config = *config;
    conf_get(config->conf);
    c->service = (struct service){
        .serves = serves,
        .admits = admits,
        .entered = on_entered,
        .message = on_message,
        .left = on_left,
    };
    *out = c;
    return 0;
}

void console_free(struct console *c)
{
    if (c == NULL)
        return;
    conf_put(c->config.conf);
    free(c);
}

struct service *console_service(struct console *c)
{
    return &c->service;
}

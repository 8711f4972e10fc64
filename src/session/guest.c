/*
 * Clients that a service owns. Their messages are gathered until they are whole and handed over one
 * at a time; what comes meanwhile waits in the same buffer, whose size bounds it.
 *
 * The service hears that its guest has left when the stream has closed: never within a call of its
 * own, and the bytes it was handed stay good until it returns. Runs on: the client's reactor.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "login.h"
#include "pgwire/endian.h"
#include "pgwire/frame.h"
#include "pgwire/sqlstate.h"
#include "sessions.h"
#include "weir/auth/wire.h"

/* A guest who has so many bytes of answers unsent is not answered further; drained() tells when he
 * has taken most of them. */
#define UNSENT_MAX ((size_t)256 << 10)

struct guest_input {
    bool entered;    /* the service knows of it */
    bool busy;       /* the service has a message and is not ready yet */
    bool delivering; /* deliver() runs, further up the stack */
    char user[CONF_NAME_MAX + 1];
    char database[CONF_NAME_MAX + 1];
    size_t len;
    uint8_t bytes[PGW_HEADER_LEN + SERVICE_MESSAGE_MAX];
};

static struct client *client_of(struct guest *g)
{
    return CONTAINER_OF(g, struct client, guest);
}

static struct service *service_of(const struct client *c)
{
    return c->all->config.service;
}

void guest_begin(struct client *c)
{
    struct guest_input *in = malloc(sizeof(*in));

    c->guest_input = in;
    if (in != NULL) {
        memset(in, 0, offsetof(struct guest_input, bytes));
        memcpy(in->user, c->login->user, sizeof(in->user));
        memcpy(in->database, c->login->database, sizeof(in->database));
        c->guest.thread = c->thread;
        in->entered = service_of(c)->entered(service_of(c), &c->guest, span_str(in->user));
    }
    if (in == NULL || !in->entered)
        client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory for the console");
}

void guest_end(struct client *c)
{
    if (c->guest_input->entered)
        service_of(c)->left(service_of(c), &c->guest);
    free(c->guest_input);
    c->guest_input = NULL;
}

const char *guest_user(const struct client *c)
{
    return c->guest_input->user;
}

const char *guest_database(const struct client *c)
{
    return c->guest_input->database;
}

static bool too_long(const struct guest_input *in)
{
    return in->len >= PGW_HEADER_LEN &&
           pgw_load_u32(in->bytes + PGW_TYPE_LEN) > PGW_LENGTH_LEN + SERVICE_MESSAGE_MAX;
}

/* Is this a message that a client who is logged in may send? */
static bool is_proper(uint8_t type)
{
    return (pgw_frontend_rules[type].phases & ~(unsigned)(PGW_IN_AUTH | PGW_IN_SETUP)) != 0;
}

static void hand_over(struct client *c, const struct pgw_frame *frame)
{
    struct guest_input *in = c->guest_input;
    size_t used = PGW_HEADER_LEN + frame->body.len;

    in->busy = true;
    service_of(c)->message(service_of(c), &c->guest, frame->type, span_in(frame->body));
    in->len -= used;
    memmove(in->bytes, in->bytes + used, in->len);
}

/* False: there is no whole message, or the guest has left. */
static bool take_message(struct client *c)
{
    struct guest_input *in = c->guest_input;
    struct pgw_span left = pgw_span_of(in->bytes, in->len);
    struct pgw_frame frame;
    enum pgw_answer answer = pgw_frame_next(pgw_frontend_rules, &left, &frame);

    if (answer == PGW_INVALID || (answer == PGW_READY && !is_proper(frame.type))) {
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION, "invalid message to the console");
        return false;
    }
    if (answer == PGW_PARTIAL) {
        if (too_long(in))
            client_refuse(c, PGW_STATE_PROGRAM_LIMIT_EXCEEDED,
                          "messages to the console may have %d bytes", SERVICE_MESSAGE_MAX);
        return false;
    }
    if (frame.type == PGW_F_TERMINATE) {
        client_close_sent(c, "client closed the connection");
        return false;
    }
    hand_over(c, &frame);
    return c->phase == CLIENT_GUEST;
}

static void deliver(struct client *c)
{
    struct guest_input *in = c->guest_input;

    if (in->delivering)
        return;
    in->delivering = true;
    while (!in->busy && stream_unsent(&c->stream) <= UNSENT_MAX && take_message(c))
        continue;
    in->delivering = false;
}

void guest_drained(struct client *c)
{
    deliver(c);
}

void guest_received(struct client *c, struct span data)
{
    struct guest_input *in = c->guest_input;

    while (c->phase == CLIENT_GUEST && data.len > 0) {
        size_t room = sizeof(in->bytes) - in->len;
        size_t n = data.len < room ? data.len : room;

        if (n == 0) {
            client_refuse(c, PGW_STATE_PROGRAM_LIMIT_EXCEEDED,
                          "too much was sent before the console had answered");
            return;
        }
        memcpy(in->bytes + in->len, data.ptr, n);
        in->len += n;
        data = span_skip(data, n);
        deliver(c);
    }
}

/* ---- what the service calls; a guest that is about to leave is not served any more ---- */

void guest_send(struct guest *g, struct span bytes)
{
    struct client *c = client_of(g);

    if (c->phase == CLIENT_GUEST)
        stream_send(&c->stream, bytes);
}

void guest_ready(struct guest *g)
{
    struct client *c = client_of(g);

    c->guest_input->busy = false;
    if (c->phase == CLIENT_GUEST)
        deliver(c);
}

void guest_close(struct guest *g)
{
    struct client *c = client_of(g);

    if (c->phase == CLIENT_GUEST)
        client_close_sent(c, "closed by the console");
}

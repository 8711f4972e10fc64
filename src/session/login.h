/*
 * What a client needs from its coming until it is greeted, for startup.c and login.c: a buffer for
 * its packets, its names, the dialogue. It is memory of its own, so that clients who are in do not
 * carry it.
 *
 * Runs on: the client's reactor; `auth` while a helper works is the helper's.
 */
#ifndef WEIR_SESSION_LOGIN_H
#define WEIR_SESSION_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/proto.h"
#include "weir/auth/client_auth.h"
#include "weir/base/jobs.h"
#include "weir/base/span.h"
#include "weir/base/wheel.h"
#include "weir/conf/conf.h"
#include "words.h"

struct client;
struct own;
struct pgw_startup;
struct server;
struct service;

/* The longest startup packet there is. A password message must fit too: PostgreSQL takes longer
 * ones, but those of strangers are better small. */
#define LOGIN_INPUT_MAX (PGW_LENGTH_LEN + PGW_STARTUP_BODY_MAX)

struct login {
    int fd; /* accepted; the stream's once the client begins */
    struct client *client;
    struct service *service; /* that the database leads to; NULL: a pool's */
    char user[CONF_NAME_MAX + 1];
    char database[CONF_NAME_MAX + 1];
    bool asked_ssl, asked_gssenc;
    bool has_long_key;   /* it speaks protocol 3.2: its cancel key may be long */
    bool authenticating; /* auth is set up */
    bool working;        /* a helper has it */
    struct job job;
    struct client_auth auth;
    uint8_t *settings; /* n_settings bytes for a server of its own (own.c); NULL: none */
    size_t n_settings;
    struct own *own;      /* the request for that server; NULL: none under way */
    struct server *asked; /* about the client's settings; NULL: none */
    bool has_refused;     /* it did, and `words` says how */
    struct words words;
    size_t n_input;
    uint8_t input[LOGIN_INPUT_MAX]; /* received and not yet used; from `asked`, if there is one */
};

/* Any thread. NULL: no memory. */
struct login *login_new(struct client *c, int fd);
void login_free(struct login *l);

/* The first n bytes of the input are dealt with. */
void login_consume(struct login *l, size_t n);

/* One step each: true if input was used and there may be more to do with what is left; false if
 * there is nothing to do before more comes, or the client has left this phase. */
NODISCARD bool startup_step(struct client *c);
NODISCARD bool login_step(struct client *c);

/* CLIENT_LOGIN: the startup packet is accepted, names and service are set. */
void login_begin(struct client *c);

/* CLIENT_COLD: c->settings is as its servers will have it; the client gets in. */
void login_checked(struct client *c);

/* CLIENT_LOGIN or CLIENT_COLD: authenticated and about to wait; what it has sent is held. False: it
 * could not be held, and the client is gone. */
NODISCARD bool login_be_cold(struct client *c);

/* The client gets in, greeted with these ParameterStatus messages, which live until the end of the
 * turn. own: its server if it owns one, else NULL. */
void login_enter(struct client *c, struct span greeting, struct server *own);

/* For the timer of a client that logs in. */
void login_timed_out(struct wheel_timer *t);

/* ---- own.c ---- */

/* Keeps what the server of a replication client is to be told at its startup. False: no memory. */
NODISCARD bool own_keep_settings(struct login *l, const struct pgw_startup *s);

/* CLIENT_LOGIN, authenticated, c->pool is set: it waits for a server of its own. */
void own_await(struct client *c);

#endif

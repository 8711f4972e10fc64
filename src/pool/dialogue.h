/*
 * What is said between the startup packet and ReadyForQuery, as a pure state machine: bytes of the
 * server in, bytes for the server out. Protocol 3.0 ("Start-up" in the PostgreSQL documentation,
 * 55.2.1). No sockets, no threads; what takes long is told by DIALOGUE_WORK.
 *
 * Invariant: `in` holds only bytes that no whole message has been taken from yet, but for those
 * that came while work is being done.
 * Thread: one at a time. dialogue_fini() wipes.
 */
#ifndef WEIR_POOL_DIALOGUE_H
#define WEIR_POOL_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/proto.h"
#include "pgwire/rule.h"
#include "pgwire/writer.h"
#include "weir/auth/server_auth.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/pool/pool.h"

/* What a server may send ahead of being asked for more: far above any login. */
#define DIALOGUE_IN_MAX 32768
#define DIALOGUE_OUT_MAX                                                                           \
    (PGW_STARTUP_BODY_MAX + 512) /* user and database, and further settings                        \
                                  */
/* All ParameterStatus messages of a login together; PostgreSQL 15 sends some 400 bytes. */
#define DIALOGUE_GREETING_MAX 16384

enum dialogue_step {
    DIALOGUE_MORE,   /* send what is in out, then wait for bytes */
    DIALOGUE_WORK,   /* call dialogue_work() on a helper, then dialogue_worked() */
    DIALOGUE_READY,  /* logged in; nothing came behind ReadyForQuery */
    DIALOGUE_FAILED, /* `failure` says why */
};

struct dialogue {
    struct server_auth auth;
    enum pgw_phase phase; /* PGW_IN_AUTH, then PGW_IN_SETUP */

    /* after DIALOGUE_READY */
    uint32_t pid; /* 0: the server sent none */
    uint32_t key_len;
    uint8_t key[PGW_CANCEL_KEY_MAX];
    size_t greeting_len;

    /* after DIALOGUE_FAILED */
    struct pool_failure failure;
    bool permanent;

    struct pgw_writer out; /* what is to be sent; until the next call */
    size_t n_in;
    uint8_t greeting[DIALOGUE_GREETING_MAX];
    uint8_t out_bytes[DIALOGUE_OUT_MAX];
    uint8_t in[DIALOGUE_IN_MAX];
};

/* Writes the startup packet into out; settings stand in it as they are, behind user and database
 * (pgw_build_startup_more()). What config points to outlives the dialogue. */
void dialogue_init(struct dialogue *d, const struct server_auth_config *config,
                   struct span database, struct span settings);

/* Bytes of the server, in pieces of any size. Not while work is being done. */
NODISCARD enum dialogue_step dialogue_received(struct dialogue *d, struct span data);

/* On a helper: milliseconds. Nobody else touches the dialogue meanwhile. */
void dialogue_work(struct dialogue *d);
NODISCARD enum dialogue_step dialogue_worked(struct dialogue *d);

void dialogue_fini(struct dialogue *d);

#endif

/*
 * What all reactors share of the session layer, for its own files. Set up before the crew runs;
 * what changes later is atomic.
 */
#ifndef WEIR_SESSION_SESSIONS_H
#define WEIR_SESSION_SESSIONS_H

#include "weir/auth/digest.h"
#include "weir/base/slab.h"
#include "weir/session/session.h"

struct known;
struct shard;
struct throttle;

struct sessions {
    struct sessions_config config;
    struct shard *shards; /* one for each reactor */
    struct slab *clients; /* struct client; the shared bytes are its `word` */
    struct slab *held;    /* small pieces of held bytes */
    struct known *known;  /* settings that servers have taken */
    uint8_t mock_key[SHA256_LEN];
    uint8_t cancel_secret[SHA256_LEN]; /* makes long cancel keys of short ones */
    struct throttle *unknown_cancels;  /* by whence they come */
    _Atomic uint64_t next_client_id;
    _Atomic uint32_t n_logged_in; /* what max_client_conn counts: clients past their startup
                                     packet, services excepted */
};

#endif

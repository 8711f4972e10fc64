/*
 * The first packet of a connection, which has no type letter: what a client asks for before it is
 * anybody.
 *
 * Accepted and refused as by PostgreSQL 15 (ProcessStartupPacket), with these differences: protocol
 * 3.2 with its longer cancel keys is understood; SSLRequest and GSSENCRequest must have their exact
 * length; a packet must really end with a NUL.
 */
#ifndef PGWIRE_STARTUP_H
#define PGWIRE_STARTUP_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/span.h"
#include "pgwire/value.h"

enum pgw_startup_kind {
    PGW_STARTUP_SESSION, /* StartupMessage of protocol 3.x */
    PGW_STARTUP_CANCEL,
    PGW_STARTUP_SSL,
    PGW_STARTUP_GSSENC,
    PGW_STARTUP_REFUSED, /* to be told the FATAL error in refusal, and closed */
};

enum pgw_replication {
    PGW_REPLICATION_OFF,
    PGW_REPLICATION_PHYSICAL, /* of the whole cluster; database has no meaning */
    PGW_REPLICATION_LOGICAL,
};

struct pgw_refusal {
    const char *sqlstate;
    const char *message;
};

/* Members below kind are set for the kinds that their comment names. Spans lie in the input. */
struct pgw_startup {
    enum pgw_startup_kind kind;

    /* SESSION and, version alone, REFUSED */
    uint32_t version;            /* PGW_VERSION() */
    uint32_t n_protocol_options; /* parameters with the prefix _pq_. */
    struct pgw_span params;      /* all there are, in their order: pgw_param_next() */
    struct pgw_span user;        /* never empty; at most 63 bytes, as PostgreSQL cuts it */
    struct pgw_span database;    /* the user's name where none was given; at most 63 bytes */
    struct pgw_span options;     /* command-line options: options.h */
    enum pgw_replication replication;

    /* CANCEL */
    uint32_t cancel_pid;
    struct pgw_span cancel_key; /* 4 bytes in protocol 3.0, up to 256 in 3.2 */

    /* REFUSED */
    struct pgw_refusal refusal;
};

/*
 * Takes the first packet out of *in. PARTIAL: it is not whole yet. INVALID: it has a length that no
 * first packet has; like PostgreSQL, close without a word, for this is no client of ours. A
 * parameter that is given twice counts as given last.
 */
PGW_NODISCARD enum pgw_answer pgw_startup_next(struct pgw_span *in, struct pgw_startup *out);

/*
 * True if the client must be told with NegotiateProtocolVersion (build.h) that it does not get all
 * it asked for: a later minor version than newest, or protocol options, of which none is known
 * here.
 */
bool pgw_startup_needs_negotiation(const struct pgw_startup *s, uint32_t newest);

/* True for the name of a startup parameter that asks for a protocol extension. */
bool pgw_is_protocol_option(struct pgw_span name);

#endif

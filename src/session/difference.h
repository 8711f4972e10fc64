/*
 * The statements that make a server's settings those that a client wants, as one simple Query.
 *
 * Names are quoted, values are E'' strings of ASCII alone: ' and \ doubled, every byte above 127 as
 * \xHH. So neither standard_conforming_strings nor the client_encoding that the last client left
 * can change what they mean, and what a startup packet says is taken as PostgreSQL takes it there:
 * as bytes in the server's encoding. Where PostgreSQL quotes each element of a list (search_path),
 * SET would make one element of the whole string; set_config() takes it as a startup packet does.
 *
 * Who the session is (session_authorization, then role) comes last: what else it may set is for the
 * one who logged in to say. If it is somebody else on the server already, that is undone first. So
 * is a statement_timeout, which would count for these statements, too.
 *
 * Pure. Runs on: any thread.
 */
#ifndef WEIR_SESSION_DIFFERENCE_H
#define WEIR_SESSION_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "pgwire/writer.h"
#include "weir/base/pairs.h"

struct greeting;

/* Everything is the caller's and stays as long as this is used. */
struct difference {
    const struct pairs *wanted;
    const struct pairs *there;       /* what the server was given or reported last */
    const struct greeting *greeting; /* what it has where nothing was given; NULL: not known */
    bool doubted; /* of parameters that are not reported, what is `there` may be outdated */
    /* Within the client's transaction, or session: it may have set them since, so they are only set
     * if nobody has set them on the server. */
    bool in_block;
    /* Zero at the beginning: */
    size_t at_wanted, at_there;
    unsigned pass;
};

/* One statement of it. */
struct change {
    struct span name;
    struct span value; /* without a meaning if it is to be reset */
    bool resets;
    bool if_unset;
};

/* In the order of their statements; false at the end. */
bool difference_next(struct difference *d, struct change *out);

/* Names and values of changes, put into a set: the n-th of them in that same order, from 0 on.
 * False: they are fewer. */
bool difference_nth(const struct pairs *changes, uint32_t n, struct pair *out);

/* How many statements of a guarded Query come before that of the first change. */
uint32_t difference_n_before(const struct difference *d);

/* Bytes that the Query of this difference has at most. */
size_t difference_max_len(const struct difference *d);

/* Writes the Query. guarded: a value that the server refuses ends its session, so that nothing sent
 * behind is carried out: the changes are the second to the last but one of its statements then,
 * else they are all. */
void difference_build(struct pgw_writer *w, struct difference d, bool guarded);

#endif

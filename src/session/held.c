/*
 * Bytes that a client has sent and that cannot go to a server yet. Most are one small query of a
 * client that waits: these come from a slab of small pieces; what does not fit follows in chunks of
 * the arena, so that all clients together are bounded by configuration.
 *
 * Taken bytes move to the loop's scratch memory, which lives as long as they must: until the turn's
 * end. Runs on: the client's reactor.
 */
#include <string.h>

#include "client.h"
#include "sessions.h"
#include "weir/base/arena.h"
#include "weir/base/slab.h"

struct held_piece {
    struct held_piece *next;
    uint32_t start, end; /* of bytes: what is held */
    uint32_t size;
    bool small; /* from the slab */
    uint8_t bytes[];
};

static struct held_piece *piece_new(struct client *c)
{
    struct arena *arena = c->all->config.arena;
    bool small = c->held.first == NULL;
    struct held_piece *piece = small ? slab_take(c->all->held) : arena_get(arena);

    if (piece == NULL)
        return NULL;
    piece->next = NULL;
    piece->start = piece->end = 0;
    piece->small = small;
    piece->size =
        (uint32_t)((small ? HELD_SMALL : arena_chunk_size(arena)) - sizeof(struct held_piece));
    if (c->held.last == NULL)
        c->held.first = piece;
    else
        c->held.last->next = piece;
    c->held.last = piece;
    return piece;
}

static void pop_first(struct client *c)
{
    struct held_piece *piece = c->held.first;

    c->held.first = piece->next;
    if (piece->next == NULL)
        c->held.last = NULL;
    c->held.len -= piece->end - piece->start;
    if (piece->small)
        slab_give(c->all->held, piece);
    else
        arena_put(c->all->config.arena, piece);
}

bool held_append(struct client *c, struct span data)
{
    while (data.len > 0) {
        struct held_piece *piece = c->held.last;

        if (piece == NULL || piece->end == piece->size)
            piece = piece_new(c);
        if (piece == NULL)
            return false;

        size_t room = piece->size - piece->end;
        size_t n = data.len < room ? data.len : room;

        memcpy(piece->bytes + piece->end, data.ptr, n);
        piece->end += (uint32_t)n;
        c->held.len += n;
        data = span_skip(data, n);
    }
    return true;
}

/* The end of a piece may cut a message before it can be judged, by a byte of its body at most: so
 * what begins in the first piece is shown with as much of the next one. */
bool held_peek(const struct client *c, struct span *out)
{
    const struct held_piece *piece = c->held.first, *next = piece->next;
    size_t len = piece->end - piece->start, more = next == NULL ? 0 : next->end - next->start;
    uint8_t *copy;

    if (more > PGW_HEADER_LEN)
        more = PGW_HEADER_LEN;
    copy = loop_scratch(c->thread->loop, len + more);

    if (copy == NULL)
        return false;
    memcpy(copy, piece->bytes + piece->start, len);
    if (more > 0)
        memcpy(copy + len, next->bytes + next->start, more);
    *out = span_of(copy, len + more);
    return true;
}

void held_consume(struct client *c, size_t n)
{
    ASSERT(n <= c->held.len);
    while (n > 0) {
        struct held_piece *piece = c->held.first;
        uint32_t some = piece->end - piece->start;

        if (some > n)
            some = (uint32_t)n;
        piece->start += some;
        c->held.len -= some;
        n -= some;
        if (piece->start == piece->end)
            pop_first(c);
    }
}

void held_drop(struct client *c)
{
    while (c->held.first != NULL)
        pop_first(c);
}

bool held_says_terminate(const struct client *c)
{
    struct pgw_walker walker = c->from_client;

    for (const struct held_piece *piece = c->held.first; piece != NULL; piece = piece->next) {
        struct pgw_span in = {piece->bytes + piece->start, piece->end - piece->start};
        struct pgw_piece part;

        while (in.len > 0 && pgw_walk(&walker, pgw_frontend_rules, &in, &part) == PGW_READY) {
            if (part.type == PGW_F_TERMINATE && part.ends)
                return true;
        }
        if (in.len > 0)
            return false; /* no message */
    }
    return false;
}

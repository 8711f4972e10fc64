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
    uint32_t len, size; /* of bytes: used, room */
    bool small;         /* from the slab */
    uint8_t bytes[];
};

static struct held_piece *piece_new(struct client *c)
{
    struct sessions *ss = c->all;
    bool small = c->held.first == NULL;
    struct held_piece *piece = small ? slab_take(ss->held) : arena_get(ss->config.arena);

    if (piece == NULL)
        return NULL;
    piece->next = NULL;
    piece->len = 0;
    piece->small = small;
    piece->size = (uint32_t)((small ? HELD_SMALL : arena_chunk_size(ss->config.arena)) -
                             sizeof(struct held_piece));
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
    c->held.len -= piece->len;
    if (piece->small)
        slab_give(c->all->held, piece);
    else
        arena_put(c->all->config.arena, piece);
}

bool held_append(struct client *c, struct span data)
{
    while (data.len > 0) {
        struct held_piece *piece = c->held.last;

        if (piece == NULL || piece->len == piece->size)
            piece = piece_new(c);
        if (piece == NULL)
            return false;

        size_t room = piece->size - piece->len;
        size_t n = data.len < room ? data.len : room;

        memcpy(piece->bytes + piece->len, data.ptr, n);
        piece->len += (uint32_t)n;
        c->held.len += n;
        data = span_skip(data, n);
    }
    return true;
}

bool held_take(struct client *c, struct span *out)
{
    struct held_piece *piece = c->held.first;

    *out = span_of(NULL, 0);
    if (piece == NULL)
        return false;

    uint8_t *copy = loop_scratch(c->thread->loop, piece->len);

    if (copy == NULL)
        return false;
    memcpy(copy, piece->bytes, piece->len);
    *out = span_of(copy, piece->len);
    pop_first(c);
    return true;
}

void held_drop(struct client *c)
{
    while (c->held.first != NULL)
        pop_first(c);
}

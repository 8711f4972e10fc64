#include "outq.h"

#include <string.h>

struct chunk {
    struct chunk *next;
    size_t begin, end; /* of the unsent bytes, offsets in data */
    uint8_t data[];
};

static struct chunk *push_chunk(struct sock *s, struct arena *a)
{
    struct chunk *c = arena_get(a);

    if (c == NULL)
        return NULL;
    *c = (struct chunk){0};
    if (s->tail == NULL)
        s->head = c;
    else
        s->tail->next = c;
    s->tail = c;
    return c;
}

static void pop_chunk(struct sock *s, struct arena *a)
{
    struct chunk *c = s->head;

    s->head = c->next;
    if (s->head == NULL)
        s->tail = NULL;
    arena_put(a, c);
}

bool outq_push(struct sock *s, struct arena *a, struct span data)
{
    size_t capacity = arena_chunk_size(a) - offsetof(struct chunk, data);

    while (data.len > 0) {
        struct chunk *c = s->tail;
        size_t n;

        if (c == NULL || c->end == capacity)
            c = push_chunk(s, a);
        if (c == NULL)
            return false;
        n = data.len < capacity - c->end ? data.len : capacity - c->end;
        memcpy(c->data + c->end, data.ptr, n);
        c->end += n;
        data = span_skip(data, n);
    }
    return true;
}

struct span outq_front(const struct sock *s)
{
    ASSERT(s->head != NULL);
    return span_of(s->head->data + s->head->begin, s->head->end - s->head->begin);
}

int outq_iovec(const struct sock *s, struct iovec *iov, int max)
{
    int n = 0;

    for (struct chunk *c = s->head; c != NULL && n < max; c = c->next)
        iov[n++] = (struct iovec){c->data + c->begin, c->end - c->begin};
    return n;
}

void outq_drop(struct sock *s, struct arena *a, size_t n)
{
    while (n > 0) {
        struct chunk *c = s->head;

        ASSERT(c != NULL);
        if (n < c->end - c->begin) {
            c->begin += n;
            return;
        }
        n -= c->end - c->begin;
        pop_chunk(s, a);
    }
}

void outq_clear(struct sock *s, struct arena *a)
{
    while (s->head != NULL)
        pop_chunk(s, a);
}

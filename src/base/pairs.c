/* A small set of names with a value each; see pairs.h. */
#include "weir/base/pairs.h"

#include <stdlib.h>

/* Above this nobody asks for more in earnest, and sums of lengths cannot wrap. */
#define BYTES_MAX (UINT32_C(1) << 24)

static uint8_t small(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

int pairs_compare(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < n; i++) {
        int difference = (int)small(a.ptr[i]) - (int)small(b.ptr[i]);

        if (difference != 0)
            return difference;
    }
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int compare(const struct pairs *p, struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order;

    if (!p->is_exact)
        return pairs_compare(a, b);
    order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return order != 0 || a.len == b.len ? order : a.len < b.len ? -1 : 1;
}

void pairs_fini(struct pairs *p)
{
    free(p->bytes);
    *p = (struct pairs){.is_exact = p->is_exact};
}

bool pairs_next(const struct pairs *p, size_t *at, struct pair *out)
{
    if (*at == p->len)
        return false;
    out->name = span_str((const char *)p->bytes + *at);
    out->value = span_str((const char *)p->bytes + *at + out->name.len + 1);
    *at += out->name.len + 1 + out->value.len + 1;
    return true;
}

/* Where the pair of this name begins, or would; *end is behind it, *out set, if it is there. */
static bool find(const struct pairs *p, struct span name, size_t *begin, size_t *end,
                 struct pair *out)
{
    size_t at = 0;

    for (*begin = 0; pairs_next(p, &at, out); *begin = at) {
        int order = compare(p, out->name, name);

        *end = at;
        if (order >= 0)
            return order == 0;
    }
    return false;
}

bool pairs_get(const struct pairs *p, struct span name, struct span *value)
{
    struct pair pair;
    size_t begin, end;

    if (!find(p, name, &begin, &end, &pair))
        return false;
    *value = pair.value;
    return true;
}

bool pairs_has(const struct pairs *p, struct span name)
{
    struct span value;

    return pairs_get(p, name, &value);
}

static bool reserve(struct pairs *p, size_t size)
{
    uint8_t *bytes;

    if (size <= p->size)
        return true;
    if (size > BYTES_MAX)
        return false;
    bytes = realloc(p->bytes, size);
    if (bytes == NULL)
        return false;
    p->bytes = bytes;
    p->size = (uint32_t)size;
    return true;
}

static void write(const struct pairs *p, uint8_t *to, struct span name, struct span value)
{
    for (size_t i = 0; i < name.len; i++)
        to[i] = p->is_exact ? name.ptr[i] : small(name.ptr[i]);
    to[name.len] = '\0';
    if (value.len > 0)
        memcpy(to + name.len + 1, value.ptr, value.len);
    to[name.len + 1 + value.len] = '\0';
}

bool pairs_put(struct pairs *p, struct span name, struct span value)
{
    struct pair old;
    size_t begin, end, n;

    if (name.len > BYTES_MAX || value.len > BYTES_MAX)
        return false;
    if (!find(p, name, &begin, &end, &old))
        end = begin;
    n = name.len + 1 + value.len + 1;
    if (!reserve(p, p->len - (end - begin) + n))
        return false;
    if (p->len > end)
        memmove(p->bytes + begin + n, p->bytes + end, p->len - end);
    write(p, p->bytes + begin, name, value);
    p->len = (uint32_t)(p->len - (end - begin) + n);
    return true;
}

void pairs_remove(struct pairs *p, struct span name)
{
    struct pair old;
    size_t begin, end;

    if (!find(p, name, &begin, &end, &old))
        return;
    memmove(p->bytes + begin, p->bytes + end, p->len - end);
    p->len -= (uint32_t)(end - begin);
}

bool pairs_copy(struct pairs *to, const struct pairs *from)
{
    if (!reserve(to, from->len))
        return false;
    if (from->len > 0)
        memcpy(to->bytes, from->bytes, from->len);
    to->len = from->len;
    return true;
}

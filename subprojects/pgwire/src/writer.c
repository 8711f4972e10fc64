#include "pgwire/writer.h"

#include <string.h>

#include "pgwire/endian.h"
#include "pgwire/proto.h"

/* Room for len bytes at the end of what is written, or NULL. */
static uint8_t *take(struct pgw_writer *w, size_t len)
{
    if (w->full || w->size - w->len < len) {
        w->full = true;
        return NULL;
    }

    uint8_t *room = w->buf + w->len;

    w->len += len;
    return room;
}

void pgw_writer_u8(struct pgw_writer *w, uint8_t v)
{
    uint8_t *room = take(w, sizeof(v));

    if (room != NULL)
        *room = v;
}

void pgw_writer_u16(struct pgw_writer *w, uint16_t v)
{
    uint8_t *room = take(w, sizeof(v));

    if (room != NULL)
        pgw_store_u16(room, v);
}

void pgw_writer_u32(struct pgw_writer *w, uint32_t v)
{
    uint8_t *room = take(w, sizeof(v));

    if (room != NULL)
        pgw_store_u32(room, v);
}

void pgw_writer_bytes(struct pgw_writer *w, struct pgw_span bytes)
{
    uint8_t *room = bytes.len > 0 ? take(w, bytes.len) : NULL;

    if (room != NULL)
        memcpy(room, bytes.ptr, bytes.len);
}

void pgw_writer_string(struct pgw_writer *w, struct pgw_span text)
{
    if (text.len > 0 && memchr(text.ptr, 0, text.len) != NULL)
        w->full = true;
    pgw_writer_bytes(w, text);
    pgw_writer_u8(w, 0);
}

void pgw_writer_begin(struct pgw_writer *w, uint8_t type)
{
    w->start = w->len;
    pgw_writer_u8(w, type);
    pgw_writer_u32(w, 0);
}

void pgw_writer_begin_untyped(struct pgw_writer *w)
{
    w->start = w->len;
    pgw_writer_u32(w, 0);
}

/* The length word is n_before bytes into the message and does not count them. */
static void end_message(struct pgw_writer *w, size_t n_before)
{
    size_t length = w->len - w->start - n_before;

    if (w->full || length > INT32_MAX) {
        w->full = true;
        w->len = w->start;
        return;
    }
    pgw_store_u32(w->buf + w->start + n_before, (uint32_t)length);
}

void pgw_writer_end(struct pgw_writer *w)
{
    end_message(w, PGW_TYPE_LEN);
}

void pgw_writer_end_untyped(struct pgw_writer *w)
{
    end_message(w, 0);
}

/* Whole messages out of pieces; see intake.h. */
#include "intake.h"

#include <stdlib.h>
#include <string.h>

#include "weir/auth/wire.h"

#define SIZE_MIN 4096

void intake_fini(struct intake *in)
{
    free(in->bytes);
    *in = (struct intake){NULL, 0, 0};
}

static const char *keep(struct intake *in, struct pgw_span data, size_t max)
{
    size_t need = in->n + data.len, size = in->size == 0 ? SIZE_MIN : in->size;
    uint8_t *bytes;

    if (data.len == 0)
        return NULL;
    if (need > max)
        return "it says too much at a time";
    while (size < need)
        size *= 2;
    if (size > in->size) {
        bytes = realloc(in->bytes, size);
        if (bytes == NULL)
            return "no memory";
        in->bytes = bytes;
        in->size = size;
    }
    memcpy(in->bytes + in->n, data.ptr, data.len);
    in->n = need;
    return NULL;
}

/* Moves *data past what is whole. */
static const char *take_whole(struct pgw_span *data, intake_take *take, void *ctx)
{
    enum pgw_answer answer = PGW_READY;
    const char *why = NULL;
    struct pgw_frame frame;

    while (why == NULL && (answer = pgw_frame_next(pgw_backend_rules, data, &frame)) == PGW_READY)
        why = take(ctx, &frame);
    return answer == PGW_INVALID ? "it broke the protocol" : why;
}

const char *intake_received(struct intake *in, struct span data, size_t max, intake_take *take,
                            void *ctx)
{
    struct pgw_span left = span_out(data);
    const char *why;

    if (in->n == 0) {
        why = take_whole(&left, take, ctx);
        return why == NULL ? keep(in, left, max) : why;
    }
    why = keep(in, left, max);
    if (why != NULL)
        return why;
    left = pgw_span_of(in->bytes, in->n);
    why = take_whole(&left, take, ctx);
    memmove(in->bytes, left.ptr, left.len);
    in->n = left.len;
    return why;
}

#include "pgwire/frame.h"

#include "pgwire/endian.h"

enum pgw_answer pgw_frame_next(const struct pgw_rule *table, struct pgw_span *in,
                               struct pgw_frame *out)
{
    if (in->len < PGW_HEADER_LEN)
        return PGW_PARTIAL;

    uint8_t type = in->ptr[0];
    uint32_t length = pgw_load_u32(in->ptr + PGW_TYPE_LEN);

    if (!pgw_rule_fits(&table[type], length))
        return PGW_INVALID;
    if (in->len - PGW_TYPE_LEN < length)
        return PGW_PARTIAL;
    *out = (struct pgw_frame){
        .body = {in->ptr + PGW_HEADER_LEN, length - PGW_LENGTH_LEN},
        .type = type,
    };
    *in = pgw_span_skip(*in, PGW_TYPE_LEN + length);
    return PGW_READY;
}

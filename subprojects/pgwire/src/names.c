#include "pgwire/names.h"

#include "pgwire/reader.h"

static void read_target(struct pgw_reader *r, struct pgw_names *names)
{
    uint8_t target = pgw_reader_u8(r);

    if (target == PGW_TARGET_STATEMENT)
        names->statement = pgw_reader_string(r);
    else
        names->portal = pgw_reader_string(r);
}

/* More bytes do not make it right: Describe and Close name a portal or a statement. */
static bool is_bad_target(uint8_t type, struct pgw_span bytes)
{
    return (type == PGW_F_DESCRIBE || type == PGW_F_CLOSE) && bytes.len > 0 &&
           bytes.ptr[0] != PGW_TARGET_PORTAL && bytes.ptr[0] != PGW_TARGET_STATEMENT;
}

enum pgw_answer pgw_read_names(uint8_t type, struct pgw_span bytes, bool whole,
                               struct pgw_names *out)
{
    struct pgw_reader r = pgw_reader_of(bytes);
    struct pgw_names names = {0};

    if (is_bad_target(type, bytes))
        return PGW_INVALID;
    switch (type) {
    case PGW_F_PARSE:
        names.statement = pgw_reader_string(&r);
        break;
    case PGW_F_BIND:
        names.portal = pgw_reader_string(&r);
        names.statement = pgw_reader_string(&r);
        break;
    case PGW_F_DESCRIBE:
    case PGW_F_CLOSE:
        read_target(&r, &names);
        break;
    case PGW_F_EXECUTE:
        names.portal = pgw_reader_string(&r);
        break;
    default:
        return PGW_INVALID;
    }
    if (r.failed)
        return whole ? PGW_INVALID : PGW_PARTIAL;
    *out = names;
    return PGW_READY;
}

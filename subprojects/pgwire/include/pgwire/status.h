/* The transaction status that every ReadyForQuery carries. */
#ifndef PGWIRE_STATUS_H
#define PGWIRE_STATUS_H

#include "pgwire/span.h"

enum pgw_tx_status {
    PGW_TX_IDLE = 'I',   /* in no transaction block */
    PGW_TX_OPEN = 'T',   /* in a transaction block */
    PGW_TX_FAILED = 'E', /* in a failed one: everything but its end is refused */
};

/* Reads the body of a ReadyForQuery. INVALID: not one byte, or not one of the three. */
PGW_NODISCARD static inline enum pgw_answer pgw_read_ready_for_query(struct pgw_span body,
                                                                     enum pgw_tx_status *out)
{
    if (body.len != 1 ||
        (body.ptr[0] != PGW_TX_IDLE && body.ptr[0] != PGW_TX_OPEN && body.ptr[0] != PGW_TX_FAILED))
        return PGW_INVALID;
    *out = (enum pgw_tx_status)body.ptr[0];
    return PGW_READY;
}

#endif

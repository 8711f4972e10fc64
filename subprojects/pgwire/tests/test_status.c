#include "pgwire/status.h"

#include <criterion/criterion.h>

Test(status, only_three_bytes_are_one)
{
    for (unsigned value = 0; value < 256; value++) {
        uint8_t byte = (uint8_t)value;
        bool is_valid = value == 'I' || value == 'T' || value == 'E';
        enum pgw_tx_status status = PGW_TX_IDLE;

        cr_assert_eq(pgw_read_ready_for_query(pgw_span_of(&byte, 1), &status),
                     is_valid ? PGW_READY : PGW_INVALID);
        cr_assert_eq(status, is_valid ? value : PGW_TX_IDLE);
    }
}

Test(status, of_any_other_length_is_invalid)
{
    enum pgw_tx_status status;

    cr_assert_eq(pgw_read_ready_for_query(pgw_span_of("I", 0), &status), PGW_INVALID);
    cr_assert_eq(pgw_read_ready_for_query(pgw_span_of("II", 2), &status), PGW_INVALID);
}

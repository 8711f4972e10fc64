/* Bodies of errors and notices: the fields and the NUL behind them are all there is. */
#include "check.h"
#include "pgwire/message_backend.h"
#include "pgwire/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pgw_span body = {data, len}, left;
    struct pgw_report_fields m;
    struct pgw_field field;
    size_t n_bytes = 1;

    if (pgw_read_report(body, &m) != PGW_READY)
        return 0;
    check_inside(m.severity, m.all);
    check_inside(m.sqlstate, m.all);
    check_inside(m.message, m.all);
    CHECK(m.sqlstate.len == 0 || m.sqlstate.len == PGW_SQLSTATE_LEN);
    left = m.all;
    while (pgw_field_next(&left, &field)) {
        check_inside(field.value, m.all);
        CHECK(field.code != 0 && memchr(field.value.ptr, 0, field.value.len) == NULL);
        n_bytes += 1 + field.value.len + 1;
    }
    CHECK(left.len == 0 && n_bytes == len);
    return 0;
}

/* Startup options: every step moves on, and a buffer as long as the options is always enough. */
#include "pgwire/options.h"

#include "check.h"

static void check_setting(const struct pgw_param *p, struct pgw_span room)
{
    check_inside(p->name, room);
    check_inside(p->value, room);
    CHECK(p->name.len > 0);
    CHECK(memchr(p->name.ptr, '=', p->name.len) == NULL);
    CHECK(memchr(p->name.ptr, '-', p->name.len) == NULL);
    CHECK(p->value.ptr == p->name.ptr + p->name.len + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *buf = malloc(len + (len == 0));
    struct pgw_span in = {data, len};
    struct pgw_param p;
    enum pgw_option answer;

    CHECK(buf != NULL);
    do {
        size_t before = in.len;

        answer = pgw_options_next(&in, buf, len, &p);
        CHECK(answer != PGW_OPTION_NO_ROOM);
        CHECK(answer == PGW_OPTION_END || in.len < before);
        if (answer == PGW_OPTION_SET)
            check_setting(&p, pgw_span_of(buf, len));
    } while (answer == PGW_OPTION_SET || answer == PGW_OPTION_SWITCH);
    free(buf);
    return 0;
}

/* Reading what a server told at its login; see greetings.h. */
#include "weir/pool/greetings.h"

#include "pgwire/frame.h"
#include "pgwire/message_backend.h"
#include "weir/auth/wire.h"
#include "weir/base/pairs.h"
#include "weir/pool/pool.h"

struct pgw_span greeting_all(const struct greeting *g)
{
    return g == NULL ? pgw_span_of(NULL, 0) : pgw_span_of(g->bytes, g->len);
}

bool greeting_next(struct pgw_span *left, struct pgw_param *out)
{
    struct pgw_frame frame;

    return pgw_frame_next(pgw_backend_rules, left, &frame) == PGW_READY &&
           pgw_read_parameter_status(frame.body, out) == PGW_READY;
}

bool greeting_get(const struct greeting *g, struct span name, struct span *value)
{
    struct pgw_span left = greeting_all(g);
    struct pgw_param param;

    while (greeting_next(&left, &param)) {
        if (pairs_compare(span_in(param.name), name) == 0) {
            *value = span_in(param.value);
            return true;
        }
    }
    return false;
}

bool greeting_has(const struct greeting *g, struct span name)
{
    struct span value;

    return greeting_get(g, name, &value);
}

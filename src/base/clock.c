/*
 * Reading and printing time. No state; any thread.
 */
#include "weir/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec ts;

    /* Cannot fail: both clocks that we ask for exist on every Linux, and &ts is ours. */
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

uint64_t clock_add_ns(uint64_t now_ns, uint64_t delay_ns)
{
    return delay_ns > CLOCK_NEVER - now_ns ? CLOCK_NEVER : now_ns + delay_ns;
}

unsigned clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    unsigned ms = (unsigned)(wall_ns % NS_PER_S / NS_PER_MS);
    struct tm tm;

    /* 64 bits of nanoseconds end in the year 2554: the year has four digits and all fits. */
    (void)gmtime_r(&seconds, &tm);
    size_t len = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
    return (unsigned)len + (unsigned)snprintf(out + len, CLOCK_TEXT_SIZE - len, ".%03u UTC", ms);
}

unsigned clock_wall_text(char out[CLOCK_TEXT_SIZE])
{
    return clock_text(clock_wall_ns(), out);
}

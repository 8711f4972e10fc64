/*
 * Time. Deadlines and intervals are CLOCK_MONOTONIC in nanoseconds; wall-clock time appears only
 * in logs. A loop reads the clock once per turn (loop_now_ns()); it is read again only to set a
 * timer, before a sleep with timers armed, and for a log line.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* A deadline that never comes. */
#define CLOCK_NEVER UINT64_MAX

/* Any thread. */
uint64_t clock_now_ns(void);

/* now_ns + delay_ns, or CLOCK_NEVER where that would not fit. */
uint64_t clock_add_ns(uint64_t now_ns, uint64_t delay_ns);

/* Time of day: nanoseconds since 1970-01-01 UTC. For logs, never for deadlines. Any thread. */
uint64_t clock_wall_ns(void);

/* Writes a time of day as "2026-01-31 23:59:59.123 UTC" and a NUL; returns the length without the
 * NUL. Any thread. */
#define CLOCK_TEXT_SIZE 32
unsigned clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_SIZE]);

/* The same for now. */
unsigned clock_wall_text(char out[CLOCK_TEXT_SIZE]);

#endif

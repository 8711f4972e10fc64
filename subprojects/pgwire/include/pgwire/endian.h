/* Big-endian integers at any address: the protocol's Int16 and Int32. */
#ifndef PGWIRE_ENDIAN_H
#define PGWIRE_ENDIAN_H

#include <stdint.h>
#include <string.h>

/* Its own inverse. On a big-endian machine both do nothing. */
static inline uint16_t pgw_swap_u16(uint16_t v)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}

static inline uint32_t pgw_swap_u32(uint32_t v)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}

static inline uint16_t pgw_load_u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return pgw_swap_u16(v);
}

static inline uint32_t pgw_load_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return pgw_swap_u32(v);
}

static inline void pgw_store_u16(uint8_t *p, uint16_t v)
{
    v = pgw_swap_u16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void pgw_store_u32(uint8_t *p, uint32_t v)
{
    v = pgw_swap_u32(v);
    memcpy(p, &v, sizeof(v));
}

#endif

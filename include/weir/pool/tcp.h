/*
 * What the configuration wants of TCP, towards clients and servers alike. Pure.
 */
#ifndef WEIR_POOL_TCP_H
#define WEIR_POOL_TCP_H

#include "weir/base/clock.h"
#include "weir/conf/conf.h"
#include "weir/net/stream.h"

static inline struct stream_options tcp_options(const struct conf_weir *weir)
{
    return (struct stream_options){
        .keepalive_idle_s = (unsigned)(weir->tcp_keepalives_idle_ns / NS_PER_S),
        .keepalive_interval_s = (unsigned)(weir->tcp_keepalives_interval_ns / NS_PER_S),
        .keepalive_count = weir->tcp_keepalives_count,
        .user_timeout_ms = (unsigned)(weir->tcp_user_timeout_ns / NS_PER_MS),
    };
}

#endif

/*
 * How long the walker takes per message of a pipeline of small messages: Bind and Execute as
 * pgbench -M prepared sends them, in buffers of 16 KiB as a relay receives them. CPU time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pgwire/walker.h"

#define BUFFER_LEN ((size_t)16 * 1024)
#define N_BUFFERS ((size_t)64)
#define N_ROUNDS 400
#define BIND "B\0\0\0\x14\0P0_1\0\0\0\0\1\0\0\0\0\0\0"
#define EXECUTE "E\0\0\0\x09\0\0\0\0\0"

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns the number of messages that ended in the stream. */
static size_t walk_stream(const uint8_t *stream, uint64_t *n_body_bytes)
{
    struct pgw_walker w = {0};
    struct pgw_piece piece;
    size_t n_messages = 0;

    for (size_t i = 0; i < N_BUFFERS; i++) {
        struct pgw_span in = {stream + i * BUFFER_LEN, BUFFER_LEN};

        while (pgw_walk(&w, pgw_frontend_rules, &in, &piece) == PGW_READY) {
            n_messages += piece.ends;
            *n_body_bytes += pgw_piece_body(&piece).len;
        }
    }
    return n_messages;
}

int main(void)
{
    static const uint8_t pair[] = BIND EXECUTE;
    const size_t pair_len = sizeof(pair) - 1, stream_len = N_BUFFERS * BUFFER_LEN;
    uint8_t *stream = malloc(stream_len);
    uint64_t n_body_bytes = 0;
    size_t n_messages = 0;

    if (stream == NULL)
        return 1;
    for (size_t at = 0; at < stream_len; at += pair_len)
        memcpy(stream + at, pair, stream_len - at < pair_len ? stream_len - at : pair_len);

    double start = cpu_s();

    for (unsigned round = 0; round < N_ROUNDS; round++)
        n_messages += walk_stream(stream, &n_body_bytes);

    double took = cpu_s() - start;

    printf("%zu messages, %llu body bytes: %.2f ns per message, %.0f million messages/s\n",
           n_messages, (unsigned long long)n_body_bytes, took * 1e9 / (double)n_messages,
           (double)n_messages / took / 1e6);
    free(stream);
    return 0;
}

/*
 * Writes seeds for the fuzz targets: every message of the tests' tables, alone and as a stream, and
 * the first packets and options that a client can send. Usage: pgwire_seeds CORPUS, a folder that
 * has a folder per target. Seeds that PostgreSQL itself sent (recorded-*) come from no program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages.h"
#include "pgwire/build.h"

static void write_seed(const char *folder, const char *name, struct pgw_span bytes)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.bin", folder, name);
    for (char *p = path + strlen(folder); p < path + strlen(path) - strlen(".bin"); p++) {
        if (strchr(" ,.", *p) != NULL)
            *p = '-';
    }
    f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes.ptr, 1, bytes.len, f) != bytes.len || fclose(f) != 0) {
        perror(path);
        exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
    }
}

static void write_messages(const char *corpus, const char *target, const struct message *messages,
                           size_t n)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s/%s", corpus, target);
    for (size_t i = 0; i < n; i++)
        write_seed(folder, messages[i].name, message_span(&messages[i]));
}

/* A stream of all messages behind the walker target's two bytes: direction, and how it is cut. */
static void write_stream(const char *corpus, const char *name, uint8_t direction, uint8_t cut)
{
    const struct message *messages = direction == 0 ? frontend_messages : backend_messages;
    size_t n = direction == 0 ? n_frontend_messages : n_backend_messages, len = 2;
    uint8_t stream[4096] = {direction, cut};
    char folder[512];

    snprintf(folder, sizeof(folder), "%s/walker", corpus);
    for (size_t i = 0; i < n; i++) {
        if (messages[i].len > sizeof(stream) - len)
            abort();
        memcpy(stream + len, messages[i].bytes, messages[i].len);
        len += messages[i].len;
    }
    write_seed(folder, name, pgw_span_of(stream, len));
}

static void write_reports(const char *corpus)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s/report", corpus);
    write_seed(folder, "error", backend_body("ErrorResponse"));
    write_seed(folder, "notice", backend_body("NoticeResponse"));
}

static void write_startups(const char *corpus)
{
    const struct pgw_param params[] = {
        {pgw_span_str("user"), pgw_span_str("joe")},
        {pgw_span_str("database"), pgw_span_str("app")},
        {pgw_span_str("options"), pgw_span_str("-c geqo=off")},
        {pgw_span_str("_pq_.command_tag_format"), pgw_span_str("fixed")},
        {pgw_span_str("replication"), pgw_span_str("database")},
    };
    const char key[] = "0123456789abcdef0123456789abcdef";
    uint8_t buf[512];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    char folder[512];

    snprintf(folder, sizeof(folder), "%s/startup", corpus);
    for (size_t n = 0; n <= sizeof(params) / sizeof(params[0]); n++) {
        char name[32];

        snprintf(name, sizeof(name), "session-%zu", n);
        pgw_build_startup(&w, n % 2 == 0 ? PGW_VERSION_3_0 : PGW_VERSION_3_2, params, n);
        write_seed(folder, name, pgw_writer_span(&w));
        pgw_writer_clear(&w);
    }
    pgw_build_startup(&w, PGW_VERSION(2, 0), params, 1);
    write_seed(folder, "protocol-2", pgw_writer_span(&w));
    pgw_writer_clear(&w);
    pgw_build_request(&w, PGW_CODE_SSL);
    write_seed(folder, "ssl", pgw_writer_span(&w));
    pgw_writer_clear(&w);
    pgw_build_request(&w, PGW_CODE_GSSENC);
    write_seed(folder, "gssenc", pgw_writer_span(&w));
    pgw_writer_clear(&w);
    pgw_build_cancel(&w, 4660, pgw_span_of(key, 4));
    write_seed(folder, "cancel", pgw_writer_span(&w));
    pgw_writer_clear(&w);
    pgw_build_cancel(&w, 4660, pgw_span_str(key));
    write_seed(folder, "cancel-3-2", pgw_writer_span(&w));
}

static void write_options(const char *corpus)
{
    const char *const options[] = {
        "-c geqo=off",
        "-cgeqo=off --work-mem=4MB",
        "-c search_path=a\\ b,\\\\c",
        "-e -fs --a=b",
        "-- word",
        "  -c",
        "--statement-timeout=1min -c\tTimeZone=UTC",
    };
    char folder[512], name[32];

    snprintf(folder, sizeof(folder), "%s/options", corpus);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        snprintf(name, sizeof(name), "options-%zu", i);
        write_seed(folder, name, pgw_span_str(options[i]));
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 1;
    }
    write_messages(argv[1], "frontend", frontend_messages, n_frontend_messages);
    write_messages(argv[1], "backend", backend_messages, n_backend_messages);
    write_stream(argv[1], "client-whole", 0, 0);
    write_stream(argv[1], "client-cut-small", 0, 4);
    write_stream(argv[1], "client-cut-large", 0, 60);
    write_stream(argv[1], "server-whole", 1, 0);
    write_stream(argv[1], "server-cut-small", 1, 4);
    write_stream(argv[1], "server-cut-large", 1, 60);
    write_reports(argv[1]);
    write_startups(argv[1]);
    write_options(argv[1]);
    return 0;
}

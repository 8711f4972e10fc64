/*
 * Any startup packet: what a client chooses with it becomes statements that say the same again,
 * whatever bytes are in it, and nothing but that. The first byte of the input says how much of it
 * is what the server has already.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/session/choice.h"
#include "../../src/session/difference.h"
#include "weir/auth/wire.h"
#include "weir/pool/settable.h"

/* What is left of the text. */
struct reader {
    const char *at;
    const char *end;
};

static bool take(struct reader *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static uint8_t digit(char c)
{
    ASSERT((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
    return (uint8_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* As PostgreSQL reads E'': what it means is the expected value. */
static void expect_string(struct reader *r, struct span expected)
{
    size_t n = 0;

    ASSERT(take(r, "E'"));
    while (!(r->at[0] == '\'' && r->at[1] != '\'')) {
        uint8_t c = (uint8_t)*r->at;

        ASSERT(c < 0x80 && n < expected.len);
        if (take(r, "\\x")) {
            c = (uint8_t)(digit(r->at[0]) << 4 | digit(r->at[1]));
            ASSERT(c >= 0x80);
            r->at += 2;
        } else if (c == '\'' || c == '\\') {
            ASSERT((uint8_t)r->at[1] == c);
            r->at += 2;
        } else {
            r->at++;
        }
        ASSERT(expected.ptr[n++] == c);
    }
    r->at++;
    ASSERT(n == expected.len);
}

static void expect_name(struct reader *r, struct span expected)
{
    ASSERT(take(r, "\""));
    for (size_t n = 0; n < expected.len; n++) {
        const char letter[] = {(char)expected.ptr[n], '\0'};

        ASSERT(letter[0] != '"' && take(r, letter[0] == '.' ? "\".\"" : letter));
    }
    ASSERT(take(r, "\""));
}

static void expect_change(struct reader *r, const struct change *change)
{
    if (take(r, "SELECT pg_catalog.set_config(")) {
        expect_string(r, change->name);
        ASSERT(take(r, ","));
        expect_string(r, change->value);
        ASSERT(take(r, ",false)"));
    } else if (change->resets) {
        ASSERT(take(r, "RESET "));
        expect_name(r, change->name);
    } else {
        ASSERT(take(r, "SET "));
        expect_name(r, change->name);
        ASSERT(take(r, "="));
        expect_string(r, change->value);
    }
    ASSERT(take(r, ";"));
}

static void check_text(const struct difference *d)
{
    size_t size = difference_max_len(d);
    char *buf = malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);
    struct difference walk = *d;
    struct change change;

    ASSERT(buf != NULL);
    difference_build(&w, *d, true);
    ASSERT(!w.full && buf[w.len - 1] == '\0' && memchr(buf + 5, '\0', w.len - 6) == NULL);

    struct reader r = {buf + 5, buf + w.len - 1};

    uint32_t n_before = 1;

    ASSERT(take(&r, "SET exit_on_error=on;"));
    n_before += take(&r, "SET statement_timeout=0;") ? 1 : 0;
    n_before += take(&r, "RESET SESSION AUTHORIZATION;RESET ROLE;") ? 2 : 0;
    ASSERT(n_before == difference_n_before(d));
    while (difference_next(&walk, &change))
        expect_change(&r, &change);
    ASSERT(take(&r, "RESET exit_on_error") && r.at == r.end);
    free(buf);
}

/* False: it was refused, or is no startup packet. */
static bool choose(struct span packet, struct pairs *out)
{
    struct pgw_span in = span_out(packet);
    struct choice_refusal refusal;
    struct pgw_startup s;

    if (pgw_startup_next(&in, &s) != PGW_READY || s.kind != PGW_STARTUP_SESSION)
        return false;
    if (choice_read(&s, out, &refusal) == CHOICE_MADE)
        return true;
    ASSERT(strlen(refusal.sqlstate) == 5 && refusal.message[0] != '\0');
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) /* NOLINT: libFuzzer's name */
{
    struct pairs wanted = {0}, there = {0};
    struct difference d = {.wanted = &wanted, .there = &there};
    struct pair pair;
    size_t at = 0;

    if (size > 0 && choose(span_of(data + 1, size - 1), &wanted)) {
        d.doubted = (data[0] & 0x80) != 0;
        for (unsigned i = 0; pairs_next(&wanted, &at, &pair); i++) {
            ASSERT(settable_has(pair.name));
            if ((data[0] >> i % 7 & 1) != 0)
                ASSERT(pairs_put(&there, pair.name, span_str(i % 2 == 0 ? "" : "x")));
        }
        check_text(&d);
        d.wanted = &there;
        d.there = &wanted;
        check_text(&d);
    }
    pairs_fini(&wanted);
    pairs_fini(&there);
    return 0;
}

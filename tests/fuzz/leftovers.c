/*
 * Any bytes as what a server answers when it is asked what is left on it, in two pieces: what is
 * taken of it stays within its bounds, can be cleaned by a Query of the size that was told before,
 * and comes out as from one piece. The first byte says where the pieces part.
 */
#include <stdlib.h>

#include "../../src/pool/intake.h"
#include "../../src/pool/leftovers.h"
#include "pgwire/proto.h"

#define MESSAGE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

static const char *take(void *ctx, const struct pgw_frame *f)
{
    struct leftovers *l = ctx;

    if (f->type != PGW_B_DATA_ROW)
        return NULL;
    return leftovers_take(l, f->body, span_str("app")) == LEFTOVERS_TAKEN ? NULL : "refused";
}

/* NULL, or why not. */
static const char *read_all(struct leftovers *l, struct span first, struct span second)
{
    struct intake in = {NULL, 0, 0};
    const char *why;

    leftovers_init(l);
    why = intake_received(&in, first, MESSAGE_MAX, take, l);
    if (why == NULL)
        why = intake_received(&in, second, MESSAGE_MAX, take, l);
    intake_fini(&in);
    return why;
}

static void check_clean(const struct leftovers *l)
{
    size_t size = leftovers_cleaning_max(&l->dropped, &l->found.statements);
    uint8_t *buf = malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    ASSERT(buf != NULL);
    leftovers_clean(&w, STATE_ALL, &l->dropped, &l->found.statements);
    ASSERT(!w.full);
    free(buf);
}

static void check_ask(const struct leftovers *l)
{
    struct pairs names = {0};
    struct pair pair;
    size_t at = 0, size;
    struct pgw_writer w;
    uint8_t *buf;

    while (pairs_next(&l->found.settings, &at, &pair))
        if (leftovers_can_ask(pair.name))
            ASSERT(pairs_put(&names, pair.name, pair.value));
    size = leftovers_question_max(STATE_ALL, &names);
    buf = malloc(size);
    ASSERT(buf != NULL);
    w = pgw_writer_of(buf, size);
    leftovers_ask(&w, STATE_ALL, &names);
    ASSERT(!w.full);
    free(buf);
    pairs_fini(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct leftovers whole, cut;
    struct span all;
    size_t at;
    bool is_good;

    if (len == 0)
        return 0;
    all = span_of(data + 1, len - 1);
    at = (size_t)data[0] * all.len / 255;
    is_good = read_all(&whole, all, span_of(NULL, 0)) == NULL;
    ASSERT(is_good == (read_all(&cut, span_of(all.ptr, at), span_skip(all, at)) == NULL));
    if (is_good) {
        ASSERT(pairs_equal(&whole.found.settings, &cut.found.settings));
        ASSERT(pairs_equal(&whole.found.statements, &cut.found.statements));
        ASSERT(whole.found.found == cut.found.found && whole.must_reset == cut.must_reset);
    }
    ASSERT(whole.found.settings.len <= LEFTOVERS_TOTAL_MAX + 2);
    ASSERT(whole.found.statements.len <= LEFTOVERS_TOTAL_MAX + 2);
    check_clean(&whole);
    check_ask(&whole);
    leftovers_fini(&whole);
    leftovers_fini(&cut);
    return 0;
}

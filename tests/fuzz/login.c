/*
 * Any bytes from a server at which weir logs in: it comes to the same end however the bytes are
 * cut, all that it keeps of them is whole messages, and what it says is messages of a client.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/pool/dialogue.h"
#include "pgwire/frame.h"

/* A server may ask for seconds of work; here it gets none. */
#define ITERATIONS_MAX 16
/* Above this the end may depend on how much comes at once. */
#define INPUT_MAX 16384

static const char *const passwords[] = {"", "secret", "md50123456789abcdef0123456789abcdef"};
#define N_PASSWORDS (sizeof(passwords) / sizeof(passwords[0]))

struct run {
    struct dialogue dialogue;
    struct secret secret;
    enum dialogue_step step;
    bool too_slow; /* left, because the server asks for much work */
};

static void check_whole(const struct pgw_rule *rules, struct pgw_span bytes, uint8_t type)
{
    struct pgw_frame f;

    while (bytes.len > 0)
        ASSERT(pgw_frame_next(rules, &bytes, &f) == PGW_READY && f.type == type);
}

static void hear(struct run *r, struct span data)
{
    struct dialogue *d = &r->dialogue;

    r->step = dialogue_received(d, data);
    while (r->step == DIALOGUE_WORK) {
        r->too_slow = d->auth.scram.verifier.iterations > ITERATIONS_MAX;
        if (r->too_slow)
            return;
        dialogue_work(d);
        r->step = dialogue_worked(d);
    }
    check_whole(pgw_frontend_rules, pgw_writer_span(&d->out), PGW_F_PASSWORD);
    check_whole(pgw_backend_rules, pgw_span_of(d->greeting, d->greeting_len),
                PGW_B_PARAMETER_STATUS);
    ASSERT(d->key_len <= PGW_CANCEL_KEY_MAX);
    if (r->step == DIALOGUE_FAILED)
        ASSERT(strlen(d->failure.sqlstate) == 5 && strlen(d->failure.message) > 0);
}

/* Returns how many bytes were taken when it ended. */
static size_t run(struct run *r, struct keys *keys, uint8_t choice, struct span input, size_t piece)
{
    struct server_auth_config config = {.user = span_str("u"), .secret = &r->secret, .keys = keys};
    size_t from = 0;

    secret_parse(span_str(passwords[choice % N_PASSWORDS]), &r->secret);
    dialogue_init(&r->dialogue, &config, span_str("d"), span_of(NULL, 0));
    r->step = DIALOGUE_MORE;
    r->too_slow = false;
    while (from < input.len && r->step == DIALOGUE_MORE) {
        size_t n = piece < input.len - from ? piece : input.len - from;

        hear(r, span_of(input.ptr + from, n));
        from += n;
    }
    return from;
}

static void check_same(const struct run *a, const struct run *b)
{
    const struct dialogue *x = &a->dialogue, *y = &b->dialogue;

    ASSERT(a->step == b->step && a->too_slow == b->too_slow);
    ASSERT(x->pid == y->pid && x->key_len == y->key_len && memcmp(x->key, y->key, x->key_len) == 0);
    ASSERT(x->greeting_len == y->greeting_len &&
           memcmp(x->greeting, y->greeting, x->greeting_len) == 0);
    if (a->step == DIALOGUE_FAILED)
        ASSERT(memcmp(&x->failure, &y->failure, sizeof(x->failure)) == 0 &&
               x->permanent == y->permanent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct run *whole = malloc(sizeof(*whole)), *cut = malloc(sizeof(*cut));
    struct keys *keys = NULL;

    ASSERT(whole != NULL && cut != NULL && keys_new(&keys, 2) == 0);
    if (len > 2 && len <= INPUT_MAX) {
        struct span input = span_of(data + 2, len - 2);
        size_t n;

        (void)run(whole, keys, data[0], input, input.len);
        n = run(cut, keys, data[0], input, 1 + data[1] % 64);
        if (cut->step == DIALOGUE_READY && n < input.len)
            ASSERT(whole->step == DIALOGUE_FAILED); /* for what comes behind */
        else
            check_same(whole, cut);
        dialogue_fini(&whole->dialogue);
        dialogue_fini(&cut->dialogue);
    }
    keys_free(keys);
    free(whole);
    free(cut);
    return 0;
}

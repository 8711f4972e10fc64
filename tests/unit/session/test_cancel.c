/* Cancel keys: only the right one hits, and only while its client is there. */
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "front.h"
#include "pgwire/build.h"
#include "pgwire/endian.h"
#include "sessions.h"

#define QUERY "Q\0\0\0\x0dselect 1\0"

static void send_cancel_from(struct front *f, in_addr_t source, const uint8_t *key, size_t key_len)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    int fd = front_connect_from(f, source);

    pgw_build_cancel(&w, pgw_load_u32(key), pgw_span_of(key + 4, key_len - 4));
    say(fd, buf, w.len);
    hear_end(fd);
    close(fd);
    front_sync(f);
}

static void send_cancel(struct front *f, const uint8_t *key, size_t key_len)
{
    send_cancel_from(f, INADDR_LOOPBACK, key, key_len);
}

/* What a client that waits for a server is told when it is cancelled. */
static void hear_cancelled(int fd)
{
    struct heard h;

    hear(fd, &h);
    cr_assert_eq(h.type, PGW_B_ERROR_RESPONSE);
    cr_assert_not_null(memmem(h.body, h.len, "57014", 5));
    hear(fd, &h);
    cr_assert_eq(h.type, PGW_B_READY_FOR_QUERY);
}

static void await_waiting(struct front *f, int fd)
{
    say(fd, QUERY, sizeof(QUERY) - 1);
    front_sync(f);
}

FRONT_TEST(cancel, keys)
{
    struct front f;
    uint8_t key[KEY_LEN], wrong[KEY_LEN];
    uint8_t long_key[KEY_LEN + 1] = {0};
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_login(&f, "app", key);
    await_waiting(&f, fd);
    for (unsigned bit = 0; bit < 8 * KEY_LEN; bit++) {
        memcpy(wrong, key, KEY_LEN);
        wrong[bit / 8] ^= (uint8_t)(1 << bit % 8);
        send_cancel(&f, wrong, KEY_LEN);
    }
    memcpy(long_key, key, KEY_LEN);
    send_cancel(&f, long_key, sizeof(long_key));
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 0);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels_unknown), 8 * KEY_LEN + 1);
    cr_assert_eq(script_n_waiting(&f.pools.items[SCRIPT_APP]), 1, "a wrong key has hit");
    send_cancel(&f, key, KEY_LEN);
    hear_cancelled(fd);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 1);
    close(fd);
    front_await_clients(&f, 0);
    send_cancel(&f, key, KEY_LEN); /* its client has gone */
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 1);
    front_fini(&f);
}

#define LONG_LEN (4 + SHA256_LEN)

/* Logs in by this version of the protocol; the key of its BackendKeyData has key_len bytes. */
static int log_in(struct front *f, uint32_t version, uint8_t *key, size_t key_len)
{
    uint8_t buf[128];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_param params[] = {{pgw_span_str("user"), pgw_span_str(SCRIPT_USER)},
                                       {pgw_span_str("database"), pgw_span_str("app")}};
    struct heard h;
    int fd = front_connect(f);

    pgw_build_startup(&w, version, params, 2);
    say(fd, buf, w.len);
    do
        hear(fd, &h);
    while (h.type != PGW_B_BACKEND_KEY_DATA);
    cr_assert_eq(h.len, key_len);
    memcpy(key, h.body, key_len);
    hear(fd, &h);
    cr_assert_eq(h.type, PGW_B_READY_FOR_QUERY);
    return fd;
}

/* From 3.2 on, a key that is short or wrong in any bit is nobody's. */
FRONT_TEST(cancel, long_keys)
{
    struct front f;
    uint8_t key[LONG_LEN], other[LONG_LEN], old[KEY_LEN];
    int fds[3];

    front_init(&f, &(struct front_config){.engine = *engine});
    fds[0] = log_in(&f, PGW_VERSION_3_2, key, sizeof(key));
    fds[1] = log_in(&f, PGW_VERSION_3_2, other, sizeof(other));
    fds[2] = log_in(&f, PGW_VERSION(3, 1), old, sizeof(old));
    cr_assert_neq(memcmp(key + 4, other + 4, SHA256_LEN), 0);
    await_waiting(&f, fds[0]);
    for (unsigned bit = 0; bit < 8 * LONG_LEN; bit++) {
        uint8_t wrong[LONG_LEN];

        memcpy(wrong, key, LONG_LEN);
        wrong[bit / 8] ^= (uint8_t)(1 << bit % 8);
        send_cancel(&f, wrong, LONG_LEN);
    }
    memcpy(other, key, 4); /* the pid */
    send_cancel(&f, other, LONG_LEN);
    for (size_t len = KEY_LEN; len < LONG_LEN; len++)
        send_cancel(&f, key, len);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 0);
    cr_assert_eq(script_n_waiting(&f.pools.items[SCRIPT_APP]), 1, "a wrong key has hit");
    send_cancel(&f, key, LONG_LEN); /* however many wrong ones came before */
    hear_cancelled(fds[0]);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 1);
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    front_fini(&f);
}

/* Many wrong keys: more from the same address are not looked at, those from others are. */
FRONT_TEST(cancel, guesses)
{
    enum { N = 150 };
    struct front f;
    uint8_t key[KEY_LEN], wrong[KEY_LEN];
    uint64_t n_dropped;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_login(&f, "app", key);
    await_waiting(&f, fd);
    memcpy(wrong, key, KEY_LEN);
    wrong[KEY_LEN - 1] ^= 1;
    for (unsigned i = 0; i < N; i++)
        send_cancel(&f, wrong, KEY_LEN);
    n_dropped = FRONT_COUNT(&f, n_cancels_dropped);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels_unknown) + n_dropped, N);
    cr_assert_geq(FRONT_COUNT(&f, n_cancels_unknown), 100);
    cr_assert_gt(n_dropped, 0, "one more is looked at each second, and this took long");
    send_cancel_from(&f, INADDR_LOOPBACK + 1, key, KEY_LEN);
    hear_cancelled(fd);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 1);
    close(fd);
    front_fini(&f);
    cr_assert_not_null(strstr(f.text, "too many unknown cancel keys address=127.0.0.1:"));
}

/* Right keys are not counted, however many come. */
FRONT_TEST(cancel, right_keys_are_not_limited)
{
    enum { N = 150 };
    struct front f;
    uint8_t key[KEY_LEN];
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_login(&f, "app", key);
    for (unsigned i = 0; i < N; i++)
        send_cancel(&f, key, KEY_LEN);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), N);
    close(fd);
    front_fini(&f);
}

/* Slots are used again; their keys are not. */
FRONT_TEST(cancel, keys_differ)
{
    enum { N = 20 };
    uint8_t keys[N][KEY_LEN];
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (unsigned i = 0; i < N; i++) {
        close(front_login(&f, "app", keys[i]));
        front_await_clients(&f, 0);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(memcmp(keys[i] + 4, keys[j] + 4, 4), 0);
    }
    front_fini(&f);
}

/* Requests come to any reactor and find their client on its own. */
FRONT_TEST(cancel, from_other_reactors)
{
    enum { N = 6 };
    struct front f;
    uint8_t keys[N][KEY_LEN];
    int fds[N];

    front_init(&f, &(struct front_config){.engine = *engine, .n_reactors = 3});
    for (unsigned i = 0; i < N; i++) {
        fds[i] = front_login(&f, "app", keys[i]);
        await_waiting(&f, fds[i]);
    }
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(sessions_n_clients(&f.crew.threads[i % 3]), 2);
    for (unsigned i = 0; i < N; i++) {
        send_cancel(&f, keys[N - 1 - i], KEY_LEN);
        hear_cancelled(fds[N - 1 - i]);
    }
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), N);
    front_fini(&f);
}

/* Nothing runs: nothing happens, now or to the next query. */
FRONT_TEST(cancel, idle)
{
    struct front f;
    uint8_t key[KEY_LEN];
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_login(&f, "app", key);
    send_cancel(&f, key, KEY_LEN);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 1);
    await_waiting(&f, fd);
    cr_assert_eq(script_n_waiting(&f.pools.items[SCRIPT_APP]), 1);
    close(fd);
    front_fini(&f);
}

struct leaver {
    struct sessions *sessions;
    const uint8_t *key;
};

/* The request is on its way when the client goes. */
static void cancel_and_close(struct thread *self, void *ctx)
{
    const struct leaver *l = ctx;
    uint32_t pid = pgw_load_u32(l->key);
    struct client *c = slab_at(l->sessions->clients, pid - 1);

    (void)self;
    cancel_request(c, pid, span_of(l->key + 4, 4));
    client_close(c, "test");
}

FRONT_TEST(cancel, client_leaves_first)
{
    struct front f;
    uint8_t key[KEY_LEN];
    struct leaver l = {.key = key};
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    l.sessions = f.sessions;
    fd = front_login(&f, "app", key);
    await_waiting(&f, fd);
    front_do(&f, 0, cancel_and_close, &l);
    front_await_clients(&f, 0);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels), 0);
    cr_assert_eq(FRONT_COUNT(&f, n_cancels_unknown), 1);
    close(fd);
    front_fini(&f);
}

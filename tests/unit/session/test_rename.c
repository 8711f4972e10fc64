/*
 * What a client's messages about prepared statements become for its server, and what its answers do
 * to names. Loop, socket and store are stand-ins; what is sent is told in words:
 *
 *   P NAME TEXT   Parse            B NAME, D NAME, C NAME   Bind, Describe and Close of a statement
 *   Q TEXT        Query            S                        Sync
 *
 * NAME is - for the unnamed statement. Statements get the numbers 1, 2, ... as they are first
 * named.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "effect.h"
#include "link.h"
#include "pgwire/build.h"
#include "pgwire/proto.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/pool/prepared.h"
#include "weir/pool/statements.h"

#define N_STATEMENTS 40
#define SENT_MAX 4096

struct text {
    struct statement statement;
    int settings; /* those there were */
    char parse[32];
};

static struct text texts[N_STATEMENTS];
static int n_refs[N_STATEMENTS];
static unsigned n_texts;
static size_t room_got;
static bool is_full;
static uint32_t epoch = 1;
static int settings = 1;
static struct conf_policy policy = {.pool_mode = CONF_TRANSACTION};
static uint8_t sent[SENT_MAX];
static size_t n_sent;

/* ---- the stand-ins ---- */

const struct conf_policy *pool_policy(const struct pool *p)
{
    (void)p;
    return &policy;
}

void *loop_scratch(struct loop *l, size_t len)
{
    static uint8_t scratch[1 << 16];
    static size_t n;

    (void)l;
    n = n + len > sizeof(scratch) ? 0 : n;
    n += len;
    return scratch + n - len;
}

size_t loop_scratch_max(const struct loop *l)
{
    (void)l;
    return 1 << 12;
}

void sock_send(struct sock *s, struct span data)
{
    (void)s;
    cr_assert_leq(n_sent + data.len, sizeof(sent));
    memcpy(sent + n_sent, data.ptr, data.len);
    n_sent += data.len;
}

void link_send_query(struct client *c, const char *text)
{
    (void)c;
    cr_assert_fail("%s", text);
}

struct span statement_parse(const struct statement *s)
{
    return span_of(texts[s->id - 1].parse, s->len);
}

unsigned statement_name(uint64_t id, char out[STATEMENT_NAME_SIZE])
{
    return (unsigned)snprintf(out, STATEMENT_NAME_SIZE, "weir_%lx", (unsigned long)id);
}

struct statement *statements_intern(struct statements *ss, struct thread *self, struct span parse,
                                    uint64_t context)
{
    unsigned i = 0;

    (void)ss, (void)self;
    if (is_full)
        return NULL;
    while (i < n_texts && (!span_equal(statement_parse(&texts[i].statement), parse) ||
                           texts[i].settings != settings))
        i++;
    if (i == n_texts) {
        texts[i].statement = (struct statement){.id = i + 1, .context = context, .len = parse.len};
        texts[i].settings = settings;
        memcpy(texts[i].parse, parse.ptr, parse.len);
        n_texts++;
    }
    n_refs[i]++;
    return &texts[i].statement;
}

void statement_put(struct statements *ss, struct thread *self, struct statement *s)
{
    (void)ss, (void)self;
    if (s != NULL)
        cr_assert_geq(--n_refs[s->id - 1], 0);
}

bool statements_get_room(struct statements *ss, struct thread *self, size_t n_bytes)
{
    (void)ss, (void)self;
    if (is_full)
        return false;
    room_got += n_bytes;
    return true;
}

void statements_put_room(struct statements *ss, size_t n_bytes)
{
    (void)ss;
    cr_assert_geq(room_got, n_bytes);
    room_got -= n_bytes;
}

uint32_t statements_epoch(const struct statements *ss)
{
    (void)ss;
    return epoch;
}

void statements_end_epoch(struct statements *ss)
{
    (void)ss;
    epoch++;
}

size_t statements_max_bytes(const struct statements *ss)
{
    (void)ss;
    return SIZE_MAX;
}

/* ---- a client and its server ---- */

struct linked {
    struct shard shard;
    struct client c;
    struct sessions all;
    struct thread thread;
    struct server *s;
};

static void pair_init(struct linked *p, uint32_t max)
{
    memset(p, 0, sizeof(*p));
    policy.max_prepared_statements = max;
    p->s = calloc(1, sizeof(*p->s));
    pgw_reply_init(&p->s->replies, p->s->ring, SERVER_REPLIES, PGW_TX_IDLE);
    p->c.all = &p->all;
    p->c.shard = &p->shard;
    p->c.thread = &p->thread;
    p->c.server = p->s;
    p->c.settings.context = 1;
}

/* Everything is given back, whatever is under way. */
static void pair_fini(struct linked *p)
{
    rename_part(&p->c);
    rename_free(&p->c);
    prepared_free(p->s->prepared);
    free(p->s);
    cr_assert_eq(room_got, 0);
    for (unsigned i = 0; i < n_texts; i++)
        cr_assert_eq(n_refs[i], 0, "statement %u has %d references", i + 1, n_refs[i]);
}

static const char *name_said(const char *name)
{
    return strcmp(name, "-") == 0 ? "" : name;
}

/* The body of a message in words; returns its length. */
static size_t encode(uint8_t type, const char *name, const char *text, uint8_t body[256])
{
    struct pgw_writer w = pgw_writer_of(body, 256);

    if (type == PGW_F_DESCRIBE || type == PGW_F_CLOSE)
        pgw_writer_u8(&w, PGW_TARGET_STATEMENT);
    if (type == PGW_F_BIND)
        pgw_writer_u8(&w, '\0');
    if (type != PGW_F_QUERY)
        pgw_writer_bytes(&w, pgw_span_of(name, strlen(name) + 1));
    if (type == PGW_F_QUERY || type == PGW_F_PARSE)
        pgw_writer_bytes(&w, pgw_span_of(text, strlen(text) + 1));
    if (type == PGW_F_PARSE)
        pgw_writer_bytes(&w, pgw_span_of("\0\0", 2));
    if (type == PGW_F_BIND)
        pgw_writer_bytes(&w, pgw_span_of("\0\0\0\0\0\0", 6));
    cr_assert_not(w.full);
    return w.len;
}

static void send_as_it_is(uint8_t type, const uint8_t *body, size_t len)
{
    uint8_t header[PGW_HEADER_LEN] = {type};

    pgw_store_u32(header + 1, (uint32_t)len + PGW_LENGTH_LEN);
    sock_send(NULL, span_of(header, sizeof(header)));
    sock_send(NULL, span_of(body, len));
}

/* Appends what was sent, in words. */
static void tell_sent(char *out, size_t size)
{
    struct pgw_span in = {sent, n_sent};

    out[0] = '\0';
    while (in.len > 0) {
        uint32_t length = pgw_load_u32(in.ptr + 1);
        const char *body = (const char *)in.ptr + PGW_HEADER_LEN;
        uint8_t type = in.ptr[0];
        size_t n = strlen(out);
        bool has_prefix = type == PGW_F_BIND || type == PGW_F_DESCRIBE || type == PGW_F_CLOSE;
        const char *name = has_prefix ? body + 1 : body;
        const char *said = type == PGW_F_SYNC ? "" : name[0] == '\0' ? "-" : name;

        cr_assert_leq(length + 1, in.len);
        snprintf(out + n, size - n, "%s%c%s%s", n == 0 ? "" : ", ", type, said[0] ? " " : "", said);
        n = strlen(out);
        if (type == PGW_F_PARSE)
            snprintf(out + n, size - n, " %s", name + strlen(name) + 1);
        in = pgw_span_skip(in, length + 1);
    }
}

/* A message in words; "wait" in out if it has to. */
static void say(struct linked *p, const char *words, char *out, size_t size)
{
    char name[100] = "", text[100] = "";
    uint8_t type = (uint8_t)words[0], body[256];
    size_t len;

    n_sent = 0;
    if (type == PGW_F_QUERY)
        snprintf(text, sizeof(text), "%s", words + 2);
    else
        sscanf(words + 1, "%99s %99[^\n]", name, text);
    len = encode(type, name_said(name), text, body);
    if (type == PGW_F_SYNC) {
        cr_assert_eq(pgw_reply_sent(&p->s->replies, PGW_REPLY_SYNC, PGW_REPLY_FORWARD, 0),
                     PGW_REPLY_NOTED);
        rename_synced(&p->c);
        send_as_it_is(type, body, 0);
    } else {
        cr_assert(rename_concerns(&p->c, type));
        switch (rename_message(&p->c, type, (uint32_t)len, pgw_span_of(body, len))) {
        case RENAME_AS_IT_IS:
            send_as_it_is(type, body, len);
            break;
        case RENAME_REPLACED:
            break;
        case RENAME_WAIT:
            snprintf(out, size, "wait");
            return;
        case RENAME_FAILED:
            cr_assert_fail("%s failed", words);
        }
    }
    tell_sent(out, size);
}

/* Answers of the server, and after each what weir answers itself, which goes to out. */
static void answer(struct linked *p, const char *letters, char *out)
{
    struct pgw_reply_queue *q = &p->s->replies;
    size_t n = 0;

    for (;;) {
        while (pgw_reply_is_due(q)) {
            struct pgw_reply_entry entry = pgw_reply_make_up(q);
            uint8_t buf[64];
            struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

            rename_make_up(&p->c, &entry, &w);
            out[n++] = (char)buf[0];
        }
        out[n] = '\0';
        if (*letters == '\0')
            return;

        uint8_t letter = (uint8_t)*letters++;
        uint8_t detail = letter == 'Z' ? PGW_TX_IDLE : letter == 'E' ? 'E' : 0;
        struct pgw_reply_verdict verdict;

        cr_assert_neq(pgw_reply_received(q, letter, detail, &verdict), PGW_REPLY_VIOLATION,
                      "%c of %s", letter, letters);
        rename_answered(&p->c, letter, &verdict);
    }
}

/* ---- conversations ---- */

/* A message, and what is to be sent for it; or "<" and letters that come, and what weir answers
 * itself; or "tag" and a tag that comes; or "full" and whether the store is; or "settings" and the
 * number of those that there are. NULL ends it. */
struct line {
    const char *say, *wanted;
};

static void play(uint32_t max, const struct line *lines)
{
    struct linked p;
    char got[SENT_MAX];

    settings = 1;
    pair_init(&p, max);
    for (unsigned i = 0; lines[i].say != NULL; i++) {
        const struct line *l = &lines[i];

        if (strcmp(l->say, "full") == 0) {
            is_full = strcmp(l->wanted, "yes") == 0;
            continue;
        }
        if (strcmp(l->say, "settings") == 0) {
            settings = l->wanted[0] - '0';
            p.c.settings.context = (uint64_t)settings;
            continue;
        }
        if (strcmp(l->say, "tag") == 0) {
            rename_completed(&p.c, pgw_span_of(l->wanted, strlen(l->wanted) + 1));
            continue;
        }
        if (l->say[0] == '<')
            answer(&p, l->say + 2, got);
        else
            say(&p, l->say, got, sizeof(got));
        cr_assert_str_eq(got, l->wanted, "line %u, %s: %s, not %s", i, l->say, got, l->wanted);
    }
    pair_fini(&p);
}

#define PLAY(max, ...) play((max), (const struct line[]){__VA_ARGS__, {NULL, NULL}})

Test(rename, names_and_answers_of_its_own)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"B a", "B weir_1"}, {"D a", "D weir_1"}, {"S", "S"},
         {"< 12tnZ", ""}, {"P b x", ""}, {"< ", "1"}, {"B b", "B weir_1"}, {"S", "S"}, {"< 2Z", ""},
         {"C a", ""}, {"< ", "3"}, {"B a", "B a"}, {"< E", ""}, {"S", "S"}, {"< Z", ""},
         {"B b", "B weir_1"});
}

Test(rename, not_answered_while_something_is_owed)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"P b x", "C weir_1, P weir_1 x"}, {"C a", ""}, {"S", "S"},
         {"< 131", "3"}, {"< Z", ""}, {"B b", "B weir_1"}, {"B a", "B a"});
}

Test(rename, taken_names)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"P a y", "C weir_0, P weir_0 , P weir_0 y"}, {"S", "S"},
         {"< 131E", ""}, {"< Z", ""}, {"B a", "B weir_1"});
}

/* What stands for the Parse fails, and so does what is behind it. */
Test(rename, no_room)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"full", "yes"}, {"P b y", "B weir_unknown"}, {"B b", "B b"},
         {"S", "S"}, {"< 1E", ""}, {"< Z", ""}, {"full", "no"}, {"P b y", "P weir_2 y"},
         {"B a", "B weir_1"});
}

/* What is sent for a name under other settings is awaited as what was prepared is. */
Test(rename, under_other_settings)
{
    PLAY(2, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""}, {"settings", "2"},
         {"B a", "B weir_1"}, {"P b y", "P weir_2 y"}, {"P c z", "C weir_1, P weir_3 z"},
         {"S", "S"}, {"< 2131Z", ""}, {"B a", "C weir_2, P weir_4 x, B weir_4"}, {"S", "S"},
         {"B a", "wait"}, {"< 31", ""}, {"B a", "B weir_4"});
}

/* Who prepares anew gets what there is now. */
Test(rename, tables_altered)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""}, {"P b x", ""}, {"< ", "1"},
         {"Q y", "Q y"}, {"tag", "SELECT 1"}, {"< CZ", ""}, {"P c x", ""}, {"< ", "1"},
         {"Q y", "Q y"}, {"tag", "ALTER TABLE"}, {"< C", ""}, {"P d x", "C weir_1, P weir_1 x"},
         {"< Z31", ""}, {"S", "S"}, {"< Z", ""}, {"P e x", "C weir_1, P weir_1 x"}, {"S", "S"},
         {"< 31Z", ""}, {"P f x", ""}, {"< ", "1"});
}

Test(rename, names_like_ours)
{
    PLAY(9, {"B weir_1", "B weir_unknown"}, {"D weir_", "D weir_unknown"},
         {"C weir_0", "C weir_unknown"}, {"P weir_7 x", "P weir_1 x"}, {"B weir_7", "B weir_1"});
}

Test(rename, room)
{
    PLAY(2, {"P a x", "P weir_1 x"}, {"P b y", "P weir_2 y"}, {"B a", "B weir_1"},
         {"P c z", "C weir_2, P weir_3 z"}, {"B a", "B weir_1"},
         {"B b", "C weir_3, P weir_2 y, B weir_2"}, {"S", "S"}, {"< 112", ""}, {"< 312", ""},
         {"< 312Z", ""});
}

Test(rename, undone_in_reverse)
{
    PLAY(1, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""}, /* then all is skipped */
         {"B no", "B no"}, {"C a", ""}, {"P a y", "C weir_1, P weir_2 y"}, {"C a", ""},
         {"P a z", "C weir_2, P weir_3 z"}, {"S", "S"}, {"< EZ", ""}, {"B a", "B weir_1"});
}

Test(rename, waits_for_earlier_batches)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"B a", "B weir_1"}, {"S", "S"}, {"B a", "wait"},
         {"P a y", "wait"}, {"C a", "wait"}, {"Q deallocate a", "wait"}, {"P b x", "wait"},
         {"P b y", "P weir_2 y"}, {"< 1", ""}, {"B a", "B weir_1"}, {"< 2Z12", ""});
    PLAY(9, {"P a x", "P weir_1 x"}, {"S", "S"}, {"B a", "wait"}, {"< EZ", ""}, {"B a", "B a"});
}

Test(rename, waits_for_what_must_go)
{
    PLAY(1, {"P a p", "P weir_1 p"}, {"S", "S"}, {"P b q", "wait"}, {"< 1Z", ""},
         {"P b q", "C weir_1, P weir_2 q"}, {"S", "S"}, {"B a", "wait"}, {"< 31Z", ""},
         {"B a", "C weir_2, P weir_1 p, B weir_1"});
    PLAY(2, {"P a p", "P weir_1 p"}, {"P b q", "P weir_2 q"}, {"S", "S"}, {"< 11Z", ""},
         {"P c r", "C weir_1, P weir_3 r"}, {"S", "S"}, {"B a", "wait"}, {"< 3", ""},
         {"B a", "C weir_2, P weir_1 p, B weir_1"});
}

Test(rename, unnamed)
{
    PLAY(9, {"P - x", "P - x"}, {"B -", "B -"}, {"S", "S"}, {"< 12Z", ""}, {"B -", "B -"},
         {"Q y", "Q y"}, {"B -", "B -"}, {"< 2CZE", ""}, {"S", "S"}, {"< Z", ""});
    PLAY(9, {"P - x", "P - x"}, {"S", "S"}, {"B -", "wait"}, {"< 1Z", ""}, {"B -", "B -"});
}

/* Two batches in a pipeline; the first is skipped. Then an earlier statement is there again. */
Test(rename, unnamed_undone_in_front_of_another)
{
    struct linked p;
    char got[SENT_MAX];
    static const char *const words[] = {"P - x", "S", "B no", "P - y", "S", "P - z", "S"};

    pair_init(&p, 9);
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        say(&p, words[i], got, sizeof(got));
        if (i == 1)
            answer(&p, "1Z", got);
    }
    answer(&p, "EZ", got);
    cr_assert_eq(p.c.prepares->unnamed_id, 3);
    answer(&p, "EZ", got); /* and the second fails */
    cr_assert_eq(p.c.prepares->unnamed_id, 0);
    cr_assert_null(p.c.prepares->unnamed);
    say(&p, "B -", got, sizeof(got)); /* nobody knows whose the server has */
    cr_assert_str_eq(got, "C -, B -");
    pair_fini(&p);
}

/* Another client's is never bound. */
Test(rename, unnamed_of_another)
{
    struct linked p;
    char got[SENT_MAX];

    pair_init(&p, 9);
    p.s->unnamed = 77;
    say(&p, "B -", got, sizeof(got));
    cr_assert_str_eq(got, "C -, B -");
    answer(&p, "3E", got);
    cr_assert_eq(p.s->unnamed, 0);
    say(&p, "S", got, sizeof(got));
    answer(&p, "Z", got);
    say(&p, "P - x", got, sizeof(got));
    say(&p, "S", got, sizeof(got));
    answer(&p, "1Z", got);
    p.s->unnamed = 77;
    say(&p, "D -", got, sizeof(got));
    cr_assert_str_eq(got, "P - x, D -");
    answer(&p, "E", got); /* before the Parse was looked at, or by it */
    cr_assert(p.s->unnamed != 77 && p.s->unnamed != 1);
    pair_fini(&p);
}

Test(rename, deallocated)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"P b y", "P weir_2 y"}, {"S", "S"}, {"< 11Z", ""},
         {"Q deallocate A", "C weir_0, P weir_0 , Q DEALLOCATE weir_0"}, {"B a", "wait"},
         {"B b", "B weir_2"}, {"< 31CZ2", ""}, {"B a", "B a"}, {"< E", ""}, {"S", "S"}, {"< Z", ""},
         {"Q deallocate b", "C weir_0, P weir_0 , Q DEALLOCATE weir_0"}, {"< 31EZ", ""},
         {"B b", "B weir_2"}, {"Q deallocate c", "Q deallocate c"});
    PLAY(9, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""},
         {"P - deallocate a", "C weir_0, P weir_0 , P - DEALLOCATE weir_0"}, {"B -", "B -"},
         {"P a y", "P weir_2 y"}, {"S", "S"}, {"< 31EZ", ""}, {"B a", "B weir_1"});
}

Test(rename, all_forgotten)
{
    PLAY(9, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""}, {"Q discard all", "Q discard all"},
         {"B a", "wait"}, {"P c y", "wait"}, {"tag", "DISCARD ALL"}, {"< CZ", ""}, {"B a", "B a"},
         {"< E", ""}, {"S", "S"}, {"< Z", ""}, {"P a x", "P weir_1 x"});
    /* Within a longer text it is seen when it has happened: what came behind it stays. */
    PLAY(1, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""},
         {"Q p; discard all", "Q p; discard all"}, {"P b y", "C weir_1, P weir_2 y"}, {"C b", ""},
         {"P b z", "C weir_2, P weir_3 z"}, {"C a", ""}, {"tag", "DISCARD ALL"}, {"< CCZ", ""},
         {"S", "S"}, {"< 3E", ""}, {"< Z", ""}, {"B b", "B b"}, {"B a", "B a"});
}

/* ... and what went is not there again when what came behind it is undone. */
Test(rename, forgotten_and_undone)
{
    PLAY(1, {"P a x", "P weir_1 x"}, {"S", "S"}, {"< 1Z", ""},
         {"Q p; discard all", "Q p; discard all"}, {"B no", "B no"},
         {"P b y", "C weir_1, P weir_2 y"}, {"S", "S"}, {"tag", "DISCARD ALL"}, {"< CZEZ", ""},
         {"P c x", "P weir_1 x"});
}

/* A Close that is skipped gives the name back to what comes in the next batch. */
Test(rename, skipped_in_front_of_a_query)
{
    struct linked p;
    char got[SENT_MAX];
    static const char *const words[] = {"P - x", "P a y", "S", "B no", "C -", "C a", "S"};

    pair_init(&p, 9);
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        say(&p, words[i], got, sizeof(got));
        if (i == 2)
            answer(&p, "11Z", got);
    }
    say(&p, "Q deallocate a", got, sizeof(got));
    cr_assert_str_eq(got, "wait");
    say(&p, "Q z", got, sizeof(got));
    answer(&p, "EZCZ", got);
    cr_assert_eq(p.c.prepares->unnamed_id, 0); /* the Query dropped it */
    cr_assert_eq(p.s->unnamed, 0);
    say(&p, "Q deallocate a", got, sizeof(got));
    cr_assert_str_eq(got, "C weir_0, P weir_0 , Q DEALLOCATE weir_0");
    pair_fini(&p);
}

/* Clients that go at any moment leave nothing behind. */
Test(rename, parted_at_any_moment)
{
    static const char *const words[] = {
        "P a x",
        "S",
        "B a",
        "C a",
        "P a y",
        "P b x",
        "P - z",
        "S",
        "Q deallocate b",
        "P - deallocate b",
        "P b q",
        "C b",
        "P a r",
        "S",
        "C -",
        "Q discard all",
        "P c s",
        "B -",
        "C c",
        "S",
    };
    enum { N = sizeof(words) / sizeof(words[0]) };

    for (unsigned n = 1; n <= N; n++) {
        struct linked p;
        char got[SENT_MAX];

        n_texts = 0;
        pair_init(&p, 1);
        for (unsigned i = 0; i < n; i++)
            say(&p, words[i], got, sizeof(got));
        pair_fini(&p);
    }
}

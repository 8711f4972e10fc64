/*
 * The reply queue against a model of what it watches: a client that sends, a server that reads one
 * message after the other as PostgreSQL's main loop does, and the replies between them. The input
 * says who moves next and how each message fares. The model knows whom a reply answers because it
 * made the reply for it; the queue must find out.
 *
 * Inputs that begin with a byte from 240 on are something else: messages and replies without sense.
 */
#include <string.h>

#include "pgwire/reply.h"

#include "check.h"

#define MAX_MESSAGES 200
#define MAX_REPLIES 2000
#define MAX_ROOM 32
#define MADE_UP '+' /* stands for an answer of the relay in the list of replies */
#define NOBODY UINT32_MAX

struct message {
    enum pgw_reply_kind kind;
    enum pgw_reply_way way;
    bool is_skipped; /* the queue has said so when it was sent */
};

struct reply {
    uint8_t letter;
    uint8_t detail;
    bool is_last;      /* of the message that it answers */
    bool is_swallowed; /* known when it is delivered */
    uint32_t owner;    /* number of that message */
};

struct model {
    struct pgw_reply_queue q;
    struct pgw_reply_entry ring[MAX_ROOM];
    struct message messages[MAX_MESSAGES];
    struct reply replies[MAX_REPLIES];
    uint32_t n_sent;
    uint32_t n_read;      /* by the server */
    uint32_t n_replies;   /* of the server */
    uint32_t n_delivered; /* to the relay */
    uint32_t copy;        /* the message whose COPY the server is in, or NOBODY */
    bool is_skipping;     /* the server, to a Sync */
    bool is_open;         /* the server, in a batch */
    bool is_dead;         /* the server */
    bool knows_skipping;  /* the relay has seen the error and sent no Sync since */
    bool was_loose;       /* from then on Syncs cannot be told apart */
    bool is_lost;
    uint8_t status;
    uint32_t seen[MAX_REPLIES]; /* what the client has got: letter and owner */
    uint32_t n_seen;
};

struct input {
    const uint8_t *pos;
    const uint8_t *end;
};

static uint8_t next_byte(struct input *in)
{
    return in->pos < in->end ? *in->pos++ : 1;
}

static bool is_batched(enum pgw_reply_kind kind)
{
    return kind >= PGW_REPLY_PARSE && kind <= PGW_REPLY_CLOSE;
}

/* --- the server --- */

static void answer(struct model *m, uint32_t owner, uint8_t letter, uint8_t detail, bool is_last)
{
    CHECK(m->n_replies < MAX_REPLIES);
    m->replies[m->n_replies++] =
        (struct reply){.letter = letter, .detail = detail, .is_last = is_last, .owner = owner};
}

/* A COPY from the client may begin only if no answer is made up for what is sent in it. */
static bool may_copy_in(const struct model *m)
{
    for (uint32_t i = m->n_read; i < m->n_sent; i++) {
        if (m->messages[i].kind == PGW_REPLY_COPY_END)
            return true;
        if (m->messages[i].way == PGW_REPLY_MAKE_UP)
            return false;
    }
    return true;
}

/* Gives these answers; G leaves the server in a COPY, E ends a batch. */
static void answer_all(struct model *m, uint32_t owner, const char *letters)
{
    bool in_batch = is_batched(m->messages[owner].kind);

    for (; *letters != '\0'; letters++) {
        uint8_t detail = *letters == 'E' ? 'E' : m->status;

        answer(m, owner, (uint8_t)*letters, detail, letters[1] == '\0' && *letters != 'G');
        if (*letters == 'G')
            m->copy = owner;
        else if (*letters == 'E' && in_batch)
            m->is_skipping = true;
    }
}

static const char *const answers[PGW_REPLY_N_KINDS][16] = {
    [PGW_REPLY_PARSE] = {"1", "1", "1", "E"},
    [PGW_REPLY_BIND] = {"2", "2", "2", "E"},
    [PGW_REPLY_DESCRIBE_STATEMENT] = {"tT", "tn", "E", "tE"},
    [PGW_REPLY_DESCRIBE_PORTAL] = {"T", "n", "E", "T"},
    [PGW_REPLY_EXECUTE] = {"C", "DDC", "Ds", "s", "I", "E", "DE", "HddcC", "HcC", "HdE", "G", "G",
                           "G", "G", "C", "C"},
    [PGW_REPLY_CLOSE] = {"3", "3", "3", "E"},
    [PGW_REPLY_SYNC] = {"Z", "Z", "Z", "EZ"},
    [PGW_REPLY_QUERY] = {"CZ", "TDDCZ", "IZ", "EZ", "TDEZ", "CTDCZ", "CEZ", "HddcCZ", "HdEZ",
                         "WdcCCZ", "G", "G", "G", "CG", "TDCG", "HcCG"},
    [PGW_REPLY_FUNCTION_CALL] = {"VZ", "VZ", "EZ", "VEZ"},
};

static const char *choose_answers(const struct model *m, enum pgw_reply_kind kind, uint8_t dice)
{
    const char *chosen = answers[kind][dice % 16];

    if (chosen == NULL)
        chosen = answers[kind][dice % 4];
    return strchr(chosen, 'G') != NULL && !may_copy_in(m) ? answers[kind][0] : chosen;
}

static void fail_copy(struct model *m)
{
    uint32_t owner = m->copy;

    m->copy = NOBODY;
    answer_all(m, owner, m->messages[owner].kind == PGW_REPLY_QUERY ? "EZ" : "E");
}

static void end_copy(struct model *m, uint8_t dice)
{
    static const char *const rest[] = {"CZ", "CTDCZ", "CEZ", "CG"};
    uint32_t owner = m->copy;

    m->copy = NOBODY;
    if (m->messages[owner].kind == PGW_REPLY_EXECUTE)
        answer_all(m, owner, "C");
    else
        answer_all(m, owner, dice % 4 == 3 && !may_copy_in(m) ? "CZ" : rest[dice % 4]);
}

static void read_in_copy(struct model *m, enum pgw_reply_kind kind, uint8_t dice)
{
    switch (kind) {
    case PGW_REPLY_NO_KIND:
        if (dice % 4 == 0)
            fail_copy(m);
        break;
    case PGW_REPLY_SYNC:
        break;
    case PGW_REPLY_COPY_END:
        if (dice >= 128)
            fail_copy(m);
        else
            end_copy(m, dice);
        break;
    case PGW_REPLY_PARSE:
    case PGW_REPLY_BIND:
    case PGW_REPLY_DESCRIBE_STATEMENT:
    case PGW_REPLY_DESCRIBE_PORTAL:
    case PGW_REPLY_EXECUTE:
    case PGW_REPLY_CLOSE:
    case PGW_REPLY_QUERY:
    case PGW_REPLY_FUNCTION_CALL:
    case PGW_REPLY_N_KINDS:
        answer(m, m->copy, 'E', 'E', is_batched(m->messages[m->copy].kind));
        answer(m, m->copy, 'E', 'F', false);
        m->is_dead = true;
        break;
    }
}

static void read_next(struct model *m, uint8_t dice)
{
    const struct message *msg = &m->messages[m->n_read];
    uint32_t i = m->n_read++;

    if (m->is_dead)
        return;
    if (msg->way == PGW_REPLY_MAKE_UP) {
        if (!m->is_skipping)
            answer(m, i, MADE_UP, 0, true);
    } else if (m->copy != NOBODY) {
        read_in_copy(m, msg->kind, dice);
    } else if (msg->kind != PGW_REPLY_NO_KIND && msg->kind != PGW_REPLY_COPY_END &&
               (!m->is_skipping || msg->kind == PGW_REPLY_SYNC)) {
        /* A Sync fails only if it commits something. */
        bool succeeds = msg->kind == PGW_REPLY_SYNC && (m->is_skipping || !m->is_open);

        m->is_skipping = false;
        m->is_open = is_batched(msg->kind);
        m->status = dice % 32 == 31 ? 'T' : 'I';
        answer_all(m, i, choose_answers(m, msg->kind, succeeds ? 0 : dice));
        if (m->copy != NOBODY && dice >= 224)
            fail_copy(m);
    }
}

/* --- the relay --- */

static void client_sees(struct model *m, uint8_t letter, uint32_t owner)
{
    CHECK(m->n_seen < MAX_REPLIES);
    m->seen[m->n_seen++] = owner << 8 | letter;
}

static void make_up(struct model *m)
{
    while (pgw_reply_is_due(&m->q)) {
        struct pgw_reply_entry e = pgw_reply_make_up(&m->q);

        CHECK(e.cookie < m->n_sent && e.n == 1 && e.way == PGW_REPLY_MAKE_UP);
        CHECK(e.kind == m->messages[e.cookie].kind);
        client_sees(m, MADE_UP, e.cookie);
    }
}

/* What the client is not to be asked for here because the queue's contract forbids it. */
static enum pgw_reply_way allowed_way(const struct model *m, enum pgw_reply_kind kind, uint8_t dice)
{
    bool nothing_else = !pgw_reply_is_owed(&m->q) && !pgw_reply_is_unsynced(&m->q) &&
                        m->n_delivered == m->n_replies && m->n_read == m->n_sent;
    bool has_answer = is_batched(kind) || kind >= PGW_REPLY_SYNC;

    if (kind == PGW_REPLY_NO_KIND || kind == PGW_REPLY_COPY_END)
        return PGW_REPLY_FORWARD;
    if (dice % 4 == 1 && kind != PGW_REPLY_SYNC)
        return PGW_REPLY_SWALLOW;
    if (dice % 4 == 2 && has_answer && m->copy == NOBODY && (is_batched(kind) || nothing_else))
        return PGW_REPLY_MAKE_UP;
    return PGW_REPLY_FORWARD;
}

static void send_next(struct model *m, enum pgw_reply_kind kind, enum pgw_reply_way way)
{
    struct message *msg = &m->messages[m->n_sent];
    bool may_be_lost = m->q.n_loose > 0 || m->q.is_over;
    enum pgw_reply_outcome outcome = pgw_reply_sent(&m->q, kind, way, m->n_sent);

    *msg = (struct message){kind, way, outcome == PGW_REPLY_SKIPPED};
    m->was_loose |= m->q.n_loose > 0;
    switch (outcome) {
    case PGW_REPLY_FULL:
        return;
    case PGW_REPLY_LOST:
        CHECK(may_be_lost);
        m->is_lost = true;
        return;
    case PGW_REPLY_SKIPPED:
        CHECK(m->knows_skipping || m->was_loose || kind == PGW_REPLY_COPY_END);
        break;
    case PGW_REPLY_NOTED:
        CHECK(!m->knows_skipping || m->was_loose || kind == PGW_REPLY_SYNC ||
              kind == PGW_REPLY_NO_KIND);
        break;
    }
    m->n_sent++;
    if (kind == PGW_REPLY_SYNC)
        m->knows_skipping = false;
    make_up(m);
}

/* An error in a batch takes with it all up to the next Sync. True if none of that is the client's.
 */
static bool check_removed(struct model *m, uint32_t owner, const struct pgw_reply_verdict *v)
{
    bool is_swallowed = true;
    uint32_t n = 0, i;

    for (i = owner; i < m->n_sent && m->messages[i].kind != PGW_REPLY_SYNC; i++) {
        const struct message *msg = &m->messages[i];

        if (msg->kind == PGW_REPLY_NO_KIND || msg->kind == PGW_REPLY_COPY_END)
            continue;
        n++;
        is_swallowed &= msg->way == PGW_REPLY_SWALLOW;
    }
    m->knows_skipping = i == m->n_sent;
    for (i = 0; i < v->n_removed; i++) {
        const struct pgw_reply_entry *e = pgw_reply_removed(&m->q, v, i);

        n -= e->kind == PGW_REPLY_COPY_END ? 0 : e->n;
    }
    CHECK(n == 0);
    return is_swallowed;
}

static void check_verdict(struct model *m, struct reply *r, const struct pgw_reply_verdict *v,
                          enum pgw_reply_judgement judgement)
{
    const struct message *owner = &m->messages[r->owner];

    r->is_swallowed = owner->way == PGW_REPLY_SWALLOW;
    if (r->detail == 'F') { /* to the first entry, which an error in a batch has removed before */
        r->is_swallowed &= owner->kind == PGW_REPLY_QUERY;
        CHECK(v->kind == PGW_REPLY_NO_KIND);
        CHECK(judgement == (r->is_swallowed ? PGW_REPLY_DROP : PGW_REPLY_PASS));
        return;
    }
    CHECK(v->kind == owner->kind && v->is_done == r->is_last);
    CHECK(v->cookie == r->owner || (m->was_loose && owner->kind == PGW_REPLY_SYNC));
    if (r->letter == 'E' && is_batched(owner->kind))
        r->is_swallowed = check_removed(m, r->owner, v);
    CHECK(judgement == (r->is_swallowed ? PGW_REPLY_DROP : PGW_REPLY_PASS));
}

static void deliver_next(struct model *m)
{
    struct reply *r = &m->replies[m->n_delivered++];
    bool may_be_lost = m->q.n_loose > 0 && r->letter == 'E';
    enum pgw_reply_judgement judgement;
    struct pgw_reply_verdict v;

    if (r->letter == MADE_UP)
        return;
    judgement = pgw_reply_received(&m->q, r->letter, r->detail, &v);
    m->was_loose |= m->q.n_loose > 0;
    if (judgement == PGW_REPLY_VIOLATION) {
        CHECK(may_be_lost);
        m->is_lost = true;
        return;
    }
    check_verdict(m, r, &v, judgement);
    if (judgement == PGW_REPLY_PASS)
        client_sees(m, r->letter, m->was_loose && r->letter == 'Z' ? 0 : r->owner);
    make_up(m);
}

/* The client has got what the model says, made-up answers in their places. */
static void check_seen(const struct model *m)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_delivered; i++) {
        const struct reply *r = &m->replies[i];

        if (r->is_swallowed)
            continue;
        CHECK(n < m->n_seen);
        CHECK((m->seen[n] & 0xff) == r->letter);
        CHECK(m->was_loose || m->seen[n] >> 8 == r->owner);
        n++;
    }
    CHECK(n == m->n_seen);
}

/* The server has read and said everything. */
static void check_rest(const struct model *m)
{
    const struct pgw_reply_queue *q = &m->q;

    if (m->is_lost || m->is_dead || m->n_read < m->n_sent || m->n_delivered < m->n_replies)
        return;
    CHECK(pgw_reply_is_owed(q) == (m->copy != NOBODY));
    CHECK(pgw_reply_is_copying_in(q) == (m->copy != NOBODY));
    CHECK(!pgw_reply_is_at_rest(q) || (m->copy == NOBODY && !m->is_skipping && !m->is_open));
    if (q->n_loose > 0)
        CHECK(!pgw_reply_is_at_rest(q));
    else
        CHECK(pgw_reply_is_unsynced(q) == (m->is_open || m->is_skipping));
}

static void move(struct model *m, struct input *in)
{
    static const enum pgw_reply_kind kinds[16] = {
        PGW_REPLY_NO_KIND,
        PGW_REPLY_PARSE,
        PGW_REPLY_BIND,
        PGW_REPLY_DESCRIBE_STATEMENT,
        PGW_REPLY_DESCRIBE_PORTAL,
        PGW_REPLY_EXECUTE,
        PGW_REPLY_CLOSE,
        PGW_REPLY_SYNC,
        PGW_REPLY_QUERY,
        PGW_REPLY_FUNCTION_CALL,
        PGW_REPLY_COPY_END,
        PGW_REPLY_SYNC,
        PGW_REPLY_EXECUTE,
        PGW_REPLY_QUERY,
        PGW_REPLY_COPY_END,
        PGW_REPLY_SYNC,
    };
    uint8_t what = next_byte(in);
    enum pgw_reply_kind kind = kinds[what >> 4];

    if (what % 4 < 2 && m->n_sent < MAX_MESSAGES - 4)
        send_next(m, kind, allowed_way(m, kind, what >> 1 & 4 ? next_byte(in) : 0));
    else if (what % 4 == 2 && m->n_read < m->n_sent)
        read_next(m, next_byte(in));
    else if (m->n_delivered < m->n_replies)
        deliver_next(m);
}

static void settle(struct model *m)
{
    while (!m->is_lost && (m->n_read < m->n_sent || m->n_delivered < m->n_replies)) {
        if (m->n_delivered < m->n_replies)
            deliver_next(m);
        else
            read_next(m, 0);
    }
    check_rest(m);
}

/* A server and a caller that do anything at all: the queue must stay whole. */
static void check_garbage(struct model *m, struct input *in)
{
    struct pgw_reply_queue *q = &m->q;
    struct pgw_reply_verdict v;

    while (in->pos < in->end) {
        uint8_t what = next_byte(in), detail = next_byte(in);
        enum pgw_reply_kind kind = (enum pgw_reply_kind)(what % PGW_REPLY_N_KINDS);
        bool can_make_up = is_batched(kind);

        if (detail >= 64)
            (void)!pgw_reply_received(q, what, (uint8_t) "IEFT"[detail % 4], &v);
        else
            (void)!pgw_reply_sent(q, kind, (enum pgw_reply_way)(detail % (can_make_up ? 3 : 2)), 0);
        CHECK(q->tail - q->head <= q->mask + 1);
        CHECK(q->head != q->tail || q->progress == 0);
        for (uint32_t i = q->head; i != q->tail; i++)
            CHECK(q->ring[i & q->mask].n > 0);
        CHECK(q->head == q->tail || q->ring[q->head & q->mask].kind != PGW_REPLY_COPY_END);
    }
}

static void check_story(struct model *m, struct input *in)
{
    while (in->pos < in->end && !m->is_lost) {
        move(m, in);
        check_rest(m);
    }
    settle(m);
    if (!m->is_lost && !m->is_dead) {
        const enum pgw_reply_kind probe[] = {PGW_REPLY_COPY_END, PGW_REPLY_SYNC, PGW_REPLY_QUERY};

        for (size_t i = 0; i < 3 && !m->is_lost; i++) {
            send_next(m, probe[i], PGW_REPLY_FORWARD);
            settle(m);
        }
        CHECK(m->n_read == m->n_sent && pgw_reply_is_at_rest(&m->q));
    }
    if (!m->is_lost)
        check_seen(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct model m; /* too large for a stack */
    struct input in = {data, data + len};
    uint8_t mode = next_byte(&in);

    m = (struct model){.copy = NOBODY, .status = 'I'};
    pgw_reply_init(&m.q, m.ring, 4U << mode % 4, 'I');
    if (mode >= 240)
        check_garbage(&m, &in);
    else
        check_story(&m, &in);
    return 0;
}

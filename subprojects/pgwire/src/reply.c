/*
 * Reply accounting: rules 1, 3, 4, 12 and 15 of the header are the table below, the others are the
 * functions named after what happens.
 *
 * Invariants: tail - head <= mask + 1; every entry stands for n >= 1 messages; the first entry is
 * never a COPY_END; progress is FRESH while there is no entry; while the server skips, nothing but
 * made-up answers that were due before is owed.
 */
#include <assert.h>

#include "pgwire/proto.h"
#include "pgwire/reply.h"

/* How far the first entry is answered; what a letter may follow on is a mask of these. */
enum {
    FRESH = 1 << 0,   /* nothing has come */
    BEGUN = 1 << 1,   /* something has, and it is not the end */
    COPY_IN = 1 << 2, /* a COPY waits for the client's data */
    COPY_ENDED =
        1 << 3,        /* what ends it has been sent: the client's word, or what is illegal in it */
    COPY_OUT = 1 << 4, /* a COPY sends data */
    COPY_BOTH = 1 << 5, /* replication */
    FAILED = 1 << 6,    /* an error has come, ReadyForQuery is to follow */
    ANY = 0x7f,

    /* Where a letter leads instead. */
    DONE = 0,             /* to the next entry */
    SAME = ANY,           /* nowhere */
    BATCH_FAILS = 1 << 7, /* behind the next Sync */
};

struct step {
    uint8_t from; /* mask: the letter may come now; none: never */
    uint8_t to;   /* progress after it */
};

#define N_LETTERS 128

/* Rows by kind of message, columns by letter of reply. */
static const struct step steps[PGW_REPLY_N_KINDS][N_LETTERS] = {
    [PGW_REPLY_PARSE] = {['1'] = {FRESH, DONE}, ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_BIND] = {['2'] = {FRESH, DONE}, ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_CLOSE] = {['3'] = {FRESH, DONE}, ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_DESCRIBE_STATEMENT] = {['t'] = {FRESH, BEGUN},
                                      ['T'] = {BEGUN, DONE},
                                      ['n'] = {BEGUN, DONE},
                                      ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_DESCRIBE_PORTAL] =
        {['T'] = {FRESH, DONE}, ['n'] = {FRESH, DONE}, ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_EXECUTE] = {['D'] = {FRESH | BEGUN, BEGUN},
                           ['C'] = {FRESH | BEGUN | COPY_ENDED, DONE},
                           ['s'] = {FRESH | BEGUN, DONE},
                           ['I'] = {FRESH, DONE},
                           ['G'] = {FRESH, COPY_IN},
                           ['H'] = {FRESH, COPY_OUT},
                           ['d'] = {COPY_OUT, SAME},
                           ['c'] = {COPY_OUT, BEGUN},
                           ['E'] = {ANY, BATCH_FAILS}},
    [PGW_REPLY_SYNC] = {['Z'] = {FRESH | FAILED, DONE}, ['E'] = {FRESH, FAILED}},
    [PGW_REPLY_FUNCTION_CALL] =
        {['V'] = {FRESH, BEGUN}, ['Z'] = {BEGUN | FAILED, DONE}, ['E'] = {FRESH | BEGUN, FAILED}},
    [PGW_REPLY_QUERY] = {['T'] = {FRESH | BEGUN, BEGUN},
                         ['D'] = {FRESH | BEGUN, BEGUN},
                         ['C'] = {FRESH | BEGUN | COPY_ENDED, BEGUN},
                         ['I'] = {FRESH | BEGUN, BEGUN},
                         ['G'] = {FRESH | BEGUN, COPY_IN},
                         ['H'] = {FRESH | BEGUN, COPY_OUT},
                         ['W'] = {FRESH | BEGUN, COPY_BOTH},
                         ['d'] = {COPY_OUT | COPY_BOTH, SAME},
                         ['c'] = {COPY_OUT | COPY_BOTH, BEGUN},
                         ['Z'] = {BEGUN | FAILED, DONE},
                         ['E'] = {ANY & ~FAILED, FAILED}},
};

static struct pgw_reply_entry *entry_at(const struct pgw_reply_queue *q, uint32_t i)
{
    return &q->ring[i & q->mask];
}

static bool is_empty(const struct pgw_reply_queue *q)
{
    return q->head == q->tail;
}

static bool is_in_copy(const struct pgw_reply_queue *q)
{
    return (q->progress & (COPY_IN | COPY_ENDED)) != 0;
}

static bool is_batched(enum pgw_reply_kind kind)
{
    return kind >= PGW_REPLY_PARSE && kind <= PGW_REPLY_CLOSE;
}

static struct pgw_reply_verdict judge(enum pgw_reply_judgement judgement)
{
    return (struct pgw_reply_verdict){.judgement = (uint8_t)judgement};
}

/* The verdict on a reply to this entry. */
static struct pgw_reply_verdict judge_for(const struct pgw_reply_entry *e)
{
    return (struct pgw_reply_verdict){
        .cookie = e->cookie,
        .judgement = e->way == PGW_REPLY_SWALLOW ? PGW_REPLY_DROP : PGW_REPLY_PASS,
        .kind = e->kind,
    };
}

void pgw_reply_init(struct pgw_reply_queue *q, struct pgw_reply_entry *ring, uint32_t room,
                    uint8_t status)
{
    assert(room >= 4 && (room & (room - 1)) == 0);
    *q = (struct pgw_reply_queue){
        .ring = ring, .mask = room - 1, .progress = FRESH, .status = status};
}

enum pgw_reply_kind pgw_reply_kind_of(uint8_t letter, uint8_t target)
{
    switch (letter) {
    case PGW_F_PARSE:
        return PGW_REPLY_PARSE;
    case PGW_F_BIND:
        return PGW_REPLY_BIND;
    case PGW_F_DESCRIBE:
        return target == PGW_TARGET_STATEMENT ? PGW_REPLY_DESCRIBE_STATEMENT
                                              : PGW_REPLY_DESCRIBE_PORTAL;
    case PGW_F_EXECUTE:
        return PGW_REPLY_EXECUTE;
    case PGW_F_CLOSE:
        return PGW_REPLY_CLOSE;
    case PGW_F_SYNC:
        return PGW_REPLY_SYNC;
    case PGW_F_QUERY:
        return PGW_REPLY_QUERY;
    case PGW_F_FUNCTION_CALL:
        return PGW_REPLY_FUNCTION_CALL;
    case PGW_F_COPY_DONE:
    case PGW_F_COPY_FAIL:
        return PGW_REPLY_COPY_END;
    default:
        return PGW_REPLY_NO_KIND;
    }
}

static enum pgw_reply_outcome push(struct pgw_reply_queue *q, enum pgw_reply_kind kind,
                                   enum pgw_reply_way way, uint32_t cookie)
{
    struct pgw_reply_entry *last = entry_at(q, q->tail - 1);

    if (!is_empty(q) && last->kind == kind && last->way == way && last->cookie == cookie &&
        last->n < UINT16_MAX) {
        last->n++;
        return PGW_REPLY_NOTED;
    }
    if (q->tail - q->head > q->mask)
        return PGW_REPLY_FULL;
    *entry_at(q, q->tail++) = (struct pgw_reply_entry){cookie, 1, (uint8_t)kind, (uint8_t)way};
    return PGW_REPLY_NOTED;
}

/* Rule 11. It matters only behind a message whose COPY may still begin. */
static enum pgw_reply_outcome copy_end_sent(struct pgw_reply_queue *q)
{
    if (q->is_skipping || is_empty(q))
        return PGW_REPLY_SKIPPED;
    if (q->progress == COPY_IN) {
        q->progress = COPY_ENDED;
        return PGW_REPLY_NOTED;
    }
    return push(q, PGW_REPLY_COPY_END, PGW_REPLY_FORWARD, 0);
}

static bool only_made_up(const struct pgw_reply_queue *q)
{
    for (uint32_t i = q->head; i != q->tail; i++) {
        if (entry_at(q, i)->way != PGW_REPLY_MAKE_UP)
            return false;
    }
    return true;
}

/* Rule 10: whether the server skips the message, or when its answer is due, cannot be known. */
static bool is_beyond_telling(const struct pgw_reply_queue *q, enum pgw_reply_kind kind,
                              enum pgw_reply_way way)
{
    bool may_be_skipped = q->is_skipping && kind != PGW_REPLY_SYNC;

    return q->n_loose > 0 && !is_in_copy(q) && (may_be_skipped || way == PGW_REPLY_MAKE_UP) &&
           kind != PGW_REPLY_NO_KIND && kind != PGW_REPLY_COPY_END;
}

/* Neither the kind nor the state of the server lets a message simply be queued. */
static bool is_special(const struct pgw_reply_queue *q, enum pgw_reply_kind kind)
{
    return q->is_skipping || q->is_over || q->n_loose > 0 || q->progress == COPY_IN ||
           kind == PGW_REPLY_NO_KIND || kind == PGW_REPLY_COPY_END;
}

/* True if *out is what becomes of the message; false if it is queued like any other. */
static bool special_sent(struct pgw_reply_queue *q, enum pgw_reply_kind kind,
                         enum pgw_reply_way way, enum pgw_reply_outcome *out)
{
    if (q->is_over || is_beyond_telling(q, kind, way)) {
        *out = PGW_REPLY_LOST;
    } else if (kind == PGW_REPLY_NO_KIND) {
        *out = PGW_REPLY_NOTED;
    } else if (kind == PGW_REPLY_COPY_END) {
        *out = copy_end_sent(q);
    } else if (q->is_skipping && kind != PGW_REPLY_SYNC) {
        *out = PGW_REPLY_SKIPPED;
    } else if (q->progress == COPY_IN && kind == PGW_REPLY_SYNC) {
        q->n_loose++;
        *out = PGW_REPLY_NOTED;
    } else {
        return false;
    }
    return true;
}

enum pgw_reply_outcome pgw_reply_sent(struct pgw_reply_queue *q, enum pgw_reply_kind kind,
                                      enum pgw_reply_way way, uint32_t cookie)
{
    enum pgw_reply_outcome outcome;

    if (is_special(q, kind) && special_sent(q, kind, way, &outcome))
        return outcome;
    assert(way != PGW_REPLY_MAKE_UP || is_batched(kind) || (!q->is_unsynced && only_made_up(q)));
    outcome = push(q, kind, way, cookie);
    if (outcome != PGW_REPLY_NOTED)
        return outcome;
    if (q->progress == COPY_IN)
        q->progress = COPY_ENDED;
    if (way != PGW_REPLY_MAKE_UP) {
        q->is_unsynced = is_batched(kind);
        q->is_skipping = false;
    }
    return PGW_REPLY_NOTED;
}

/* The next entry becomes the first. Ends of COPYs that have not begun are of no use any more. */
static void first_removed(struct pgw_reply_queue *q)
{
    q->progress = FRESH;
    while (!is_empty(q) && entry_at(q, q->head)->kind == PGW_REPLY_COPY_END)
        q->head++;
}

/* One message of the first entry is answered. */
static void pop(struct pgw_reply_queue *q)
{
    struct pgw_reply_entry *e = entry_at(q, q->head);

    if (e->n > 1)
        e->n--;
    else
        q->head++;
    first_removed(q);
}

/* Rule 7: the first entry moves up to the end of its COPY, over the Syncs that this makes loose. */
static void begin_copy_in(struct pgw_reply_queue *q)
{
    const struct pgw_reply_entry first = *entry_at(q, q->head);
    uint32_t i = q->head + 1;

    q->progress = COPY_ENDED;
    if (first.n > 1)
        return;
    while (i != q->tail && entry_at(q, i)->kind == PGW_REPLY_SYNC)
        q->n_loose += entry_at(q, i++)->n;
    if (i == q->tail)
        q->progress = COPY_IN;
    else if (entry_at(q, i)->kind == PGW_REPLY_COPY_END && --entry_at(q, i)->n == 0)
        i++;
    if (first.kind == PGW_REPLY_EXECUTE && i == q->tail)
        q->is_unsynced = true;
    q->head = i - 1;
    *entry_at(q, q->head) = first;
}

/* Rule 10, when a COPY fails that has loose Syncs. */
static bool sent_beyond_telling(const struct pgw_reply_queue *q)
{
    bool is_skipped = entry_at(q, q->head)->kind == PGW_REPLY_EXECUTE;

    if (is_skipped && entry_at(q, q->head)->n > 1)
        return true;
    for (uint32_t i = q->head + 1; i != q->tail; i++) {
        const struct pgw_reply_entry *e = entry_at(q, i);

        if (e->kind == PGW_REPLY_SYNC)
            is_skipped = false;
        if (e->way == PGW_REPLY_MAKE_UP || (is_skipped && e->kind != PGW_REPLY_COPY_END))
            return true;
    }
    return false;
}

/* Rules 4 and 5; also 6, if there is no entry. */
static struct pgw_reply_verdict fail_batch(struct pgw_reply_queue *q)
{
    struct pgw_reply_verdict v = judge(PGW_REPLY_PASS);
    const uint32_t first = q->head;

    if (!is_empty(q))
        v = judge_for(entry_at(q, first));
    for (; !is_empty(q) && entry_at(q, q->head)->kind != PGW_REPLY_SYNC; q->head++) {
        const struct pgw_reply_entry *e = entry_at(q, q->head);

        if (e->way != PGW_REPLY_SWALLOW && e->kind != PGW_REPLY_COPY_END)
            v.judgement = PGW_REPLY_PASS;
    }
    q->progress = FRESH;
    q->is_skipping = is_empty(q);
    v.n_removed = q->head - first;
    v.is_done = v.n_removed > 0;
    return v;
}

/* Rule 9: a Z that answers no entry may answer a loose Sync. */
static struct pgw_reply_verdict loose_sync_answered(struct pgw_reply_queue *q)
{
    struct pgw_reply_verdict v = judge(PGW_REPLY_PASS);

    q->n_loose--;
    if (q->is_skipping) {
        q->is_skipping = false;
        q->is_unsynced = false;
    }
    v.kind = PGW_REPLY_SYNC;
    v.is_done = true;
    return v;
}

/* The reply is none that the first entry can be answered with now. */
static struct pgw_reply_verdict unexpected(struct pgw_reply_queue *q, uint8_t letter,
                                           uint8_t detail)
{
    if (letter == PGW_B_READY_FOR_QUERY && q->n_loose > 0 && !is_in_copy(q)) {
        q->status = detail;
        return loose_sync_answered(q);
    }
    if (letter == PGW_B_ERROR_RESPONSE && is_empty(q) && q->is_unsynced && !q->is_skipping)
        return fail_batch(q);
    return judge(PGW_REPLY_VIOLATION);
}

/* Rules 2 and 13. */
static bool answers_nothing(uint8_t letter, uint8_t detail)
{
    return letter == PGW_B_NOTICE_RESPONSE || letter == PGW_B_PARAMETER_STATUS ||
           letter == PGW_B_NOTIFICATION_RESPONSE ||
           (letter == PGW_B_ERROR_RESPONSE && (detail == 'F' || detail == 'P'));
}

static struct pgw_reply_verdict judge_async(struct pgw_reply_queue *q, uint8_t letter)
{
    bool is_swallowing = !is_empty(q) && entry_at(q, q->head)->way == PGW_REPLY_SWALLOW;
    bool is_of_query = letter == PGW_B_NOTICE_RESPONSE || letter == PGW_B_ERROR_RESPONSE;

    if (letter == PGW_B_ERROR_RESPONSE)
        q->is_over = true;
    return judge(is_swallowing && is_of_query ? PGW_REPLY_DROP : PGW_REPLY_PASS);
}

/* What the first entry says to a letter; it says no to all if there is none. */
static struct step next_step(const struct pgw_reply_queue *q, uint8_t letter)
{
    const struct pgw_reply_entry *e = entry_at(q, q->head);

    if (is_empty(q) || e->way == PGW_REPLY_MAKE_UP || letter >= N_LETTERS)
        return (struct step){0, 0};
    return steps[e->kind][letter];
}

struct pgw_reply_verdict pgw_reply_received(struct pgw_reply_queue *q, uint8_t letter,
                                            uint8_t detail)
{
    const struct step step = next_step(q, letter);
    struct pgw_reply_verdict v;

    if (q->is_over)
        return judge(PGW_REPLY_VIOLATION);
    if (answers_nothing(letter, detail))
        return judge_async(q, letter);
    if ((step.from & q->progress) == 0)
        return unexpected(q, letter, detail);
    if (q->n_loose > 0 && letter == PGW_B_ERROR_RESPONSE && is_in_copy(q)) {
        if (sent_beyond_telling(q))
            return judge(PGW_REPLY_VIOLATION);
    } else if (letter != PGW_B_READY_FOR_QUERY) {
        q->n_loose = 0; /* rules 8 and 9: it answers a message behind them */
    }
    if (step.to == BATCH_FAILS)
        return fail_batch(q);
    v = judge_for(entry_at(q, q->head));
    if (letter == PGW_B_READY_FOR_QUERY)
        q->status = detail;
    if (step.to == COPY_IN)
        begin_copy_in(q);
    else if (step.to == DONE)
        pop(q);
    else if (step.to != SAME)
        q->progress = step.to;
    v.is_done = step.to == DONE;
    return v;
}

const struct pgw_reply_entry *pgw_reply_removed(const struct pgw_reply_queue *q,
                                                const struct pgw_reply_verdict *v, uint32_t i)
{
    assert(i < v->n_removed);
    return entry_at(q, q->head - v->n_removed + i);
}

bool pgw_reply_made_up(struct pgw_reply_queue *q, struct pgw_reply_entry *out)
{
    const struct pgw_reply_entry *e = entry_at(q, q->head);

    if (is_empty(q) || e->way != PGW_REPLY_MAKE_UP)
        return false;
    *out = *e;
    out->n = 1;
    pop(q);
    return true;
}

bool pgw_reply_is_copying_in(const struct pgw_reply_queue *q)
{
    return q->progress == COPY_IN;
}

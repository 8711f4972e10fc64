/*
 * Reply accounting: rules 1, 12 and 15 of the header are the table below, 3 to 6 and 13 are
 * answer_error(), the others the functions that name them.
 *
 * Invariants: tail - head <= mask + 1; every entry stands for n >= 1 messages; the first entry is
 * never a COPY_END; progress is IDLE if and only if there is no first entry or it is to be made up;
 * while the server skips there is no entry.
 */
#include <assert.h>

#include "pgwire/proto.h"
#include "pgwire/reply.h"

/* Kept out of the way of the common case. */
#define COLD __attribute__((cold, noinline))

/* How far the first entry is answered; what a letter may follow on is a mask of these. */
enum {
    IDLE = 0,            /* it takes no reply */
    FRESH = 1 << 0,      /* nothing has come */
    BEGUN = 1 << 1,      /* something has, and it is not the end */
    COPY_IN = 1 << 2,    /* a COPY waits for the client's data */
    COPY_ENDED = 1 << 3, /* its end is sent, or what is illegal in it */
    COPY_OUT = 1 << 4,   /* a COPY sends data */
    COPY_BOTH = 1 << 5,  /* replication */
    FAILED = 1 << 6,     /* an error has come, ReadyForQuery is to follow */

    /* Where a letter leads instead. */
    DONE = 0,      /* to the next entry */
    SAME = 1 << 7, /* nowhere */
};

struct step {
    uint8_t from; /* mask: the letter may come now; none: never */
    uint8_t to;   /* progress after it */
};

/* Rows by kind of message, columns by letter of reply. Errors: answer_error(). */
/* clang-format off */
static const struct step steps[PGW_REPLY_N_KINDS][256] = {
    [PGW_REPLY_PARSE] = {
        ['1'] = {FRESH, DONE},
    },
    [PGW_REPLY_BIND] = {
        ['2'] = {FRESH, DONE},
    },
    [PGW_REPLY_CLOSE] = {
        ['3'] = {FRESH, DONE},
    },
    [PGW_REPLY_DESCRIBE_STATEMENT] = {
        ['t'] = {FRESH, BEGUN},
        ['T'] = {BEGUN, DONE},
        ['n'] = {BEGUN, DONE},
    },
    [PGW_REPLY_DESCRIBE_PORTAL] = {
        ['T'] = {FRESH, DONE},
        ['n'] = {FRESH, DONE},
    },
    [PGW_REPLY_EXECUTE] = {
        ['D'] = {FRESH | BEGUN, BEGUN},
        ['C'] = {FRESH | BEGUN | COPY_ENDED, DONE},
        ['s'] = {FRESH | BEGUN, DONE},
        ['I'] = {FRESH, DONE},
        ['G'] = {FRESH, COPY_IN},
        ['H'] = {FRESH, COPY_OUT},
        ['d'] = {COPY_OUT, SAME},
        ['c'] = {COPY_OUT, BEGUN},
    },
    [PGW_REPLY_SYNC] = {
        ['Z'] = {FRESH | FAILED, DONE},
    },
    [PGW_REPLY_FUNCTION_CALL] = {
        ['V'] = {FRESH, BEGUN},
        ['Z'] = {BEGUN | FAILED, DONE},
    },
    [PGW_REPLY_QUERY] = {
        ['T'] = {FRESH | BEGUN, BEGUN},
        ['D'] = {FRESH | BEGUN, BEGUN},
        ['C'] = {FRESH | BEGUN | COPY_ENDED | COPY_BOTH, BEGUN},
        ['I'] = {FRESH | BEGUN, BEGUN},
        ['G'] = {FRESH | BEGUN, COPY_IN},
        ['H'] = {FRESH | BEGUN, COPY_OUT},
        ['W'] = {FRESH | BEGUN, COPY_BOTH},
        ['d'] = {COPY_OUT | COPY_BOTH, SAME},
        ['c'] = {COPY_OUT | COPY_BOTH, BEGUN},
        ['Z'] = {BEGUN | FAILED, DONE},
    },
};
/* clang-format on */

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

static enum pgw_reply_judgement judgement_of(const struct pgw_reply_entry *e)
{
    return e->way == PGW_REPLY_SWALLOW ? PGW_REPLY_DROP : PGW_REPLY_PASS;
}

void pgw_reply_init(struct pgw_reply_queue *q, struct pgw_reply_entry *ring, uint32_t room,
                    uint8_t status)
{
    assert(room >= 4 && (room & (room - 1)) == 0);
    *q = (struct pgw_reply_queue){
        .ring = ring, .mask = room - 1, .progress = IDLE, .status = status};
}

enum pgw_reply_kind pgw_reply_kind_of(uint8_t letter, uint8_t target)
{
    static const uint8_t kinds[256] = {
        [PGW_F_PARSE] = PGW_REPLY_PARSE,
        [PGW_F_BIND] = PGW_REPLY_BIND,
        [PGW_F_DESCRIBE] = PGW_REPLY_DESCRIBE_PORTAL,
        [PGW_F_EXECUTE] = PGW_REPLY_EXECUTE,
        [PGW_F_CLOSE] = PGW_REPLY_CLOSE,
        [PGW_F_SYNC] = PGW_REPLY_SYNC,
        [PGW_F_QUERY] = PGW_REPLY_QUERY,
        [PGW_F_FUNCTION_CALL] = PGW_REPLY_FUNCTION_CALL,
        [PGW_F_COPY_DONE] = PGW_REPLY_COPY_END,
        [PGW_F_COPY_FAIL] = PGW_REPLY_COPY_END,
    };

    if (letter == PGW_F_DESCRIBE && target == PGW_TARGET_STATEMENT)
        return PGW_REPLY_DESCRIBE_STATEMENT;
    return (enum pgw_reply_kind)kinds[letter];
}

/* After the first entry has changed. */
static void begin_first(struct pgw_reply_queue *q)
{
    bool takes_reply = !is_empty(q) && entry_at(q, q->head)->way != PGW_REPLY_MAKE_UP;

    q->progress = takes_reply ? FRESH : IDLE;
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
    if (q->progress == IDLE)
        begin_first(q);
    return PGW_REPLY_NOTED;
}

/* Rule 11. It matters only behind a message whose COPY may still begin. */
static enum pgw_reply_outcome copy_end_sent(struct pgw_reply_queue *q)
{
    if (is_empty(q))
        return PGW_REPLY_SKIPPED;
    if (q->progress == COPY_IN) {
        q->progress = COPY_ENDED;
        return PGW_REPLY_NOTED;
    }
    return push(q, PGW_REPLY_COPY_END, PGW_REPLY_FORWARD, 0);
}

/* From index i on nothing is owed by the server. */
static bool owes_nothing(const struct pgw_reply_queue *q, uint32_t i)
{
    for (; i != q->tail; i++) {
        const struct pgw_reply_entry *e = entry_at(q, i);

        if (e->way != PGW_REPLY_MAKE_UP && e->kind != PGW_REPLY_COPY_END)
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
    assert(way != PGW_REPLY_MAKE_UP || is_batched(kind) ||
           (!q->is_unsynced && owes_nothing(q, q->head)));
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

/* The first index from i on that is not of an entry of this kind. */
static uint32_t skip_kind(const struct pgw_reply_queue *q, uint32_t i, enum pgw_reply_kind kind)
{
    while (i != q->tail && entry_at(q, i)->kind == kind)
        i++;
    return i;
}

/* One message of the first entry is answered. Ends of COPYs that did not begin go with it. */
static void pop(struct pgw_reply_queue *q)
{
    struct pgw_reply_entry *e = entry_at(q, q->head);

    if (e->n > 1)
        e->n--;
    else
        q->head = skip_kind(q, q->head + 1, PGW_REPLY_COPY_END);
    begin_first(q);
}

/* Rule 7: the first entry moves up to the end of its COPY, over the Syncs that this makes loose. */
static COLD void begin_copy_in(struct pgw_reply_queue *q)
{
    const struct pgw_reply_entry first = *entry_at(q, q->head);
    uint32_t end;

    q->progress = COPY_ENDED;
    if (first.n > 1)
        return;
    end = skip_kind(q, q->head + 1, PGW_REPLY_SYNC);
    for (uint32_t i = q->head + 1; i != end; i++)
        q->n_loose += entry_at(q, i)->n;
    if (end == q->tail)
        q->progress = COPY_IN;
    else if (entry_at(q, end)->kind == PGW_REPLY_COPY_END && --entry_at(q, end)->n == 0)
        end++;
    if (first.kind == PGW_REPLY_EXECUTE && owes_nothing(q, end))
        q->is_unsynced = true;
    q->head = end - 1;
    *entry_at(q, q->head) = first;
}

/* Rule 10, when a COPY fails that has loose Syncs. */
static bool sent_beyond_telling(const struct pgw_reply_queue *q)
{
    bool is_skipped = entry_at(q, q->head)->kind == PGW_REPLY_EXECUTE;

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
static enum pgw_reply_judgement fail_batch(struct pgw_reply_queue *q, struct pgw_reply_verdict *out)
{
    enum pgw_reply_judgement judgement = is_empty(q) ? PGW_REPLY_PASS : PGW_REPLY_DROP;
    const uint32_t first = q->head;

    for (; !is_empty(q) && entry_at(q, q->head)->kind != PGW_REPLY_SYNC; q->head++) {
        const struct pgw_reply_entry *e = entry_at(q, q->head);

        if (e->way != PGW_REPLY_SWALLOW && e->kind != PGW_REPLY_COPY_END)
            judgement = PGW_REPLY_PASS;
    }
    begin_first(q);
    q->is_skipping = is_empty(q);
    out->n_removed = q->head - first;
    out->is_done = out->n_removed > 0;
    return judgement;
}

/* The connection is over: nothing is owed any more. */
static enum pgw_reply_judgement end_connection(struct pgw_reply_queue *q,
                                               struct pgw_reply_verdict *out)
{
    enum pgw_reply_judgement judgement =
        is_empty(q) ? PGW_REPLY_PASS : judgement_of(entry_at(q, q->head));

    out->n_removed = q->tail - q->head;
    q->is_over = true;
    q->head = q->tail;
    q->progress = IDLE;
    return judgement;
}

static COLD enum pgw_reply_judgement answer_error(struct pgw_reply_queue *q, uint8_t severity,
                                                  struct pgw_reply_verdict *out)
{
    const struct pgw_reply_entry *e = entry_at(q, q->head);

    *out = (struct pgw_reply_verdict){0};
    if (q->is_over)
        return PGW_REPLY_VIOLATION;
    if (severity == 'F' || severity == 'P')
        return end_connection(q, out);
    if (is_empty(q)) /* rule 6 */
        return q->is_unsynced && !q->is_skipping ? fail_batch(q, out) : PGW_REPLY_VIOLATION;
    if (q->progress == IDLE || q->progress == FAILED)
        return PGW_REPLY_VIOLATION;
    if (!is_in_copy(q))
        q->n_loose = 0; /* rule 9: it answers a message behind them */
    else if (q->n_loose > 0 && sent_beyond_telling(q))
        return PGW_REPLY_VIOLATION;
    out->cookie = e->cookie;
    out->kind = e->kind;
    if (is_batched(e->kind))
        return fail_batch(q, out);
    q->progress = FAILED;
    return judgement_of(e);
}

/* Rule 9: a Z that answers no entry may answer a loose Sync. */
static enum pgw_reply_judgement answer_loose_sync(struct pgw_reply_queue *q, uint8_t status,
                                                  struct pgw_reply_verdict *out)
{
    q->status = status;
    q->n_loose--;
    if (q->is_skipping) {
        q->is_skipping = false;
        q->is_unsynced = false;
    }
    out->kind = PGW_REPLY_SYNC;
    out->is_done = true;
    return PGW_REPLY_PASS;
}

/* The reply answers nothing, or not the first entry. */
static COLD enum pgw_reply_judgement answer_none(struct pgw_reply_queue *q, uint8_t letter,
                                                 uint8_t detail, struct pgw_reply_verdict *out)
{
    *out = (struct pgw_reply_verdict){0};
    if (q->is_over)
        return PGW_REPLY_VIOLATION;
    if (letter == PGW_B_NOTICE_RESPONSE)
        return is_empty(q) ? PGW_REPLY_PASS : judgement_of(entry_at(q, q->head));
    if (letter == PGW_B_PARAMETER_STATUS || letter == PGW_B_NOTIFICATION_RESPONSE)
        return PGW_REPLY_PASS;
    if (letter == PGW_B_READY_FOR_QUERY && q->n_loose > 0 && !is_in_copy(q))
        return answer_loose_sync(q, detail, out);
    return PGW_REPLY_VIOLATION;
}

enum pgw_reply_judgement pgw_reply_received(struct pgw_reply_queue *q, uint8_t letter,
                                            uint8_t detail, struct pgw_reply_verdict *out)
{
    const struct pgw_reply_entry *first = entry_at(q, q->head);
    const struct step *step = &steps[q->progress == IDLE ? PGW_REPLY_NO_KIND : first->kind][letter];
    enum pgw_reply_judgement judgement;

    if (letter == PGW_B_ERROR_RESPONSE)
        return answer_error(q, detail, out);
    if ((step->from & q->progress) == 0)
        return answer_none(q, letter, detail, out);
    judgement = judgement_of(first);
    out->cookie = first->cookie;
    out->n_removed = 0;
    out->kind = first->kind;
    out->is_done = step->to == DONE;
    if (letter == PGW_B_READY_FOR_QUERY)
        q->status = detail;
    else
        q->n_loose = 0; /* rules 8 and 9: it answers a message behind them */
    if (step->to == DONE)
        pop(q);
    else if (step->to == COPY_IN)
        begin_copy_in(q);
    else if (step->to != SAME)
        q->progress = step->to;
    return judgement;
}

const struct pgw_reply_entry *pgw_reply_removed(const struct pgw_reply_queue *q,
                                                const struct pgw_reply_verdict *v, uint32_t i)
{
    assert(i < v->n_removed);
    return entry_at(q, q->head - v->n_removed + i);
}

struct pgw_reply_entry pgw_reply_make_up(struct pgw_reply_queue *q)
{
    struct pgw_reply_entry e = *entry_at(q, q->head);

    assert(pgw_reply_is_due(q));
    e.n = 1;
    pop(q);
    return e;
}

bool pgw_reply_is_copying_in(const struct pgw_reply_queue *q)
{
    return q->progress == COPY_IN;
}

bool pgw_reply_is_copying_both(const struct pgw_reply_queue *q)
{
    return q->progress == COPY_BOTH;
}

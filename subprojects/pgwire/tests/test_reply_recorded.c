/*
 * The reply queue against what a real PostgreSQL answered (replies/: recorded sequences of
 * messages).
 *
 * Each sequence is told to a queue in many orders of events: whatever a server may have sent, given
 * which messages had reached it. Each reply must be judged to answer the message that it answered
 * in truth, and the queue must be empty exactly when the server had nothing more to say.
 * Some messages are the relay's own; some Parses and Closes are not sent but answered by the
 * queue's owner: then the client must still see the very same replies. Rings are as small as can
 * be.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/proto.h"
#include "pgwire/reply.h"

#define MAX_MESSAGES 128
#define MAX_REPLIES 2048
#define MAX_ROOM 64
#define N_SHUFFLES 60

struct message {
    char letter;
    char target;
    unsigned n_replies;
    unsigned copy; /* the message that asked for the COPY this one belongs to, else itself */
};

struct reply {
    char letter;
    char detail;      /* of pgw_reply_received() */
    unsigned message; /* that it came after */
};

struct sequence {
    char name[128];
    struct message messages[MAX_MESSAGES];
    struct reply replies[MAX_REPLIES];
    unsigned n_messages;
    unsigned n_replies;
};

/* One run: a sequence as it is told to a queue. */
struct run {
    const struct sequence *s;
    struct pgw_reply_queue q;
    struct pgw_reply_entry ring[MAX_ROOM];
    uint8_t ways[MAX_MESSAGES];
    unsigned n_sent;
    unsigned n_received;
    char seen[MAX_REPLIES + 1];   /* letters the client got */
    char wanted[MAX_REPLIES + 1]; /* letters it should get */
    unsigned n_seen;
    unsigned n_wanted;
    uint32_t first_seed;
    uint32_t seed;
    bool was_loose; /* from then on which Sync a Z answers is not compared */
    bool is_lost;   /* rule 10 */
};

static unsigned random_below(uint32_t *seed, unsigned n)
{
    *seed = *seed * 1664525U + 1013904223U;
    return (unsigned)(((uint64_t)*seed * n) >> 32);
}

/* "E:42601!" or "D:11*3" */
static void add_replies(struct sequence *s, const char *text)
{
    const char *times = strchr(text, '*');
    unsigned n = times != NULL ? (unsigned)strtoul(times + 1, NULL, 10) : 1;
    struct reply r = {.letter = text[0], .message = s->n_messages - 1};

    if (strcmp(text, "EOF") == 0)
        return;
    if (r.letter == PGW_B_ERROR_RESPONSE)
        r.detail = strchr(text, '!') != NULL ? 'F' : 'E';
    else if (r.letter == PGW_B_READY_FOR_QUERY)
        r.detail = text[2];
    cr_assert_leq(s->n_replies + n, MAX_REPLIES);
    while (n-- > 0) {
        s->replies[s->n_replies++] = r;
        s->messages[r.message].n_replies++;
    }
}

/* The bar that ends the message: none within quotes counts. */
static const char *find_bar(const char *line)
{
    bool is_quoted = false;

    for (; *line != '\0'; line++) {
        if (*line == '\\' && is_quoted && line[1] != '\0')
            line++;
        else if (*line == '"')
            is_quoted = !is_quoted;
        else if (*line == '|' && !is_quoted)
            return line;
    }
    cr_assert_fail("a line without a bar");
    return NULL;
}

static void add_message(struct sequence *s, const char *line)
{
    struct message *m = &s->messages[s->n_messages++];
    const char *word = find_bar(line) + 1;
    char text[64];

    cr_assert_leq(s->n_messages, MAX_MESSAGES);
    *m = (struct message){.letter = line[0], .target = line[2], .copy = s->n_messages - 1};
    while (sscanf(word, "%63s", text) == 1) {
        word += strspn(word, " ") + strlen(text);
        add_replies(s, text);
    }
}

/*
 * What comes after data of a COPY or its end, or after what is illegal in a COPY and ends the
 * connection, answers the message that asked for the COPY.
 */
static void find_copies(struct sequence *s)
{
    unsigned copy = 0;

    for (unsigned i = 0; i < s->n_replies; i++) {
        const struct reply *r = &s->replies[i];
        struct message *m = &s->messages[r->message];
        bool is_illegal = r->detail == 'E' && i + 1 < s->n_replies && r[1].detail == 'F' &&
                          r[1].message == r->message;

        if (strchr("dcf", m->letter) != NULL || is_illegal)
            m->copy = copy;
        else if (r->letter == PGW_B_COPY_IN_RESPONSE)
            copy = r->message;
    }
}

/* Reads the next sequence of the file; false at its end. `line` holds the line read last. */
static bool read_sequence(FILE *file, char *line, size_t len, struct sequence *s)
{
    s->n_messages = s->n_replies = 0;
    while (strncmp(line, "== ", 3) != 0) {
        if (fgets(line, (int)len, file) == NULL)
            return false;
    }
    snprintf(s->name, sizeof(s->name), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    while (fgets(line, (int)len, file) != NULL && strncmp(line, "== ", 3) != 0) {
        if (line[0] != '\n')
            add_message(s, line);
    }
    find_copies(s);
    return true;
}

static bool has_reply(const struct sequence *s, unsigned message, char letter)
{
    for (unsigned i = 0; i < s->n_replies; i++) {
        if (s->replies[i].message == message && s->replies[i].letter == letter)
            return true;
    }
    return false;
}

static bool is_async(char letter)
{
    return strchr("NSA", letter) != NULL;
}

/* Messages that a relay can answer itself if it knows what the answer would be. */
static bool may_be_made_up(const struct sequence *s, unsigned message)
{
    const struct message *m = &s->messages[message];

    return (m->letter == PGW_F_PARSE || m->letter == PGW_F_CLOSE) &&
           (m->n_replies == 0 || has_reply(s, message, m->letter == PGW_F_PARSE ? '1' : '3'));
}

/*
 * Not messages that are answered by an error: that goes the way of all that it removes, which
 * depends on what was sent before it came. Not Syncs: which of them a Z answers that may be to a
 * loose one, nobody knows.
 */
static bool may_be_swallowed(const struct sequence *s, unsigned message)
{
    return s->messages[message].letter != PGW_F_SYNC &&
           !has_reply(s, message, PGW_B_ERROR_RESPONSE) &&
           !has_reply(s, message, PGW_B_COPY_IN_RESPONSE);
}

/* Where something happens between the messages, what a server does depends on what it was sent. */
static void choose_ways(struct run *run)
{
    bool has_events = false;

    for (unsigned i = 0; i < run->s->n_messages; i++)
        has_events |= run->s->messages[i].letter == '!';
    for (unsigned i = 0; i < run->s->n_messages; i++) {
        unsigned dice = run->seed == 0 || has_events ? 9 : random_below(&run->seed, 10);

        run->ways[i] = PGW_REPLY_FORWARD;
        if (dice < 2 && may_be_made_up(run->s, i))
            run->ways[i] = PGW_REPLY_MAKE_UP;
        else if (dice == 2 && may_be_swallowed(run->s, i))
            run->ways[i] = PGW_REPLY_SWALLOW;
    }
}

static void client_sees(struct run *run, char letter)
{
    if (!is_async(letter))
        run->seen[run->n_seen++] = letter;
}

static void make_up(struct run *run)
{
    while (pgw_reply_is_due(&run->q)) {
        struct pgw_reply_entry e = pgw_reply_make_up(&run->q);

        cr_assert_eq(run->ways[e.cookie], PGW_REPLY_MAKE_UP, "%s", run->s->name);
        client_sees(run, e.kind == PGW_REPLY_PARSE ? '1' : '3');
    }
}

/* False if the queue is full. */
static bool send_next(struct run *run)
{
    const struct message *m = &run->s->messages[run->n_sent];
    enum pgw_reply_kind kind = pgw_reply_kind_of((uint8_t)m->letter, (uint8_t)m->target);
    bool may_be_lost = run->q.n_loose > 0;
    enum pgw_reply_outcome outcome =
        pgw_reply_sent(&run->q, kind, (enum pgw_reply_way)run->ways[run->n_sent], run->n_sent);

    if (outcome == PGW_REPLY_FULL)
        return false;
    run->n_sent++;
    run->is_lost = outcome == PGW_REPLY_LOST;
    cr_assert(!run->is_lost || run->q.is_over || may_be_lost, "%s", run->s->name);
    run->was_loose |= run->q.n_loose > 0;
    make_up(run);
    return true;
}

/* Whom a reply answers, compared where it is known for certain. */
static void check_owner(const struct run *run, const struct reply *r,
                        const struct pgw_reply_verdict *v)
{
    const struct message *m = &run->s->messages[r->message];
    const struct message *owner = &run->s->messages[m->copy];

    if (is_async(r->letter) || r->detail == 'F' || m->letter == PGW_F_FLUSH) {
        cr_assert(v->kind == PGW_REPLY_NO_KIND || m->letter == PGW_F_FLUSH);
        return;
    }
    cr_assert_eq(v->kind, pgw_reply_kind_of((uint8_t)owner->letter, (uint8_t)owner->target),
                 "%s: %c (number %u): to kind %u", run->s->name, r->letter, run->n_received,
                 v->kind);
    if (v->kind != PGW_REPLY_SYNC || !run->was_loose)
        cr_assert_eq(v->cookie, m->copy, "%s: %c (number %u): to message %u, not %u", run->s->name,
                     r->letter, run->n_received, v->cookie, m->copy);
}

static void receive_next(struct run *run)
{
    const struct reply *r = &run->s->replies[run->n_received];
    const struct message *m = &run->s->messages[r->message];
    uint8_t way = run->ways[m->copy];
    bool may_be_lost = run->q.n_loose > 0 && r->letter == PGW_B_ERROR_RESPONSE;
    enum pgw_reply_judgement judgement;
    struct pgw_reply_verdict v;

    run->n_received++;
    if (!is_async(r->letter) && way != PGW_REPLY_SWALLOW)
        run->wanted[run->n_wanted++] = r->letter;
    if (way == PGW_REPLY_MAKE_UP)
        return;
    judgement = pgw_reply_received(&run->q, (uint8_t)r->letter, (uint8_t)r->detail, &v);
    run->was_loose |= run->q.n_loose > 0;
    if (judgement == PGW_REPLY_VIOLATION) {
        cr_assert(may_be_lost, "%s: %c (number %u): violation (seed %u)", run->s->name, r->letter,
                  run->n_received, run->first_seed);
        run->is_lost = true;
        return;
    }
    check_owner(run, r, &v);
    if (judgement == PGW_REPLY_PASS)
        client_sees(run, r->letter);
    make_up(run);
}

/* The server can have sent the next reply: what it came after has been sent. */
static bool can_receive(const struct run *run)
{
    return run->n_received < run->s->n_replies &&
           run->s->replies[run->n_received].message < run->n_sent;
}

/* Lines that begin with ! are no messages, but happen when the server has said everything. */
static bool can_send(const struct run *run)
{
    return run->n_sent < run->s->n_messages &&
           (run->s->messages[run->n_sent].letter != '!' || !can_receive(run));
}

/* The server has said everything: only a COPY that waits for data can still owe something. */
static void check_rest(const struct run *run)
{
    cr_assert(!pgw_reply_is_owed(&run->q) || pgw_reply_is_copying_in(&run->q) || run->q.is_over,
              "%s: something owed after message %u (seed %u)", run->s->name, run->n_sent,
              run->first_seed);
}

static void check_end(const struct run *run)
{
    const struct sequence *s = run->s;
    const struct reply *last = &s->replies[s->n_replies > 0 ? s->n_replies - 1 : 0];

    if (run->is_lost || s->n_replies == 0)
        return;
    cr_assert_str_eq(run->seen, run->wanted, "%s: %s, not %s", s->name, run->seen, run->wanted);
    if (last->letter == PGW_B_READY_FOR_QUERY && s->messages[s->n_messages - 1].letter == 'Q')
        cr_assert_eq(pgw_reply_is_at_rest(&run->q), last->detail == 'I', "%s", s->name);
}

/* `lead`: 0 receives as early as can be, 100 sends as early as can be. Returns true if lost. */
static bool play(const struct sequence *s, uint32_t seed, unsigned lead, uint32_t room)
{
    static struct run run; /* too large for a stack */

    run = (struct run){.s = s, .first_seed = seed, .seed = seed};
    pgw_reply_init(&run.q, run.ring, room, 'I');
    choose_ways(&run);
    while (!run.is_lost && (can_send(&run) || can_receive(&run))) {
        bool sends = random_below(&run.seed, 100) < lead;

        if (can_send(&run) && (sends || !can_receive(&run)) && send_next(&run))
            continue;
        cr_assert(can_receive(&run), "%s: full for ever (seed %u)", s->name, seed);
        receive_next(&run);
        if (!can_receive(&run) && !run.is_lost)
            check_rest(&run);
    }
    check_end(&run);
    return run.is_lost && !run.q.is_over;
}

static void replay(const char *name)
{
    static struct sequence s; /* too large for a stack */
    unsigned n_sequences = 0, n_lost = 0, n_runs = 0;
    char path[4096], line[1024] = "";
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", PGW_REPLIES, name);
    file = fopen(path, "r");
    cr_assert_neq(file, NULL, "%s", path);
    while (read_sequence(file, line, sizeof(line), &s)) {
        n_lost += play(&s, 0, 0, MAX_ROOM);
        n_lost += play(&s, 0, 100, MAX_ROOM);
        for (uint32_t seed = 1; seed <= N_SHUFFLES; seed++)
            n_lost += play(&s, seed, 10 + 80 * (seed % 2), 4U << (seed % 5));
        n_sequences++;
        n_runs += 2 + N_SHUFFLES;
    }
    fclose(file);
    printf("%s: %u sequences, %u runs, of them lost: %u\n", name, n_sequences, n_runs, n_lost);
    cr_assert_geq(n_sequences, 150);
    cr_assert_leq(n_lost, n_runs / 50);
}

Test(reply_recorded, sequences_by_hand)
{
    replay("by_hand.txt");
}

Test(reply_recorded, sequences_at_random)
{
    replay("random.txt");
}

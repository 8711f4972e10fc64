/*
 * The store of statements. The loops are the test's own, so it says which thread opens its mail
 * when; malloc and free are counted, so it sees what is freed, and malloc may be told to fail.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/pool/statements.h"
#include "weir/pool/thread.h"

#define N_REACTORS 3
#define PLENTY ((size_t)1 << 24)

/* ---- loops and memory ---- */

struct loop {
    struct mail *mail; /* at most one: a round's */
};

void loop_post(struct loop *l, struct mail *m)
{
    cr_assert_null(l->mail);
    l->mail = m;
}

/* What the wrapped functions count and do; the linker gives them no argument for it. */
static int n_frees;
static bool no_memory;

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *p);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return no_memory ? NULL : __real_aligned_alloc(alignment, size);
}

void __wrap_free(void *p)
{
    n_frees += p != NULL;
    __real_free(p);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

/* ---- the scene ---- */

static struct loop loops[N_REACTORS + 1];
static struct crew crew;
static struct thread *me;
static struct hash_key key;
static struct statements *ss;

static void open_with(size_t max_bytes)
{
    crew = (struct crew){.n_reactors = N_REACTORS};
    for (unsigned i = 0; i <= N_REACTORS; i++) {
        loops[i] = (struct loop){NULL};
        crew.threads[i] = (struct thread){.number = i, .loop = &loops[i], .crew = &crew};
    }
    me = &crew.threads[1];
    hash_key_fixed(&key, 4);
    cr_assert_eq(statements_new(&ss, &crew, max_bytes, &key), 0);
}

static void setup(void)
{
    open_with(PLENTY);
}

static void teardown(void)
{
    statements_free(ss);
    ss = NULL;
}

/* Opens the mail of one thread; false: there was none. */
static bool turn(unsigned number)
{
    struct thread *t = &crew.threads[number];
    struct mail *m = t->loop->mail;

    t->loop->mail = NULL;
    if (m != NULL)
        thread_open_mail(t, m);
    return m != NULL;
}

static void turn_until_quiet(void)
{
    bool any;

    do {
        any = false;
        for (unsigned i = 0; i <= N_REACTORS; i++)
            any |= turn(i);
    } while (any);
}

static struct statement *intern(const char *text, uint64_t context)
{
    return statements_intern(ss, me, span_str(text), context);
}

static struct statement *intern_number(unsigned number)
{
    char text[64];

    snprintf(text, sizeof(text), "select %08u", number);
    return intern(text, 0);
}

/* Interns and puts; 0: it did not fit. */
static uint64_t visit(unsigned number)
{
    struct statement *s = intern_number(number);
    uint64_t id = s == NULL ? 0 : s->id;

    statement_put(ss, me, s);
    return id;
}

static size_t n_statements(void)
{
    return statements_count(ss).n_statements;
}

/* The bytes that one statement of intern_number() takes. */
static size_t size_of_one(void)
{
    size_t before = statements_count(ss).n_bytes;

    cr_assert_neq(visit(99999999), 0);
    return statements_count(ss).n_bytes - before;
}

/* A store that has room for n statements of intern_number(). */
static void open_for(unsigned n)
{
    size_t size = size_of_one();

    teardown();
    open_with(n * size);
}

TestSuite(statements, .init = setup, .fini = teardown);

/* ---- */

Test(statements, names)
{
    static const struct {
        uint64_t id;
        const char *name;
    } cases[] = {
        {0, "weir_0"},
        {1, "weir_1"},
        {15, "weir_f"},
        {16, "weir_10"},
        {0x1234abcd, "weir_1234abcd"},
        {UINT64_C(0x0fffffffffffffff), "weir_fffffffffffffff"},
        {UINT64_MAX, "weir_ffffffffffffffff"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[STATEMENT_NAME_SIZE];

        cr_assert_eq(statement_name(cases[i].id, name), strlen(cases[i].name));
        cr_assert_str_eq(name, cases[i].name);
    }
}

/* Text, types and context make the key, all of each of them. */
Test(statements, equal_keys_are_one_statement)
{
    static const char body[] = "select $1\0\0\1\0\0\0\27"; /* one type: int4 */
    struct statement *of_len[sizeof(body) + 1];
    struct statement *other;

    for (size_t len = 0; len <= sizeof(body); len++) {
        of_len[len] = statements_intern(ss, me, span_of(body, len), 7);
        cr_assert_not_null(of_len[len]);
        for (size_t k = 0; k < len; k++)
            cr_assert(of_len[k] != of_len[len] && of_len[k]->id != of_len[len]->id);
    }
    cr_assert_eq(n_statements(), sizeof(body) + 1);
    for (size_t len = 0; len <= sizeof(body); len++) {
        char copy[sizeof(body) + 1];
        struct statement *s = of_len[len];

        memcpy(copy, body, sizeof(body));
        cr_assert_neq(s->id, 0);
        cr_assert_eq(s->context, 7);
        cr_assert(span_equal(statement_parse(s), span_of(body, len)));
        cr_assert_eq(statements_intern(ss, me, span_of(copy, len), 7), s);
        statement_put(ss, me, s);
        other = statements_intern(ss, me, span_of(copy, len), 8);
        cr_assert_neq(other, s);
        cr_assert_eq(other->context, 8);
        statement_put(ss, me, other);
        statement_put(ss, me, s);
    }
    cr_assert_eq(n_statements(), 2 * (sizeof(body) + 1));
}

Test(statements, unheld_is_found_again)
{
    uint64_t id = visit(1);

    for (unsigned i = 2; i < 1000; i++)
        cr_assert_neq(visit(i), id);
    cr_assert_eq(visit(1), id);
    cr_assert_eq(n_statements(), 999);
}

/* Whatever the shards are: what is held stays, and fills the store to the last byte. */
Test(statements, full_of_held)
{
    struct statement *held[100];

    open_for(100);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_not_null(held[i] = intern_number(i));
    cr_assert_null(intern_number(100));
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(intern_number(i), held[i]);
        statement_put(ss, me, held[i]);
    }
    for (unsigned i = 0; i < 100; i++) { /* one goes, one fits */
        statement_put(ss, me, held[i]);
        cr_assert_not_null(held[i] = intern_number(100 + i));
        cr_assert_null(intern_number(200));
        cr_assert_eq(n_statements(), 100);
    }
    for (unsigned i = 0; i < 100; i++)
        statement_put(ss, me, held[i]);
}

/* What is kept elsewhere takes room from statements, and is made room for like them. */
Test(statements, room_for_others)
{
    struct statement *held;
    size_t size;

    open_for(4);
    size = statements_max_bytes(ss) / 4;
    cr_assert_not_null(held = intern_number(0));
    for (unsigned i = 1; i < 4; i++)
        visit(i);
    cr_assert_not(statements_get_room(ss, me, 4 * size + 1));
    cr_assert_eq(n_statements(), 4);
    cr_assert_not(statements_get_room(ss, me, 3 * size + 1));
    cr_assert_eq(n_statements(), 1); /* all that could be dropped was, in vain */
    cr_assert(statements_get_room(ss, me, 2 * size));
    cr_assert_neq(visit(5), 0);
    cr_assert_not(statements_get_room(ss, me, size + 1));
    cr_assert(statements_get_room(ss, me, size));
    cr_assert_eq(visit(6), 0);
    cr_assert_eq(statements_count(ss).n_bytes, 4 * size);
    statements_put_room(ss, 3 * size);
    cr_assert_neq(visit(6), 0);
    statement_put(ss, me, held);
    cr_assert_eq(statements_count(ss).n_bytes, 2 * size);
}

Test(statements, epochs)
{
    uint32_t first = statements_epoch(ss);

    cr_assert_neq(first, 0);
    cr_assert_eq(statements_epoch(ss), first);
    statements_end_epoch(ss);
    cr_assert_neq(statements_epoch(ss), first);
    cr_assert_neq(statements_epoch(ss), 0);
}

Test(statements, ids_are_never_used_again)
{
    uint64_t last = 0;

    open_for(3);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t id = visit(i % 10);

        cr_assert_gt(id, last); /* with room for three, it has been dropped since the last time */
        last = id;
        turn_until_quiet();
    }
}

/* A reference of one's own, and one more. */
Test(statements, references_are_counted)
{
    struct statement *s;
    uint64_t id;

    open_for(1);
    s = intern_number(0);
    id = s->id;
    cr_assert_eq(statement_get(s), s);
    statement_put(ss, me, s);
    cr_assert_null(intern_number(1));
    statement_put(ss, me, s);
    cr_assert_neq(visit(1), 0);
    cr_assert_neq(visit(0), id);
    statement_put(ss, me, NULL);
}

/* Queued, held again, seen to be held when room was needed, and unheld again: it can go. */
Test(statements, held_again_can_be_dropped_later)
{
    struct statement *s;
    uint64_t id;

    open_for(1);
    id = visit(0);
    s = intern_number(0);
    cr_assert_eq(s->id, id);
    cr_assert_null(intern_number(1));
    cr_assert_null(intern_number(1));
    statement_put(ss, me, s);
    cr_assert_eq(visit(0), id);
    cr_assert_neq(visit(1), 0);
    cr_assert_eq(n_statements(), 1);
}

/* Nothing is dropped for what can never fit. */
Test(statements, too_long)
{
    static char text[1000];
    size_t size = size_of_one();
    size_t longest;

    teardown();
    open_with(4 * size);
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < 4; i++)
        visit(i);
    longest = 4 * size - (size - strlen("select 12345678"));
    cr_assert_lt(longest, sizeof(text));
    cr_assert_null(statements_intern(ss, me, span_of(text, longest + 1), 0));
    cr_assert_eq(n_statements(), 4);
    statement_put(ss, me, statements_intern(ss, me, span_of(text, longest), 0));
    cr_assert_eq(n_statements(), 1);
    cr_assert_eq(statements_count(ss).n_bytes, 4 * size);
}

/* Those that are asked for again and again outlive a stream of others. */
Test(statements, used_ones_stay)
{
    uint64_t ids[64];

    open_for(1024);
    for (unsigned i = 0; i < 64; i++)
        ids[i] = visit(i);
    for (unsigned n = 0; n < 50000; n++) {
        cr_assert_eq(visit(n % 64), ids[n % 64]);
        cr_assert_neq(visit(1000 + n), 0);
        turn_until_quiet();
    }
    cr_assert_geq(n_statements(), 1024 - 1024 / 64 - 1);
}

/* ---- when memory is freed ---- */

/* Freed after the round has been everywhere, and not before. */
Test(statements, freed_after_every_thread_had_a_turn)
{
    struct span parse;
    struct statement *s;

    open_for(1);
    s = intern_number(0);
    parse = statement_parse(s);
    statement_put(ss, me, s);
    n_frees = 0;
    cr_assert_neq(visit(1), 0);
    for (unsigned i = 0; i <= N_REACTORS; i++) {
        cr_assert_eq(n_frees, 0);
        cr_assert(span_equal(parse, span_str("select 00000000")));
        cr_assert(turn(i));
    }
    cr_assert_eq(n_frees, 0);
    cr_assert(turn(me->number));
    cr_assert_eq(n_frees, 1);
    turn_until_quiet();
    cr_assert_eq(n_frees, 1);
}

/* What is dropped while a round is under way waits for the next one. */
Test(statements, a_round_frees_what_was_dropped_before_it)
{
    open_for(1);
    visit(0);
    visit(1);
    cr_assert(turn(0));
    visit(2);
    visit(3);
    n_frees = 0;
    for (unsigned i = 1; i <= N_REACTORS; i++)
        cr_assert(turn(i));
    cr_assert(turn(me->number));
    cr_assert_eq(n_frees, 1);
    for (unsigned i = 0; i <= N_REACTORS; i++)
        cr_assert(turn(i));
    cr_assert_eq(n_frees, 1);
    cr_assert(turn(me->number));
    cr_assert_eq(n_frees, 3);
    cr_assert_not(turn(0));
}

/* The end, with a round under way that nobody will end. */
Test(statements, freed_at_the_end)
{
    open_for(1);
    for (unsigned i = 0; i < 4; i++)
        visit(i);
    n_frees = 0;
    teardown();
    cr_assert_geq(n_frees, 4);
}

Test(statements, no_memory)
{
    struct statements_counts before, after;
    struct statement *s = intern_number(0);

    before = statements_count(ss);
    no_memory = true;
    cr_assert_eq(intern_number(0), s);
    cr_assert_null(intern_number(1));
    no_memory = false;
    after = statements_count(ss);
    cr_assert_eq(before.n_bytes, after.n_bytes);
    cr_assert_eq(before.n_statements, after.n_statements);
    cr_assert_neq(visit(1), 0);
    statement_put(ss, me, s);
    statement_put(ss, me, s);
}

Test(statements, no_memory_at_start)
{
    struct statements *none = NULL;

    no_memory = true;
    cr_assert_eq(statements_new(&none, &crew, PLENTY, NULL), -ENOMEM);
    no_memory = false;
    cr_assert_null(none);
    cr_assert_eq(statements_new(&none, &crew, 0, NULL), 0);
    cr_assert_null(statements_intern(none, me, span_str(""), 0));
    statements_free(none);
    statements_free(NULL);
}

/*
 * The races about the last reference of a statement, each in the one order in which it goes wrong:
 * a thread is held at a yield point until another one has done its step. The store has room for
 * one, so whoever makes a statement drops the other one or is refused. Nobody turns the loops, so
 * no round ends.
 */
#include "race.h"
#include "weir/pool/statements.h"
#include "weir/pool/thread.h"

#define ONE ((size_t)150) /* bytes: room for one of our statements, not for two */

struct scene {
    struct crew crew;
    struct arena *arena;
    struct statements *statements;
};

/* What another thread does. */
struct step {
    struct scene *scene;
    const char *text;
    struct statement *statement; /* interned, or put */
};

static struct thread *here(struct scene *s)
{
    return &s->crew.threads[0]; /* this thread; a step is on the other one */
}

static struct statement *intern(struct scene *s, const char *text)
{
    return statements_intern(s->statements, here(s), span_str(text), 0);
}

static void put(struct scene *s, struct statement *statement)
{
    statement_put(s->statements, here(s), statement);
}

static void do_intern(void *arg)
{
    struct step *step = arg;
    struct scene *s = step->scene;

    step->statement =
        statements_intern(s->statements, crew_control(&s->crew), span_str(step->text), 0);
}

static void do_put(void *arg)
{
    struct step *step = arg;
    struct scene *s = step->scene;

    statement_put(s->statements, crew_control(&s->crew), step->statement);
}

static void scene_init(struct scene *s, size_t max_bytes)
{
    static const struct arena_config chunks = {.chunk_size = 65536, .n_chunks = 4};
    struct loop_config config = {.engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail};

    *s = (struct scene){.crew.n_reactors = 1};
    RACE_CHECK(arena_new(&s->arena, &chunks) == 0);
    config.arena = s->arena;
    for (unsigned i = 0; i < 2; i++) {
        s->crew.threads[i] = (struct thread){.number = i, .crew = &s->crew};
        RACE_CHECK(loop_new(&s->crew.threads[i].loop, &config) == 0);
    }
    RACE_CHECK(statements_new(&s->statements, &s->crew, max_bytes, NULL) == 0);
}

static void scene_fini(struct scene *s)
{
    statements_free(s->statements);
    for (unsigned i = 0; i < 2; i++)
        loop_free(s->crew.threads[i].loop);
    arena_free(s->arena);
}

static uint64_t make_and_put(struct scene *s, const char *text)
{
    struct statement *statement = intern(s, text);

    RACE_CHECK(statement != NULL);
    uint64_t id = statement->id;

    put(s, statement);
    return id;
}

/* The store is as if nothing had been: what is held is found, what is not can be dropped. */
static void check_works(struct scene *s)
{
    struct statement *held = intern(s, "held");

    RACE_CHECK(held != NULL && intern(s, "other") == NULL && intern(s, "held") == held);
    put(s, held);
    put(s, held);
    RACE_CHECK(make_and_put(s, "other") != 0);
    RACE_CHECK(statements_count(s->statements).n_statements == 1);
}

static void taken_when_it_was_to_be_dropped(void)
{
    struct scene s;
    struct step dropper = {.scene = &s, .text = "b"};
    struct race_pause pause;
    struct statement *a;
    uint64_t id;

    scene_init(&s, ONE);
    id = make_and_put(&s, "a");
    race_pause_start(&pause, YIELD_REFS_JUDGING, do_intern, &dropper);
    a = intern(&s, "a");
    race_pause_end(&pause);
    RACE_CHECK(a != NULL && a->id == id && dropper.statement == NULL);
    RACE_CHECK(intern(&s, "a") == a);
    put(&s, a);
    put(&s, a);
    check_works(&s);
    scene_fini(&s);
}

static void dropped_when_it_was_to_be_taken(void)
{
    struct scene s;
    struct step finder = {.scene = &s, .text = "a"};
    struct race_pause pause;
    uint64_t id;

    scene_init(&s, ONE);
    id = make_and_put(&s, "a");
    race_pause_start(&pause, YIELD_REFS_TAKING, do_intern, &finder);
    make_and_put(&s, "b");
    race_pause_end(&pause);
    RACE_CHECK(finder.statement != NULL && finder.statement->id > id);
    RACE_CHECK(intern(&s, "a") == finder.statement);
    put(&s, finder.statement);
    put(&s, finder.statement);
    check_works(&s);
    scene_fini(&s);
}

/* With room for the second one's, which it then has no use for, or without. */
static void made_by_two(size_t max_bytes)
{
    struct scene s;
    struct step second = {.scene = &s, .text = "a"};
    struct race_pause pause;
    struct statement *a;

    scene_init(&s, max_bytes);
    race_pause_start(&pause, YIELD_STATEMENTS_MISSED, do_intern, &second);
    a = intern(&s, "a");
    race_pause_end(&pause);
    RACE_CHECK(second.statement == a);
    RACE_CHECK(statements_count(s.statements).n_statements == 1);
    RACE_CHECK(statements_count(s.statements).n_bytes < ONE);
    put(&s, a);
    put(&s, a);
    scene_fini(&s);
}

static void queued_and_dropped_by_others(void)
{
    struct scene s;
    struct step putter = {.scene = &s};
    struct race_pause pause;

    scene_init(&s, ONE);
    putter.statement = intern(&s, "a");
    race_pause_start(&pause, YIELD_REFS_PUT, do_put, &putter);
    make_and_put(&s, "a");
    make_and_put(&s, "b");
    race_pause_end(&pause);
    check_works(&s);
    scene_fini(&s);
}

static void queued_by_another(void)
{
    struct scene s;
    struct step putter = {.scene = &s};
    struct race_pause pause;

    scene_init(&s, ONE);
    putter.statement = intern(&s, "a");
    race_pause_start(&pause, YIELD_REFS_PUT, do_put, &putter);
    make_and_put(&s, "a");
    race_pause_end(&pause);
    check_works(&s);
    scene_fini(&s);
}

static void made_anew_before_it_is_unlinked(void)
{
    struct scene s;
    struct step dropper = {.scene = &s, .text = "b"};
    struct race_pause pause;
    struct statement *a;
    uint64_t id;

    scene_init(&s, ONE);
    id = make_and_put(&s, "a");
    race_pause_start(&pause, YIELD_STATEMENTS_DROPPED, do_intern, &dropper);
    a = intern(&s, "a");
    RACE_CHECK(a != NULL && a->id > id);
    race_pause_end(&pause);
    RACE_CHECK(dropper.statement == NULL);
    RACE_CHECK(intern(&s, "a") == a);
    put(&s, a);
    put(&s, a);
    check_works(&s);
    scene_fini(&s);
}

int main(void)
{
    (void)race_begin("race_dropping");
    taken_when_it_was_to_be_dropped();
    dropped_when_it_was_to_be_taken();
    made_by_two(ONE);
    made_by_two(2 * ONE);
    queued_and_dropped_by_others();
    queued_by_another();
    made_anew_before_it_is_unlinked();
    return 0;
}

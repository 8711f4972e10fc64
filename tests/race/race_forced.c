/*
 * The races of shelf, mask, mailbox and log by name, each in the one order in which it goes wrong:
 * a thread is held at a yield point until another one has done its step. Chance does not find all
 * of them, so each is forced, and each test fails if the rule it stands for is taken out.
 */
#include <stdio.h>

#include "race.h"
#include "weir/base/shelf.h"

#include "../../src/base/log_ring.h"

#define N_REACTORS 3

/* A pool in which reactors 0 and 1 have a shelf, and what one thread asks of it. */
struct scene {
    struct shelves v;
    struct shelf shelves[N_REACTORS];
    _Atomic(struct shelf *) each[N_REACTORS];
};

struct step {
    struct scene *scene;
    unsigned home;
    unsigned number; /* given, or what came of a take */
};

static void scene_init(struct scene *s)
{
    shelves_init(&s->v, N_REACTORS, s->each);
    for (unsigned r = 0; r < N_REACTORS; r++)
        shelf_init(&s->shelves[r]);
    for (unsigned r = 0; r < N_REACTORS - 1; r++)
        RACE_CHECK(shelves_add(&s->v, r, &s->shelves[r]) == &s->shelves[r]);
}

static void do_take(void *arg)
{
    struct step *s = arg;

    s->number = shelves_take(&s->scene->v, s->home);
}

static void do_give(void *arg)
{
    struct step *s = arg;

    shelves_give(&s->scene->v, s->home, s->number);
}

static bool idle_shown(const struct scene *s, unsigned reactor)
{
    return mask_read(&s->v.has_idle) & mask_bit(reactor);
}

/* ---- shelves */

static void two_thieves_for_the_last_server(void)
{
    struct scene s;
    struct step first = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    race_pause_start(&thief, YIELD_SHELF_SEEN, do_take, &first);
    RACE_CHECK(shelves_take(&s.v, 2) == 5);
    race_pause_end(&thief);
    RACE_CHECK(first.number == SHELF_NONE);
    RACE_CHECK(!idle_shown(&s, 0));
}

static void owner_against_thief_for_the_last_server(void)
{
    struct scene s;
    struct step owner = {.scene = &s, .home = 0};
    struct race_pause pause;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    race_pause_start(&pause, YIELD_SHELF_SEEN, do_take, &owner);
    RACE_CHECK(shelves_take(&s.v, 1) == 5);
    race_pause_end(&pause);
    RACE_CHECK(owner.number == SHELF_NONE);
}

static void steal_against_give_of_the_same_word(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    race_pause_start(&thief, YIELD_SHELF_SEEN, do_take, &steal);
    shelves_give(&s.v, 0, 3);
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 5 || steal.number == 3);
    RACE_CHECK(shelves_take(&s.v, 0) == (steal.number == 5 ? 3 : 5)); /* neither is lost */
    RACE_CHECK(shelves_take(&s.v, 0) == SHELF_NONE);
}

static void check_takes_what_a_thief_has_seen(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    shelves_give(&s.v, 0, 9);
    race_pause_start(&thief, YIELD_SHELF_SEEN, do_take, &steal);
    RACE_CHECK(shelf_take_this(&s.shelves[0], 5));
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 9);
}

/* A giver sees the bit still set and leaves it to the thief, who is about to clear it: the thief
 * must look once more, show the shelf again and take (M_MASK_NO_SECOND_LOOK). */
static void give_before_the_bit_is_cleared(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    RACE_CHECK(shelves_take(&s.v, 0) == 5);
    race_pause_start(&thief, YIELD_SHELF_FOUND_EMPTY, do_take, &steal);
    shelves_give(&s.v, 0, 6);
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 6);
    shelves_give(&s.v, 0, 6);
    RACE_CHECK(idle_shown(&s, 0));
}

static void give_after_the_bit_is_cleared(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    RACE_CHECK(shelves_take(&s.v, 0) == 5);
    race_pause_start(&thief, YIELD_SHELF_MASK_CLEARED, do_take, &steal);
    RACE_CHECK(!idle_shown(&s, 0));
    shelves_give(&s.v, 0, 6);
    RACE_CHECK(idle_shown(&s, 0));
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 6);
}

/* While the bit is away a third reactor sees nothing and goes to wait. That is harmless only
 * because the thief takes the server and so will release it, looking for waiters
 * (M_MASK_NOT_TAKEN). */
static void looker_while_the_bit_is_away(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;
    struct step give = {.scene = &s, .home = 0, .number = 6};
    struct race_pause giver;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    RACE_CHECK(shelves_take(&s.v, 0) == 5);
    race_pause_start(&thief, YIELD_SHELF_FOUND_EMPTY, do_take, &steal);
    race_pause_start(&giver, YIELD_SHELF_GIVEN, do_give, &give);
    race_pause_end(&giver); /* the server is there, its bit was still set */
    /* The thief now clears the bit; the third looks before it is set again. */
    race_pause_move(&thief, YIELD_SHELF_MASK_CLEARED);
    RACE_CHECK(shelves_take(&s.v, 2) == SHELF_NONE);
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 6);
}

/* The bit is set again, a third one takes the server before the thief does: the thief must go round
 * once more, and in the end nothing is shown and nothing is there. */
static void server_gone_after_the_bit_was_set_again(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    RACE_CHECK(shelves_take(&s.v, 0) == 5);
    race_pause_start(&thief, YIELD_SHELF_FOUND_EMPTY, do_take, &steal);
    shelves_give(&s.v, 0, 6);
    race_pause_move(&thief, YIELD_SHELF_MASK_SET_AGAIN);
    RACE_CHECK(shelves_take(&s.v, 2) == 6);
    race_pause_end(&thief);
    RACE_CHECK(steal.number == SHELF_NONE);
    RACE_CHECK(!idle_shown(&s, 0));
}

/* The giver stops between server and bit, a thief comes by: whatever the thief does, the server is
 * shown in the end. Bit first and server after would lose it here. */
static void thief_between_server_and_bit(void)
{
    struct scene s;
    struct step give = {.scene = &s, .home = 0, .number = 5};
    struct race_pause giver;

    scene_init(&s);
    race_pause_start(&giver, YIELD_SHELF_GIVEN, do_give, &give);
    RACE_CHECK(shelves_take(&s.v, 1) == SHELF_NONE);
    race_pause_end(&giver);
    RACE_CHECK(idle_shown(&s, 0));
    RACE_CHECK(shelves_take(&s.v, 1) == 5);
}

/* ---- parts and words */

struct first_use {
    struct scene *scene;
    struct shelf *mine, *has;
};

static void do_add(void *arg)
{
    struct first_use *u = arg;

    u->has = shelves_add(&u->scene->v, 2, u->mine);
    shelves_give(&u->scene->v, 2, 5);
}

/* Reactor 2 uses the pool for the first time; a thief and control come by meanwhile. */
static void first_use_against_thief_and_control(void)
{
    struct scene s;
    struct shelf of_control;
    struct first_use use = {.scene = &s, .mine = &s.shelves[2]};
    struct race_pause user;

    scene_init(&s);
    shelf_init(&of_control);
    race_pause_start(&user, YIELD_SHELF_ADDING, do_add, &use);
    RACE_CHECK(shelves_take(&s.v, 0) == SHELF_NONE);
    RACE_CHECK(shelves_add(&s.v, 2, &of_control) == &of_control);
    shelves_give(&s.v, 2, 9);
    race_pause_end(&user);
    RACE_CHECK(use.has == &of_control);
    RACE_CHECK(shelves_take(&s.v, 0) == 5 && shelves_take(&s.v, 2) == 9);
}

static void first_use_seen_by_a_thief_at_every_step(void)
{
    struct scene s;
    struct first_use use = {.scene = &s, .mine = &s.shelves[2]};
    struct race_pause user;

    scene_init(&s);
    race_pause_start(&user, YIELD_SHELF_GIVEN, do_add, &use);
    RACE_CHECK(shelves_get(&s.v, 2) == &s.shelves[2]);
    RACE_CHECK(shelves_take(&s.v, 1) == SHELF_NONE); /* not shown yet */
    race_pause_end(&user);
    RACE_CHECK(shelves_take(&s.v, 1) == 5);
}

/* Server 64 is opened and given while a thief has searched the one word of before: its second look
 * must know of the second word. */
static void second_word_against_a_thief(void)
{
    struct scene s;
    struct step steal = {.scene = &s, .home = 1};
    struct race_pause thief;

    scene_init(&s);
    shelves_give(&s.v, 0, 5);
    RACE_CHECK(shelves_take(&s.v, 0) == 5);
    race_pause_start(&thief, YIELD_SHELF_FOUND_EMPTY, do_take, &steal);
    shelves_make_room(&s.v, 64);
    shelves_give(&s.v, 0, 64);
    race_pause_end(&thief);
    RACE_CHECK(steal.number == 64);
}

/* ---- sleep against post */

struct call {
    struct mailbox *box;
    struct mail mail;
    bool answer; /* of sleep: may wait; of push: must wake */
};

static void do_sleep(void *arg)
{
    struct call *c = arg;

    c->answer = mailbox_sleep(c->box);
}

static void do_push(void *arg)
{
    struct call *c = arg;

    c->answer = mailbox_push(c->box, &c->mail);
}

/* Mail comes between "asleep" and the last look. Either the consumer stays up or the producer wakes
 * it (M_LOOK_THEN_SLEEP). */
static void post_while_going_to_sleep(void)
{
    struct mailbox box;
    struct call sleep = {.box = &box}, push = {.box = &box};
    struct race_pause consumer;

    mailbox_init(&box);
    race_pause_start(&consumer, YIELD_MAILBOX_SLEEPING, do_sleep, &sleep);
    do_push(&push);
    race_pause_end(&consumer);
    RACE_CHECK(push.answer || !sleep.answer);
    RACE_CHECK(mailbox_take_all(&box) == &push.mail);
}

/* The producer has pushed and not looked; the consumer, asked to sleep, must see the mail. */
static void sleep_between_push_and_look(void)
{
    struct mailbox box;
    struct call sleep = {.box = &box}, push = {.box = &box};
    struct race_pause producer;

    mailbox_init(&box);
    race_pause_start(&producer, YIELD_MAILBOX_PUSHED, do_push, &push);
    do_sleep(&sleep);
    race_pause_end(&producer);
    RACE_CHECK(push.answer || !sleep.answer);
}

/* Two producers see the same sleeper: one of them wakes it. */
static void two_producers_see_one_sleeper(void)
{
    struct mailbox box;
    struct call first = {.box = &box}, second = {.box = &box};
    struct race_pause producer;

    mailbox_init(&box);
    RACE_CHECK(mailbox_sleep(&box));
    race_pause_start(&producer, YIELD_MAILBOX_SEEN_ASLEEP, do_push, &first);
    do_push(&second);
    race_pause_end(&producer);
    RACE_CHECK(second.answer && !first.answer);
}

/* A timer ends the wait while a producer is about to wake: nobody need wake, and the mail is
 * found before the next sleep. */
static void consumer_awakes_by_itself(void)
{
    struct mailbox box;
    struct call push = {.box = &box};
    struct race_pause producer;

    mailbox_init(&box);
    RACE_CHECK(mailbox_sleep(&box));
    race_pause_start(&producer, YIELD_MAILBOX_SEEN_ASLEEP, do_push, &push);
    mailbox_awake(&box);
    RACE_CHECK(!mailbox_sleep(&box));
    race_pause_end(&producer);
    RACE_CHECK(!push.answer);
    RACE_CHECK(mailbox_take_all(&box) == &push.mail);
}

/* ---- a log ring and its writer */

struct logging {
    struct log_ring *ring;
    bool answer; /* of note: must post; of hush: the thread has left */
};

static void put_line(struct log_ring *r)
{
    RACE_CHECK(log_ring_put(r, &(struct log_record){.text = "line", .len = 4}));
}

static void do_log(void *arg)
{
    struct logging *l = arg;

    put_line(l->ring);
    l->answer = log_ring_note(l->ring, LOG_RING_NOTED);
}

static void do_hush(void *arg)
{
    struct logging *l = arg;

    l->answer = log_ring_hush(l->ring);
}

static unsigned read_lines(struct log_ring *r)
{
    size_t head = log_ring_head(r);
    struct log_record record;
    unsigned n = 0;

    for (; log_ring_peek(r, head, &record); n++)
        log_ring_drop(r, &record);
    return n;
}

/* The writer reads a line of which it has not been told: it is told of nothing later. */
static void line_read_before_it_is_noted(void)
{
    struct log_ring *r = log_ring_new(NULL, "test", LOG_RING_SIZE_MIN);
    struct logging second = {.ring = r};
    struct race_pause producer;

    RACE_CHECK(r != NULL);
    put_line(r);
    RACE_CHECK(log_ring_note(r, LOG_RING_NOTED));
    race_pause_start(&producer, YIELD_LOG_PUT, do_log, &second);
    RACE_CHECK(!log_ring_hush(r) && read_lines(r) == 2);
    race_pause_end(&producer);
    RACE_CHECK(second.answer);
    RACE_CHECK(!log_ring_hush(r) && read_lines(r) == 0);
    log_ring_free(r);
}

/* A line, and the thread's end, come when the writer has hushed the ring: it is told anew. */
static void line_and_end_between_hush_and_read(void)
{
    struct log_ring *r = log_ring_new(NULL, "test", LOG_RING_SIZE_MIN);
    struct logging hush = {.ring = r};
    struct race_pause writer;

    RACE_CHECK(r != NULL);
    put_line(r);
    RACE_CHECK(log_ring_note(r, LOG_RING_NOTED));
    race_pause_start(&writer, YIELD_LOG_HUSHED, do_hush, &hush);
    put_line(r);
    RACE_CHECK(log_ring_note(r, LOG_RING_NOTED));
    RACE_CHECK(!log_ring_note(r, LOG_RING_LEFT)); /* it is posted already */
    race_pause_end(&writer);
    RACE_CHECK(!hush.answer && read_lines(r) == 2);
    RACE_CHECK(log_ring_hush(r) && read_lines(r) == 0);
    log_ring_free(r);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } races[] = {
        {"two thieves for the last server", two_thieves_for_the_last_server},
        {"owner against thief for the last server", owner_against_thief_for_the_last_server},
        {"steal against give of the same word", steal_against_give_of_the_same_word},
        {"check takes what a thief has seen", check_takes_what_a_thief_has_seen},
        {"give before the bit is cleared", give_before_the_bit_is_cleared},
        {"give after the bit is cleared", give_after_the_bit_is_cleared},
        {"looker while the bit is away", looker_while_the_bit_is_away},
        {"server gone after the bit was set again", server_gone_after_the_bit_was_set_again},
        {"thief between server and bit", thief_between_server_and_bit},
        {"first use against thief and control", first_use_against_thief_and_control},
        {"first use seen by a thief at every step", first_use_seen_by_a_thief_at_every_step},
        {"second word against a thief", second_word_against_a_thief},
        {"post while going to sleep", post_while_going_to_sleep},
        {"sleep between push and look", sleep_between_push_and_look},
        {"two producers see one sleeper", two_producers_see_one_sleeper},
        {"consumer awakes by itself", consumer_awakes_by_itself},
        {"line read before it is noted", line_read_before_it_is_noted},
        {"line and end between hush and read", line_and_end_between_hush_and_read},
    };

    race_begin("race_forced");
    for (unsigned i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
        printf("%s\n", races[i].name);
        races[i].run();
    }
    return 0;
}

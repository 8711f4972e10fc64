/* The mailbox in one thread: order, emptiness, and who must wake whom. Races: tests/race. */
#include <criterion/criterion.h>

#include "weir/base/mailbox.h"

struct letter {
    int number;
    struct mail mail;
};

static int number_of(struct mail *m)
{
    return CONTAINER_OF(m, struct letter, mail)->number;
}

Test(mailbox, empty_gives_nothing)
{
    struct mailbox b;

    mailbox_init(&b);
    cr_assert_null(mailbox_take_all(&b));
}

Test(mailbox, takes_everything_oldest_first)
{
    struct letter letters[5];
    struct mailbox b;
    int expected = 0;

    mailbox_init(&b);
    for (int i = 0; i < 5; i++) {
        letters[i].number = i;
        cr_assert_not(mailbox_push(&b, &letters[i].mail), "the consumer is awake");
    }
    for (struct mail *m = mailbox_take_all(&b); m != NULL; m = m->next)
        cr_assert_eq(number_of(m), expected++);
    cr_assert_eq(expected, 5);
    cr_assert_null(mailbox_take_all(&b));
}

Test(mailbox, mail_can_be_sent_again_once_taken)
{
    struct letter l = {.number = 7};
    struct mailbox b;

    mailbox_init(&b);
    for (int i = 0; i < 3; i++) {
        struct mail *m;

        cr_assert_not(mailbox_push(&b, &l.mail));
        m = mailbox_take_all(&b);
        cr_assert_eq(m, &l.mail);
        cr_assert_null(m->next);
    }
}

Test(mailbox, only_the_first_push_wakes_a_sleeper)
{
    struct letter letters[2] = {{.number = 0}, {.number = 1}};
    struct mailbox b;

    mailbox_init(&b);
    cr_assert(mailbox_sleep(&b));
    cr_assert(mailbox_push(&b, &letters[0].mail));
    cr_assert_not(mailbox_push(&b, &letters[1].mail));
}

Test(mailbox, does_not_sleep_beside_mail)
{
    struct letter letters[2] = {{.number = 0}, {.number = 1}};
    struct mailbox b;

    mailbox_init(&b);
    cr_assert_not(mailbox_push(&b, &letters[0].mail));
    cr_assert_not(mailbox_sleep(&b));
    cr_assert_not(mailbox_push(&b, &letters[1].mail), "sleep said no, so nobody is asleep");
}

Test(mailbox, nobody_is_woken_after_awake)
{
    struct letter l = {.number = 0};
    struct mailbox b;

    mailbox_init(&b);
    cr_assert(mailbox_sleep(&b));
    mailbox_awake(&b); /* a timer ended the wait */
    cr_assert_not(mailbox_push(&b, &l.mail));
    mailbox_awake(&b);
    cr_assert_eq(mailbox_take_all(&b), &l.mail);
}

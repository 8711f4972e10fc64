/* Letters and rounds; see weir/pool/thread.h. Any thread. */
#include "weir/pool/thread.h"

void thread_open_mail(void *ctx, struct mail *m)
{
    struct thread *self = ctx;
    struct letter *l = CONTAINER_OF(m, struct letter, mail);

    l->open(l, self);
}

static void travel(struct letter *l, struct thread *self)
{
    struct round *r = CONTAINER_OF(l, struct round, letter);
    struct crew *crew = self->crew;

    if (r->next > crew->n_reactors) {
        r->done(r, self);
        return;
    }
    r->visit(r, self);
    r->next++;
    thread_post(&crew->threads[r->next > crew->n_reactors ? r->home : r->next], l);
}

void round_start(struct round *r, struct thread *self)
{
    r->letter.open = travel;
    r->home = self->number;
    r->next = 0;
    thread_post(&self->crew->threads[0], &r->letter);
}

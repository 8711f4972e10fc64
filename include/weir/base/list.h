/*
 * Intrusive doubly linked list. The head is a link of its own; an empty list points at itself; a
 * link that is on no list has next == NULL, so an object can tell whether it is listed.
 * Not thread-safe: a list belongs to one thread.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/base/check.h"

struct list_link {
    struct list_link *prev, *next;
};

struct list {
    struct list_link head;
};

static inline void list_init(struct list *l)
{
    l->head.prev = l->head.next = &l->head;
}

static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

static inline bool list_linked(const struct list_link *link)
{
    return link->next != NULL;
}

static inline void list_insert_before(struct list_link *at, struct list_link *link)
{
    ASSERT(!list_linked(link));
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_push_back(struct list *l, struct list_link *link)
{
    list_insert_before(&l->head, link);
}

static inline void list_push_front(struct list *l, struct list_link *link)
{
    list_insert_before(l->head.next, link);
}

/* Takes the link off whatever list it is on. */
static inline void list_remove(struct list_link *link)
{
    ASSERT(list_linked(link));
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* The first link, still on the list; NULL if the list is empty. */
static inline struct list_link *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}

/* Takes the first link off; NULL if the list is empty. */
static inline struct list_link *list_pop_front(struct list *l)
{
    struct list_link *link = list_first(l);

    if (link != NULL)
        list_remove(link);
    return link;
}

/* Moves everything of from to the end of to; from is empty afterwards. O(1). */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->head.next->prev = to->head.prev;
    to->head.prev->next = from->head.next;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    list_init(from);
}

#define LIST_ITEM(link, type, member) CONTAINER_OF(link, type, member)

/* The body may remove the current link (and no other). */
/* NOLINTBEGIN(bugprone-macro-parentheses): link is a name that the loop declares */
#define LIST_FOREACH(link, l)                                                                      \
    for (struct list_link *link = (l)->head.next, *link##_next = link->next; link != &(l)->head;   \
         link = link##_next, link##_next = link->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif

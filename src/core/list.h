#pragma once

/*
 * Intrusive doubly linked lists. A node that is in no list points at itself, so list_remove twice
 * is harmless after list_node_init.
 */

#include "core/defs.h"

struct list_node {
    struct list_node *next;
    struct list_node *prev;
};

struct list {
    struct list_node head;
};

static inline void list_node_init(struct list_node *n)
{
    n->next = n;
    n->prev = n;
}

static inline void list_init(struct list *l)
{
    list_node_init(&l->head);
}

static inline bool list_is_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

static inline bool list_node_is_linked(const struct list_node *n)
{
    return n->next != NULL && n->next != n;
}

static inline void list_insert_before(struct list_node *at, struct list_node *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_insert_before(&l->head, n);
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_insert_before(l->head.next, n);
}

static inline void list_remove(struct list_node *n)
{
    if (!list_node_is_linked(n))
        return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_node_init(n);
}

/* First node without taking it, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
    return list_is_empty(l) ? NULL : l->head.next;
}

static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);

    if (n)
        list_remove(n);
    return n;
}

/* The body may remove the current entry, and only that one; break and continue work as usual. */
#define LIST_FOR_EACH(var, list_ptr, type, member)                      \
    for (type *var = CONTAINER_OF((list_ptr)->head.next, type, member), \
              *nx_##var = CONTAINER_OF(var->member.next, type, member); \
         &var->member != &(list_ptr)->head;                             \
         var = nx_##var, nx_##var = CONTAINER_OF(nx_##var->member.next, type, member))

/* Lists of strings: what sources list, sorted as the hosted service sorts. */

#include "policy/policy_internal.h"

int text_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void listing_init(struct listing *t)
{
    *t = (struct listing){.arena = arena_new()};
}

void listing_fini(struct listing *t)
{
    mem_free(t->items);
    arena_free(t->arena);
    *t = (struct listing){0};
}

void listing_add(void *listing, struct str text)
{
    struct listing *t = listing;

    t->items = mem_room(t->items, t->len, &t->cap, 32, sizeof *t->items);
    t->items[t->len++] = arena_copy(t->arena, text);
}

void listing_sort(struct listing *t)
{
    size_t n = 0;

    if (t->len)
        qsort(t->items, t->len, sizeof *t->items, text_cmp);
    for (size_t i = 0; i < t->len; i++)
        if (n == 0 || !str_eq(t->items[n - 1], t->items[i]))
            t->items[n++] = t->items[i];
    t->len = n;
}

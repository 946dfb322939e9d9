/*
 * What an author should know about a policy that is valid: see policy_lint in policy.h.
 */

#include "policy/reach_internal.h"

#include <stdlib.h>

struct lint {
    const struct policy *p;
    struct arena *arena;
    struct policy_finding *items;
    size_t len;
    size_t cap;
};

static void find(struct lint *l, struct policy_pos pos, struct str text)
{
    if (l->len == l->cap) {
        l->cap = MAX(l->cap * 2, (size_t)16);
        l->items = mem_realloc_array(l->items, l->cap, sizeof *l->items);
    }
    l->items[l->len++] = (struct policy_finding){pos, text};
}

static void lint_groups(struct lint *l)
{
    const struct policy_document *d = policy_document(l->p);

    for (size_t i = 0; i < d->n_groups; i++)
        if (d->groups[i].members.len == 0)
            find(l, d->groups[i].pos,
                 arena_printf(l->arena, "%.*s has no members", STR_ARG(d->groups[i].name)));
}

static int by_pos(const void *a, const void *b)
{
    const struct policy_finding *x = a, *y = b;

    if (x->pos.line != y->pos.line)
        return x->pos.line < y->pos.line ? -1 : 1;
    return (x->pos.col > y->pos.col) - (x->pos.col < y->pos.col);
}

void policy_lint(const struct policy *p, struct arena *arena, struct policy_findings *out)
{
    const struct policy_document *d = policy_document(p);
    struct lint l = {.p = p, .arena = arena};

    *out = (struct policy_findings){0};
    if (!d)
        return;
    for (size_t i = 0; i < d->undelivered.len; i++)
        find(&l, d->undelivered.items[i].pos, arena_copy(arena, d->undelivered.items[i].text));
    lint_groups(&l);
    if (l.len)
        qsort(l.items, l.len, sizeof *l.items, by_pos);
    out->items = arena_alloc(arena, l.len * sizeof *l.items);
    for (size_t i = 0; i < l.len; i++)
        out->items[out->len++] = l.items[i];
    mem_free(l.items);
}

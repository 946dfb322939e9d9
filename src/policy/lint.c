/*
 * What an author should know about a policy that is valid: see policy_lint in policy.h.
 *
 * A finding that depends on who is there says "at present". A tailnet without machines has none of
 * these: there everything would be missing.
 */

#include "policy/lint_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void lint_find(struct lint *l, struct policy_pos pos, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (l->len == LINT_FINDINGS_MAX)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    l->items = mem_room(l->items, l->len, &l->cap, 16, sizeof *l->items);
    l->items[l->len++] = (struct policy_finding){pos, arena_copy(l->arena, str_from(text))};
}

bool lint_work(struct lint *l, uint64_t n)
{
    l->work += n;
    return l->work <= LINT_WORK_MAX;
}

bool lint_has_nodes(const struct lint *l, const roaring_bitmap_t *classes)
{
    return classes && roaring_bitmap_intersect(classes, l->live);
}

bool lint_has_guest(const struct lint *l, const struct policy_selector *s)
{
    const struct guests *g = l->p->guests;

    for (size_t i = 0; g && i < g->len; i++)
        if (selector_has_guest(s, &g->items[i]))
            return true;
    return false;
}

static void find_live(struct lint *l)
{
    struct rows_at at = {0};
    const struct member *m;

    l->live = roaring_bitmap_create();
    l->sample = arena_alloc(l->arena, (l->p->shape->n_classes + 1) * sizeof(*l->sample));
    while ((m = rows_next(&l->p->members, &at))) {
        roaring_bitmap_add(l->live, m->cls);
        if (!l->sample[m->cls])
            l->sample[m->cls] = m;
    }
}

/* By place, then text, each once. */
static int by_place(const void *a, const void *b)
{
    const struct policy_finding *x = a, *y = b;

    if (x->pos.line != y->pos.line)
        return x->pos.line < y->pos.line ? -1 : 1;
    if (x->pos.col != y->pos.col)
        return x->pos.col < y->pos.col ? -1 : 1;
    return str_cmp(x->text, y->text);
}

static void settle(struct lint *l, struct policy_findings *out)
{
    if (l->len)
        qsort(l->items, l->len, sizeof *l->items, by_place);
    out->items = arena_alloc(l->arena, (l->len + 1) * sizeof *l->items);
    for (size_t i = 0; i < l->len; i++)
        if (out->len == 0 || by_place(&out->items[out->len - 1], &l->items[i]) != 0)
            out->items[out->len++] = l->items[i];
}

void policy_lint(const struct policy *p, struct arena *arena, struct policy_findings *out)
{
    struct lint l = {.p = p, .d = policy_document(p), .arena = arena};

    *out = (struct policy_findings){0};
    if (!l.d)
        return;
    find_live(&l);
    for (size_t i = 0; i < l.d->undelivered.len; i++)
        lint_find(&l, l.d->undelivered.items[i].pos, "%.*s",
                  STR_ARG(l.d->undelivered.items[i].text));
    lint_names(&l);
    lint_rules(&l);
    lint_covered(&l);
    lint_ssh(&l);
    settle(&l, out);
    roaring_bitmap_free(l.live);
    mem_free(l.items);
}

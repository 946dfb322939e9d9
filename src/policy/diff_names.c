/*
 * What to call a set of machines: by the selectors of either document, by their users and tags, by
 * their own names where they are few.
 *
 * A name fits when its machines are just the set's; else the largest names inside the set are taken
 * one after another, and what is left is named one by one.
 */

#include "policy/diff_internal.h"

#include <stdlib.h>

/* Names and machines in one list; the rest is counted. */
#define PARTS_MAX 4
/* Names tried; a tailnet has no more that matter. */
#define NAMES_MAX 20000

static size_t count_nodes(const struct diff *d, const roaring_bitmap_t *kinds)
{
    roaring_uint32_iterator_t it;
    size_t n = 0;

    for (roaring_init_iterator(kinds, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        n += d->kinds[it.current_value].count;
    return n;
}

static void name_add(struct diff *d, struct map *seen, struct str label, roaring_bitmap_t *kinds)
{
    if (roaring_bitmap_is_empty(kinds) || d->n_names == NAMES_MAX || map_find(seen, label)) {
        roaring_bitmap_free(kinds);
        return;
    }
    if ((d->n_names & (d->n_names - 1)) == 0)
        d->names = mem_realloc_array(d->names, MAX(d->n_names * 2, (size_t)32), sizeof *d->names);
    d->names[d->n_names++] = (struct name){label, kinds, count_nodes(d, kinds)};
    (void)map_put(seen, label, d);
}

/* ---- Names from the tailnet ---- */

static bool is_all(const struct node *n, const void *arg)
{
    (void)n;
    (void)arg;
    return true;
}

static bool is_tagged(const struct node *n, const void *arg)
{
    (void)arg;
    return node_is_tagged(n);
}

static bool is_untagged(const struct node *n, const void *arg)
{
    (void)arg;
    return !node_is_tagged(n);
}

static bool is_users(const struct node *n, const void *arg)
{
    const struct user *u = arg;

    return !node_is_tagged(n) && n->user == u->id;
}

static bool has_tag(const struct node *n, const void *arg)
{
    const struct str *tag = arg;

    return str_list_has(&n->tags, *tag);
}

/* A name is of use only when it divides no kind. */
static void name_nodes(struct diff *d, struct map *seen, struct str label,
                       bool (*is)(const struct node *n, const void *arg), const void *arg)
{
    roaring_bitmap_t *kinds = roaring_bitmap_create();

    for (uint32_t k = 0; k < d->n_kinds; k++) {
        size_t n = 0;

        for (size_t i = d->from[k]; i < d->from[k + 1]; i++)
            n += is(d->nodes[i], arg);
        if (n == d->kinds[k].count) {
            roaring_bitmap_add(kinds, k);
        } else if (n) {
            roaring_bitmap_free(kinds);
            return;
        }
    }
    name_add(d, seen, label, kinds);
}

static void name_tags(struct diff *d, struct map *seen)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(d->view, &at));)
        for (size_t i = 0; i < n->tags.len; i++)
            if (!map_find(seen, n->tags.items[i]) && diff_work(d, view_node_count(d->view)))
                name_nodes(d, seen, n->tags.items[i], has_tag, &n->tags.items[i]);
}

static void name_users(struct diff *d, struct map *seen)
{
    const struct user *const *users;
    size_t n;

    users = view_users(d->view, &n);
    if (n * view_node_count(d->view) > DIFF_WORK_MAX / 8)
        return;
    for (size_t i = 0; i < n; i++) {
        struct str login = users[i]->email.len ? users[i]->email : users[i]->name;

        name_nodes(d, seen, login, is_users, users[i]);
    }
}

/* ---- Names from the documents ---- */

static bool is_name(const struct policy_selector *s, int pass)
{
    switch (s->kind) {
    case SELECTOR_TAG:
    case SELECTOR_GROUP:
        return pass == 0;
    case SELECTOR_AUTOGROUP:
    case SELECTOR_DOMAIN:
        return pass == 1;
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
    case SELECTOR_IPSET:
        return pass == 2;
    case SELECTOR_USER:
    case SELECTOR_WILDCARD:
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        return false;
    }
    return false;
}

static void name_selectors(struct diff *d, struct map *seen, int side, int pass)
{
    const struct shape *s = d->p[side]->shape;

    for (size_t i = 0; i < s->doc->n_selectors; i++) {
        const struct policy_selector *sel = s->doc->selectors[i];
        roaring_bitmap_t *kinds;

        if (!is_name(sel, pass) || !s->own[i] || map_find(seen, sel->text) ||
            !diff_work(d, d->n_kinds))
            continue;
        kinds = roaring_bitmap_create();
        for (uint32_t k = 0; k < d->n_kinds; k++)
            if (d->kinds[k].cls[side] && class_in(s->own[i], d->kinds[k].cls[side]))
                roaring_bitmap_add(kinds, k);
        name_add(d, seen, sel->text, kinds);
    }
}

void diff_make_names(struct diff *d)
{
    struct map *seen = map_new();

    name_nodes(d, seen, STR("every machine"), is_all, NULL);
    name_selectors(d, seen, AFTER, 0);
    name_selectors(d, seen, BEFORE, 0);
    name_tags(d, seen);
    name_nodes(d, seen, STR("autogroup:member"), is_untagged, NULL);
    name_nodes(d, seen, STR("autogroup:tagged"), is_tagged, NULL);
    name_users(d, seen);
    name_selectors(d, seen, AFTER, 1);
    name_selectors(d, seen, BEFORE, 1);
    name_selectors(d, seen, AFTER, 2);
    name_selectors(d, seen, BEFORE, 2);
    map_free(seen);
}

void diff_free_names(struct diff *d)
{
    for (size_t i = 0; i < d->n_names; i++)
        roaring_bitmap_free(d->names[i].kinds);
    mem_free(d->names);
}

/* ---- A list in words ---- */

struct list {
    struct diff *d;
    size_t parts;
};

static void next_part(struct list *l)
{
    buf_put(l->d->out, l->parts++ ? STR(", ") : STR_NONE);
}

static void put_name(struct list *l, const struct name *name)
{
    struct diff *d = l->d;

    next_part(l);
    buf_put(d->out, name->label);
    if (name->nodes == 1)
        buf_printf(d->out, " (%.*s)",
                   STR_ARG(d->kinds[roaring_bitmap_minimum(name->kinds)].first->given_name));
    else
        buf_printf(d->out, " (%zu machines)", name->nodes);
}

static const struct name *exact_name(const struct diff *d, const roaring_bitmap_t *set)
{
    for (size_t i = 0; i < d->n_names; i++)
        if (roaring_bitmap_equals(d->names[i].kinds, set))
            return &d->names[i];
    return NULL;
}

/* The name of most machines that has none but those of the set. */
static const struct name *largest_name(const struct diff *d, const roaring_bitmap_t *set)
{
    const struct name *best = NULL;

    for (size_t i = 0; i < d->n_names; i++)
        if ((!best || d->names[i].nodes > best->nodes) &&
            roaring_bitmap_is_subset(d->names[i].kinds, set))
            best = &d->names[i];
    return best;
}

static void put_single(struct list *l, const roaring_bitmap_t *set)
{
    struct diff *d = l->d;
    roaring_uint32_iterator_t it;
    size_t n = 0, all = count_nodes(d, set);

    for (roaring_init_iterator(set, &it); it.has_value && n < PARTS_MAX;
         roaring_advance_uint32_iterator(&it))
        for (size_t i = d->from[it.current_value];
             i < d->from[it.current_value + 1] && n < PARTS_MAX; i++, n++) {
            next_part(l);
            buf_put(d->out, d->nodes[i]->given_name);
        }
    if (all > n)
        buf_printf(d->out, " and %zu more machines", all - n);
}

static void put_kinds(struct list *l, roaring_bitmap_t *set)
{
    const struct name *name = exact_name(l->d, set);

    if (roaring_bitmap_is_empty(set))
        return;
    if (name) {
        put_name(l, name);
        return;
    }
    for (int i = 0; i < PARTS_MAX && (name = largest_name(l->d, set)); i++) {
        put_name(l, name);
        roaring_bitmap_andnot_inplace(set, name->kinds);
    }
    put_single(l, set);
}

/* ---- Places ---- */

static void put_routers(struct diff *d, struct ip_addr addr)
{
    const char *word = " behind ";
    size_t n = 0;

    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < d->p[side]->routers->len; i++) {
            const struct router *r = &d->p[side]->routers->items[i];
            const struct node *node = policy_node_find(d->view, r->id);
            bool has = false;

            for (size_t k = 0; k < r->n_routes; k++)
                has |= ip_prefix_contains(r->routes[k], addr);
            /* Told of the one side where both have it. */
            if (!has || !node || (side == AFTER && policy_router_find(d->p[BEFORE], r->id)))
                continue;
            if (n++ < PARTS_MAX)
                buf_printf(d->out, "%s%.*s", word, STR_ARG(node->given_name));
            word = ", ";
        }
}

static void put_places(struct list *l, struct crowd c)
{
    struct diff *d = l->d;
    struct ip_set set = {0};
    bool internet = false;

    for (size_t i = 0; i < c.len; i++) {
        const struct place *p;

        if (c.items[i] < d->n_kinds)
            continue;
        p = &d->places[c.items[i] - d->n_kinds];
        internet |= p->internet;
        if (!p->internet)
            ip_set_add(&set, p->range);
    }
    for (size_t i = 0; i < MIN(set.len, (size_t)PARTS_MAX); i++) {
        next_part(l);
        ip_range_put(d->out, set.ranges[i]);
        put_routers(d, set.ranges[i].first);
    }
    if (set.len > PARTS_MAX)
        buf_printf(d->out, " and %zu more ranges", set.len - PARTS_MAX);
    if (internet) {
        next_part(l);
        buf_put(d->out, STR("the internet"));
    }
    ip_set_fini(&set);
}

void diff_put_crowd(struct diff *d, struct crowd c)
{
    roaring_bitmap_t *kinds = roaring_bitmap_create();
    struct list l = {.d = d};

    for (size_t i = 0; i < c.len; i++)
        if (c.items[i] < d->n_kinds)
            roaring_bitmap_add(kinds, c.items[i]);
    put_kinds(&l, kinds);
    put_places(&l, c);
    roaring_bitmap_free(kinds);
}

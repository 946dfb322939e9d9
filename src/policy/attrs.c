/*
 * Node attributes, and what peers see of them. policy.md 12.
 *
 * Everything is decided per class: an entry of nodeAttrs targets a class when one of its targets
 * has the class's own addresses.
 */

#include "policy/policy_internal.h"

#include <string.h>

/* What an attribute brings along. */
static const struct {
    struct str attr;
    struct str also;
} companions[] = {
    {STR_INIT("funnel"), STR_INIT("https://tailscale.com/cap/funnel-ports?ports=443,8443,10000")},
    {STR_INIT("funnel"), STR_INIT("https://tailscale.com/cap/warn-funnel-no-https")},
};

static const struct str disable_ipv4 = STR_INIT("disable-ipv4");
static const struct str suggest_exit_node = STR_INIT("suggest-exit-node");
static const struct str randomize_client_port = STR_INIT("randomize-client-port");

/* The classes an entry targets. */
static roaring_bitmap_t *targeted(const struct shape *s, const struct policy_node_attr *a)
{
    roaring_bitmap_t *set = roaring_bitmap_create();

    for (size_t i = 0; i < a->targets.len; i++) {
        const struct policy_selector *sel = a->targets.items[i].selector;

        if (sel->kind == SELECTOR_WILDCARD ||
            (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_DANGER_ALL))
            roaring_bitmap_add_range_closed(set, 1, (uint32_t)s->n_classes);
        else if (s->own[sel->index])
            roaring_bitmap_or_inplace(set, s->own[sel->index]);
    }
    return set;
}

struct attr_list {
    struct str *items;
    size_t len;
    size_t cap;
};

static void attr_add(struct attr_list *l, struct str name)
{
    l->items = mem_room(l->items, l->len, &l->cap, 8, sizeof *l->items);
    l->items[l->len++] = name;
    for (size_t i = 0; i < ARRAY_LEN(companions); i++)
        if (str_eq(companions[i].attr, name))
            attr_add(l, companions[i].also);
}

static void keep_attrs(struct shape *s, struct policy_class *c, struct attr_list *l)
{
    if (l->len)
        qsort(l->items, l->len, sizeof *l->items, text_cmp);
    c->attrs = arena_alloc(s->arena, l->len * sizeof *c->attrs);
    for (size_t i = 0; i < l->len; i++)
        if (c->n_attrs == 0 || !str_eq(c->attrs[c->n_attrs - 1], l->items[i]))
            c->attrs[c->n_attrs++] = l->items[i];
}

static void add_entry(struct shape *s, const struct policy_node_attr *a, uint32_t index,
                      struct attr_list *of)
{
    roaring_bitmap_t *set = targeted(s, a);
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct policy_class *c = &s->classes[it.current_value - 1];

        for (size_t k = 0; k < a->attrs.len; k++)
            attr_add(&of[it.current_value - 1], a->attrs.items[k].text);
        if (a->n_app == 0)
            continue;
        if ((c->n_attr_apps & (c->n_attr_apps - 1)) == 0)
            c->attr_apps = mem_realloc_array(c->attr_apps, MAX(c->n_attr_apps * 2, (size_t)2),
                                             sizeof *c->attr_apps);
        c->attr_apps[c->n_attr_apps++] = index;
    }
    roaring_bitmap_free(set);
}

static void class_attrs(struct shape *s, struct attr_list *of)
{
    const struct policy_document *d = s->doc;

    for (size_t i = 0; i < d->n_node_attrs; i++)
        add_entry(s, &d->node_attrs[i], (uint32_t)i, of);
    for (size_t i = 0; i < s->n_classes; i++) {
        if (d->randomize_client_port)
            attr_add(&of[i], randomize_client_port);
        if (d->disable_ipv4)
            attr_add(&of[i], disable_ipv4);
        keep_attrs(s, &s->classes[i], &of[i]);
        mem_free(of[i].items);
    }
}

static bool class_has(const struct policy_class *c, struct str name)
{
    return c->n_attrs && bsearch(&name, c->attrs, c->n_attrs, sizeof name, text_cmp);
}

static void class_caps(struct shape *s, struct policy_class *c)
{
    struct buf text = BUF(0);
    struct json_writer w = JSON_WRITER(&text);

    json_begin_object(&w);
    for (size_t i = 0; i < s->n_terms; i++)
        if (s->terms[i].compact && class_in(s->terms[i].classes, c->id))
            json_field_null(&w, str_from(s->terms[i].cap));
    /* In the captures every approved exit node has it, with the attribute or without. */
    if (c->p.exit)
        json_field_null(&w, suggest_exit_node);
    if (w.comma) {
        json_end_object(&w);
        c->peer_caps = arena_copy(s->arena, buf_str(&text));
    }
    buf_fini(&text);
}

void shape_make_attrs(struct shape *s)
{
    struct attr_list *of = mem_alloc_array(s->n_classes, sizeof *of);

    class_attrs(s, of);
    mem_free(of);
    for (size_t i = 0; i < s->n_classes; i++) {
        struct policy_class *c = &s->classes[i];

        c->hides_v4 = class_has(c, disable_ipv4);
        class_caps(s, c);
        c->node_mark = mark_of(c->peer_caps);
        for (size_t k = 0; k < c->n_attrs; k++)
            mark_mix_mark(&c->node_mark, mark_of(c->attrs[k]));
        for (size_t k = 0; k < c->n_attr_apps; k++)
            mark_mix(&c->node_mark, c->attr_apps[k] + s->lineage);
    }
}

/* ---- Questions ---- */

static const struct policy_class *class_of(const struct policy *p, node_id node)
{
    const struct member *m = p->shape ? member_find(p, node) : NULL;

    return m ? member_class(p, m) : NULL;
}

size_t policy_attrs(const struct policy *p, node_id node, const struct str **names)
{
    const struct policy_class *c = class_of(p, node);

    *names = c ? c->attrs : NULL;
    return c ? c->n_attrs : 0;
}

bool policy_has_attr(const struct policy *p, node_id node, struct str name)
{
    const struct policy_class *c = class_of(p, node);

    return c && class_has(c, name);
}

/* Values of all entries that configure the same capability go in one list. */
static bool came_before(const struct policy *p, const struct policy_class *c, size_t at, size_t app,
                        struct str name)
{
    for (size_t i = 0; i <= at; i++) {
        const struct policy_node_attr *a = &p->shape->doc->node_attrs[c->attr_apps[i]];

        for (size_t k = 0; k < (i == at ? app : a->n_app); k++)
            if (str_eq(a->app[k].name, name))
                return true;
    }
    return false;
}

static void put_values(const struct policy *p, const struct policy_class *c, struct str name,
                       struct json_writer *w)
{
    for (size_t i = 0; i < c->n_attr_apps; i++) {
        const struct policy_node_attr *a = &p->shape->doc->node_attrs[c->attr_apps[i]];

        for (size_t k = 0; k < a->n_app; k++) {
            struct str inner = a->app[k].values;

            if (!str_eq(a->app[k].name, name) || inner.len < 2)
                continue;
            inner = str_trim(str_sub(inner, 1, inner.len - 2));
            if (inner.len)
                json_raw(w, inner);
        }
    }
}

void policy_put_attr_app(const struct policy *p, node_id node, struct json_writer *w)
{
    const struct policy_class *c = class_of(p, node);

    for (size_t i = 0; c && i < c->n_attr_apps; i++) {
        const struct policy_node_attr *a = &p->shape->doc->node_attrs[c->attr_apps[i]];

        for (size_t k = 0; k < a->n_app; k++) {
            if (came_before(p, c, i, k, a->app[k].name))
                continue;
            json_field_array(w, a->app[k].name);
            put_values(p, c, a->app[k].name, w);
            json_end_array(w);
        }
    }
}

struct str policy_peer_caps(const struct policy *p, node_id node)
{
    return policy_class_caps(p, policy_class_of(p, node));
}

bool policy_hides_ipv4(const struct policy *p, node_id node)
{
    return policy_class_hides_ipv4(p, policy_class_of(p, node));
}

struct policy_mark policy_node_mark(const struct policy *p, node_id node)
{
    const struct policy_class *c = class_of(p, node);

    return c ? c->node_mark : (struct policy_mark){0};
}

/*
 * From a document and a view to a policy; from one view to the next.
 *
 *   policy_compile --nothing it reads changed--> the policy before
 *                  --nodes of known classes came, went, moved--> its shape, new rows and sums
 *                  --anything else--> a new shape
 *                  --guests--> the same, and what lies over it (guests.c)
 *
 * Cost: a new shape is linear in nodes plus classes times links. A node of a known class that joins
 * costs one chunk of rows and an addition for each source that lists it.
 */

#include "policy/guests_internal.h"

#include <string.h>

static bool member_eq(const struct member *a, const struct member *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void put_device(struct policy *p, const struct member *m)
{
    if (p->shape->has_self && m->user)
        rows_put(&p->devices, &(struct device){{m->user, m->key[0]}});
}

static void make_derived(struct policy *p)
{
    policy_make_groups(p, POLICY_CANONICAL);
    policy_make_groups(p, POLICY_COMPACT);
    p->class_marks = mem_alloc_array(p->shape->n_classes * LAZY_N, sizeof *p->class_marks);
}

/* ---- From scratch ---- */

struct policy *policy_empty(void)
{
    struct policy *p = NEW(struct policy);

    ref_init(&p->ref);
    rows_init(&p->members, sizeof(struct member));
    rows_init(&p->devices, sizeof(struct device));
    return p;
}

static bool is_told(const struct policy_input *in, struct map **told, node_id id)
{
    tailnet_id tailnet = view_info(in->view)->id;

    if (!*told) {
        *told = map_new();
        for (size_t i = 0; i < in->n_changes; i++)
            if (in->changes[i].tailnet == tailnet && in->changes[i].kind == CHANGE_NODE)
                (void)map_put_u64(*told, in->changes[i].id, *told);
    }
    return map_find_u64(*told, id) != NULL;
}

/*
 * Whether no node came into another class, but those that changed themselves. Names that a policy
 * looks for may come to be other users': their nodes change class, and nothing tells of it.
 */
static bool classes_stay(const struct policy_input *in, const uint32_t *of_node)
{
    struct map *told = NULL;
    const struct node *n;
    bool same = true;

    for (size_t at = 0, i = 0; same && (n = policy_node_next(in->view, &at)); i++) {
        const struct member *was = member_find(in->before, n->id);

        same = (was && was->cls == of_node[i]) || is_told(in, &told, n->id);
    }
    map_free(told);
    return same;
}

static const struct policy *compile_all(const struct policy_input *in)
{
    uint32_t *of_node = mem_alloc_array(view_node_count(in->view), sizeof *of_node);
    struct policy *p = policy_empty();
    size_t at = 0, i = 0, n_routers = 0;
    const struct node *n;

    p->shape = shape_new(in->document, in->view, of_node);
    if (in->before && in->before->shape && classes_stay(in, of_node))
        shape_go_on(p->shape, in->before->shape);
    while ((n = policy_node_next(in->view, &at))) {
        struct member m = member_of(n, of_node[i++]);

        n_routers += class_is_router(member_class(p, &m));
        rows_put(&p->members, &m);
        put_device(p, &m);
    }
    p->routers = routers_new(n_routers);
    at = i = 0;
    while ((n = policy_node_next(in->view, &at))) {
        const struct policy_class *c = &p->shape->classes[of_node[i++] - 1];

        if (class_is_router(c))
            routers_add(p->routers, c, n);
    }
    routers_mark(p->routers);
    mem_free(of_node);
    policy_fix_sources(p);
    policy_make_sums(p);
    make_derived(p);
    return p;
}

/* ---- From the policy before ---- */

struct step {
    const struct policy_input *in;
    const struct policy *before;
    struct policy *p; /* NULL until something differs */
    struct profile_scratch scratch;
    bool routers_moved;
};

/* The same once more, to be changed; without what is derived, and guests. */
static struct policy *policy_again(const struct policy *b)
{
    struct policy *p = policy_empty();

    p->is_stand_in = b->is_stand_in;
    p->shape = shape_ref(b->shape);
    rows_fini(&p->members);
    rows_copy(&p->members, &b->members);
    rows_fini(&p->devices);
    rows_copy(&p->devices, &b->devices);
    ref_take(&b->routers->ref);
    p->routers = b->routers;
    for (int form = 0; form < 2; form++)
        p->sums[form] = mem_dup(b->sums[form], b->shape->n_sources * sizeof *b->sums[form]);
    p->term_counts = mem_dup(b->term_counts, b->shape->n_terms * sizeof *b->term_counts);
    return p;
}

static void step_begin(struct step *st)
{
    if (!st->p)
        st->p = policy_again(st->before);
}

/* Adds a member's addresses to whatever lists its class, or takes them away. */
static bool count_member(struct policy *p, const struct member *m, bool add)
{
    const struct shape *s = p->shape;
    struct sum sum = member_sum(m);

    for (size_t i = 0; i < s->n_terms; i++) {
        if (!class_in(s->terms[i].classes, m->cls))
            continue;
        p->term_counts[i] += add ? 1 : (size_t)-1;
        if ((s->terms[i].count >= COMPACT_MIN) != (p->term_counts[i] >= COMPACT_MIN))
            return false;
    }
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct source *src = &s->sources[i];

        if (src->everyone)
            continue;
        if (class_in(src->own, m->cls))
            (add ? sum_add : sum_sub)(&p->sums[POLICY_CANONICAL][i], sum);
        if (class_in(src->rest, m->cls))
            (add ? sum_add : sum_sub)(&p->sums[POLICY_COMPACT][i], sum);
    }
    return true;
}

static bool remove_member(struct step *st, const struct member *old)
{
    const struct policy_class *c = member_class(st->before, old);
    struct member copy = *old;

    if (class_is_router(c) || c->p.has_literal)
        return false;
    step_begin(st);
    (void)rows_remove(&st->p->members, copy.key[0], 0);
    if (copy.user)
        (void)rows_remove(&st->p->devices, copy.user, copy.key[0]);
    return count_member(st->p, &copy, false);
}

static bool add_member(struct step *st, const struct member *now, const struct policy_class *c)
{
    if (class_is_router(c) || c->p.has_literal)
        return false;
    step_begin(st);
    rows_put(&st->p->members, now);
    put_device(st->p, now);
    return count_member(st->p, now, true);
}

/* False: this takes a new shape. */
static bool step_node(struct step *st, node_id id)
{
    const struct policy *base = st->p ? st->p : st->before;
    const struct member *old = member_find(base, id);
    const struct node *n = policy_node_find(st->in->view, id);
    const struct policy_class *c;
    struct profile profile;
    struct member now;

    if (!n)
        return !old || remove_member(st, old);
    matcher_profile(base->shape->matcher, n, &st->scratch, &profile);
    c = shape_class(base->shape, &profile, &st->scratch);
    if (!c)
        return false;
    now = member_of(n, c->id);
    if (old && class_is_router(c) && old->cls == c->id)
        st->routers_moved = true;
    if (old && member_eq(old, &now))
        return true;
    if (old && !remove_member(st, old))
        return false;
    return add_member(st, &now, c);
}

static bool step_routers(struct step *st)
{
    const struct routers *old = st->before->routers;
    struct routers *r;

    if (!st->routers_moved)
        return true;
    r = routers_new(old->len);
    for (size_t i = 0; i < old->len; i++) {
        const struct node *n = policy_node_find(st->in->view, old->items[i].id);

        if (!n) {
            routers_unref(r);
            return false;
        }
        routers_add(r, &st->before->shape->classes[old->items[i].cls - 1], n);
    }
    routers_mark(r);
    if (policy_mark_eq(r->mark, old->mark)) {
        routers_unref(r);
        return true;
    }
    step_begin(st);
    routers_unref(st->p->routers);
    st->p->routers = r;
    return true;
}

/* Routes that are announced or approved and not served are told of as facts and private changes. */
#define MASKS_READ                                                                  \
    (NODE_NEW | NODE_CARD | NODE_ONLINE | NODE_PRIVATE | NODE_ACCESS | NODE_FACTS | \
     NODE_FACTS_PRIVATE)

static bool step_changes(struct step *st)
{
    tailnet_id tailnet = view_info(st->in->view)->id;

    for (size_t i = 0; i < st->in->n_changes; i++) {
        const struct change *c = &st->in->changes[i];

        if (c->tailnet != tailnet)
            continue;
        if (c->kind == CHANGE_USER || c->kind == CHANGE_USER_REMOVED)
            return false;
        if (c->kind == CHANGE_NODE_REMOVED && !step_node(st, c->id))
            return false;
        if (c->kind == CHANGE_NODE && (c->mask & MASKS_READ) && !step_node(st, c->id))
            return false;
    }
    return step_routers(st);
}

static const struct policy *compile_step(const struct policy_input *in)
{
    struct step st = {.in = in, .before = in->before};
    bool done = step_changes(&st);

    profile_scratch_fini(&st.scratch);
    if (!done) {
        policy_unref(st.p);
        return NULL;
    }
    if (!st.p)
        return policy_ref(in->before);
    make_derived(st.p);
    return st.p;
}

static struct policy *owned(const struct policy *p)
{
    return (struct policy *)(uintptr_t)p; /* only the count changes */
}

/* ---- Guests ---- */

static bool tells_of_guests(const struct policy_input *in)
{
    tailnet_id tailnet = view_info(in->view)->id;

    for (size_t i = 0; i < in->n_changes; i++) {
        const struct change *c = &in->changes[i];

        if (c->tailnet != tailnet)
            continue;
        if (c->kind == CHANGE_GUEST_REMOVED || c->kind == CHANGE_GUEST_USER ||
            c->kind == CHANGE_INFO ||
            (c->kind == CHANGE_GUEST && (c->mask & (MASKS_READ | NODE_ABROAD))) ||
            (c->kind == CHANGE_NODE && (c->mask & NODE_ABROAD)))
            return true;
    }
    return false;
}

/* Takes p, which knows own nodes only. */
static const struct policy *with_guests(const struct policy *p, const struct policy_input *in)
{
    const struct guests *before = in->before ? in->before->guests : NULL, *now;
    struct policy *next = owned(p);

    if (p == in->before && !tells_of_guests(in))
        return p;
    now = guests_new(p, in, before);
    if (p == in->before && now == before) {
        guests_unref(now);
        return p;
    }
    if (p == in->before) {
        next = policy_again(p);
        make_derived(next);
        policy_unref(p);
    }
    next->guests = now;
    if (now)
        next->guest_marks = mem_alloc_array(now->n_classes * LAZY_N, sizeof *next->guest_marks);
    return next;
}

static const struct policy *compile_own(const struct policy_input *in)
{
    const struct policy *p = NULL;

    if (in->before && in->before->shape && in->before->shape->doc == in->document)
        p = compile_step(in);
    return p ? p : compile_all(in);
}

/* Without a policy own nodes are not to be told from guests, so something must be said. */
static const struct policy *compile_stand_in(const struct policy_input *in)
{
    struct policy_input said = *in;
    const struct policy *p;

    said.document = in->before && in->before->is_stand_in
                        ? policy_document_ref(in->before->shape->doc)
                        : policy_open_document();
    p = compile_own(&said);
    if (p != in->before)
        owned(p)->is_stand_in = true;
    p = with_guests(p, &said);
    policy_document_unref(said.document);
    return p;
}

const struct policy *policy_compile(const struct policy_input *in)
{
    bool guests = view_guest_count(in->view) > 0;
    const struct policy *p;

    if (!in->document && guests)
        return compile_stand_in(in);
    if (!in->document)
        return open_compile(in);
    p = compile_own(in);
    return guests || (in->before && in->before->guests) ? with_guests(p, in) : p;
}

/* ---- Life ---- */

const struct policy *policy_allow_all(void)
{
    struct policy *p = policy_empty();

    p->is_open = true;
    return p;
}

const struct policy *policy_ref(const struct policy *p)
{
    ref_take(&owned(p)->ref);
    return p;
}

void policy_unref(const struct policy *policy)
{
    struct policy *p = owned(policy);

    if (!p || !ref_drop(&p->ref))
        return;
    rows_fini(&p->members);
    rows_fini(&p->devices);
    routers_unref(p->routers);
    for (int form = 0; form < 2; form++) {
        mem_free(p->sums[form]);
        mem_free(p->groups[form]);
    }
    mem_free(p->term_counts);
    mem_free(p->class_marks);
    mem_free(p->guest_marks);
    mem_free(p->held);
    guests_unref(p->guests);
    shape_unref(p->shape);
    mem_free(p);
}

const struct policy_document *policy_document(const struct policy *p)
{
    return p->shape && !p->is_stand_in ? p->shape->doc : NULL;
}

bool policy_is_open(const struct policy *p)
{
    return p->is_open;
}

bool policy_same_lineage(const struct policy *a, const struct policy *b)
{
    if (!a->shape || !b->shape)
        return a->is_open && b->is_open;
    return a->shape->lineage == b->shape->lineage;
}

uint64_t policy_sights(const struct policy *p)
{
    return p->shape ? p->shape->sights : 0;
}

uint32_t policy_class_of(const struct policy *p, node_id node)
{
    const struct member *m = member_find(p, node);
    const struct local *l = m ? local_find(p, node) : NULL;
    const struct guest *g = m ? NULL : guest_find(p, node);

    if (p->is_open)
        return open_holds(p, node) ? 0 : OPEN_CLASS;
    if (g)
        return g->cls;
    return l ? l->cls : m ? m->cls : 0;
}

size_t policy_class_count(const struct policy *p)
{
    return p->shape ? p->shape->n_classes : 1;
}

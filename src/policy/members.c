/* A policy's nodes: what it keeps of each, and of those that have routes. */

#include "policy/policy_internal.h"

#include <string.h>

/* ---- Whose view it is ---- */

static const struct node *if_has_access(const struct node *n)
{
    return n && node_has_access(n) ? n : NULL;
}

const struct node *policy_node_find(const struct tailnet_view *view, node_id id)
{
    return if_has_access(view_node_find(view, id));
}

const struct node *policy_guest_find(const struct tailnet_view *view, node_id id)
{
    return if_has_access(view_guest_find(view, id));
}

const struct node *policy_node_next(const struct tailnet_view *view, size_t *at)
{
    const struct node *n;

    while ((n = view_node_next(view, at)) && !node_has_access(n))
        continue;
    return n;
}

const struct node *policy_guest_next(const struct tailnet_view *view, size_t *at)
{
    const struct node *n;

    while ((n = view_guest_next(view, at)) && !node_has_access(n))
        continue;
    return n;
}

/* ---- Members ---- */

const struct member *member_find(const struct policy *p, node_id id)
{
    return p->shape ? rows_find(&p->members, id, 0) : NULL;
}

const struct policy_class *member_class(const struct policy *p, const struct member *m)
{
    return &p->shape->classes[m->cls - 1];
}

struct ip_addr member_v4(const struct member *m)
{
    struct ip_addr a = {0};

    if (m->v4_is_set) {
        a.family = IP_V4;
        memcpy(a.bytes, m->v4, sizeof m->v4);
    }
    return a;
}

struct ip_addr member_v6(const struct member *m)
{
    struct ip_addr a = {0};

    if (m->v6_is_set) {
        a.family = IP_V6;
        memcpy(a.bytes, m->v6, sizeof m->v6);
    }
    return a;
}

void sum_add_addr(struct sum *to, struct ip_addr addr)
{
    struct buf text = BUF(0);

    if (!ip_addr_is_set(addr))
        return;
    ip_addr_put(&text, addr);
    sum_add_text(to, buf_str(&text));
    buf_fini(&text);
}

struct sum member_sum(const struct member *m)
{
    struct sum s = {0};

    sum_add_addr(&s, member_v4(m));
    sum_add_addr(&s, member_v6(m));
    s.tags = s.a * m->n_tags;
    return s;
}

struct member member_of(const struct node *n, uint32_t cls)
{
    struct member m = {.key = {n->id, 0}, .user = n->user, .cls = cls};

    m.n_tags = (uint16_t)n->tags.len;
    if ((m.v4_is_set = ip_addr_is_set(n->v4)))
        memcpy(m.v4, n->v4.bytes, sizeof m.v4);
    if ((m.v6_is_set = ip_addr_is_set(n->v6)))
        memcpy(m.v6, n->v6.bytes, sizeof m.v6);
    return m;
}

/* ---- Routers ---- */

struct routers *routers_new(size_t max)
{
    struct routers *r = NEW(struct routers);

    ref_init(&r->ref);
    r->items = mem_alloc_array(max, sizeof *r->items);
    return r;
}

void routers_unref(struct routers *r)
{
    if (!r || !ref_drop(&r->ref))
        return;
    for (size_t i = 0; i < r->len; i++)
        mem_free(r->items[i].serving);
    mem_free(r->items);
    mem_free(r);
}

void routers_add(struct routers *r, const struct policy_class *c, const struct node *n)
{
    struct router *x = &r->items[r->len++];

    *x = (struct router){.id = n->id,
                         .cls = c->id,
                         .created_ms = n->created_ms,
                         .online = n->online,
                         .exit_v4 = c->p.exit_v4,
                         .exit_v6 = c->p.exit_v6,
                         .routes = c->p.routes,
                         .n_routes = c->p.n_routes,
                         .n_serving = n->n_serving};
    x->serving = mem_alloc_array(n->n_serving, sizeof *x->serving);
    if (n->n_serving)
        memcpy(x->serving, n->serving, n->n_serving * sizeof *x->serving);
}

void routers_mark(struct routers *r)
{
    struct policy_mark m = {0};

    for (size_t i = 0; i < r->len; i++) {
        const struct router *x = &r->items[i];

        mark_mix(&m, x->id);
        mark_mix(&m, x->cls);
        mark_mix(&m, (uint64_t)x->created_ms);
        mark_mix(&m, (uint64_t)x->online | (uint64_t)x->n_serving << 1);
        for (size_t k = 0; k < x->n_serving; k++) {
            mark_mix(&m, x->serving[k].bits);
            mark_mix_mark(&m, mark_of(ip_addr_bytes(&x->serving[k].addr)));
        }
    }
    r->mark = m;
}

bool class_is_router(const struct policy_class *c)
{
    return c->p.n_routes > 0 || c->p.exit;
}

const struct router *policy_router_find(const struct policy *p, node_id id)
{
    size_t low = 0, high = p->routers ? p->routers->len : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (p->routers->items[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return p->routers && low < p->routers->len && p->routers->items[low].id == id
               ? &p->routers->items[low]
               : NULL;
}

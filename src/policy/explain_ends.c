/*
 * What a person meant by SRC and DST: a machine by one of its names, or a selector of the language.
 *
 *   a machine's address      --> that machine, that address
 *   another address, prefix  --> machines inside it, and an address of each approved route it meets
 *   users, groups, tags...   --> their machines
 *   autogroup:internet       --> a public address of each family
 *
 * Selectors come first: what a policy calls "db" in its hosts is meant by "db".
 */

#include "policy/explain_internal.h"

#include <stdio.h>
#include <string.h>

/* Stand for the internet; no policy is about them, for they are reserved for documentation. */
#define PUBLIC_V4 "192.0.2.1"
#define PUBLIC_V6 "2001:db8::1"

static struct end *end_add(struct side *s)
{
    if (s->len == s->cap) {
        s->cap = MAX(s->cap * 2, (size_t)16);
        s->items = mem_realloc_array(s->items, s->cap, sizeof *s->items);
    }
    s->items[s->len] = (struct end){0};
    return &s->items[s->len++];
}

static void end_add_addr(struct end *e, struct ip_addr addr)
{
    if (ip_addr_is_set(addr))
        e->addrs[e->n_addrs++] = addr;
}

static struct end *end_add_node(const struct explain *x, struct side *s, const struct node *n)
{
    struct end *e = end_add(s);

    e->node = n;
    e->member = member_find(x->p, n->id);
    e->name = n->given_name;
    return e;
}

static void add_node(const struct explain *x, struct side *s, const struct node *n)
{
    struct end *e = end_add_node(x, s, n);

    end_add_addr(e, n->v4);
    end_add_addr(e, n->v6);
}

static void add_addr(const struct explain *x, struct side *s, struct ip_addr addr)
{
    struct end *e = end_add(s);
    struct buf text = BUF(0);

    end_add_addr(e, addr);
    ip_addr_put(&text, addr);
    e->name = arena_copy(x->arena, buf_str(&text));
    buf_fini(&text);
}

/* ---- Machines by name ---- */

static bool is_called(const struct node *n, struct str name)
{
    if (str_ends(name, STR(".")))
        name = str_sub(name, 0, name.len - 1);
    struct str full = n->fqdn;

    if (str_ends(full, STR(".")))
        full = str_sub(full, 0, full.len - 1);
    return str_eq_nocase(n->given_name, name) || str_eq_nocase(full, name) ||
           str_eq(n->stable_id, name);
}

static bool resolve_name(const struct explain *x, struct str text, struct side *out)
{
    const struct node *n;

    for (size_t at = 0; text.len && (n = policy_node_next(x->view, &at));) {
        if (!is_called(n, text))
            continue;
        add_node(x, out, n);
        out->is_one = true;
        return true;
    }
    return false;
}

static const char *hold_text(unsigned holds)
{
    if (holds & HOLD_USER)
        return "its user is not active (hatsize users list)";
    return "nobody has approved the machine (hatsize nodes approve)";
}

static bool put_held(const struct explain *x, struct str text)
{
    struct ip_addr addr = {0};
    bool is_addr = ip_addr_parse(str_trim(text), &addr);
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(x->view, &at));) {
        if (node_has_access(n) || !(is_addr ? ip_addr_eq(n->v4, addr) || ip_addr_eq(n->v6, addr)
                                            : is_called(n, str_trim(text))))
            continue;
        buf_printf(x->out, "DENIED: %.*s has no access: %s\n", STR_ARG(n->given_name),
                   hold_text(n->holds));
        return true;
    }
    return false;
}

bool explain_held(const struct explain *x, struct str src, struct str dst)
{
    return put_held(x, src) || put_held(x, dst);
}

/* ---- Users ---- */

/* Whether the log-in token means the user: policy.md 3.4. */
static bool token_means(const void *context, struct str token, const struct user *u)
{
    const struct explain *x = context;
    const struct user *const *users;
    size_t n;

    if (token.len == 0)
        return false;
    if (token_is_provider_group(token))
        return str_list_has(&u->groups, token);
    if (str_eq(u->provider_id, token))
        return true;
    if (!str_eq(u->email, token) && !str_eq(u->name, token))
        return false;
    users = view_users(x->view, &n);
    for (size_t i = 0; i < n; i++)
        if (users[i] != u && (str_eq(users[i]->provider_id, token) ||
                              str_eq(users[i]->email, token) || str_eq(users[i]->name, token)))
            return false;
    return true;
}

bool explain_is_user(const struct explain *x, const struct policy_selector *s, const struct user *u)
{
    return user_selected(s, u, token_means, x);
}

const struct user *explain_owner(const struct explain *x, const struct node *n)
{
    return node_is_tagged(n) ? NULL : view_user_find(x->view, n->user);
}

static void add_users_nodes(const struct explain *x, const struct policy_selector *s,
                            struct side *out)
{
    struct map *ids = map_new();
    const struct user *const *users;
    const struct node *node;
    size_t n;

    users = view_users(x->view, &n);
    for (size_t i = 0; i < n; i++)
        if (explain_is_user(x, s, users[i]))
            (void)map_put_u64(ids, users[i]->id, ids);
    for (size_t at = 0; (node = policy_node_next(x->view, &at));)
        if (!node_is_tagged(node) && map_find_u64(ids, node->user))
            add_node(x, out, node);
    map_free(ids);
}

static void add_tagged(const struct explain *x, const struct policy_tag *tag, struct side *out)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(x->view, &at));)
        if (node_is_tagged(n) && (!tag || str_list_has(&n->tags, tag->name)))
            add_node(x, out, n);
}

static void add_everybody(const struct explain *x, struct side *out)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(x->view, &at));)
        add_node(x, out, n);
}

/* ---- Addresses ---- */

static void add_nodes_in(const struct explain *x, const struct ip_set *set, struct side *out)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(x->view, &at));) {
        bool v4 = ip_addr_is_set(n->v4) && ip_set_contains(set, n->v4);
        bool v6 = ip_addr_is_set(n->v6) && ip_set_contains(set, n->v6);
        struct end *e;

        if (!v4 && !v6)
            continue;
        e = end_add_node(x, out, n);
        if (v4)
            end_add_addr(e, n->v4);
        if (v6)
            end_add_addr(e, n->v6);
    }
}

static bool has_addr(const struct side *s, struct ip_addr addr)
{
    for (size_t i = 0; i < s->len; i++)
        for (size_t k = 0; k < s->items[i].n_addrs; k++)
            if (ip_addr_eq(s->items[i].addrs[k], addr))
                return true;
    return false;
}

/* One address for what two ranges have in common; behind the first where there are more. */
static struct ip_addr sample(struct ip_range a, struct ip_range b)
{
    struct ip_addr first = ip_addr_cmp(a.first, b.first) > 0 ? a.first : b.first;
    struct ip_addr last = ip_addr_cmp(a.last, b.last) < 0 ? a.last : b.last;
    struct ip_addr next;

    return ip_addr_next(first, &next) && ip_addr_cmp(next, last) <= 0 ? next : first;
}

static void add_in_route(const struct explain *x, const struct ip_set *set, struct ip_prefix route,
                         struct side *out)
{
    struct ip_range r = ip_range_of_prefix(route);

    for (size_t i = 0; i < set->len; i++) {
        if (!ip_range_overlaps(set->ranges[i], r))
            continue;
        struct ip_addr addr = sample(set->ranges[i], r);

        if (!has_addr(out, addr))
            add_addr(x, out, addr);
        return;
    }
}

static void add_set(const struct explain *x, const struct ip_set *set, struct side *out)
{
    const struct shape *s = x->p->shape;

    add_nodes_in(x, set, out);
    for (size_t i = 0; i < s->n_wild_routes; i++)
        add_in_route(x, set, s->wild_routes[i], out);
    if (out->len == 0 && set->len)
        add_addr(x, out, set->ranges[0].first);
}

static void add_prefix(const struct explain *x, struct ip_prefix p, struct side *out)
{
    struct ip_set set = {0};

    ip_set_add_prefix(&set, p);
    add_set(x, &set, out);
    ip_set_fini(&set);
    out->is_one = ip_prefix_is_single(p);
}

static void add_internet(const struct explain *x, struct side *out)
{
    struct ip_addr v4 = {0}, v6 = {0};

    if (ip_addr_parse(STR(PUBLIC_V4), &v4))
        add_addr(x, out, v4);
    if (ip_addr_parse(STR(PUBLIC_V6), &v6))
        add_addr(x, out, v6);
    out->is_internet = true;
}

static void add_selector(const struct explain *x, const struct policy_selector *s, struct side *out)
{
    switch (s->kind) {
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
        add_prefix(x, s->prefix, out);
        return;
    case SELECTOR_IPSET:
        add_set(x, &s->ipset->set, out);
        return;
    case SELECTOR_WILDCARD:
        add_everybody(x, out);
        return;
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
        add_users_nodes(x, s, out);
        return;
    case SELECTOR_TAG:
        add_tagged(x, s->tag, out);
        return;
    case SELECTOR_AUTOGROUP:
        if (s->autogroup == AUTOGROUP_TAGGED)
            add_tagged(x, NULL, out);
        else if (s->autogroup == AUTOGROUP_DANGER_ALL)
            add_everybody(x, out);
        else if (s->autogroup == AUTOGROUP_INTERNET)
            add_internet(x, out);
        else
            add_users_nodes(x, s, out);
        return;
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        return;
    }
}

/* ---- Both sides ---- */

static void add_self(const struct explain *x, struct side *out)
{
    struct map *users = map_new();
    const struct node *n;

    for (size_t i = 0; i < x->src.len; i++) {
        const struct node *from = x->src.items[i].node;

        if (from && !node_is_tagged(from))
            (void)map_put_u64(users, from->user, users);
    }
    for (size_t at = 0; (n = policy_node_next(x->view, &at));)
        if (!node_is_tagged(n) && map_find_u64(users, n->user))
            add_node(x, out, n);
    map_free(users);
    out->is_self = true;
}

bool explain_resolve(struct explain *x, struct str text, bool is_dst, struct side *out,
                     struct policy_complaint *complaint)
{
    struct policy_selector *s = arena_alloc(x->arena, sizeof *s);

    *out = (struct side){.text = str_trim(text)};
    /* A document of no policy names nothing, so names of machines are all there is. */
    if (!policy_selector_parse(x->p->shape->doc, out->text, s, complaint))
        return resolve_name(x, out->text, out);
    if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_SELF) {
        if (is_dst)
            add_self(x, out);
        else
            (void)snprintf(complaint->text, sizeof complaint->text,
                           "autogroup:self is no source: name whose machines");
        return is_dst;
    }
    add_selector(x, s, out);
    return true;
}

static bool seen_class(struct map *seen, const struct end *e)
{
    struct str key = e->member ? str_bytes(&e->member->cls, sizeof e->member->cls) : STR("none");

    return map_put(seen, key, seen) != NULL;
}

static void bring_classes_forward(struct side *s)
{
    struct map *seen = map_new();
    struct end *rest = mem_alloc_array(s->len + 1, sizeof *rest);
    size_t front = 0, n_rest = 0;

    for (size_t i = 0; i < s->len; i++) {
        if (seen_class(seen, &s->items[i]))
            rest[n_rest++] = s->items[i];
        else
            s->items[front++] = s->items[i];
    }
    if (n_rest)
        memcpy(s->items + front, rest, n_rest * sizeof *rest);
    mem_free(rest);
    map_free(seen);
}

static void cut(struct side *s, size_t max)
{
    if (s->len <= max)
        return;
    bring_classes_forward(s);
    s->left_out = s->len - max;
    s->len = max;
}

void explain_bound(struct explain *x)
{
    size_t pairs = EXPLAIN_WORK_MAX / (x->p->shape->n_links + 1), side = 1;

    while (side * side < pairs)
        side *= 2;
    cut(&x->src, x->dst.len <= side ? MAX(pairs / MAX(x->dst.len, (size_t)1), (size_t)1) : side);
    cut(&x->dst, MAX(pairs / MAX(x->src.len, (size_t)1), (size_t)1));
}

bool explain_is_pair(const struct explain *x, const struct end *from, const struct end *to)
{
    if (from->node && from->node == to->node)
        return x->src.len == 1 && x->dst.len == 1;
    if (x->dst.is_self)
        return from->node && !node_is_tagged(from->node) && from->node->user == to->node->user;
    return true;
}

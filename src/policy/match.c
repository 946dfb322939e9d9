/*
 * Which selectors select a node: by its user or tags, by its addresses, by its routes.
 *
 *   user  --token--> SELECTOR_USER --> groups that name it        | worked out once per user
 *         --> domain, member and role autogroups                  |
 *   tags  --> SELECTOR_TAG, autogroup:tagged
 *   addresses, routes --> literals: prefixes by length in a table, sets one by one
 *
 * Invariants
 *   1. A tagged node is nobody's: it is never picked by user, group, domain or role.
 *   2. A user token means the user whose provider identifier it is, else the one user whose e-mail
 *      or name it is, else nobody (policy.md 3.4).
 */

#include "policy/guests_internal.h"

#include <string.h>

#define NONE UINT32_MAX

static const struct str wild_texts[] = {STR_INIT(CGNAT_RANGE_1), STR_INIT(CGNAT_RANGE_2),
                                        STR_INIT(ULA_RANGE)};

struct literal {
    struct ip_prefix prefix;
    uint32_t index;
};

struct user_picks {
    struct picks picks;
    struct str login;
};

struct matcher {
    const struct policy_document *doc; /* borrowed: the shape holds it */
    struct arena *arena;
    struct map *users;                             /* SELECTOR_USER text -> index + 1 */
    struct map *tags;                              /* name -> index + 1 */
    struct map *domains;                           /* name -> index + 1 */
    struct map *tailnets;                          /* name -> index + 1 */
    struct map *of_user;                           /* user id -> struct user_picks */
    uint32_t autogroups[AUTOGROUP_DANGER_ALL + 1]; /* index or NONE */
    user_id *meant;                                /* per selector, SELECTOR_USER only */
    bool *is_ours;            /* likewise: some user of the tailnet is called so */
    struct picks *groups_of;  /* per selector, SELECTOR_USER only: groups that name it */
    struct literal *literals; /* PREFIX and HOST, by address and length */
    size_t n_literals;
    bool lengths[2][129]; /* family, bits: whether some literal has them */
    uint32_t *sets;       /* IPSET selectors */
    size_t n_sets;
    struct ip_range wild[3]; /* Tailscale's own ranges */
};

static void *index_value(size_t index)
{
    return (void *)(uintptr_t)(index + 1);
}

static uint32_t index_find(const struct map *m, struct str key)
{
    uintptr_t v = (uintptr_t)map_find(m, key);

    return v ? (uint32_t)(v - 1) : NONE;
}

bool picks_have(const struct picks *p, uint32_t index)
{
    size_t low = 0, high = p->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (p->items[mid] < index)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->len && p->items[low] == index;
}

static int by_index(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void picks_sort(struct picks *p)
{
    size_t n = 0;

    if (p->len > 1)
        qsort(p->items, p->len, sizeof *p->items, by_index);
    for (size_t i = 0; i < p->len; i++)
        if (n == 0 || p->items[n - 1] != p->items[i])
            p->items[n++] = p->items[i];
    p->len = n;
}

static void picks_add(struct picks *p, size_t *cap, uint32_t index)
{
    p->items = mem_room(p->items, p->len, cap, 16, sizeof *p->items);
    p->items[p->len++] = index;
}

void profile_scratch_fini(struct profile_scratch *s)
{
    mem_free(s->own.items);
    mem_free(s->route.items);
    mem_free(s->postures.items);
    mem_free(s->routes);
    buf_fini(&s->key);
    *s = (struct profile_scratch){0};
}

/* ---- Who is meant by a user token ---- */

static void claim(struct matcher *m, struct str token, user_id user, bool *by_provider,
                  bool is_provider)
{
    uint32_t i = token.len ? index_find(m->users, token) : NONE;

    if (i == NONE || (by_provider[i] && !is_provider) || token_is_provider_group(token))
        return;
    m->is_ours[i] = true;
    if (is_provider && !by_provider[i]) {
        by_provider[i] = true;
        m->meant[i] = user;
        return;
    }
    /* A second one with that name: nobody is meant. */
    if (m->meant[i] != 0 && m->meant[i] != user)
        m->meant[i] = USER_TAGGED_DEVICES;
    else
        m->meant[i] = user;
}

static void resolve_users(struct matcher *m, const struct tailnet_view *view)
{
    bool *by_provider = mem_alloc_array(m->doc->n_selectors, sizeof *by_provider);
    const struct user *const *users;
    size_t n;

    users = view_users(view, &n);
    for (size_t i = 0; i < n; i++) {
        claim(m, users[i]->provider_id, users[i]->id, by_provider, true);
        claim(m, users[i]->email, users[i]->id, by_provider, false);
        claim(m, users[i]->name, users[i]->id, by_provider, false);
    }
    for (size_t i = 0; i < m->doc->n_selectors; i++)
        if (m->meant[i] == USER_TAGGED_DEVICES)
            m->meant[i] = 0;
    mem_free(by_provider);
}

user_id matcher_user(const struct matcher *m, const struct policy_selector *s)
{
    return s->kind == SELECTOR_USER ? m->meant[s->index] : 0;
}

/* ---- What selects a user ---- */

static void count_groups(const struct policy_selector *group, size_t *counts)
{
    for (size_t i = 0; i < group->group->members.len; i++)
        counts[group->group->members.items[i].selector->index]++;
}

static void index_groups(struct matcher *m)
{
    const struct policy_document *d = m->doc;
    size_t *counts = mem_alloc_array(d->n_selectors, sizeof *counts);

    for (size_t i = 0; i < d->n_selectors; i++)
        if (d->selectors[i]->kind == SELECTOR_GROUP)
            count_groups(d->selectors[i], counts);
    for (size_t i = 0; i < d->n_selectors; i++)
        if (counts[i])
            m->groups_of[i].items = arena_alloc(m->arena, counts[i] * sizeof(uint32_t));
    for (size_t i = 0; i < d->n_selectors; i++) {
        const struct policy_selector *s = d->selectors[i];

        for (size_t k = 0; s->kind == SELECTOR_GROUP && k < s->group->members.len; k++) {
            struct picks *of = &m->groups_of[s->group->members.items[k].selector->index];

            of->items[of->len++] = (uint32_t)i;
        }
    }
    mem_free(counts);
}

static void add_autogroup(const struct matcher *m, struct picks *p, size_t *cap,
                          enum policy_autogroup a)
{
    if (m->autogroups[a] != NONE)
        picks_add(p, cap, m->autogroups[a]);
}

static void add_role(const struct matcher *m, struct picks *p, size_t *cap, enum user_role role)
{
    switch (role) {
    case ROLE_MEMBER:
        return;
    case ROLE_OWNER:
        add_autogroup(m, p, cap, AUTOGROUP_OWNER);
        add_autogroup(m, p, cap, AUTOGROUP_ADMIN);
        return;
    case ROLE_ADMIN:
        add_autogroup(m, p, cap, AUTOGROUP_ADMIN);
        return;
    case ROLE_NETWORK_ADMIN:
        add_autogroup(m, p, cap, AUTOGROUP_NETWORK_ADMIN);
        return;
    case ROLE_IT_ADMIN:
        add_autogroup(m, p, cap, AUTOGROUP_IT_ADMIN);
        return;
    case ROLE_BILLING_ADMIN:
        add_autogroup(m, p, cap, AUTOGROUP_BILLING_ADMIN);
        return;
    case ROLE_AUDITOR:
        add_autogroup(m, p, cap, AUTOGROUP_AUDITOR);
        return;
    }
}

static void add_domain(const struct matcher *m, struct picks *p, size_t *cap, const struct user *u)
{
    struct str login = u->email.len ? u->email : u->name;
    ptrdiff_t at = str_rfind_char(login, '@');
    uint32_t i = at < 0 ? NONE : index_find(m->domains, str_from_index(login, (size_t)at + 1));

    if (i != NONE)
        picks_add(p, cap, i);
}

/* The selector, and the groups that name it. */
static void add_user_selector(const struct matcher *m, struct picks *p, size_t *cap, uint32_t i)
{
    picks_add(p, cap, i);
    for (size_t k = 0; k < m->groups_of[i].len; k++)
        picks_add(p, cap, m->groups_of[i].items[k]);
}

static void add_token(const struct matcher *m, struct picks *p, size_t *cap, const struct user *u,
                      struct str token)
{
    uint32_t i = token.len ? index_find(m->users, token) : NONE;

    if (i == NONE || m->meant[i] != u->id)
        return;
    add_user_selector(m, p, cap, i);
}

/* What a provider says of the user; a token of that form means nothing else. */
static void add_provider_groups(const struct matcher *m, struct picks *p, size_t *cap,
                                const struct user *u)
{
    for (size_t i = 0; i < u->groups.len; i++) {
        struct str token = u->groups.items[i];
        uint32_t at = token_is_provider_group(token) ? index_find(m->users, token) : NONE;

        if (at != NONE)
            add_user_selector(m, p, cap, at);
    }
}

static void pick_user(struct matcher *m, const struct user *u, struct picks *scratch, size_t *cap)
{
    struct user_picks *of = arena_alloc(m->arena, sizeof *of);

    scratch->len = 0;
    add_token(m, scratch, cap, u, u->provider_id);
    add_token(m, scratch, cap, u, u->email);
    add_token(m, scratch, cap, u, u->name);
    add_provider_groups(m, scratch, cap, u);
    add_domain(m, scratch, cap, u);
    add_autogroup(m, scratch, cap, AUTOGROUP_MEMBER);
    add_role(m, scratch, cap, u->role);
    picks_sort(scratch);
    of->login = arena_copy(m->arena, u->email.len ? u->email : u->name);
    of->picks.len = scratch->len;
    of->picks.items = arena_alloc(m->arena, scratch->len * sizeof(uint32_t));
    if (scratch->len)
        memcpy(of->picks.items, scratch->items, scratch->len * sizeof(uint32_t));
    (void)map_put_u64(m->of_user, u->id, of);
}

struct str matcher_login(const struct matcher *m, user_id user)
{
    const struct user_picks *of = map_find_u64(m->of_user, user);

    return of ? of->login : STR_NONE;
}

static void pick_users(struct matcher *m, const struct tailnet_view *view)
{
    struct picks scratch = {0};
    const struct user *const *users;
    size_t n, cap = 0;

    users = view_users(view, &n);
    for (size_t i = 0; i < n; i++)
        pick_user(m, users[i], &scratch, &cap);
    mem_free(scratch.items);
}

/* ---- Literals ---- */

bool selector_is_literal(const struct policy_selector *s)
{
    return s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST || s->kind == SELECTOR_IPSET;
}

static int by_prefix(const void *a, const void *b)
{
    const struct literal *x = a, *y = b;
    int c = ip_prefix_cmp(x->prefix, y->prefix);

    return c ? c : (x->index > y->index) - (x->index < y->index);
}

static void index_literals(struct matcher *m)
{
    const struct policy_document *d = m->doc;

    m->literals = arena_alloc(m->arena, d->n_selectors * sizeof *m->literals);
    m->sets = arena_alloc(m->arena, d->n_selectors * sizeof *m->sets);
    for (size_t i = 0; i < d->n_selectors; i++) {
        const struct policy_selector *s = d->selectors[i];

        if (s->kind == SELECTOR_IPSET)
            m->sets[m->n_sets++] = (uint32_t)i;
        if (s->kind != SELECTOR_PREFIX && s->kind != SELECTOR_HOST)
            continue;
        m->literals[m->n_literals++] = (struct literal){s->prefix, (uint32_t)i};
        m->lengths[s->prefix.addr.family == IP_V6][s->prefix.bits] = true;
    }
    if (m->n_literals)
        qsort(m->literals, m->n_literals, sizeof *m->literals, by_prefix);
}

/* The first literal not below the prefix. */
static size_t literal_from(const struct matcher *m, struct ip_prefix p)
{
    size_t low = 0, high = m->n_literals;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (ip_prefix_cmp(m->literals[mid].prefix, p) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Literals that contain all of `p`. */
static void add_covering(const struct matcher *m, struct picks *out, size_t *cap,
                         struct ip_prefix p)
{
    for (unsigned bits = 0; bits <= p.bits; bits++) {
        struct ip_prefix outer = {p.addr, (uint8_t)bits};

        if (!m->lengths[p.addr.family == IP_V6][bits])
            continue;
        outer = ip_prefix_masked(outer);
        for (size_t i = literal_from(m, outer);
             i < m->n_literals && ip_prefix_eq(m->literals[i].prefix, outer); i++)
            picks_add(out, cap, m->literals[i].index);
    }
}

/* Literals inside `p`, itself among them. */
static void add_inside(const struct matcher *m, struct picks *out, size_t *cap, struct ip_prefix p)
{
    for (size_t i = literal_from(m, (struct ip_prefix){p.addr, 0});
         i < m->n_literals && ip_prefix_overlaps(m->literals[i].prefix, p); i++)
        if (ip_prefix_covers(p, m->literals[i].prefix))
            picks_add(out, cap, m->literals[i].index);
}

static void add_sets(const struct matcher *m, struct picks *out, size_t *cap, struct ip_range r)
{
    for (size_t i = 0; i < m->n_sets; i++)
        if (ip_set_overlaps(&m->doc->selectors[m->sets[i]]->ipset->set, r))
            picks_add(out, cap, m->sets[i]);
}

static void add_address(const struct matcher *m, struct picks *out, size_t *cap,
                        struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return;
    add_covering(m, out, cap, ip_prefix_single(addr));
    add_sets(m, out, cap, ip_range_of_addr(addr));
}

static void add_route(const struct matcher *m, struct picks *out, size_t *cap, struct ip_prefix r)
{
    add_covering(m, out, cap, r);
    add_inside(m, out, cap, r);
    add_sets(m, out, cap, ip_range_of_prefix(r));
}

/* ---- A node ---- */

static bool in_tailscale_ranges(const struct matcher *m, struct ip_addr addr)
{
    for (size_t i = 0; i < ARRAY_LEN(m->wild); i++)
        if (ip_addr_is_set(addr) && ip_range_contains(m->wild[i], addr))
            return true;
    return false;
}

static void find_routes(const struct node *n, struct profile_scratch *s, struct profile *out)
{
    for (size_t i = 0; i < n->n_approved; i++) {
        if (!ip_prefix_in(n->facts->routes, n->facts->n_routes, n->approved[i]))
            continue;
        if (ip_prefix_is_exit(n->approved[i])) {
            out->exit = true;
            if (n->approved[i].addr.family == IP_V4)
                out->exit_v4 = true;
            else
                out->exit_v6 = true;
            continue;
        }
        s->routes = mem_room(s->routes, out->n_routes, &s->routes_cap, 8, sizeof *s->routes);
        s->routes[out->n_routes++] = n->approved[i];
    }
    out->n_routes = ip_prefix_sort_unique(s->routes, out->n_routes);
    out->routes = s->routes;
}

static bool has_single_literal(const struct matcher *m, const struct picks *own)
{
    for (size_t i = 0; i < own->len; i++) {
        const struct policy_selector *s = m->doc->selectors[own->items[i]];

        if (s->kind == SELECTOR_IPSET || (selector_is_literal(s) && ip_prefix_is_single(s->prefix)))
            return true;
    }
    return false;
}

static void pick_identity(const struct matcher *m, const struct node *n, struct profile_scratch *s)
{
    const struct user_picks *of;

    if (node_is_tagged(n)) {
        add_autogroup(m, &s->own, &s->own_cap, AUTOGROUP_TAGGED);
        for (size_t i = 0; i < n->tags.len; i++) {
            uint32_t t = index_find(m->tags, n->tags.items[i]);

            if (t != NONE)
                picks_add(&s->own, &s->own_cap, t);
        }
        return;
    }
    of = map_find_u64(m->of_user, n->user);
    for (size_t i = 0; of && i < of->picks.len; i++)
        picks_add(&s->own, &s->own_cap, of->picks.items[i]);
}

/* Sorted; what is in `own` goes. */
static void subtract(struct picks *p, const struct picks *own)
{
    size_t n = 0;

    for (size_t i = 0; i < p->len; i++)
        if (!picks_have(own, p->items[i]))
            p->items[n++] = p->items[i];
    p->len = n;
}

static void add_posture(void *user, uint32_t index)
{
    struct profile_scratch *s = user;

    picks_add(&s->postures, &s->postures_cap, index);
}

void matcher_profile(const struct matcher *m, const struct node *n, struct profile_scratch *s,
                     struct profile *out)
{
    *out = (struct profile){.tagged = node_is_tagged(n)};
    s->own.len = s->route.len = s->postures.len = 0;
    pick_identity(m, n, s);
    add_address(m, &s->own, &s->own_cap, n->v4);
    add_address(m, &s->own, &s->own_cap, n->v6);
    picks_sort(&s->own);
    find_routes(n, s, out);
    for (size_t i = 0; i < out->n_routes; i++)
        add_route(m, &s->route, &s->route_cap, out->routes[i]);
    picks_sort(&s->route);
    subtract(&s->route, &s->own);
    postures_each_held(m->doc, n, add_posture, s);
    out->own = s->own;
    out->route = s->route;
    out->postures = s->postures;
    out->in_wild = in_tailscale_ranges(m, n->v4) || in_tailscale_ranges(m, n->v6);
    out->n_tags = m->doc->n_ssh ? (uint16_t)n->tags.len : 0;
    out->has_v4 = ip_addr_is_set(n->v4);
    out->has_v6 = ip_addr_is_set(n->v6);
    out->has_literal = has_single_literal(m, &out->own);
}

static void key_picks(struct buf *b, const struct picks *p)
{
    buf_put_be32(b, (uint32_t)p->len);
    buf_put(b, str_bytes(p->items, p->len * sizeof *p->items));
}

struct str profile_key(const struct profile *p, struct profile_scratch *s)
{
    struct buf *b = &s->key;

    if (b->limit == 0)
        *b = BUF((size_t)256 << 20);
    buf_clear(b);
    buf_put_char(b, (char)(p->tagged | p->exit << 1 | p->in_wild << 2 | p->has_literal << 3 |
                           p->has_v4 << 4 | p->has_v6 << 5 | p->exit_v4 << 6));
    buf_put_char(b, (char)p->exit_v6);
    buf_put_be16(b, p->n_tags);
    key_picks(b, &p->own);
    key_picks(b, &p->route);
    key_picks(b, &p->postures);
    for (size_t i = 0; i < p->n_routes; i++) {
        buf_put_char(b, (char)p->routes[i].bits);
        buf_put(b, ip_addr_bytes(&p->routes[i].addr));
    }
    return buf_str(b);
}

/* ---- A guest ---- */

/* Whoever is called so here wins, and a name without a domain is a name of one tailnet. */
static void add_guest_login(const struct matcher *m, struct picks *p, size_t *cap,
                            const struct user *owner)
{
    struct str login = owner->email.len ? owner->email : owner->name;
    ptrdiff_t at = str_rfind_char(login, '@');
    uint32_t i;

    if (at <= 0 || (size_t)at + 1 == login.len)
        return;
    i = index_find(m->users, login);
    if (i != NONE && !m->is_ours[i] && !token_is_provider_group(login))
        picks_add(p, cap, i);
    add_domain(m, p, cap, owner);
}

void matcher_guest(const struct matcher *m, const struct user *owner, struct str tailnet,
                   struct arena *arena, struct picks *out)
{
    struct picks found = {0};
    size_t cap = 0;
    uint32_t i = tailnet.len ? index_find(m->tailnets, tailnet) : NONE;

    if (owner)
        add_guest_login(m, &found, &cap, owner);
    if (i != NONE)
        picks_add(&found, &cap, i);
    add_autogroup(m, &found, &cap, AUTOGROUP_SHARED);
    picks_sort(&found);
    *out =
        (struct picks){.len = found.len, .items = arena_alloc(arena, found.len * sizeof(uint32_t))};
    if (found.len)
        memcpy(out->items, found.items, found.len * sizeof(uint32_t));
    mem_free(found.items);
}

/* ---- Life ---- */

static void index_names(struct matcher *m)
{
    const struct policy_document *d = m->doc;

    for (size_t i = 0; i <= AUTOGROUP_DANGER_ALL; i++)
        m->autogroups[i] = NONE;
    for (size_t i = 0; i < d->n_selectors; i++) {
        const struct policy_selector *s = d->selectors[i];

        if (s->kind == SELECTOR_USER)
            (void)map_put(m->users, s->user, index_value(i));
        else if (s->kind == SELECTOR_TAG)
            (void)map_put(m->tags, s->tag->name, index_value(i));
        else if (s->kind == SELECTOR_DOMAIN)
            (void)map_put(m->domains, s->domain, index_value(i));
        else if (s->kind == SELECTOR_TAILNET)
            (void)map_put(m->tailnets, s->tailnet, index_value(i));
        else if (s->kind == SELECTOR_AUTOGROUP)
            m->autogroups[s->autogroup] = (uint32_t)i;
    }
}

struct matcher *matcher_new(const struct policy_document *d, const struct tailnet_view *view)
{
    struct matcher *m = NEW(struct matcher);

    m->doc = d;
    m->arena = arena_new();
    m->users = map_new();
    m->tags = map_new();
    m->domains = map_new();
    m->tailnets = map_new();
    m->of_user = map_new();
    m->meant = arena_alloc(m->arena, (d->n_selectors + 1) * sizeof *m->meant);
    m->is_ours = arena_alloc(m->arena, (d->n_selectors + 1) * sizeof *m->is_ours);
    m->groups_of = arena_alloc(m->arena, (d->n_selectors + 1) * sizeof *m->groups_of);
    for (size_t i = 0; i < ARRAY_LEN(m->wild); i++)
        ASSERT(ip_range_parse_any(wild_texts[i], &m->wild[i]));
    index_names(m);
    index_groups(m);
    index_literals(m);
    resolve_users(m, view);
    pick_users(m, view);
    return m;
}

void matcher_free(struct matcher *m)
{
    if (!m)
        return;
    map_free(m->users);
    map_free(m->tags);
    map_free(m->domains);
    map_free(m->tailnets);
    map_free(m->of_user);
    arena_free(m->arena);
    mem_free(m);
}

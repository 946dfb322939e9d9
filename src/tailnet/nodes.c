/*
 * Nodes in the domain: their states and indexes, drafts, and the setters that keep indexes,
 * deadlines and routes true to the draft.
 */

#include "core/rand.h"
#include "tailnet/domain_internal.h"

/* ---- Finding ---- */

struct node_state *node_state_by_key(const struct domain *d, const struct node_key *key)
{
    return map_find(d->node_by_key, node_key_str(key));
}

struct node_state *node_state_by_id(const struct domain *d, node_id id)
{
    return map_find_u64(d->node_by_id, id);
}

const struct node *node_now(const struct node_state *s)
{
    return s->draft ? s->draft : s->node;
}

bool node_has_expired(const struct node *n, int64_t now_ms)
{
    return n->expired || (n->expiry_ms != 0 && n->expiry_ms <= now_ms);
}

/* ---- Drafts ---- */

struct node *node_edit(struct domain *d, struct node_state *s, unsigned mask)
{
    if (!s->draft) {
        s->draft = node_clone(s->node);
        list_push_back(&d->drafts, &s->drafts_link);
    }
    s->mask |= mask;
    return s->draft;
}

void nodes_publish(struct domain *d)
{
    for (struct list_node *l = list_pop_front(&d->drafts); l; l = list_pop_front(&d->drafts)) {
        struct node_state *s = CONTAINER_OF(l, struct node_state, drafts_link);
        unsigned mask = s->mask & NODE_NEW ? NODE_NEW | NODE_CARD : s->mask;

        s->node = TAKE(s->draft);
        s->mask = 0;
        table_put(&s->tailnet->nodes, s->node->id, s->node);
        domain_emit(d, s->tailnet,
                    (struct change){.kind = CHANGE_NODE, .id = s->node->id, .mask = mask});
        if (s->outside)
            guests_publish_node(d, s, mask);
    }
    guests_publish_new(d);
}

/* ---- Indexes ---- */

static void machine_add(struct domain *d, struct node_state *s)
{
    struct str key = machine_key_str(&node_now(s)->machine);

    s->machine_next = map_put(d->node_by_machine, key, s);
}

static void machine_remove(struct domain *d, struct node_state *s)
{
    struct str key = machine_key_str(&node_now(s)->machine);
    struct node_state *at = map_find(d->node_by_machine, key);

    if (at == s) {
        if (s->machine_next)
            (void)map_put(d->node_by_machine, key, s->machine_next);
        else
            (void)map_remove(d->node_by_machine, key);
        return;
    }
    while (at->machine_next != s)
        at = at->machine_next;
    at->machine_next = s->machine_next;
}

/* Users and auth keys know how many nodes name them. */
static void count_references(struct domain *d, const struct node *n, bool add)
{
    struct user_state *u = n->user ? map_find_u64(d->user_by_id, n->user) : NULL;
    struct auth_key_state *k = n->auth_key ? map_find_u64(d->key_by_id, n->auth_key) : NULL;

    if (u)
        u->n_nodes += add ? 1 : SIZE_MAX;
    if (k)
        k->n_nodes += add ? 1 : SIZE_MAX;
}

struct node_state *node_add(struct domain *d, struct tailnet *t, struct node *draft)
{
    struct node_state *s = NEW(struct node_state);

    s->tailnet = t;
    s->draft = draft;
    s->mask = NODE_NEW | NODE_CARD;
    s->offline.kind = DEADLINE_OFFLINE;
    s->ephemeral.kind = DEADLINE_EPHEMERAL;
    s->expiry.kind = DEADLINE_EXPIRY;
    s->attribute.kind = DEADLINE_ATTRIBUTE;
    s->expiring.kind = DEADLINE_EXPIRING;
    list_push_back(&d->drafts, &s->drafts_link);
    (void)map_put_u64(d->node_by_id, draft->id, s);
    (void)map_put(d->node_by_key, node_key_str(&draft->key), s);
    machine_add(d, s);
    addresses_take(d, s);
    count_references(d, draft, true);
    id_used(d, ID_NODE, draft->id);
    t->n_unapproved += (draft->holds & HOLD_DEVICE) != 0;
    guests_node(d, s);
    return s;
}

void node_state_free(struct domain *d, struct node_state *s)
{
    schedule_clear(&d->schedule, &s->offline);
    schedule_clear(&d->schedule, &s->ephemeral);
    schedule_clear(&d->schedule, &s->expiry);
    schedule_clear(&d->schedule, &s->attribute);
    schedule_clear(&d->schedule, &s->expiring);
    list_remove(&s->drafts_link);
    outside_free(d, s);
    node_unref(s->draft);
    mem_free(s->eligible);
    mem_free(s);
}

void node_remove(struct domain *d, struct node_state *s)
{
    shares_drop_node(d, s);

    struct tailnet *t = s->tailnet;
    const struct node *n = node_now(s);
    node_id id = n->id;

    stream_end(d, s);
    routes_drop_node(d, s);
    name_release(t, s, n->given_name);
    addresses_free(d, s);
    count_references(d, n, false);
    t->n_unapproved -= (n->holds & HOLD_DEVICE) != 0;
    machine_remove(d, s);
    (void)map_remove(d->node_by_key, node_key_str(&n->key));
    (void)map_remove_u64(d->node_by_id, id);
    node_state_free(d, s);
    if (table_remove(&t->nodes, id))
        domain_emit(d, t, (struct change){.kind = CHANGE_NODE_REMOVED, .id = id});
}

/* ---- Setters ---- */

void node_set_key(struct domain *d, struct node_state *s, const struct node_key *key)
{
    struct node *n;

    if (node_key_eq(&node_now(s)->key, key))
        return;
    n = node_edit(d, s, NODE_KEY);
    (void)map_remove(d->node_by_key, node_key_str(&n->key));
    n->key = *key;
    (void)map_put(d->node_by_key, node_key_str(key), s);
}

void node_set_owner(struct domain *d, struct node_state *s, user_id user,
                    const struct str_list *tags)
{
    static const struct str_list none = {0};
    const struct str_list *wanted = user == 0 ? tags : &none;
    struct node *n;

    if (node_now(s)->user == user && str_list_eq(&node_now(s)->tags, wanted))
        return;
    n = node_edit(d, s, NODE_CARD);
    count_references(d, n, false);
    n->user = user;
    count_references(d, n, true);
    str_list_free(&n->tags);
    str_list_copy(&n->tags, wanted);
    node_follow_owner(d, s);
    guests_node(d, s);
}

void node_set_auth_key(struct domain *d, struct node_state *s, auth_key_id key)
{
    struct node *n;

    if (node_now(s)->auth_key == key)
        return;
    n = node_edit(d, s, NODE_PRIVATE);
    count_references(d, n, false);
    n->auth_key = key;
    count_references(d, n, true);
}

void node_set_expiry(struct domain *d, struct node_state *s, int64_t expiry_ms)
{
    bool expired = expiry_ms != 0 && expiry_ms <= d->now_ms;
    const struct node *now = node_now(s);

    if (expiry_ms != 0 && !expired)
        schedule_set(&d->schedule, &s->expiry, expiry_ms);
    else
        schedule_clear(&d->schedule, &s->expiry);
    if (now->expiry_ms == expiry_ms && now->expired == expired)
        return;

    struct node *n = node_edit(d, s, NODE_EXPIRY);
    n->expiry_ms = expiry_ms;
    n->expired = expired;
    expiring_schedule(d, s, false);
    routes_touch_node(d, s);
}

int facts_check(const struct node_facts *facts, struct err *err)
{
    if (facts->hostinfo.len > NODE_HOSTINFO_MAX || facts->hostinfo_peer.len > NODE_HOSTINFO_MAX)
        return err_set(err, ERR_LIMIT, "Hostinfo is larger than %zu bytes", NODE_HOSTINFO_MAX);
    if (facts->n_routes > NODE_ROUTES_MAX)
        return err_set(err, ERR_LIMIT, "a node announces at most %d routes", NODE_ROUTES_MAX);
    if (facts->request_tags.len > NODE_TAGS_MAX)
        return err_set(err, ERR_LIMIT, "a node asks for at most %d tags", NODE_TAGS_MAX);
    return 0;
}

bool facts_same_routes(const struct node_facts *a, const struct node_facts *b)
{
    if (a->n_routes != b->n_routes)
        return false;
    for (size_t i = 0; i < a->n_routes; i++)
        if (!ip_prefix_eq(a->routes[i], b->routes[i]))
            return false;
    return true;
}

/* Which part of the change others may see; 0: the facts are the same. */
static unsigned facts_mask(const struct node_facts *a, const struct node_facts *b)
{
    if (!str_eq(a->hostinfo_peer, b->hostinfo_peer))
        return NODE_FACTS;
    if (!str_eq(a->hostinfo, b->hostinfo) || !str_eq(a->hostname, b->hostname) ||
        !str_eq(a->os, b->os) || !str_eq(a->ipn_version, b->ipn_version) ||
        !facts_same_routes(a, b) || !str_list_eq(&a->request_tags, &b->request_tags))
        return NODE_FACTS_PRIVATE;
    return 0;
}

static bool same_label(struct str a, struct str b)
{
    struct buf la = BUF(256), lb = BUF(256);

    name_from_hostname(a, &la);
    name_from_hostname(b, &lb);
    bool same = str_eq(buf_str(&la), buf_str(&lb));
    buf_fini(&la);
    buf_fini(&lb);
    return same;
}

void node_set_facts(struct domain *d, struct node_state *s, struct node_facts *facts)
{
    struct node_facts *old = node_now(s)->facts;
    unsigned mask = facts_mask(old, facts);

    if (mask == 0)
        return;
    struct node *n = node_edit(d, s, mask);
    n->facts = node_facts_ref(facts);
    if (n->name_is_auto && !same_label(old->hostname, facts->hostname))
        name_give_auto(d, s);
    if (!facts_same_routes(old, facts))
        routes_update_node(d, s);
    node_facts_unref(old);
}

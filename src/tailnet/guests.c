/*
 * Guests: nodes that shares bring into the views of other tailnets.
 *
 * A node is a guest of a tailnet while one *bond* at least holds it there: the node is lent to that
 * tailnet, or that tailnet lends something to the node's owner, or to all of the node's tailnet.
 * How many shares in force make a bond is counted, so whether a guest stays is three look-ups:
 *
 *   LENT  node, guest tailnet           how often that node is lent there
 *   COME  owner tailnet, guest, user    how many nodes are lent to that user (0: to all)
 *
 * A *stay* is one node in one other tailnet. Stays come and go while a command acts; what the
 * tailnets are told of them waits until the node is as the command leaves it (nodes_publish).
 */

#include "tailnet/domain_internal.h"

struct outside *outside_of(struct node_state *s)
{
    if (s->outside)
        return s->outside;
    s->outside = NEW(struct outside);
    list_init(&s->outside->shares);
    list_init(&s->outside->stays);
    return s->outside;
}

/* ---- Bonds ---- */

enum bond_kind { BOND_LENT = 1, BOND_COME };

struct bond {
    uint64_t kind;
    uint64_t a, b, c;
};

static size_t bond_count(const struct domain *d, struct bond b)
{
    return (uintptr_t)map_find(d->bonds, str_bytes(&b, sizeof(b)));
}

static void bond_add(struct domain *d, struct bond b, bool add)
{
    size_t n = bond_count(d, b) + (add ? 1 : SIZE_MAX);

    if (n > 0)
        (void)map_put(d->bonds, str_bytes(&b, sizeof(b)), (void *)(uintptr_t)n);
    else
        (void)map_remove(d->bonds, str_bytes(&b, sizeof(b)));
}

static bool is_wanted(const struct domain *d, const struct node_state *s, const struct tailnet *in)
{
    const struct node *n = node_now(s);

    if (!node_has_access(n) || (s->outside && s->outside->is_leaving))
        return false;
    return bond_count(d, (struct bond){BOND_LENT, n->id, in->id, 0}) > 0 ||
           bond_count(d, (struct bond){BOND_COME, in->id, n->tailnet, 0}) > 0 ||
           (n->user && bond_count(d, (struct bond){BOND_COME, in->id, n->tailnet, n->user}) > 0);
}

/* ---- Who is known ---- */

/* True: it is the first reason. */
bool knowers_add(struct knowers *k, struct tailnet *in)
{
    for (size_t i = 0; i < k->len; i++) {
        if (k->items[i].in != in)
            continue;
        k->items[i].n++;
        return false;
    }
    k->items = mem_realloc_array(k->items, k->len + 1, sizeof(*k->items));
    k->items[k->len++] = (struct knower){in, 1};
    return true;
}

bool knowers_drop(struct knowers *k, const struct tailnet *in)
{
    for (size_t i = 0; i < k->len; i++) {
        if (k->items[i].in != in)
            continue;
        if (--k->items[i].n > 0)
            return false;
        k->items[i] = k->items[--k->len];
        return true;
    }
    return false;
}

/* What other tailnets may know of a user. */
static const struct user *user_told(const struct user *u)
{
    struct user *told = user_clone(u);

    str_list_free(&told->groups);
    told->role = ROLE_MEMBER;
    told->status = USER_ACTIVE;
    return told;
}

static bool same_user(const struct user *a, const struct user *b)
{
    return str_eq(a->name, b->name) && str_eq(a->display_name, b->display_name) &&
           str_eq(a->email, b->email) && str_eq(a->picture_url, b->picture_url) &&
           str_eq(a->provider, b->provider) && str_eq(a->provider_id, b->provider_id);
}

void guest_user_known(struct domain *d, user_id id, struct tailnet *in, bool add)
{
    struct user_state *u = map_find_u64(d->user_by_id, id);

    if (!u)
        return;
    if (add && knowers_add(&u->knowers, in)) {
        table_put(&in->guest_users, id, user_told(u->user));
        domain_emit(d, in, (struct change){.kind = CHANGE_GUEST_USER, .id = id});
    } else if (!add && knowers_drop(&u->knowers, in)) {
        (void)table_remove(&in->guest_users, id);
    }
}

void guests_user_changed(struct domain *d, user_id id)
{
    const struct user_state *u = map_find_u64(d->user_by_id, id);

    for (size_t i = 0; u && i < u->knowers.len; i++) {
        struct tailnet *in = u->knowers.items[i].in;

        if (same_user(table_find(&in->guest_users, id), u->user))
            continue;
        table_put(&in->guest_users, id, user_told(u->user));
        domain_emit(d, in, (struct change){.kind = CHANGE_GUEST_USER, .id = id});
    }
}

void guests_user_gone(struct domain *d, struct user_state *u)
{
    (void)d;
    for (size_t i = 0; i < u->knowers.len; i++)
        (void)table_remove(&u->knowers.items[i].in->guest_users, u->user->id);
    mem_free(u->knowers.items);
    u->knowers = (struct knowers){0};
}

/* ---- Addresses ---- */

static struct str addr_key(const struct ip_addr *addr)
{
    return str_bytes(addr, sizeof(*addr));
}

static void release(struct stay *stay, struct stay_addr *at)
{
    if (ip_addr_is_set(at->addr))
        (void)map_remove(stay->in->guest_addrs, addr_key(&at->addr));
    *at = (struct stay_addr){0};
}

static void claim(struct stay *stay, struct stay_addr *at, struct ip_addr addr, bool is_alias)
{
    *at = (struct stay_addr){addr, is_alias};
    (void)map_put(stay->in->guest_addrs, addr_key(&at->addr), stay);
}

/* Its own unless somebody has it there; an alias is kept. */
static void settle_addr(struct domain *d, struct stay *stay, uint8_t family)
{
    const struct node *n = node_now(stay->node);
    struct stay_addr *at = family == IP_V4 ? &stay->v4 : &stay->v6;
    struct ip_addr own = family == IP_V4 ? n->v4 : n->v6, alias;
    const struct node_state *holder;

    if (at->is_alias ? ip_addr_is_set(own) : ip_addr_eq(at->addr, own))
        return;
    release(stay, at);
    if (!ip_addr_is_set(own))
        return;
    holder = address_holder(d, stay->in, &own);
    if ((!holder || holder == stay->node) && !map_find(stay->in->guest_addrs, addr_key(&own)))
        claim(stay, at, own, false);
    else if (address_find_alias(d, stay->in, family, n->id, &alias))
        claim(stay, at, alias, true);
}

static void settle_addrs(struct domain *d, struct stay *stay)
{
    bool had_alias = stay->v4.is_alias || stay->v6.is_alias;

    settle_addr(d, stay, IP_V4);
    settle_addr(d, stay, IP_V6);
    if (had_alias || stay->v4.is_alias || stay->v6.is_alias)
        abroad_refresh(d, stay->node);
}

void guests_readdress(struct domain *d, struct node_state *s)
{
    if (!s->outside)
        return;
    LIST_FOR_EACH(stay, &s->outside->stays, struct stay, node_link) {
        settle_addrs(d, stay);
    }
}

/* ---- Stays ---- */

struct stay_key {
    node_id node;
    tailnet_id tailnet;
};

static struct stay *stay_find(const struct domain *d, node_id node, tailnet_id tailnet)
{
    const struct stay_key key = {node, tailnet};

    return map_find(d->stay_by_what, str_bytes(&key, sizeof(key)));
}

static void stay_begin(struct domain *d, struct node_state *s, struct tailnet *in)
{
    const struct stay_key key = {node_now(s)->id, in->id};
    struct stay *stay = NEW(struct stay);

    stay->node = s;
    stay->in = in;
    if (!in->guest_addrs)
        in->guest_addrs = map_new();
    list_push_back(&outside_of(s)->stays, &stay->node_link);
    list_push_back(&in->stays, &stay->in_link);
    list_push_back(&d->new_stays, &stay->new_link);
    (void)map_put(d->stay_by_what, str_bytes(&key, sizeof(key)), stay);
    guest_info_known(d, s->tailnet, in, true);
    settle_addrs(d, stay);
}

/* Frees it; nobody is told. */
static void stay_drop(struct domain *d, struct stay *stay)
{
    const struct stay_key key = {node_now(stay->node)->id, stay->in->id};

    release(stay, &stay->v4);
    release(stay, &stay->v6);
    list_remove(&stay->node_link);
    list_remove(&stay->in_link);
    list_remove(&stay->new_link);
    (void)map_remove(d->stay_by_what, str_bytes(&key, sizeof(key)));
    mem_free(stay);
}

static void stay_end(struct domain *d, struct stay *stay)
{
    struct node_state *s = stay->node;
    struct tailnet *in = stay->in;
    node_id id = node_now(s)->id;
    bool had_alias = stay->v4.is_alias || stay->v6.is_alias;

    if (table_remove(&in->guests, id))
        domain_emit(d, in, (struct change){.kind = CHANGE_GUEST_REMOVED, .id = id});
    if (stay->user != 0)
        guest_user_known(d, stay->user, in, false);
    guest_info_known(d, s->tailnet, in, false);
    stay_drop(d, stay);
    if (had_alias)
        abroad_refresh(d, s);
}

static void settle(struct domain *d, struct node_state *s, struct tailnet *in)
{
    struct stay *stay = stay_find(d, node_now(s)->id, in->id);
    bool wanted = is_wanted(d, s, in);

    if (wanted && !stay)
        stay_begin(d, s, in);
    else if (!wanted && stay)
        stay_end(d, stay);
}

void outside_free(struct domain *d, struct node_state *s)
{
    if (!s->outside)
        return;
    LIST_FOR_EACH(stay, &s->outside->stays, struct stay, node_link) {
        stay_drop(d, stay);
    }
    map_free(s->outside->used_by);
    mem_free(s->outside);
    s->outside = NULL;
}

/* ---- What happens ---- */

void guests_share(struct domain *d, const struct share_state *s, bool is_in_force)
{
    const struct share *share = s->share;
    const struct node *n;

    bond_add(d, (struct bond){BOND_LENT, share->node, share->guest, 0}, is_in_force);
    bond_add(d, (struct bond){BOND_COME, share->owner, share->guest, share->user}, is_in_force);
    settle(d, s->node, s->guest);
    abroad_recheck(d, s->node);
    for (size_t at = 0; (n = table_next(&s->guest->nodes, &at));) {
        struct node_state *device = node_state_by_id(d, n->id);

        if (share->user != 0 && node_now(device)->user != share->user)
            continue;
        settle(d, device, s->owner);
        abroad_recheck(d, device);
    }
}

void guests_node(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);
    const struct user_state *u;

    if (s->outside) {
        abroad_recheck(d, s);
        abroad_recheck_users(d, s);
    }
    if (!s->outside || !s->outside->is_leaving) {
        u = n->user ? map_find_u64(d->user_by_id, n->user) : NULL;
        LIST_FOR_EACH(share, &s->tailnet->lent_to_all, struct share_state, guest_link) {
            settle(d, s, share->owner);
        }
        if (u) {
            LIST_FOR_EACH(share, &u->lent_to, struct share_state, guest_link) {
                settle(d, s, share->owner);
            }
        }
    }
    if (!s->outside)
        return;
    LIST_FOR_EACH(share, &s->outside->shares, struct share_state, node_link) {
        settle(d, s, share->guest);
    }
    LIST_FOR_EACH(stay, &s->outside->stays, struct stay, node_link) {
        settle(d, s, stay->in);
    }
}

static void put_guest(struct domain *d, struct stay *stay)
{
    struct node *guest = node_clone(stay->node->node);

    guest->v4 = stay->v4.addr;
    guest->v6 = stay->v6.addr;
    guest->home_derp = guest_home(stay);
    if (guest->user != stay->user) {
        if (guest->user != 0)
            guest_user_known(d, guest->user, stay->in, true);
        if (stay->user != 0)
            guest_user_known(d, stay->user, stay->in, false);
        stay->user = guest->user;
    }
    table_put(&stay->in->guests, guest->id, guest);
}

void guests_publish_node(struct domain *d, struct node_state *s, unsigned mask)
{
    LIST_FOR_EACH(stay, &s->outside->stays, struct stay, node_link) {
        if (list_node_is_linked(&stay->new_link))
            continue;
        put_guest(d, stay);
        if ((mask & ~(unsigned)NODE_UNTOLD) != 0)
            domain_emit(d, stay->in,
                        (struct change){.kind = CHANGE_GUEST,
                                        .id = s->node->id,
                                        .mask = mask & ~(unsigned)NODE_UNTOLD});
    }
}

void guests_publish_new(struct domain *d)
{
    guest_infos_settle(d);
    for (struct list_node *l = list_pop_front(&d->new_stays); l;
         l = list_pop_front(&d->new_stays)) {
        struct stay *stay = CONTAINER_OF(l, struct stay, new_link);

        put_guest(d, stay);
        domain_emit(d, stay->in,
                    (struct change){.kind = CHANGE_GUEST,
                                    .id = stay->node->node->id,
                                    .mask = NODE_NEW | NODE_CARD});
    }
}

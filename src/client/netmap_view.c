/* What one client holds, by numbers of texts; see netmap_pool.h. */

#include <inttypes.h>
#include <stdio.h>

#include "client/netmap_pool_internal.h"
#include "client/node_text.h"
#include "core/mem.h"

static const char *const kept_names[NETMAP_KEPT_COUNT] = {
    "DERPMap",   "DNSConfig",       "Domain", "PacketFilter",
    "SSHPolicy", "CollectServices", "Health", "PacketFilters"};

static void complain(struct netmap_view *v, const char *what, uint64_t id)
{
    char text[160];

    if (v->complaint)
        return;
    (void)snprintf(text, sizeof(text), "%s (%" PRIu64 ")", what, id);
    v->complaint = str_dup(str_from(text));
}

void netmap_view_init(struct netmap_view *v, struct netmap_pool *p)
{
    *v = (struct netmap_view){.pool = p};
}

void netmap_view_fini(struct netmap_view *v)
{
    mem_free(v->held);
    mem_free(v->profiles);
    mem_free(v->complaint);
    v->held = NULL;
    v->profiles = NULL;
    v->complaint = NULL;
    v->n_held = v->n_peers = v->n_profiles = 0;
}

text_ix netmap_view_at(const struct netmap_view *v, uint32_t slot)
{
    return slot < v->n_held ? v->held[slot] : 0;
}

/* ---- Room ---- */

static void make_room(struct netmap_view *v)
{
    size_t slots = v->pool->n_slots;

    if (slots <= v->n_held)
        return;
    size_t room = MAX(slots + slots / 8, v->pool->expected + 1);

    v->held = mem_realloc_array(v->held, room, sizeof(*v->held));
    memset(v->held + v->n_held, 0, (room - v->n_held) * sizeof(*v->held));
    v->n_held = (uint32_t)room;
}

static bool has_profile(const struct netmap_view *v, uint32_t profile)
{
    return profile / 64 < v->n_profiles && (v->profiles[profile / 64] >> (profile % 64) & 1);
}

static void add_profile(struct netmap_view *v, uint32_t profile)
{
    if (profile / 64 >= v->n_profiles) {
        size_t room = profile / 64 + (size_t)1;

        v->profiles = mem_realloc_array(v->profiles, room, sizeof(*v->profiles));
        memset(v->profiles + v->n_profiles, 0, (room - v->n_profiles) * sizeof(*v->profiles));
        v->n_profiles = (uint32_t)room;
    }
    v->profiles[profile / 64] |= (uint64_t)1 << (profile % 64);
}

/* ---- Applying ---- */

static void hold(struct netmap_view *v, uint32_t slot, text_ix now)
{
    text_ix was = v->held[slot];

    if (now && !was)
        v->n_peers++;
    if (was && !now)
        v->n_peers--;
    v->held[slot] = now;
    if (slot == v->pool->watched && v->on_peer && slot != 0)
        v->on_peer(v->user, now);
}

static void check_peer(struct netmap_view *v, const struct brief *b)
{
    if (b->slot == v->self_slot)
        complain(v, "a node is its own peer", v->pool->ids[b->slot]);
    if (!has_profile(v, b->profile))
        complain(v, "a peer has a user without profile", v->pool->ids[b->slot]);
}

static void apply_all(struct netmap_view *v, const struct netmap_message *m)
{
    const struct brief *briefs = v->pool->briefs;

    v->full_maps++;
    memset(v->held, 0, v->n_held * sizeof(*v->held));
    v->n_peers = 0;
    for (size_t i = 0; i < m->peers.n; i++) {
        const struct brief *b = &briefs[m->peers.ix[i]];

        check_peer(v, b);
        if (v->held[b->slot])
            complain(v, "a peer is listed twice", v->pool->ids[b->slot]);
        hold(v, b->slot, m->peers.ix[i]);
    }
}

static void apply_ops(struct netmap_view *v, struct netmap_message *m)
{
    for (size_t i = 0; i < m->n_ops; i++) {
        struct op *op = &m->ops[i];

        if (op->slot == 0 || (op->kind != OP_PUT && v->held[op->slot] == 0))
            continue; /* of a node it does not hold */
        if (op->kind == OP_PUT)
            check_peer(v, &v->pool->briefs[op->what]);
        hold(v, op->slot, pool_changed(v->pool, op, v->held[op->slot]));
    }
}

static bool apply_self(struct netmap_view *v, const struct netmap_message *m)
{
    if (m->self) {
        v->self = m->self;
        v->self_slot = v->pool->briefs[m->self].slot;
    }
    if (v->self)
        return true;
    complain(v, "the first message has no Node", 0);
    return false;
}

bool netmap_view_apply(struct netmap_view *v, struct netmap_message *m)
{
    v->messages++;
    if (m->is_keep_alive) {
        v->keep_alives++;
        return true;
    }
    if (!apply_self(v, m))
        return false;
    for (size_t i = 0; i < NETMAP_KEPT_COUNT; i++)
        if (m->kept[i])
            v->kept[i] = i == NETMAP_FILTERS ? pool_filters(v->pool, m, v->kept[i]) : m->kept[i];
    for (size_t i = 0; i < m->n_profiles; i++)
        add_profile(v, m->profiles[i]);
    make_room(v);
    if (m->peers.n > 0)
        apply_all(v, m);
    else
        apply_ops(v, m);
    return true;
}

/* ---- Comparing ---- */

static bool same_nodes(struct netmap_pool *p, text_ix a, text_ix b, char *why, size_t why_len)
{
    static const struct node_text_ignored nothing = {NULL, 0};
    uint64_t pair = (uint64_t)a << 32 | b;
    const struct netmap_card *card = netmap_pool_card(p, b);

    if (a == b || map_find_u64(p->same, pair))
        return true;
    if (!node_text_same(p->texts[a].text, p->texts[b].text,
                        card->online ? &node_text_online : &nothing, card->id, why, why_len))
        return false;
    (void)map_put_u64(p->same, pair, p);
    return true;
}

static bool same_kept(const struct netmap_view *v, const struct netmap_view *fresh, char *why,
                      size_t why_len)
{
    const struct text *texts = v->pool->texts;

    for (size_t i = 0; i < NETMAP_KEPT_COUNT; i++) {
        if (v->kept[i] == fresh->kept[i] ||
            node_text_eq_json(texts[v->kept[i]].text, texts[fresh->kept[i]].text))
            continue;
        (void)snprintf(why, why_len, "%s differs", kept_names[i]);
        return false;
    }
    return v->self == fresh->self || node_text_same(texts[v->self].text, texts[fresh->self].text,
                                                    &node_text_own, 0, why, why_len);
}

bool netmap_view_same(const struct netmap_view *v, const struct netmap_view *fresh, char *why,
                      size_t why_len)
{
    struct netmap_pool *p = v->pool;

    if (!same_kept(v, fresh, why, why_len))
        return false;
    for (uint32_t slot = 1; slot < p->n_slots; slot++) {
        text_ix a = netmap_view_at(v, slot), b = netmap_view_at(fresh, slot);

        if (!a != !b) {
            (void)snprintf(why, why_len, "peer %" PRIu64 " %s", p->ids[slot],
                           a ? "should be gone" : "is missing");
            return false;
        }
        if (a && !same_nodes(p, a, b, why, why_len))
            return false;
    }
    return true;
}

/* See bench_internal.h. */

#include "bench/bench_internal.h"
#include "bench/sight.h"
#include "core/map.h"
#include "core/mem.h"

/* ---- Each by itself ---- */

/* `what` is taken by one sim only. */
static void check_once(struct run *r, struct map *taken, struct str what, struct sim *s,
                       const char *complaint)
{
    if (what.len > 0 && map_put(taken, what, s))
        run_complain(r, complaint, netmap_pool_text(s->tailnet->pool, s->name));
}

void check_complaints(struct run *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct sim *s = &r->sims[i];

        if (s->stream && s->stream->view.complaint)
            run_complain(r, "a client would complain:", str_from(s->stream->view.complaint));
    }
}

void check_distinct(struct run *r)
{
    struct map *names = map_new(), *ids = map_new(), *addresses = map_new();

    check_complaints(r);
    for (size_t i = 0; i < r->n; i++) {
        struct sim *s = &r->sims[i];
        struct str name = netmap_pool_text(s->tailnet->pool, s->name);

        check_once(r, names, name, s, "two nodes have one name:");
        check_once(r, addresses, ip_addr_bytes(&s->v4), s, "two nodes have one address:");
        check_once(r, addresses, ip_addr_bytes(&s->v6), s, "two nodes have one address:");
        if (map_put_u64(ids, s->id, s))
            run_complain(r, "two nodes have one id:", name);
        if (s->v4.family == IP_NONE || s->v6.family == IP_NONE)
            run_complain(r, "a node lacks an address:", name);
        if (!str_ends(name, STR(".")))
            run_complain(r, "a name has no dot at its end:", name);
    }
    map_free(names);
    map_free(ids);
    map_free(addresses);
}

/* ---- What they hold of each other ---- */

/* What is not so of `other` on this card; NULL if all is. */
static const char *differs(const struct netmap_card *held, const struct sim *other)
{
    if (held->name != other->name)
        return "has another name of";
    if (!node_key_eq(&held->key, &other->key))
        return "has another key of";
    if (!disco_key_eq(&held->disco, &other->disco))
        return "has another disco key of";
    if (!ip_addr_eq(held->v4, other->v4) || !ip_addr_eq(held->v6, other->v6))
        return "has another address of";
    if (held->online != other->is_online)
        return held->online ? "believes online" : "believes offline";
    if (held->home_derp != SIM_HOME_DERP)
        return "has no home relay of";
    if (!ip_addrport_eq(held->endpoint, other->endpoint))
        return "has an old endpoint of";
    if (held->expired)
        return "believes expired";
    return NULL;
}

/* Asked for millions of pairs: a card is looked at once for each thing that is true of its node. */
static bool is_right(text_ix ix, const struct sim *other)
{
    struct netmap_card *card = netmap_pool_card(other->tailnet->pool, ix);

    if (card->checked != other->truth) {
        card->checked = other->truth;
        card->is_right = !differs(card, other);
    }
    return card->is_right;
}

struct look {
    const struct sim *viewer, *other; /* other: NULL when it is about no one of ours */
    const char *what;                 /* NULL: all is as it should */
    size_t beside;
};

static bool look_at(struct run *r, struct look *l, const struct sim *other, text_ix ix)
{
    l->other = other;
    if (other == l->viewer)
        l->what = ix ? "is a peer of" : NULL;
    else if (r->sight && !sight_sees(r->sight, l->viewer, other))
        l->what = ix ? "must not see" : NULL;
    else if (ix == 0)
        l->what = "does not see";
    else if (!is_right(ix, other))
        l->what = differs(netmap_pool_card(other->tailnet->pool, ix), other);
    return l->what == NULL;
}

/* Owners, and not more of them than a tailnet has. */
static size_t profiles_of(const struct netmap_view *v)
{
    size_t n = 0;

    for (uint32_t i = 0; i < v->n_profiles; i++)
        n += (size_t)__builtin_popcountll(v->profiles[i]);
    return n;
}

static void look_at_all(struct run *r, struct look *l)
{
    const struct sim_tailnet *t = l->viewer->tailnet;
    size_t slots = netmap_pool_slots(t->pool);
    const struct netmap_view *v = &l->viewer->stream->view;
    const bool *row = r->sight ? sight_row(r->sight, l->viewer) : NULL;

    for (uint32_t slot = 1; slot < slots; slot++) {
        text_ix ix = netmap_view_at(v, slot);
        const struct sim *other = slot < t->n_at ? t->sim_at[slot] : NULL;

        if (!other) {
            l->beside += ix != 0;
            continue;
        }
        bool sees = !row || row[t->columns[slot]];

        if (other != l->viewer && (sees ? ix && ix == t->usual[slot] : !ix))
            continue;
        if (!look_at(r, l, other, ix))
            return;
        if (ix)
            t->usual[slot] = ix;
    }
    l->other = NULL;
    if (r->o->has_beside && l->beside != r->o->beside + r->o->quiet)
        l->what = "sees another number beside";
    else if (r->n_tailnets > 1 && profiles_of(v) != 1)
        l->what = "knows of people other than its tailnet's";
}

static struct look look(struct run *r, const struct sim *viewer)
{
    struct look l = {.viewer = viewer};

    if (!viewer->slot || (viewer->is_online && !sim_has_map(viewer)))
        l.what = "has no map";
    else if (viewer->is_online)
        look_at_all(r, &l);
    return l;
}

static void look_begin(struct run *r)
{
    for (size_t i = 0; i < r->n_tailnets; i++) {
        struct sim_tailnet *t = &r->tailnets[i];

        t->usual = mem_alloc_array(netmap_pool_slots(t->pool), sizeof(*t->usual));
        if (!r->sight)
            continue;
        t->columns = mem_alloc_array(t->n_at, sizeof(*t->columns));
        for (size_t slot = 0; slot < t->n_at; slot++)
            if (t->sim_at[slot])
                t->columns[slot] = sight_column(r->sight, t->sim_at[slot]);
    }
}

static void look_end(struct run *r)
{
    for (size_t i = 0; i < r->n_tailnets; i++) {
        mem_free(TAKE(r->tailnets[i].usual));
        mem_free(TAKE(r->tailnets[i].columns));
    }
}

bool check_settled(struct run *r)
{
    bool good = true;

    /* Begins where it ended: what was not so is looked at first. */
    look_begin(r);
    for (size_t i = 0; good && i < r->n; i++) {
        size_t at = (r->settled_at + i) % r->n;

        if (look(r, &r->sims[at]).what) {
            r->settled_at = at;
            good = false;
        }
    }
    look_end(r);
    return good;
}

void check_explain(struct run *r)
{
    look_begin(r);
    for (size_t i = 0; i < r->n && r->failures < FAILURES_MAX; i++) {
        struct look l = look(r, &r->sims[i]);

        if (!l.what)
            continue;
        struct str line = l.other ? str_printf("sim-%zu %s sim-%zu", i, l.what, l.other->index)
                                  : str_printf("sim-%zu %s", i, l.what);

        run_complain(r, "not settled:", line);
        str_free(&line);
    }
    look_end(r);
}

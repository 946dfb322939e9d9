/* See bench_internal.h. */

#include "bench/bench_internal.h"

/* `what` is taken by one sim only. */
static void check_once(struct run *r, struct map *taken, struct str what, struct sim *s,
                       const char *complaint)
{
    if (what.len > 0 && map_put(taken, what, s))
        run_complain(r, complaint, s->stream->state.self.name);
}

void check_distinct(struct run *r)
{
    struct map *names = map_new(), *keys = map_new(), *addresses = map_new(), *ids = map_new();

    for (size_t i = 0; i < r->o->nodes; i++) {
        struct sim *s = &r->sims[i];
        const struct netmap_state *state = &s->stream->state;

        if (state->complaint[0])
            run_complain(r, "a client would complain:", str_from(state->complaint));
        check_once(r, names, state->self.name, s, "two nodes have one name:");
        check_once(r, keys, node_key_str(&state->self.key), s, "two nodes have one key:");
        check_once(r, addresses, ip_addr_bytes(&state->self.v4), s, "two nodes have one address:");
        check_once(r, addresses, ip_addr_bytes(&state->self.v6), s, "two nodes have one address:");
        if (map_put_u64(ids, state->self.id, s))
            run_complain(r, "two nodes have one id:", state->self.name);
        if (state->self.v4.family == IP_NONE || state->self.v6.family == IP_NONE)
            run_complain(r, "a node lacks an address:", state->self.name);
        if (!str_ends(state->self.name, STR(".")))
            run_complain(r, "a name has no dot at its end:", state->self.name);
    }
    map_free(names);
    map_free(keys);
    map_free(addresses);
    map_free(ids);
}

/* What `viewer` holds of `other` that is not so; NULL if all is. */
static const char *differs(const struct sim *viewer, const struct sim *other)
{
    const struct netmap_peer *self = &other->stream->state.self;
    const struct netmap_peer *held = netmap_state_peer(&viewer->stream->state, self->id);

    if (!held)
        return "does not see";
    if (!str_eq(held->name, self->name))
        return "has another name of";
    if (!node_key_eq(&held->key, &other->key))
        return "has another key of";
    if (!ip_addr_eq(held->v4, self->v4) || !ip_addr_eq(held->v6, self->v6))
        return "has another address of";
    if (!held->online)
        return "believes offline";
    if (held->home_derp != SIM_HOME_DERP)
        return "has no home relay of";
    if (!ip_addrport_eq(held->endpoint, other->endpoint))
        return "has an old endpoint of";
    return NULL;
}

/* Of one viewer; `other` is set when it is about a peer. */
static const char *viewer_lacks(const struct run *r, const struct sim *viewer,
                                const struct sim **other)
{
    size_t peers;

    *other = NULL;
    if (!sim_has_map(viewer))
        return "has no map";
    peers = netmap_state_peers(&viewer->stream->state);
    if (peers < r->o->nodes - 1)
        return "sees too few";
    if (r->o->has_beside && peers != r->o->nodes - 1 + r->o->beside)
        return "sees too many";
    for (size_t k = 0; k < r->o->nodes; k++) {
        *other = &r->sims[k];
        if (*other == viewer)
            continue;
        if (!sim_has_map(*other))
            return "waits for";
        const char *what = differs(viewer, *other);

        if (what)
            return what;
    }
    return NULL;
}

bool check_settled(struct run *r)
{
    const struct sim *other;

    /* Begins where it ended: what was not so is looked at first. */
    for (size_t i = 0; i < r->o->nodes; i++) {
        size_t at = (r->settled_at + i) % r->o->nodes;

        if (viewer_lacks(r, &r->sims[at], &other)) {
            r->settled_at = at;
            return false;
        }
    }
    return true;
}

void check_explain(struct run *r)
{
    for (size_t i = 0; i < r->o->nodes; i++) {
        const struct sim *other = NULL;
        const char *what = viewer_lacks(r, &r->sims[i], &other);

        if (!what)
            continue;
        struct str line = other ? str_printf("sim-%zu %s sim-%zu", i, what, other->index)
                                : str_printf("sim-%zu %s", i, what);

        run_complain(r, "not settled:", line);
        str_free(&line);
    }
}

/*
 * The parts of a node's answer that the hosted service gives every node whatever the policy says:
 * capabilities and DNS. Source: policy.md 12.
 */

#include <stdlib.h>

#include "policy/eval_internal.h"
#include "policy/policy_internal.h"

#define CAP(name) STR("https://tailscale.com/cap/" name)

struct cap {
    struct str name;
    struct str json; /* its value */
};
struct caps {
    struct cap *items;
    size_t len;
    size_t cap;
};

static void caps_add(struct caps *caps, struct str name, struct str json)
{
    /* What is there stays as it is. */
    for (size_t i = 0; i < caps->len; i++)
        if (str_eq(caps->items[i].name, name))
            return;
    caps->items = mem_room(caps->items, caps->len, &caps->cap, 16, sizeof(*caps->items));
    caps->items[caps->len++] = (struct cap){name, json};
}

static bool has_owner(const struct eval_case *c)
{
    for (size_t i = 0; i < c->n_users; i++)
        if (c->users[i]->role == ROLE_OWNER)
            return true;
    return false;
}

static void add_baseline(struct caps *caps, const struct eval_answer *a, const struct eval_node *en,
                         struct arena *arena)
{
    static const struct str everyone[] = {
        STR_INIT("https://tailscale.com/cap/file-sharing"),
        STR_INIT("https://tailscale.com/cap/ssh"),
        STR_INIT("https://tailscale.com/cap/tailnet-lock"),
        STR_INIT("probe-udp-lifetime"),
        STR_INIT("ssh-behavior-v1"),
        STR_INIT("ssh-env-vars"),
        STR_INIT("store-appc-routes"),
    };
    struct buf name = BUF(0);
    struct json_writer w = JSON_WRITER(&name);

    for (size_t i = 0; i < ARRAY_LEN(everyone); i++)
        caps_add(caps, everyone[i], STR("null"));
    json_begin_array(&w);
    json_str(&w, a->c->tailnet);
    json_end_array(&w);
    caps_add(caps, STR("tailnet-display-name"), arena_copy(arena, buf_str(&name)));
    buf_fini(&name);
    caps_add(caps, STR("default-auto-update"), a->c->auto_updates ? STR("[true]") : STR("[false]"));
    if (en->user && (en->user->role == ROLE_OWNER || en->user->role == ROLE_ADMIN))
        caps_add(caps, CAP("is-admin"), STR("null"));
    /* A case does not say who made a tagged node: the owner, as in all that were seen. */
    if (en->user ? en->user->role == ROLE_OWNER : has_owner(a->c))
        caps_add(caps, CAP("is-owner"), STR("null"));
}

static void add_attributes(struct caps *caps, const struct eval_answer *a,
                           const struct eval_node *en, struct arena *arena)
{
    const struct str *names = NULL;
    size_t n = policy_attrs(a->policy, en->id, &names);
    struct json_value *connectors = NULL;
    struct buf text = BUF(0);
    struct json_writer w = JSON_WRITER(&text);

    for (size_t i = 0; i < n; i++)
        caps_add(caps, names[i], STR("null"));
    if (a->document->randomize_client_port)
        caps_add(caps, STR("randomize-client-port"), STR("null"));
    json_begin_object(&w);
    policy_put_attr_app(a->policy, en->id, &w);
    json_end_object(&w);
    if (json_parse(arena, arena_copy(arena, buf_str(&text)), NULL, &connectors, NULL))
        JSON_EACH(v, connectors)
            caps_add(caps, v->key, v->raw);
    buf_fini(&text);
}

static int by_name(const void *x, const void *y)
{
    return str_cmp(((const struct cap *)x)->name, ((const struct cap *)y)->name);
}

void eval_put_caps(const struct eval_answer *a, const struct eval_node *en)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct caps caps = {0};

    add_baseline(&caps, a, en, arena);
    add_attributes(&caps, a, en, arena);
    qsort(caps.items, caps.len, sizeof(*caps.items), by_name);
    json_field_object(a->w, STR("caps"));
    for (size_t i = 0; i < caps.len; i++)
        json_field_raw(a->w, caps.items[i].name, caps.items[i].json);
    json_end_object(a->w);
    mem_free(caps.items);
}

/*
 * What the peer's card says of its attributes. Source capabilities are there too: they belong to
 * the compact form of filters, and the captures know the other one.
 */
bool eval_put_peer_caps(const struct eval_answer *a, const struct eval_node *peer)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str text = policy_peer_caps(a->policy, peer->id);
    struct json_value *caps = NULL;
    bool said = false;

    if (text.len == 0 || !json_parse(arena, text, NULL, &caps, NULL))
        return false;
    JSON_EACH(v, caps) {
        if (str_starts(v->key, STR(SOURCE_CAP)))
            continue;
        if (!said)
            json_field_object(a->w, STR("caps"));
        said = true;
        json_field_raw(a->w, v->key, v->raw);
    }
    if (said)
        json_end_object(a->w);
    return said;
}

/* ---- DNS ---- */

/* Who answers for ts.net., where the hosted service's machines are named. */
static const struct str ts_net_resolvers[] = {STR_INIT("199.247.155.53"),
                                              STR_INIT("2620:111:8007::53")};

/* Without MagicDNS there is the empty default, which a case leaves out. */
void eval_put_dns(const struct eval_answer *a)
{
    struct json_writer *w = a->w;

    if (!a->c->magic_dns)
        return;
    json_field_object(w, STR("dns"));
    json_field_object(w, STR("Routes"));
    json_field_array(w, STR("ts.net."));
    for (size_t i = 0; i < ARRAY_LEN(ts_net_resolvers); i++) {
        json_begin_object(w);
        json_field_str(w, STR("Addr"), ts_net_resolvers[i]);
        json_end_object(w);
    }
    json_end_array(w);
    if (a->c->dns_name.len > 0)
        json_field_null(w, a->c->dns_route);
    json_end_object(w);
    if (a->c->dns_name.len > 0) {
        json_field_array(w, STR("Domains"));
        json_str(w, a->c->dns_name);
        json_end_array(w);
    }
    json_field_bool(w, STR("Proxied"), true);
    json_field_array(w, STR("ExitNodeFilteredSet"));
    json_str(w, STR(".ts.net"));
    json_str(w, STR(".tailscale.net"));
    json_end_array(w);
    json_end_object(w);
}

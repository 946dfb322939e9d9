/* A filter is read once, with every form checked; an SSH policy is read at each question. */

#include "model_client.h"

#include <stdio.h>

#include "core/mem.h"
#include "json/value.h"

/* ---- Reading a filter ---- */

static void complain(struct model_filter *f, const char *what, struct str text)
{
    if (!f->complaint[0])
        (void)snprintf(f->complaint, sizeof(f->complaint), "%s: \"%.*s\"", what, STR_ARG(text));
}

/* "*", address, CIDR without host bits, range. */
static bool add_spelled(struct ip_set *set, struct str text)
{
    struct ip_range r;
    struct ip_prefix p;

    if (str_eq(text, STR("*"))) {
        struct ip_prefix v4 = {.addr.family = IP_V4}, v6 = {.addr.family = IP_V6};

        ip_set_add_prefix(set, v4);
        ip_set_add_prefix(set, v6);
        return true;
    }
    if (str_find_char(text, '/') >= 0) {
        if (!ip_prefix_parse_masked(text, &p))
            return false;
        ip_set_add_prefix(set, p);
        return true;
    }
    if (!ip_range_parse_any(text, &r))
        return false;
    ip_set_add(set, r);
    return true;
}

static void parse_sources(struct model_filter *f, struct model_filter_rule *r,
                          const struct json_value *list)
{
    if (!json_is(list, JSON_ARRAY))
        complain(f, "SrcIPs is no list", STR_NONE);
    JSON_EACH(v, list) {
        struct str text = json_as_str(v, STR_NONE);

        if (str_starts(text, STR("cap:")) && text.len > 4)
            str_list_add(&r->caps, str_from_index(text, 4));
        else if (!add_spelled(&r->src, text))
            complain(f, "no source", text);
    }
}

static void parse_protos(struct model_filter *f, struct model_filter_rule *r,
                         const struct json_value *list)
{
    if (!list || json_is(list, JSON_NULL))
        return;
    r->has_proto = true;
    r->protos = mem_alloc_array(json_len(list), sizeof(*r->protos));
    JSON_EACH(v, list) {
        uint64_t n = json_as_u64(v, 0);

        if (n == 0 || n > 255)
            complain(f, "no protocol", v->raw);
        r->protos[r->n_protos++] = (int)n;
    }
    if (r->n_protos == 0)
        complain(f, "an empty list of protocols", STR_NONE);
}

static void parse_dst(struct model_filter *f, struct model_filter_rule *r,
                      const struct json_value *list)
{
    r->dst = mem_alloc_array(json_len(list), sizeof(*r->dst));
    JSON_EACH(v, list) {
        struct model_dst *d = &r->dst[r->n_dst++];
        const struct json_value *ports = json_get_object(v, "Ports");
        uint64_t first = json_get_u64(ports, "First", 65536);
        uint64_t last = json_get_u64(ports, "Last", 65536);

        if (json_len(v) != 2 || !add_spelled(&d->set, json_get_str(v, "IP")))
            complain(f, "no destination", v->raw);
        if (json_len(ports) != 2 || first > last || last > 65535)
            complain(f, "no ports", v->raw);
        d->ports = (struct ip_ports){(uint16_t)first, (uint16_t)last};
    }
}

static void parse_grants(struct model_filter *f, struct model_filter_rule *r,
                         const struct json_value *list)
{
    if (json_len(list) != 1)
        complain(f, "not one CapGrant", list->raw);
    const struct json_value *grant = json_at(list, 0);
    const struct json_value *dsts = json_get_array(grant, "Dsts");
    const struct json_value *names = json_get_object(grant, "CapMap");

    if (!dsts || !names || json_len(grant) != 2)
        complain(f, "no CapGrant", list->raw);
    r->cap_dst = mem_alloc_array(json_len(dsts), sizeof(*r->cap_dst));
    JSON_EACH(v, dsts)
        if (!ip_prefix_parse_masked(json_as_str(v, STR_NONE), &r->cap_dst[r->n_cap_dst++]))
            complain(f, "no prefix", v->raw);
    JSON_EACH(v, names) {
        if (!json_is(v, JSON_ARRAY) && !json_is(v, JSON_NULL))
            complain(f, "no list of values", v->raw);
        str_list_add(&r->cap_names, v->key);
    }
}

static void parse_rule(struct model_filter *f, const struct json_value *v)
{
    struct model_filter_rule *r = &f->items[f->len++];
    const struct json_value *dst = json_get(v, "DstPorts"), *caps = json_get(v, "CapGrant");

    *r = (struct model_filter_rule){0};
    parse_sources(f, r, json_get(v, "SrcIPs"));
    parse_protos(f, r, json_get(v, "IPProto"));
    if ((json_len(dst) > 0) == (json_len(caps) > 0))
        complain(f, "not one of DstPorts and CapGrant", v->raw);
    if (dst)
        parse_dst(f, r, dst);
    if (caps)
        parse_grants(f, r, caps);
    if (dst && ip_set_is_empty(&r->src) && r->caps.len == 0)
        complain(f, "nobody as source", v->raw);
    if (json_get(v, "SrcBits"))
        complain(f, "SrcBits", v->raw);
}

void model_filter_parse(struct model_filter *f, struct str json)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_options options = {.max_nodes = (size_t)1 << 24, .max_bytes = (size_t)1 << 30};
    struct json_value *root = NULL;
    struct json_error error = {0};

    *f = (struct model_filter){0};
    if (!json_parse(arena, json, &options, &root, &error)) {
        complain(f, error.text, json);
        return;
    }
    if (!json_is(root, JSON_ARRAY))
        complain(f, "no list", json);
    f->items = mem_alloc_array(json_len(root), sizeof(*f->items));
    JSON_EACH(v, root)
        parse_rule(f, v);
}

void model_filter_fini(struct model_filter *f)
{
    for (size_t i = 0; i < f->len; i++) {
        struct model_filter_rule *r = &f->items[i];

        for (size_t k = 0; k < r->n_dst; k++)
            ip_set_fini(&r->dst[k].set);
        ip_set_fini(&r->src);
        str_list_free(&r->caps);
        str_list_free(&r->cap_names);
        mem_free(r->protos);
        mem_free(r->dst);
        mem_free(r->cap_dst);
    }
    mem_free(f->items);
    *f = (struct model_filter){0};
}

/* ---- Applying it ---- */

static bool has_ports(int proto)
{
    return proto == 6 || proto == 17 || proto == 132;
}

/* Capabilities as sources do not work for protocols that have neither ports nor are ICMP. */
static bool comes_from(const struct model_filter_rule *r, const struct model_peer *src, int proto)
{
    if (ip_set_contains(&r->src, src->addr))
        return true;
    if (!has_ports(proto) && proto != 1 && proto != 58)
        return false;
    for (size_t i = 0; i < r->caps.len; i++)
        if (str_list_has(&src->caps, r->caps.items[i]))
            return true;
    return false;
}

static bool is_of_proto(const struct model_filter_rule *r, int proto)
{
    if (!r->has_proto)
        return proto == 6 || proto == 17 || proto == 1 || proto == 58;
    for (size_t i = 0; i < r->n_protos; i++)
        if (r->protos[i] == proto)
            return true;
    return false;
}

bool model_filter_allows(const struct model_filter *f, const struct model_peer *src,
                         struct ip_addr dst, int proto, uint16_t port)
{
    for (size_t i = 0; i < f->len; i++) {
        const struct model_filter_rule *r = &f->items[i];

        if (!is_of_proto(r, proto) || !comes_from(r, src, proto))
            continue;
        for (size_t k = 0; k < r->n_dst; k++)
            if (ip_set_contains(&r->dst[k].set, dst) &&
                (!has_ports(proto) || ip_ports_contains(r->dst[k].ports, port)))
                return true;
    }
    return false;
}

bool model_filter_has_cap(const struct model_filter *f, const struct model_peer *src,
                          struct ip_addr dst, struct str cap)
{
    for (size_t i = 0; i < f->len; i++) {
        const struct model_filter_rule *r = &f->items[i];

        if (!str_list_has(&r->cap_names, cap) || !comes_from(r, src, 6))
            continue;
        for (size_t k = 0; k < r->n_cap_dst; k++)
            if (ip_prefix_contains(r->cap_dst[k], dst))
                return true;
    }
    return false;
}

/* ---- SSH ---- */

static bool has_principal(const struct json_value *rule, struct ip_addr src)
{
    JSON_EACH(p, json_get_array(rule, "principals")) {
        struct ip_addr a;

        if (ip_addr_parse(json_get_str(p, "nodeIP"), &a) && ip_addr_eq(a, src))
            return true;
    }
    return false;
}

/* "=" is the same name, and no way to become root. */
static bool maps_user(const struct json_value *rule, struct str login)
{
    struct str to = STR_NONE;
    bool is_named = false;

    JSON_EACH(u, json_get_object(rule, "sshUsers")) {
        if (str_eq(u->key, login)) {
            to = json_as_str(u, STR_NONE);
            is_named = true;
        } else if (str_eq(u->key, STR("*")) && !is_named) {
            to = json_as_str(u, STR_NONE);
        }
    }
    if (str_eq(to, STR("=")))
        return !str_eq(login, STR("root"));
    return to.len > 0;
}

enum model_ssh model_ssh(struct str json, struct ip_addr src, struct str login)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *root = NULL;

    if (!json_parse(arena, json, NULL, &root, NULL) || !json_get_array(root, "rules"))
        return MODEL_SSH_BROKEN;
    JSON_EACH(rule, json_get_array(root, "rules")) {
        const struct json_value *action = json_get_object(rule, "action");

        if (!action || json_len(json_get_array(rule, "principals")) == 0)
            return MODEL_SSH_BROKEN;
        /* Who is rejected is so whatever the login. */
        if (json_get_bool(action, "reject", false) && has_principal(rule, src))
            return MODEL_SSH_NONE;
        if (!has_principal(rule, src) || !maps_user(rule, login))
            continue;
        if (json_get_str(action, "holdAndDelegate").len > 0)
            return MODEL_SSH_CHECK;
        return json_get_bool(action, "accept", false) ? MODEL_SSH_ACCEPT : MODEL_SSH_BROKEN;
    }
    return MODEL_SSH_NONE;
}

void model_cap_names(struct str json, struct str_list *out)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *root = NULL;

    *out = (struct str_list){0};
    if (json.len == 0 || !json_parse(arena, json, NULL, &root, NULL))
        return;
    JSON_EACH(v, root)
        str_list_add(out, v->key);
}

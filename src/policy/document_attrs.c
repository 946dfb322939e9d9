/*
 * Node attributes, auto-approval, the author's tests, and switches for the whole network (policy.md
 * 5.8, 5.9, 5.11, 13).
 */

#include "policy/document_internal.h"

#include <string.h>

/* ---- nodeAttrs ---- */

static bool read_pool(struct doc_reader *r, const struct json_value *v, struct ip_prefix *out)
{
    const struct ip_prefix range = {IP_ADDR_V4(100, 64, 0, 0), 10};
    const struct ip_prefix reserved[] = {
        {IP_ADDR_V4(100, 100, 100, 0), 24},
        {IP_ADDR_V4(100, 115, 92, 0), 23},
    };
    struct ip_prefix p = {0};

    if (!doc_is(r, v, JSON_STRING, "ipPool"))
        return false;
    if (!ip_prefix_parse(str_trim(v->str), &p) || !ip_prefix_covers(range, p)) {
        doc_refuse(r, doc_pos(v), "IPPool(%s): not a network inside 100.64.0.0/10", PLAIN(v->str));
        return doc_hint(r, "like 100.81.0.0/16");
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (ip_prefix_overlaps(reserved[i], p)) {
            doc_refuse(r, doc_pos(v), "IPPool(%s): network within reserved range", PLAIN(v->str));
            return doc_hint(r, "100.100.100.0/24 and 100.115.92.0/23 are given to no node");
        }
    }
    *out = ip_prefix_masked(p);
    return true;
}

static bool read_pools(struct doc_reader *r, const struct json_value *v,
                       struct policy_node_attr *attr)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_ARRAY, "ipPool") || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    attr->ip_pools = NEW_ITEMS(r, struct ip_prefix, json_len(v));
    JSON_EACH(m, v) {
        if (!read_pool(r, m, &attr->ip_pools[attr->n_ip_pools++]))
            return false;
    }
    if (attr->n_ip_pools > 0)
        doc_undelivered(r, doc_pos(v),
                        "ipPool is not delivered yet: new nodes get addresses of the server's "
                        "own ranges");
    return true;
}

static bool read_attr(struct doc_reader *r, const struct json_value *v,
                      struct policy_node_attr *attr)
{
    const struct json_value *target, *attrs, *app, *pool;
    const struct doc_field fields[] = {
        {"target", NULL, &target},
        {"attr", NULL, &attrs},
        {"app", NULL, &app},
        {"ipPool", NULL, &pool},
    };

    return doc_fields(r, v, "an entry of nodeAttrs", fields, ARRAY_LEN(fields), false) &&
           doc_refs(r, PLACE_TARGET, target, "target", &attr->targets) &&
           doc_words(r, attrs, "attr", &attr->attrs) &&
           doc_app(r, app, false, &attr->app, &attr->n_app) && read_pools(r, pool, attr);
}

bool doc_node_attrs(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_ARRAY, "nodeAttrs", POLICY_RULES_MAX))
        return false;
    doc->node_attrs = NEW_ITEMS(r, struct policy_node_attr, json_len(v));
    JSON_EACH(m, v) {
        struct policy_node_attr *attr = &doc->node_attrs[doc->n_node_attrs++];

        attr->pos = doc_pos(m);
        if (!read_attr(r, m, attr))
            return false;
    }
    return true;
}

/* ---- autoApprovers ---- */

static bool read_routes(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!v)
        return true;
    if (!doc_list(r, v, JSON_OBJECT, "routes", POLICY_NAMES_MAX))
        return false;
    doc->route_approvers = NEW_ITEMS(r, struct policy_route_approver, json_len(v));
    JSON_EACH(m, v) {
        struct policy_route_approver *a = &doc->route_approvers[doc->n_route_approvers++];

        if (!ip_prefix_parse_or_addr(str_trim(m->key), &a->prefix)) {
            doc_refuse(r, doc_key_pos(m), "%s: invalid address", QUOTED(m->key));
            return doc_hint(r, "a route is a CIDR like 10.0.0.0/8");
        }
        a->prefix = ip_prefix_masked(a->prefix);
        a->pos = doc_key_pos(m);
        if (!json_is(m, JSON_NULL) &&
            !doc_refs(r, PLACE_APPROVER, m, "approvers of a route", &a->approvers))
            return false;
    }
    return true;
}

static bool read_services(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!v)
        return true;
    if (!doc_list(r, v, JSON_OBJECT, "services", POLICY_NAMES_MAX))
        return false;
    doc->service_approvers = NEW_ITEMS(r, struct policy_service_approver, json_len(v));
    JSON_EACH(m, v) {
        struct policy_service_approver *a = &doc->service_approvers[doc->n_service_approvers++];

        /* A tag stands for the services that have it. */
        if (!str_starts(m->key, STR("svc:")) && !str_starts(m->key, STR("tag:"))) {
            doc_refuse(r, doc_key_pos(m), "service must start with 'svc:', got: %s",
                       QUOTED(m->key));
            return doc_hint(r, "a service is named like svc:web");
        }
        *a = (struct policy_service_approver){.name = doc_keep(r, m->key), .pos = doc_key_pos(m)};
        if (!json_is(m, JSON_NULL) &&
            !doc_refs(r, PLACE_APPROVER, m, "approvers of a service", &a->approvers))
            return false;
    }
    if (doc->n_service_approvers > 0)
        doc_undelivered(r, doc_pos(v),
                        "services are not delivered yet: there is nothing to approve");
    return true;
}

bool doc_auto_approvers(struct doc_reader *r, const struct json_value *v)
{
    const struct json_value *routes, *exits, *services;
    const struct doc_field fields[] = {
        {"routes", NULL, &routes},
        {"exitNode", NULL, &exits},
        {"services", NULL, &services},
    };

    return doc_fields(r, v, "autoApprovers", fields, ARRAY_LEN(fields), false) &&
           read_routes(r, routes) &&
           doc_refs(r, PLACE_APPROVER, exits, "exitNode", &r->doc->exit_approvers) &&
           read_services(r, services);
}

/* ---- tests and sshTests: read here, judged when they run ---- */

/* What each of the words names. */
static const struct policy_selector **mention_all(struct doc_reader *r,
                                                  const struct policy_words *words, bool with_ports)
{
    const struct policy_selector **out =
        arena_alloc(r->doc->arena, (words->len + 1) * sizeof(const struct policy_selector *));

    for (size_t i = 0; i < words->len; i++) {
        struct str text = words->items[i].text;

        out[i] = doc_mention(r, with_ports ? doc_test_host(r, text) : text);
    }
    return out;
}

static bool read_test(struct doc_reader *r, const struct json_value *v, struct policy_test *t)
{
    const struct json_value *src, *proto, *accept, *deny, *attrs;
    const struct doc_field fields[] = {
        {"src", "user", &src}, {"proto", NULL, &proto},           {"accept", "allow", &accept},
        {"deny", NULL, &deny}, {"srcPostureAttrs", NULL, &attrs},
    };

    if (!doc_fields(r, v, "a test", fields, ARRAY_LEN(fields), false) ||
        !doc_word(r, src, "src", &t->src) || !doc_words(r, accept, "accept", &t->accept) ||
        !doc_words(r, deny, "deny", &t->deny))
        return false;
    if (json_is(proto, JSON_NUMBER))
        t->proto = (struct policy_word){doc_keep(r, proto->raw), doc_pos(proto)};
    else if (!doc_word(r, proto, "proto", &t->proto))
        return false;
    if (attrs && !doc_is(r, attrs, JSON_OBJECT, "srcPostureAttrs"))
        return false;
    if (attrs)
        doc_undelivered(r, doc_pos(attrs),
                        "srcPostureAttrs is not delivered yet: the test runs without it");
    t->src_is = doc_mention(r, t->src.text);
    t->accept_is = mention_all(r, &t->accept, true);
    t->deny_is = mention_all(r, &t->deny, true);
    return true;
}

bool doc_tests(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_ARRAY, "tests", POLICY_RULES_MAX))
        return false;
    doc->tests = NEW_ITEMS(r, struct policy_test, json_len(v));
    JSON_EACH(m, v) {
        struct policy_test *t = &doc->tests[doc->n_tests++];

        t->pos = doc_pos(m);
        if (!read_test(r, m, t))
            return false;
    }
    return true;
}

static bool read_ssh_test(struct doc_reader *r, const struct json_value *v,
                          struct policy_ssh_test *t)
{
    const struct json_value *src, *dst, *accept, *check, *deny;
    const struct doc_field fields[] = {
        {"src", NULL, &src},     {"dst", NULL, &dst},   {"accept", NULL, &accept},
        {"check", NULL, &check}, {"deny", NULL, &deny},
    };

    if (!doc_fields(r, v, "an SSH test", fields, ARRAY_LEN(fields), false) ||
        !doc_word(r, src, "src", &t->src) || !doc_words(r, dst, "dst", &t->dst) ||
        !doc_words(r, accept, "accept", &t->accept) || !doc_words(r, check, "check", &t->check) ||
        !doc_words(r, deny, "deny", &t->deny))
        return false;
    t->src_is = doc_mention(r, t->src.text);
    t->dst_is = mention_all(r, &t->dst, false);
    return true;
}

bool doc_ssh_tests(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_ARRAY, "sshTests", POLICY_RULES_MAX))
        return false;
    doc->ssh_tests = NEW_ITEMS(r, struct policy_ssh_test, json_len(v));
    JSON_EACH(m, v) {
        struct policy_ssh_test *t = &doc->ssh_tests[doc->n_ssh_tests++];

        t->pos = doc_pos(m);
        if (!read_ssh_test(r, m, t))
            return false;
    }
    return true;
}

/* ---- Switches ---- */

bool doc_randomize_client_port(struct doc_reader *r, const struct json_value *v)
{
    return doc_bool(r, v, "randomizeClientPort", &r->doc->randomize_client_port);
}

bool doc_disable_ipv4(struct doc_reader *r, const struct json_value *v)
{
    return doc_bool(r, v, "disableIPv4", &r->doc->disable_ipv4);
}

bool doc_cgnat_route(struct doc_reader *r, const struct json_value *v)
{
    static const struct {
        struct str name;
        enum policy_cgnat_route route;
    } routes[] = {
        {STR_INIT(""), CGNAT_DEFAULT},
        {STR_INIT("mac-always"), CGNAT_MAC_ALWAYS},
        {STR_INIT("mac-never"), CGNAT_MAC_NEVER},
    };

    if (!doc_is(r, v, JSON_STRING, "OneCGNATRoute"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!str_eq(v->str, routes[i].name))
            continue;
        r->doc->cgnat_route = routes[i].route;
        return true;
    }
    doc_refuse(r, doc_pos(v), "OneCGNATRoute: %s is not valid", QUOTED(v->str));
    return doc_hint(r, "it is \"\", \"mac-always\" or \"mac-never\"");
}

bool doc_attr_config(struct doc_reader *r, const struct json_value *v)
{
    if (!doc_is(r, v, JSON_OBJECT, "attrConfig"))
        return false;
    if (json_len(v) > 0)
        doc_undelivered(r, doc_pos(v),
                        "attrConfig is not delivered: custom attributes need no configuration, and "
                        "clients set none of themselves");
    return true;
}

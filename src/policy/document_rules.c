/*
 * Network rules: acls and grants (policy.md 4, 5.5 to 5.7).
 *
 * A rule is read source first; the first thing wrong in it is the complaint.
 */

#include "policy/document_internal.h"

#include <string.h>

#define SELF_WORDS "autogroup:self can only be used with users, groups, or supported autogroups"

static bool may_reach_self(const struct policy_selector *s, bool is_acl)
{
    if (s->kind == SELECTOR_WILDCARD)
        return is_acl;
    if (s->kind == SELECTOR_AUTOGROUP)
        return s->autogroup != AUTOGROUP_TAGGED && s->autogroup != AUTOGROUP_SHARED &&
               s->autogroup != AUTOGROUP_DANGER_ALL;
    return s->kind == SELECTOR_USER || s->kind == SELECTOR_DOMAIN || s->kind == SELECTOR_GROUP;
}

static const struct policy_target *self_target(const struct policy_rule *rule)
{
    for (size_t i = 0; i < rule->n_dst; i++) {
        if (rule->dst[i].ref.selector->autogroup == AUTOGROUP_SELF)
            return &rule->dst[i];
    }
    return NULL;
}

static bool check_self(struct doc_reader *r, const struct policy_rule *rule)
{
    if (!self_target(rule))
        return true;
    for (size_t i = 0; i < rule->src.len; i++) {
        if (may_reach_self(rule->src.items[i].selector, rule->is_acl))
            continue;
        doc_refuse(r, rule->src.items[i].pos, SELF_WORDS);
        return doc_hint(r, "%s has no devices of its own; autogroup:member as src is everybody",
                        QUOTED(rule->src.items[i].selector->text));
    }
    return true;
}

/* ---- acls ---- */

static bool read_acl_targets(struct doc_reader *r, const struct json_value *v,
                             struct policy_rule *rule)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_ARRAY, "dst") || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    rule->dst = NEW_ITEMS(r, struct policy_target, json_len(v));
    JSON_EACH(m, v) {
        if (!doc_acl_target(r, m, &rule->dst[rule->n_dst++]))
            return false;
    }
    return true;
}

static bool takes_ports(int proto)
{
    return proto == -1 || proto == 6 || proto == 17 || proto == 132;
}

static bool check_acl_ports(struct doc_reader *r, const struct policy_rule *rule)
{
    const char *name = policy_proto_name(rule->proto);

    if (takes_ports(rule->proto))
        return true;
    for (size_t i = 0; i < rule->n_dst; i++) {
        const struct policy_target *t = &rule->dst[i];

        for (size_t p = 0; p < t->n_ports; p++) {
            if (ip_ports_eq(t->ports[p], IP_PORTS_ALL))
                continue;
            if (name)
                return doc_refuse(r, t->ref.pos,
                                  "protocol does not support specific ports: \"%s\", only \"*\" is "
                                  "allowed",
                                  name);
            return doc_refuse(r, t->ref.pos,
                              "protocol does not support specific ports: \"%d\", only \"*\" is "
                              "allowed",
                              rule->proto);
        }
    }
    return true;
}

static bool check_acl_action(struct doc_reader *r, const struct json_value *acl,
                             const struct json_value *action)
{
    if (action && !doc_is(r, action, JSON_STRING, "action"))
        return false;
    struct str text = str_trim(json_as_str(action, STR_NONE));
    if (str_eq(text, STR("accept")))
        return true;
    doc_refuse(r, doc_pos(action ? action : acl), "action=%s is not supported", QUOTED(text));
    return doc_hint(r, "\"action\": \"accept\" is the only one; what no rule accepts is denied");
}

static bool read_acl(struct doc_reader *r, const struct json_value *v, struct policy_rule *rule)
{
    const struct json_value *action, *src, *dst, *proto, *postures;
    const struct doc_field fields[] = {
        {"action", NULL, &action}, {"src", "users", &src},          {"dst", "ports", &dst},
        {"proto", NULL, &proto},   {"srcPosture", NULL, &postures},
    };

    return doc_fields(r, v, "an entry of acls", fields, ARRAY_LEN(fields), true) &&
           check_acl_action(r, v, action) && doc_acl_proto(r, proto, &rule->proto) &&
           doc_refs(r, PLACE_ACL_SRC, src, "src", &rule->src) && read_acl_targets(r, dst, rule) &&
           check_acl_ports(r, rule) && check_self(r, rule) &&
           doc_rule_postures(r, postures, &rule->postures);
}

static bool check_rules(struct doc_reader *r, const struct json_value *v)
{
    if (r->doc->n_acls + r->doc->n_grants + json_len(v) <= POLICY_RULES_MAX)
        return true;
    return doc_refuse(r, doc_pos(v), "too many rules: acls and grants together may have %u",
                      (unsigned)POLICY_RULES_MAX);
}

bool doc_acls(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_is(r, v, JSON_ARRAY, "acls") || !check_rules(r, v))
        return false;
    doc->has_rules = true;
    doc->acls = NEW_ITEMS(r, struct policy_rule, json_len(v));
    JSON_EACH(m, v) {
        struct policy_rule *rule = &doc->acls[doc->n_acls];

        *rule = (struct policy_rule){
            .is_acl = true, .index = doc->n_acls, .pos = doc_pos(m), .proto = -1};
        doc->n_acls++;
        if (!read_acl(r, m, rule))
            return false;
    }
    return true;
}

/* ---- grants ---- */

static bool check_cap_name(struct doc_reader *r, const struct json_value *m)
{
    static const struct str ours[] = {
        STR_INIT("drive"),      STR_INIT("relay"), STR_INIT("webui"),
        STR_INIT("kubernetes"), STR_INIT("tsidp"), STR_INIT("secrets"),
    };
    struct str name = m->key;

    if (str_find(name, STR("://")) >= 0) {
        doc_refuse(r, doc_key_pos(m), "capability name must have the form {domain}/{path}");
        return doc_hint(r, "leave out what is before and with \"://\"");
    }
    if (!str_starts(name, STR("tailscale.com/")))
        return true;
    if (str_starts(name, STR("tailscale.com/cap/"))) {
        for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
            if (str_eq(str_from_index(name, strlen("tailscale.com/cap/")), ours[i]))
                return true;
        }
    }
    doc_refuse(r, doc_key_pos(m), "capability name must not be in the tailscale.com domain");
    return doc_hint(r,
                    "but for tailscale.com/cap/ drive, relay, webui, kubernetes, tsidp, secrets");
}

bool doc_app(struct doc_reader *r, const struct json_value *v, bool names,
             struct policy_capability **out, size_t *n)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_OBJECT, "app") || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    *out = NEW_ITEMS(r, struct policy_capability, json_len(v));
    JSON_EACH(m, v) {
        bool none = json_is(m, JSON_NULL);

        if ((names && !check_cap_name(r, m)) ||
            (!none && !doc_is(r, m, JSON_ARRAY, "a capability's values")))
            return false;
        (*out)[(*n)++] = (struct policy_capability){
            .name = doc_keep(r, m->key),
            .values = none ? STR("[]") : doc_compact(r, m),
            .pos = doc_key_pos(m),
        };
    }
    return true;
}

static bool read_grant_targets(struct doc_reader *r, const struct json_value *v,
                               struct policy_rule *rule)
{
    struct policy_refs refs = {0};

    if (!doc_refs(r, PLACE_GRANT_DST, v, "dst", &refs))
        return false;
    rule->dst = NEW_ITEMS(r, struct policy_target, refs.len);
    for (size_t i = 0; i < refs.len; i++) {
        const struct policy_ref *ref = &refs.items[i];

        if (ref->selector->kind == SELECTOR_PREFIX && ref->selector->prefix.bits == 0) {
            AUTO_FINI(buf_fini) struct buf b = BUF(IP_PREFIX_TEXT_MAX);

            ip_prefix_put(&b, ref->selector->prefix);
            return doc_refuse(r, ref->pos,
                              "dst \"%.*s\": to allow all IP addresses, use \"*\" or "
                              "\"autogroup:internet\"",
                              STR_ARG(buf_str(&b)));
        }
        rule->dst[rule->n_dst++].ref = *ref;
    }
    return true;
}

static bool read_grant_ip(struct doc_reader *r, const struct json_value *v,
                          struct policy_rule *rule)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_ARRAY, "ip") || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    rule->ip = NEW_ITEMS(r, struct policy_proto_ports, json_len(v));
    JSON_EACH(m, v) {
        if (!doc_proto_ports(r, m, &rule->ip[rule->n_ip++]))
            return false;
    }
    return true;
}

static bool check_app(struct doc_reader *r, const struct policy_rule *rule)
{
    if (rule->n_ip == 0 && rule->n_app == 0) {
        doc_refuse(r, rule->pos, "ip and app can not both be empty");
        return doc_hint(r, "\"ip\": [\"*\"] lets everything through");
    }
    if (rule->n_app == 0)
        return true;
    for (size_t i = 0; i < rule->n_dst; i++) {
        if (rule->dst[i].ref.selector->autogroup == AUTOGROUP_INTERNET)
            return doc_refuse(r, rule->dst[i].ref.pos,
                              "cannot use app grants with autogroup:internet");
    }
    return true;
}

static bool read_grant(struct doc_reader *r, const struct json_value *v, struct policy_rule *rule)
{
    const struct json_value *src, *dst, *ip, *app, *via, *postures;
    const struct doc_field fields[] = {
        {"src", NULL, &src}, {"dst", NULL, &dst}, {"ip", NULL, &ip},
        {"app", NULL, &app}, {"via", NULL, &via}, {"srcPosture", NULL, &postures},
    };

    return doc_fields(r, v, "a grant", fields, ARRAY_LEN(fields), false) &&
           doc_refs(r, PLACE_GRANT_SRC, src, "src", &rule->src) &&
           read_grant_targets(r, dst, rule) && read_grant_ip(r, ip, rule) &&
           doc_app(r, app, true, &rule->app, &rule->n_app) && check_app(r, rule) &&
           check_self(r, rule) && doc_refs(r, PLACE_VIA, via, "via", &rule->via) &&
           doc_rule_postures(r, postures, &rule->postures);
}

bool doc_grants(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_is(r, v, JSON_ARRAY, "grants") || !check_rules(r, v))
        return false;
    doc->has_rules = true;
    doc->grants = NEW_ITEMS(r, struct policy_rule, json_len(v));
    JSON_EACH(m, v) {
        struct policy_rule *rule = &doc->grants[doc->n_grants];

        *rule = (struct policy_rule){.index = doc->n_grants, .pos = doc_pos(m), .proto = -1};
        doc->n_grants++;
        if (!read_grant(r, m, rule))
            return false;
    }
    return true;
}

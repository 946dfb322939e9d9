/*
 * Which rules are about somebody, rule by rule as the author wrote them: see policy_put_preview.
 *
 *   user         --is one of the rule's sources him, or his machines?--> the rule
 *   address:port --does a destination have the address, and the port?--> the rule
 *
 * It is asked what the text says, not what comes of it: postures are named and not judged, a rule
 * by way of an exit node counts though there is none. Each selector is asked once, however many
 * rules name it.
 */

#include "policy/explain_internal.h"

#include "ip/addrport.h"

/* What is known of a selector. */
enum known { KNOWN_NOT, KNOWN_YES, KNOWN_NO };

struct preview {
    struct explain x; /* the policy and the view, to ask about users */
    const struct policy_document *doc;
    const struct user *user; /* NULL: it is about the end */
    struct end end;
    uint16_t port;
    uint8_t *known;  /* enum known, by selector */
    uint8_t *naming; /* by posture: some match names it */
    struct buf text; /* one string in the making */
    struct json_writer *w;
};

/* ---- As a source ---- */

static bool literal_has(const struct policy_selector *s, struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return false;
    if (s->kind == SELECTOR_IPSET)
        return ip_set_contains(&s->ipset->set, addr);
    return ip_prefix_contains(s->prefix, addr);
}

static bool has_machine_of(const struct preview *v, const struct policy_selector *s)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(v->x.view, &at));)
        if (explain_owner(&v->x, n) == v->user && (literal_has(s, n->v4) || literal_has(s, n->v6)))
            return true;
    return false;
}

static bool is_from_user(const struct preview *v, const struct policy_selector *s)
{
    if (s->kind == SELECTOR_WILDCARD)
        return true;
    if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_DANGER_ALL)
        return true;
    return selector_is_literal(s) ? has_machine_of(v, s) : explain_is_user(&v->x, s, v->user);
}

/* ---- As a destination ---- */

static bool is_public(struct ip_addr addr)
{
    for (size_t i = 0; i < ARRAY_LEN(policy_internet_ranges); i++) {
        struct ip_range r;

        if (ip_range_parse(policy_internet_ranges[i], &r) && ip_range_contains(r, addr))
            return true;
    }
    return false;
}

static bool autogroup_has(const struct preview *v, const struct policy_selector *s)
{
    const struct node *n = v->end.node;

    if (s->autogroup == AUTOGROUP_INTERNET)
        return is_public(v->end.addrs[0]);
    if (s->autogroup == AUTOGROUP_DANGER_ALL)
        return true;
    if (!n || s->autogroup == AUTOGROUP_TAGGED || node_is_tagged(n))
        return n && s->autogroup == AUTOGROUP_TAGGED && node_is_tagged(n);
    /* Anybody's machine is his own. */
    return s->autogroup == AUTOGROUP_SELF || explain_is_user(&v->x, s, explain_owner(&v->x, n));
}

static bool has_address(const struct preview *v, const struct policy_selector *s)
{
    const struct node *n = v->end.node;
    const struct user *owner = n ? explain_owner(&v->x, n) : NULL;

    switch (s->kind) {
    case SELECTOR_WILDCARD:
        return true;
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
    case SELECTOR_IPSET:
        return literal_has(s, v->end.addrs[0]);
    case SELECTOR_TAG:
        return n && str_list_has(&n->tags, s->tag->name);
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
        return owner && explain_is_user(&v->x, s, owner);
    case SELECTOR_AUTOGROUP:
        return autogroup_has(v, s);
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        return false;
    }
    return false;
}

/* ---- Rules ---- */

static bool selects(const struct preview *v, const struct policy_selector *s)
{
    uint8_t *known = &v->known[s->index];

    if (*known == KNOWN_NOT) {
        bool is = v->user ? is_from_user(v, s) : has_address(v, s);

        *known = is ? KNOWN_YES : KNOWN_NO;
    }
    return *known == KNOWN_YES;
}

static bool has_port(const struct preview *v, int proto, const struct ip_ports *ports, size_t n)
{
    for (size_t i = 0; i < n && (proto < 0 || reach_has_ports(proto)); i++)
        if (ip_ports_contains(ports[i], v->port))
            return true;
    return false;
}

static bool target_fits(const struct preview *v, const struct policy_rule *rule,
                        const struct policy_target *t)
{
    bool open = rule->is_acl && has_port(v, rule->proto, t->ports, t->n_ports);

    for (size_t i = 0; i < rule->n_ip && !open; i++)
        open = has_port(v, rule->ip[i].proto, rule->ip[i].ports, rule->ip[i].n_ports);
    return open && selects(v, t->ref.selector);
}

static bool rule_fits(const struct preview *v, const struct policy_rule *rule)
{
    for (size_t i = 0; v->user && i < rule->src.len; i++)
        if (selects(v, rule->src.items[i].selector))
            return true;
    for (size_t i = 0; !v->user && i < rule->n_dst; i++)
        if (target_fits(v, rule, &rule->dst[i]))
            return true;
    return false;
}

/* ---- In JSON ---- */

static void put_refs(struct preview *v, struct str key, const struct policy_refs *refs)
{
    json_field_array(v->w, key);
    for (size_t i = 0; i < refs->len; i++)
        json_str(v->w, refs->items[i].selector->text);
    json_end_array(v->w);
}

static void put_ports(struct preview *v, const struct policy_selector *s, int proto,
                      const struct ip_ports *ports, size_t n)
{
    bool bare = s->kind == SELECTOR_PREFIX && s->prefix.addr.family == IP_V6;
    const char *name = proto < 0 ? NULL : policy_proto_name(proto);

    buf_clear(&v->text);
    buf_printf(&v->text, bare ? "[%.*s]:" : "%.*s:", STR_ARG(s->text));
    if (name)
        buf_printf(&v->text, "%s:", name);
    else if (proto >= 0)
        buf_printf(&v->text, "%d:", proto);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_char(&v->text, ',');
        ip_ports_put(&v->text, ports[i]);
    }
    json_str(v->w, buf_str(&v->text));
}

static void put_targets(struct preview *v, const struct policy_rule *rule)
{
    json_field_array(v->w, STR("ports"));
    for (size_t i = 0; i < rule->n_dst; i++) {
        const struct policy_target *t = &rule->dst[i];

        if (rule->is_acl)
            put_ports(v, t->ref.selector, rule->proto, t->ports, t->n_ports);
        for (size_t k = 0; k < rule->n_ip; k++)
            put_ports(v, t->ref.selector, rule->ip[k].proto, rule->ip[k].ports,
                      rule->ip[k].n_ports);
    }
    json_end_array(v->w);
}

static void put_rule(struct preview *v, const struct policy_rule *rule)
{
    json_begin_object(v->w);
    put_refs(v, STR("users"), &rule->src);
    put_targets(v, rule);
    json_field_u64(v->w, STR("lineNumber"), rule->pos.line);
    if (rule->via.len > 0)
        put_refs(v, STR("via"), &rule->via);
    json_field_array(v->w, STR("postures"));
    for (size_t i = 0; i < rule->postures.len; i++) {
        json_str(v->w, rule->postures.items[i]->name);
        v->naming[rule->postures.items[i]->index] = true;
    }
    json_end_array(v->w);
    json_end_object(v->w);
}

/* What stands for a policy without rules. */
static void put_everything(struct preview *v)
{
    json_begin_object(v->w);
    json_field_array(v->w, STR("users"));
    json_str(v->w, STR("*"));
    json_end_array(v->w);
    json_field_array(v->w, STR("ports"));
    json_str(v->w, STR("*:*"));
    json_end_array(v->w);
    json_field_u64(v->w, STR("lineNumber"), 0);
    json_field_array(v->w, STR("postures"));
    json_end_array(v->w);
    json_end_object(v->w);
}

/* The rules of both sections as they stand in the text. */
static void put_rules(struct preview *v)
{
    const struct policy_rule *acl = v->doc->acls, *acls_end = acl + v->doc->n_acls;
    const struct policy_rule *grant = v->doc->grants, *grants_end = grant + v->doc->n_grants;

    while (acl < acls_end || grant < grants_end) {
        bool is_acl = grant == grants_end || (acl < acls_end && acl->pos.line <= grant->pos.line);
        const struct policy_rule *rule = is_acl ? acl++ : grant++;

        if (rule_fits(v, rule))
            put_rule(v, rule);
    }
}

static void put_postures(struct preview *v)
{
    json_field_object(v->w, STR("postures"));
    for (size_t i = 0; v->doc && i < v->doc->n_postures; i++) {
        const struct policy_posture *posture = &v->doc->postures[i];

        if (!v->naming[posture->index])
            continue;
        json_field_array(v->w, posture->name);
        for (size_t k = 0; k < posture->n_assertions; k++)
            json_str(v->w, posture->assertions[k].text);
        json_end_array(v->w);
    }
    json_end_object(v->w);
}

static void put_all(struct preview *v)
{
    json_field_array(v->w, STR("matches"));
    if (v->doc && v->doc->has_rules) {
        v->known = mem_alloc_array(v->doc->n_selectors + 1, sizeof *v->known);
        v->naming = mem_alloc_array(v->doc->n_postures + 1, sizeof *v->naming);
        put_rules(v);
    } else {
        put_everything(v);
    }
    json_end_array(v->w);
    if (v->naming)
        put_postures(v);
    mem_free(v->known);
    mem_free(v->naming);
    buf_fini(&v->text);
}

/* ---- Who is meant ---- */

/* As policies name users: a name may have an '@' at its end. */
static const struct user *find_user(const struct tailnet_view *view, struct str text)
{
    struct str name = str_ends(text, STR("@")) ? str_sub(text, 0, text.len - 1) : text;
    const struct user *const *users, *found = NULL;
    size_t n;

    users = view_users(view, &n);
    for (size_t i = 0; i < n && name.len > 0; i++) {
        if (str_eq(users[i]->provider_id, name) || str_eq(users[i]->email, name))
            return users[i];
        if (!found && str_eq(users[i]->name, name))
            found = users[i];
    }
    return found;
}

static const struct node *node_at(const struct tailnet_view *view, struct ip_addr addr)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(view, &at));)
        if (ip_addr_eq(n->v4, addr) || ip_addr_eq(n->v6, addr))
            return n;
    return NULL;
}

int policy_put_preview(const struct policy *p, const struct tailnet_view *view,
                       enum policy_preview kind, struct str who, struct json_writer *w,
                       struct err *err)
{
    struct preview v = {.x = {.p = p, .view = view},
                        .doc = policy_document(p),
                        .text = BUF(POLICY_TEXT_MAX),
                        .w = w};
    struct ip_addrport target;

    if (kind == POLICY_PREVIEW_USER) {
        v.user = find_user(view, who);
        if (!v.user)
            return err_set(err, ERR_INVALID, "there is no user \"%.*s\"",
                           (int)MIN(who.len, (size_t)60), who.ptr ? who.ptr : "");
    } else {
        if (!ip_addrport_parse(who, &target))
            return err_set(err, ERR_INVALID,
                           "previewFor is an address with a port: "
                           "\"100.64.0.1:22\", \"[fd7a:115c:a1e0::1]:22\"");
        v.end.node = node_at(view, target.addr);
        v.end.addrs[0] = target.addr;
        v.port = target.port;
    }
    put_all(&v);
    return 0;
}

#include "document_dump.h"

struct dump {
    struct buf *out;
    bool positions;
};

static void put(struct dump *d, const char *text)
{
    buf_put(d->out, str_from(text));
}

static void at(struct dump *d, struct policy_pos pos)
{
    if (d->positions)
        buf_printf(d->out, "@%u:%u ", pos.line, pos.col);
}

void dump_selector(const struct policy_selector *s, struct buf *out)
{
    static const char *const kinds[] = {
        [SELECTOR_PREFIX] = "prefix",       [SELECTOR_WILDCARD] = "*",  [SELECTOR_USER] = "user",
        [SELECTOR_DOMAIN] = "domain",       [SELECTOR_GROUP] = "group", [SELECTOR_TAG] = "tag",
        [SELECTOR_AUTOGROUP] = "autogroup", [SELECTOR_IPSET] = "ipset", [SELECTOR_HOST] = "host",
        [SELECTOR_SERVICE] = "service",     [SELECTOR_TAILNET] = "tailnet",
    };

    buf_put(out, str_from(kinds[s->kind]));
    switch (s->kind) {
    case SELECTOR_PREFIX:
        buf_put_char(out, ' ');
        ip_prefix_put(out, s->prefix);
        break;
    case SELECTOR_HOST:
        buf_printf(out, " %.*s=", STR_ARG(s->text));
        ip_prefix_put(out, s->prefix);
        break;
    case SELECTOR_USER:
        buf_printf(out, " %.*s", STR_ARG(s->user));
        break;
    case SELECTOR_DOMAIN:
        buf_printf(out, " %.*s", STR_ARG(s->domain));
        break;
    case SELECTOR_GROUP:
        buf_printf(out, " %.*s", STR_ARG(s->group->name));
        break;
    case SELECTOR_TAG:
        buf_printf(out, " %.*s", STR_ARG(s->tag->name));
        break;
    case SELECTOR_IPSET:
        buf_printf(out, " %.*s", STR_ARG(s->ipset->name));
        break;
    case SELECTOR_AUTOGROUP:
        buf_printf(out, " %d", (int)s->autogroup);
        break;
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        buf_printf(out, " %.*s", STR_ARG(s->text));
        break;
    case SELECTOR_WILDCARD:
        break;
    }
}

static void ref(struct dump *d, const struct policy_ref *r)
{
    put(d, " ");
    at(d, r->pos);
    put(d, "<");
    dump_selector(r->selector, d->out);
    put(d, ">");
}

static void refs(struct dump *d, const char *name, const struct policy_refs *list)
{
    if (list->len == 0)
        return;
    buf_printf(d->out, " %s", name);
    for (size_t i = 0; i < list->len; i++)
        ref(d, &list->items[i]);
}

static void words(struct dump *d, const char *name, const struct policy_words *list)
{
    if (list->len == 0)
        return;
    buf_printf(d->out, " %s", name);
    for (size_t i = 0; i < list->len; i++) {
        put(d, " ");
        at(d, list->items[i].pos);
        buf_printf(d->out, "'%.*s'", STR_ARG(list->items[i].text));
    }
}

static void word(struct dump *d, const char *name, const struct policy_word *w)
{
    if (w->text.len == 0)
        return;
    buf_printf(d->out, " %s ", name);
    at(d, w->pos);
    buf_printf(d->out, "'%.*s'", STR_ARG(w->text));
}

static void ports(struct dump *d, const struct ip_ports *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(d, i ? "," : ":");
        ip_ports_put(d->out, list[i]);
    }
}

static void caps(struct dump *d, const struct policy_capability *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(d, " app ");
        at(d, list[i].pos);
        buf_printf(d->out, "%.*s=%.*s", STR_ARG(list[i].name), STR_ARG(list[i].values));
    }
}

static void postures(struct dump *d, const struct policy_postures *list)
{
    for (size_t i = 0; i < list->len; i++)
        buf_printf(d->out, " posture %.*s", STR_ARG(list->items[i]->name));
}

/* ---- Sections ---- */

static void names(struct dump *d, const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->n_groups; i++) {
        at(d, doc->groups[i].pos);
        buf_printf(d->out, "group %.*s", STR_ARG(doc->groups[i].name));
        refs(d, "of", &doc->groups[i].members);
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_hosts; i++) {
        at(d, doc->hosts[i].pos);
        buf_printf(d->out, "host %.*s ", STR_ARG(doc->hosts[i].name));
        ip_prefix_put(d->out, doc->hosts[i].prefix);
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_ipsets; i++) {
        at(d, doc->ipsets[i].pos);
        buf_printf(d->out, "ipset %.*s", STR_ARG(doc->ipsets[i].name));
        for (size_t k = 0; k < doc->ipsets[i].set.len; k++) {
            put(d, " ");
            ip_range_put(d->out, doc->ipsets[i].set.ranges[k]);
        }
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_tags; i++) {
        at(d, doc->tags[i].pos);
        buf_printf(d->out, "tag %.*s", STR_ARG(doc->tags[i].name));
        refs(d, "of", &doc->tags[i].owners);
        put(d, "\n");
    }
}

static void assertions(struct dump *d, const struct policy_document *doc)
{
    static const char *const ops[] = {
        [ASSERT_EQ] = "==",           [ASSERT_NE] = "!=",         [ASSERT_LT] = "<",
        [ASSERT_LE] = "<=",           [ASSERT_GT] = ">",          [ASSERT_GE] = ">=",
        [ASSERT_IN] = "IN",           [ASSERT_NOT_IN] = "NOT IN", [ASSERT_IS_SET] = "IS SET",
        [ASSERT_NOT_SET] = "NOT SET",
    };

    for (size_t i = 0; i < doc->n_postures; i++) {
        const struct policy_posture *p = &doc->postures[i];

        at(d, p->pos);
        buf_printf(d->out, "posture %.*s", STR_ARG(p->name));
        for (size_t k = 0; k < p->n_assertions; k++) {
            put(d, " ");
            at(d, p->assertions[k].pos);
            buf_printf(d->out, "(%.*s", STR_ARG(p->assertions[k].attribute));
            words(d, ops[p->assertions[k].op], &p->assertions[k].values);
            if (p->assertions[k].values.len == 0)
                buf_printf(d->out, " %s", ops[p->assertions[k].op]);
            put(d, ")");
        }
        put(d, "\n");
    }
}

static void rules(struct dump *d, const struct policy_rule *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct policy_rule *r = &list[i];

        at(d, r->pos);
        buf_printf(d->out, "%s %zu", r->is_acl ? "acl" : "grant", r->index);
        postures(d, &r->postures);
        if (r->proto >= 0)
            buf_printf(d->out, " proto %d", r->proto);
        refs(d, "src", &r->src);
        put(d, " dst");
        for (size_t k = 0; k < r->n_dst; k++) {
            ref(d, &r->dst[k].ref);
            ports(d, r->dst[k].ports, r->dst[k].n_ports);
        }
        for (size_t k = 0; k < r->n_ip; k++) {
            put(d, " ip ");
            at(d, r->ip[k].pos);
            buf_printf(d->out, "%d", r->ip[k].proto);
            ports(d, r->ip[k].ports, r->ip[k].n_ports);
        }
        caps(d, r->app, r->n_app);
        refs(d, "via", &r->via);
        put(d, "\n");
    }
}

static void ssh(struct dump *d, const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->n_ssh; i++) {
        const struct policy_ssh_rule *r = &doc->ssh[i];

        at(d, r->pos);
        buf_printf(d->out, "ssh %zu %s", r->index, r->action == SSH_CHECK ? "check" : "accept");
        if (r->action == SSH_CHECK) {
            put(d, " ");
            policy_put_duration(d->out, r->period_ms);
        }
        postures(d, &r->postures);
        refs(d, "src", &r->src);
        refs(d, "dst", &r->dst);
        put(d, r->root ? " root" : "");
        put(d, r->nonroot ? " nonroot" : "");
        words(d, "logins", &r->logins);
        words(d, "localparts", &r->localparts);
        words(d, "env", &r->accept_env);
        refs(d, "recorder", &r->recorders);
        put(d, r->enforce_recorder ? " enforced" : "");
        put(d, "\n");
    }
}

static void attrs(struct dump *d, const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->n_node_attrs; i++) {
        const struct policy_node_attr *a = &doc->node_attrs[i];

        at(d, a->pos);
        put(d, "nodeattr");
        refs(d, "target", &a->targets);
        words(d, "attr", &a->attrs);
        caps(d, a->app, a->n_app);
        for (size_t k = 0; k < a->n_ip_pools; k++) {
            put(d, " pool ");
            ip_prefix_put(d->out, a->ip_pools[k]);
        }
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_route_approvers; i++) {
        at(d, doc->route_approvers[i].pos);
        put(d, "route ");
        ip_prefix_put(d->out, doc->route_approvers[i].prefix);
        refs(d, "of", &doc->route_approvers[i].approvers);
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_service_approvers; i++) {
        at(d, doc->service_approvers[i].pos);
        buf_printf(d->out, "service %.*s", STR_ARG(doc->service_approvers[i].name));
        refs(d, "of", &doc->service_approvers[i].approvers);
        put(d, "\n");
    }
    put(d, "exit");
    refs(d, "of", &doc->exit_approvers);
    put(d, "\n");
}

static void tests(struct dump *d, const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->n_tests; i++) {
        at(d, doc->tests[i].pos);
        put(d, "test");
        word(d, "src", &doc->tests[i].src);
        word(d, "proto", &doc->tests[i].proto);
        words(d, "accept", &doc->tests[i].accept);
        words(d, "deny", &doc->tests[i].deny);
        put(d, "\n");
    }
    for (size_t i = 0; i < doc->n_ssh_tests; i++) {
        at(d, doc->ssh_tests[i].pos);
        put(d, "sshtest");
        word(d, "src", &doc->ssh_tests[i].src);
        words(d, "dst", &doc->ssh_tests[i].dst);
        words(d, "accept", &doc->ssh_tests[i].accept);
        words(d, "check", &doc->ssh_tests[i].check);
        words(d, "deny", &doc->ssh_tests[i].deny);
        put(d, "\n");
    }
}

void dump_document(const struct policy_document *doc, bool positions, struct buf *out)
{
    struct dump d = {out, positions};

    names(&d, doc);
    assertions(&d, doc);
    rules(&d, doc->grants, doc->n_grants);
    rules(&d, doc->acls, doc->n_acls);
    ssh(&d, doc);
    attrs(&d, doc);
    tests(&d, doc);
    buf_printf(out, "rules %d random %d noipv4 %d cgnat %d derp %d\n", doc->has_rules,
               doc->randomize_client_port, doc->disable_ipv4, (int)doc->cgnat_route,
               doc->omit_default_regions);
    for (size_t i = 0; i < doc->n_derp_regions; i++)
        buf_printf(out, "region %u %.*s\n", doc->derp_regions[i].id,
                   STR_ARG(doc->derp_regions[i].json));
    for (size_t i = 0; i < doc->undelivered.len; i++) {
        at(&d, doc->undelivered.items[i].pos);
        buf_printf(out, "undelivered %.*s\n", STR_ARG(doc->undelivered.items[i].text));
    }
}

/* Names that nothing uses, or that mean nobody. */

#include "policy/lint_internal.h"

/* ---- What is referred to ---- */

static void use(struct lint *l, const struct policy_selector *s)
{
    if (s)
        l->used[s->index] = true;
}

static void use_refs(struct lint *l, const struct policy_refs *refs)
{
    for (size_t i = 0; i < refs->len; i++)
        use(l, refs->items[i].selector);
}

static void use_rules(struct lint *l, const struct policy_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        use_refs(l, &rules[i].src);
        use_refs(l, &rules[i].via);
        for (size_t k = 0; k < rules[i].n_dst; k++)
            use(l, rules[i].dst[k].ref.selector);
    }
}

static void use_tests(struct lint *l)
{
    const struct policy_document *d = l->d;

    for (size_t i = 0; i < d->n_tests; i++) {
        use(l, d->tests[i].src_is);
        for (size_t k = 0; k < d->tests[i].accept.len; k++)
            use(l, d->tests[i].accept_is[k]);
        for (size_t k = 0; k < d->tests[i].deny.len; k++)
            use(l, d->tests[i].deny_is[k]);
    }
    for (size_t i = 0; i < d->n_ssh_tests; i++) {
        use(l, d->ssh_tests[i].src_is);
        for (size_t k = 0; k < d->ssh_tests[i].dst.len; k++)
            use(l, d->ssh_tests[i].dst_is[k]);
    }
}

static void find_used(struct lint *l)
{
    const struct policy_document *d = l->d;

    l->used = arena_alloc(l->arena, (d->n_selectors + 1) * sizeof *l->used);
    use_rules(l, d->grants, d->n_grants);
    use_rules(l, d->acls, d->n_acls);
    for (size_t i = 0; i < d->n_ssh; i++) {
        use_refs(l, &d->ssh[i].src);
        use_refs(l, &d->ssh[i].dst);
        use_refs(l, &d->ssh[i].recorders);
    }
    for (size_t i = 0; i < d->n_node_attrs; i++)
        use_refs(l, &d->node_attrs[i].targets);
    for (size_t i = 0; i < d->n_route_approvers; i++)
        use_refs(l, &d->route_approvers[i].approvers);
    for (size_t i = 0; i < d->n_service_approvers; i++)
        use_refs(l, &d->service_approvers[i].approvers);
    use_refs(l, &d->exit_approvers);
    for (size_t i = 0; i < d->n_tags; i++)
        use_refs(l, &d->tags[i].owners);
    use_tests(l);
}

/* The selector that is this name; NULL: nothing refers to it. */
static const struct policy_selector *used_name(const struct lint *l, enum policy_selector_kind kind,
                                               struct str name, struct map *by_name)
{
    const struct policy_selector *s = map_find(by_name, name);

    return s && s->kind == kind && l->used[s->index] ? s : NULL;
}

static struct map *index_names(const struct lint *l)
{
    struct map *m = map_new();

    for (size_t i = 0; i < l->d->n_selectors; i++)
        (void)map_put(m, l->d->selectors[i]->text, l->d->selectors[i]);
    return m;
}

/* Whether the text has the word at least `times` times: sets name others inside strings. */
static bool is_written(struct lint *l, struct str word, size_t times)
{
    struct str rest = l->d->text;
    ptrdiff_t at;

    if (!lint_work(l, rest.len / 64 + 1))
        return true;
    for (; times && (at = str_find(rest, word)) >= 0; times--)
        rest = str_from_index(rest, (size_t)at + word.len);
    return times == 0;
}

/* ---- Groups and users ---- */

static bool exists(const struct lint *l, const struct policy_selector *s)
{
    /* Who is in a provider's group shows at their log-in. */
    return token_is_provider_group(s->user) || matcher_user(l->p->shape->matcher, s) != 0;
}

static void lint_group(struct lint *l, const struct policy_group *g, struct map *by_name)
{
    size_t n = 0;

    if (!used_name(l, SELECTOR_GROUP, g->name, by_name))
        lint_find(l, g->pos, "%.*s is used nowhere", STR_ARG(g->name));
    if (g->members.len == 0) {
        lint_find(l, g->pos, "%.*s has no members", STR_ARG(g->name));
        return;
    }
    for (size_t i = 0; i < g->members.len; i++)
        n += exists(l, g->members.items[i].selector);
    if (n == 0) {
        lint_find(l, g->pos, "nobody is in %.*s at present: none of its members is a user here",
                  STR_ARG(g->name));
        return;
    }
    for (size_t i = 0; i < g->members.len; i++)
        if (!exists(l, g->members.items[i].selector))
            lint_find(l, g->members.items[i].pos, "no user is called \"%.*s\" at present",
                      STR_ARG(g->members.items[i].selector->text));
}

static void lint_users(struct lint *l, const struct policy_refs *refs)
{
    for (size_t i = 0; i < refs->len; i++)
        if (refs->items[i].selector->kind == SELECTOR_USER && !exists(l, refs->items[i].selector) &&
            !lint_has_guest(l, refs->items[i].selector))
            lint_find(l, refs->items[i].pos, "no user is called \"%.*s\" at present",
                      STR_ARG(refs->items[i].selector->text));
}

static void lint_rule_users(struct lint *l, const struct policy_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lint_users(l, &rules[i].src);
        for (size_t k = 0; k < rules[i].n_dst; k++)
            lint_users(l, &(struct policy_refs){&rules[i].dst[k].ref, 1});
    }
}

static void lint_all_users(struct lint *l)
{
    const struct policy_document *d = l->d;

    lint_rule_users(l, d->grants, d->n_grants);
    lint_rule_users(l, d->acls, d->n_acls);
    for (size_t i = 0; i < d->n_ssh; i++) {
        lint_users(l, &d->ssh[i].src);
        lint_users(l, &d->ssh[i].dst);
    }
    for (size_t i = 0; i < d->n_tags; i++)
        lint_users(l, &d->tags[i].owners);
    for (size_t i = 0; i < d->n_node_attrs; i++)
        lint_users(l, &d->node_attrs[i].targets);
    for (size_t i = 0; i < d->n_route_approvers; i++)
        lint_users(l, &d->route_approvers[i].approvers);
    lint_users(l, &d->exit_approvers);
}

/* ---- Tags ---- */

static bool is_carried(const struct lint *l, const struct policy_tag *t, struct map *by_name)
{
    const struct policy_selector *s = map_find(by_name, t->name);

    return s && s->kind == SELECTOR_TAG && lint_has_nodes(l, l->p->shape->own[s->index]);
}

static void lint_tag(struct lint *l, const struct policy_tag *t, struct map *by_name)
{
    bool used = used_name(l, SELECTOR_TAG, t->name, by_name);

    /* What is in no rule is in no class: whether a machine carries it is not known here. */
    if (!used) {
        if (t->owners.len == 0)
            lint_find(l, t->pos, "nobody owns %.*s and nothing else here names it",
                      STR_ARG(t->name));
        else
            lint_find(l, t->pos, "nothing else here names %.*s", STR_ARG(t->name));
        return;
    }
    if (l->p->members.count == 0 || is_carried(l, t, by_name))
        return;
    if (t->owners.len == 0)
        lint_find(l, t->pos,
                  "no machine carries %.*s at present, and nobody owns it: only an administrator "
                  "can give it",
                  STR_ARG(t->name));
    else
        lint_find(l, t->pos, "no machine carries %.*s at present", STR_ARG(t->name));
}

/* ---- Hosts, sets, postures ---- */

static void lint_host(struct lint *l, const struct policy_host *h, struct map *by_name)
{
    struct str word = arena_printf(l->arena, "host:%.*s", STR_ARG(h->name));

    if (!used_name(l, SELECTOR_HOST, h->name, by_name) && !is_written(l, word, 1))
        lint_find(l, h->pos, "host \"%.*s\" is used nowhere", STR_ARG(h->name));
}

static void lint_ipset(struct lint *l, const struct policy_ipset *s, struct map *by_name)
{
    if (!used_name(l, SELECTOR_IPSET, s->name, by_name) && !is_written(l, s->name, 2))
        lint_find(l, s->pos, "%.*s is used nowhere", STR_ARG(s->name));
    if (ip_set_is_empty(&s->set))
        lint_find(l, s->pos, "%.*s is empty", STR_ARG(s->name));
}

static void use_postures(bool *used, const struct policy_postures *p)
{
    for (size_t i = 0; i < p->len; i++)
        used[p->items[i]->index] = true;
}

static void lint_postures(struct lint *l)
{
    const struct policy_document *d = l->d;
    bool *used = mem_alloc_array(d->n_postures + 1, sizeof *used);

    for (size_t i = 0; i < d->n_grants; i++)
        use_postures(used, &d->grants[i].postures);
    for (size_t i = 0; i < d->n_acls; i++)
        use_postures(used, &d->acls[i].postures);
    for (size_t i = 0; i < d->n_ssh; i++)
        use_postures(used, &d->ssh[i].postures);
    for (size_t i = 0; i < d->n_postures; i++)
        if (!used[d->postures[i].index])
            lint_find(l, d->postures[i].pos, "%.*s is used nowhere", STR_ARG(d->postures[i].name));
    mem_free(used);
}

void lint_names(struct lint *l)
{
    const struct policy_document *d = l->d;
    struct map *by_name = index_names(l);

    find_used(l);
    for (size_t i = 0; i < d->n_groups; i++)
        lint_group(l, &d->groups[i], by_name);
    for (size_t i = 0; i < d->n_tags; i++)
        lint_tag(l, &d->tags[i], by_name);
    for (size_t i = 0; i < d->n_hosts; i++)
        lint_host(l, &d->hosts[i], by_name);
    for (size_t i = 0; i < d->n_ipsets; i++)
        lint_ipset(l, &d->ipsets[i], by_name);
    lint_postures(l);
    lint_all_users(l);
    map_free(by_name);
}

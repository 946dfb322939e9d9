/* Rules that match nothing, rules that match everything, targets nobody is. */

#include "policy/lint_internal.h"

/* Selectors that a finding names; the rest is dots. */
#define NAMES_MAX 4

static bool is_autogroup(const struct policy_selector *s, enum policy_autogroup a)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == a;
}

/* Whether some node or approved route is in what the selector names. */
static bool is_somewhere(const struct lint *l, const struct policy_selector *s)
{
    const struct shape *shape = l->p->shape;
    roaring_uint32_iterator_t it;

    if (s->kind == SELECTOR_WILDCARD || is_autogroup(s, AUTOGROUP_DANGER_ALL))
        return true;
    if (s->kind == SELECTOR_SERVICE)
        return true; /* said elsewhere */
    if (lint_has_guest(l, s))
        return true;
    if (is_autogroup(s, AUTOGROUP_INTERNET)) {
        for (roaring_init_iterator(l->live, &it); it.has_value;
             roaring_advance_uint32_iterator(&it))
            if (shape->classes[it.current_value - 1].p.exit)
                return true;
        return false;
    }
    if (is_autogroup(s, AUTOGROUP_SELF)) {
        for (roaring_init_iterator(l->live, &it); it.has_value;
             roaring_advance_uint32_iterator(&it))
            if (!shape->classes[it.current_value - 1].p.tagged)
                return true;
        return false;
    }
    return lint_has_nodes(l, shape->own[s->index]) || lint_has_nodes(l, shape->route[s->index]);
}

/* "\"a\", \"b\", ..." of the refs. */
static struct str names_of(struct lint *l, const struct policy_refs *refs)
{
    struct buf text = BUF(0);
    struct str kept;

    for (size_t i = 0; i < MIN(refs->len, (size_t)NAMES_MAX); i++)
        buf_printf(&text, "%s\"%.*s\"", i ? ", " : "",
                   (int)MIN(refs->items[i].selector->text.len, (size_t)60),
                   refs->items[i].selector->text.ptr);
    if (refs->len > NAMES_MAX)
        buf_put(&text, STR(", ..."));
    kept = arena_copy(l->arena, buf_str(&text));
    buf_fini(&text);
    return kept;
}

/* ---- Nobody ---- */

static bool any_somewhere(const struct lint *l, const struct policy_refs *refs)
{
    for (size_t i = 0; i < refs->len; i++)
        if (is_somewhere(l, refs->items[i].selector))
            return true;
    return false;
}

/* Whether some machine of the sources is in the state that is asked for. */
static bool any_passes(const struct lint *l, const struct policy_refs *refs,
                       const struct policy_postures *postures)
{
    const struct shape *s = l->p->shape;
    roaring_uint32_iterator_t it;

    for (size_t i = 0; i < refs->len; i++)
        if (selector_is_literal(refs->items[i].selector) ||
            is_autogroup(refs->items[i].selector, AUTOGROUP_DANGER_ALL))
            return true;
    for (roaring_init_iterator(l->live, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        const struct policy_class *c = &s->classes[it.current_value - 1];
        bool passes = false, is = false;

        for (size_t i = 0; i < postures->len && !passes; i++)
            passes = picks_have(&c->p.postures, (uint32_t)postures->items[i]->index);
        for (size_t i = 0; i < refs->len && passes && !is; i++)
            is = refs->items[i].selector->kind == SELECTOR_WILDCARD ||
                 class_in(s->own[refs->items[i].selector->index], c->id);
        if (is)
            return true;
    }
    return false;
}

static void lint_source(struct lint *l, struct policy_pos pos, const char *what,
                        const struct policy_refs *src, const struct policy_postures *postures)
{
    if (src->len == 0)
        lint_find(l, pos, "this %s has no source: it does nothing", what);
    else if (l->p->members.count == 0)
        return;
    else if (!any_somewhere(l, src))
        lint_find(l, pos, "this %s can match nothing at present: nothing is %.*s", what,
                  STR_ARG(names_of(l, src)));
    else if (postures->len && !any_passes(l, src, postures))
        lint_find(l, pos,
                  "this %s can match nothing at present: no machine of its source satisfies its "
                  "posture",
                  what);
}

/* ---- Nowhere ---- */

static struct policy_refs targets_of(struct lint *l, const struct policy_rule *rule)
{
    struct policy_refs refs = {.items =
                                   arena_alloc(l->arena, (rule->n_dst + 1) * sizeof *refs.items)};

    for (size_t i = 0; i < rule->n_dst; i++)
        refs.items[refs.len++] = rule->dst[i].ref;
    return refs;
}

/* Whether a machine with one of the tags routes one of the targets. */
static bool any_via(const struct lint *l, const struct policy_rule *rule)
{
    for (size_t i = 0; i < l->p->shape->n_links; i++) {
        const struct policy_link *link = &l->p->shape->links[i];

        if (link->rule == rule && link->via && lint_has_nodes(l, link->classes))
            return true;
    }
    return false;
}

static void lint_target(struct lint *l, const struct policy_ref *r)
{
    const struct policy_selector *s = r->selector;

    if (is_autogroup(s, AUTOGROUP_INTERNET))
        lint_find(l, r->pos, "no exit node is approved at present");
    else if (selector_is_literal(s))
        lint_find(l, r->pos, "no machine and no approved route is in \"%.*s\" at present",
                  STR_ARG(s->text));
}

static void lint_destination(struct lint *l, const struct policy_rule *rule, const char *what)
{
    struct policy_refs refs = targets_of(l, rule);

    if (refs.len == 0) {
        lint_find(l, rule->pos, "this %s has no destination: it does nothing", what);
        return;
    }
    if (l->p->members.count == 0)
        return;
    for (size_t i = 0; i < refs.len; i++)
        if (!is_somewhere(l, refs.items[i].selector))
            lint_target(l, &refs.items[i]);
    if (!any_somewhere(l, &refs))
        lint_find(l, rule->pos, "this %s can match nothing at present: nothing is at %.*s", what,
                  STR_ARG(names_of(l, &refs)));
    else if (rule->via.len && !any_via(l, rule))
        lint_find(
            l, rule->pos,
            "this %s can match nothing at present: no machine with %.*s has an approved route "
            "there",
            what, STR_ARG(names_of(l, &rule->via)));
}

/* ---- Everybody, everywhere ---- */

static const struct policy_ref *everyone(const struct policy_refs *src)
{
    for (size_t i = 0; i < src->len; i++)
        if (src->items[i].selector->kind == SELECTOR_WILDCARD ||
            is_autogroup(src->items[i].selector, AUTOGROUP_DANGER_ALL))
            return &src->items[i];
    return NULL;
}

static bool is_all_ports(const struct ip_ports *ports, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i].first <= 1 && ports[i].last == UINT16_MAX)
            return true;
    return false;
}

static bool leads_everywhere(const struct policy_rule *rule)
{
    bool all = false;

    for (size_t i = 0; i < rule->n_ip; i++)
        all |= rule->ip[i].proto < 0 && is_all_ports(rule->ip[i].ports, rule->ip[i].n_ports);
    for (size_t i = 0; i < rule->n_dst; i++) {
        const struct policy_target *t = &rule->dst[i];

        if (t->ref.selector->kind == SELECTOR_WILDCARD &&
            (rule->is_acl ? rule->proto < 0 && is_all_ports(t->ports, t->n_ports) : all))
            return true;
    }
    return false;
}

static void lint_width(struct lint *l, const struct policy_rule *rule, const char *what)
{
    const struct policy_ref *r = everyone(&rule->src);

    if (r && is_autogroup(r->selector, AUTOGROUP_DANGER_ALL))
        lint_find(l, r->pos,
                  "autogroup:danger-all is every address there is, also from outside the tailnet; "
                  "\"*\" is every machine and approved route");
    if (r && rule->postures.len == 0 && rule->via.len == 0 && leads_everywhere(rule))
        lint_find(l, rule->pos, "this %s lets everyone reach everything: no other rule narrows it",
                  what);
}

/* ---- All of them ---- */

static void lint_list(struct lint *l, const struct policy_rule *rules, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        lint_source(l, rules[i].pos, what, &rules[i].src, &rules[i].postures);
        lint_destination(l, &rules[i], what);
        lint_width(l, &rules[i], what);
    }
}

static void lint_attrs(struct lint *l)
{
    for (size_t i = 0; i < l->d->n_node_attrs; i++) {
        const struct policy_node_attr *a = &l->d->node_attrs[i];
        bool any = l->p->members.count == 0;

        for (size_t k = 0; k < a->targets.len && !any; k++) {
            const struct policy_selector *s = a->targets.items[k].selector;

            any = s->kind == SELECTOR_WILDCARD || is_autogroup(s, AUTOGROUP_DANGER_ALL) ||
                  lint_has_nodes(l, l->p->shape->own[s->index]);
        }
        if (!any)
            lint_find(l, a->pos, "this nodeAttrs entry is about no machine at present");
        if (a->attrs.len == 0 && a->n_app == 0 && a->n_ip_pools == 0)
            lint_find(l, a->pos, "this nodeAttrs entry gives nothing");
    }
}

void lint_rules(struct lint *l)
{
    const struct policy_document *d = l->d;

    if (!d->has_rules)
        lint_find(l, (struct policy_pos){1, 1},
                  "there are neither acls nor grants: everyone may reach everything");
    lint_list(l, d->grants, d->n_grants, "grant");
    lint_list(l, d->acls, d->n_acls, "acl");
    lint_attrs(l);
}

/*
 * Rules cut into links: "these sources reach these destinations with this protocol".
 *
 *   grant --ip by protocol--> LINK_PORTS...   --app--> LINK_CAPS [--drive, relay--> LINK_COMPANION]
 *   acl   --> LINK_PORTS
 *   either with autogroup:self --> the same once more, as self links
 *
 * The order of links is the order of filter rules (policy.md 7.1, 7.4, 7.5): grants, then acls.
 * Sources are interned: rules with the same list under the same postures share one.
 */

#include "policy/policy_internal.h"

#include <string.h>

static const struct policy_selector any_selector = {.kind = SELECTOR_WILDCARD,
                                                    .text = STR_INIT("*")};
static const struct ip_ports any_ports = {0, UINT16_MAX};

/* ---- Sources ---- */

static uint32_t term_of(struct shape *s, const struct policy_selector *sel,
                        const struct policy_postures *postures)
{
    struct buf key = BUF(0);
    uintptr_t id;
    struct term *t;

    buf_put(&key, str_bytes(&sel, sizeof sel));
    for (size_t i = 0; i < postures->len; i++)
        buf_put_be32(&key, (uint32_t)postures->items[i]->index);
    id = (uintptr_t)map_find(s->term_ids, buf_str(&key));
    if (id == 0) {
        if ((s->n_terms & (s->n_terms - 1)) == 0)
            s->terms =
                mem_realloc_array(s->terms, MAX(s->n_terms * 2, (size_t)4), sizeof *s->terms);
        t = &s->terms[s->n_terms++];
        *t = (struct term){.selector = sel, .postures = *postures};
        id = s->n_terms;
        (void)map_put(s->term_ids, buf_str(&key), (void *)id);
    }
    buf_fini(&key);
    return (uint32_t)(id - 1);
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void source_fill(struct shape *s, struct source *src,
                        const struct policy_selector *const *selectors, size_t n,
                        const struct policy_postures *postures)
{
    size_t kept = 0;

    src->terms = arena_alloc(s->arena, n * sizeof *src->terms);
    src->literals = arena_alloc(s->arena, n * sizeof *src->literals);
    for (size_t i = 0; i < n; i++) {
        const struct policy_selector *sel = selectors[i];

        if (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_DANGER_ALL)
            src->everyone = true;
        else if (selector_is_literal(sel))
            src->literals[src->n_literals++] = sel;
        else if (sel->kind == SELECTOR_WILDCARD && postures->len == 0)
            src->wild = true;
        else
            src->terms[src->n_terms++] = term_of(s, sel, postures);
        if (sel->kind == SELECTOR_WILDCARD && postures->len)
            src->wild_routes = true;
    }
    if (src->n_terms)
        qsort(src->terms, src->n_terms, sizeof *src->terms, by_number);
    for (size_t i = 0; i < src->n_terms; i++)
        if (kept == 0 || src->terms[kept - 1] != src->terms[i])
            src->terms[kept++] = src->terms[i];
    src->n_terms = kept;
}

static int by_pointer(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (const void *const *)a, y = (uintptr_t) * (const void *const *)b;

    return (x > y) - (x < y);
}

static void sort_literals(struct source *src)
{
    size_t kept = 0;

    if (src->n_literals)
        qsort(src->literals, src->n_literals, sizeof *src->literals, by_pointer);
    for (size_t i = 0; i < src->n_literals; i++)
        if (kept == 0 || src->literals[kept - 1] != src->literals[i])
            src->literals[kept++] = src->literals[i];
    src->n_literals = kept;
}

uint32_t shape_source(struct shape *s, const struct policy_selector *const *selectors, size_t n,
                      const struct policy_postures *postures)
{
    struct source src = {0};
    struct buf key = BUF((size_t)64 << 20);
    uintptr_t id;

    source_fill(s, &src, selectors, n, postures);
    sort_literals(&src);
    buf_put_char(&key, (char)(src.everyone | src.wild << 1 | src.wild_routes << 2));
    buf_put_be32(&key, (uint32_t)src.n_terms);
    buf_put(&key, str_bytes(src.terms, src.n_terms * sizeof *src.terms));
    buf_put(&key, str_bytes(src.literals, src.n_literals * sizeof *src.literals));
    id = (uintptr_t)map_find(s->source_ids, buf_str(&key));
    if (id == 0) {
        if ((s->n_sources & (s->n_sources - 1)) == 0)
            s->sources =
                mem_realloc_array(s->sources, MAX(s->n_sources * 2, (size_t)4), sizeof *s->sources);
        s->sources[s->n_sources++] = src;
        id = s->n_sources;
        (void)map_put(s->source_ids, buf_str(&key), (void *)id);
    }
    buf_fini(&key);
    return (uint32_t)(id - 1);
}

static uint32_t source_of_refs(struct shape *s, const struct policy_refs *refs,
                               const struct policy_postures *postures)
{
    const struct policy_selector **list = mem_alloc_array(refs->len, sizeof *list);
    uint32_t id;

    for (size_t i = 0; i < refs->len; i++)
        list[i] = refs->items[i].selector;
    id = shape_source(s, list, refs->len, postures);
    mem_free(list);
    return id;
}

/* ---- Destinations ---- */

static bool is_self(const struct policy_selector *s)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_SELF;
}

/* Everything about destinations and ports that does not depend on nodes. */
static void mark_literal(struct policy_mark *m, const struct policy_selector *s)
{
    struct buf b = BUF(0);

    if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
        ip_prefix_put(&b, s->prefix);
    else
        buf_put(&b, s->text);
    for (size_t i = 0; s->kind == SELECTOR_IPSET && i < s->ipset->set.len; i++)
        ip_range_put(&b, s->ipset->set.ranges[i]);
    mark_mix_mark(m, mark_of(buf_str(&b)));
    buf_fini(&b);
}

static void link_finish(struct policy_link *l)
{
    struct policy_mark m = {(uint64_t)l->kind + 1, (uint64_t)(l->proto + 2)};

    mark_mix(&m, (uint64_t)l->self | (uint64_t)l->via << 1);
    for (size_t i = 0; i < l->n_dst; i++) {
        mark_literal(&m, l->dst[i].selector);
        mark_mix_mark(
            &m, mark_of(str_bytes(l->dst[i].ports, l->dst[i].n_ports * sizeof *l->dst[i].ports)));
    }
    mark_mix_mark(&m, mark_of(str_bytes(l->ports, l->n_ports * sizeof *l->ports)));
    for (size_t i = 0; l->kind == LINK_CAPS && i < l->rule->n_app; i++) {
        mark_mix_mark(&m, mark_of(l->rule->app[i].name));
        mark_mix_mark(&m, mark_of(l->rule->app[i].values));
    }
    if (l->companion)
        mark_mix_mark(&m, mark_of(str_from(l->companion)));
    l->mark = m;
}

static struct policy_link *link_add(struct shape *s, const struct policy_rule *rule,
                                    enum link_kind kind, uint32_t source)
{
    struct policy_link *l;

    if ((s->n_links & (s->n_links - 1)) == 0)
        s->links = mem_realloc_array(s->links, MAX(s->n_links * 2, (size_t)16), sizeof *s->links);
    l = &s->links[s->n_links++];
    *l = (struct policy_link){.kind = kind, .rule = rule, .source = source, .proto = -1};
    return l;
}

/* The rule's destinations but self, each selector once, `*` first; policy.md 7.3. */
static void link_set_dst(struct shape *s, struct policy_link *l, const struct policy_rule *rule)
{
    l->dst = arena_alloc(s->arena, rule->n_dst * sizeof *l->dst);
    for (int wild = 1; wild >= 0; wild--) {
        for (size_t i = 0; i < rule->n_dst; i++) {
            const struct policy_selector *sel = rule->dst[i].ref.selector;

            if (is_self(sel) || (sel->kind == SELECTOR_WILDCARD) != wild)
                continue;
            l->dst[l->n_dst++] = (struct link_dst){.selector = sel};
        }
    }
}

/* ---- acls ---- */

/* Ports of all destinations that name the selector, in the text's order. */
static void concat_ports(struct shape *s, const struct policy_rule *rule,
                         const struct policy_selector *sel, size_t n, struct link_dst *out)
{
    struct ip_ports *all = arena_alloc(s->arena, n * sizeof *all);

    out->ports = all;
    for (size_t i = 0; out->n_ports < n; i++) {
        const struct policy_target *t = &rule->dst[i];

        if (t->ref.selector != sel || t->n_ports == 0)
            continue;
        memcpy(all + out->n_ports, t->ports, t->n_ports * sizeof *all);
        out->n_ports += t->n_ports;
    }
}

/* Destinations that name the same selector are taken together, at the first one's place. */
static void fold_dst(struct shape *s, struct policy_link *l)
{
    struct map *at = map_new();
    size_t *totals = mem_alloc_array(l->rule->n_dst, sizeof *totals);
    size_t kept = 0;

    for (size_t i = 0; i < l->n_dst; i++) {
        const struct policy_selector *sel = l->dst[i].selector;
        struct str key = str_bytes(&sel, sizeof sel);

        if (map_find(at, key))
            continue;
        l->dst[kept] = l->dst[i];
        (void)map_put(at, key, (void *)(uintptr_t)(++kept));
    }
    l->n_dst = kept;
    for (size_t i = 0; i < l->rule->n_dst; i++) {
        const struct policy_selector *sel = l->rule->dst[i].ref.selector;
        uintptr_t k = (uintptr_t)map_find(at, str_bytes(&sel, sizeof sel));

        if (k)
            totals[k - 1] += l->rule->dst[i].n_ports;
    }
    for (size_t i = 0; i < kept; i++)
        l->dst[i].ports = arena_alloc(s->arena, totals[i] * sizeof *l->dst[i].ports);
    for (size_t i = 0; i < l->rule->n_dst; i++) {
        const struct policy_target *t = &l->rule->dst[i];
        uintptr_t k = (uintptr_t)map_find(at, str_bytes(&t->ref.selector, sizeof t->ref.selector));
        struct link_dst *to = k ? &l->dst[k - 1] : NULL;

        if (!to || t->n_ports == 0)
            continue;
        memcpy((struct ip_ports *)(uintptr_t)to->ports + to->n_ports, t->ports,
               t->n_ports * sizeof *t->ports);
        to->n_ports += t->n_ports;
    }
    mem_free(totals);
    map_free(at);
}

static void acl_ordinary(struct shape *s, const struct policy_rule *rule, uint32_t source)
{
    struct policy_link *l = link_add(s, rule, LINK_PORTS, source);

    l->proto = rule->proto;
    link_set_dst(s, l, rule);
    fold_dst(s, l);
    if (l->n_dst == 0)
        s->n_links--;
    else
        link_finish(l);
}

static void acl_self(struct shape *s, const struct policy_rule *rule, uint32_t source)
{
    const struct policy_selector *self = NULL;
    struct link_dst all = {0};
    struct policy_link *l;
    size_t n = 0;

    for (size_t i = 0; i < rule->n_dst; i++) {
        if (!is_self(rule->dst[i].ref.selector))
            continue;
        self = rule->dst[i].ref.selector;
        n += rule->dst[i].n_ports;
    }
    if (!self)
        return;
    concat_ports(s, rule, self, n, &all);
    l = link_add(s, rule, LINK_PORTS, source);
    l->self = true;
    l->proto = rule->proto;
    l->ports = all.ports;
    l->n_ports = all.n_ports;
    link_finish(l);
}

static bool self_comes_first(const struct policy_rule *rule)
{
    if (rule->n_dst == 0 || !is_self(rule->dst[0].ref.selector))
        return false;
    for (size_t i = 0; i < rule->n_dst; i++)
        if (rule->dst[i].ref.selector->kind != SELECTOR_AUTOGROUP)
            return false;
    return true;
}

static void acl_links(struct shape *s, const struct policy_rule *rule)
{
    uint32_t source;

    if (rule->src.len == 0 || rule->n_dst == 0)
        return;
    source = source_of_refs(s, &rule->src, &rule->postures);
    if (self_comes_first(rule)) {
        acl_self(s, rule, source);
        acl_ordinary(s, rule, source);
        return;
    }
    acl_ordinary(s, rule, source);
    acl_self(s, rule, source);
}

/* ---- grants ---- */

static void ports_of_proto(struct shape *s, const struct policy_rule *rule, int proto,
                           const struct ip_ports **ports, size_t *n_ports)
{
    struct ip_ports *all;
    size_t n = 0;

    for (size_t i = 0; i < rule->n_ip; i++)
        if (rule->ip[i].proto == proto)
            n += rule->ip[i].n_ports;
    all = arena_alloc(s->arena, n * sizeof *all);
    n = 0;
    for (size_t i = 0; i < rule->n_ip; i++) {
        if (rule->ip[i].proto != proto || rule->ip[i].n_ports == 0)
            continue;
        memcpy(all + n, rule->ip[i].ports, rule->ip[i].n_ports * sizeof *all);
        n += rule->ip[i].n_ports;
    }
    *ports = all;
    *n_ports = n;
}

static void grant_ports(struct shape *s, const struct policy_rule *rule, uint32_t source, bool self)
{
    bool seen[257] = {false};

    for (size_t i = 0; i < rule->n_ip; i++) {
        const struct ip_ports *ports;
        struct policy_link *l;
        size_t n_ports;

        if (seen[rule->ip[i].proto + 1])
            continue;
        seen[rule->ip[i].proto + 1] = true;
        ports_of_proto(s, rule, rule->ip[i].proto, &ports, &n_ports);
        l = link_add(s, rule, LINK_PORTS, source);
        l->proto = rule->ip[i].proto;
        l->self = self;
        l->via = rule->via.len > 0;
        if (self) {
            l->ports = ports;
            l->n_ports = n_ports;
        } else {
            link_set_dst(s, l, rule);
            for (size_t k = 0; k < l->n_dst; k++) {
                l->dst[k].ports = ports;
                l->dst[k].n_ports = n_ports;
            }
        }
        link_finish(l);
    }
}

/* Steers routes and makes peers visible, and no more (policy.md 7.10). */
static void grant_via_only(struct shape *s, const struct policy_rule *rule, uint32_t source)
{
    struct policy_link *l = link_add(s, rule, LINK_PORTS, source);

    l->via = true;
    link_set_dst(s, l, rule);
    link_finish(l);
}

static uint32_t source_of_dst(struct shape *s, const struct policy_rule *rule)
{
    const struct policy_selector **list = mem_alloc_array(rule->n_dst, sizeof *list);
    const struct policy_postures none = {0};
    uint32_t id;
    size_t n = 0;

    for (size_t i = 0; i < rule->n_dst; i++)
        if (!is_self(rule->dst[i].ref.selector))
            list[n++] = rule->dst[i].ref.selector;
    id = shape_source(s, list, n, &none);
    mem_free(list);
    return id;
}

/* The reverse of the grant: its destinations get a capability on its sources (policy.md 7.8). */
static void grant_companion(struct shape *s, const struct policy_rule *rule, uint32_t source,
                            bool self, const char *app, const char *companion)
{
    struct policy_link *l;

    for (size_t i = 0; i < rule->n_app; i++) {
        if (!str_eq(rule->app[i].name, str_from(app)))
            continue;
        l = link_add(s, rule, LINK_COMPANION, self ? source : source_of_dst(s, rule));
        l->self = self;
        l->companion = companion;
        l->dst = arena_alloc(s->arena, rule->src.len * sizeof *l->dst);
        for (size_t k = 0; !self && k < rule->src.len; k++)
            l->dst[l->n_dst++] = (struct link_dst){.selector = rule->src.items[k].selector};
        link_finish(l);
        return;
    }
}

static void grant_part(struct shape *s, const struct policy_rule *rule, uint32_t source, bool self)
{
    struct policy_link *l;

    grant_ports(s, rule, source, self);
    if (rule->n_app == 0)
        return;
    if (rule->via.len) {
        if (rule->n_ip == 0 && !self)
            grant_via_only(s, rule, source);
        return;
    }
    l = link_add(s, rule, LINK_CAPS, source);
    l->self = self;
    if (!self)
        link_set_dst(s, l, rule);
    link_finish(l);
    grant_companion(s, rule, source, self, "tailscale.com/cap/drive",
                    "tailscale.com/cap/drive-sharer");
    grant_companion(s, rule, source, self, "tailscale.com/cap/relay",
                    "tailscale.com/cap/relay-target");
}

static void grant_links(struct shape *s, const struct policy_rule *rule)
{
    bool self = false, other = false;
    uint32_t source;

    if (rule->src.len == 0 || rule->n_dst == 0)
        return;
    for (size_t i = 0; i < rule->n_dst; i++) {
        if (is_self(rule->dst[i].ref.selector))
            self = true;
        else
            other = true;
    }
    source = source_of_refs(s, &rule->src, &rule->postures);
    if (other)
        grant_part(s, rule, source, false);
    if (self)
        grant_part(s, rule, source, true);
}

/* ---- All of them ---- */

/* A policy with neither acls nor grants: `*` to `*` (policy.md 14). */
static void link_everyone(struct shape *s)
{
    const struct policy_selector *any = &any_selector;
    const struct policy_postures none = {0};
    struct policy_link *l = link_add(s, NULL, LINK_PORTS, shape_source(s, &any, 1, &none));

    l->dst = arena_alloc(s->arena, sizeof *l->dst);
    l->dst[0] = (struct link_dst){&any_selector, &any_ports, 1};
    l->n_dst = 1;
    link_finish(l);
}

static void ssh_links(struct shape *s)
{
    const struct policy_document *d = s->doc;

    s->ssh = arena_alloc(s->arena, d->n_ssh * sizeof *s->ssh);
    for (size_t i = 0; i < d->n_ssh; i++) {
        const struct policy_ssh_rule *rule = &d->ssh[i];

        if (rule->src.len == 0 || rule->dst.len == 0)
            continue;
        s->ssh[s->n_ssh] = (struct ssh_link){
            .rule = rule, .source = source_of_refs(s, &rule->src, &rule->postures)};
        for (size_t k = 0; k < rule->dst.len; k++)
            if (is_self(rule->dst.items[k].selector))
                s->ssh[s->n_ssh].self = s->has_self = true;
        if (rule->localparts.len)
            s->has_localpart = true;
        s->n_ssh++;
    }
}

void shape_make_links(struct shape *s)
{
    const struct policy_document *d = s->doc;

    for (size_t i = 0; i < d->n_grants; i++)
        grant_links(s, &d->grants[i]);
    for (size_t i = 0; i < d->n_acls; i++)
        acl_links(s, &d->acls[i]);
    if (!d->has_rules)
        link_everyone(s);
    ssh_links(s);
    for (size_t i = 0; i < s->n_links; i++)
        s->has_self |= s->links[i].self;
}

/*
 * Packets and capabilities: what each group of sources may reach at each group of destinations,
 * before and after.
 *
 * Sources are asked once for each end, doors once for each end they can be about; ends with the
 * same answers form a group. A pair of groups is compared by the marks of the doors that the
 * sources may go through, and only where these differ by ports and names.
 *
 * Devices of one user have more doors (autogroup:self); they are compared once more, with these.
 */

#include "policy/diff_net_internal.h"

#include <stdlib.h>

/* Bytes of a capability and its values that are written. */
#define CAP_MAX 300

/* ---- Rights ---- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void add_caps(struct net *n, struct texts *t, const struct policy_rule *rule)
{
    t->items = mem_realloc_array(t->items, t->len + rule->n_app + 1, sizeof *t->items);
    for (size_t i = 0; i < rule->n_app; i++) {
        struct str values = rule->app[i].values;
        bool none = str_eq(values, STR("[]"));

        t->items[t->len++] = arena_printf(n->d->arena, "%.*s%s%.*s", STR_ARG(rule->app[i].name),
                                          none ? "" : " ", STR_ARG(none ? STR_NONE : values));
    }
}

static void rights_clear(struct rights *r)
{
    access_clear(&r->access);
    r->caps.len = 0;
}

static void rights_settle(struct rights *r)
{
    size_t n = 0;

    access_settle(&r->access);
    if (r->caps.len)
        qsort(r->caps.items, r->caps.len, sizeof *r->caps.items, by_text);
    for (size_t i = 0; i < r->caps.len; i++)
        if (n == 0 || !str_eq(r->caps.items[n - 1], r->caps.items[i]))
            r->caps.items[n++] = r->caps.items[i];
    r->caps.len = n;
}

/* The doors between the groups, both sides together: their marks summed by side. */
static bool doors_differ(const struct net *n, const struct doors_of *of, uint32_t src_end)
{
    struct sum sums[SIDES] = {{0}, {0}};

    for (size_t i = 0; i < of->len; i++) {
        const struct door *door = &n->doors[of->items[i]];
        const roaring_bitmap_t *source = n->sources[door->side][door->source];

        if (source && roaring_bitmap_contains(source, src_end))
            sum_add(&sums[door->side],
                    (struct sum){.a = door->mark.a, .b = door->mark.b, .count = 1});
    }
    return !sum_eq(sums[BEFORE], sums[AFTER]);
}

static void add_rights(struct net *n, const struct doors_of *of, uint32_t src_end)
{
    for (size_t i = 0; i < of->len; i++) {
        const struct door *door = &n->doors[of->items[i]];
        const roaring_bitmap_t *source = n->sources[door->side][door->source];

        if (!source || !roaring_bitmap_contains(source, src_end))
            continue;
        if (door->caps)
            add_caps(n, &n->rights[door->side].caps, door->caps);
        else
            access_add(&n->rights[door->side].access, door->proto, door->ports, door->n_ports);
    }
}

/* ---- Changes ---- */

/* What devices of one user may do with each other: what comes, what goes, or ('=') what stays. */
static void put_access(struct change_set *to, const struct access *a, char sign, const char *suffix,
                       struct crowd from)
{
    struct str verb = sign == '+'   ? STR("may reach their user's other machines")
                      : sign == '-' ? STR("may no longer reach their user's other machines")
                                    : STR("may reach their user's other machines as before,");
    struct buf text = BUF(0);

    if (a->len) {
        buf_put(&text, STR("on "));
        access_put(&text, a);
        buf_put(&text, str_from(suffix));
        changes_add(to, sign, verb, buf_str(&text), from, (struct crowd){0});
    }
    buf_fini(&text);
}

static bool texts_have(const struct texts *t, struct str text)
{
    return t->len && bsearch(&text, t->items, t->len, sizeof text, by_text);
}

static void put_caps(struct net *n, struct change_set *to, const char *suffix, struct crowd from,
                     struct crowd target)
{
    struct buf verb = BUF(0);

    for (int side = 0; side < SIDES; side++) {
        const struct texts *t = &n->rights[side].caps;

        for (size_t i = 0; i < t->len; i++) {
            if (texts_have(&n->rights[1 - side].caps, t->items[i]))
                continue;
            buf_clear(&verb);
            buf_printf(&verb, "%s capability %.*s%s%s on%s",
                       side == AFTER ? "has" : "no longer has",
                       (int)MIN(t->items[i].len, (size_t)CAP_MAX), t->items[i].ptr,
                       t->items[i].len > CAP_MAX ? "..." : "", suffix,
                       target.len ? "" : " their user's other machines");
            changes_add(to, side == AFTER ? '+' : '-', buf_str(&verb), STR_NONE, from, target);
        }
    }
    buf_fini(&verb);
}

static void touch(struct diff *d, uint32_t from, uint32_t to)
{
    const uint32_t key[2] = {from, to};

    (void)map_put(d->touched, str_bytes(key, sizeof key), d);
}

static void find_difference(struct net *n)
{
    access_subtract(&n->come, &n->rights[AFTER].access, &n->rights[BEFORE].access);
    access_subtract(&n->gone, &n->rights[BEFORE].access, &n->rights[AFTER].access);
    access_drop_icmp(&n->come);
    access_drop_icmp(&n->gone);
}

static bool caps_differ(const struct net *n)
{
    const struct rights *r = n->rights;

    if (r[BEFORE].caps.len != r[AFTER].caps.len)
        return true;
    for (size_t i = 0; i < r[AFTER].caps.len; i++)
        if (!str_eq(r[BEFORE].caps.items[i], r[AFTER].caps.items[i]))
            return true;
    return false;
}

/* What differs in n->rights, for devices of one user. */
static bool put_own_difference(struct net *n, const char *suffix, struct crowd from)
{
    find_difference(n);
    put_access(n->own, &n->come, '+', suffix, from);
    put_access(n->own, &n->gone, '-', suffix, from);
    if (caps_differ(n))
        put_caps(n, n->own, suffix, from, (struct crowd){0});
    return caps_differ(n) || n->come.len || n->gone.len;
}

/* What differs in n->rights, between two groups. */
static bool add_difference(struct net *n, const char *suffix, uint32_t sg, uint32_t dg)
{
    find_difference(n);
    if (n->come.len)
        deltas_add(n->deltas, '+', &n->come, suffix, sg, dg);
    if (n->gone.len)
        deltas_add(n->deltas, '-', &n->gone, suffix, sg, dg);
    if (caps_differ(n))
        put_caps(n, n->changes, suffix, n->d->src_groups[sg], n->d->dst_groups[dg]);
    return caps_differ(n) || n->come.len || n->gone.len;
}

static bool is_itself(const struct diff *d, struct crowd from, struct crowd to)
{
    return from.len == 1 && to.len == 1 && from.items[0] == to.items[0] &&
           from.items[0] < d->n_kinds && d->kinds[from.items[0]].count == 1;
}

static bool find_rights(struct net *n, uint32_t sg, uint32_t dg, int f)
{
    const struct entity *e = &n->d->entities[n->d->src_groups[sg].items[0]];

    rights_clear(&n->rights[BEFORE]);
    rights_clear(&n->rights[AFTER]);
    if (e->end[f] == DIFF_NONE || !doors_differ(n, &n->of_group[f][dg], e->end[f]))
        return false;
    add_rights(n, &n->of_group[f][dg], e->end[f]);
    rights_settle(&n->rights[BEFORE]);
    rights_settle(&n->rights[AFTER]);
    return true;
}

static bool has_family(const struct diff *d, uint32_t sg, uint32_t dg, int f)
{
    return d->entities[d->src_groups[sg].items[0]].end[f] != DIFF_NONE &&
           d->entities[d->dst_groups[dg].items[0]].end[f] != DIFF_NONE;
}

/* What differs in n->rights, to compare with. */
static void put_difference_text(struct net *n, struct buf *out)
{
    find_difference(n);
    buf_put(out, str_bytes(n->come.items, n->come.len * sizeof *n->come.items));
    buf_put_char(out, '/');
    buf_put(out, str_bytes(n->gone.items, n->gone.len * sizeof *n->gone.items));
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < n->rights[side].caps.len; i++)
            if (!texts_have(&n->rights[1 - side].caps, n->rights[side].caps.items[i]))
                buf_printf(out, "/%d%.*s", side, STR_ARG(n->rights[side].caps.items[i]));
}

/* Whether both families say the same of the pair; then one of them is enough. */
static bool families_agree(struct net *n, uint32_t sg, uint32_t dg)
{
    struct buf text[2] = {BUF(0), BUF(0)};
    bool agree;

    for (int f = 0; f < 2; f++) {
        (void)find_rights(n, sg, dg, f);
        put_difference_text(n, &text[f]);
    }
    agree = str_eq(buf_str(&text[0]), buf_str(&text[1]));
    buf_fini(&text[0]);
    buf_fini(&text[1]);
    return agree;
}

static const char *const suffixes[] = {" (IPv4 only)", " (IPv6 only)"};

static void compare_pair(struct net *n, uint32_t sg, uint32_t dg)
{
    struct diff *d = n->d;
    bool both = has_family(d, sg, dg, 0) && has_family(d, sg, dg, 1);
    bool one = false, any = false;

    for (int f = 0; f < 2 && !one; f++) {
        if (!has_family(d, sg, dg, f) || !find_rights(n, sg, dg, f))
            continue;
        one = both && f == 0 && families_agree(n, sg, dg);
        (void)find_rights(n, sg, dg, f);
        any |= add_difference(n, both && !one ? suffixes[f] : "", sg, dg);
    }
    if (any)
        touch(d, sg, dg);
}

static void compare_groups(struct net *n)
{
    struct diff *d = n->d;

    for (uint32_t sg = 0; sg < d->n_src_groups; sg++)
        for (uint32_t dg = 0; dg < d->n_dst_groups; dg++) {
            if (is_itself(d, d->src_groups[sg], d->dst_groups[dg]))
                continue;
            if (!diff_work(d, n->of_group[0][dg].len + n->of_group[1][dg].len + 1))
                return;
            compare_pair(n, sg, dg);
        }
}

/* ---- autogroup:self ---- */

static bool add_self(struct net *n, uint32_t kind)
{
    bool any = false;

    for (int side = 0; side < SIDES; side++) {
        const struct policy *p = n->d->p[side];
        const struct member *m = n->d->kinds[kind].at[side];

        for (size_t i = 0; m && p->shape->has_self && i < p->shape->n_links; i++) {
            const struct policy_link *l = &p->shape->links[i];

            if (!l->self || l->kind == LINK_COMPANION || !self_lists(p, l, m))
                continue;
            any = true;
            if (l->kind == LINK_CAPS)
                add_caps(n, &n->rights[side].caps, l->rule);
            else
                access_add(&n->rights[side].access, l->proto, l->ports, l->n_ports);
        }
    }
    return any;
}

/*
 * Finds n->rights of devices of one user in one family, and what differs, without what they may as
 * devices of one user and with it. Whether the two are not the same.
 */
static bool find_own_rights(struct net *n, const uint32_t pair[2], int f, struct buf *plain,
                            struct buf *own)
{
    const struct entity *from = &n->d->entities[pair[0]], *to = &n->d->entities[pair[1]];

    rights_clear(&n->rights[BEFORE]);
    rights_clear(&n->rights[AFTER]);
    if (from->src_group != DIFF_NONE && to->dst_group != DIFF_NONE && from->end[f] != DIFF_NONE)
        add_rights(n, &n->of_group[f][to->dst_group], from->end[f]);
    rights_settle(&n->rights[BEFORE]);
    rights_settle(&n->rights[AFTER]);
    buf_clear(plain);
    put_difference_text(n, plain);
    if (!add_self(n, pair[0]))
        return false;
    rights_settle(&n->rights[BEFORE]);
    rights_settle(&n->rights[AFTER]);
    buf_clear(own);
    put_difference_text(n, own);
    return !str_eq(buf_str(plain), buf_str(own));
}

static bool own_families_agree(struct net *n, const uint32_t pair[2])
{
    struct buf plain[2] = {BUF(0), BUF(0)}, own[2] = {BUF(0), BUF(0)};
    bool agree;

    for (int f = 0; f < 2; f++)
        (void)find_own_rights(n, pair, f, &plain[f], &own[f]);
    agree = str_eq(buf_str(&plain[0]), buf_str(&plain[1])) &&
            str_eq(buf_str(&own[0]), buf_str(&own[1]));
    for (int f = 0; f < 2; f++) {
        buf_fini(&plain[f]);
        buf_fini(&own[f]);
    }
    return agree;
}

static void compare_own(struct net *n, const uint32_t pair[2])
{
    struct diff *d = n->d;
    const struct entity *from = &d->entities[pair[0]], *to = &d->entities[pair[1]];
    bool has[2], one;
    struct buf plain = BUF(0), own = BUF(0);

    for (int f = 0; f < 2; f++)
        has[f] = from->end[f] != DIFF_NONE && to->end[f] != DIFF_NONE;
    one = !has[0] || !has[1] || own_families_agree(n, pair);
    for (int f = has[0] ? 0 : 1; f < 2; f++) {
        const char *suffix = one ? "" : suffixes[f];

        /* The same for everyone has been told. */
        if (find_own_rights(n, pair, f, &plain, &own)) {
            struct crowd who = crowd_of(d, pair[0]);

            if (put_own_difference(n, suffix, who))
                touch(d, pair[0] | 0x80000000u, pair[1]);
            else /* what was told of everyone is not so for them */
                put_access(n->own, &n->rights[AFTER].access, '=', suffix, who);
        }
        if (one)
            break;
    }
    buf_fini(&plain);
    buf_fini(&own);
}

static void compare_devices(struct net *n)
{
    uint32_t(*pairs)[2];
    size_t len;

    if (!n->d->p[BEFORE]->shape->has_self && !n->d->p[AFTER]->shape->has_self)
        return;
    pairs = diff_own_pairs(n->d, &len);
    for (size_t i = 0; i < len; i++)
        if (diff_work(n->d, n->d->p[BEFORE]->shape->n_links + n->d->p[AFTER]->shape->n_links))
            compare_own(n, pairs[i]);
    mem_free(pairs);
}

/* ---- The whole ---- */

void diff_net(struct diff *d)
{
    struct net n;

    net_init(&n, d);
    n.deltas = deltas_new();
    n.changes = changes_new(d);
    n.own = changes_new(d);
    compare_groups(&n);
    compare_devices(&n);
    deltas_put(n.deltas, &n);
    changes_put(n.changes);
    changes_put(n.own);
    net_fini(&n);
}

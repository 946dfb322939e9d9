/*
 * From pairs of groups that differ to lines about packets.
 *
 * Told exactly, one new rule can come to very many lines, when parts of what it allows were allowed
 * before. Then the doors of the rules themselves are told, with a word that not all of it is new:
 * whoever may go through a door may do all that the line says, before or after.
 */

#include "policy/diff_net_internal.h"

#include <stdlib.h>

/* So many lines are still told exactly. */
#define BLOCKS_MAX 3
/* What a door must cover to be told. */
#define COVER_MIN 3

struct delta {
    char sign;
    const char *suffix;
    struct access want;
    uint32_t (*pairs)[2];
    size_t len;
};
struct deltas {
    struct delta *items;
    size_t len;
    struct map *ids;
};

struct deltas *deltas_new(void)
{
    struct deltas *d = NEW(struct deltas);

    d->ids = map_new();
    return d;
}

void deltas_add(struct deltas *d, char sign, const struct access *a, const char *suffix,
                uint32_t from, uint32_t to)
{
    struct buf key = BUF(0);
    struct delta *delta;
    uintptr_t id;

    buf_printf(&key, "%c%s\n", sign, suffix);
    for (size_t i = 0; i < a->len; i++) {
        buf_put_be16(&key, a->items[i].proto);
        buf_put_be16(&key, a->items[i].ports.first);
        buf_put_be16(&key, a->items[i].ports.last);
    }
    id = (uintptr_t)map_find(d->ids, buf_str(&key));
    if (id == 0) {
        if ((d->len & (d->len - 1)) == 0)
            d->items = mem_realloc_array(d->items, MAX(d->len * 2, (size_t)8), sizeof *d->items);
        delta = &d->items[d->len++];
        *delta = (struct delta){.sign = sign, .suffix = suffix};
        delta->want.items = mem_dup(a->items, a->len * sizeof *a->items);
        delta->want.len = delta->want.cap = a->len;
        id = d->len;
        (void)map_put(d->ids, buf_str(&key), (void *)id);
    }
    buf_fini(&key);
    delta = &d->items[id - 1];
    if ((delta->len & (delta->len - 1)) == 0)
        delta->pairs =
            mem_realloc_array(delta->pairs, MAX(delta->len * 2, (size_t)4), sizeof *delta->pairs);
    delta->pairs[delta->len][0] = from;
    delta->pairs[delta->len++][1] = to;
}

/* ---- How many lines it would be ---- */

static size_t count_rows(const struct delta *d, int by, size_t n_groups)
{
    struct sum *sums = mem_alloc_array(n_groups + 1, sizeof *sums);
    struct map *seen = map_new();
    size_t n = 0;

    for (size_t i = 0; i < d->len; i++) {
        struct policy_mark m = mark_of(str_bytes(&d->pairs[i][1 - by], sizeof d->pairs[i][1 - by]));

        sum_add(&sums[d->pairs[i][by]], (struct sum){.a = m.a, .b = m.b, .count = 1});
    }
    for (size_t i = 0; i < n_groups; i++)
        if (sums[i].count)
            (void)map_put(seen, str_bytes(&sums[i], sizeof sums[i]), seen);
    n = map_len(seen);
    map_free(seen);
    mem_free(sums);
    return n;
}

static bool is_scattered(const struct net *n, const struct delta *d)
{
    return d->len > BLOCKS_MAX && count_rows(d, 0, n->d->n_src_groups) > BLOCKS_MAX &&
           count_rows(d, 1, n->d->n_dst_groups) > BLOCKS_MAX;
}

/* ---- Doors ---- */

struct span { /* the groups that a door is between */
    bool *src, *dst;
};

static bool has_group(const struct diff *d, const roaring_bitmap_t *ends, const struct crowd *group)
{
    const struct entity *e = &d->entities[group->items[0]];

    return ends && ((e->end[0] != DIFF_NONE && roaring_bitmap_contains(ends, e->end[0])) ||
                    (e->end[1] != DIFF_NONE && roaring_bitmap_contains(ends, e->end[1])));
}

static bool is_wide_enough(struct net *n, const struct delta *d, const struct door *door)
{
    struct access have = {0};
    bool is;

    if (door->caps || door->side != (d->sign == '+' ? AFTER : BEFORE))
        return false;
    access_add(&have, door->proto, door->ports, door->n_ports);
    access_settle(&have);
    access_subtract(&n->come, &d->want, &have);
    is = n->come.len == 0;
    access_fini(&have);
    return is;
}

static void find_span(const struct net *n, const struct door *door, struct span *s)
{
    const struct diff *d = n->d;

    for (size_t i = 0; i < d->n_src_groups; i++)
        s->src[i] = has_group(d, n->sources[door->side][door->source], &d->src_groups[i]);
    for (size_t i = 0; i < d->n_dst_groups; i++)
        s->dst[i] = has_group(d, door->ends, &d->dst_groups[i]);
}

static size_t count_inside(const struct delta *d, const struct span *s)
{
    size_t n = 0;

    for (size_t i = 0; i < d->len; i++)
        n += s->src[d->pairs[i][0]] && s->dst[d->pairs[i][1]];
    return n;
}

/* The door that most of the pairs are inside of; NULL: none that is worth it. */
static const struct door *best_door(struct net *n, const struct delta *d, const bool *wide,
                                    struct span *s)
{
    const struct door *best = NULL;
    size_t most = COVER_MIN - 1;

    for (size_t i = 0; i < n->n_doors; i++) {
        size_t inside;

        if (!wide[i])
            continue;
        if (!diff_work(n->d, n->d->n_src_groups + n->d->n_dst_groups + d->len))
            return NULL;
        find_span(n, &n->doors[i], s);
        inside = count_inside(d, s);
        if (inside > most) {
            most = inside;
            best = &n->doors[i];
        }
    }
    if (best)
        find_span(n, best, s);
    return best;
}

static struct crowd join(struct diff *d, const struct crowd *groups, size_t n, const bool *in)
{
    struct crowd all = {0};
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += in[i] ? groups[i].len : 0;
    all.items = arena_alloc(d->arena, (len + 1) * sizeof *all.items);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; in[i] && k < groups[i].len; k++)
            all.items[all.len++] = groups[i].items[k];
    return all;
}

static size_t count_in(const bool *in, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += in[i];
    return len;
}

static void put_pair(struct net *n, const struct delta *d, const char *note, struct crowd from,
                     struct crowd to)
{
    struct buf text = BUF(0);

    buf_put(&text, STR("on "));
    access_put(&text, &d->want);
    buf_printf(&text, "%s%s", d->suffix, note);
    changes_add(n->changes, d->sign, d->sign == '+' ? STR("may reach") : STR("may no longer reach"),
                buf_str(&text), from, to);
    buf_fini(&text);
}

/* Takes the pairs inside the door out. */
static void put_door(struct net *n, struct delta *d, const struct span *s)
{
    struct diff *diff = n->d;
    size_t kept = 0, inside = count_inside(d, s);
    bool all =
        inside == count_in(s->src, diff->n_src_groups) * count_in(s->dst, diff->n_dst_groups);
    const char *note = d->sign == '+' ? " (some could before)" : " (some still may)";

    put_pair(n, d, all ? "" : note, join(diff, diff->src_groups, diff->n_src_groups, s->src),
             join(diff, diff->dst_groups, diff->n_dst_groups, s->dst));
    for (size_t i = 0; i < d->len; i++) {
        if (s->src[d->pairs[i][0]] && s->dst[d->pairs[i][1]])
            continue;
        d->pairs[kept][0] = d->pairs[i][0];
        d->pairs[kept++][1] = d->pairs[i][1];
    }
    d->len = kept;
}

static void put_doors(struct net *n, struct delta *d)
{
    struct span s = {.src = mem_alloc_array(n->d->n_src_groups + 1, sizeof *s.src),
                     .dst = mem_alloc_array(n->d->n_dst_groups + 1, sizeof *s.dst)};
    bool *wide = mem_alloc_array(n->n_doors + 1, sizeof *wide);

    for (size_t i = 0; i < n->n_doors; i++)
        wide[i] = is_wide_enough(n, d, &n->doors[i]);
    while (is_scattered(n, d) && best_door(n, d, wide, &s))
        put_door(n, d, &s);
    mem_free(wide);
    mem_free(s.src);
    mem_free(s.dst);
}

void deltas_put(struct deltas *d, struct net *n)
{
    for (size_t i = 0; i < d->len; i++) {
        struct delta *delta = &d->items[i];

        put_doors(n, delta);
        for (size_t k = 0; k < delta->len; k++)
            put_pair(n, delta, "", n->d->src_groups[delta->pairs[k][0]],
                     n->d->dst_groups[delta->pairs[k][1]]);
        mem_free(delta->pairs);
        access_fini(&delta->want);
    }
    map_free(d->ids);
    mem_free(d->items);
    mem_free(d);
}

/*
 * Lineages: a new shape goes on with the lineage of the one before when all that was said about old
 * classes still holds, word by word, so that nobody need look at pairs of nodes that stayed. A
 * machine unlike any before is then one class more.
 *
 * Cost: linear in what classes hold.
 */

#include "policy/policy_internal.h"

#include <string.h>

static bool u32s_eq(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    return n == m && (n == 0 || memcmp(a, b, n * sizeof *a) == 0);
}

static bool link_eq(const struct policy_link *a, const struct policy_link *b)
{
    return a->kind == b->kind && a->self == b->self && a->via == b->via && a->rule == b->rule &&
           a->source == b->source && a->proto == b->proto && policy_mark_eq(a->mark, b->mark);
}

/* as_dst is its links once more. */
static bool class_sees_eq(const struct policy_class *a, const struct policy_class *b)
{
    return a->sight == b->sight && a->self_source == b->self_source &&
           u32s_eq(a->links, a->n_links, b->links, b->n_links) &&
           roaring_bitmap_equals(a->as_source, b->as_source);
}

static bool class_says_eq(const struct policy_class *a, const struct policy_class *b)
{
    return a->hides_v4 == b->hides_v4 && u32s_eq(a->ssh, a->n_ssh, b->ssh, b->n_ssh) &&
           u32s_eq(a->attr_apps, a->n_attr_apps, b->attr_apps, b->n_attr_apps) &&
           str_list_eq(&(struct str_list){a->attrs, a->n_attrs},
                       &(struct str_list){b->attrs, b->n_attrs}) &&
           str_eq(a->peer_caps, b->peer_caps);
}

/* Old classes are the same nodes' and see the same of each other. */
static bool sights_stay(const struct shape *old, const struct shape *s)
{
    struct profile_scratch a = {0}, b = {0};
    bool same = true;

    for (size_t i = 0; i < old->n_classes && same; i++)
        same = class_sees_eq(&old->classes[i], &s->classes[i]) &&
               str_eq(profile_key(&old->classes[i].p, &a), profile_key(&s->classes[i].p, &b));
    profile_scratch_fini(&a);
    profile_scratch_fini(&b);
    return same;
}

static bool links_stay(const struct shape *old, const struct shape *s)
{
    if (old->doc != s->doc || old->n_classes > s->n_classes || old->n_links != s->n_links)
        return false;
    for (size_t i = 0; i < s->n_links; i++)
        if (!link_eq(&old->links[i], &s->links[i]))
            return false;
    return true;
}

static bool rest_stays(const struct shape *old, const struct shape *s)
{
    if (old->n_ssh != s->n_ssh || !policy_mark_eq(old->logins, s->logins))
        return false;
    for (size_t i = 0; i < old->n_classes; i++)
        if (!class_says_eq(&old->classes[i], &s->classes[i]))
            return false;
    return true;
}

void shape_go_on(struct shape *s, const struct shape *old)
{
    if (!links_stay(old, s) || !sights_stay(old, s))
        return;
    s->sights = old->sights;
    if (!rest_stays(old, s))
        return;
    s->lineage = old->lineage;
    /* They differ by the lineage's number at most. */
    for (size_t i = 0; i < old->n_classes; i++)
        s->classes[i].node_mark = old->classes[i].node_mark;
}

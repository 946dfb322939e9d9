/*
 * What tailnets know of those that guests come from: names and domains, and relay regions.
 *
 * To a client a region is a number, and a number is one region of its map. Where guests come from,
 * the number may mean another one, so each tailnet knows the others' regions by numbers of its own:
 *
 *   the region is here, too (the server's, mostly)    that one
 *   nothing here has the number                       it keeps it
 *   otherwise                                         one above REGIONS_GIVEN, drawn from whose it
 *                                                     is and its own number, then the next free
 *
 * That is a matter of the maps of the tailnets that are concerned and of nothing else: not of the
 * order in which guests came, and a restart does not change it. `told` and what `guest_infos` have
 * of it list the same regions in the same order, so the home of a guest needs no further table.
 * Maps change while a command acts; who is to know waits until it is done (guest_infos_settle).
 *
 * Sources: clients keep 16 bits of a region's number, and names of relays are to be unique over a
 * map (tailcfg.DERPNode.Name, netcheck looks relays up by it), so those of another tailnet begin
 * with their region's number here.
 */

#include "tailnet/domain_internal.h"

#define REGIONS_GIVEN 32768u /* and as many numbers from it on */

/* ---- Maps ---- */

static bool is_of_policy(const struct tailnet *t, uint32_t region)
{
    for (size_t i = 0; i < t->n_relays; i++)
        if (t->relays[i].id == region)
            return true;
    return t->omits_relays;
}

/* The tailnet's own, where its policy leaves them, and the policy's. */
static void tell_regions(const struct tailnet *t, struct tailnet_info *told)
{
    const struct tailnet_info *info = t->info;
    struct derp_region *all = mem_alloc_array(info->n_regions + t->n_relays, sizeof(*all));
    size_t n = 0;

    for (size_t i = 0; i < info->n_regions; i++)
        if (!is_of_policy(t, info->regions[i].id))
            all[n++] = info->regions[i];
    for (size_t i = 0; i < t->n_relays; i++)
        if (t->relays[i].n_nodes > 0)
            all[n++] = t->relays[i];
    told->regions = derp_regions_copy(all, n);
    told->n_regions = n;
    mem_free(all);
}

/* What other tailnets may know of a tailnet. */
static const struct tailnet_info *info_told(const struct tailnet *t)
{
    const struct tailnet_info *info = t->info;
    struct tailnet_info *told = tailnet_info_new();

    told->id = info->id;
    told->name = str_copy(info->name);
    told->base_domain = str_copy(info->base_domain);
    told->domain = str_copy(info->domain);
    tell_regions(t, told);
    return told;
}

static bool same_info(const struct tailnet_info *a, const struct tailnet_info *b)
{
    return str_eq(a->name, b->name) && str_eq(a->base_domain, b->base_domain) &&
           str_eq(a->domain, b->domain) &&
           derp_regions_eq(a->regions, a->n_regions, b->regions, b->n_regions);
}

static void must_settle(struct domain *d, struct tailnet *in)
{
    if (!list_node_is_linked(&in->unsettled_link))
        list_push_back(&d->unsettled, &in->unsettled_link);
}

void guest_info_known(struct domain *d, struct tailnet *of, struct tailnet *in, bool add)
{
    if (add && knowers_add(&of->knowers, in)) {
        if (!of->told)
            of->told = info_told(of);
        table_put(&in->guest_infos, of->id, tailnet_info_ref(of->told));
        must_settle(d, in);
    } else if (!add && knowers_drop(&of->knowers, in)) {
        (void)table_remove(&in->guest_infos, of->id);
        must_settle(d, in);
        if (of->knowers.len > 0)
            return;
        tailnet_info_unref(of->told);
        of->told = NULL;
    }
}

static void tell_knowers(struct domain *d, struct tailnet *t)
{
    const struct tailnet_info *told = t->told ? info_told(t) : NULL;

    if (!told || same_info(t->told, told)) {
        tailnet_info_unref(told);
        return;
    }
    tailnet_info_unref(t->told);
    t->told = told;
    for (size_t i = 0; i < t->knowers.len; i++)
        must_settle(d, t->knowers.items[i].in);
}

void guests_info_changed(struct domain *d, struct tailnet *t)
{
    if (t->shares.count > 0)
        shares_resettle(d, t);
    tell_knowers(d, t);
    if (t->guest_infos.count > 0)
        must_settle(d, t);
}

void domain_tell_relays(struct domain *d, tailnet_id id, const struct policy_relays *relays,
                        struct change_list *changes)
{
    struct tailnet *t = map_find_u64(d->tailnet_by_id, id);

    if (!t || (t->omits_relays == relays->omits_others &&
               derp_regions_eq(t->relays, t->n_relays, relays->regions, relays->n)))
        return;
    derp_regions_free(t->relays, t->n_relays);
    t->relays = derp_regions_copy(relays->regions, relays->n);
    t->n_relays = relays->n;
    t->omits_relays = relays->omits_others;
    d->changes = changes;
    tell_knowers(d, t);
    must_settle(d, t);
    guest_infos_settle(d);
    d->changes = NULL;
}

/* ---- Numbers ---- */

/* The region of that number in the tailnet's own map; NULL: there is none. */
static const struct derp_region *region_here(const struct tailnet *t, uint32_t id)
{
    for (size_t i = 0; i < t->n_relays; i++)
        if (t->relays[i].id == id)
            return t->relays[i].n_nodes > 0 || t->relays[i].code.len > 0 ? &t->relays[i] : NULL;
    for (size_t i = 0; !t->omits_relays && i < t->info->n_regions; i++)
        if (t->info->regions[i].id == id)
            return &t->info->regions[i];
    return NULL;
}

static bool is_here(const struct tailnet *in, const struct derp_region *r)
{
    const struct derp_region *own = region_here(in, r->id);

    return own && derp_regions_eq(own, 1, r, 1);
}

static bool all_here(const struct tailnet *in, const struct tailnet_info *told)
{
    for (size_t i = 0; i < told->n_regions; i++)
        if (!is_here(in, &told->regions[i]))
            return false;
    return true;
}

/* Numbers that regions of others have in one tailnet. */
struct numbers {
    const struct tailnet *in;
    struct map *used; /* number -> itself */
    size_t n_given;
};

static bool number_take(struct numbers *n, uint32_t number)
{
    if (region_here(n->in, number) || map_find_u64(n->used, number))
        return false;
    (void)map_put_u64(n->used, number, n);
    return true;
}

static uint32_t number_of(struct numbers *n, tailnet_id of, uint32_t id)
{
    uint32_t start = (uint32_t)((of * 0x9e3779b97f4a7c15u + id * 0xc2b2ae3d27d4eb4fu) >> 48);

    if (id != 0 && number_take(n, id))
        return id;
    while (n->n_given++ < REGIONS_GIVEN) {
        uint32_t number = REGIONS_GIVEN + start++ % REGIONS_GIVEN;

        if (number_take(n, number))
            return number;
    }
    return id; /* nobody has that many: those are reached on direct paths */
}

static void rename_region(struct derp_region *r, uint32_t number)
{
    r->id = number;
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct str name = r->nodes[i].name;

        r->nodes[i].name = str_printf("%u-%.*s", (unsigned)number, STR_ARG(name));
        str_free(&name);
    }
}

/* What the tailnet is to know, counted. */
static const struct tailnet_info *info_here(struct numbers *n, const struct tailnet_info *told)
{
    if (all_here(n->in, told))
        return tailnet_info_ref(told);
    struct tailnet_info *here = tailnet_info_clone(told);

    for (size_t i = 0; i < here->n_regions; i++)
        if (!is_here(n->in, &told->regions[i]))
            rename_region(&here->regions[i], number_of(n, told->id, told->regions[i].id));
    return here;
}

uint32_t guest_home(const struct stay *stay)
{
    const struct tailnet_info *told = stay->node->tailnet->told;
    const struct tailnet_info *here = table_find(&stay->in->guest_infos, told->id);
    uint32_t home = stay->node->node->home_derp;

    if (!here)
        return home;
    for (size_t i = 0; i < told->n_regions && i < here->n_regions; i++)
        if (told->regions[i].id == home)
            return here->regions[i].id;
    /* Where that is nobody knows; what has the number here it is not. */
    return region_here(stay->in, home) ? 0 : home;
}

/* ---- Settling ---- */

/* Guests that are at home by another number now. */
static void move_guests(struct domain *d, struct tailnet *in)
{
    LIST_FOR_EACH(stay, &in->stays, struct stay, in_link) {
        node_id id = stay->node->node ? stay->node->node->id : 0;
        const struct node *was = table_find(&in->guests, id);
        uint32_t home = was ? guest_home(stay) : 0;

        if (!was || was->home_derp == home)
            continue;
        struct node *guest = node_clone(was);

        guest->home_derp = home;
        table_put(&in->guests, id, guest);
        domain_tell(d, in, (struct change){.kind = CHANGE_GUEST, .id = id, .mask = NODE_DERP});
    }
}

/* Whether something is otherwise than it was. */
static bool settle_infos(struct domain *d, struct tailnet *in)
{
    struct numbers numbers = {.in = in, .used = map_new()};
    const struct tailnet_info *was;
    bool changed = false;

    for (size_t at = 0; (was = table_next(&in->guest_infos, &at));) {
        const struct tailnet *of = map_find_u64(d->tailnet_by_id, was->id);
        const struct tailnet_info *now = info_here(&numbers, of->told);

        if (was != now && !same_info(was, now)) {
            table_put(&in->guest_infos, now->id, now);
            changed = true;
        } else {
            tailnet_info_unref(now);
        }
    }
    map_free(numbers.used);
    return changed;
}

void guest_infos_settle(struct domain *d)
{
    for (struct list_node *l = list_pop_front(&d->unsettled); l;
         l = list_pop_front(&d->unsettled)) {
        struct tailnet *in = CONTAINER_OF(l, struct tailnet, unsettled_link);
        bool changed = settle_infos(d, in);

        /* Whether a number is nobody's hangs on its own map as well. */
        move_guests(d, in);
        /* What others know of it is as it was. */
        if (changed)
            domain_tell(d, in, (struct change){.kind = CHANGE_INFO, .id = in->id});
    }
}

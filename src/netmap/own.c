/*
 * The part of a delta that is for one viewer: its own Node, its filter, its shells, and DNS where
 * that has its name in it. Of itself it is told only by a whole Node, and only of what it did not
 * say itself.
 */

#include "netmap/netmap_internal.h"
#include "json/writer.h"

/* Parts of the viewer's own node that it must hear of. */
#define SELF_TOLD (NODE_NEW | NODE_CARD | NODE_KEY | NODE_EXPIRY)

/* A hint is for one system only (policy.md 5.11). */
static bool system_differs(const struct netmap_way *w, const struct netmap_walker *v)
{
    const struct policy_document *d = policy_document(w->after);

    return d && d->cgnat_route != CGNAT_DEFAULT &&
           !str_eq(v->self_old->facts->os, v->self_now->facts->os);
}

static bool node_differs(const struct netmap_way *w, const struct netmap_walker *v)
{
    if (w->nodes_differ)
        return true;
    if (v->touched && v->self_old != v->self_now &&
        ((v->touched->mask & SELF_TOLD) || system_differs(w, v) ||
         !netmap_own_routes_eq(v->self_old, v->self_now)))
        return true;
    if (w->before == w->after || (w->one_lineage && v->old.cls == v->now.cls))
        return false;
    return !policy_mark_eq(policy_node_mark(w->before, v->viewer),
                           policy_node_mark(w->after, v->viewer));
}

static void put_node(struct json_writer *out, const struct netmap_way *w,
                     const struct netmap_walker *v)
{
    if (!node_differs(w, v))
        return;
    netmap_key(out, STR("Node"));
    netmap_put_self(out->out, view_info(w->now), w->after, v->self_now);
}

static void put_dns(struct json_writer *out, const struct netmap_way *w,
                    const struct netmap_walker *v)
{
    struct buf a = BUF(0), b = BUF(0);

    if (!w->dns_is_own || (!v->touched && view_info(w->old) == view_info(w->now)))
        return;
    netmap_put_dns(&a, view_info(w->old), v->self_old);
    netmap_put_dns(&b, view_info(w->now), v->self_now);
    if (!str_eq(buf_str(&a), buf_str(&b))) {
        netmap_key(out, STR("DNSConfig"));
        buf_put(out->out, buf_str(&b));
    }
    buf_fini(&a);
    buf_fini(&b);
}

static bool filter_stays(const struct netmap_way *w, const struct netmap_walker *v)
{
    enum policy_form form = netmap_form(v->capver);

    return policy_mark_eq(policy_filter_mark(w->before, v->viewer, form),
                          policy_filter_mark(w->after, v->viewer, form));
}

static bool shells_stay(const struct netmap_way *w, const struct netmap_walker *v)
{
    return policy_mark_eq(policy_ssh_mark(w->before, v->viewer),
                          policy_ssh_mark(w->after, v->viewer));
}

bool netmap_rules_stay(const struct netmap_way *w, struct netmap_slot *slot,
                       const struct netmap_walker *v)
{
    enum netmap_rules *known = &slot->rules[netmap_form(v->capver)];

    if (w->before == w->after)
        return true;
    if (v->touched || !w->one_lineage)
        return filter_stays(w, v) && shells_stay(w, v);
    if (*known == NETMAP_RULES_UNKNOWN)
        *known = filter_stays(w, v) && shells_stay(w, v) ? NETMAP_RULES_STAY : NETMAP_RULES_DIFFER;
    return *known == NETMAP_RULES_STAY;
}

static void put_rules(struct json_writer *out, const struct netmap_way *w,
                      const struct netmap_walker *v)
{
    if (w->before == w->after)
        return;
    if (!filter_stays(w, v))
        netmap_put_filter(out, w->before, w->after, v->viewer, v->capver);
    if (!shells_stay(w, v)) {
        netmap_key(out, STR("SSHPolicy"));
        policy_put_ssh(w->after, v->viewer, STR(POLICY_SSH_BASE), out->out);
    }
}

void netmap_put_own(struct json_writer *out, const struct netmap_way *w,
                    const struct netmap_walker *v)
{
    put_node(out, w, v);
    put_dns(out, w, v);
    put_rules(out, w, v);
}

void netmap_put_filter(struct json_writer *w, const struct policy *before, const struct policy *p,
                       node_id viewer, uint32_t capver)
{
    if (capver < POLICY_CAPVER_NAMED) {
        netmap_key(w, STR("PacketFilter"));
        policy_put_filter(p, viewer, netmap_form(capver), w->out);
        return;
    }
    netmap_key(w, STR("PacketFilters"));
    policy_put_named_filter(before, p, viewer, netmap_form(capver), w->out);
}

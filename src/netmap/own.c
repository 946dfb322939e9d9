/*
 * The part of a delta that is for one viewer: its own Node, its filter, its shells; DNS where that
 * has its name in it, DNS and the relay map where guests have a part in them or it has no access.
 * Of itself it is told only by a whole Node, and only of what it did not say itself.
 */

#include "netmap/netmap_internal.h"
#include "json/writer.h"

/* Parts of the viewer's own node that it must hear of. */
#define SELF_TOLD (NODE_NEW | NODE_CARD | NODE_KEY | NODE_EXPIRY | NODE_ACCESS)

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

/* Takes both texts. */
static void put_if_news(struct json_writer *out, struct str name, struct buf *old, struct buf *now)
{
    if (!str_eq(buf_str(old), buf_str(now))) {
        netmap_key(out, name);
        buf_put(out->out, buf_str(now));
    }
    buf_fini(old);
    buf_fini(now);
}

/* As bodies judge it, which leave out what those are told here. */
static bool is_apart(const struct netmap_walker *v)
{
    return netmap_eye_is_apart(&v->old) || netmap_eye_is_apart(&v->now);
}

static struct netmap_host host_then(const struct netmap_way *w, const struct netmap_walker *v)
{
    return (struct netmap_host){.view = w->old, .policy = w->before, .viewer = v->self_old};
}

static struct netmap_host host_now(const struct netmap_way *w, const struct netmap_walker *v)
{
    return (struct netmap_host){.view = w->now, .policy = w->after, .viewer = v->self_now};
}

static void put_dns(struct json_writer *out, const struct netmap_way *w,
                    const struct netmap_walker *v)
{
    struct netmap_host then = host_then(w, v), now = host_now(w, v);
    struct buf a = BUF(0), b = BUF(0);

    if (!is_apart(v) && (!w->dns_is_own || (!v->touched && view_info(w->old) == view_info(w->now))))
        return;
    netmap_put_dns(&a, view_info(w->old), v->self_old, &then);
    netmap_put_dns(&b, view_info(w->now), v->self_now, &now);
    put_if_news(out, STR("DNSConfig"), &a, &b);
}

/* Of who has access and sees no guests the relay map is everybody's. */
static void put_relays(struct json_writer *out, const struct netmap_way *w,
                       const struct netmap_walker *v)
{
    struct netmap_host then = host_then(w, v), now = host_now(w, v);
    struct buf a = BUF(0), b = BUF(0);

    if (!is_apart(v))
        return;
    netmap_put_derp_map(&a, view_info(w->old), w->before, &then);
    netmap_put_derp_map(&b, view_info(w->now), w->after, &now);
    put_if_news(out, STR("DERPMap"), &a, &b);
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

/* As others of its class and owner are told; false: it is like none. */
static bool put_filter_step(struct json_writer *out, const struct netmap_way *w,
                            const struct netmap_walker *v)
{
    enum policy_form form = netmap_form(v->capver);
    struct netmap_slot *slot = v->slot;
    size_t mark = out->out->len;
    struct json_writer before = *out;

    if (v->touched || v->capver < POLICY_CAPVER_NAMED)
        return false;
    if (!slot->has_step[form])
        slot->step[form] = policy_filter_step_new(w->before, w->after, v->viewer, form);
    slot->has_step[form] = true;
    if (!slot->step[form])
        return false;
    netmap_key(out, STR("PacketFilters"));
    if (policy_put_filter_step(slot->step[form], v->viewer, out->out))
        return true;
    buf_cut(out->out, mark);
    *out = before;
    return false;
}

static void put_rules(struct json_writer *out, const struct netmap_way *w,
                      const struct netmap_walker *v)
{
    if (w->before == w->after)
        return;
    if (!filter_stays(w, v) && !put_filter_step(out, w, v))
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
    put_relays(out, w, v);
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

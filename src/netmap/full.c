/* A complete MapResponse: the first of a stream, and the one after a fall. protocol.md 6.4. */

#include "core/mem.h"
#include "netmap/encode.h"
#include "netmap/netmap_internal.h"
#include "json/writer.h"

/* From here on a capability says it. */
#define CAPVER_AUTO_UPDATE_CAP 131

struct whole {
    const struct netmap_full *full;
    const struct node *self;
    const struct node **peers;
    size_t n;
};

static void key_follows(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_value_follows(w);
}

void netmap_put_filter(struct json_writer *w, const struct policy *before, const struct policy *p,
                       node_id viewer, uint32_t capver)
{
    if (capver < POLICY_CAPVER_NAMED) {
        key_follows(w, STR("PacketFilter"));
        policy_put_filter(p, viewer, netmap_form(capver), w->out);
        return;
    }
    key_follows(w, STR("PacketFilters"));
    policy_put_named_filter(before, p, viewer, netmap_form(capver), w->out);
}

static void find_peers(struct whole *m)
{
    const struct netmap_full *f = m->full;
    const struct node *n;
    size_t at = 0;

    m->peers = mem_alloc_array(view_node_count(f->view), sizeof *m->peers);
    if (f->omit_peers)
        return;
    while ((n = view_node_next(f->view, &at)))
        if (n != m->self && policy_sees(f->policy, m->self->id, n->id))
            m->peers[m->n++] = n;
}

static int by_user(const void *a, const void *b)
{
    const user_id *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void put_profiles(struct json_writer *w, const struct whole *m)
{
    user_id *ids = mem_alloc_array(m->n + 1, sizeof *ids);
    size_t n = 0;

    ids[n++] = m->self->user;
    for (size_t i = 0; i < m->n; i++)
        if (m->peers[i]->user != ids[n - 1])
            ids[n++] = m->peers[i]->user;
    qsort(ids, n, sizeof *ids, by_user);

    json_field_array(w, STR("UserProfiles"));
    for (size_t i = 0; i < n; i++) {
        const struct user *u = ids[i] ? view_user_find(m->full->view, ids[i]) : NULL;

        if ((i && ids[i] == ids[i - 1]) || (ids[i] && !u))
            continue;
        json_value_follows(w);
        netmap_put_profile(w->out, u);
    }
    json_end_array(w);
    mem_free(ids);
}

/* An empty list would say "no change", so peers that must go are named. */
static void put_peers(struct json_writer *w, const struct whole *m)
{
    const struct netmap_full *f = m->full;

    if (m->n) {
        json_field_array(w, STR("Peers"));
        for (size_t i = 0; i < m->n; i++) {
            json_value_follows(w);
            netmap_put_card(w->out, f->policy, m->self->id, m->peers[i]);
        }
        json_end_array(w);
        return;
    }
    if (f->n_known == 0)
        return;
    json_field_array(w, STR("PeersRemoved"));
    for (size_t i = 0; i < f->n_known; i++)
        json_u64(w, f->known[i]);
    json_end_array(w);
}

static void put_tailnet(struct json_writer *w, const struct whole *m)
{
    const struct netmap_full *f = m->full;
    const struct tailnet_info *info = view_info(f->view);

    key_follows(w, STR("DERPMap"));
    netmap_put_derp_map(w->out, info, f->policy);
    key_follows(w, STR("DNSConfig"));
    netmap_put_dns(w->out, info, m->self);
    json_field_str(w, STR("Domain"), info->domain);
    json_field_bool(w, STR("CollectServices"), false);
    netmap_put_filter(w, NULL, f->policy, m->self->id, f->capver);
    key_follows(w, STR("SSHPolicy"));
    policy_put_ssh(f->policy, m->self->id, STR(POLICY_SSH_BASE), w->out);
    if (!info->logtail) {
        json_field_object(w, STR("Debug"));
        json_field_bool(w, STR("DisableLogTail"), true);
        json_end_object(w);
    }
    if (f->capver < CAPVER_AUTO_UPDATE_CAP)
        json_field_bool(w, STR("DefaultAutoUpdate"), info->auto_update);
}

void netmap_put_full(struct buf *out, const struct netmap_full *full)
{
    struct whole m = {.full = full, .self = view_node_find(full->view, full->viewer)};
    struct json_writer w = JSON_WRITER(out);

    ASSERT(m.self);
    find_peers(&m);
    json_begin_object(&w);
    json_field_bool(&w, STR("KeepAlive"), false);
    key_follows(&w, STR("Node"));
    netmap_put_self(out, view_info(full->view), full->policy, m.self);
    put_tailnet(&w, &m);
    put_profiles(&w, &m);
    put_peers(&w, &m);
    json_field_array(&w, STR("Health"));
    if (full->health.len)
        json_str(&w, full->health);
    json_end_array(&w);
    json_field_time(&w, STR("ControlTime"), full->now_ms);
    json_end_object(&w);
    mem_free(m.peers);
}

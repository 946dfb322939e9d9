/*
 * Guests: nodes of other tailnets as one of this tailnet's is told of them (protocol.md 7.3).
 *
 *   lent      the viewer has an item for it: it may begin connections, and finds it by its name
 *   visitor   it has one for the viewer: it may come, is told of so that handshakes work, and is
 *             hidden from people
 *
 * A stranger's card says less than one of the same tailnet: no tags, no capabilities, of Hostinfo
 * what its users need. Everything here costs what the viewer has to do with guests, and nothing for
 * those who have nothing to do with them.
 */

#include "netmap/encode.h"
#include "json/value.h"

/* ---- Who is seen ---- */

bool netmap_guest_is_lent(const struct node *viewer, const struct node *guest)
{
    return abroad_find(viewer->abroad, guest->id) != NULL;
}

user_id netmap_guest_sharer(const struct node *viewer, const struct node *guest)
{
    const struct abroad_item *item = abroad_find(viewer->abroad, guest->id);

    if (!item)
        return 0;
    return item->sharer ? item->sharer : guest->user;
}

bool netmap_eye_is_abroad(const struct netmap_eye *e)
{
    return e->self && e->self->abroad;
}

bool netmap_eye_is_apart(const struct netmap_eye *e)
{
    return e->cls == 0 || netmap_eye_is_abroad(e);
}

static bool sees(const struct netmap_host *h, const struct node *guest)
{
    /* Such a policy says that everybody sees everybody, which no guest is part of. */
    return !policy_is_open(h->policy) && policy_sees(h->policy, h->viewer->id, guest->id);
}

const struct node *netmap_guest_next(const struct netmap_host *h, size_t *at)
{
    const struct abroad *a = h ? h->viewer->abroad : NULL;
    size_t lent = a ? a->n_items : 0, from;
    const struct node *guest;

    while (*at < lent) {
        guest = view_guest_find(h->view, a->items[(*at)++].node);
        if (guest && sees(h, guest))
            return guest;
    }
    if (!a || !a->is_lent)
        return NULL;
    for (from = *at - lent; (guest = view_guest_next(h->view, &from));) {
        *at = lent + from;
        if (abroad_find(guest->abroad, h->viewer->id) && !abroad_find(a, guest->id) &&
            sees(h, guest))
            return guest;
    }
    return NULL;
}

/* ---- What is told of one ---- */

/* The parts of what peers of its own tailnet see, and of nothing else. */
static void put_peer_api(struct json_writer *w, const struct json_value *hostinfo)
{
    const struct json_value *services = json_get_array(hostinfo, "Services");

    if (json_len(services))
        json_field_raw(w, STR("Services"), json_get_raw(hostinfo, "Services"));
}

void netmap_put_guest_hostinfo(struct buf *out, const struct node *n,
                               const struct netmap_guest_terms *g)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *peer = NULL;
    struct json_writer w = JSON_WRITER(out);

    if (!json_parse(a, n->facts->hostinfo_peer, NULL, &peer, NULL))
        peer = NULL;
    json_begin_object(&w);
    json_opt_str(&w, STR("OS"), json_get_str(peer, "OS"));
    json_opt_str(&w, STR("Hostname"), json_get_str(peer, "Hostname"));
    json_opt_bool(&w, STR("ShareeNode"), !g->is_lent);
    /* An exit node is asked for names by PeerAPI; who may log in looks for host keys. */
    if (g->is_exit)
        put_peer_api(&w, peer);
    if (g->is_lent && json_len(json_get_array(peer, "sshHostKeys")))
        json_field_raw(&w, STR("sshHostKeys"), json_get_raw(peer, "sshHostKeys"));
    json_end_object(&w);
}

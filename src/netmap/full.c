/*
 * A complete MapResponse: the first of a stream, and the one after a fall. protocol.md 6.4.
 *
 *   {"KeepAlive":false,"UserProfiles":[own        written for the viewer
 *   ,profile,profile …                            a part for each block seen
 *   ],"DERPMap":…,"DNSConfig":…,…                 the same for all
 *   ,"Node":…,"PacketFilters":…,"Peers":[card,…   written for the viewer, with the cards of the
 * block it is in itself, and of its user's other devices ,card,card … a part for each bunch seen
 * whole, and for each block else
 *   ]}
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "json/writer.h"

/* From here on a capability says it. */
#define CAPVER_AUTO_UPDATE_CAP 131

struct whole {
    struct netmap_feed *f;
    const struct netmap_full *full;
    const struct node *self;
    struct netmap_eye eye;
    struct netmap_host host;
    struct buf *text;              /* of the viewer's second part */
    struct netmap_parcel profiles; /* of the blocks seen */
    struct netmap_parcel cards;
    size_t n; /* peers */
    bool failed;
};

static void add_part(struct whole *m, struct netmap_parcel *to, struct blob *part)
{
    if (part)
        netmap_parcel_add(to, part, 0);
    else
        m->failed = true;
}

/* ---- Peers ---- */

static void put_card(struct whole *m, const struct node *n)
{
    if (m->n++)
        buf_put_char(m->text, ',');
    netmap_put_card_for(m->text, m->f->policy, &m->eye, n);
}

/* Written out, without the viewer. */
static void put_cut(struct whole *m, struct netmap_block *x)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->nodes[i] != m->self)
            put_card(m, x->nodes[i]);
    if (x->n > 1 || x->nodes[0] != m->self)
        add_part(m, &m->profiles, netmap_block_profiles(&m->f->book, x, m->full->zstd));
}

/* Of what a class does not see, the viewer's owner's nodes may be seen still. */
static void put_devices(struct whole *m)
{
    const struct policy *p = m->f->policy;
    node_id id = 0;

    while (m->eye.user && (id = policy_next_device(p, m->eye.user, id))) {
        const struct node *n = id == m->self->id ? NULL : view_node_find(m->f->view, id);

        if (n && netmap_sight(&m->f->sights, p, m->eye.cls, policy_class_of(p, id)) ==
                     POLICY_SIGHT_SAME_USER)
            put_card(m, n);
    }
}

/* Who sees guests sees few of them, and each its own way. */
static void put_guests(struct whole *m)
{
    const struct node *guest;

    for (size_t at = 0; (guest = netmap_guest_next(&m->host, &at));)
        put_card(m, guest);
}

static bool sees_group(const struct whole *m, const struct netmap_group *g)
{
    return g->n &&
           netmap_sight(&m->f->sights, m->f->policy, m->eye.cls, g->sight) == POLICY_SIGHT_ALL;
}

static struct netmap_want want(const struct whole *m)
{
    return (struct netmap_want){m->eye.cls, m->full->zstd, m->n == 0};
}

static void add_block(struct whole *m, const struct netmap_group *g, struct netmap_block *x)
{
    struct netmap_book *b = &m->f->book;

    add_part(m, &m->profiles, netmap_block_profiles(b, x, m->full->zstd));
    add_part(m, &m->cards, netmap_block_cards(b, g, x, want(m)));
    m->n += x->n;
}

static void add_bunch(struct whole *m, struct netmap_bunch *x)
{
    struct netmap_book *b = &m->f->book;

    x->taken = b->maps;
    add_part(m, &m->profiles, netmap_bunch_profiles(b, x, m->full->zstd));
    add_part(m, &m->cards, netmap_bunch_cards(b, x, want(m)));
    for (size_t i = 0; i < x->n; i++)
        m->n += x->blocks[i].block->n;
}

static void put_bunches(struct whole *m, const struct netmap_block *own)
{
    struct netmap_book *b = &m->f->book;

    b->maps++;
    for (size_t i = 0; i < b->n_bunches; i++)
        if (b->bunches[i] != own->bunch && netmap_bunch_is_seen(b, b->bunches[i], m->eye.cls))
            add_bunch(m, b->bunches[i]);
}

static void put_blocks(struct whole *m, const struct netmap_block *own)
{
    struct netmap_book *b = &m->f->book;

    for (size_t i = 0; i < b->n_groups; i++) {
        const struct netmap_group *g = b->groups[i];

        if (!sees_group(m, g))
            continue;
        for (size_t k = 0; k < g->n; k++) {
            struct netmap_block *x = g->blocks[k];

            if (x != own && !(x->bunch && x->bunch->taken == b->maps))
                add_block(m, g, x);
        }
    }
}

static void put_peers(struct whole *m)
{
    const struct netmap_group *home = netmap_book_group(&m->f->book, m->self);
    size_t at;
    struct netmap_block *own = netmap_group_find(home, m->self->id, &at);

    ASSERT(own);
    if (sees_group(m, home))
        put_cut(m, own);
    put_devices(m);
    put_guests(m);
    put_bunches(m, own);
    put_blocks(m, own);
}

/* ---- The viewer ---- */

static void put_viewer(struct whole *m)
{
    const struct netmap_full *f = m->full;
    const struct tailnet_info *info = view_info(m->f->view);
    struct json_writer w = {.out = m->text, .comma = true, .depth = 1};

    netmap_key(&w, STR("Node"));
    netmap_put_self(m->text, info, m->f->policy, m->self);
    if (netmap_eye_is_apart(&m->eye)) {
        netmap_key(&w, STR("DERPMap"));
        netmap_put_derp_map(m->text, info, m->f->policy, &m->host);
    }
    if (netmap_eye_is_apart(&m->eye) || netmap_dns_is_personal(info)) {
        netmap_key(&w, STR("DNSConfig"));
        netmap_put_dns(m->text, info, m->self, &m->host);
    }
    netmap_put_filter(&w, NULL, m->f->policy, f->viewer, f->capver);
    netmap_key(&w, STR("SSHPolicy"));
    policy_put_ssh(m->f->policy, f->viewer, STR(POLICY_SSH_BASE), m->text);
    if (f->capver < CAPVER_AUTO_UPDATE_CAP)
        json_field_bool(&w, STR("DefaultAutoUpdate"), info->auto_update);
    json_field_array(&w, STR("Health"));
    if (f->health.len)
        json_str(&w, f->health);
    json_end_array(&w);
    json_field_time(&w, STR("ControlTime"), f->now_ms);
}

static void put_guest_profile(struct whole *m, struct buf *out, user_id id)
{
    size_t mark = out->len;

    buf_put_char(out, ',');
    if (!netmap_put_profile_of(out, m->f->view, id))
        buf_cut(out, mark);
}

/* Of whom guests are, and of who lent them. */
static void put_guest_profiles(struct whole *m, struct buf *out)
{
    const struct node *guest;

    for (size_t at = 0; (guest = netmap_guest_next(&m->host, &at));) {
        user_id sharer = netmap_guest_sharer(m->self, guest);

        put_guest_profile(m, out, guest->user);
        if (sharer && sharer != guest->user)
            put_guest_profile(m, out, sharer);
    }
}

static void put_head(struct whole *m, struct buf *out)
{
    const struct user *u = m->self->user ? view_user_find(m->f->view, m->self->user) : NULL;

    buf_put(out, STR("{\"KeepAlive\":false,\"UserProfiles\":["));
    netmap_put_profile(out, u);
    if (!m->full->omit_peers)
        put_guest_profiles(m, out);
}

/* Everything behind the head. */
static void put_rest(struct whole *m, struct netmap_parcel *rest)
{
    static const struct str peers = STR_INIT(",\"Peers\":[");
    size_t mark;

    put_viewer(m);
    mark = m->text->len;
    if (!m->full->omit_peers) {
        buf_put(m->text, peers);
        put_peers(m);
    }
    if (m->n == 0)
        buf_cut(m->text, MIN(mark, m->text->len));
    else if (netmap_parcel_is_empty(&m->cards))
        buf_put_char(m->text, ']');
    if (netmap_parcel_is_empty(&m->cards))
        buf_put_char(m->text, '}');
    m->failed |= buf_is_full(m->text);

    netmap_parcel_join(rest, &m->profiles);
    add_part(m, rest, netmap_book_common(&m->f->book, netmap_eye_is_apart(&m->eye), m->full->zstd));
    if (!m->failed)
        netmap_parcel_add_take(rest, netmap_part(buf_str(m->text), m->full->zstd), 0);
    if (!netmap_parcel_is_empty(&m->cards)) {
        netmap_parcel_join(rest, &m->cards);
        add_part(m, rest, netmap_book_end(&m->f->book, m->full->zstd));
    }
}

bool netmap_full(struct netmap_feed *f, const struct netmap_full *full, struct netmap_parcel *out,
                 size_t *n_peers)
{
    struct whole m = {.f = f, .full = full, .self = view_node_find(f->view, full->viewer)};
    struct netmap_parcel rest = {0};
    struct buf head = BUF(0);
    bool sent = false;

    ASSERT(m.self);
    netmap_book_update(&f->book);
    m.eye = netmap_eye_of(f->policy, full->viewer);
    m.eye.self = m.self;
    m.host = (struct netmap_host){.view = f->view, .policy = f->policy, .viewer = m.self};
    m.text = f->json;
    buf_clear(m.text);
    put_rest(&m, &rest);
    put_head(&m, &head);
    if (!m.failed)
        sent = netmap_send(out, buf_str(&head), full->zstd, &rest);
    *n_peers = m.n;
    netmap_parcel_fini(&rest);
    netmap_parcel_fini(&m.profiles);
    netmap_parcel_fini(&m.cards);
    buf_fini(&head);
    return sent;
}

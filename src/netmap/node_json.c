/* Nodes in the words of protocol.md 7, and what changed of them in those of 6.6. */

#include "netmap/encode.h"

#include "core/clock.h"
#include "ip/prefix.h"
#include "json/writer.h"

#define SLOT_CARD 0
#define CARD_MAX ((size_t)4 << 20)
#define PEER_HOSTINFO_MAX ((size_t)1 << 20)

static user_id node_owner(const struct node *n)
{
    return n->user ? n->user : USER_TAGGED_DEVICES;
}

static void put_prefix(struct json_writer *w, struct ip_prefix p)
{
    json_begin_plain(w);
    ip_prefix_put(w->out, p);
    json_end_plain(w);
}

static void put_own_addresses(struct json_writer *w, const struct node *n)
{
    if (ip_addr_is_set(n->v4))
        put_prefix(w, ip_prefix_single(n->v4));
    if (ip_addr_is_set(n->v6))
        put_prefix(w, ip_prefix_single(n->v6));
}

/* Addresses, AllowedIPs and PrimaryRoutes. What is routed to a node is AllowedIPs and nothing else.
 */
static void field_routes(struct json_writer *w, const struct node *n)
{
    json_field_array(w, STR("Addresses"));
    put_own_addresses(w, n);
    json_end_array(w);

    json_field_array(w, STR("AllowedIPs"));
    put_own_addresses(w, n);
    for (size_t i = 0; i < n->n_serving; i++)
        put_prefix(w, n->serving[i]);
    if (n->exit_node) {
        json_str(w, STR("0.0.0.0/0"));
        json_str(w, STR("::/0"));
    }
    json_end_array(w);

    if (n->n_serving == 0)
        return;
    json_field_array(w, STR("PrimaryRoutes"));
    for (size_t i = 0; i < n->n_serving; i++)
        put_prefix(w, n->serving[i]);
    json_end_array(w);
}

/* Always there: clients overlook a list that merely goes missing. */
static void field_endpoints(struct json_writer *w, const struct node *n)
{
    json_field_array(w, STR("Endpoints"));
    for (size_t i = 0; i < n->n_endpoints; i++) {
        json_begin_plain(w);
        ip_addrport_put(w->out, n->endpoints[i]);
        json_end_plain(w);
    }
    json_end_array(w);
}

#define FIELD_KEY(w, name, kind, key) \
    do {                              \
        json_key((w), STR(name));     \
        json_begin_plain(w);          \
        kind##_put((w)->out, (key));  \
        json_end_plain(w);            \
    } while (0)

static void field_last_seen(struct json_writer *w, const struct node *n)
{
    if (!n->online && n->last_seen_ms)
        json_field_time(w, STR("LastSeen"), n->last_seen_ms);
}

/* Everything but the Hostinfo, the capabilities and the machine key; the object stays open. */
static void put_common(struct json_writer *w, const struct node *n)
{
    json_field_u64(w, STR("ID"), n->id);
    json_field_str(w, STR("StableID"), n->stable_id);
    json_field_str(w, STR("Name"), n->fqdn);
    json_field_u64(w, STR("User"), node_owner(n));
    FIELD_KEY(w, "Key", node_key, &n->key);
    if (n->expiry_ms)
        json_field_time(w, STR("KeyExpiry"), n->expiry_ms);
    if (!disco_key_is_zero(&n->disco))
        FIELD_KEY(w, "DiscoKey", disco_key, &n->disco);
    field_routes(w, n);
    field_endpoints(w, n);
    if (n->home_derp) {
        json_key(w, STR("DERP"));
        json_begin_plain(w);
        buf_put(w->out, STR("127.3.3.40:"));
        buf_put_u64(w->out, n->home_derp);
        json_end_plain(w);
        json_field_u64(w, STR("HomeDERP"), n->home_derp);
    }
    json_field_time(w, STR("Created"), n->created_ms);
    json_opt_u64(w, STR("Cap"), n->capver);
    json_opt_str_list(w, STR("Tags"), &n->tags);
    field_last_seen(w, n);
    json_field_bool(w, STR("Online"), n->online);
    json_field_bool(w, STR("MachineAuthorized"), true);
    json_opt_bool(w, STR("Expired"), n->expired);
}

struct str netmap_card(const struct node *n)
{
    struct blob *card = node_slot_get(n, SLOT_CARD);
    struct buf text = BUF(CARD_MAX);
    struct json_writer w = JSON_WRITER(&text);

    if (card)
        return blob_str(card);
    struct str hostinfo = n->facts->hostinfo_peer;

    if (hostinfo.len == 0 || hostinfo.len > PEER_HOSTINFO_MAX)
        hostinfo = STR("{}");
    json_begin_object(&w);
    put_common(&w, n);
    json_field_raw(&w, STR("Hostinfo"), hostinfo);
    json_end_object(&w);
    /* The domain bounds routes, tags, endpoints and names far below the ceiling. */
    ASSERT(!buf_is_full(&text));
    card = node_slot_fill(n, SLOT_CARD, blob_new(buf_str(&text)));
    buf_fini(&text);
    return blob_str(card);
}

void netmap_put_caps(struct buf *out, const struct tailnet_info *info)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_null(&w, STR("https://tailscale.com/cap/is-admin"));
    json_field_null(&w, STR("https://tailscale.com/cap/ssh"));
    if (info->taildrop)
        json_field_null(&w, STR("https://tailscale.com/cap/file-sharing"));
    if (info->randomize_client_port)
        json_field_null(&w, STR("randomize-client-port"));
    json_field_array(&w, STR("default-auto-update"));
    json_bool(&w, info->auto_update);
    json_end_array(&w);
    if (info->domain.len) {
        json_field_array(&w, STR("tailnet-display-name"));
        json_str(&w, info->domain);
        json_end_array(&w);
    }
    json_end_object(&w);
}

void netmap_put_self(struct buf *out, const struct tailnet_info *info, const struct node *n,
                     uint32_t capver)
{
    struct json_writer w = JSON_WRITER(out);

    (void)capver; /* nothing in it depends on it so far */
    json_begin_object(&w);
    put_common(&w, n);
    FIELD_KEY(&w, "Machine", machine_key, &n->machine);
    json_field_raw(&w, STR("Hostinfo"), n->facts->hostinfo.len ? n->facts->hostinfo : STR("{}"));
    json_key(&w, STR("CapMap"));
    json_value_follows(&w);
    netmap_put_caps(out, info);
    json_end_object(&w);
}

void netmap_put_patch(struct buf *out, const struct node *n, unsigned mask)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_u64(&w, STR("NodeID"), n->id);
    if (mask & NODE_DERP)
        json_opt_u64(&w, STR("DERPRegion"), n->home_derp);
    if (mask & NODE_CAPVER)
        json_opt_u64(&w, STR("Cap"), n->capver);
    if (mask & NODE_ENDPOINTS)
        field_endpoints(&w, n);
    if (mask & NODE_KEY)
        FIELD_KEY(&w, "Key", node_key, &n->key);
    if (mask & NODE_DISCO)
        FIELD_KEY(&w, "DiscoKey", disco_key, &n->disco);
    /* A new disco key is believed at once only from a peer that is said to be online. */
    if ((mask & NODE_ONLINE) || ((mask & NODE_DISCO) && n->online))
        json_field_bool(&w, STR("Online"), n->online);
    if (mask & NODE_ONLINE)
        field_last_seen(&w, n);
    /* The zero time takes an expiry away. */
    if (mask & NODE_EXPIRY)
        json_field_time(&w, STR("KeyExpiry"), n->expiry_ms ? n->expiry_ms : CLOCK_ZERO);
    json_end_object(&w);
}

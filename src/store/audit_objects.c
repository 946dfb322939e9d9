/*
 * What of an object is worth keeping in the log: what administrators set, not what machines say of
 * themselves. No secret and no hash is among it.
 */

#include "store/audit_internal.h"

#include "crypto/hash.h"
#include "ip/prefix.h"
#include "json/writer.h"

static void put_time(struct json_writer *w, struct str key, int64_t ms)
{
    if (ms != 0)
        json_field_time(w, key, ms);
    else
        json_field_null(w, key);
}

static void put_prefix(struct json_writer *w, struct str key, struct ip_prefix p)
{
    struct buf text = BUF(64);

    if (!ip_prefix_is_set(p))
        return;
    ip_prefix_put(&text, p);
    json_field_str(w, key, buf_str(&text));
    buf_fini(&text);
}

static void put_resolvers(struct json_writer *w, struct str key, const struct dns_resolver *r,
                          size_t n)
{
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++) {
        if (!r[i].with_exit_node) {
            json_str(w, r[i].addr);
            continue;
        }
        json_begin_object(w);
        json_field_str(w, STR("address"), r[i].addr);
        json_field_bool(w, STR("useWithExitNode"), true);
        json_end_object(w);
    }
    json_end_array(w);
}

/* Which parts administrators set; the others are configured. */
static void put_own_parts(struct json_writer *w, unsigned parts)
{
    static const struct {
        enum dns_part part;
        const char *name;
    } names[] = {
        {DNS_MAGIC, "magicDNS"}, {DNS_OVERRIDE, "overrideLocalDNS"}, {DNS_RESOLVERS, "nameservers"},
        {DNS_SPLITS, "split"},   {DNS_SEARCH, "searchDomains"},      {DNS_RECORDS, "records"},
    };

    json_field_array(w, STR("set"));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (parts & names[i].part)
            json_str(w, str_from(names[i].name));
    json_end_array(w);
}

static void put_dns_members(struct json_writer *w, const struct tailnet_info *i)
{
    json_field_bool(w, STR("magicDNS"), i->magic_dns);
    json_field_bool(w, STR("overrideLocalDNS"), i->override_local_dns);
    put_resolvers(w, STR("nameservers"), i->resolvers, i->n_resolvers);
    json_field_object(w, STR("split"));
    for (size_t k = 0; k < i->n_splits; k++)
        put_resolvers(w, i->splits[k].suffix, i->splits[k].resolvers, i->splits[k].n_resolvers);
    json_end_object(w);
    json_field_str_list(w, STR("searchDomains"), &i->search_domains);
    json_field_array(w, STR("records"));
    for (size_t k = 0; k < i->n_records; k++) {
        json_begin_object(w);
        json_field_str(w, STR("name"), i->records[k].name);
        json_field_str(w, STR("type"), i->records[k].type);
        json_field_str(w, STR("value"), i->records[k].value);
        json_end_object(w);
    }
    json_end_array(w);
    put_own_parts(w, i->dns_own ? i->dns_own->parts : 0);
}

static void put_dns(struct json_writer *w, const struct tailnet_info *i)
{
    json_field_object(w, STR("dns"));
    put_dns_members(w, i);
    json_end_object(w);
}

static void put_settings(struct json_writer *w, const struct tailnet_settings *s)
{
    static const char *const contacts[] = {
        [CONTACT_ACCOUNT] = "account",
        [CONTACT_SUPPORT] = "support",
        [CONTACT_SECURITY] = "security",
    };
    static const char *const quotas[] = {
        [QUOTA_NODES] = "maxNodes",
        [QUOTA_USERS] = "maxUsers",
        [QUOTA_KEYS] = "maxKeys",
    };

    json_field_object(w, STR("settings"));
    if (s->set & SETTING_KEY_DURATION)
        json_field_i64(w, STR("nodeExpiryMs"), s->key_duration_ms);
    if (s->set & SETTING_AUTO_UPDATE)
        json_field_bool(w, STR("autoUpdate"), s->auto_update);
    if (s->set & SETTING_POLICY_ELSEWHERE)
        json_field_bool(w, STR("policyElsewhere"), s->policy_elsewhere);
    if (s->set & SETTING_POLICY_LINK)
        json_field_str(w, STR("policyLink"), s->policy_link);
    for (unsigned i = 0; i < CONTACTS; i++)
        if (s->set & ((unsigned)SETTING_CONTACT_ACCOUNT << i))
            json_field_str(w, str_from(contacts[i]), s->contacts[i]);
    for (unsigned i = 0; i < QUOTAS; i++)
        if (s->set & ((unsigned)SETTING_MAX_NODES << i))
            json_field_u64(w, str_from(quotas[i]), s->max[i]);
    if (s->set & SETTING_SUSPENDED)
        json_field_bool(w, STR("suspended"), true);
    if (s->set & SETTING_ADDRESSES_APART)
        json_field_bool(w, STR("addressesApart"), true);
    audit_put_joining(w, s);
    json_end_object(w);
}

static void put_tailnet(struct json_writer *w, const struct tailnet_info *i)
{
    json_field_str(w, STR("name"), i->name);
    json_field_str(w, STR("baseDomain"), i->base_domain);
    put_prefix(w, STR("prefixV4"), i->prefix_v4);
    put_prefix(w, STR("prefixV6"), i->prefix_v6);
    json_field_i64(w, STR("nodeExpiryMs"), i->node_expiry_ms);
    json_field_i64(w, STR("ephemeralTimeoutMs"), i->ephemeral_timeout_ms);
    json_field_bool(w, STR("taildrop"), i->taildrop);
    json_field_bool(w, STR("logtail"), i->logtail);
    json_field_bool(w, STR("autoUpdate"), i->auto_update);
    json_field_bool(w, STR("randomizeClientPort"), i->randomize_client_port);
    put_settings(w, &i->settings);
    put_dns(w, i);
    json_field_array(w, STR("relayRegions"));
    for (size_t k = 0; k < i->n_regions; k++)
        json_u64(w, i->regions[k].id);
    json_end_array(w);
}

/* The texts themselves are kept by the table of policies. */
static void put_policy(struct json_writer *w, const struct tailnet_info *i)
{
    uint8_t hash[HASH_BYTES];

    sha256(i->policy, hash);
    json_field_u64(w, STR("bytes"), i->policy.len);
    json_field_hex(w, STR("sha256"), STR_NONE, str_bytes(hash, sizeof(hash)));
}

static void put_user(struct json_writer *w, const struct user *u)
{
    json_field_str(w, STR("name"), u->name);
    json_field_str(w, STR("displayName"), u->display_name);
    json_field_str(w, STR("email"), u->email);
    json_field_str(w, STR("provider"), u->provider);
    json_field_str(w, STR("providerId"), u->provider_id);
    json_field_str(w, STR("role"), user_role_name(u->role));
    json_field_str(w, STR("status"), user_status_name(u->status));
    json_field_str_list(w, STR("groups"), &u->groups);
}

static void put_auth_key(struct json_writer *w, const struct auth_key *k)
{
    json_field_str(w, STR("prefix"), k->prefix);
    json_field_u64(w, STR("user"), k->user);
    json_field_str_list(w, STR("tags"), &k->tags);
    json_field_bool(w, STR("reusable"), k->reusable);
    json_field_bool(w, STR("ephemeral"), k->ephemeral);
    json_field_bool(w, STR("preauthorized"), k->preauthorized);
    json_field_str(w, STR("description"), k->description);
    put_time(w, STR("expiry"), k->expiry_ms);
    put_time(w, STR("revoked"), k->revoked_ms);
}

static void put_api_key(struct json_writer *w, const struct api_key *k)
{
    json_field_str(w, STR("prefix"), k->prefix);
    json_field_u64(w, STR("tailnet"), k->tailnet);
    json_field_u64(w, STR("user"), k->user);
    json_field_str_list(w, STR("scopes"), &k->scopes);
    if (k->kind == API_KEY_OAUTH_CLIENT || k->kind == API_KEY_OAUTH_TOKEN)
        json_field_str_list(w, STR("tags"), &k->tags);
    if (k->client != 0)
        json_field_u64(w, STR("client"), k->client);
    json_field_str(w, STR("description"), k->description);
    put_time(w, STR("expiry"), k->expiry_ms);
}

static void put_node(struct json_writer *w, const struct node *n)
{
    struct buf text = BUF(64);

    json_field_str(w, STR("name"), n->given_name);
    json_field_str(w, STR("hostname"), n->facts->hostname);
    json_field_u64(w, STR("user"), n->user);
    json_field_str_list(w, STR("tags"), &n->tags);
    json_field_array(w, STR("addresses"));
    for (int i = 0; i < 2; i++) {
        buf_clear(&text);
        ip_addr_put(&text, i == 0 ? n->v4 : n->v6);
        if (ip_addr_is_set(i == 0 ? n->v4 : n->v6))
            json_str(w, buf_str(&text));
    }
    json_end_array(w);
    json_field_array(w, STR("approvedRoutes"));
    for (size_t i = 0; i < n->n_approved; i++) {
        buf_clear(&text);
        ip_prefix_put(&text, n->approved[i]);
        json_str(w, buf_str(&text));
    }
    json_end_array(w);
    json_field_object(w, STR("attributes"));
    for (size_t i = 0; i < n->n_attributes; i++)
        json_field_str(w, n->attributes[i].name, n->attributes[i].value);
    json_end_object(w);
    put_time(w, STR("expiry"), n->expiry_ms);
    json_field_bool(w, STR("ephemeral"), n->ephemeral);
    json_field_bool(w, STR("needsApproval"), (n->holds & HOLD_DEVICE) != 0);
    json_field_hex(w, STR("nodeKey"), STR("nodekey:"), str_bytes(&n->key, sizeof(n->key)));
    json_field_hex(w, STR("machineKey"), STR("mkey:"), str_bytes(&n->machine, sizeof(n->machine)));
    buf_fini(&text);
}

/* Of its address no more than where it leads: the rest may let others post there. */
static void put_webhook(struct json_writer *w, const struct webhook *h)
{
    json_field_str(w, STR("endpoint"), webhook_origin(h->url));
    json_field_str(w, STR("providerType"), str_from(webhook_provider_name(h->provider)));
    json_field_array(w, STR("subscriptions"));
    for (unsigned i = 0; i < EVENT_TEST; i++)
        if (h->subscriptions & BIT(i))
            json_str(w, str_from(webhook_event_name((enum webhook_event)i)));
    json_end_array(w);
    json_field_str(w, STR("secretId"), webhook_secret_id(h));
}

/* A larger object says only that it is one. */
static struct str take_json(struct buf *out)
{
    if (buf_is_full(out)) {
        buf_fini(out);
        return str_copy(STR("{\"tooLarge\":true}"));
    }
    return buf_take(out);
}

struct str audit_object_json(enum audit_object kind, const void *object)
{
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!object)
        return STR_NONE;
    json_begin_object(&w);
    switch (kind) {
    case OBJECT_TAILNET:
        put_tailnet(&w, object);
        break;
    case OBJECT_POLICY:
        put_policy(&w, object);
        break;
    case OBJECT_DNS:
        put_dns_members(&w, object);
        break;
    case OBJECT_USER:
        put_user(&w, object);
        break;
    case OBJECT_AUTH_KEY:
        put_auth_key(&w, object);
        break;
    case OBJECT_API_KEY:
    case OBJECT_OAUTH_CLIENT:
    case OBJECT_OAUTH_TOKEN:
    case OBJECT_SESSION:
        put_api_key(&w, object);
        break;
    case OBJECT_NODE:
        put_node(&w, object);
        break;
    case OBJECT_WEBHOOK:
        put_webhook(&w, object);
        break;
    case OBJECT_SHARE:
    case OBJECT_SHARE_INVITE: /* audit_share.c */
    case OBJECT_USER_INVITE:  /* audit_people.c */
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    json_end_object(&w);
    return take_json(&out);
}

struct str audit_user_json(const struct user *u, const struct str_list *nodes)
{
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    put_user(&w, u);
    json_field_str_list(&w, STR("nodes"), nodes);
    json_end_object(&w);
    return take_json(&out);
}

struct str audit_object_name(enum audit_object kind, const void *object)
{
    if (!object)
        return STR_NONE;
    switch (kind) {
    case OBJECT_TAILNET:
    case OBJECT_DNS:
    case OBJECT_POLICY:
        return ((const struct tailnet_info *)object)->name;
    case OBJECT_USER:
        return ((const struct user *)object)->name;
    case OBJECT_AUTH_KEY:
        return ((const struct auth_key *)object)->prefix;
    case OBJECT_API_KEY:
    case OBJECT_OAUTH_CLIENT:
    case OBJECT_OAUTH_TOKEN:
    case OBJECT_SESSION:
        return ((const struct api_key *)object)->prefix;
    case OBJECT_NODE:
        return ((const struct node *)object)->given_name;
    case OBJECT_WEBHOOK:
        return webhook_origin(((const struct webhook *)object)->url);
    case OBJECT_USER_INVITE:
        return ((const struct user_invite *)object)->email;
    case OBJECT_SHARE:
    case OBJECT_SHARE_INVITE:
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    return STR_NONE;
}

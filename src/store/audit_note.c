/*
 * What each command is called in the log, and what of an object is worth keeping: what
 * administrators set, not what machines say of themselves. No secret and no hash is among it.
 */

#include "store/audit_note.h"
#include "store/audit_internal.h"

#include "crypto/hash.h"
#include "ip/prefix.h"
#include "json/writer.h"

enum object {
    OBJECT_NONE,
    OBJECT_TAILNET,
    OBJECT_POLICY,
    OBJECT_DNS,
    OBJECT_USER,
    OBJECT_AUTH_KEY,
    OBJECT_API_KEY,
    OBJECT_OAUTH_CLIENT, /* these are API keys of another kind */
    OBJECT_OAUTH_TOKEN,
    OBJECT_SESSION,
    OBJECT_NODE,
    OBJECT_REGISTRATION,
    OBJECT_WEBHOOK,
    OBJECT_SHARE,
    OBJECT_SHARE_INVITE,
    OBJECT_USER_INVITE,
};

static const char *const object_names[] = {
    [OBJECT_NONE] = "",
    [OBJECT_TAILNET] = "tailnet",
    [OBJECT_POLICY] = "policy",
    [OBJECT_DNS] = "dns",
    [OBJECT_USER] = "user",
    [OBJECT_AUTH_KEY] = "auth_key",
    [OBJECT_API_KEY] = "api_key",
    [OBJECT_NODE] = "node",
    [OBJECT_REGISTRATION] = "registration",
    [OBJECT_SESSION] = "session",
    [OBJECT_OAUTH_CLIENT] = "oauth_client",
    [OBJECT_OAUTH_TOKEN] = "oauth_token",
    [OBJECT_WEBHOOK] = "webhook",
    [OBJECT_SHARE] = "share",
    [OBJECT_SHARE_INVITE] = "share_invite",
    [OBJECT_USER_INVITE] = "user_invite",
};

static bool is_api_key(enum object kind)
{
    return kind == OBJECT_API_KEY || kind == OBJECT_OAUTH_CLIENT || kind == OBJECT_OAUTH_TOKEN ||
           kind == OBJECT_SESSION;
}

static const struct {
    const char *action; /* NULL: not for the log */
    enum object object;
} commands[] = {
    [COMMAND_TAILNET_CREATE] = {"tailnet.create", OBJECT_TAILNET},
    [COMMAND_TAILNET_UPDATE] = {"tailnet.update", OBJECT_TAILNET},
    [COMMAND_TAILNET_SET] = {"tailnet.set", OBJECT_TAILNET},
    [COMMAND_TAILNET_SUSPEND] = {"tailnet.suspend", OBJECT_TAILNET},
    [COMMAND_TAILNET_RESUME] = {"tailnet.resume", OBJECT_TAILNET},
    [COMMAND_TAILNET_DELETE] = {"tailnet.delete", OBJECT_TAILNET},
    [COMMAND_POLICY_SET] = {"policy.set", OBJECT_POLICY},
    [COMMAND_DNS_SET] = {"dns.set", OBJECT_DNS},
    [COMMAND_SETTINGS_SET] = {"tailnet.settings", OBJECT_TAILNET},
    [COMMAND_USER_CREATE] = {"user.create", OBJECT_USER},
    [COMMAND_USER_RENAME] = {"user.rename", OBJECT_USER},
    [COMMAND_USER_UPDATE] = {"user.update", OBJECT_USER},
    [COMMAND_USER_LOGIN] = {"user.login", OBJECT_USER},
    [COMMAND_LOGIN_CHOICES] = {NULL, OBJECT_NONE},
    [COMMAND_USER_APPROVE] = {"user.approve", OBJECT_USER},
    [COMMAND_USER_SUSPEND] = {"user.suspend", OBJECT_USER},
    [COMMAND_USER_RESTORE] = {"user.restore", OBJECT_USER},
    [COMMAND_USER_INVITE_CREATE] = {"user_invite.create", OBJECT_USER_INVITE},
    [COMMAND_USER_INVITE_REVOKE] = {"user_invite.revoke", OBJECT_USER_INVITE},
    [COMMAND_USER_INVITE_ACCEPT] = {"user_invite.accept", OBJECT_USER},
    [COMMAND_USER_DELETE] = {"user.delete", OBJECT_USER},
    [COMMAND_AUTH_KEY_CREATE] = {"auth_key.create", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_EXPIRE] = {"auth_key.expire", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_REVOKE] = {"auth_key.revoke", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_DELETE] = {"auth_key.delete", OBJECT_AUTH_KEY},
    [COMMAND_API_KEY_CREATE] = {"api_key.create", OBJECT_API_KEY},
    [COMMAND_API_KEY_EXPIRE] = {"api_key.expire", OBJECT_API_KEY},
    [COMMAND_API_KEY_DELETE] = {"api_key.delete", OBJECT_API_KEY},
    [COMMAND_OAUTH_CLIENT_CREATE] = {"oauth_client.create", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_CLIENT_UPDATE] = {"oauth_client.update", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_CLIENT_DELETE] = {"oauth_client.delete", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_TOKEN_CREATE] = {"oauth_token.create", OBJECT_OAUTH_TOKEN},
    [COMMAND_SESSION_CREATE] = {"session.create", OBJECT_SESSION},
    [COMMAND_SESSION_DELETE] = {"session.delete", OBJECT_SESSION},
    [COMMAND_REGISTER] = {"node.register", OBJECT_NODE},
    [COMMAND_REGISTER_APPROVE] = {"node.approve", OBJECT_NODE},
    [COMMAND_REGISTER_FABRICATE] = {"registration.fabricate", OBJECT_REGISTRATION},
    [COMMAND_REGISTER_REJECT] = {"registration.reject", OBJECT_REGISTRATION},
    [COMMAND_NODE_RENAME] = {"node.rename", OBJECT_NODE},
    [COMMAND_NODE_DELETE] = {"node.delete", OBJECT_NODE},
    [COMMAND_NODE_EXPIRE] = {"node.expire", OBJECT_NODE},
    [COMMAND_NODE_MOVE] = {"node.move", OBJECT_NODE},
    [COMMAND_NODE_TAG] = {"node.tag", OBJECT_NODE},
    /* The other one is that of a registration. */
    [COMMAND_NODE_APPROVE] = {"node.approve_device", OBJECT_NODE},
    [COMMAND_NODE_APPROVE_ROUTES] = {"node.approve_routes", OBJECT_NODE},
    [COMMAND_NODE_ADDRESS] = {"node.address", OBJECT_NODE},
    [COMMAND_NODE_ATTRIBUTE_SET] = {"node.attribute_set", OBJECT_NODE},
    [COMMAND_NODE_ATTRIBUTE_DELETE] = {"node.attribute_delete", OBJECT_NODE},
    [COMMAND_NODES_BACKFILL] = {"nodes.backfill", OBJECT_TAILNET},
    [COMMAND_SHARE_CREATE] = {"share.create", OBJECT_SHARE},
    [COMMAND_SHARE_ACCEPT] = {"share.accept", OBJECT_SHARE},
    [COMMAND_SHARE_UPDATE] = {"share.update", OBJECT_SHARE},
    [COMMAND_SHARE_REVOKE] = {"share.revoke", OBJECT_SHARE},
    [COMMAND_SHARE_INVITE_CREATE] = {"share_invite.create", OBJECT_SHARE_INVITE},
    [COMMAND_SHARE_INVITE_REVOKE] = {"share_invite.revoke", OBJECT_SHARE_INVITE},
    [COMMAND_SHARE_INVITE_ACCEPT] = {"share_invite.accept", OBJECT_SHARE},
    [COMMAND_WEBHOOK_CREATE] = {"webhook.create", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_UPDATE] = {"webhook.update", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_ROTATE] = {"webhook.rotate", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_DELETE] = {"webhook.delete", OBJECT_WEBHOOK},
    [COMMAND_TICK] = {NULL, OBJECT_NONE},
};

/* ---- Objects as JSON ---- */

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

/* "" for NULL. */
static struct str object_json(enum object kind, const void *object)
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

static struct str object_name(enum object kind, const void *object)
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

/* ---- Finding the object ---- */

static const void *find(enum object kind, uint64_t id, const struct tailnet_view *view,
                        const struct api_key_set *keys)
{
    if (is_api_key(kind))
        return keys ? api_key_set_find(keys, id) : NULL;
    if (!view)
        return NULL;
    switch (kind) {
    case OBJECT_TAILNET:
    case OBJECT_DNS:
    case OBJECT_POLICY:
        return view_info(view)->id == id ? view_info(view) : NULL;
    case OBJECT_USER:
        return view_user_find(view, id);
    case OBJECT_AUTH_KEY:
        return view_auth_key_find(view, id);
    case OBJECT_NODE:
        return view_node_find(view, id);
    case OBJECT_WEBHOOK:
        return view_webhook_find(view, id);
    case OBJECT_SHARE:
        return view_share_find(view, id);
    case OBJECT_SHARE_INVITE:
        return view_share_invite_find(view, id);
    case OBJECT_USER_INVITE:
        return view_user_invite_find(view, id);
    case OBJECT_API_KEY:
    case OBJECT_OAUTH_CLIENT:
    case OBJECT_OAUTH_TOKEN:
    case OBJECT_SESSION:
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    return NULL;
}

const char *audit_action(enum command_type type)
{
    return (size_t)type < ARRAY_LEN(commands) ? commands[type].action : NULL;
}

static const char *action_of(const struct command *c)
{
    return audit_action(c->type);
}

/* Of the command: an invitation's is said by its secret. */
static tailnet_id tailnet_of(const struct domain *d, const struct command *c)
{
    const struct user_invite *i = c->type == COMMAND_USER_INVITE_ACCEPT
                                      ? domain_user_invite_find(d, c->secret, c->now_ms)
                                      : NULL;

    return i ? i->tailnet : c->tailnet;
}

void audit_note_begin(struct audit_note *n, struct domain *d, const struct command *c)
{
    const struct node *holder = NULL;

    *n = (struct audit_note){0};
    if (!action_of(c))
        return;
    n->view = domain_view(d, tailnet_of(d, c));
    n->keys = domain_api_keys(d);
    if (c->type == COMMAND_REGISTER) {
        holder = domain_node_by_key(d, &c->reg->key);
        if (!holder)
            holder = domain_node_by_key(d, &c->reg->old_key);
        n->node = holder ? node_ref(holder) : NULL;
    }
}

static void note_fini(struct audit_note *n)
{
    view_unref(n->view);
    api_key_set_unref(n->keys);
    node_unref(n->node);
    *n = (struct audit_note){0};
}

/* ---- The entry ---- */

struct noted {
    const char *action;
    enum object kind;
    uint64_t id;
    const void *before, *after; /* borrowed */
    struct str name;
    bool is_owner; /* of a share: whose half it is */
    bool is_other; /* the entry is of the tailnet that the command was not of */
};

/* A machine's own registration: it came, came back, or left. */
static void note_registration(struct noted *e, const struct audit_note *n,
                              const struct command_result *r)
{
    e->id = r->node ? r->node->id : n->node ? n->node->id : 0;
    e->before = n->node;
    e->after = r->node;
    /* It came back with another key than it had. */
    if (!e->before || n->node->id != e->id)
        e->before = find(OBJECT_NODE, e->id, n->view, NULL);
    if (r->outcome == REGISTER_LOGGED_OUT)
        e->action = "node.logout";
    else if (r->outcome != REGISTER_DONE)
        e->action = NULL;
    else if (e->before)
        e->action = "node.login";
}

struct str audit_cut(struct str s)
{
    struct str name = str_sub(s, 0, 255);

    while (name.len > 0 && !str_is_utf8(name) && name.len + 4 > MIN(s.len, (size_t)255))
        name.len--;
    return str_copy(name);
}

/* All that is kept of a tailnet that was deleted. */
static struct str name_json(struct str name)
{
    struct buf out = BUF(1024);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    json_field_str(&w, STR("name"), name);
    json_end_object(&w);
    return buf_take(&out);
}

static struct str json_of(struct domain *d, const struct noted *n, const void *object)
{
    if (n->kind == OBJECT_SHARE)
        return audit_share_json(d, object, n->is_owner);
    if (n->kind == OBJECT_SHARE_INVITE)
        return audit_share_invite_json(d, object);
    if (n->kind == OBJECT_USER_INVITE)
        return audit_user_invite_json(d, object);
    return object_json(n->kind, object);
}

/* Of whom it is none of the other tailnet's business, it is told the tailnet. */
static struct str author_of(struct domain *d, const struct command *c, const struct noted *n)
{
    AUTO(view_unref) const struct tailnet_view *v = NULL;

    if (!n->is_other || c->origin == ORIGIN_SOCKET || c->origin == ORIGIN_SERVER)
        return audit_cut(c->author);
    v = domain_view(d, c->tailnet);
    return str_printf("tailnet:%.*s", STR_ARG(view_info(v)->name));
}

/* A user and the machines that went with him. */
static struct str user_json(const struct user *u, const struct command_result *r)
{
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    put_user(&w, u);
    json_field_str_list(&w, STR("nodes"), &r->lines);
    json_end_object(&w);
    return take_json(&out);
}

static const struct audit_entry *entry_of(struct domain *d, const struct command *c,
                                          const struct command_result *r, const struct noted *n)
{
    struct audit_entry *e = audit_entry_new();

    e->before = json_of(d, n, n->before);
    e->after = json_of(d, n, n->after);
    if (c->type == COMMAND_NODES_BACKFILL && r->lines.len > 0) {
        struct buf count = BUF(64);

        buf_printf(&count, "{\"changes\":%zu}", r->lines.len);
        str_free(&e->before);
        str_free(&e->after);
        e->after = buf_take(&count);
    }
    if (c->type == COMMAND_TAILNET_DELETE) {
        str_free(&e->before);
        e->before = name_json(n->name);
    }
    if (c->type == COMMAND_USER_DELETE && n->kind == OBJECT_USER && r->lines.len > 0) {
        str_free(&e->before);
        e->before = user_json(n->before, r);
    }
    if (n->kind != OBJECT_REGISTRATION && str_eq(e->before, e->after)) {
        audit_entry_unref(e);
        return NULL;
    }
    e->id = domain_take_audit_id(d);
    e->created_ms = c->now_ms;
    e->origin = c->origin;
    e->author = author_of(d, c, n);
    e->from = n->is_other ? STR_NONE : audit_cut(c->from);
    e->action = str_copy(str_from(n->action));
    e->object = str_copy(str_from(object_names[n->kind]));
    e->object_id = n->id;
    e->object_name = audit_cut(n->name);
    /* All entries of a tailnet go with it; that it went is the server's to know. */
    if (c->type == COMMAND_TAILNET_DELETE)
        e->tailnet = 0;
    else if (is_api_key(n->kind))
        e->tailnet = n->after ? ((const struct api_key *)n->after)->tailnet
                              : ((const struct api_key *)n->before)->tailnet;
    else if (n->is_other) {
        const struct share *s = n->after ? n->after : n->before;

        e->tailnet = n->is_owner ? s->owner : s->guest;
    } else if (r->view)
        e->tailnet = view_info(r->view)->id;
    return e;
}

static struct str invite_name(struct domain *d, const struct share_invite *i)
{
    const struct node *node = i ? domain_node_by_id(d, i->node) : NULL;

    return node ? node->given_name : STR_NONE;
}

const struct audit_entry *audit_note_end(struct audit_note *n, struct domain *d,
                                         const struct command *c, const struct command_result *r)
{
    const struct audit_entry *entry = NULL, *other = NULL;
    struct noted e = {.action = action_of(c)};

    if (!e.action || !r) {
        note_fini(n);
        return NULL;
    }
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    e.kind = commands[c->type].object;
    e.id = r->id;
    e.before = find(e.kind, e.id, n->view, n->keys);
    /* A tailnet that was deleted is still what the result shows. */
    if (c->type != COMMAND_TAILNET_DELETE)
        e.after = find(e.kind, e.id, r->view, keys);
    if (c->type == COMMAND_REGISTER)
        note_registration(&e, n, r);
    if (c->type == COMMAND_NODE_APPROVE && c->revokes)
        e.action = "node.hold_device";
    e.name =
        e.kind == OBJECT_REGISTRATION ? c->name : object_name(e.kind, e.after ? e.after : e.before);
    if (e.kind == OBJECT_SHARE) {
        const struct share *s = e.after ? e.after : e.before;

        e.is_owner = s && r->view && s->owner == view_info(r->view)->id;
        e.name = audit_share_name(d, s, e.is_owner);
    }
    if (e.kind == OBJECT_SHARE_INVITE)
        e.name = invite_name(d, e.after ? e.after : e.before);
    if (e.action)
        entry = entry_of(d, c, r, &e);
    if (entry && e.kind == OBJECT_SHARE) {
        e.is_owner = !e.is_owner;
        e.is_other = true;
        e.name = audit_share_name(d, e.after ? e.after : e.before, e.is_owner);
        other = entry_of(d, c, r, &e);
    }
    note_fini(n);
    n->other = other;
    return entry;
}

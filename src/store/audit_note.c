/*
 * What each command is called in the log, and what of an object is worth keeping: what
 * administrators set, not what machines say of themselves. No secret and no hash is among it.
 */

#include "store/audit_note.h"

#include "crypto/hash.h"
#include "ip/prefix.h"
#include "json/writer.h"

enum object {
    OBJECT_NONE,
    OBJECT_TAILNET,
    OBJECT_POLICY,
    OBJECT_USER,
    OBJECT_AUTH_KEY,
    OBJECT_API_KEY,
    OBJECT_NODE,
    OBJECT_REGISTRATION
};

static const char *const object_names[] = {
    [OBJECT_NONE] = "",     [OBJECT_TAILNET] = "tailnet",           [OBJECT_POLICY] = "policy",
    [OBJECT_USER] = "user", [OBJECT_AUTH_KEY] = "auth_key",         [OBJECT_API_KEY] = "api_key",
    [OBJECT_NODE] = "node", [OBJECT_REGISTRATION] = "registration",
};

static const struct {
    const char *action; /* NULL: not for the log */
    enum object object;
} commands[] = {
    [COMMAND_TAILNET_CREATE] = {"tailnet.create", OBJECT_TAILNET},
    [COMMAND_TAILNET_UPDATE] = {"tailnet.update", OBJECT_TAILNET},
    [COMMAND_TAILNET_DELETE] = {"tailnet.delete", OBJECT_TAILNET},
    [COMMAND_POLICY_SET] = {"policy.set", OBJECT_POLICY},
    [COMMAND_USER_CREATE] = {"user.create", OBJECT_USER},
    [COMMAND_USER_RENAME] = {"user.rename", OBJECT_USER},
    [COMMAND_USER_UPDATE] = {"user.update", OBJECT_USER},
    [COMMAND_USER_LOGIN] = {"user.login", OBJECT_USER},
    [COMMAND_USER_DELETE] = {"user.delete", OBJECT_USER},
    [COMMAND_AUTH_KEY_CREATE] = {"auth_key.create", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_EXPIRE] = {"auth_key.expire", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_REVOKE] = {"auth_key.revoke", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_DELETE] = {"auth_key.delete", OBJECT_AUTH_KEY},
    [COMMAND_API_KEY_CREATE] = {"api_key.create", OBJECT_API_KEY},
    [COMMAND_API_KEY_EXPIRE] = {"api_key.expire", OBJECT_API_KEY},
    [COMMAND_API_KEY_DELETE] = {"api_key.delete", OBJECT_API_KEY},
    [COMMAND_REGISTER] = {"node.register", OBJECT_NODE},
    [COMMAND_REGISTER_APPROVE] = {"node.approve", OBJECT_NODE},
    [COMMAND_REGISTER_REJECT] = {"registration.reject", OBJECT_REGISTRATION},
    [COMMAND_NODE_RENAME] = {"node.rename", OBJECT_NODE},
    [COMMAND_NODE_DELETE] = {"node.delete", OBJECT_NODE},
    [COMMAND_NODE_EXPIRE] = {"node.expire", OBJECT_NODE},
    [COMMAND_NODE_MOVE] = {"node.move", OBJECT_NODE},
    [COMMAND_NODE_TAG] = {"node.tag", OBJECT_NODE},
    [COMMAND_NODE_APPROVE_ROUTES] = {"node.approve_routes", OBJECT_NODE},
    [COMMAND_NODES_BACKFILL] = {"nodes.backfill", OBJECT_TAILNET},
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
    for (size_t i = 0; i < n; i++)
        json_str(w, r[i].addr);
    json_end_array(w);
}

static void put_dns(struct json_writer *w, const struct tailnet_info *i)
{
    json_field_object(w, STR("dns"));
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
    static const char *const roles[] = {
        [ROLE_MEMBER] = "member",     [ROLE_ADMIN] = "admin",
        [ROLE_OWNER] = "owner",       [ROLE_NETWORK_ADMIN] = "network-admin",
        [ROLE_IT_ADMIN] = "it-admin", [ROLE_BILLING_ADMIN] = "billing-admin",
        [ROLE_AUDITOR] = "auditor",
    };

    json_field_str(w, STR("name"), u->name);
    json_field_str(w, STR("displayName"), u->display_name);
    json_field_str(w, STR("email"), u->email);
    json_field_str(w, STR("provider"), u->provider);
    json_field_str(w, STR("providerId"), u->provider_id);
    json_field_str(w, STR("role"), str_from(roles[u->role]));
    json_field_str_list(w, STR("groups"), &u->groups);
}

static void put_auth_key(struct json_writer *w, const struct auth_key *k)
{
    json_field_str(w, STR("prefix"), k->prefix);
    json_field_u64(w, STR("user"), k->user);
    json_field_str_list(w, STR("tags"), &k->tags);
    json_field_bool(w, STR("reusable"), k->reusable);
    json_field_bool(w, STR("ephemeral"), k->ephemeral);
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
    put_time(w, STR("expiry"), n->expiry_ms);
    json_field_bool(w, STR("ephemeral"), n->ephemeral);
    json_field_hex(w, STR("nodeKey"), STR("nodekey:"), str_bytes(&n->key, sizeof(n->key)));
    json_field_hex(w, STR("machineKey"), STR("mkey:"), str_bytes(&n->machine, sizeof(n->machine)));
    buf_fini(&text);
}

/* "" for NULL; a larger object says only that it is one. */
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
    case OBJECT_USER:
        put_user(&w, object);
        break;
    case OBJECT_AUTH_KEY:
        put_auth_key(&w, object);
        break;
    case OBJECT_API_KEY:
        put_api_key(&w, object);
        break;
    case OBJECT_NODE:
        put_node(&w, object);
        break;
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    json_end_object(&w);
    if (buf_is_full(&out)) {
        buf_fini(&out);
        return str_copy(STR("{\"tooLarge\":true}"));
    }
    return buf_take(&out);
}

static struct str object_name(enum object kind, const void *object)
{
    if (!object)
        return STR_NONE;
    switch (kind) {
    case OBJECT_TAILNET:
    case OBJECT_POLICY:
        return ((const struct tailnet_info *)object)->name;
    case OBJECT_USER:
        return ((const struct user *)object)->name;
    case OBJECT_AUTH_KEY:
        return ((const struct auth_key *)object)->prefix;
    case OBJECT_API_KEY:
        return ((const struct api_key *)object)->prefix;
    case OBJECT_NODE:
        return ((const struct node *)object)->given_name;
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
    if (kind == OBJECT_API_KEY)
        return keys ? api_key_set_find(keys, id) : NULL;
    if (!view)
        return NULL;
    switch (kind) {
    case OBJECT_TAILNET:
    case OBJECT_POLICY:
        return view_info(view)->id == id ? view_info(view) : NULL;
    case OBJECT_USER:
        return view_user_find(view, id);
    case OBJECT_AUTH_KEY:
        return view_auth_key_find(view, id);
    case OBJECT_NODE:
        return view_node_find(view, id);
    case OBJECT_API_KEY:
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    return NULL;
}

static const char *action_of(const struct command *c)
{
    return (size_t)c->type < ARRAY_LEN(commands) ? commands[c->type].action : NULL;
}

void audit_note_begin(struct audit_note *n, struct domain *d, const struct command *c)
{
    const struct node *holder = NULL;

    *n = (struct audit_note){0};
    if (!action_of(c))
        return;
    n->view = domain_view(d, c->tailnet);
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

static struct str cut(struct str s)
{
    struct str name = str_sub(s, 0, 255);

    while (name.len > 0 && !str_is_utf8(name) && name.len + 4 > MIN(s.len, (size_t)255))
        name.len--;
    return str_copy(name);
}

static const struct audit_entry *entry_of(struct domain *d, const struct command *c,
                                          const struct command_result *r, const struct noted *n)
{
    struct audit_entry *e = audit_entry_new();

    e->before = object_json(n->kind, n->before);
    e->after = object_json(n->kind, n->after);
    if (c->type == COMMAND_NODES_BACKFILL && r->lines.len > 0) {
        struct buf count = BUF(64);

        buf_printf(&count, "{\"changes\":%zu}", r->lines.len);
        str_free(&e->before);
        str_free(&e->after);
        e->after = buf_take(&count);
    }
    if (n->kind != OBJECT_REGISTRATION && str_eq(e->before, e->after)) {
        audit_entry_unref(e);
        return NULL;
    }
    e->id = domain_take_audit_id(d);
    e->created_ms = c->now_ms;
    e->origin = c->origin;
    e->author = cut(c->author);
    e->from = cut(c->from);
    e->action = str_copy(str_from(n->action));
    e->object = str_copy(str_from(object_names[n->kind]));
    e->object_id = n->id;
    e->object_name = cut(n->name);
    if (n->kind == OBJECT_API_KEY)
        e->tailnet = n->after ? ((const struct api_key *)n->after)->tailnet
                              : ((const struct api_key *)n->before)->tailnet;
    else if (r->view)
        e->tailnet = view_info(r->view)->id;
    return e;
}

const struct audit_entry *audit_note_end(struct audit_note *n, struct domain *d,
                                         const struct command *c, const struct command_result *r)
{
    const struct audit_entry *entry = NULL;
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
    e.name =
        e.kind == OBJECT_REGISTRATION ? c->name : object_name(e.kind, e.after ? e.after : e.before);
    if (e.action)
        entry = entry_of(d, c, r, &e);
    note_fini(n);
    return entry;
}

/* Users, nodes and auth keys as REST v1 shows them: no member is ever left out (headscale.md 3.2).
 */

#include "api/api_internal.h"

#define LEGACY_SHOWN 12

void api_field_id(struct json_writer *w, struct str key, uint64_t id)
{
    json_key(w, key);
    json_begin_plain(w);
    buf_put_u64(w->out, id);
    json_end_plain(w);
}

static void field_time(struct json_writer *w, struct str key, int64_t unix_ms)
{
    if (unix_ms == 0)
        json_field_null(w, key);
    else
        json_field_time(w, key, unix_ms);
}

void api_field_key(struct json_writer *w, struct str key, const char *prefix,
                   const uint8_t bytes[32])
{
    json_field_hex(w, key, str_from(prefix), str_bytes(bytes, 32));
}

void api_field_prefixes(struct json_writer *w, struct str key, const struct ip_prefix *p, size_t n)
{
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++) {
        json_begin_plain(w);
        ip_prefix_put(w->out, p[i]);
        json_end_plain(w);
    }
    json_end_array(w);
}

void api_put_user(struct json_writer *w, const struct user *u)
{
    struct buf name = BUF(1024);

    json_begin_object(w);
    api_field_id(w, STR("id"), u ? u->id : USER_TAGGED_DEVICES);
    json_field_str(w, STR("name"),
                   !u            ? STR("tagged-devices")
                   : u->name.len ? u->name
                                 : user_login_name(u, &name));
    if (u)
        json_field_time(w, STR("createdAt"), u->created_ms);
    else
        json_field_str(w, STR("createdAt"), STR("0001-01-01T00:00:00Z"));
    json_field_str(w, STR("displayName"), u ? u->display_name : STR("Tagged Devices"));
    json_field_str(w, STR("email"), u ? u->email : STR_NONE);
    json_field_str(w, STR("providerId"), u ? u->provider_id : STR_NONE);
    json_field_str(w, STR("provider"), u ? u->provider : STR_NONE);
    json_field_str(w, STR("profilePicUrl"), u ? u->picture_url : STR_NONE);
    json_field_str(w, STR("role"), user_role_name(u ? u->role : ROLE_MEMBER));
    json_field_str(w, STR("status"), user_status_name(u ? u->status : USER_ACTIVE));
    json_end_object(w);
    buf_fini(&name);
}

static struct str method_name(enum register_method method)
{
    static const struct str names[] = {
        [REGISTER_UNSPECIFIED] = STR_INIT("REGISTER_METHOD_UNSPECIFIED"),
        [REGISTER_AUTH_KEY] = STR_INIT("REGISTER_METHOD_AUTH_KEY"),
        [REGISTER_CLI] = STR_INIT("REGISTER_METHOD_CLI"),
        [REGISTER_OIDC] = STR_INIT("REGISTER_METHOD_OIDC"),
    };

    return names[method];
}

/* What it routes now: the subnets it is primary for and, if it is an exit node, everything. */
static void field_subnet_routes(struct json_writer *w, const struct node *n)
{
    json_field_array(w, STR("subnetRoutes"));
    for (size_t i = 0; i < n->n_serving; i++) {
        json_begin_plain(w);
        ip_prefix_put(w->out, n->serving[i]);
        json_end_plain(w);
    }
    if (n->exit_node) {
        json_str(w, STR("0.0.0.0/0"));
        json_str(w, STR("::/0"));
    }
    json_end_array(w);
}

void api_field_addresses(struct json_writer *w, struct str key, const struct node *n)
{
    json_field_array(w, key);
    for (int i = 0; i < 2; i++) {
        struct ip_addr addr = i == 0 ? n->v4 : n->v6;

        if (!ip_addr_is_set(addr))
            continue;
        json_begin_plain(w);
        ip_addr_put(w->out, addr);
        json_end_plain(w);
    }
    json_end_array(w);
}

/* Why it has no access; none: it has. */
static void field_holds(struct json_writer *w, const struct node *n, const struct user *user)
{
    bool is_suspended = user && user->status == USER_SUSPENDED;

    json_field_array(w, STR("holds"));
    if (n->holds & HOLD_DEVICE)
        json_str(w, STR("device-needs-approval"));
    if (n->holds & HOLD_USER)
        json_str(w, is_suspended ? STR("user-suspended") : STR("user-needs-approval"));
    json_end_array(w);
}

void api_put_node(struct json_writer *w, const struct tailnet_view *view, const struct node *n)
{
    static const struct str_list none = {0};
    const struct auth_key *key = n->auth_key ? view_auth_key_find(view, n->auth_key) : NULL;
    const struct user *user = n->user ? view_user_find(view, n->user) : NULL;

    json_begin_object(w);
    api_field_id(w, STR("id"), n->id);
    api_field_key(w, STR("machineKey"), "mkey:", n->machine.b);
    api_field_key(w, STR("nodeKey"), "nodekey:", n->key.b);
    api_field_key(w, STR("discoKey"), "discokey:", n->disco.b);
    api_field_addresses(w, STR("ipAddresses"), n);
    json_field_str(w, STR("name"), n->facts->hostname);
    json_key(w, STR("user"));
    api_put_user(w, user);
    field_time(w, STR("lastSeen"), n->last_seen_ms);
    field_time(w, STR("expiry"), n->expiry_ms);
    json_key(w, STR("preAuthKey"));
    if (key)
        api_put_auth_key(w, view, key, STR_NONE);
    else
        json_null(w);
    json_field_time(w, STR("createdAt"), n->created_ms);
    json_field_str(w, STR("registerMethod"), method_name(n->method));
    json_field_str(w, STR("givenName"), n->given_name);
    json_field_bool(w, STR("online"), n->online);
    api_field_prefixes(w, STR("approvedRoutes"), n->approved, n->n_approved);
    api_field_prefixes(w, STR("availableRoutes"), n->facts->routes, n->facts->n_routes);
    field_subnet_routes(w, n);
    json_field_str_list(w, STR("tags"), &n->tags);
    json_field_str_list(w, STR("forcedTags"), &n->tags);
    json_field_str_list(w, STR("validTags"), &none);
    json_field_str_list(w, STR("invalidTags"), &none);
    json_field_bool(w, STR("ephemeral"), n->ephemeral);
    json_field_bool(w, STR("expired"), n->expired);
    json_field_bool(w, STR("approved"), (n->holds & HOLD_DEVICE) == 0);
    field_holds(w, n, user);
    json_end_object(w);
}

/* Keys of headscale before 0.28 are imported whole and have no prefix; the half of one opens
 * nothing.
 */
static void put_masked(struct buf *out, const struct auth_key *k)
{
    struct str legacy = str_sub(k->legacy, 0, MIN(k->legacy.len / 2, (size_t)LEGACY_SHOWN));

    if (k->prefix.len > 0) {
        buf_printf(out, "hskey-auth-%.*s-***", STR_ARG(k->prefix));
        return;
    }
    for (size_t i = 0; i < legacy.len; i++)
        buf_put_char(out, hex_digit(legacy.ptr[i]) >= 0 ? legacy.ptr[i] : '?');
    buf_put(out, STR("***"));
}

void api_put_auth_key(struct json_writer *w, const struct tailnet_view *view,
                      const struct auth_key *k, struct str secret)
{
    const struct user *user = k->user ? view_user_find(view, k->user) : NULL;

    json_begin_object(w);
    json_key(w, STR("user"));
    if (user)
        api_put_user(w, user);
    else
        json_null(w);
    api_field_id(w, STR("id"), k->id);
    json_key(w, STR("key"));
    if (secret.len > 0) {
        json_str(w, secret);
    } else {
        json_begin_plain(w);
        put_masked(w->out, k);
        json_end_plain(w);
    }
    json_field_bool(w, STR("reusable"), k->reusable);
    json_field_bool(w, STR("ephemeral"), k->ephemeral);
    json_field_bool(w, STR("used"), k->used);
    field_time(w, STR("expiration"), k->expiry_ms);
    json_field_time(w, STR("createdAt"), k->created_ms);
    json_field_str_list(w, STR("aclTags"), &k->tags);
    json_field_bool(w, STR("preauthorized"), k->preauthorized);
    json_end_object(w);
}

void api_put_api_key(struct json_writer *w, const struct api_key *k)
{
    struct buf masked = BUF(256);

    json_begin_object(w);
    api_field_id(w, STR("id"), k->id);
    /* Without the tail of stars: consoles find their own key by what it begins with. */
    json_key(w, STR("prefix"));
    json_begin_plain(w);
    api_key_put_masked(&masked, k);
    struct str shown = buf_str(&masked);
    while (str_ends(shown, STR("*")) || str_ends(shown, STR("-")))
        shown.len--;
    buf_put(w->out, shown);
    json_end_plain(w);
    buf_fini(&masked);
    /* They also want a time that is to come. */
    if (k->expiry_ms != 0)
        json_field_time(w, STR("expiration"), k->expiry_ms);
    else
        json_field_str(w, STR("expiration"), STR("9999-12-31T23:59:59Z"));
    json_field_time(w, STR("createdAt"), k->created_ms);
    field_time(w, STR("lastSeen"), k->last_seen_ms);
    json_field_str(w, STR("description"), k->description);
    json_field_str_list(w, STR("scopes"), &k->scopes);
    api_field_id(w, STR("tailnetId"), k->tailnet);
    json_end_object(w);
}

/*
 * Rows to objects.
 *
 * A row is read through a cursor whose first complaint sticks: the readers below it then give zero
 * values, and the whole row is refused once, at its end, naming table, id and column. The order of
 * the columns is the order of the names in schema.c.
 */

#include "core/num.h"
#include "store/store_internal.h"

struct row_reader {
    const char *table;
    const struct db_value *columns;
    size_t n;
    size_t at;
    int64_t id;
    int status; /* the first complaint */
    struct err *err;
};

static struct row_reader reader_of(const char *table, const struct db_value *columns, size_t n,
                                   struct err *err)
{
    struct row_reader r = {.table = table, .columns = columns, .n = n, .err = err};

    if (n > 0 && columns[0].type == DB_INT)
        r.id = columns[0].i;
    return r;
}

static void complain(struct row_reader *r, const char *column, const char *what)
{
    if (r->status == 0)
        r->status = err_set(r->err, ERR_INVALID, "%s row %lld: %s %s", r->table, (long long)r->id,
                            column, what);
}

static struct db_value get(struct row_reader *r, const char *column, enum db_type type)
{
    struct db_value empty = {.type = type};

    if (r->at >= r->n) {
        complain(r, column, "is missing");
        return empty;
    }
    if (r->columns[r->at].type != type) {
        complain(r, column, "is of another type");
        r->at++;
        return empty;
    }
    return r->columns[r->at++];
}

static int64_t get_range(struct row_reader *r, const char *column, int64_t lo, int64_t hi)
{
    int64_t v = get(r, column, DB_INT).i;

    if (v < lo || v > hi) {
        complain(r, column, "is out of range");
        return lo;
    }
    return v;
}

static int64_t get_i64(struct row_reader *r, const char *column)
{
    return get_range(r, column, INT64_MIN, INT64_MAX);
}

static uint64_t get_id(struct row_reader *r, const char *column)
{
    return (uint64_t)get_range(r, column, 1, (int64_t)NUM_JSON_MAX - 1);
}

static uint64_t get_id_or_null(struct row_reader *r, const char *column)
{
    if (r->at < r->n && r->columns[r->at].type == DB_NULL) {
        r->at++;
        return 0;
    }
    return get_id(r, column);
}

static bool get_bool(struct row_reader *r, const char *column)
{
    return get_range(r, column, 0, 1) == 1;
}

static struct str get_text(struct row_reader *r, const char *column)
{
    return str_copy(get(r, column, DB_TEXT).s);
}

static void get_bytes(struct row_reader *r, const char *column, void *out, size_t n)
{
    struct str bytes = get(r, column, DB_BLOB).s;

    if (bytes.len != n)
        complain(r, column, "has the wrong length");
    else
        memcpy(out, bytes.ptr, n);
}

static struct ip_addr get_addr(struct row_reader *r, const char *column, uint8_t family)
{
    struct ip_addr addr = {0};

    if (r->at < r->n && r->columns[r->at].type == DB_NULL) {
        r->at++;
        return addr;
    }
    if (!ip_addr_from_bytes(get(r, column, DB_BLOB).s, &addr) || addr.family != family)
        complain(r, column, "is no address of its family");
    return addr;
}

static struct ip_prefix get_prefix(struct row_reader *r, const char *column, uint8_t family)
{
    struct ip_prefix p = {0};
    struct str bytes;

    if (r->at < r->n && r->columns[r->at].type == DB_NULL) {
        r->at++;
        return p;
    }
    bytes = get(r, column, DB_BLOB).s;
    if (bytes.len == 0 || !ip_addr_from_bytes(str_sub(bytes, 0, bytes.len - 1), &p.addr) ||
        p.addr.family != family || (uint8_t)bytes.ptr[bytes.len - 1] > ip_addr_width(p.addr)) {
        complain(r, column, "is no prefix of its family");
        return (struct ip_prefix){0};
    }
    p.bits = (uint8_t)bytes.ptr[bytes.len - 1];
    return p;
}

static void get_strings(struct row_reader *r, const char *column, struct str_list *out)
{
    if (!list_to_strings(get(r, column, DB_TEXT).s, out))
        complain(r, column, "is no list of texts");
}

static void get_prefixes(struct row_reader *r, const char *column, struct ip_prefix **items,
                         size_t *n)
{
    if (!list_to_prefixes(get(r, column, DB_TEXT).s, items, n))
        complain(r, column, "is no list of prefixes");
}

/* After the last column. */
static int finish(struct row_reader *r)
{
    if (r->status == 0 && r->at != r->n)
        complain(r, "the row", "has too many columns");
    return r->status;
}

int row_to_info(const struct db_value *columns, size_t n, struct tailnet_info **out,
                uint64_t *revision, struct err *err)
{
    struct row_reader r = reader_of("tailnets", columns, n, err);
    struct tailnet_info *info = tailnet_info_new();
    uint64_t reached;

    info->id = get_id(&r, "id");
    reached = (uint64_t)get_range(&r, "revision", 0, INT64_MAX);
    info->name = get_text(&r, "name");
    info->base_domain = get_text(&r, "base_domain");
    info->domain = get_text(&r, "domain");
    info->created_ms = get_i64(&r, "created_ms");
    info->prefix_v4 = get_prefix(&r, "prefix_v4", IP_V4);
    info->prefix_v6 = get_prefix(&r, "prefix_v6", IP_V6);
    info->allocation =
        (enum address_allocation)get_range(&r, "allocation", ADDRESS_SEQUENTIAL, ADDRESS_RANDOM);
    info->node_expiry_ms = get_i64(&r, "node_expiry_ms");
    info->ephemeral_timeout_ms = get_i64(&r, "ephemeral_timeout_ms");
    info->taildrop = get_bool(&r, "taildrop");
    info->logtail = get_bool(&r, "logtail");
    info->auto_update = get_bool(&r, "auto_update");
    info->randomize_client_port = get_bool(&r, "randomize_client_port");
    if (!list_to_dns(get(&r, "dns", DB_TEXT).s, info))
        complain(&r, "dns", "is damaged");
    if (!list_to_regions(get(&r, "regions", DB_TEXT).s, &info->regions, &info->n_regions))
        complain(&r, "regions", "is damaged");
    if (!list_to_settings(get(&r, "settings", DB_TEXT).s, info))
        complain(&r, "settings", "are damaged");
    info->policy = get_text(&r, "policy");
    info->policy_author = get_text(&r, "policy author");
    info->policy_updated_ms = get_i64(&r, "policy created_ms");
    if (finish(&r) < 0) {
        tailnet_info_unref(info);
        return r.status;
    }
    *out = info;
    *revision = reached;
    return 0;
}

int row_to_user(const struct db_value *columns, size_t n, struct user **out, struct err *err)
{
    struct row_reader r = reader_of("users", columns, n, err);
    struct user *u = user_new();

    u->id = get_id(&r, "id");
    u->tailnet = get_id(&r, "tailnet");
    u->name = get_text(&r, "name");
    u->display_name = get_text(&r, "display_name");
    u->email = get_text(&r, "email");
    u->picture_url = get_text(&r, "picture_url");
    u->provider = get_text(&r, "provider");
    u->provider_id = get_text(&r, "provider_id");
    u->role = (enum user_role)get_range(&r, "role", ROLE_MEMBER, ROLE_AUDITOR);
    u->created_ms = get_i64(&r, "created_ms");
    get_strings(&r, "provider_groups", &u->groups);
    u->status = (enum user_status)get_range(&r, "status", USER_ACTIVE, USER_SUSPENDED);
    if (finish(&r) < 0) {
        user_unref(u);
        return r.status;
    }
    *out = u;
    return 0;
}

int row_to_auth_key(const struct db_value *columns, size_t n, struct auth_key **out,
                    struct err *err)
{
    struct row_reader r = reader_of("auth_keys", columns, n, err);
    struct auth_key *k = auth_key_new();

    k->id = get_id(&r, "id");
    k->tailnet = get_id(&r, "tailnet");
    k->user = get_id_or_null(&r, "user_id");
    get_strings(&r, "tags", &k->tags);
    k->prefix = get_text(&r, "prefix");
    get_bytes(&r, "hash", k->hash, sizeof(k->hash));
    k->legacy = get_text(&r, "legacy");
    k->reusable = get_bool(&r, "reusable");
    k->ephemeral = get_bool(&r, "ephemeral");
    k->used = get_bool(&r, "used");
    k->created_ms = get_i64(&r, "created_ms");
    k->expiry_ms = get_i64(&r, "expiry_ms");
    k->description = get_text(&r, "description");
    k->revoked_ms = get_i64(&r, "revoked_ms");
    k->preauthorized = get_bool(&r, "preauthorized");
    if (finish(&r) < 0) {
        auth_key_unref(k);
        return r.status;
    }
    *out = k;
    return 0;
}

static uint32_t get_subscriptions(struct row_reader *r)
{
    struct str_list names = {0};
    uint32_t bits = 0;

    get_strings(r, "subscriptions", &names);
    for (size_t i = 0; i < names.len; i++) {
        enum webhook_event event = EVENT_TEST;

        if (webhook_event_find(names.items[i], &event))
            bits |= BIT(event);
        else
            complain(r, "subscriptions", "names no event");
    }
    str_list_free(&names);
    return bits;
}

int row_to_webhook(const struct db_value *columns, size_t n, struct webhook **out, struct err *err)
{
    struct row_reader r = reader_of("webhooks", columns, n, err);
    struct webhook *h = webhook_new();

    h->id = get_id(&r, "id");
    h->tailnet = get_id(&r, "tailnet");
    h->url = get_text(&r, "url");
    if (!webhook_provider_find(get(&r, "provider", DB_TEXT).s, &h->provider))
        complain(&r, "provider", "is none");
    h->subscriptions = get_subscriptions(&r);
    h->secret = get_text(&r, "secret");
    h->creator = get_text(&r, "creator");
    h->created_ms = get_i64(&r, "created_ms");
    h->modified_ms = get_i64(&r, "modified_ms");
    if (finish(&r) < 0) {
        webhook_unref(h);
        return r.status;
    }
    *out = h;
    return 0;
}

static void get_terms(struct row_reader *r, struct share_terms *out)
{
    if (!list_to_terms(get(r, "terms", DB_TEXT).s, out))
        complain(r, "terms", "are not what was written");
}

int row_to_share(const struct db_value *columns, size_t n, struct share **out, struct err *err)
{
    struct row_reader r = reader_of("shares", columns, n, err);
    struct share *s = share_new();

    s->id = get_id(&r, "id");
    s->owner = get_id(&r, "owner");
    s->node = get_id(&r, "node");
    s->sharer = get_id_or_null(&r, "sharer");
    s->guest = get_id(&r, "guest");
    s->user = get_id_or_null(&r, "user_id");
    get_terms(&r, &s->terms);
    s->created_ms = get_i64(&r, "created_ms");
    s->accepted_ms = get_i64(&r, "accepted_ms");
    s->expiry_ms = get_i64(&r, "expiry_ms");
    if (finish(&r) < 0) {
        share_unref(s);
        return r.status;
    }
    *out = s;
    return 0;
}

int row_to_share_invite(const struct db_value *columns, size_t n, struct share_invite **out,
                        struct err *err)
{
    struct row_reader r = reader_of("share_invites", columns, n, err);
    struct share_invite *i = share_invite_new();

    i->id = get_id(&r, "id");
    i->tailnet = get_id(&r, "tailnet");
    i->node = get_id(&r, "node");
    i->sharer = get_id_or_null(&r, "sharer");
    i->whole_tailnet = get_bool(&r, "whole_tailnet");
    get_terms(&r, &i->terms);
    i->share_expiry_ms = get_i64(&r, "share_expiry_ms");
    get_bytes(&r, "hash", i->hash, sizeof(i->hash));
    i->uses_left = (uint32_t)get_range(&r, "uses_left", 1, UINT32_MAX);
    i->uses = (uint32_t)get_range(&r, "uses", 0, UINT32_MAX);
    i->created_ms = get_i64(&r, "created_ms");
    i->expiry_ms = get_i64(&r, "expiry_ms");
    if (finish(&r) < 0) {
        share_invite_unref(i);
        return r.status;
    }
    *out = i;
    return 0;
}

int row_to_user_invite(const struct db_value *columns, size_t n, struct user_invite **out,
                       struct err *err)
{
    struct row_reader r = reader_of("user_invites", columns, n, err);
    struct user_invite *i = user_invite_new();

    i->id = get_id(&r, "id");
    i->tailnet = get_id(&r, "tailnet");
    i->inviter = get_id_or_null(&r, "inviter");
    i->role = (enum user_role)get_range(&r, "role", ROLE_MEMBER, ROLE_AUDITOR);
    i->email = get_text(&r, "email");
    get_bytes(&r, "hash", i->hash, sizeof(i->hash));
    i->created_ms = get_i64(&r, "created_ms");
    i->expiry_ms = get_range(&r, "expiry_ms", 1, INT64_MAX);
    if (finish(&r) < 0) {
        user_invite_unref(i);
        return r.status;
    }
    *out = i;
    return 0;
}

int row_to_delivery(const struct db_value *columns, size_t n, struct delivery **out,
                    struct err *err)
{
    struct row_reader r = reader_of("webhook_deliveries", columns, n, err);
    struct delivery *d = delivery_new();
    struct str event;

    d->id = get_id(&r, "id");
    d->webhook = get_id(&r, "webhook");
    d->tailnet = get_id(&r, "tailnet");
    event = get(&r, "event", DB_TEXT).s;
    d->event = EVENT_TEST;
    if (!str_eq(event, STR("test")) && !webhook_event_find(event, &d->event))
        complain(&r, "event", "is none");
    d->created_ms = get_i64(&r, "created_ms");
    d->body = get_text(&r, "body");
    if (finish(&r) < 0) {
        delivery_unref(d);
        return r.status;
    }
    *out = d;
    return 0;
}

int row_to_api_key(const struct db_value *columns, size_t n, struct api_key **out, struct err *err)
{
    struct row_reader r = reader_of("api_keys", columns, n, err);
    struct api_key *k = api_key_new();

    k->id = get_id(&r, "id");
    k->tailnet = get_id_or_null(&r, "tailnet");
    k->user = get_id_or_null(&r, "user_id");
    k->prefix = get_text(&r, "prefix");
    get_bytes(&r, "hash", k->hash, sizeof(k->hash));
    k->legacy = get_text(&r, "legacy");
    k->description = get_text(&r, "description");
    get_strings(&r, "scopes", &k->scopes);
    k->created_ms = get_i64(&r, "created_ms");
    k->expiry_ms = get_i64(&r, "expiry_ms");
    k->last_seen_ms = get_i64(&r, "last_seen_ms");
    k->kind = (enum api_key_kind)get_range(&r, "kind", 0, API_KEY_KINDS - 1);
    k->client = (uint64_t)get_range(&r, "client", 0, (int64_t)NUM_JSON_MAX - 1);
    get_strings(&r, "tags", &k->tags);
    if (finish(&r) < 0) {
        api_key_unref(k);
        return r.status;
    }
    *out = k;
    return 0;
}

static struct node_facts *get_facts(struct row_reader *r)
{
    struct node_facts *f = node_facts_new();

    /* Their defaults give way. */
    str_free(&f->hostname);
    f->hostname = get_text(r, "hostname");
    str_free(&f->os);
    f->os = get_text(r, "os");
    str_free(&f->ipn_version);
    f->ipn_version = get_text(r, "ipn_version");
    get_prefixes(r, "routes", &f->routes, &f->n_routes);
    get_strings(r, "request_tags", &f->request_tags);
    str_free(&f->hostinfo);
    f->hostinfo = get_text(r, "hostinfo");
    str_free(&f->hostinfo_peer);
    f->hostinfo_peer = get_text(r, "hostinfo_peer");
    return f;
}

/* Who it is and what it is called. */
static void get_identity(struct row_reader *r, struct node *node)
{
    node->id = get_id(r, "id");
    node->tailnet = get_id(r, "tailnet");
    node->stable_id = get_text(r, "stable_id");
    node->user = get_id_or_null(r, "user_id");
    get_strings(r, "tags", &node->tags);
    if ((node->user == 0) != (node->tags.len > 0))
        complain(r, "tags", "and user_id do not fit: exactly one of them owns a node");
    node->method =
        (enum register_method)get_range(r, "method", REGISTER_UNSPECIFIED, REGISTER_OIDC);
    node->auth_key = get_id_or_null(r, "auth_key");
    node->ephemeral = get_bool(r, "ephemeral");
    get_bytes(r, "machine_key", &node->machine, sizeof(node->machine));
    get_bytes(r, "node_key", &node->key, sizeof(node->key));
    get_bytes(r, "disco_key", &node->disco, sizeof(node->disco));
    get_bytes(r, "nl_key", &node->nl, sizeof(node->nl));
    node->given_name = get_text(r, "given_name");
    node->name_is_auto = get_bool(r, "name_is_auto");
    node->v4 = get_addr(r, "v4", IP_V4);
    node->v6 = get_addr(r, "v6", IP_V6);
}

int row_to_node(const struct db_value *columns, size_t n, struct node **out, struct err *err)
{
    struct row_reader r = reader_of("nodes", columns, n, err);
    struct node *node = NEW(struct node);

    ref_init(&node->ref);
    get_identity(&r, node);
    node->created_ms = get_i64(&r, "created_ms");
    node->expiry_ms = get_i64(&r, "expiry_ms");
    node->last_seen_ms = get_i64(&r, "last_seen_ms");
    node->capver = (uint32_t)get_range(&r, "capver", 0, UINT32_MAX);
    node->home_derp = (uint32_t)get_range(&r, "home_derp", 0, UINT32_MAX);
    if (!list_to_endpoints(get(&r, "endpoints", DB_TEXT).s, &node->endpoints, &node->endpoint_types,
                           &node->n_endpoints))
        complain(&r, "endpoints", "is no list of endpoints");
    get_prefixes(&r, "approved", &node->approved, &node->n_approved);
    node->facts = get_facts(&r);
    if (!list_to_attributes(get(&r, "attributes", DB_TEXT).s, &node->attributes,
                            &node->n_attributes))
        complain(&r, "attributes", "is no list of attributes");
    node->holds = get_bool(&r, "hold_device") ? HOLD_DEVICE : 0;
    if (finish(&r) < 0) {
        node_unref(node);
        return r.status;
    }
    *out = node;
    return 0;
}

/* Objects to rows. The order of the columns is the order of the names in schema.c. */

#include "store/store_internal.h"

struct row_writer {
    struct db_value *args;
    size_t n;
};

static void put(struct row_writer *w, struct db_value v)
{
    ASSERT(w->n < DB_COLUMNS_MAX);
    w->args[w->n++] = v;
}

static void put_u64(struct row_writer *w, uint64_t v)
{
    put(w, DB_INT_OF(v));
}

static void put_i64(struct row_writer *w, int64_t v)
{
    put(w, DB_INT_OF(v));
}

/* 0 means none, and is NULL so that foreign keys let it pass. */
static void put_id_or_null(struct row_writer *w, uint64_t id)
{
    put(w, id != 0 ? DB_INT_OF(id) : DB_NULL_OF);
}

static void put_bool(struct row_writer *w, bool v)
{
    put(w, DB_INT_OF(v ? 1 : 0));
}

static void put_text(struct row_writer *w, struct str s)
{
    put(w, DB_TEXT_OF(s));
}

static void put_blob(struct row_writer *w, const void *bytes, size_t n)
{
    put(w, DB_BLOB_OF(str_bytes(bytes, n)));
}

/* Borrows from *addr. */
static void put_addr(struct row_writer *w, const struct ip_addr *addr)
{
    put(w, ip_addr_is_set(*addr) ? DB_BLOB_OF(ip_addr_bytes(addr)) : DB_NULL_OF);
}

static void put_prefix(struct row_writer *w, struct arena *arena, const struct ip_prefix *p)
{
    struct str addr = ip_addr_bytes(&p->addr);
    uint8_t *bytes;

    if (!ip_prefix_is_set(*p)) {
        put(w, DB_NULL_OF);
        return;
    }
    bytes = arena_alloc(arena, addr.len + 1);
    memcpy(bytes, addr.ptr, addr.len);
    bytes[addr.len] = p->bits;
    put_blob(w, bytes, addr.len + 1);
}

size_t row_from_info(const struct tailnet_info *info, uint64_t revision, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, info->id);
    put_u64(&w, revision);
    put_text(&w, info->name);
    put_text(&w, info->base_domain);
    put_text(&w, info->domain);
    put_i64(&w, info->created_ms);
    put_prefix(&w, arena, &info->prefix_v4);
    put_prefix(&w, arena, &info->prefix_v6);
    put_u64(&w, info->allocation);
    put_i64(&w, info->settings.set & SETTING_KEY_DURATION
                    ? info->settings.configured_key_duration_ms
                    : info->node_expiry_ms);
    put_i64(&w, info->ephemeral_timeout_ms);
    put_bool(&w, info->taildrop);
    put_bool(&w, info->logtail);
    put_bool(&w, info->settings.set & SETTING_AUTO_UPDATE ? info->settings.configured_auto_update
                                                          : info->auto_update);
    put_bool(&w, info->randomize_client_port);
    put_text(&w, list_from_dns(arena, info));
    if (info->settings.set & SETTING_RELAYS)
        put_text(&w, list_from_regions(arena, info->settings.configured_regions,
                                       info->settings.n_configured_regions));
    else
        put_text(&w, list_from_regions(arena, info->regions, info->n_regions));
    put_text(&w, list_from_settings(arena, &info->settings));
    return w.n;
}

size_t row_from_policy(const struct tailnet_info *info, struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    if (info->policy_updated_ms == 0)
        return 0;
    put_u64(&w, info->id);
    put_i64(&w, info->policy_updated_ms);
    put_text(&w, info->policy_author);
    put_text(&w, info->policy);
    return w.n;
}

size_t row_from_user(const struct user *u, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, u->id);
    put_u64(&w, u->tailnet);
    put_text(&w, u->name);
    put_text(&w, u->display_name);
    put_text(&w, u->email);
    put_text(&w, u->picture_url);
    put_text(&w, u->provider);
    put_text(&w, u->provider_id);
    put_u64(&w, u->role);
    put_i64(&w, u->created_ms);
    put_text(&w, list_from_strings(arena, &u->groups));
    put_u64(&w, u->status);
    return w.n;
}

size_t row_from_auth_key(const struct auth_key *k, struct arena *arena,
                         struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, k->id);
    put_u64(&w, k->tailnet);
    put_id_or_null(&w, k->user);
    put_text(&w, list_from_strings(arena, &k->tags));
    put_text(&w, k->prefix);
    put_blob(&w, k->hash, sizeof(k->hash));
    put_text(&w, k->legacy);
    put_bool(&w, k->reusable);
    put_bool(&w, k->ephemeral);
    put_bool(&w, k->used);
    put_i64(&w, k->created_ms);
    put_i64(&w, k->expiry_ms);
    put_text(&w, k->description);
    put_i64(&w, k->revoked_ms);
    put_bool(&w, k->preauthorized);
    return w.n;
}

size_t row_from_api_key(const struct api_key *k, struct arena *arena,
                        struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, k->id);
    put_id_or_null(&w, k->tailnet);
    put_id_or_null(&w, k->user);
    put_text(&w, k->prefix);
    put_blob(&w, k->hash, sizeof(k->hash));
    put_text(&w, k->legacy);
    put_text(&w, k->description);
    put_text(&w, list_from_strings(arena, &k->scopes));
    put_i64(&w, k->created_ms);
    put_i64(&w, k->expiry_ms);
    put_i64(&w, k->last_seen_ms);
    put_u64(&w, k->kind);
    put_u64(&w, k->client);
    put_text(&w, list_from_strings(arena, &k->tags));
    return w.n;
}

/* Their names, so that a number never means another one day. */
static struct str subscriptions_text(const struct webhook *h, struct arena *arena)
{
    struct str_list names = {0};
    struct str text;

    for (unsigned i = 0; i < EVENT_TEST; i++)
        if (h->subscriptions & BIT(i))
            str_list_add(&names, str_from(webhook_event_name((enum webhook_event)i)));
    text = list_from_strings(arena, &names);
    str_list_free(&names);
    return text;
}

size_t row_from_webhook(const struct webhook *h, struct arena *arena,
                        struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, h->id);
    put_u64(&w, h->tailnet);
    put_text(&w, h->url);
    put_text(&w, str_from(webhook_provider_name(h->provider)));
    put_text(&w, subscriptions_text(h, arena));
    put_text(&w, h->secret);
    put_text(&w, h->creator);
    put_i64(&w, h->created_ms);
    put_i64(&w, h->modified_ms);
    return w.n;
}

size_t row_from_share(const struct share *s, struct arena *arena,
                      struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, s->id);
    put_u64(&w, s->owner);
    put_u64(&w, s->node);
    put_id_or_null(&w, s->sharer);
    put_u64(&w, s->guest);
    put_id_or_null(&w, s->user);
    put_text(&w, list_from_terms(arena, &s->terms));
    put_i64(&w, s->created_ms);
    put_i64(&w, s->accepted_ms);
    put_i64(&w, s->expiry_ms);
    return w.n;
}

size_t row_from_share_invite(const struct share_invite *i, struct arena *arena,
                             struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, i->id);
    put_u64(&w, i->tailnet);
    put_u64(&w, i->node);
    put_id_or_null(&w, i->sharer);
    put_bool(&w, i->whole_tailnet);
    put_text(&w, list_from_terms(arena, &i->terms));
    put_i64(&w, i->share_expiry_ms);
    put_blob(&w, i->hash, sizeof(i->hash));
    put_u64(&w, i->uses_left);
    put_u64(&w, i->uses);
    put_i64(&w, i->created_ms);
    put_i64(&w, i->expiry_ms);
    return w.n;
}

size_t row_from_user_invite(const struct user_invite *i, struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, i->id);
    put_u64(&w, i->tailnet);
    put_id_or_null(&w, i->inviter);
    put_u64(&w, i->role);
    put_text(&w, i->email);
    put_blob(&w, i->hash, sizeof(i->hash));
    put_i64(&w, i->created_ms);
    put_i64(&w, i->expiry_ms);
    return w.n;
}

size_t row_from_delivery(const struct delivery *d, struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, d->id);
    put_u64(&w, d->webhook);
    put_u64(&w, d->tailnet);
    put_text(&w, str_from(webhook_event_name(d->event)));
    put_i64(&w, d->created_ms);
    put_text(&w, d->body);
    return w.n;
}

static void put_facts(struct row_writer *w, const struct node_facts *f, struct arena *arena)
{
    put_text(w, f->hostname);
    put_text(w, f->os);
    put_text(w, f->ipn_version);
    put_text(w, list_from_prefixes(arena, f->routes, f->n_routes));
    put_text(w, list_from_strings(arena, &f->request_tags));
    put_text(w, f->hostinfo);
    put_text(w, f->hostinfo_peer);
}

size_t row_from_node(const struct node *node, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX])
{
    struct row_writer w = {.args = args};

    put_u64(&w, node->id);
    put_u64(&w, node->tailnet);
    put_text(&w, node->stable_id);
    put_id_or_null(&w, node->user);
    put_text(&w, list_from_strings(arena, &node->tags));
    put_u64(&w, node->method);
    put_id_or_null(&w, node->auth_key);
    put_bool(&w, node->ephemeral);
    put_blob(&w, &node->machine, sizeof(node->machine));
    put_blob(&w, &node->key, sizeof(node->key));
    put_blob(&w, &node->disco, sizeof(node->disco));
    put_blob(&w, &node->nl, sizeof(node->nl));
    put_text(&w, node->given_name);
    put_bool(&w, node->name_is_auto);
    put_addr(&w, &node->v4);
    put_addr(&w, &node->v6);
    put_i64(&w, node->created_ms);
    put_i64(&w, node->expiry_ms);
    put_i64(&w, node->last_seen_ms);
    put_u64(&w, node->capver);
    put_u64(&w, node->home_derp);
    put_text(&w,
             list_from_endpoints(arena, node->endpoints, node->endpoint_types, node->n_endpoints));
    put_text(&w, list_from_prefixes(arena, node->approved, node->n_approved));
    put_facts(&w, node->facts, arena);
    put_text(&w, list_from_attributes(arena, node->attributes, node->n_attributes));
    put_bool(&w, (node->holds & HOLD_DEVICE) != 0);
    return w.n;
}

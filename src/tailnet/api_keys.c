/*
 * API keys in the domain: made, expired, deleted, noted as used. They are the server's, whichever
 * tailnet they are of, so their changes belong to no tailnet and views do not have them:
 * domain_api_keys does.
 */

#include "crypto/secret.h"
#include "tailnet/api_key_internal.h"
#include "tailnet/domain_internal.h"

#define SCOPE_MAX 64 /* bytes */

/* ---- Tables ---- */

static const void *ref_key(const void *k)
{
    return api_key_ref(k);
}

static void unref_key(const void *k)
{
    api_key_unref(k);
}

void api_keys_init(struct domain *d)
{
    d->api_keys = (struct table){.ref = ref_key, .unref = unref_key};
    d->api_key_by_prefix = map_new();
}

void api_keys_fini(struct domain *d)
{
    map_free(d->api_key_by_prefix);
    api_key_set_unref(d->api_key_set);
    table_fini(&d->api_keys);
}

static void forget_set(struct domain *d)
{
    api_key_set_unref(d->api_key_set);
    d->api_key_set = NULL;
}

const struct api_key_set *domain_api_keys(struct domain *d)
{
    if (!d->api_key_set)
        d->api_key_set = api_key_set_new(&d->api_keys);
    return api_key_set_ref(d->api_key_set);
}

/* Keys in the map are never changed in place. */
static void *in_map(const struct api_key *k)
{
    union {
        const struct api_key *in;
        void *out;
    } u = {.in = k};

    return u.out;
}

/* Takes the reference. The prefix of a key never changes. */
static void put(struct domain *d, const struct api_key *k)
{
    (void)map_put(d->api_key_by_prefix, k->prefix, in_map(k));
    table_put(&d->api_keys, k->id, k);
    d->next.api_key = MAX(d->next.api_key, k->id + 1);
    forget_set(d);
}

static void remove_key(struct domain *d, const struct api_key *k)
{
    api_key_id id = k->id;

    (void)map_remove(d->api_key_by_prefix, k->prefix);
    (void)table_remove(&d->api_keys, id);
    forget_set(d);
    domain_emit(d, NULL, (struct change){.kind = CHANGE_API_KEY_REMOVED, .id = id});
}

void api_keys_remove_of(struct domain *d, tailnet_id tailnet, user_id user)
{
    const struct api_key *k;
    size_t at = 0;

    /* Removing may merge chunks: begin anew after each. */
    while ((k = table_next(&d->api_keys, &at))) {
        if (k->tailnet != tailnet || (user != 0 && k->user != user))
            continue;
        remove_key(d, k);
        at = 0;
    }
}

int domain_load_api_key(struct domain *d, struct api_key *key, struct err *err)
{
    AUTO(api_key_unref) const struct api_key *owned = key;
    const struct user_state *u = key->user ? map_find_u64(d->user_by_id, key->user) : NULL;

    if ((key->tailnet != 0 && !domain_tailnet(d, key->tailnet)) ||
        (key->user != 0 && (!u || u->tailnet->id != key->tailnet)))
        return err_set(err, ERR_INVALID, "API key %" PRIu64 " is of no tailnet or user", key->id);
    if (key->id == 0 || table_find(&d->api_keys, key->id) || key->prefix.len == 0 ||
        map_find(d->api_key_by_prefix, key->prefix))
        return err_set(err, ERR_CONFLICT, "API key %" PRIu64 " has no prefix or is there twice",
                       key->id);
    put(d, TAKE(owned));
    return 0;
}

/* ---- Commands ---- */

static int check_scopes(const struct str_list *scopes, struct err *err)
{
    if (scopes->len > API_KEY_SCOPES_MAX)
        return err_set(err, ERR_LIMIT, "a key has at most %d scopes", API_KEY_SCOPES_MAX);
    for (size_t i = 0; i < scopes->len; i++)
        if (scopes->items[i].len == 0 || scopes->items[i].len > SCOPE_MAX ||
            !str_is_ascii(scopes->items[i]))
            return err_set(err, ERR_INVALID, "a scope has 1 to %d ASCII characters", SCOPE_MAX);
    return 0;
}

static int check_create(struct domain *d, const struct command *c, struct tailnet **t,
                        struct user_state **owner, struct err *err)
{
    bool of_user = c->user != 0 || c->user_name.len > 0;

    if (c->tailnet != 0 && domain_tailnet_get(d, c->tailnet, t, err) < 0)
        return -(int)err->code;
    if (of_user && !*t)
        return err_set(err, ERR_INVALID, "a user's key is of the user's tailnet: name it");
    if (of_user && user_get(d, *t, c->user, c->user_name, owner, err) < 0)
        return -(int)err->code;
    if (c->expiry_ms < 0)
        return err_set(err, ERR_INVALID, "expiry is before 1970");
    if (c->text.len > API_KEY_NOTE_MAX || !str_is_utf8(c->text))
        return err_set(err, ERR_INVALID, "a description has at most %d bytes of UTF-8",
                       API_KEY_NOTE_MAX);
    if (d->api_keys.count >= API_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d API keys; delete old ones",
                       API_KEYS_MAX);
    return check_scopes(&c->scopes, err);
}

int api_key_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *owner = NULL;
    struct secret_token token = {0};

    if (check_create(d, c, &t, &owner, err) < 0)
        return -(int)err->code;
    do {
        secret_token_fini(&token);
        token = (struct secret_token){0};
        secret_token_make(&token, API_KEY_KIND);
    } while (map_find(d->api_key_by_prefix, str_bytes(token.id, sizeof(token.id))));

    struct api_key *k = api_key_new();
    k->id = d->next.api_key;
    k->tailnet = t ? t->id : 0;
    k->user = owner ? owner->user->id : 0;
    k->prefix = str_copy(str_bytes(token.id, sizeof(token.id)));
    memcpy(k->hash, token.hash, sizeof(k->hash));
    k->description = str_copy(c->text);
    str_list_copy(&k->scopes, &c->scopes);
    k->created_ms = d->now_ms;
    k->expiry_ms = c->expiry_ms;
    put(d, k);
    r->secret = str_copy(buf_str(&token.text));
    secret_token_fini(&token);
    r->id = k->id;
    r->api_key = api_key_ref(k);
    r->user = owner ? user_ref(owner->user) : NULL;
    d->of = t;
    domain_emit(d, NULL, (struct change){.kind = CHANGE_API_KEY, .id = k->id});
    return 0;
}

static int key_get(struct domain *d, const struct command *c, const struct api_key **out,
                   struct err *err)
{
    struct str prefix = api_key_prefix_of(c->name);
    const struct api_key *k = c->id != 0 ? table_find(&d->api_keys, c->id) : NULL;

    if (c->id == 0 && prefix.len > 0)
        k = map_find(d->api_key_by_prefix, prefix);
    if (!k || (c->tailnet != 0 && k->tailnet != c->tailnet))
        return err_set(err, ERR_NOT_FOUND, "API key not found");
    *out = k;
    return 0;
}

static void replace(struct domain *d, struct api_key *with, unsigned mask, struct command_result *r)
{
    r->id = with->id;
    r->api_key = api_key_ref(with);
    put(d, with);
    domain_emit(d, NULL, (struct change){.kind = CHANGE_API_KEY, .id = with->id, .mask = mask});
}

int api_key_expire(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    const struct api_key *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    if (k->expiry_ms == 0 || k->expiry_ms > d->now_ms) {
        struct api_key *with = api_key_clone(k);

        with->expiry_ms = MAX(d->now_ms, (int64_t)1);
        replace(d, with, 0, r);
        return 0;
    }
    r->id = k->id;
    r->api_key = api_key_ref(k);
    return 0;
}

int api_key_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    const struct api_key *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    r->id = k->id;
    r->api_key = api_key_ref(k);
    remove_key(d, k);
    return 0;
}

int api_key_seen(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    const struct api_key *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    if (k->last_seen_ms == 0 || d->now_ms - k->last_seen_ms >= API_KEY_SEEN_MS) {
        struct api_key *with = api_key_clone(k);

        with->last_seen_ms = d->now_ms;
        replace(d, with, API_KEY_SEEN, r);
        return 0;
    }
    r->id = k->id;
    r->api_key = api_key_ref(k);
    return 0;
}

/* Auth keys: made, found by what a client presents, spent, expired, deleted. */

#include "crypto/secret.h"
#include "tailnet/domain_internal.h"

#define KIND STR("hskey-auth-")

static int tag_check(struct str tag, struct err *err)
{
    if (!str_starts(tag, STR("tag:")))
        return err_set(err, ERR_INVALID, "tag must start with the string 'tag:'");
    for (size_t i = 0; i < tag.len; i++)
        if (tag.ptr[i] >= 'A' && tag.ptr[i] <= 'Z')
            return err_set(err, ERR_INVALID, "tag should be lowercase");
    if (!tag_is_valid(tag))
        return err_set(err, ERR_INVALID,
                       "a tag is 'tag:', a letter, and then letters, digits and '-'");
    if (tag.len > 255)
        return err_set(err, ERR_INVALID, "a tag has at most 255 bytes");
    return 0;
}

int tags_check(const struct str_list *tags, struct str_list *sorted, struct err *err)
{
    if (tags->len > NODE_TAGS_MAX)
        return err_set(err, ERR_LIMIT, "at most %d tags", NODE_TAGS_MAX);
    for (size_t i = 0; i < tags->len; i++)
        if (tag_check(tags->items[i], err) < 0)
            return -(int)err->code;
    str_list_copy(sorted, tags);
    str_list_sort_unique(sorted);
    return 0;
}

/* ---- Tables ---- */

/* The SHA-256 of the whole text of an imported key, as "sha256:" and 64 digits. */
static bool legacy_hash(struct str legacy, uint8_t hash[SECRET_HASH_BYTES])
{
    return key_parse(legacy, STR("sha256:"), hash);
}

static void index_legacy(struct domain *d, struct auth_key_state *s, bool add)
{
    uint8_t hash[SECRET_HASH_BYTES];

    /* Who has stolen a hash must not be able to show it as a key. */
    if (s->key->legacy.len == 0 || secret_is_bcrypt(s->key->legacy))
        return;
    if (!legacy_hash(s->key->legacy, hash))
        secret_hash(s->key->legacy, hash);
    if (add)
        (void)map_put(d->key_by_legacy, str_bytes(hash, sizeof(hash)), s);
    else
        (void)map_remove(d->key_by_legacy, str_bytes(hash, sizeof(hash)));
}

static void schedule_reap(struct domain *d, struct auth_key_state *s)
{
    if (s->key->revoked_ms != 0 && d->revoked_retention_ms > 0)
        schedule_set(&d->schedule, &s->reap, s->key->revoked_ms + d->revoked_retention_ms);
    else
        schedule_clear(&d->schedule, &s->reap);
}

int64_t domain_revoked_retention(const struct domain *d)
{
    return d->revoked_retention_ms;
}

void domain_set_revoked_retention(struct domain *d, int64_t ms)
{
    struct str id;
    void *value;

    d->revoked_retention_ms = MAX(ms, (int64_t)0);
    for (size_t at = 0; map_next(d->key_by_id, &at, &id, &value);)
        schedule_reap(d, value);
}

/* Prefix and legacy text of a key never change. */
void auth_key_put(struct domain *d, struct tailnet *t, const struct auth_key *key)
{
    struct auth_key_state *s = map_find_u64(d->key_by_id, key->id);

    if (!s) {
        s = NEW(struct auth_key_state);
        s->tailnet = t;
        s->key = key;
        s->reap.kind = DEADLINE_REVOKED;
        (void)map_put_u64(d->key_by_id, key->id, s);
        if (key->prefix.len > 0)
            (void)map_put(d->key_by_prefix, key->prefix, s);
        index_legacy(d, s, true);
    }
    s->key = key;
    table_put(&t->auth_keys, key->id, key);
    schedule_reap(d, s);
    id_used(d, ID_AUTH_KEY, key->id);
}

/* Nodes made with it stay, and forget it. */
static void forget_in_nodes(struct domain *d, struct auth_key_state *k)
{
    const struct node *n;

    for (size_t at = 0; k->n_nodes > 0 && (n = table_next(&k->tailnet->nodes, &at));)
        if (n->auth_key == k->key->id)
            node_set_auth_key(d, node_state_by_id(d, n->id), 0);
}

void auth_key_remove(struct domain *d, struct auth_key_state *k)
{
    struct tailnet *t = k->tailnet;
    auth_key_id id = k->key->id;

    schedule_clear(&d->schedule, &k->reap);
    forget_in_nodes(d, k);
    if (k->key->prefix.len > 0)
        (void)map_remove(d->key_by_prefix, k->key->prefix);
    index_legacy(d, k, false);
    (void)map_remove_u64(d->key_by_id, id);
    table_remove(&t->auth_keys, id);
    mem_free(k);
    domain_emit(d, t, (struct change){.kind = CHANGE_AUTH_KEY_REMOVED, .id = id});
}

static struct auth_key *edit(struct auth_key_state *k)
{
    return auth_key_clone(k->key);
}

static void replace(struct domain *d, struct auth_key_state *k, struct auth_key *with)
{
    auth_key_put(d, k->tailnet, with);
    domain_emit(d, k->tailnet, (struct change){.kind = CHANGE_AUTH_KEY, .id = with->id});
}

struct auth_key_state *auth_key_find(const struct domain *d, struct str text, auth_key_id proven,
                                     bool *unproven)
{
    uint8_t hash[SECRET_HASH_BYTES];
    struct str prefix, secret;

    *unproven = false;
    if (secret_token_split(text, KIND, &prefix, &secret)) {
        struct auth_key_state *k = map_find(d->key_by_prefix, prefix);

        if (k && k->key->legacy.len == 0 && secret_hash_matches(secret, k->key->hash))
            return k;
        if (k && secret_is_bcrypt(k->key->legacy)) {
            *unproven = k->key->id != proven;
            return k;
        }
    }
    /* Found by a hash, so the time a look-up takes says nothing of the text. */
    secret_hash(text, hash);
    struct auth_key_state *k = map_find(d->key_by_legacy, str_bytes(hash, sizeof(hash)));
    if (k && legacy_hash(k->key->legacy, hash))
        return secret_hash_matches(text, hash) ? k : NULL;
    return k && str_eq_secret(k->key->legacy, text) ? k : NULL;
}

void auth_key_spend(struct domain *d, struct auth_key_state *k)
{
    struct auth_key *with;

    if (k->key->reusable || k->key->used)
        return;
    with = edit(k);
    with->used = true;
    replace(d, k, with);
}

/* ---- Commands ---- */

int auth_key_create(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *owner = NULL;
    struct str_list tags = {0};

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (c->user == 0 && c->user_name.len == 0 && c->tags.len == 0)
        return err_set(err, ERR_INVALID, "auth-key must be either tagged or owned by user");
    if ((c->user != 0 || c->user_name.len > 0) &&
        user_get(d, t, c->user, c->user_name, &owner, err) < 0)
        return -(int)err->code;
    if (t->auth_keys.count >= TAILNET_AUTH_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d auth keys; delete old ones",
                       TAILNET_AUTH_KEYS_MAX);
    if (quota_check(t, QUOTA_KEYS, keys_count(d, t), err) < 0)
        return -(int)err->code;
    if (c->expiry_ms < 0)
        return err_set(err, ERR_INVALID, "expiry is before 1970");
    if (c->text.len > AUTH_KEY_NOTE_MAX || !str_is_utf8(c->text))
        return err_set(err, ERR_INVALID, "a description has at most %d bytes of UTF-8",
                       AUTH_KEY_NOTE_MAX);
    if (tags_check(&c->tags, &tags, err) < 0)
        return -(int)err->code;

    struct secret_token token = {0};
    do {
        secret_token_fini(&token);
        token = (struct secret_token){0};
        secret_token_make(&token, KIND);
    } while (map_find(d->key_by_prefix, str_bytes(token.id, sizeof(token.id))));
    struct auth_key *k = auth_key_new();
    k->id = id_next(d, t, ID_AUTH_KEY);
    k->tailnet = t->id;
    k->user = owner ? owner->user->id : 0;
    k->tags = tags;
    k->prefix = str_copy(str_bytes(token.id, sizeof(token.id)));
    memcpy(k->hash, token.hash, sizeof(k->hash));
    k->description = str_copy(c->text);
    k->reusable = c->reusable;
    k->ephemeral = c->ephemeral;
    k->preauthorized = c->preauthorized;
    k->created_ms = d->now_ms;
    k->expiry_ms = c->lifetime_ms > 0 ? d->now_ms + c->lifetime_ms : c->expiry_ms;
    auth_key_put(d, t, k);
    r->secret = str_copy(buf_str(&token.text));
    secret_token_fini(&token);
    r->id = k->id;
    r->auth_key = auth_key_ref(k);
    r->user = owner ? user_ref(owner->user) : NULL;
    d->of = t;
    domain_emit(d, t, (struct change){.kind = CHANGE_AUTH_KEY, .id = k->id});
    return 0;
}

static int key_get(struct domain *d, const struct command *c, struct auth_key_state **out,
                   struct err *err)
{
    struct tailnet *t = NULL;
    struct auth_key_state *k = map_find_u64(d->key_by_id, c->id);

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (!k || k->tailnet != t)
        return err_set(err, ERR_NOT_FOUND, "auth-key not found");
    *out = k;
    d->of = t;
    return 0;
}

int auth_key_expire(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct auth_key_state *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    if (k->key->expiry_ms == 0 || k->key->expiry_ms > d->now_ms) {
        struct auth_key *with = edit(k);

        with->expiry_ms = MAX(d->now_ms, (int64_t)1);
        replace(d, k, with);
    }
    r->id = k->key->id;
    r->auth_key = auth_key_ref(k->key);
    return 0;
}

int auth_key_revoke(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct auth_key_state *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    if (k->key->revoked_ms != 0)
        return err_set(err, ERR_NOT_FOUND, "auth-key not found");
    struct auth_key *with = edit(k);
    with->revoked_ms = MAX(d->now_ms, (int64_t)1);
    replace(d, k, with);
    r->id = k->key->id;
    r->auth_key = auth_key_ref(k->key);
    return 0;
}

int auth_key_delete(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct auth_key_state *k = NULL;

    if (key_get(d, c, &k, err) < 0)
        return -(int)err->code;
    r->id = k->key->id;
    auth_key_remove(d, k);
    return 0;
}

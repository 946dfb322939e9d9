/*
 * Users, auth keys, policies: rows of headscale's to objects of ours.
 *
 * Ids are kept where they are free: policies, scripts and netmaps know them. A user that the target
 * has already (the same identity, or the same local name) is that user.
 */

#include "crypto/secret.h"
#include "store/import_internal.h"

static struct str or_id(struct import *im, struct str name, uint64_t id)
{
    return name.len > 0 ? name : arena_printf(im->arena, "%llu", (unsigned long long)id);
}

/* ---- users ---- */

static const char *const user_columns[] = {"id",
                                           "name",
                                           "display_name",
                                           "email",
                                           "profile_pic_url",
                                           "provider_identifier",
                                           "provider",
                                           "created_at",
                                           NULL};

/* A name no local user has, made from `name`. In the arena. */
static struct str free_user_name(struct import *im, struct str name, uint64_t id)
{
    struct str base = name.len > 0 ? name : STR("user");
    struct str made = name;

    for (unsigned i = 0; made.len == 0 || map_find(im->local, made); i++)
        made = i == 0 ? arena_printf(im->arena, "%.*s-%llu", STR_ARG(str_sub(base, 0, 200)),
                                     (unsigned long long)id)
                      : arena_printf(im->arena, "%.*s-%llu-%u", STR_ARG(str_sub(base, 0, 200)),
                                     (unsigned long long)id, i);
    return made;
}

/* The user of the target that this one is, or NULL. */
static const struct user *same_user(struct import *im, const struct user *u)
{
    const struct user *there = u->provider_id.len > 0 ? map_find(im->providers, u->provider_id)
                                                      : map_find(im->local, u->name);

    if (!there || (u->provider_id.len == 0 && import_is_new_user(im, there)))
        return NULL;
    return there;
}

static int add_user(struct import *im, uint64_t id, struct user *u, struct err *err)
{
    struct str given = u->name;
    bool is_changed = false;

    u->id = import_take_id(im, 'u', id, &im->next.user);
    u->tailnet = im->tailnet;
    if (u->provider_id.len == 0) {
        struct str name = free_user_name(im, given, id);

        if (!str_eq(name, given)) {
            import_note(im, IMPORT_CHANGED, IMPORT_USER, id, or_id(im, given, id),
                        "gets the name %.*s: %s", STR_ARG(name),
                        given.len > 0 ? "another user has that name" : "it has none");
            is_changed = true;
            str_free(&u->name);
            u->name = str_copy(name);
        }
    }
    if (u->id != id && !is_changed) {
        import_note(im, IMPORT_CHANGED, IMPORT_USER, id, or_id(im, u->name, id),
                    "gets the number %llu: another user has %llu", (unsigned long long)u->id,
                    (unsigned long long)id);
        is_changed = true;
    }
    if (!is_changed)
        import_note(im, IMPORT_TAKEN, IMPORT_USER, id, STR_NONE, NULL);

    struct user *loaded = u;

    if (domain_load_user(im->domain, user_ref(loaded), err) < 0)
        return -(int)err->code;
    (void)map_put_u64(im->users, id, loaded);
    if (loaded->provider_id.len > 0)
        (void)map_put(im->providers, loaded->provider_id, loaded);
    else
        (void)map_put(im->local, loaded->name, loaded);
    import_changed(im, CHANGE_USER, loaded->id);
    return 0;
}

/* For one who has none: whom the operator says it is. */
static void take_identity(struct import *im, struct user *u)
{
    for (size_t i = 0; i < im->options->identities.len && u->provider_id.len == 0; i++) {
        struct str name, identity;

        if (!str_split(im->options->identities.items[i], '=', &name, &identity) ||
            !str_eq(name, u->name) || identity.len == 0 || identity.len > IMPORT_URL_MAX)
            continue;
        u->provider_id = str_copy(identity);
        im->n_identified++;
    }
}

static int user_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = user_columns, .v = columns, .n = n};
    AUTO(user_unref) const struct user *owned = NULL;
    uint64_t id = values_id(&r, "id");
    struct user *u = user_new();
    const struct user *there;

    owned = u;
    u->name = str_copy(values_text(&r, "name", IMPORT_NAME_MAX));
    u->display_name = str_copy(values_text(&r, "display_name", IMPORT_NAME_MAX));
    u->email = str_copy(values_text(&r, "email", IMPORT_NAME_MAX));
    u->picture_url = str_copy(values_text(&r, "profile_pic_url", IMPORT_URL_MAX));
    u->provider_id = str_copy(values_text(&r, "provider_identifier", IMPORT_URL_MAX));
    u->provider = str_copy(values_text(&r, "provider", IMPORT_NAME_MAX));
    take_identity(im, u);
    if (u->provider.len == 0 && u->provider_id.len > 0)
        u->provider = str_copy(STR("oidc"));
    u->role = ROLE_MEMBER;
    u->created_ms = values_ms(&r, "created_at");
    if (id == 0)
        values_complain(&r, "id is none");
    else if (map_find_u64(im->users, id))
        values_complain(&r, "another row has the same id");
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_USER, id, or_id(im, u->name, id), "%s", r.trouble);
        return 0;
    }
    there = same_user(im, u);
    if (there) {
        (void)map_put_u64(im->users, id, (void *)(uintptr_t)there);
        import_note(im, IMPORT_PRESENT, IMPORT_USER, id, or_id(im, u->name, id),
                    "is user %llu, who is there already", (unsigned long long)there->id);
        return 0;
    }
    if (map_len(im->users) >= TAILNET_USERS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d users", TAILNET_USERS_MAX);
    return add_user(im, id, u, err);
}

int import_users(struct import *im, struct err *err)
{
    int status = schema_select(&im->schema, im->schema.has_namespaces ? "namespaces" : "users",
                               user_columns, user_row, im, err);

    if (status == 0 && im->n_identified != im->options->identities.len)
        return err_set(err, ERR_NOT_FOUND,
                       "of %zu identities %zu are of no user: write NAME=ISSUER/SUBJECT, for users "
                       "without an identity",
                       im->options->identities.len, im->options->identities.len - im->n_identified);
    return status;
}

/* ---- auth keys ---- */

static const char *const tag_columns[] = {"pre_auth_key_id", "tag", NULL};

/* Up to 0.23 a key's tags had a table of their own. */
static int tag_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = tag_columns, .v = columns, .n = n};
    uint64_t key = values_id(&r, "pre_auth_key_id");
    struct str tag = values_text(&r, "tag", IMPORT_NAME_MAX);
    struct str_list *list = map_find_u64(im->key_tags, key), *more;

    (void)err;
    if (r.trouble[0] || key == 0 || tag.len == 0 || (list && list->len >= NODE_TAGS_MAX)) {
        import_note(im, IMPORT_DAMAGED, IMPORT_AUTH_KEY, key, STR_NONE, "its tag: %s",
                    r.trouble[0] ? r.trouble : "there is none, or too many");
        return 0;
    }
    more = arena_alloc(im->arena, sizeof(*more));
    more->items = arena_alloc(im->arena, ((list ? list->len : 0) + 1) * sizeof(*more->items));
    for (size_t i = 0; list && i < list->len; i++)
        more->items[more->len++] = list->items[i];
    more->items[more->len++] = arena_copy(im->arena, tag);
    (void)map_put_u64(im->key_tags, key, more);
    return 0;
}

static const char *const key_columns[] = {
    "id",        "key",  "prefix", "hash",       "user_id", "namespace_id", "reusable",
    "ephemeral", "used", "tags",   "expiration", "revoked", "created_at",   NULL};

/* A key's row, read. */
struct key_row {
    uint64_t id;
    uint64_t user; /* in the source */
    struct str clear, prefix, hash;
    struct str_list tags; /* in the arena */
    bool reusable, ephemeral, used, is_expired, is_revoked;
    int64_t expiry_ms, created_ms;
};

static void read_key(struct import *im, struct values *r, struct key_row *k)
{
    enum import_time expiry;
    int64_t ignored = 0;
    const struct str_list *more;

    k->id = values_id(r, "id");
    k->user = im->schema.has_namespaces ? values_id(r, "namespace_id") : values_id(r, "user_id");
    k->clear = values_text(r, "key", IMPORT_NAME_MAX);
    k->prefix = values_text(r, "prefix", IMPORT_NAME_MAX);
    k->hash = values_hash(r, "hash", im->arena);
    k->reusable = values_bool(r, "reusable");
    k->ephemeral = values_bool(r, "ephemeral");
    k->used = values_bool(r, "used");
    k->created_ms = values_ms(r, "created_at");
    values_list(r, "tags", im->arena, &k->tags);
    more = map_find_u64(im->key_tags, k->id);
    if (more && k->tags.len == 0)
        k->tags = *more;
    expiry = values_time(r, "expiration", &k->expiry_ms);
    /* The zero time came from calls that named no time: their keys were expired at once. */
    if (expiry == IMPORT_TIME_ZERO)
        k->expiry_ms = 1;
    k->is_expired = k->expiry_ms != 0 && k->expiry_ms <= im->options->now_ms;
    k->is_revoked = values_time(r, "revoked", &ignored) == IMPORT_TIME_SET;
    if (k->id == 0)
        values_complain(r, "id is none");
    else if (map_find_u64(im->keys, k->id))
        values_complain(r, "another row has the same id");
    if (k->clear.len == 0 && (k->prefix.len != SECRET_ID_CHARS || !secret_is_bcrypt(k->hash)))
        values_complain(r, "neither the key nor a prefix and a bcrypt hash is there");
    for (size_t i = 0; i < k->tags.len; i++)
        if (!import_tag_is_usable(k->tags.items[i]))
            values_complain(r, "tags has one that is no tag");
    if (k->tags.len > NODE_TAGS_MAX)
        values_complain(r, "tags has more than %d", NODE_TAGS_MAX);
}

/* Why it is of no use to anybody, or NULL. */
static const char *useless(const struct key_row *k, bool is_named)
{
    if (k->is_revoked)
        return "it was revoked";
    if (is_named)
        return NULL;
    if (k->used && !k->reusable)
        return "it was used, and is good for once";
    return k->is_expired ? "it is expired" : NULL;
}

/* "sha256:" and the hash of the whole text: a secret is never kept in clear. */
static struct str hash_of_clear(struct str clear)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(256);
    uint8_t hash[SECRET_HASH_BYTES];

    secret_hash(clear, hash);
    buf_put(&text, STR("sha256:"));
    buf_put_hex(&text, str_bytes(hash, sizeof(hash)));
    return str_copy(buf_str(&text));
}

static struct auth_key *make_key(struct import *im, const struct key_row *k,
                                 const struct user *owner)
{
    struct auth_key *key = auth_key_new();

    key->tailnet = im->tailnet;
    key->user = owner ? owner->id : 0;
    for (size_t i = 0; i < k->tags.len; i++)
        str_list_add(&key->tags, k->tags.items[i]);
    str_list_sort_unique(&key->tags);
    /* The first characters of an old key are what lists show of it. */
    key->prefix = str_copy(k->clear.len > 0 ? str_sub(k->clear, 0, SECRET_ID_CHARS) : k->prefix);
    key->legacy = k->clear.len > 0 ? hash_of_clear(k->clear) : str_copy(k->hash);
    key->reusable = k->reusable;
    key->ephemeral = k->ephemeral;
    key->used = k->used;
    key->created_ms = k->created_ms;
    key->expiry_ms = k->expiry_ms;
    return key;
}

/* What makes two keys one: the hash, and where it is salted the prefix as well. In the arena. */
static struct str identity_of(struct arena *arena, const struct auth_key *key)
{
    if (str_starts(key->legacy, STR("sha256:")))
        return key->legacy;
    return arena_printf(arena, "%.*s %.*s", STR_ARG(key->prefix), STR_ARG(key->legacy));
}

void import_note_auth_key(struct import *im, const struct auth_key *key)
{
    void *k = (void *)(uintptr_t)key;

    if (key->prefix.len > 0)
        (void)map_put(im->prefixes, key->prefix, k);
    if (key->legacy.len > 0)
        (void)map_put(im->legacy, identity_of(im->arena, key), k);
}

/* Takes the reference. */
static int add_key(struct import *im, uint64_t id, struct auth_key *key, struct err *err)
{
    const struct auth_key *same = map_find(im->legacy, identity_of(im->arena, key));
    struct str shown = arena_copy(im->arena, key->prefix);

    if (same) {
        (void)map_put_u64(im->keys, id, (void *)(uintptr_t)same);
        import_note(im, IMPORT_PRESENT, IMPORT_AUTH_KEY, id, shown,
                    "is key %llu, which is there already", (unsigned long long)same->id);
        auth_key_unref(key);
        return 0;
    }
    if (map_find(im->prefixes, key->prefix)) {
        /* A key in clear is found without a prefix, one with a hash is not. */
        if (!str_starts(key->legacy, STR("sha256:"))) {
            import_note(im, IMPORT_LEFT, IMPORT_AUTH_KEY, id, shown,
                        "another key has the same prefix");
            auth_key_unref(key);
            return 0;
        }
        str_free(&key->prefix);
    }
    key->id = import_take_id(im, 'k', id, &im->next.auth_key);
    if (key->id == id)
        import_note(im, IMPORT_TAKEN, IMPORT_AUTH_KEY, id, STR_NONE, NULL);
    else
        import_note(im, IMPORT_CHANGED, IMPORT_AUTH_KEY, id, shown,
                    "gets the number %llu: another key has %llu", (unsigned long long)key->id,
                    (unsigned long long)id);
    if (domain_load_auth_key(im->domain, key, err) < 0)
        return -(int)err->code;
    (void)map_put_u64(im->keys, id, key);
    import_note_auth_key(im, key);
    import_changed(im, CHANGE_AUTH_KEY, key->id);
    return 0;
}

static int key_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = key_columns, .v = columns, .n = n};
    struct key_row k = {0};
    struct import_key *facts;
    const struct user *owner;
    const char *why;

    read_key(im, &r, &k);
    struct str shown = k.prefix.len > 0 ? k.prefix : str_sub(k.clear, 0, SECRET_ID_CHARS);

    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_AUTH_KEY, k.id, shown, "%s", r.trouble);
        return 0;
    }
    facts = map_find_u64(im->key_facts, k.id);
    if (facts) {
        facts->is_ephemeral = k.ephemeral;
        facts->user = k.user;
    }
    owner = k.user ? map_find_u64(im->users, k.user) : NULL;
    why = useless(&k, facts && facts->is_named);
    if (!why && !owner && k.tags.len == 0)
        why = "its user is not there";
    if (why) {
        import_note(im, IMPORT_LEFT, IMPORT_AUTH_KEY, k.id, shown, "%s", why);
        return 0;
    }
    if (map_len(im->keys) >= TAILNET_AUTH_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d auth keys", TAILNET_AUTH_KEYS_MAX);
    return add_key(im, k.id, make_key(im, &k, owner), err);
}

int import_auth_keys(struct import *im, struct err *err)
{
    if (schema_has_column(&im->schema, "pre_auth_key_acl_tags", "tag") &&
        schema_select(&im->schema, "pre_auth_key_acl_tags", tag_columns, tag_row, im, err) < 0)
        return -(int)err->code;
    return schema_select(&im->schema, "pre_auth_keys", key_columns, key_row, im, err);
}

/* ---- policies ---- */

static const char *const policy_columns[] = {"id", "data", NULL};

struct newest_policy {
    uint64_t id;
    struct str text; /* owned */
    char trouble[160];
};

static int policy_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct newest_policy *p = user;
    struct values r = {.names = policy_columns, .v = columns, .n = n};
    struct str text = values_text(&r, "data", TAILNET_POLICY_MAX);

    (void)err;
    str_free(&p->text);
    p->text = str_copy(text);
    p->id = values_id(&r, "id");
    memcpy(p->trouble, r.trouble, sizeof(p->trouble));
    return 0;
}

static bool has_policy(struct import *im)
{
    const struct tailnet_view *view = domain_view(im->domain, im->tailnet);
    bool has = view_info(view)->policy_updated_ms != 0;

    view_unref(view);
    return has;
}

int import_policy(struct import *im, struct err *err)
{
    struct newest_policy p = {0};
    int status = 0;

    if (schema_has_column(&im->schema, "policies", "data"))
        status = schema_select(&im->schema, "policies", policy_columns, policy_row, &p, err);
    if (status < 0 || p.id == 0) {
        str_free(&p.text);
        return status;
    }
    if (!im->options->take_policy)
        import_note(im, IMPORT_LEFT, IMPORT_POLICY, p.id, STR_NONE,
                    "policy.mode is not database: the policy file is the policy");
    else if (has_policy(im))
        import_note(im, IMPORT_PRESENT, IMPORT_POLICY, p.id, STR_NONE,
                    "there is one already, and it stays");
    else if (p.trouble[0])
        status =
            err_set(err, ERR_INVALID, "the policy cannot be taken over: row %llu of policies: %s",
                    (unsigned long long)p.id, p.trouble);
    else {
        im->policy = arena_copy(im->arena, p.text);
        import_note(im, IMPORT_TAKEN, IMPORT_POLICY, p.id, STR_NONE, NULL);
    }
    str_free(&p.text);
    return status;
}

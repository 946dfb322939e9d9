/*
 * API keys in the domain: made, expired, deleted, noted as used; the other kinds are in oauth.c and
 * sessions.c. They are the server's, whichever
 * tailnet they are of, so their changes belong to no tailnet and views do not have them:
 * domain_api_keys does.
 */

#include "crypto/secret.h"
#include "tailnet/api_key_internal.h"
#include "tailnet/domain_internal.h"

#define SCOPE_MAX 64 /* bytes */

/* ---- Tables ---- */

DEFINE_TABLE_OF(api_key)

void api_keys_init(struct domain *d)
{
    d->api_keys = TABLE_OF(api_key);
    d->api_key_by_prefix = map_new();
    d->api_key_ends = map_new();
}

void api_keys_fini(struct domain *d)
{
    struct str id;
    void *end;

    for (size_t at = 0; map_next(d->api_key_ends, &at, &id, &end);)
        mem_free(end);
    map_free(d->api_key_ends);
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

/* Plain keys stay when they have expired, for people to see; the others are used up by machines. */
static void schedule_end(struct domain *d, const struct api_key *k)
{
    struct api_key_end *end = map_find_u64(d->api_key_ends, k->id);

    if (k->kind == API_KEY_PLAIN || k->kind == API_KEY_OAUTH_CLIENT || k->expiry_ms == 0)
        return;
    if (!end) {
        end = NEW(struct api_key_end);
        end->id = k->id;
        end->deadline.kind = DEADLINE_API_KEY;
        (void)map_put_u64(d->api_key_ends, k->id, end);
    }
    schedule_set(&d->schedule, &end->deadline, k->expiry_ms);
}

/* Takes the reference. The prefix and the kind of a key never change. */
static void put(struct domain *d, const struct api_key *k)
{
    d->n_api_keys[k->kind] += !table_find(&d->api_keys, k->id);
    schedule_end(d, k);
    (void)map_put(d->api_key_by_prefix, k->prefix, in_map(k));
    table_put(&d->api_keys, k->id, k);
    id_used(d, ID_API_KEY, k->id);
    forget_set(d);
}

void api_key_remove(struct domain *d, const struct api_key *k)
{
    api_key_id id = k->id;
    struct api_key_end *end = map_remove_u64(d->api_key_ends, id);

    if (end)
        schedule_clear(&d->schedule, &end->deadline);
    mem_free(end);
    d->n_api_keys[k->kind]--;
    (void)map_remove(d->api_key_by_prefix, k->prefix);
    (void)table_remove(&d->api_keys, id);
    forget_set(d);
    domain_emit(d, NULL, (struct change){.kind = CHANGE_API_KEY_REMOVED, .id = id});
}

void api_key_make_room(struct domain *d, enum api_key_kind kind, api_key_id client, user_id user,
                       size_t max)
{
    const struct api_key *k, *oldest = NULL;
    size_t n = 0;

    for (size_t at = 0; (k = table_next(&d->api_keys, &at));) {
        if (k->kind != kind || k->client != client || k->user != user)
            continue;
        if (!oldest || k->created_ms < oldest->created_ms)
            oldest = k;
        n++;
    }
    if (n >= max)
        api_key_remove(d, oldest);
}

void api_key_ended(struct domain *d, struct api_key_end *end)
{
    api_key_remove(d, table_find(&d->api_keys, end->id));
}

void api_keys_remove_of(struct domain *d, tailnet_id tailnet, user_id user)
{
    const struct api_key *k;
    size_t at = 0;

    /* Removing may merge chunks: begin anew after each. */
    while ((k = table_next(&d->api_keys, &at))) {
        if (k->tailnet != tailnet || (user != 0 && k->user != user))
            continue;
        api_key_remove(d, k);
        at = 0;
    }
}

static bool is_asleep(const struct domain *d, const struct api_key *k)
{
    return k->user != 0 && !user_is_active(d, k->user);
}

/* Sessions end: who is restored logs in again. */
void api_keys_follow_user(struct domain *d, const struct user_state *s)
{
    const struct api_key *k;

    for (size_t at = 0; (k = table_next(&d->api_keys, &at));) {
        struct command_result unwanted = {0};
        bool asleep = is_asleep(d, k);

        if (k->user != s->user->id || k->is_asleep == asleep)
            continue;
        if (asleep && k->kind == API_KEY_SESSION) {
            api_key_remove(d, k);
            at = 0;
            continue;
        }
        api_key_replace(d, api_key_clone(k), 0, &unwanted);
        command_result_fini(&unwanted);
    }
}

/* Of one that is loaded: what belongs to whom. Clients are loaded before their tokens. */
static int check_kind(const struct domain *d, const struct api_key *k, struct err *err)
{
    const struct api_key *client = k->client ? table_find(&d->api_keys, k->client) : NULL;

    if (k->kind >= API_KEY_KINDS)
        return err_set(err, ERR_INVALID, "is of no kind there is");
    if (k->kind != API_KEY_PLAIN && (k->tailnet == 0 || k->scopes.len == 0))
        return err_set(err, ERR_INVALID, "is of no tailnet or without scopes");
    if (k->kind == API_KEY_OAUTH_TOKEN &&
        (!client || client->kind != API_KEY_OAUTH_CLIENT || client->tailnet != k->tailnet))
        return err_set(err, ERR_INVALID, "is an access token of no client");
    if (k->kind == API_KEY_SESSION && k->user == 0)
        return err_set(err, ERR_INVALID, "is a session of no user");
    return 0;
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
    if (check_kind(d, key, err) < 0)
        return err_wrap(err, "API key %" PRIu64, key->id);
    key->is_asleep = is_asleep(d, key);
    put(d, TAKE(owned));
    return 0;
}

/* ---- Commands ---- */

int api_key_check_note(struct str text, struct err *err)
{
    if (text.len > API_KEY_NOTE_MAX || !str_is_utf8(text))
        return err_set(err, ERR_INVALID, "a description has at most %d bytes of UTF-8",
                       API_KEY_NOTE_MAX);
    return 0;
}

int api_key_check_scopes(const struct str_list *scopes, struct err *err)
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
    if (api_key_check_note(c->text, err) < 0)
        return -(int)err->code;
    if (d->n_api_keys[API_KEY_PLAIN] >= API_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d API keys; delete old ones",
                       API_KEYS_MAX);
    if (quota_check_share(d, *t, API_KEY_PLAIN, API_KEYS_MAX, err) < 0)
        return -(int)err->code;
    if (*t && quota_check(*t, QUOTA_KEYS, keys_count(d, *t), err) < 0)
        return -(int)err->code;
    return api_key_check_scopes(&c->scopes, err);
}

struct api_key *api_key_make(struct domain *d, enum api_key_kind kind, struct command_result *r)
{
    struct secret_token token = {0};
    struct api_key *k = api_key_new();

    do {
        secret_token_fini(&token);
        token = (struct secret_token){0};
        secret_token_make(&token, api_key_kind_text(kind));
    } while (map_find(d->api_key_by_prefix, str_bytes(token.id, sizeof(token.id))));
    k->kind = kind;
    k->prefix = str_copy(str_bytes(token.id, sizeof(token.id)));
    memcpy(k->hash, token.hash, sizeof(k->hash));
    k->created_ms = d->now_ms;
    r->secret = str_copy(buf_str(&token.text));
    secret_token_fini(&token);
    return k;
}

void api_key_add(struct domain *d, struct api_key *k, struct command_result *r)
{
    k->id = id_next(d, k->tailnet != 0 ? domain_tailnet(d, k->tailnet) : NULL, ID_API_KEY);
    api_key_replace(d, k, 0, r);
}

int api_key_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *owner = NULL;

    if (check_create(d, c, &t, &owner, err) < 0)
        return -(int)err->code;

    struct api_key *k = api_key_make(d, API_KEY_PLAIN, r);
    k->tailnet = t ? t->id : 0;
    k->user = owner ? owner->user->id : 0;
    k->description = str_copy(c->text);
    str_list_copy(&k->scopes, &c->scopes);
    k->expiry_ms = c->expiry_ms;
    r->user = owner ? user_ref(owner->user) : NULL;
    d->of = t;
    api_key_add(d, k, r);
    return 0;
}

static int key_get(struct domain *d, const struct command *c, const struct api_key **out,
                   struct err *err)
{
    struct str prefix = api_key_prefix_of(c->name);
    const struct api_key *k = c->id != 0 ? table_find(&d->api_keys, c->id) : NULL;

    if (c->id == 0 && prefix.len > 0)
        k = map_find(d->api_key_by_prefix, prefix);
    if (k && k->kind != API_KEY_PLAIN && c->type != COMMAND_API_KEY_SEEN)
        k = NULL;
    if (!k || (c->tailnet != 0 && k->tailnet != c->tailnet))
        return err_set(err, ERR_NOT_FOUND, "API key not found");
    *out = k;
    return 0;
}

void api_key_replace(struct domain *d, struct api_key *with, unsigned mask,
                     struct command_result *r)
{
    with->is_asleep = is_asleep(d, with);
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
        api_key_replace(d, with, 0, r);
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
    api_key_remove(d, k);
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
        api_key_replace(d, with, API_KEY_SEEN, r);
        return 0;
    }
    r->id = k->id;
    r->api_key = api_key_ref(k);
    return 0;
}

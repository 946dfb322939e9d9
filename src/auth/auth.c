/*
 * Checking API keys. Per loop: what it knows of each key, found by prefix.
 *
 * A check ends in one of three ways:
 *
 *   fits, by SHA-256 ------------------------> AUTH_OK at once
 *   does not, and no key is an imported one -> AUTH_REFUSED at once
 *   anything else ---------------------------> one slow hash on a worker: of the key it may be,
 *                                              or of any, whose result then does not count
 *
 * "Imported" is asked for each kind of key by itself: what kind is shown, its text says openly.
 *
 * So from the outside a wrong secret, an unknown prefix, an expired key and no key at all look the
 * same. A ticket is the caller's hold on a hash under way; the memory is the job's until the
 * worker reported back, cancelled or not.
 */

#include "auth/auth.h"

#include <stdatomic.h>

#include "auth/auth_internal.h"
#include "auth/roles.h"
#include "core/clock.h"
#include "core/map.h"
#include "core/metric.h"
#include "crypto/secret.h"
#include "net/loop.h"

static struct metric refused =
    METRIC_COUNTER("hatsize_auth_refused_total", "API calls refused for what they showed.");
static struct metric busy = METRIC_COUNTER(
    "hatsize_auth_busy_total", "API calls refused because too many old keys were being hashed.");
static struct metric hashes =
    METRIC_COUNTER("hatsize_auth_hashes_total", "Slow hashes of imported keys.");

/* A key as one loop knows it. */
struct known {
    const struct api_key *key; /* counted */
    bool is_proven;            /* an imported one whose secret was seen; `proof` is its SHA-256 */
    uint8_t proof[SECRET_HASH_BYTES];
    int64_t seen_ms; /* when on_seen was told last */
};

struct auth_loop {
    struct loop *loop;
    const struct api_key_set *keys; /* counted; NULL before the first */
    struct map *by_prefix;          /* struct known */
    struct map *by_id;              /* the same */
    size_t n_imported[API_KEY_KINDS];
};

struct auth {
    struct auth_options options;
    struct auth_loop *loops;
    struct worker_pool *pool;
    _Atomic(size_t) in_flight;
};

struct auth_ticket {
    struct worker_job job;
    struct auth *auth;
    struct auth_loop *loop;
    api_key_id id; /* the key it may be; 0: none, whatever the hash says */
    struct str secret;
    struct str hash;
    bool fits;
    auth_done_fn *done; /* NULL: cancelled */
    void *user;
};

int auth_new(const struct auth_options *options, struct auth **out, struct err *err)
{
    struct auth *a = NEW(struct auth);

    a->options = *options;
    a->loops = mem_alloc_array(options->n_loops, sizeof(*a->loops));
    for (size_t i = 0; i < options->n_loops; i++)
        a->loops[i] = (struct auth_loop){
            .loop = options->loops[i], .by_prefix = map_new(), .by_id = map_new()};
    a->options.loops = NULL;
    if (worker_pool_new(AUTH_THREADS, &a->pool, err) < 0) {
        auth_free(a);
        return err_wrap(err, "starting the threads that check old keys");
    }
    *out = a;
    return 0;
}

void auth_stop(struct auth *a)
{
    if (!a || !a->pool)
        return;
    worker_pool_free(a->pool);
    a->pool = NULL;
}

static void known_free(struct known *k)
{
    api_key_unref(k->key);
    mem_wipe(k, sizeof(*k));
    mem_free(k);
}

static void forget_all(struct auth_loop *l)
{
    struct str prefix;
    void *value;

    for (size_t at = 0; map_next(l->by_prefix, &at, &prefix, &value);)
        known_free(value);
    map_free(l->by_prefix);
    map_free(l->by_id);
    l->by_prefix = map_new();
    l->by_id = map_new();
    memset(l->n_imported, 0, sizeof(l->n_imported));
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    auth_stop(a);
    for (size_t i = 0; i < a->options.n_loops; i++) {
        forget_all(&a->loops[i]);
        map_free(a->loops[i].by_prefix);
        map_free(a->loops[i].by_id);
        api_key_set_unref(a->loops[i].keys);
    }
    mem_free(a->loops);
    mem_free(a);
}

static struct auth_loop *loop_of(const struct auth *a, const struct loop *loop)
{
    for (size_t i = 0; i < a->options.n_loops; i++)
        if (a->loops[i].loop == loop)
            return &a->loops[i];
    ASSERT(false && "a loop that is not ours");
    return NULL;
}

/* ---- What the loop knows ---- */

static void forget(struct auth_loop *l, api_key_id id)
{
    struct known *k = map_remove_u64(l->by_id, id);

    if (!k)
        return;
    (void)map_remove(l->by_prefix, k->key->prefix);
    l->n_imported[k->key->kind] -= k->key->legacy.len > 0;
    known_free(k);
}

/* New, or another version of one that is known: what was proven of its secret still holds. */
static void learn(struct auth_loop *l, const struct api_key *key)
{
    struct known *k = map_find_u64(l->by_id, key->id);

    if (k && str_eq(k->key->legacy, key->legacy) && str_eq(k->key->prefix, key->prefix)) {
        api_key_unref(k->key);
        k->key = api_key_ref(key);
        return;
    }
    forget(l, key->id);
    k = NEW(struct known);
    k->key = api_key_ref(key);
    (void)map_put_u64(l->by_id, key->id, k);
    (void)map_put(l->by_prefix, key->prefix, k);
    l->n_imported[key->kind] += key->legacy.len > 0;
}

void auth_set_keys(struct auth *a, struct loop *loop, const struct api_key_set *keys,
                   const struct change *changes, size_t n_changes, bool reset)
{
    struct auth_loop *l = loop_of(a, loop);
    const struct api_key *key;

    if (reset || !l->keys) {
        forget_all(l);
        for (size_t at = 0; (key = api_key_set_next(keys, &at));)
            learn(l, key);
        n_changes = 0;
    }
    /* First those that go: a prefix may have come back with another key. */
    for (size_t i = 0; i < n_changes; i++)
        if (!api_key_set_find(keys, changes[i].id) &&
            (changes[i].kind == CHANGE_API_KEY || changes[i].kind == CHANGE_API_KEY_REMOVED))
            forget(l, changes[i].id);
    for (size_t i = 0; i < n_changes; i++)
        if (changes[i].kind == CHANGE_API_KEY && (key = api_key_set_find(keys, changes[i].id)))
            learn(l, key);

    const struct api_key_set *old = l->keys;
    l->keys = api_key_set_ref(keys);
    api_key_set_unref(old);
}

const struct api_key_set *auth_keys(const struct auth *a, const struct loop *loop)
{
    return loop_of(a, loop)->keys;
}

/* ---- Hashes on workers ---- */

static void ticket_free(struct auth_ticket *t)
{
    struct str *const secrets[] = {&t->secret, &t->hash};

    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        union {
            const char *in;
            char *out;
        } p = {.in = secrets[i]->ptr};

        if (p.out)
            mem_wipe(p.out, secrets[i]->len);
        str_free(secrets[i]);
    }
    mem_free(t);
}

static void work(struct worker_job *job)
{
    struct auth_ticket *t = CONTAINER_OF(job, struct auth_ticket, job);

    t->fits = secret_slow_matches(t->secret, t->hash);
}

static struct auth_ticket *submit(struct auth_loop *l, struct auth *a, api_key_id id,
                                  struct str secret, struct str hash,
                                  void (*done)(struct worker_job *job))
{
    struct auth_ticket *t;

    if (!a->pool || atomic_fetch_add(&a->in_flight, 1) >= AUTH_HASHES_MAX) {
        if (a->pool)
            (void)atomic_fetch_sub(&a->in_flight, 1);
        metric_add(&busy, 1);
        return NULL;
    }
    metric_add(&hashes, 1);
    t = NEW(struct auth_ticket);
    t->auth = a;
    t->loop = l;
    t->id = id;
    t->secret = str_copy(secret);
    t->hash = str_copy(hash);
    t->job = (struct worker_job){.work = work, .done = done, .loop = l->loop};
    worker_submit(a->pool, &t->job);
    return t;
}

void auth_cancel(struct auth_ticket *ticket)
{
    if (ticket)
        ticket->done = NULL;
}

/* The worker reported: whether anybody still wants to know. */
static bool reported(struct auth_ticket *t)
{
    (void)atomic_fetch_sub(&t->auth->in_flight, 1);
    /* The server goes down: whoever waits may let go of what it holds. */
    if (t->done && t->job.message.cancelled) {
        t->done(t->user, AUTH_BUSY, NULL);
        return false;
    }
    return t->done != NULL;
}

/* ---- Checks ---- */

static bool has_expired(const struct api_key *k, int64_t now_ms)
{
    return k->is_asleep || (k->expiry_ms != 0 && k->expiry_ms <= now_ms);
}

static void refuse(auth_done_fn *done, void *user)
{
    metric_add(&refused, 1);
    done(user, AUTH_REFUSED, NULL);
}

/* Holds what somebody's key says against what he may himself. False: nothing. */
static bool bound_by_user(const struct auth *a, const struct auth_loop *l, const struct api_key *k,
                          struct caller *c)
{
    if (k->user == 0 || k->kind == API_KEY_OAUTH_CLIENT || k->kind == API_KEY_OAUTH_TOKEN)
        return true;
    c->role = ROLE_MEMBER;
    bool has_role =
        a->options.role && a->options.role(a->options.user, l->loop, k->tailnet, k->user, &c->role);
    struct permissions his = has_role ? permissions_of_role(c->role) : (struct permissions){0};
    c->may = permissions_both(c->may, his);
    return his.read != 0;
}

static void accept(struct auth *a, struct auth_loop *l, struct known *k, auth_done_fn *done,
                   void *user)
{
    const struct api_key *client =
        k->key->client ? api_key_set_find(l->keys, k->key->client) : k->key;
    AUTO_FINI(caller_fini) struct caller who = caller_of_api_key(k->key, client);
    int64_t now = clock_unix_ms();

    if (!bound_by_user(a, l, k->key, &who)) {
        refuse(done, user);
        return;
    }
    /* A token is used all day long by one program; when it was made says enough. */
    if (a->options.on_seen && k->key->kind != API_KEY_OAUTH_TOKEN &&
        now - MAX(k->seen_ms, k->key->last_seen_ms) >= API_KEY_SEEN_MS) {
        k->seen_ms = now;
        a->options.on_seen(a->options.user, l->loop, k->key->id);
    }
    done(user, AUTH_OK, &who);
}

bool auth_again(const struct auth *a, struct loop *loop, struct caller *c)
{
    const struct auth_loop *l = loop_of(a, loop);
    const struct known *k;

    if (c->kind == CALLER_SOCKET)
        return true;
    k = c->api_key != 0 ? map_find_u64(l->by_id, c->api_key) : NULL;
    if (!k || has_expired(k->key, clock_unix_ms()))
        return false;
    c->may = permissions_of_scopes(&k->key->scopes);
    return bound_by_user(a, l, k->key, c);
}

/* The key may be gone, or have expired, since the hash was begun. */
static void check_reported(struct worker_job *job)
{
    struct auth_ticket *t = CONTAINER_OF(job, struct auth_ticket, job);

    if (reported(t)) {
        struct known *k = t->id != 0 && t->fits ? map_find_u64(t->loop->by_id, t->id) : NULL;

        if (k && str_eq(k->key->legacy, t->hash)) {
            k->is_proven = true;
            secret_hash(t->secret, k->proof);
        } else {
            k = NULL;
        }
        if (k && !has_expired(k->key, clock_unix_ms()))
            accept(t->auth, t->loop, k, t->done, t->user);
        else
            refuse(t->done, t->user);
    }
    ticket_free(t);
}

static struct auth_ticket *check_slowly(struct auth *a, struct auth_loop *l, struct known *maybe,
                                        enum api_key_kind kind, struct str secret,
                                        auth_done_fn *done, void *user)
{
    struct str hash = maybe ? maybe->key->legacy : STR_NONE;
    struct str prefix;
    void *value;

    /* Any imported key's hash of that kind will do, the result does not count. */
    for (size_t at = 0; hash.len == 0 && map_next(l->by_prefix, &at, &prefix, &value);)
        if (((const struct known *)value)->key->kind == kind)
            hash = ((const struct known *)value)->key->legacy;

    struct auth_ticket *t = submit(l, a, maybe ? maybe->key->id : 0, secret, hash, check_reported);
    if (!t) {
        done(user, AUTH_BUSY, NULL);
        return NULL;
    }
    t->done = done;
    t->user = user;
    return t;
}

/* Whether the secret is the key's as far as SHA-256 can tell; as long for one that is not there. */
static bool fits_at_once(const struct known *k, struct str secret)
{
    static const uint8_t nothing[SECRET_HASH_BYTES];
    bool is_imported = k && k->key->legacy.len > 0;
    const uint8_t *want = !k ? nothing : is_imported ? k->proof : k->key->hash;
    bool fits = secret_hash_matches(secret, want);

    return fits && k && (!is_imported || k->is_proven);
}

/* A whole key of one of the kinds (BIT(enum api_key_kind)); `id`: the prefix it must have, empty:
 * any. */
static struct auth_ticket *check_text(struct auth *a, struct auth_loop *l, struct str text,
                                      uint32_t kinds, struct str id, auth_done_fn *done, void *user)
{
    enum api_key_kind kind = API_KEY_PLAIN;
    struct str prefix = STR_NONE, secret = STR("-");
    bool is_key = api_key_split_any(text, &kind, &prefix, &secret) && (kinds & BIT(kind)) != 0;
    struct known *k = is_key ? map_find(l->by_prefix, prefix) : NULL;

    /* What is no key costs what a wrong one does. */
    while (!is_key && (kinds & BIT(kind)) == 0)
        kind = (enum api_key_kind)((kind + 1) % API_KEY_KINDS);
    if (k && (k->key->kind != kind || (id.len > 0 && !str_eq(id, prefix))))
        k = NULL;

    bool fits = fits_at_once(k, secret);
    bool may_fit = k && k->key->legacy.len > 0 && !k->is_proven;

    if (fits && !has_expired(k->key, clock_unix_ms()))
        accept(a, l, k, done, user);
    else if (l->n_imported[kind] == 0)
        refuse(done, user);
    else
        return check_slowly(a, l, may_fit ? k : NULL, kind, secret, done, user);
    return NULL;
}

struct auth_ticket *auth_check(struct auth *a, struct loop *loop, struct str header,
                               auth_done_fn *done, void *user)
{
    struct auth_credentials shown;
    struct str text = STR_NONE;

    if (auth_credentials_parse(header, &shown))
        text = str_bytes(shown.name, shown.name_len);

    struct auth_ticket *ticket =
        check_text(a, loop_of(a, loop), text, BIT(API_KEY_PLAIN) | BIT(API_KEY_OAUTH_TOKEN),
                   STR_NONE, done, user);
    auth_credentials_fini(&shown);
    return ticket;
}

struct auth_ticket *auth_check_client(struct auth *a, struct loop *loop, struct str client_id,
                                      struct str secret, auth_done_fn *done, void *user)
{
    return check_text(a, loop_of(a, loop), secret, BIT(API_KEY_OAUTH_CLIENT), client_id, done,
                      user);
}

struct auth_ticket *auth_check_session(struct auth *a, struct loop *loop, struct str token,
                                       auth_done_fn *done, void *user)
{
    return check_text(a, loop_of(a, loop), token, BIT(API_KEY_SESSION), STR_NONE, done, user);
}

/* ---- Imported auth keys ---- */

static void prove_reported(struct worker_job *job)
{
    struct auth_ticket *t = CONTAINER_OF(job, struct auth_ticket, job);

    if (reported(t))
        t->done(t->user, t->fits ? AUTH_OK : AUTH_REFUSED, NULL);
    ticket_free(t);
}

struct auth_ticket *auth_prove(struct auth *a, struct loop *loop, struct str secret,
                               struct str bcrypt_hash, auth_done_fn *done, void *user)
{
    struct auth_ticket *t = submit(loop_of(a, loop), a, 0, secret, bcrypt_hash, prove_reported);

    if (!t) {
        done(user, AUTH_BUSY, NULL);
        return NULL;
    }
    t->done = done;
    t->user = user;
    return t;
}

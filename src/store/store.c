/*
 * The store: open, load whole, commit batches.
 *
 *   batch: BEGIN  puts  deletions  revisions  counters  COMMIT   (any failure: ROLLBACK, nothing)
 *
 * The order inside a batch does not matter to the database: foreign keys are checked at COMMIT.
 */

#include "core/map.h"
#include "core/num.h"
#include "store/audit.h"
#include "store/import.h"
#include "store/store_internal.h"

#define COMMIT_TRIES 3 /* again, after a connection that was lost and came back */

int db_open(const struct store_options *options, struct db **out, struct err *err)
{
    struct store_options own = *options;
    AUTO_FINI(str_free) struct str path = {0};

    if (options->postgres)
        return db_postgres_open(options, false, out, err);
    path = import_path_of(options->sqlite_path);
    /* Before anything is made beside it. */
    if (import_is_headscale(path))
        return err_set(err, ERR_INVALID,
                       "this is a headscale database: Hatsize does not change it; `hatsize import "
                       "headscale` makes one of Hatsize's out of it");
    own.sqlite_path = path;
    return db_sqlite_open(&own, out, err);
}

int store_open(const struct store_options *options, struct store **out, struct err *err)
{
    const char *room[DB_VERSION + 1];
    struct db_migrations list = db_migrations(room);
    struct db *db = NULL;
    int status = db_open(options, &db, err);

    if (status < 0)
        return err_wrap(err, "opening the database");
    db_watch(db, options);
    status = db_migrate(db, &list, err);
    if (status == 0)
        status = db->ops->prepare_all(db, err);
    if (status < 0) {
        db->ops->close(db);
        return err_wrap(err, "opening the database");
    }

    struct store *s = NEW(struct store);

    s->db = db;
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    s->db->ops->close(s->db);
    mem_free(s);
}

static int run(struct store *s, enum db_statement id, const struct db_value *args, size_t n,
               struct err *err)
{
    return s->db->ops->run(s->db, id, args, n, NULL, NULL, err);
}

/* ---- load ---- */

struct loading {
    struct domain *domain;
    struct domain_counters counters;
    struct map *auth_keys; /* ids that exist */
};

static int load_info(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct tailnet_info *info = NULL;
    uint64_t revision = 0;
    int status = row_to_info(columns, n, &info, &revision, err);

    if (status < 0)
        return status;
    if (domain_load_tailnet(l->domain, info, revision, err) < 0)
        return err_wrap(err, "tailnets row %lld", (long long)columns[0].i);
    return 0;
}

static int load_user(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct user *u = NULL;
    int status = row_to_user(columns, n, &u, err);

    if (status < 0)
        return status;
    if (domain_load_user(l->domain, u, err) < 0)
        return err_wrap(err, "users row %lld", (long long)columns[0].i);
    return 0;
}

static int load_auth_key(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct auth_key *k = NULL;
    int status = row_to_auth_key(columns, n, &k, err);

    if (status < 0)
        return status;
    map_put_u64(l->auth_keys, k->id, l);
    if (domain_load_auth_key(l->domain, k, err) < 0)
        return err_wrap(err, "auth_keys row %lld", (long long)columns[0].i);
    return 0;
}

static int load_api_key(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct api_key *k = NULL;
    int status = row_to_api_key(columns, n, &k, err);

    if (status < 0)
        return status;
    if (domain_load_api_key(l->domain, k, err) < 0)
        return err_wrap(err, "api_keys row %lld", (long long)columns[0].i);
    return 0;
}

static int load_webhook(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct webhook *h = NULL;
    int status = row_to_webhook(columns, n, &h, err);

    if (status < 0)
        return status;
    if (domain_load_webhook(l->domain, h, err) < 0)
        return err_wrap(err, "webhooks row %lld", (long long)columns[0].i);
    return 0;
}

/* Only looked at here: store_deliveries hands them out. */
static int load_delivery(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct delivery *d = NULL;
    int status = row_to_delivery(columns, n, &d, err);

    (void)user;
    if (status == 0)
        delivery_unref(d);
    return status;
}

static int load_node(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct node *node = NULL;
    int status = row_to_node(columns, n, &node, err);

    if (status < 0)
        return status;
    /* The key it came with may have been deleted since. */
    if (node->auth_key != 0 && !map_find_u64(l->auth_keys, node->auth_key))
        node->auth_key = 0;
    if (domain_load_node(l->domain, node, err) < 0)
        return err_wrap(err, "nodes row %lld", (long long)columns[0].i);
    return 0;
}

static int load_share(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct share *s = NULL;
    int status = row_to_share(columns, n, &s, err);

    if (status < 0)
        return status;
    if (domain_load_share(l->domain, s, err) < 0)
        return err_wrap(err, "shares row %lld", (long long)columns[0].i);
    return 0;
}

static int load_share_invite(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct share_invite *i = NULL;
    int status = row_to_share_invite(columns, n, &i, err);

    if (status < 0)
        return status;
    if (domain_load_share_invite(l->domain, i, err) < 0)
        return err_wrap(err, "share_invites row %lld", (long long)columns[0].i);
    return 0;
}

static int load_user_invite(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;
    struct user_invite *i = NULL;
    int status = row_to_user_invite(columns, n, &i, err);

    if (status < 0)
        return status;
    if (domain_load_user_invite(l->domain, i, err) < 0)
        return err_wrap(err, "user_invites row %lld", (long long)columns[0].i);
    return 0;
}

static const struct {
    struct str name;
    size_t at;
} counter_fields[] = {
    {STR_INIT("tailnet"), offsetof(struct domain_counters, tailnet)},
    {STR_INIT("user"), offsetof(struct domain_counters, user)},
    {STR_INIT("auth_key"), offsetof(struct domain_counters, auth_key)},
    {STR_INIT("node"), offsetof(struct domain_counters, node)},
    {STR_INIT("api_key"), offsetof(struct domain_counters, api_key)},
    {STR_INIT("audit"), offsetof(struct domain_counters, audit)},
    {STR_INIT("webhook"), offsetof(struct domain_counters, webhook)},
    {STR_INIT("event"), offsetof(struct domain_counters, event)},
    {STR_INIT("share"), offsetof(struct domain_counters, share)},
    {STR_INIT("share_invite"), offsetof(struct domain_counters, share_invite)},
    {STR_INIT("user_invite"), offsetof(struct domain_counters, user_invite)},
};

static uint64_t *counter_at(struct domain_counters *c, size_t i)
{
    return (uint64_t *)(void *)((char *)c + counter_fields[i].at);
}

static int load_counter(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct loading *l = user;

    if (n != 2 || columns[0].type != DB_TEXT || columns[1].type != DB_INT || columns[1].i < 1 ||
        columns[1].i > (int64_t)NUM_JSON_MAX)
        return err_set(err, ERR_INVALID, "a row of counters is damaged");
    for (size_t i = 0; i < ARRAY_LEN(counter_fields); i++) {
        uint64_t *counter = counter_at(&l->counters, i);

        if (str_eq(columns[0].s, counter_fields[i].name))
            *counter = MAX(*counter, (uint64_t)columns[1].i);
    }
    return 0;
}

int db_load(struct db *db, struct domain *d, struct err *err)
{
    static const struct {
        enum db_statement id;
        db_row_fn *on_row;
    } steps[] = {
        {SQL_INFOS_ALL, load_info},
        {SQL_USERS_ALL, load_user},
        {SQL_AUTH_KEYS_ALL, load_auth_key},
        {SQL_NODES_ALL, load_node},
        {SQL_API_KEYS_ALL, load_api_key},
        {SQL_WEBHOOKS_ALL, load_webhook},
        {SQL_DELIVERIES_ALL, load_delivery},
        {SQL_SHARES_ALL, load_share},
        {SQL_SHARE_INVITES_ALL, load_share_invite},
        {SQL_USER_INVITES_ALL, load_user_invite},
        {SQL_COUNTERS_ALL, load_counter},
    };
    struct loading l = {
        .domain = d, .counters = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, .auth_keys = map_new()};
    int status = 0;

    for (size_t i = 0; i < ARRAY_LEN(steps) && status == 0; i++)
        status = db->ops->run(db, steps[i].id, NULL, 0, steps[i].on_row, &l, err);
    map_free(l.auth_keys);
    if (status == 0)
        domain_load_counters(d, &l.counters);
    return status;
}

int store_load(struct store *s, struct domain *d, struct err *err)
{
    if (db_load(s->db, d, err) < 0)
        return err_wrap(err, "reading the database");
    if (s->db->ops->loaded)
        s->db->ops->loaded(s->db);
    return 0;
}

bool store_is_stale(const struct store *s)
{
    return s->db->ops->is_stale && s->db->ops->is_stale(s->db);
}

int store_check(struct store *s, struct err *err)
{
    if (run(s, SQL_CHECK, NULL, 0, err) < 0)
        return err_wrap(err, "asking the database");
    return 0;
}

/* ---- earlier policies ---- */

struct policies_read {
    bool (*each)(void *user, struct str text, int64_t created_ms);
    void *user;
    bool is_done;
};

static int read_policy(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct policies_read *r = user;

    if (n != 2 || columns[0].type != DB_TEXT || columns[1].type != DB_INT)
        return err_set(err, ERR_INVALID, "a row of policies is damaged");
    r->is_done = r->is_done || !r->each(r->user, columns[0].s, columns[1].i);
    return 0;
}

int store_policies(struct store *s, tailnet_id tailnet,
                   bool (*each)(void *user, struct str text, int64_t created_ms), void *user,
                   struct err *err)
{
    const struct db_value args[] = {DB_INT_OF(tailnet)};
    struct policies_read r = {.each = each, .user = user};

    if (s->db->ops->run(s->db, SQL_POLICIES_OF, args, ARRAY_LEN(args), read_policy, &r, err) < 0)
        return err_wrap(err, "reading earlier policies");
    return 0;
}

/* ---- what is on its way to webhooks ---- */

struct deliveries_read {
    void (*each)(void *user, const struct delivery *d);
    void *user;
};

static int read_delivery(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct deliveries_read *r = user;
    struct delivery *d = NULL;
    int status = row_to_delivery(columns, n, &d, err);

    if (status < 0)
        return status;
    r->each(r->user, d);
    delivery_unref(d);
    return 0;
}

int store_deliveries(struct store *s, void (*each)(void *user, const struct delivery *d),
                     void *user, struct err *err)
{
    struct deliveries_read r = {.each = each, .user = user};

    if (s->db->ops->run(s->db, SQL_DELIVERIES_ALL, NULL, 0, read_delivery, &r, err) < 0)
        return err_wrap(err, "reading what is on its way to webhooks");
    return 0;
}

/* ---- values of the server ---- */

struct value_read {
    struct buf *value;
    bool found;
};

static int read_value(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct value_read *r = user;

    if (n != 1 || columns[0].type != DB_BLOB)
        return err_set(err, ERR_INVALID, "a row of server_values is damaged");
    r->found = true;
    buf_put(r->value, columns[0].s);
    return buf_is_full(r->value) ? err_set(err, ERR_LIMIT, "a server value is too long") : 0;
}

int store_value_get(struct store *s, struct str name, struct buf *value, bool *found,
                    struct err *err)
{
    struct db_value args[] = {DB_TEXT_OF(name)};
    struct value_read r = {.value = value};

    buf_clear(value);
    if (s->db->ops->run(s->db, SQL_VALUE_GET, args, ARRAY_LEN(args), read_value, &r, err) < 0)
        return err_wrap(err, "reading \"%.*s\"", STR_ARG(name));
    *found = r.found;
    return 0;
}

int store_value_put(struct store *s, struct str name, struct str value, struct err *err)
{
    struct db_value args[] = {DB_TEXT_OF(name), DB_BLOB_OF(value)};

    /* A statement by itself is a transaction by itself. */
    if (run(s, SQL_VALUE_PUT, args, ARRAY_LEN(args), err) < 0)
        return err_wrap(err, "writing \"%.*s\"", STR_ARG(name));
    return 0;
}

/* ---- commit ---- */

static uint64_t revision_of(const struct store_batch *b, tailnet_id tailnet)
{
    for (size_t i = 0; i < b->n_revisions; i++)
        if (b->revisions[i].tailnet == tailnet)
            return b->revisions[i].revision;
    return 0;
}

static int commit_delete(struct store *s, enum db_statement id, const struct store_op *op,
                         struct err *err)
{
    struct db_value args[] = {DB_INT_OF(op->id)};

    return run(s, id, args, ARRAY_LEN(args), err);
}

/* With its entries in the audit log: whoever had it deleted may rely on that. */
static int commit_delete_tailnet(struct store *s, const struct store_op *op, struct err *err)
{
    int status = commit_delete(s, SQL_TAILNET_DELETE, op, err);

    if (status == 0)
        status = commit_delete(s, SQL_TAILNET_AUDIT_DELETE, op, err);
    return status < 0 ? status : commit_delete(s, SQL_TAILNET_DELIVERIES_DELETE, op, err);
}

static int commit_info(struct store *s, const struct tailnet_info *info, uint64_t revision,
                       struct arena *arena, struct err *err)
{
    struct db_value args[DB_COLUMNS_MAX];
    const struct db_value keep[] = {DB_INT_OF(info->id), DB_INT_OF(POLICIES_KEPT)};
    int status = run(s, SQL_INFO_PUT, args, row_from_info(info, revision, arena, args), err);
    size_t n = row_from_policy(info, args);

    if (status == 0 && n > 0)
        status = run(s, SQL_POLICY_PUT, args, n, err);
    return status < 0 || n == 0 ? status : run(s, SQL_POLICY_PRUNE, keep, ARRAY_LEN(keep), err);
}

static int commit_op(struct store *s, const struct store_batch *b, const struct store_op *op,
                     struct arena *arena, struct err *err)
{
    struct db_value args[DB_COLUMNS_MAX];

    switch (op->kind) {
    case STORE_PUT_INFO:
        return commit_info(s, op->object, revision_of(b, op->tailnet), arena, err);
    case STORE_PUT_USER:
        return run(s, SQL_USER_PUT, args, row_from_user(op->object, arena, args), err);
    case STORE_PUT_AUTH_KEY:
        return run(s, SQL_AUTH_KEY_PUT, args, row_from_auth_key(op->object, arena, args), err);
    case STORE_PUT_NODE:
        return run(s, SQL_NODE_PUT, args, row_from_node(op->object, arena, args), err);
    case STORE_PUT_API_KEY:
        return run(s, SQL_API_KEY_PUT, args, row_from_api_key(op->object, arena, args), err);
    case STORE_PUT_AUDIT:
        return audit_commit(s, op->object, err);
    case STORE_PUT_WEBHOOK:
        return run(s, SQL_WEBHOOK_PUT, args, row_from_webhook(op->object, arena, args), err);
    case STORE_PUT_DELIVERY:
        return run(s, SQL_DELIVERY_PUT, args, row_from_delivery(op->object, args), err);
    case STORE_PUT_SHARE:
        return run(s, SQL_SHARE_PUT, args, row_from_share(op->object, arena, args), err);
    case STORE_PUT_SHARE_INVITE:
        return run(s, SQL_SHARE_INVITE_PUT, args, row_from_share_invite(op->object, arena, args),
                   err);
    case STORE_PUT_USER_INVITE:
        return run(s, SQL_USER_INVITE_PUT, args, row_from_user_invite(op->object, args), err);
    case STORE_DELETE_USER_INVITE:
        return commit_delete(s, SQL_USER_INVITE_DELETE, op, err);
    case STORE_DELETE_SHARE:
        return commit_delete(s, SQL_SHARE_DELETE, op, err);
    case STORE_DELETE_SHARE_INVITE:
        return commit_delete(s, SQL_SHARE_INVITE_DELETE, op, err);
    case STORE_DELETE_WEBHOOK:
        return commit_delete(s, SQL_WEBHOOK_DELETE, op, err);
    case STORE_DELETE_DELIVERY:
        return commit_delete(s, SQL_DELIVERY_DELETE, op, err);
    case STORE_DELETE_TAILNET:
        return commit_delete_tailnet(s, op, err);
    case STORE_DELETE_USER:
        return commit_delete(s, SQL_USER_DELETE, op, err);
    case STORE_DELETE_AUTH_KEY:
        return commit_delete(s, SQL_AUTH_KEY_DELETE, op, err);
    case STORE_DELETE_NODE:
        return commit_delete(s, SQL_NODE_DELETE, op, err);
    case STORE_DELETE_API_KEY:
        return commit_delete(s, SQL_API_KEY_DELETE, op, err);
    }
    return err_set(err, ERR_INTERNAL, "an unknown operation");
}

static int commit_ops(struct store *s, const struct store_batch *b, struct err *err)
{
    int status = 0;

    for (size_t i = 0; i < b->len && status == 0; i++) {
        if (b->ops[i].dropped)
            continue;

        /* One arena an operation: what it holds is as large as one row. */
        AUTO(arena_free) struct arena *arena = arena_new();

        status = commit_op(s, b, &b->ops[i], arena, err);
    }
    return status;
}

static int commit_revisions(struct store *s, const struct store_batch *b, struct err *err)
{
    int status = 0;

    for (size_t i = 0; i < b->n_revisions && status == 0; i++) {
        struct db_value args[] = {DB_INT_OF(b->revisions[i].tailnet),
                                  DB_INT_OF(b->revisions[i].revision)};

        status = run(s, SQL_REVISION_PUT, args, ARRAY_LEN(args), err);
    }
    return status;
}

static int commit_counters(struct store *s, const struct store_batch *b, struct err *err)
{
    struct domain_counters counters = b->counters;
    int status = 0;

    for (size_t i = 0; b->has_counters && i < ARRAY_LEN(counter_fields) && status == 0; i++) {
        struct db_value args[] = {DB_TEXT_OF(counter_fields[i].name),
                                  DB_INT_OF(*counter_at(&counters, i))};

        status = run(s, SQL_COUNTER_PUT, args, ARRAY_LEN(args), err);
    }
    return status;
}

static int commit_once(struct store *s, const struct store_batch *b, struct err *err)
{
    int status;

    if (s->db->ops->begin(s->db, err) < 0)
        return -(int)err->code;
    status = commit_ops(s, b, err);
    if (status == 0)
        status = commit_revisions(s, b, err);
    if (status == 0)
        status = commit_counters(s, b, err);
    if (status < 0) {
        s->db->ops->rollback(s->db);
        return status;
    }
    return s->db->ops->commit(s->db, err);
}

int store_commit(struct store *s, const struct store_batch *b, struct err *err)
{
    struct err unasked = {0};
    struct err *why = err ? err : &unasked;

    if (store_batch_len(b) == 0 && !b->has_counters)
        return 0;
    for (size_t tries = 0;; tries++) {
        if (commit_once(s, b, why) == 0)
            return 0;
        if (tries == COMMIT_TRIES || !s->db->ops->is_lost || !s->db->ops->is_lost(s->db))
            return err_wrap(why, "committing");
        switch (s->db->ops->settle(s->db, why)) {
        case DB_APPLIED:
            return 0;
        case DB_NOT_APPLIED:
            continue;
        case DB_AWAY:
            /* Whatever keeps it away may pass. */
            why->code = ERR_IO;
            return err_wrap(why, "committing");
        case DB_STALE:
            return err_wrap(why, "committing");
        }
    }
}

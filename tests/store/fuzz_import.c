/*
 * Any values in any columns: whatever an import takes is what a server can start from.
 *
 * The input is a database in a nutshell: the first byte picks which tables and columns there are,
 * then come rows, table by table: a byte for whether there is a row at all, then its values, each
 * a word out of a list or bytes of the input's own.
 *
 * Laws: an import that leaves out what is damaged is read back by store_load, with as many users,
 * nodes and keys as the report says; one that is refused leaves the target empty; a dry run counts
 * what the import counts.
 */

#include "store/import_internal.h"
#include "tailnet/api_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS_MAX 8 /* of each table */

static const char *const shapes[][12] = {
    /* 0.28 and later */
    {"users: id name display_name email profile_pic_url provider_identifier provider created_at "
     "deleted_at",
     "pre_auth_keys: id key prefix hash user_id reusable ephemeral used tags expiration revoked "
     "created_at",
     "api_keys: id prefix hash expiration last_seen created_at",
     "nodes: id machine_key node_key disco_key endpoints host_info ipv4 ipv6 hostname given_name "
     "user_id register_method tags auth_key_id last_seen expiry approved_routes created_at",
     "policies: id data",
     "oauth_clients: id client_id secret_hash scopes tags description created_at revoked",
     "oauth_access_tokens: id prefix hash client_id scopes tags expiration", NULL},
    /* 0.17 to 0.27 */
    {"users: id name created_at",
     "pre_auth_keys: id key user_id reusable ephemeral used expiration",
     "pre_auth_key_acl_tags: id pre_auth_key_id tag",
     "machines: id machine_key node_key disco_key ip_addresses hostname given_name user_id "
     "register_method forced_tags auth_key_id last_seen expiry host_info endpoints",
     "routes: id machine_id prefix enabled", NULL},
    /* to 0.16 */
    {"namespaces: id name", "pre_auth_keys: id key namespace_id reusable ephemeral used expiration",
     "machines: id machine_key node_key disco_key ip_address name nickname namespace_id registered "
     "enabled_routes host_info expiry",
     NULL},
};

/* What a column may well hold; picked by number. */
static const char *const words[] = {
    "",
    "1",
    "2",
    "3",
    "alice",
    "bob",
    "0001-01-01 00:00:00+00:00",
    "2099-01-01 00:00:00.5+02:00",
    "[\"tag:web\"]",
    "[\"10.0.0.0/8\",\"0.0.0.0/0\"]",
    "[\"192.0.2.1:41641\"]",
    "100.64.0.1",
    "100.64.0.2,fd7a:115c:a1e0::2",
    "fd7a:115c:a1e0::1",
    "null",
    "tag:web",
    "10.0.0.0/8",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "mkey:2222222222222222222222222222222222222222222222222222222222222222",
    "nodekey:3333333333333333333333333333333333333333333333333333333333333333",
    "nodekey:4444444444444444444444444444444444444444444444444444444444444444",
    "{\"Hostname\":\"x\",\"RoutableIPs\":[\"10.0.0.0/8\"],\"RequestTags\":[\"tag:web\"]}",
    "abcdefghijkl",
    "$2a$04$abcdefghijklmnopqrstuuQSLmioUYOEmKTL16wobTks4j4shJ2JG",
    "00112233445566778899aabbccddeeff0011223344556677",
    "{\"acls\":[]}",
    "-x.Y_",
    "2147455555",
};

struct nutshell {
    struct foreign base;
    struct str in; /* what is left */
    const char *const *shape;
};

static uint8_t next_byte(struct nutshell *n)
{
    if (n->in.len == 0)
        return 0;

    uint8_t b = (uint8_t)n->in.ptr[0];

    n->in = str_from_index(n->in, 1);
    return b;
}

static struct db_value next_value(struct nutshell *n)
{
    uint8_t b = next_byte(n);
    struct str own;

    if (b < 16)
        return DB_NULL_OF;
    if (b < 48)
        return DB_INT_OF((int8_t)next_byte(n));
    if (b < 128)
        return DB_TEXT_OF(str_from(words[b % ARRAY_LEN(words)]));
    own = str_sub(n->in, 0, next_byte(n));
    n->in = str_from_index(n->in, own.len);
    return b < 200 ? DB_TEXT_OF(own) : DB_BLOB_OF(own);
}

static int give_columns(struct nutshell *n, db_row_fn *on_row, void *user, struct err *err)
{
    for (size_t i = 0; n->shape[i]; i++) {
        struct str table, rest, column;

        if (!str_split(str_from(n->shape[i]), ':', &table, &rest))
            return 0;
        rest = str_trim(rest);
        while (str_next(&rest, ' ', &column)) {
            const struct db_value row[] = {DB_TEXT_OF(table), DB_TEXT_OF(column)};
            int status = on_row(user, row, ARRAY_LEN(row), err);

            if (status < 0)
                return status;
        }
    }
    return 0;
}

static int query(struct foreign *f, const char *sql, db_row_fn *on_row, void *user, struct err *err)
{
    struct nutshell *n = CONTAINER_OF(f, struct nutshell, base);
    struct str columns = str_from(sql);
    struct db_value row[DB_COLUMNS_MAX] = {0};
    size_t n_columns = 1;
    int status = 0;

    if (str_eq(columns, STR("columns")))
        return give_columns(n, on_row, user, err);
    columns = str_sub(columns, 0, (size_t)str_find(columns, STR(" FROM ")));
    for (size_t i = 0; i < columns.len; i++)
        n_columns += columns.ptr[i] == ',';
    ASSERT(n_columns <= DB_COLUMNS_MAX);
    for (int i = 0; i < ROWS_MAX && status == 0 && next_byte(n) % 4 != 0; i++) {
        for (size_t k = 0; k < n_columns; k++)
            row[k] = next_value(n);
        status = on_row(user, row, n_columns, err);
    }
    return status;
}

static void close_nothing(struct foreign *f)
{
    (void)f;
}

static const struct foreign_ops ops = {
    .close = close_nothing, .query = query, .columns_sql = "columns"};

static bool may_ask(void *hook, const struct user *owner, struct str tag)
{
    (void)hook;
    return owner->id % 2 == 1 && tag.len > 5;
}

static void count(struct store *store, size_t counts[3])
{
    struct domain *d = domain_new();
    struct err err = {0};

    ASSERT(store_load(store, d, &err) == 0);
    domain_load_done(d, 1800000000000);
    const struct tailnet_view *v = domain_view(d, 0);
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    size_t users = 0, auth_keys = 0;

    if (v) {
        (void)view_users(v, &users);
        (void)view_auth_keys(v, &auth_keys);
    }
    counts[0] = users;
    counts[1] = v ? view_node_count(v) : 0;
    counts[2] = auth_keys + api_key_set_count(keys);
    view_unref(v);
    domain_free(d);
}

static int run(struct str in, struct store *store, bool skip, bool dry,
               struct import_report *report, struct arena *arena)
{
    struct tailnet_info *info = tailnet_info_new();
    struct nutshell n = {.base = {.ops = &ops}, .in = in};
    struct err err = {0};

    n.shape = shapes[next_byte(&n) % ARRAY_LEN(shapes)];
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    info->domain = str_copy(STR("example.net"));
    ASSERT(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    info->ephemeral_timeout_ms = 120000;
    const struct import_options options = {.info = info,
                                           .take_policy = true,
                                           .skip_damaged = skip,
                                           .now_ms = 1800000000000,
                                           .tag_may_be_requested = may_ask};
    int status = import_from(&options, &n.base, store, dry, arena, report, &err);

    tailnet_info_unref(info);
    return status;
}

/* One for all inputs: making the tables takes longer than filling them. */
static struct store *empty_store(void)
{
    static struct store *store;
    const struct store_options at = {.sqlite_path = STR(":memory:")};
    struct err err = {0};

    if (!store)
        ASSERT(store_open(&at, &store, &err) == 0);
    ASSERT(store->db->ops->script(store->db,
                                  "DELETE FROM nodes; DELETE FROM auth_keys; DELETE FROM api_keys;"
                                  "DELETE FROM users; DELETE FROM policies; DELETE FROM tailnets;"
                                  "DELETE FROM counters",
                                  &err) == 0);
    return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_bytes(data, size);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct store *store = empty_store();
    struct import_report dry, report;
    size_t counts[3];

    if (size > 8192)
        return 0;
    if (run(in, store, false, false, &report, arena) < 0) {
        count(store, counts);
        ASSERT(counts[0] + counts[1] + counts[2] == 0);
        int thought = run(in, NULL, true, true, &dry, arena);
        int did = run(in, store, true, false, &report, arena);

        ASSERT(thought == did && memcmp(dry.counts, report.counts, sizeof(dry.counts)) == 0);
        if (did < 0)
            return 0;
    }
    count(store, counts);
    ASSERT(counts[0] ==
           report.counts[IMPORT_USER][IMPORT_TAKEN] + report.counts[IMPORT_USER][IMPORT_CHANGED]);
    ASSERT(counts[1] ==
           report.counts[IMPORT_NODE][IMPORT_TAKEN] + report.counts[IMPORT_NODE][IMPORT_CHANGED]);
    ASSERT(counts[2] == report.counts[IMPORT_AUTH_KEY][IMPORT_TAKEN] +
                            report.counts[IMPORT_AUTH_KEY][IMPORT_CHANGED] +
                            report.counts[IMPORT_API_KEY][IMPORT_TAKEN] +
                            report.counts[IMPORT_API_KEY][IMPORT_CHANGED] +
                            report.counts[IMPORT_OAUTH_CLIENT][IMPORT_TAKEN] +
                            report.counts[IMPORT_OAUTH_TOKEN][IMPORT_TAKEN]);
    return 0;
}

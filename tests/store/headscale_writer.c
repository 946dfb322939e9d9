/* See headscale_writer.h. */

#include "headscale_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX 16384

const char *hs_release_words(enum hs_release r)
{
    static const char *const words[HS_RELEASES] = {
        [HS_0_12] = "0.14 or older", [HS_0_16] = "0.15 or 0.16", [HS_0_22] = "0.17 to 0.22",
        [HS_0_23] = "0.23",          [HS_0_25] = "0.24 or 0.25", [HS_0_27] = "0.26 or 0.27",
        [HS_0_28] = "0.28",          [HS_0_29] = "v0.29.2",      [HS_0_30] = "dev",
    };

    return words[r];
}

/* ---- tables ---- */

#define STAMPS "created_at datetime, updated_at datetime, deleted_at datetime"

static const char users_old[] =
    "CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT, " STAMPS ", name text UNIQUE);";
static const char namespaces[] =
    "CREATE TABLE namespaces (id integer PRIMARY KEY AUTOINCREMENT, " STAMPS ", name text UNIQUE);";
static const char users_new[] =
    "CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT, name text, display_name text,"
    " email text, provider_identifier text, provider text, profile_pic_url text, " STAMPS ");"
    "CREATE UNIQUE INDEX idx_provider_identifier ON users (provider_identifier)"
    " WHERE provider_identifier IS NOT NULL;"
    "CREATE UNIQUE INDEX idx_name_provider_identifier ON users (name, provider_identifier);"
    "CREATE UNIQUE INDEX idx_name_no_provider_identifier ON users (name)"
    " WHERE provider_identifier IS NULL;";

static const char keys_namespaces[] =
    "CREATE TABLE pre_auth_keys (id integer PRIMARY KEY AUTOINCREMENT, key text, namespace_id"
    " integer, reusable numeric, ephemeral numeric DEFAULT false, used numeric DEFAULT false,"
    " created_at datetime, expiration datetime);"
    "CREATE TABLE pre_auth_key_acl_tags (id integer PRIMARY KEY AUTOINCREMENT, pre_auth_key_id"
    " integer, tag text);";
static const char keys_old[] =
    "CREATE TABLE pre_auth_keys (id integer PRIMARY KEY AUTOINCREMENT, key text, user_id integer,"
    " reusable numeric, ephemeral numeric DEFAULT false, used numeric DEFAULT false, created_at"
    " datetime, expiration datetime, CONSTRAINT fk_pre_auth_keys_user FOREIGN KEY (user_id)"
    " REFERENCES users (id) ON DELETE CASCADE);"
    "CREATE TABLE pre_auth_key_acl_tags (id integer PRIMARY KEY AUTOINCREMENT, pre_auth_key_id"
    " integer, tag text);";
static const char keys_tags[] =
    "CREATE TABLE pre_auth_keys (id integer PRIMARY KEY AUTOINCREMENT, key text, user_id integer"
    " REFERENCES users (id) ON DELETE SET NULL, reusable numeric, ephemeral numeric DEFAULT false,"
    " used numeric DEFAULT false, tags text, expiration datetime, created_at datetime);";
#define KEYS_HASHED                                                                                \
    "CREATE TABLE pre_auth_keys (id integer PRIMARY KEY AUTOINCREMENT, key text, prefix text, "    \
    "hash"                                                                                         \
    " blob, user_id integer REFERENCES users (id) ON DELETE SET NULL, reusable numeric, ephemeral" \
    " numeric DEFAULT false, used numeric DEFAULT false, tags text, expiration datetime,"
static const char keys_hashed[] = KEYS_HASHED " created_at datetime);";
static const char keys_0_30[] =
    KEYS_HASHED " description text, revoked datetime, created_at datetime);";

static const char api_keys[] =
    "CREATE TABLE api_keys (id integer PRIMARY KEY AUTOINCREMENT, prefix text UNIQUE, hash blob,"
    " created_at datetime, expiration datetime, last_seen datetime);";
static const char api_keys_0_30[] =
    "CREATE TABLE api_keys (id integer PRIMARY KEY AUTOINCREMENT, prefix text, hash blob, user_id"
    " integer, expiration datetime, last_seen datetime, created_at datetime);"
    "CREATE UNIQUE INDEX idx_api_keys_prefix ON api_keys (prefix);";

static const char machines_0_12[] =
    "CREATE TABLE machines (id integer PRIMARY KEY AUTOINCREMENT, machine_key varchar(64), node_key"
    " text, disco_key text, ip_address text, name text, nickname text, namespace_id integer,"
    " registered numeric, register_method text, auth_key_id integer, last_seen datetime,"
    " last_successful_update datetime, expiry datetime, host_info JSON, endpoints JSON,"
    " enabled_routes JSON, " STAMPS ");"
    "CREATE TABLE shared_machines (id integer PRIMARY KEY, machine_id integer, namespace_id"
    " integer);"
    "CREATE TABLE kvs (key text, value text);";
static const char machines_0_16[] =
    "CREATE TABLE machines (id integer PRIMARY KEY AUTOINCREMENT, machine_key varchar(64), node_key"
    " text, disco_key text, ip_addresses text, hostname text, given_name varchar(63),"
    " namespace_id integer, register_method text, forced_tags text, auth_key_id integer, last_seen"
    " datetime, last_successful_update datetime, expiry datetime, host_info text, endpoints text,"
    " enabled_routes text, " STAMPS ");"
    "CREATE TABLE kvs (key text, value text);";
static const char machines_0_22[] =
    "CREATE TABLE machines (id integer PRIMARY KEY AUTOINCREMENT, machine_key varchar(64), node_key"
    " text, disco_key text, ip_addresses text, hostname text, given_name varchar(63), user_id"
    " integer, register_method text, forced_tags text, auth_key_id integer, last_seen datetime,"
    " last_successful_update datetime, expiry datetime, host_info text, endpoints text, " STAMPS
    ", CONSTRAINT fk_machines_user FOREIGN KEY (user_id) REFERENCES users (id));"
    "CREATE TABLE routes (id integer PRIMARY KEY AUTOINCREMENT, " STAMPS
    ", machine_id integer, prefix text, advertised numeric, enabled numeric, is_primary numeric);"
    "CREATE TABLE kvs (key text, value text); INSERT INTO kvs VALUES ('db_version', '1');";
#define NODES_TO(tags, rest)                                                                     \
    "CREATE TABLE nodes (id integer PRIMARY KEY AUTOINCREMENT, machine_key text, node_key text," \
    " disco_key text, endpoints text, host_info text, ipv4 text, ipv6 text, hostname text,"      \
    " given_name varchar(63), user_id integer, register_method text, " tags                      \
    " text, auth_key_id integer, expiry datetime, last_seen datetime, " rest STAMPS              \
    ", CONSTRAINT fk_nodes_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,"  \
    " CONSTRAINT fk_nodes_auth_key FOREIGN KEY (auth_key_id) REFERENCES pre_auth_keys (id));"
static const char nodes_0_23[] = NODES_TO(
    "forced_tags",
    "") "CREATE TABLE routes (id integer PRIMARY KEY AUTOINCREMENT, " STAMPS
        ", node_id integer, prefix text, advertised numeric, enabled numeric, is_primary numeric);";
static const char nodes_0_27[] = NODES_TO("forced_tags", "approved_routes text, ");
static const char nodes_0_28[] = NODES_TO("tags", "approved_routes text, ");

static const char policies[] =
    "CREATE TABLE policies (id integer PRIMARY KEY AUTOINCREMENT, " STAMPS ", data text);"
    "CREATE TABLE migrations (id text PRIMARY KEY);"
    "INSERT INTO migrations VALUES ('202312101416');";
static const char versions_0_29[] =
    "CREATE TABLE database_versions (id integer PRIMARY KEY, version text, updated_at datetime);"
    "INSERT INTO database_versions VALUES (1, 'v0.29.2', '2026-07-01 10:00:00+00:00');";
static const char versions_0_30[] =
    "CREATE TABLE database_versions (id integer PRIMARY KEY, version text, updated_at datetime);"
    "INSERT INTO database_versions VALUES (1, 'dev', '2026-07-01 10:00:00+00:00');"
    "CREATE TABLE oauth_clients (id integer PRIMARY KEY, client_id text UNIQUE, secret_hash blob,"
    " scopes text, tags text, description text, user_id integer, created_at datetime, revoked"
    " datetime);"
    "CREATE TABLE oauth_access_tokens (id integer PRIMARY KEY, prefix text UNIQUE, hash blob,"
    " client_id text, scopes text, tags text, expiration datetime, created_at datetime);";

static const char *const schemas[HS_RELEASES][6] = {
    [HS_0_12] = {namespaces, keys_namespaces, machines_0_12},
    [HS_0_16] = {namespaces, keys_namespaces, api_keys, machines_0_16},
    [HS_0_22] = {users_old, keys_old, api_keys, machines_0_22},
    [HS_0_23] = {users_old, keys_old, api_keys, nodes_0_23, policies},
    [HS_0_25] = {users_new, keys_tags, api_keys, nodes_0_23, policies},
    [HS_0_27] = {users_new, keys_tags, api_keys, nodes_0_27, policies},
    [HS_0_28] = {users_new, keys_hashed, api_keys, nodes_0_28, policies},
    [HS_0_29] = {users_new, keys_hashed, api_keys, nodes_0_28, policies, versions_0_29},
    [HS_0_30] = {users_new, keys_0_30, api_keys_0_30, nodes_0_28, policies, versions_0_30},
};

/* ---- writing ---- */

void hs_sql(sqlite3 *db, const char *sql)
{
    char *why = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK)
        return;
    fprintf(stderr, "%s: %s\n", sql, why);
    abort();
}

sqlite3 *hs_make(const char *path, enum hs_release r)
{
    sqlite3 *db = NULL;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        abort();
    for (size_t i = 0; i < 6 && schemas[r][i]; i++)
        hs_sql(db, schemas[r][i]);
    return db;
}

static int note_found(void *user, int n, char **values, char **names)
{
    (void)n, (void)values, (void)names;
    *(bool *)user = true;
    return 0;
}

static bool has_column(sqlite3 *db, const char *table, const char *column)
{
    char sql[512];
    bool found = false;

    snprintf(sql, sizeof(sql), "SELECT 1 FROM pragma_table_info('%s') WHERE name = '%s'", table,
             column);
    return sqlite3_exec(db, sql, note_found, &found, NULL) == SQLITE_OK && found;
}

static const char *own_name(sqlite3 *db, const char *table)
{
    if (strcmp(table, "nodes") == 0 && !has_column(db, "nodes", "id"))
        return "machines";
    if (strcmp(table, "users") == 0 && !has_column(db, "users", "id"))
        return "namespaces";
    return table;
}

void hs_put(sqlite3 *db, const char *table, ...)
{
    char *columns = calloc(1, SQL_MAX), *values = calloc(1, SQL_MAX), *sql = calloc(2, SQL_MAX);
    const char *own = own_name(db, table), *column;
    size_t c = 0, v = 0;
    va_list args;

    va_start(args, table);
    while ((column = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);

        if (!has_column(db, own, column))
            continue;
        c += (size_t)snprintf(columns + c, SQL_MAX - c, "%s\"%s\"", c ? ", " : "", column);
        v += (size_t)snprintf(values + v, SQL_MAX - v, "%s%s", v ? ", " : "", value);
        if (c >= SQL_MAX || v >= SQL_MAX)
            abort();
    }
    va_end(args);
    if (c > 0) {
        snprintf(sql, 2 * SQL_MAX, "INSERT INTO \"%s\" (%s) VALUES (%s)", own, columns, values);
        hs_sql(db, sql);
    }
    free(columns);
    free(values);
    free(sql);
}

/* ---- the small network ---- */

/* A key as the release writes it: 64 times the digit, with its kind in front from 0.23 on. */
static const char *key_text(enum hs_release r, const char *kind, char digit, char text[100])
{
    char digits[65];

    memset(digits, digit, 64);
    digits[64] = '\0';
    snprintf(text, 100, "'%s%s'", r >= HS_0_23 ? kind : "", digits);
    return text;
}

#define CREATED "'2024-03-01 10:00:00.5+01:00'"

static void put_key(sqlite3 *db, enum hs_release r, const char *id, const char *user,
                    const char *reusable, const char *ephemeral, const char *used, const char *tags,
                    const char *expiration)
{
    char clear[64], prefix[64];

    /* The last digit is the id: five keys of one pattern. */
    snprintf(clear, sizeof(clear), "'%.47s%s'", HS_CLEAR_KEY, strcmp(id, "1") == 0 ? "7" : id);
    snprintf(prefix, sizeof(prefix), "'aB-_5678901%s'", id);
    if (strcmp(id, "1") != 0)
        snprintf(clear, sizeof(clear), "'%s%.40s000000%s'", id, HS_CLEAR_KEY, id);
    hs_put(db, "pre_auth_keys", "id", id, "key", r >= HS_0_28 ? "''" : clear, "prefix", prefix,
           "hash", "CAST('" HS_HASH_AUTH "' AS BLOB)", "user_id", user, "namespace_id", user,
           "reusable", reusable, "ephemeral", ephemeral, "used", used, "tags", tags, "expiration",
           expiration, "created_at", CREATED, NULL);
}

static void fill_keys(sqlite3 *db, enum hs_release r)
{
    put_key(db, r, "1", "1", "1", "0", "0", "NULL", "NULL");
    put_key(db, r, "2", "1", "0", "0", "1", "''", "NULL");
    put_key(db, r, "3", "1", "1", "0", "0", "'null'", "'2024-03-02 10:00:00+00:00'");
    put_key(db, r, "4", "2", "0", "0", "1", "'[\"tag:web\"]'", "'2024-03-02 10:00:00Z'");
    hs_put(db, "pre_auth_key_acl_tags", "id", "1", "pre_auth_key_id", "4", "tag", "'tag:web'",
           NULL);
    put_key(db, r, "5", "1", "1", "1", "0", "'[]'", "'2099-01-01 00:00:00+00:00'");
    hs_put(db, "api_keys", "id", "1", "prefix",
           r >= HS_0_28   ? "'Ab-_56789012'"
           : r >= HS_0_25 ? "'abcdefg'"
                          : "'abcdefghij'",
           "hash",
           r >= HS_0_28   ? "CAST('" HS_HASH_API64 "' AS BLOB)"
           : r >= HS_0_25 ? "CAST('" HS_HASH_API32 "' AS BLOB)"
                          : "CAST('" HS_HASH_API43 "' AS BLOB)",
           "created_at", CREATED, "expiration", "NULL", "user_id", "1", NULL);
    hs_put(db, "api_keys", "id", "2", "prefix", "'expired'", "hash",
           "CAST('" HS_HASH_API32 "' AS BLOB)", "created_at", CREATED, "expiration",
           "'2024-03-02 10:00:00+00:00'", NULL);
}

static void fill_users(sqlite3 *db)
{
    hs_put(db, "users", "id", "1", "name", "'alice'", "display_name", "'Alice A'", "email",
           "'alice@example.com'", "created_at", CREATED, NULL);
    hs_put(db, "users", "id", "2", "name", "'bob'", "provider", "'oidc'", "provider_identifier",
           "'https://idp.example.com/bob-sub'", "profile_pic_url", "'https://example.com/b.png'",
           "created_at", CREATED, NULL);
    hs_put(db, "users", "id", "3", "name", "'gone'", "created_at", CREATED, "deleted_at", CREATED,
           NULL);
}

#define HOST_INFO(name, more)                                                                  \
    "'{\"IPNVersion\":\"1.80.0\",\"BackendLogID\":\"x\",\"OS\":\"linux\",\"Hostname\":\"" name \
    "\","                                                                                      \
    "\"NetInfo\":{\"PreferredDERP\":999}" more "}'"

static void fill_nodes(sqlite3 *db, enum hs_release r)
{
    char m[100], n[100], d[100];

    hs_put(db, "nodes", "id", "1", "machine_key", key_text(r, "mkey:", '1', m), "node_key",
           key_text(r, "nodekey:", 'a', n), "disco_key", key_text(r, "discokey:", 'd', d),
           "endpoints", "'[\"192.0.2.1:41641\",\"[2001:db8::1]:41641\"]'", "host_info",
           HOST_INFO("Laptop.local", ""), "ipv4", "'100.64.0.1'", "ipv6", "'fd7a:115c:a1e0::1'",
           "ip_addresses", "'100.64.0.1,fd7a:115c:a1e0::1'", "ip_address", "'100.64.0.1'",
           "hostname", "'Laptop.local'", "name", "'Laptop.local'", "nickname", "'laptop'",
           "given_name", "'laptop'", "user_id", "1", "namespace_id", "1", "registered", "1",
           "register_method", "'authkey'", "tags", "'null'", "forced_tags", "'[]'", "auth_key_id",
           "1", "last_seen", "'2024-05-01 10:00:00.123456789+00:00'", "expiry",
           "'2099-01-01 00:00:00+00:00'", "approved_routes", "NULL", "enabled_routes", "'null'",
           "created_at", CREATED, NULL);
    hs_put(db, "nodes", "id", "2", "machine_key", key_text(r, "mkey:", '2', m), "node_key",
           key_text(r, "nodekey:", 'b', n), "disco_key", "''", "endpoints", "'null'", "host_info",
           HOST_INFO("web", ",\"RequestTags\":[\"tag:web\"]"), "ipv4", "'100.64.0.2'", "ipv6",
           "NULL", "ip_addresses", "'100.64.0.2'", "ip_address", "'100.64.0.2'", "hostname",
           "'web'", "name", "'web'", "nickname", "'front'", "given_name", "'front'", "user_id",
           r >= HS_0_29 ? "NULL" : "2", "namespace_id", "2", "registered", "1", "register_method",
           "'authkey'", "tags", "'[\"tag:web\"]'", "forced_tags", "'[\"tag:web\"]'", "auth_key_id",
           "4", "expiry", "'2099-01-01 00:00:00+00:00'", "created_at", CREATED, NULL);
    hs_put(db, "nodes", "id", "3", "machine_key", key_text(r, "mkey:", '3', m), "node_key",
           key_text(r, "nodekey:", 'c', n), "disco_key", key_text(r, "discokey:", '0', d),
           "host_info",
           HOST_INFO("router", ",\"RoutableIPs\":[\"10.1.0.0/16\",\"0.0.0.0/0\",\"::/0\"]"), "ipv4",
           "'100.64.0.3'", "ipv6", "'fd7a:115c:a1e0::3'", "ip_addresses",
           "'100.64.0.3,fd7a:115c:a1e0::3'", "ip_address", "'100.64.0.3'", "hostname", "'router'",
           "name", "'router'", "given_name", "'router-abcd1234'", "nickname", "'router-abcd1234'",
           "user_id", "2", "namespace_id", "2", "registered", "1", "register_method", "'cli'",
           "auth_key_id", r >= HS_0_23 ? "NULL" : "0", "expiry", "'0001-01-01 00:00:00+00:00'",
           "approved_routes", "'[\"10.1.0.0/16\",\"0.0.0.0/0\"]'", "enabled_routes",
           "'[\"10.1.0.0/16\",\"0.0.0.0/0\"]'", "created_at", CREATED, NULL);
    hs_put(db, "nodes", "id", "5", "machine_key", key_text(r, "mkey:", '5', m), "node_key",
           key_text(r, "nodekey:", 'e', n), "disco_key", key_text(r, "discokey:", 'e', d),
           "host_info", "NULL", "ipv4", "'100.64.0.5'", "ip_addresses", "'100.64.0.5'",
           "ip_address", "'100.64.0.5'", "hostname", "'eph'", "name", "'eph'", "nickname", "'eph'",
           "given_name", "'eph'", "user_id", "1", "namespace_id", "1", "registered", "1",
           "register_method", "'authKey'", "auth_key_id", "5", "created_at", CREATED, NULL);
    hs_put(db, "nodes", "id", "6", "machine_key", "'mkey:gone'", "hostname", "'gone'", "name",
           "'gone'", "created_at", CREATED, "deleted_at", CREATED, NULL);
}

static void put_route(sqlite3 *db, const char *id, const char *node, const char *prefix,
                      const char *enabled, const char *deleted)
{
    hs_put(db, "routes", "id", id, "node_id", node, "machine_id", node, "prefix", prefix,
           "advertised", "1", "enabled", enabled, "is_primary", "0", "created_at", CREATED,
           "deleted_at", deleted, NULL);
}

static void fill_routes(sqlite3 *db)
{
    put_route(db, "1", "3", "'10.1.0.0/16'", "1", "NULL");
    put_route(db, "2", "3", "'0.0.0.0/0'", "1", "NULL");
    put_route(db, "3", "3", "'10.9.0.0/16'", "0", "NULL");
    put_route(db, "4", "3", "'10.8.0.0/16'", "1", CREATED);
    put_route(db, "5", "99", "'10.7.0.0/16'", "1", "NULL");
}

static void put_token(sqlite3 *db, const char *id, const char *prefix, const char *client,
                      const char *expiration)
{
    hs_put(db, "oauth_access_tokens", "id", id, "prefix", prefix, "hash", "'" HS_HASH_OAUTH "'",
           "client_id", client, "scopes", "'[\"auth_keys\"]'", "tags", "'[\"tag:k8s\"]'",
           "expiration", expiration, "created_at", CREATED, NULL);
}

static void fill_oauth(sqlite3 *db)
{
    hs_put(db, "oauth_clients", "id", "1", "client_id", "'0123456789ab'", "secret_hash",
           "'" HS_HASH_OAUTH "'", "scopes", "'[\"auth_keys\",\"devices:core\"]'", "tags",
           "'[\"tag:k8s\"]'", "description", "'operator'", "user_id", "1", "created_at", CREATED,
           NULL);
    hs_put(db, "oauth_clients", "id", "2", "client_id", "'0123456789ac'", "secret_hash",
           "'" HS_HASH_OAUTH "'", "scopes", "'[\"all\"]'", "created_at", CREATED, "revoked",
           CREATED, NULL);
    put_token(db, "1", "'00000000000a'", "'0123456789ab'", "'2027-01-15 08:30:00+00:00'");
    put_token(db, "2", "'00000000000b'", "'0123456789ab'", "'2024-06-01 07:30:00+00:00'");
    put_token(db, "3", "'00000000000c'", "'0123456789ac'", "'2027-01-15 08:30:00+00:00'");
}

void hs_fill(sqlite3 *db, enum hs_release r)
{
    fill_users(db);
    fill_keys(db, r);
    fill_nodes(db, r);
    fill_routes(db);
    hs_put(db, "policies", "id", "1", "data", "'{}'", "created_at", CREATED, NULL);
    hs_put(db, "policies", "id", "2", "data", "'" HS_POLICY "'", "created_at", CREATED, NULL);
    hs_put(db, "policies", "id", "3", "data", "'{\"old\":1}'", "created_at", CREATED, "deleted_at",
           CREATED, NULL);
    fill_oauth(db);
}

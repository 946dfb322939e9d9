/*
 * All SQL: the migrations and the statements.
 *
 * Stored forms: times are integers (ms since 1970, 0 as the field says), keys and hashes 32-byte
 * blobs, addresses their 4 or 16 bytes (NULL: none), a prefix its address's bytes and one byte for
 * the bits, booleans 0 and 1, lists JSON text, host facts the JSON text the client sent.
 *
 * Foreign keys are checked at the commit: a batch may name things in any order. Uniqueness of
 * names, addresses and node keys is the domain's business (a batch may swap two names, which no
 * immediate constraint survives); domain_load_... checks it again at the next start.
 *
 * What the domain derives is not stored: full names, who is online or expired, who serves a route.
 *
 * nodes.auth_key is no foreign key: a node outlives the key it was registered with.
 */

#include "store/store_internal.h"

static const char migration_1[] =
    "CREATE TABLE tailnets ("
    "  id INTEGER PRIMARY KEY,"
    "  revision INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  base_domain TEXT NOT NULL,"
    "  domain TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  prefix_v4 BLOB,"
    "  prefix_v6 BLOB,"
    "  allocation INTEGER NOT NULL,"
    "  node_expiry_ms INTEGER NOT NULL,"
    "  ephemeral_timeout_ms INTEGER NOT NULL,"
    "  taildrop INTEGER NOT NULL,"
    "  logtail INTEGER NOT NULL,"
    "  auto_update INTEGER NOT NULL,"
    "  randomize_client_port INTEGER NOT NULL,"
    "  dns TEXT NOT NULL,"
    "  regions TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE users ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  name TEXT NOT NULL,"
    "  display_name TEXT NOT NULL,"
    "  email TEXT NOT NULL,"
    "  picture_url TEXT NOT NULL,"
    "  provider TEXT NOT NULL,"
    "  provider_id TEXT NOT NULL,"
    "  role INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX users_by_tailnet ON users (tailnet);"

    "CREATE TABLE auth_keys ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  tags TEXT NOT NULL,"
    "  prefix TEXT NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  legacy TEXT NOT NULL,"
    "  reusable INTEGER NOT NULL,"
    "  ephemeral INTEGER NOT NULL,"
    "  used INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX auth_keys_by_tailnet ON auth_keys (tailnet);"
    "CREATE INDEX auth_keys_by_user ON auth_keys (user_id);"

    "CREATE TABLE nodes ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  stable_id TEXT NOT NULL,"
    "  user_id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,"
    "  tags TEXT NOT NULL,"
    "  method INTEGER NOT NULL,"
    "  auth_key INTEGER,"
    "  ephemeral INTEGER NOT NULL,"
    "  machine_key BLOB NOT NULL,"
    "  node_key BLOB NOT NULL,"
    "  disco_key BLOB NOT NULL,"
    "  nl_key BLOB NOT NULL,"
    "  given_name TEXT NOT NULL,"
    "  name_is_auto INTEGER NOT NULL,"
    "  v4 BLOB,"
    "  v6 BLOB,"
    "  created_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL,"
    "  last_seen_ms INTEGER NOT NULL,"
    "  capver INTEGER NOT NULL,"
    "  home_derp INTEGER NOT NULL,"
    "  endpoints TEXT NOT NULL,"
    "  approved TEXT NOT NULL,"
    "  hostname TEXT NOT NULL,"
    "  os TEXT NOT NULL,"
    "  ipn_version TEXT NOT NULL,"
    "  routes TEXT NOT NULL,"
    "  request_tags TEXT NOT NULL,"
    "  hostinfo TEXT NOT NULL,"
    "  hostinfo_peer TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX nodes_by_tailnet ON nodes (tailnet);"
    "CREATE INDEX nodes_by_user ON nodes (user_id);"

    /* The smallest ids not used before, by kind. */
    "CREATE TABLE counters ("
    "  name TEXT PRIMARY KEY,"
    "  next INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE server_values ("
    "  name TEXT PRIMARY KEY,"
    "  value BLOB NOT NULL"
    ") STRICT;";

/* Every text that was in force, the newest being the one that is. */
static const char migration_2[] =
    "CREATE TABLE policies ("
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  created_ms INTEGER NOT NULL,"
    "  author TEXT NOT NULL,"
    "  text TEXT NOT NULL,"
    "  PRIMARY KEY (tailnet, created_ms)"
    ") STRICT;";

/*
 * API keys, of a tailnet or (NULL) of the server; what is known of auth keys besides; the audit
 * log. Its entries outlive what they are about, so they refer to nothing.
 */
static const char migration_3[] =
    "ALTER TABLE auth_keys ADD COLUMN description TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE auth_keys ADD COLUMN revoked_ms INTEGER NOT NULL DEFAULT 0;"

    "CREATE TABLE api_keys ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER REFERENCES tailnets (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  prefix TEXT NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  legacy TEXT NOT NULL,"
    "  description TEXT NOT NULL,"
    "  scopes TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL,"
    "  last_seen_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX api_keys_by_tailnet ON api_keys (tailnet);"
    "CREATE INDEX api_keys_by_user ON api_keys (user_id);"

    "CREATE TABLE audit ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  origin INTEGER NOT NULL,"
    "  is_client INTEGER NOT NULL,"
    "  author TEXT NOT NULL,"
    "  source TEXT NOT NULL,"
    "  action TEXT NOT NULL,"
    "  object TEXT NOT NULL,"
    "  object_id INTEGER NOT NULL,"
    "  object_name TEXT NOT NULL,"
    "  before TEXT NOT NULL,"
    "  after TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX audit_by_tailnet ON audit (tailnet, id);"
    "CREATE INDEX audit_by_kind ON audit (is_client, id);";

/* What log-in providers say of users. */
static const char migration_4[] =
    "ALTER TABLE users ADD COLUMN provider_groups TEXT NOT NULL DEFAULT '[]';";

/* API keys of other kinds: OAuth clients, their tokens, sessions. Clients go before their tokens.
 */
static const char migration_5[] =
    "ALTER TABLE api_keys ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE api_keys ADD COLUMN client INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE api_keys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';";

/*
 * Webhooks, and the events that are on their way to them. The latter refer to nothing: a batch may
 * delete an endpoint and hold an event for it; who sends finds out and deletes it.
 */
static const char migration_6[] =
    "CREATE TABLE webhooks ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  url TEXT NOT NULL,"
    "  provider TEXT NOT NULL,"
    "  subscriptions TEXT NOT NULL,"
    "  secret TEXT NOT NULL,"
    "  creator TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  modified_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX webhooks_by_tailnet ON webhooks (tailnet);"

    "CREATE TABLE webhook_deliveries ("
    "  id INTEGER PRIMARY KEY,"
    "  webhook INTEGER NOT NULL,"
    "  tailnet INTEGER NOT NULL,"
    "  event TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  body TEXT NOT NULL"
    ") STRICT;";

/* What administrators set: of tailnets over what is configured, of machines for policies to ask. */
static const char migration_7[] =
    "ALTER TABLE tailnets ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE nodes ADD COLUMN attributes TEXT NOT NULL DEFAULT '[]';";

/* Nodes lent to other tailnets, and the links that lead to more of it. */
static const char migration_8[] =
    "CREATE TABLE shares ("
    "  id INTEGER PRIMARY KEY,"
    "  owner INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  node INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  sharer INTEGER REFERENCES users (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,"
    "  guest INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  terms TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  accepted_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX shares_by_owner ON shares (owner);"
    "CREATE INDEX shares_by_guest ON shares (guest);"
    "CREATE INDEX shares_by_node ON shares (node);"
    "CREATE INDEX shares_by_sharer ON shares (sharer);"
    "CREATE INDEX shares_by_user ON shares (user_id);"

    "CREATE TABLE share_invites ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  node INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  sharer INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  whole_tailnet INTEGER NOT NULL,"
    "  terms TEXT NOT NULL,"
    "  share_expiry_ms INTEGER NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  uses_left INTEGER NOT NULL,"
    "  uses INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX share_invites_by_tailnet ON share_invites (tailnet);"
    "CREATE INDEX share_invites_by_node ON share_invites (node);"
    "CREATE INDEX share_invites_by_sharer ON share_invites (sharer);";

/* People who wait or are suspended, machines that wait for approval, and invitations of people. */
static const char migration_9[] =
    "ALTER TABLE users ADD COLUMN status INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE nodes ADD COLUMN hold_device INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE auth_keys ADD COLUMN preauthorized INTEGER NOT NULL DEFAULT 0;"

    "CREATE TABLE user_invites ("
    "  id INTEGER PRIMARY KEY,"
    "  tailnet INTEGER NOT NULL REFERENCES tailnets (id) ON DELETE CASCADE"
    "    DEFERRABLE INITIALLY DEFERRED,"
    "  inviter INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,"
    "  role INTEGER NOT NULL,"
    "  email TEXT NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expiry_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX user_invites_by_tailnet ON user_invites (tailnet);"
    "CREATE INDEX user_invites_by_inviter ON user_invites (inviter);";

const char *db_migration(int version)
{
    static const char *const all[DB_VERSION + 1] = {
        [1] = migration_1, [2] = migration_2, [3] = migration_3,
        [4] = migration_4, [5] = migration_5, [6] = migration_6,
        [7] = migration_7, [8] = migration_8, [9] = migration_9};

    ASSERT(version >= 1 && version <= DB_VERSION);
    return all[version];
}

#define INFO_COLUMNS                                                                          \
    "id, revision, name, base_domain, domain, created_ms, prefix_v4, prefix_v6, allocation, " \
    "node_expiry_ms, ephemeral_timeout_ms, taildrop, logtail, auto_update, "                  \
    "randomize_client_port, dns, regions, settings"
#define USER_COLUMNS                                                                     \
    "id, tailnet, name, display_name, email, picture_url, provider, provider_id, role, " \
    "created_ms, provider_groups, status"
#define AUTH_KEY_COLUMNS                                                                        \
    "id, tailnet, user_id, tags, prefix, hash, legacy, reusable, ephemeral, used, created_ms, " \
    "expiry_ms, description, revoked_ms, preauthorized"
#define API_KEY_COLUMNS                                                             \
    "id, tailnet, user_id, prefix, hash, legacy, description, scopes, created_ms, " \
    "expiry_ms, last_seen_ms, kind, client, tags"
#define WEBHOOK_COLUMNS \
    "id, tailnet, url, provider, subscriptions, secret, creator, created_ms, modified_ms"
#define COUNTED " WHERE id < 4503599627370496"
#define DELIVERY_COLUMNS "id, webhook, tailnet, event, created_ms, body"
#define SHARE_COLUMNS \
    "id, owner, node, sharer, guest, user_id, terms, created_ms, accepted_ms, expiry_ms"
#define SHARE_INVITE_COLUMNS                                                                    \
    "id, tailnet, node, sharer, whole_tailnet, terms, share_expiry_ms, hash, uses_left, uses, " \
    "created_ms, expiry_ms"
#define USER_INVITE_COLUMNS "id, tailnet, inviter, role, email, hash, created_ms, expiry_ms"
#define NODE_COLUMNS                                                                         \
    "id, tailnet, stable_id, user_id, tags, method, auth_key, ephemeral, machine_key, "      \
    "node_key, disco_key, nl_key, given_name, name_is_auto, v4, v6, created_ms, expiry_ms, " \
    "last_seen_ms, capver, home_derp, endpoints, approved, hostname, os, ipn_version, "      \
    "routes, request_tags, hostinfo, hostinfo_peer, attributes, hold_device"

static const char *const statements[SQL_STATEMENTS] = {
    [SQL_INFO_PUT] =
        "INSERT INTO tailnets (" INFO_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
        " $11, $12, $13, $14, $15, $16, $17, $18)"
        " ON CONFLICT (id) DO UPDATE SET revision = $2, name = $3, base_domain = $4, domain = $5,"
        " created_ms = $6, prefix_v4 = $7, prefix_v6 = $8, allocation = $9, node_expiry_ms = $10,"
        " ephemeral_timeout_ms = $11, taildrop = $12, logtail = $13, auto_update = $14,"
        " randomize_client_port = $15, dns = $16, regions = $17,"
        " settings = $18",
    /* A text of a time is written once; the info comes by more often. */
    [SQL_POLICY_PUT] = "INSERT INTO policies (tailnet, created_ms, author, text)"
                       " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    [SQL_POLICY_PRUNE] = "DELETE FROM policies WHERE tailnet = $1 AND created_ms <="
                         " (SELECT created_ms FROM policies WHERE tailnet = $1"
                         "  ORDER BY created_ms DESC LIMIT 1 OFFSET $2)",
    [SQL_REVISION_PUT] = "UPDATE tailnets SET revision = $2 WHERE id = $1",
    [SQL_USER_PUT] =
        "INSERT INTO users (" USER_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
        " $12)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, name = $3, display_name = $4, email = $5,"
        " picture_url = $6, provider = $7, provider_id = $8, role = $9, created_ms = $10,"
        " provider_groups = $11, status = $12",
    [SQL_AUTH_KEY_PUT] =
        "INSERT INTO auth_keys (" AUTH_KEY_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
        " $10, $11, $12, $13, $14, $15)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, user_id = $3, tags = $4, prefix = $5,"
        " hash = $6, legacy = $7, reusable = $8, ephemeral = $9, used = $10, created_ms = $11,"
        " expiry_ms = $12, description = $13, revoked_ms = $14, preauthorized = $15",
    [SQL_API_KEY_PUT] =
        "INSERT INTO api_keys (" API_KEY_COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, user_id = $3, prefix = $4, hash = $5, "
        "legacy = $6,"
        " description = $7, scopes = $8, created_ms = $9, expiry_ms = $10, last_seen_ms = $11,"
        " kind = $12, client = $13, tags = $14",
    [SQL_AUDIT_PUT] =
        "INSERT INTO audit (id, tailnet, created_ms, origin, is_client, author, source, action,"
        " object, object_id, object_name, before, after)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    [SQL_AUDIT_PRUNE] =
        "DELETE FROM audit WHERE is_client = $1 AND id <="
        " (SELECT id FROM audit WHERE is_client = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
    [SQL_AUDIT_PAGE] =
        "SELECT id, tailnet, created_ms, origin, author, source, action, object, object_id,"
        " object_name, before, after FROM audit WHERE ($1 = 1 OR tailnet = $2) AND id < $3"
        " AND created_ms >= $4 AND created_ms < $5 AND is_client <= $6 ORDER BY id DESC LIMIT $7",
    [SQL_WEBHOOK_PUT] =
        "INSERT INTO webhooks (" WEBHOOK_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, url = $3, provider = $4,"
        " subscriptions = $5, secret = $6, creator = $7, created_ms = $8, modified_ms = $9",
    [SQL_WEBHOOK_DELETE] = "DELETE FROM webhooks WHERE id = $1",
    [SQL_WEBHOOKS_ALL] = "SELECT " WEBHOOK_COLUMNS " FROM webhooks ORDER BY id",
    [SQL_DELIVERY_PUT] = "INSERT INTO webhook_deliveries (" DELIVERY_COLUMNS
                         ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    [SQL_DELIVERY_DELETE] = "DELETE FROM webhook_deliveries WHERE id = $1",
    [SQL_DELIVERIES_ALL] = "SELECT " DELIVERY_COLUMNS " FROM webhook_deliveries ORDER BY id",
    [SQL_SHARE_PUT] =
        "INSERT INTO shares (" SHARE_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        " ON CONFLICT (id) DO UPDATE SET owner = $2, node = $3, sharer = $4, guest = $5,"
        " user_id = $6, terms = $7, created_ms = $8, accepted_ms = $9, expiry_ms = $10",
    [SQL_SHARE_DELETE] = "DELETE FROM shares WHERE id = $1",
    [SQL_SHARES_ALL] = "SELECT " SHARE_COLUMNS " FROM shares ORDER BY id",
    [SQL_SHARE_INVITE_PUT] =
        "INSERT INTO share_invites (" SHARE_INVITE_COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, node = $3, sharer = $4, whole_tailnet = $5,"
        " terms = $6, share_expiry_ms = $7, hash = $8, uses_left = $9, uses = $10,"
        " created_ms = $11, expiry_ms = $12",
    [SQL_SHARE_INVITE_DELETE] = "DELETE FROM share_invites WHERE id = $1",
    [SQL_SHARE_INVITES_ALL] = "SELECT " SHARE_INVITE_COLUMNS " FROM share_invites ORDER BY id",
    [SQL_USER_INVITE_PUT] =
        "INSERT INTO user_invites (" USER_INVITE_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (id) DO UPDATE SET tailnet = $2, inviter = $3, role = $4, email = $5,"
        " hash = $6, created_ms = $7, expiry_ms = $8",
    [SQL_USER_INVITE_DELETE] = "DELETE FROM user_invites WHERE id = $1",
    [SQL_USER_INVITES_ALL] = "SELECT " USER_INVITE_COLUMNS " FROM user_invites ORDER BY id",
    [SQL_NODE_PUT] =
        "INSERT INTO nodes (" NODE_COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, "
        "$18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)"
        " ON CONFLICT (id) DO UPDATE SET "
        "tailnet = $2, stable_id = $3, user_id = $4, tags = $5, method = $6, "
        "auth_key = $7, ephemeral = $8, machine_key = $9, node_key = $10, "
        "disco_key = $11, nl_key = $12, given_name = $13, name_is_auto = $14, v4 = $15, "
        "v6 = $16, created_ms = $17, expiry_ms = $18, last_seen_ms = $19, capver = $20, "
        "home_derp = $21, endpoints = $22, approved = $23, hostname = $24, os = $25, "
        "ipn_version = $26, routes = $27, request_tags = $28, hostinfo = $29, "
        "hostinfo_peer = $30, attributes = $31, hold_device = $32",
    [SQL_TAILNET_DELETE] = "DELETE FROM tailnets WHERE id = $1",
    /* What refers to nothing and so does not go by itself. */
    [SQL_TAILNET_AUDIT_DELETE] = "DELETE FROM audit WHERE tailnet = $1",
    [SQL_TAILNET_DELIVERIES_DELETE] = "DELETE FROM webhook_deliveries WHERE tailnet = $1",
    [SQL_USER_DELETE] = "DELETE FROM users WHERE id = $1",
    [SQL_AUTH_KEY_DELETE] = "DELETE FROM auth_keys WHERE id = $1",
    [SQL_NODE_DELETE] = "DELETE FROM nodes WHERE id = $1",
    [SQL_API_KEY_DELETE] = "DELETE FROM api_keys WHERE id = $1",
    /* A counter never goes back, whatever is asked. */
    [SQL_COUNTER_PUT] = "INSERT INTO counters (name, next) VALUES ($1, $2)"
                        " ON CONFLICT (name) DO UPDATE SET next = $2 WHERE counters.next < $2",
    [SQL_VALUE_PUT] = "INSERT INTO server_values (name, value) VALUES ($1, $2)"
                      " ON CONFLICT (name) DO UPDATE SET value = $2",
    [SQL_VALUE_GET] = "SELECT value FROM server_values WHERE name = $1",
    /* What the rows use counts too, so that a lost counter cannot bring an id back; ids that were
     * drawn (tailnet/id.c) are no counter's. */
    [SQL_COUNTERS_ALL] =
        "SELECT 'tailnet', coalesce(max(id), 0) + 1 FROM tailnets" COUNTED
        " UNION ALL SELECT 'user', coalesce(max(id), 0) + 1 FROM users" COUNTED
        " UNION ALL SELECT 'auth_key', coalesce(max(id), 0) + 1 FROM auth_keys" COUNTED
        " UNION ALL SELECT 'node', coalesce(max(id), 0) + 1 FROM nodes" COUNTED
        " UNION ALL SELECT 'api_key', coalesce(max(id), 0) + 1 FROM api_keys" COUNTED
        " UNION ALL SELECT 'audit', coalesce(max(id), 0) + 1 FROM audit"
        " UNION ALL SELECT 'webhook', coalesce(max(id), 0) + 1 FROM webhooks" COUNTED
        " UNION ALL SELECT 'share', coalesce(max(id), 0) + 1 FROM shares" COUNTED
        " UNION ALL SELECT 'share_invite', coalesce(max(id), 0) + 1"
        " FROM share_invites" COUNTED " UNION ALL SELECT 'user_invite', coalesce(max(id), 0) + 1"
        " FROM user_invites" COUNTED " UNION ALL SELECT 'event', coalesce(max(id), 0) + 1"
        " FROM webhook_deliveries"
        " UNION ALL SELECT name, next FROM counters",
    [SQL_INFOS_ALL] = "SELECT " INFO_COLUMNS ", coalesce(p.text, ''), coalesce(p.author, ''),"
                      " coalesce(p.policy_ms, 0) FROM tailnets LEFT JOIN"
                      " (SELECT tailnet, created_ms AS policy_ms, author, text FROM policies AS q"
                      "  WHERE created_ms = (SELECT max(created_ms) FROM policies WHERE tailnet = "
                      "q.tailnet)) AS p"
                      " ON p.tailnet = id ORDER BY id",
    [SQL_POLICIES_OF] = "SELECT text, created_ms FROM policies WHERE tailnet = $1"
                        " ORDER BY created_ms DESC",
    [SQL_USERS_ALL] = "SELECT " USER_COLUMNS " FROM users ORDER BY id",
    [SQL_AUTH_KEYS_ALL] = "SELECT " AUTH_KEY_COLUMNS " FROM auth_keys ORDER BY id",
    [SQL_NODES_ALL] = "SELECT " NODE_COLUMNS " FROM nodes ORDER BY id",
    [SQL_API_KEYS_ALL] = "SELECT " API_KEY_COLUMNS " FROM api_keys ORDER BY id",
    [SQL_CHECK] = "SELECT count(*) FROM counters",
};

const char *db_sql(enum db_statement id)
{
    ASSERT(id < SQL_STATEMENTS && statements[id]);
    return statements[id];
}

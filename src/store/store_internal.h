#pragma once

/*
 * What the files of this room share.
 *
 *   store.c, batch.c --rows.c, lists.c--> values --db_ops--> sqlite.c (a second engine comes here)
 *
 * The seam is db_ops: statements are known by number, arguments and columns are plain values, so
 * nothing above it knows which engine answers, and all SQL is in schema.c.
 */

#include "core/arena.h"
#include "store/store.h"

/* ---- values ---- */

enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };

/* As an argument: borrowed for the call. As a column: borrowed until the row function returns. */
struct db_value {
    enum db_type type;
    int64_t i;
    struct str s;
};
#define DB_INT_OF(v) ((struct db_value){.type = DB_INT, .i = (int64_t)(v)})
#define DB_TEXT_OF(v) ((struct db_value){.type = DB_TEXT, .s = (v)})
#define DB_BLOB_OF(v) ((struct db_value){.type = DB_BLOB, .s = (v)})
#define DB_NULL_OF ((struct db_value){.type = DB_NULL})

#define DB_COLUMNS_MAX 40
#define POLICIES_KEPT 100 /* texts of a tailnet, the one in force among them */

/* ---- statements (schema.c) ---- */

enum db_statement {
    SQL_INFO_PUT,
    SQL_POLICY_PUT,
    SQL_POLICY_PRUNE,
    SQL_REVISION_PUT,
    SQL_USER_PUT,
    SQL_AUTH_KEY_PUT,
    SQL_NODE_PUT,
    SQL_TAILNET_DELETE,
    SQL_USER_DELETE,
    SQL_AUTH_KEY_DELETE,
    SQL_NODE_DELETE,
    SQL_COUNTER_PUT,
    SQL_VALUE_PUT,
    SQL_VALUE_GET,
    SQL_COUNTERS_ALL,
    SQL_INFOS_ALL,
    SQL_POLICIES_OF,
    SQL_USERS_ALL,
    SQL_AUTH_KEYS_ALL,
    SQL_NODES_ALL,
    SQL_CHECK,
    SQL_STATEMENTS
};
/* One statement, parameters $1, $2, ... */
const char *db_sql(enum db_statement id);

/* Migration n brings a database from version n - 1 to n; they are never edited once released. */
#define DB_VERSION 2
const char *db_migration(int version);
/* So that our files are known from other programs' ("Hats"). */
#define DB_APPLICATION_ID 0x48617473

/* ---- the engine ---- */

struct db;

/* Called for each row; negative ends the statement with that status. */
typedef int db_row_fn(void *user, const struct db_value *columns, size_t n, struct err *err);

struct db_ops {
    void (*close)(struct db *db);
    int (*begin)(struct db *db, struct err *err);  /* for writing */
    int (*commit)(struct db *db, struct err *err); /* a failed one is rolled back */
    void (*rollback)(struct db *db);
    /* on_row may be NULL when no rows are expected. */
    int (*run)(struct db *db, enum db_statement id, const struct db_value *args, size_t n_args,
               db_row_fn *on_row, void *user, struct err *err);
    /* Any text, several statements, no rows; for migrations and tests. */
    int (*script)(struct db *db, const char *sql, struct err *err);
};
/* Every engine's struct begins with this. */
struct db {
    const struct db_ops *ops;
};

/* Opens the file and locks it against a second server; makes or checks nothing in it. */
MUST_USE int db_sqlite_open(const struct store_options *options, struct db **out, struct err *err);
/* Brings the schema to DB_VERSION, refuses newer ones and other programs' files. */
MUST_USE int db_sqlite_migrate(struct db *db, struct err *err);

/* A migration list other than the real one, for tests of the mechanism itself. */
MUST_USE int db_sqlite_migrate_with(struct db *db, const char *const *migrations, int version,
                                    struct err *err);

struct store {
    struct db *db;
};

/* ---- rows (rows.c) ---- */

/*
 * Objects to arguments, in the order of the statement's parameters. What has to be made (lists as
 * JSON) lives in the arena. Returns how many.
 */
size_t row_from_info(const struct tailnet_info *info, uint64_t revision, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX]);
/* Of its policy; 0 columns when it never had one. */
size_t row_from_policy(const struct tailnet_info *info, struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_user(const struct user *u, struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_auth_key(const struct auth_key *k, struct arena *arena,
                         struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_node(const struct node *node, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX]);
/* Columns back to objects; errors say "users row 7: ...". */
MUST_USE int row_to_info(const struct db_value *columns, size_t n, struct tailnet_info **out,
                         uint64_t *revision, struct err *err);
MUST_USE int row_to_user(const struct db_value *columns, size_t n, struct user **out,
                         struct err *err);
MUST_USE int row_to_auth_key(const struct db_value *columns, size_t n, struct auth_key **out,
                             struct err *err);
MUST_USE int row_to_node(const struct db_value *columns, size_t n, struct node **out,
                         struct err *err);

/* ---- lists inside a row (lists.c): JSON text ---- */

struct str list_from_strings(struct arena *arena, const struct str_list *list);
struct str list_from_prefixes(struct arena *arena, const struct ip_prefix *items, size_t n);
/* ["1.2.3.4:41641 2", ...]: the endpoint and its type. */
struct str list_from_endpoints(struct arena *arena, const struct ip_addrport *items,
                               const uint8_t *types, size_t n);
struct str list_from_dns(struct arena *arena, const struct tailnet_info *info);
struct str list_from_regions(struct arena *arena, const struct derp_region *items, size_t n);

/* False: not what was written; outputs hold what must be freed all the same. */
MUST_USE bool list_to_strings(struct str text, struct str_list *out);
MUST_USE bool list_to_prefixes(struct str text, struct ip_prefix **items, size_t *n);
MUST_USE bool list_to_endpoints(struct str text, struct ip_addrport **items, uint8_t **types,
                                size_t *n);
MUST_USE bool list_to_dns(struct str text, struct tailnet_info *info);
MUST_USE bool list_to_regions(struct str text, struct derp_region **items, size_t *n);

/* ---- batches (batch.c) ---- */

struct store_op {
    enum store_op_kind kind;
    bool dropped; /* its tailnet went */
    tailnet_id tailnet;
    uint64_t id;
    const void *object; /* counted; NULL for deletions */
};

/* The revision a tailnet had reached when the batch last heard of it. */
struct store_revision {
    tailnet_id tailnet;
    uint64_t revision;
};

struct store_batch {
    struct store_op *ops;
    size_t len;
    size_t cap;
    size_t dropped;
    struct map *by_object; /* kind and id to index + 1 */
    struct store_revision *revisions;
    size_t n_revisions;
    size_t cap_revisions;
    struct domain_counters counters;
    bool has_counters;
};

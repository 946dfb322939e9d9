#pragma once

/*
 * What the files of this room share.
 *
 *   store.c, batch.c --rows.c, lists.c--> values --db_ops--+--> sqlite.c, sqlite_copy.c
 *   migrate.c, export.c, restore.c ------------------------+--> postgres.c, dialect.c
 *
 * The seam is db_ops: statements are known by number, arguments and columns are plain values, so
 * nothing above it knows which engine answers. All SQL about the domain is in schema.c.
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
    SQL_API_KEY_PUT,
    SQL_AUDIT_PUT,
    SQL_WEBHOOK_PUT,
    SQL_WEBHOOK_DELETE,
    SQL_WEBHOOKS_ALL,
    SQL_DELIVERY_PUT,
    SQL_DELIVERY_DELETE,
    SQL_DELIVERIES_ALL,
    SQL_SHARE_PUT,
    SQL_SHARE_DELETE,
    SQL_SHARES_ALL,
    SQL_SHARE_INVITE_PUT,
    SQL_SHARE_INVITE_DELETE,
    SQL_SHARE_INVITES_ALL,
    SQL_USER_INVITE_PUT,
    SQL_USER_INVITE_DELETE,
    SQL_USER_INVITES_ALL,
    SQL_AUDIT_PRUNE,
    SQL_AUDIT_PAGE,
    SQL_TAILNET_DELETE,
    SQL_TAILNET_AUDIT_DELETE,
    SQL_TAILNET_DELIVERIES_DELETE,
    SQL_USER_DELETE,
    SQL_AUTH_KEY_DELETE,
    SQL_NODE_DELETE,
    SQL_API_KEY_DELETE,
    SQL_COUNTER_PUT,
    SQL_VALUE_PUT,
    SQL_VALUE_GET,
    SQL_COUNTERS_ALL,
    SQL_INFOS_ALL,
    SQL_POLICIES_OF,
    SQL_USERS_ALL,
    SQL_AUTH_KEYS_ALL,
    SQL_NODES_ALL,
    SQL_API_KEYS_ALL,
    SQL_CHECK,
    SQL_STATEMENTS
};
/* One statement, parameters $1, $2, ... */
const char *db_sql(enum db_statement id);

/*
 * Migration n brings a database from version n - 1 to n; they are never edited once released. They
 * are written for SQLite; dialect.c says what becomes of them for PostgreSQL.
 */
#define DB_VERSION 9
const char *db_migration(int version);
/* So that our files are known from other programs' ("Hats"). */
#define DB_APPLICATION_ID 0x48617473

/* ---- the engine ---- */

struct db;
struct db_table_list;

struct db_migrations {
    const char *const *sql; /* [1] to [version] */
    const char *const
        *rewrites; /* tables that [n] changes on purpose, space between; may be NULL */
    int version;
};

/* Called for each row; negative ends the statement with that status. */
typedef int db_row_fn(void *user, const struct db_value *columns, size_t n, struct err *err);

/* What became of a commit whose connection was lost. */
enum db_fate {
    DB_APPLIED,
    DB_NOT_APPLIED,
    DB_AWAY,  /* the database does not answer; nobody knows yet */
    DB_STALE, /* somebody else wrote meanwhile: what is in memory is old */
};

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
    /* One statement that is in no table; in the engine's own words. */
    int (*ask)(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
               db_row_fn *on_row, void *user, struct err *err);

    /* The schema's version; 0: nothing is there yet. ERR_INVALID: it is another program's. */
    int (*version)(struct db *db, int *version, struct err *err);
    int (*set_version)(struct db *db, int version, struct err *err);
    /* Damage inside the file, and rows that name what is not there. */
    int (*check)(struct db *db, struct err *err);
    /* Before a migration: keeps a backup, and runs the list on a copy that is then compared. */
    int (*rehearse)(struct db *db, const struct db_migrations *list, int from, struct err *err);
    /* Forgets prepared statements: the tables are about to change. */
    void (*forget)(struct db *db);
    /* Prepares every statement: the check that the tables are what this program thinks. */
    int (*prepare_all)(struct db *db, struct err *err);
    /* A read-only transaction that sees one moment; ended by rollback. */
    int (*begin_reading)(struct db *db, struct err *err);

    /* (table, column, type) as rows of text, in the order they were made. */
    const char *columns_sql;
    const char *text_order; /* behind a text column in ORDER BY, so that bytes decide */

    /* NULL where no connection can be lost. */
    bool (*is_lost)(const struct db *db); /* the last failure was a lost connection */
    enum db_fate (*settle)(struct db *db, struct err *err); /* waits for a while; see postgres.c */
    /* What memory holds is not what the database has; cleared by the next load. */
    bool (*is_stale)(const struct db *db);
    void (*loaded)(struct db *db);
};
/* Every engine's struct begins with this. */
struct db {
    const struct db_ops *ops;
    /* statements.c: what an operator wants to see of it; all zero: nothing. */
    struct db_watch {
        const struct db_ops *engine;
        struct db_ops ops; /* the engine's, with a `run` that tells */
        bool each;
        uint32_t slow_ms; /* 0: never */
    } watch;
};
/* statements.c: from now on statements are logged as the options say. */
void db_watch(struct db *db, const struct store_options *options);

/* Opens the file and locks it against a second server; makes or checks nothing in it. */
MUST_USE int db_sqlite_open(const struct store_options *options, struct db **out, struct err *err);
/* For reading beside a server; no lock is taken and nothing is made. */
MUST_USE int db_sqlite_open_reader(struct str path, struct db **out, struct err *err);
/* Connects and takes the lock, unless it is only to read. */
MUST_USE int db_postgres_open(const struct store_options *options, bool is_reader, struct db **out,
                              struct err *err);

/* The engine that the options name, locked. (store.c) */
MUST_USE int db_open(const struct store_options *options, struct db **out, struct err *err);

/* ---- migrations (migrate.c) ---- */

/* The real list, in the caller's room. */
struct db_migrations db_migrations(const char *room[DB_VERSION + 1]);
/*
 * Brings the schema to the list's version: rehearsed first when something is there already, then
 * whole or not at all. Refuses newer ones and other programs' databases.
 */
MUST_USE int db_migrate(struct db *db, const struct db_migrations *list, struct err *err);
/* Runs from + 1 to `to` in the transaction that is open, and sets the version. */
MUST_USE int db_apply(struct db *db, const struct db_migrations *list, int from, int to,
                      struct err *err);
/*
 * Complains when rows of a table that is in both differ in the columns that both have.
 *   was   what stands before the name of a table as it was: "old." or "pg_temp.was_"
 *   list  its `rewrites` from `from` + 1 on are not looked at
 */
MUST_USE int db_compare(struct db *db, const char *was, const struct db_table_list *before,
                        const struct db_migrations *list, int from, struct err *err);

struct db_column {
    struct str name;
    enum db_type type;
};
struct db_table {
    struct str name;
    struct db_column columns[DB_COLUMNS_MAX];
    size_t n;
};
struct db_table_list {
    struct db_table *items; /* in the order they were made */
    size_t len;
};
/* Every table of the domain; in the arena. */
MUST_USE int db_tables(struct db *db, struct arena *arena, struct db_table_list *out,
                       struct err *err);
const struct db_table *db_table_find(const struct db_table_list *list, struct str name);

/* Backups made by themselves: FILE.before-v3.20261121T170000Z; the newest few stay. */
#define BACKUPS_KEPT 5
struct str backup_name(struct str stem, int version, const char *suffix);
void backups_prune(struct str stem);

/* ---- SQLite's copies (sqlite_copy.c) ---- */

/* The database as it stands to a file of its own, 0600, checked, on the disk; over what is there.
 */
MUST_USE int sqlite_copy_to(struct db *db, struct str path, struct err *err);
MUST_USE int sqlite_rehearse(struct db *db, const struct db_migrations *list, int from,
                             struct err *err);
struct str sqlite_path(const struct db *db); /* empty: in memory */
void *sqlite_handle(struct db *db);          /* sqlite3 * */

/* ---- dialect.c ---- */

/* SQLite's words to PostgreSQL's; mem_free. */
MUST_USE char *dialect_postgres(const char *sql);
/*
 * Text that may hold any bytes, as text that PostgreSQL and JSON take: what is not UTF-8, and NUL,
 * becomes U+10FF00 + byte. `unescape` gives back what was.
 */
bool text_needs_escape(struct str text);
void text_escape(struct buf *out, struct str text);
bool text_is_escaped(struct str text);
void text_unescape(struct buf *out, struct str text);

/* ---- everything as JSON (export.c, restore.c) ---- */

#define EXPORT_FORM 1
#define EXPORT_MAX ((size_t)2 << 30)
MUST_USE int db_export(struct db *db, struct buf *out, struct err *err);
/*
 * Replaces all that is there, whole or not at all: makes the tables of the file's own schema
 * version, puts the rows in, migrates, and reads everything as a server would.
 */
MUST_USE int db_restore(struct db *db, struct str text, struct err *err);

struct store {
    struct db *db;
    uint64_t audit_kept; /* tests: of each kind; 0: the usual ceilings */
};

/* Every row to the domain. (store.c) */
MUST_USE int db_load(struct db *db, struct domain *d, struct err *err);

/* ---- rows (rows.c) ---- */

/*
 * Objects to arguments, in the order of the statement's parameters. What has to be made (lists as
 * JSON) lives in the arena. Returns how many.
 */
size_t row_from_info(const struct tailnet_info *info, uint64_t revision, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX]);
/* Of its policy; 0 columns when it never had one. */
size_t row_from_policy(const struct tailnet_info *info, struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_user(const struct user *u, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_auth_key(const struct auth_key *k, struct arena *arena,
                         struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_api_key(const struct api_key *k, struct arena *arena,
                        struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_node(const struct node *node, struct arena *arena,
                     struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_webhook(const struct webhook *h, struct arena *arena,
                        struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_share(const struct share *s, struct arena *arena,
                      struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_share_invite(const struct share_invite *i, struct arena *arena,
                             struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_user_invite(const struct user_invite *i, struct db_value args[DB_COLUMNS_MAX]);
size_t row_from_delivery(const struct delivery *d, struct db_value args[DB_COLUMNS_MAX]);
/* Columns back to objects; errors say "users row 7: ...". */
MUST_USE int row_to_info(const struct db_value *columns, size_t n, struct tailnet_info **out,
                         uint64_t *revision, struct err *err);
MUST_USE int row_to_user(const struct db_value *columns, size_t n, struct user **out,
                         struct err *err);
MUST_USE int row_to_auth_key(const struct db_value *columns, size_t n, struct auth_key **out,
                             struct err *err);
MUST_USE int row_to_api_key(const struct db_value *columns, size_t n, struct api_key **out,
                            struct err *err);
MUST_USE int row_to_webhook(const struct db_value *columns, size_t n, struct webhook **out,
                            struct err *err);
MUST_USE int row_to_share(const struct db_value *columns, size_t n, struct share **out,
                          struct err *err);
MUST_USE int row_to_share_invite(const struct db_value *columns, size_t n,
                                 struct share_invite **out, struct err *err);
MUST_USE int row_to_user_invite(const struct db_value *columns, size_t n, struct user_invite **out,
                                struct err *err);
MUST_USE int row_to_delivery(const struct db_value *columns, size_t n, struct delivery **out,
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
struct str list_from_settings(struct arena *arena, const struct tailnet_settings *s);
struct str list_from_attributes(struct arena *arena, const struct node_attribute *items, size_t n);
struct str list_from_terms(struct arena *arena, const struct share_terms *t);
struct str list_from_regions(struct arena *arena, const struct derp_region *items, size_t n);

/* False: not what was written; outputs hold what must be freed all the same. */
MUST_USE bool list_to_strings(struct str text, struct str_list *out);
MUST_USE bool list_to_prefixes(struct str text, struct ip_prefix **items, size_t *n);
MUST_USE bool list_to_endpoints(struct str text, struct ip_addrport **items, uint8_t **types,
                                size_t *n);
MUST_USE bool list_to_dns(struct str text, struct tailnet_info *info);
/* Over what the info has, which must be what is configured. */
MUST_USE bool list_to_settings(struct str text, struct tailnet_info *info);
MUST_USE bool list_to_attributes(struct str text, struct node_attribute **items, size_t *n);
MUST_USE bool list_to_terms(struct str text, struct share_terms *out);
MUST_USE bool list_to_regions(struct str text, struct derp_region **items, size_t *n);
/* The same of a list within another column. */
struct json_value;
MUST_USE bool list_read_regions(const struct json_value *array, struct derp_region **items,
                                size_t *n);

/* ---- the audit log (audit.c) ---- */

struct audit_entry;
/* Within a commit: writes the entry, and now and then drops old ones. */
MUST_USE int audit_commit(struct store *s, const struct audit_entry *e, struct err *err);

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

#pragma once

/*
 * The durable shadow of the domain: read whole at start, then written in batches.
 *
 *   registrar --batches--> storage thread (control/registrar): store_commit, one transaction each
 *
 * A batch is all or nothing. Batches are committed in the order they were submitted; those that
 * wait together share one commit. After `done` with no error the batch survives kill -9 and power
 * loss. Immutable objects are handed over by reference, so nothing is copied or serialised on the
 * registrar.
 */

#include "core/err.h"
#include "tailnet/domain.h"

struct store;

/* Where PostgreSQL is; what is empty is libpq's default. */
struct store_postgres {
    struct str host; /* or the directory of its Unix socket */
    uint16_t port;   /* 0: not given */
    struct str name;
    struct str user;
    struct str pass;     /* secret; borrowed for the call, kept wiped on close */
    struct str sslmode;  /* disable, prefer, require, verify-ca, verify-full; empty: not given */
    int64_t patience_ms; /* how long a commit waits for a lost server; 0: a few seconds */
    int64_t lock_patience_ms; /* how long to wait for another server to leave; 0: a few seconds */
};

struct store_options {
    struct str sqlite_path;                /* created 0600 when absent; ":memory:" for tests */
    bool wal;                              /* write-ahead log; default for real files */
    uint32_t wal_autocheckpoint;           /* pages; 0: SQLite's default (1000) */
    bool wal_never_checkpoints;            /* the configuration said 0 */
    const struct store_postgres *postgres; /* NULL: SQLite. Borrowed for the call */
    /* Where a backup goes before PostgreSQL's tables change; empty: the working directory. With
     * SQLite it goes beside the file. */
    struct str backup_dir;
    bool log_statements; /* each one, without what is put into it */
    uint32_t slow_ms;    /* those that take as long are logged; 0: none */
};
/*
 * Opens, checks and migrates. One server a database: a second one is refused (ERR_CONFLICT).
 * Before a migration a backup is kept beside the file, and the migration is run on a copy.
 */
MUST_USE int store_open(const struct store_options *options, struct store **out, struct err *err);
void store_close(struct store *s);
/* Puts everything into an empty domain (domain_load_…, counters); not domain_load_done. */
MUST_USE int store_load(struct store *s, struct domain *d, struct err *err);
/* Whether the database answers. */
MUST_USE int store_check(struct store *s, struct err *err);
/*
 * Another server wrote while this one's connection was lost, or a commit that was told as failed
 * was applied after all: what was loaded is old, and only store_load helps.
 */
bool store_is_stale(const struct store *s);

/*
 * The texts a tailnet's policy had, the newest first, as long as `each` says true. The text is
 * borrowed for the call.
 */
MUST_USE int store_policies(struct store *s, tailnet_id tailnet,
                            bool (*each)(void *user, struct str text, int64_t created_ms),
                            void *user, struct err *err);

/* What was on its way to webhooks when the server stopped, oldest first; borrowed for the call. */
MUST_USE int store_deliveries(struct store *s, void (*each)(void *user, const struct delivery *d),
                              void *user, struct err *err);

/* Small named values of the server itself (schema-free): settings, first-start marks. */
MUST_USE int store_value_get(struct store *s, struct str name, struct buf *value, bool *found,
                             struct err *err);
MUST_USE int store_value_put(struct store *s, struct str name, struct str value, struct err *err);

/* What a batch may hold; objects are counted references owned by the batch. */
enum store_op_kind {
    STORE_PUT_INFO,
    STORE_PUT_USER,
    STORE_PUT_AUTH_KEY,
    STORE_PUT_NODE,
    STORE_PUT_API_KEY,
    STORE_PUT_AUDIT,
    STORE_PUT_WEBHOOK,
    STORE_PUT_DELIVERY,
    STORE_PUT_SHARE,
    STORE_PUT_SHARE_INVITE,
    STORE_PUT_USER_INVITE,
    STORE_DELETE_TAILNET,
    STORE_DELETE_USER,
    STORE_DELETE_AUTH_KEY,
    STORE_DELETE_NODE,
    STORE_DELETE_API_KEY,
    STORE_DELETE_WEBHOOK,
    STORE_DELETE_DELIVERY,
    STORE_DELETE_SHARE,
    STORE_DELETE_SHARE_INVITE,
    STORE_DELETE_USER_INVITE,
};

struct store_batch;
MUST_USE struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b);
size_t store_batch_len(const struct store_batch *b);
/*
 * Adds what a change list means: looks each changed object up in `view` (its tailnet as it stands
 * after the changes) and keeps one op per object, the last. `durable` out: whether any of it must
 * be on disk before it is told.
 */
void store_batch_add(struct store_batch *b, const struct tailnet_view *view,
                     const struct change *changes, size_t n, bool *durable);
/* The same for API keys, which are in no view: looks at these changes only, passes over others. */
void store_batch_add_api_keys(struct store_batch *b, const struct api_key_set *keys,
                              const struct change *changes, size_t n, bool *durable);
/* An event on its way to a webhook, which is in no view either: refers to it. */
void store_batch_add_delivery(struct store_batch *b, const struct delivery *d);
/* It was taken, or given up. */
void store_batch_remove_delivery(struct store_batch *b, uint64_t id);
void store_batch_set_counters(struct store_batch *b, const struct domain_counters *next);
/* Puts what `older` holds under what is in `b`: of one object b's operation stays. Empties older.
 */
void store_batch_put_under(struct store_batch *b, struct store_batch *older);
/*
 * Commits at once, on the calling thread (which must be the only user of `s`). A lost connection is
 * waited for, a few seconds; the batch is tried again only when it is certain that it was not
 * applied. Failing, it was not applied, or the store is stale once it answers again.
 */
MUST_USE int store_commit(struct store *s, const struct store_batch *b, struct err *err);

/* ---- Copies of everything ---- */

/* The whole store as JSON text (docs/storage.md), as of one moment. Beside a running server. */
MUST_USE int store_export(const struct store_options *options, struct buf *out, struct err *err);
/* The rows of one tailnet in the same form, none of the server's. On the store's thread. */
MUST_USE int store_export_tailnet(struct store *s, uint64_t tailnet, struct buf *out,
                                  struct err *err);
/* A copy to a file, 0600, over what is there: SQLite's own form, or JSON from PostgreSQL. Beside a
 * running server. */
MUST_USE int store_backup(const struct store_options *options, struct str path, struct err *err);
/*
 * Replaces everything by what the text holds: JSON as exported, or an SQLite file's path. Whole or
 * not at all. No server may be running; what was there is kept as a backup, unless it was nothing.
 */
MUST_USE int store_restore_text(const struct store_options *options, struct str json,
                                struct err *err);
MUST_USE int store_restore_file(const struct store_options *options, struct str path,
                                struct err *err);
/* Whether the database holds a tailnet already. ERR_CONFLICT: a server is running. */
MUST_USE int store_has_content(const struct store_options *options, bool *has, struct err *err);

#pragma once

/* What the PostgreSQL engine's files share. */

#include <libpq-fe.h>

#include "store/store_internal.h"

struct db_postgres {
    struct db base;
    struct store_postgres where; /* owned copies */
    struct str backup_dir;
    bool is_reader;
    PGconn *conn; /* NULL: never connected */
    char *sql[SQL_STATEMENTS];
    bool is_prepared[SQL_STATEMENTS];
    struct buf scratch[DB_COLUMNS_MAX]; /* arguments that had to be escaped */
    bool is_lost;                       /* the last failure was of the connection */
    bool is_dead; /* the connection is of no use, whatever libpq thinks of it */
    bool is_stale;
    bool in_transaction;
    bool has_token;
    int64_t token;      /* of the last commit that is known to be there */
    int64_t next_token; /* of the one in doubt */
    bool in_doubt;
    bool gave_up; /* on the one in doubt: its caller was told that it failed */
    bool was_applied;
    int64_t backoff_ms;
    int64_t retry_at_ms; /* mono */
};

static inline struct db_postgres *pg_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_postgres, base);
}

static inline const struct db_postgres *pg_of_const(const struct db *db)
{
    return CONTAINER_OF_CONST(db, struct db_postgres, base);
}

/* ---- postgres_link.c: one connection, and what may be asked of it ---- */

/* Takes the result; 0, or what it complains of. */
MUST_USE int pg_done(struct db_postgres *db, PGresult *result, struct err *err);
/* Takes the result; its rows. */
MUST_USE int pg_rows(struct db_postgres *db, PGresult *result, db_row_fn *on_row, void *user,
                     struct err *err);
/* The connection is gone: ERR_IO, and is_lost. */
MUST_USE int pg_fail_lost(struct db_postgres *db, struct err *err);

struct pg_args {
    const char *values[DB_COLUMNS_MAX];
    int lengths[DB_COLUMNS_MAX];
    int formats[DB_COLUMNS_MAX];
    char numbers[DB_COLUMNS_MAX][24];
};
/* Borrows the arguments until the next call. */
void pg_bind(struct db_postgres *db, const struct db_value *args, size_t n, struct pg_args *to);

/* On the connection as it is, in PostgreSQL's words. */
MUST_USE int pg_script_raw(struct db_postgres *db, const char *sql, struct err *err);
MUST_USE int pg_ask_raw(struct db_postgres *db, const char *sql, const struct db_value *args,
                        size_t n, db_row_fn *on_row, void *user, struct err *err);
MUST_USE int pg_ask_int(struct db_postgres *db, const char *sql, int64_t *out, struct err *err);

MUST_USE int pg_connect(struct db_postgres *db, struct err *err);
bool pg_is_up(const struct db_postgres *db);
/* Connects anew if that is due, and never in the middle of a transaction. */
MUST_USE int pg_ensure(struct db_postgres *db, struct err *err);
MUST_USE int pg_stale(struct err *err);
bool pg_is_lost(const struct db *base);
bool pg_is_stale(const struct db *base);
void pg_loaded(struct db *base);
enum db_fate pg_settle(struct db *base, struct err *err);

/* ---- postgres.c ---- */

MUST_USE int pg_begin(struct db *base, struct err *err);
void pg_rollback(struct db *base);
MUST_USE int pg_script(struct db *base, const char *sql, struct err *err);
MUST_USE int pg_ask(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
                    db_row_fn *on_row, void *user, struct err *err);

/* ---- postgres_schema.c ---- */

#define PG_COLUMNS_SQL                                                             \
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)::text" \
    " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"  \
    " AND NOT a.attisdropped WHERE c.relkind = 'r'"                                \
    " AND c.relnamespace = current_schema()::regnamespace"                         \
    " AND c.relname <> 'hatsize_schema' AND c.relname NOT LIKE '\\_%' ORDER BY c.oid, a.attnum"
MUST_USE int pg_version(struct db *base, int *version, struct err *err);
MUST_USE int pg_set_version(struct db *base, int version, struct err *err);
MUST_USE int pg_check(struct db *base, struct err *err);
MUST_USE int pg_rehearse(struct db *base, const struct db_migrations *list, int from,
                         struct err *err);

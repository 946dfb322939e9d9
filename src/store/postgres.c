/*
 * The PostgreSQL engine: one connection, used by one thread at a time.
 *
 *   CONNECTED --connection lost--> AWAY --backoff over, server answers--> CONNECTED
 *                                    |                                        |
 *                                    +---- what became of the commit? --------+
 *
 * Rules
 *   1. One server a database: an advisory lock is held by the connection. It goes with the
 *      connection, so it is taken anew after every reconnection, and until then nothing is written.
 *   2. Each commit changes `hatsize_schema.token` to a random number in the same transaction. After
 *      a lost connection the token tells: this commit's number, it was applied; the number before,
 *      it was not; another, somebody else wrote and what is in memory is old (DB_STALE).
 *   3. A commit is tried again only when the token says that it was not applied.
 *   4. A commit waits `patience_ms` for a lost server, everything else fails at once; between two
 *      attempts to connect lies a pause that doubles up to BACKOFF_MAX_MS.
 *   5. synchronous_commit stays on for our session, whatever the server's default is.
 *
 * Integers go as text and come as binary, bytes are binary both ways.
 */

#include "core/rand.h"
#include "store/postgres_internal.h"

/* ---- transactions ---- */

void pg_rollback(struct db *base)
{
    struct db_postgres *db = pg_of(base);

    if (pg_is_up(db) && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
        PQclear(PQexec(db->conn, "ROLLBACK"));
    db->in_transaction = false;
}

int pg_begin(struct db *base, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int status = pg_ensure(db, err);

    if (status < 0)
        return status;
    if (db->is_stale)
        return pg_stale(err);
    db->is_lost = false;
    status = pg_script_raw(db, "BEGIN", err);
    db->in_transaction = status == 0;
    return status;
}

static int pg_begin_reading(struct db *base, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int status = pg_ensure(db, err);

    if (status == 0)
        status = pg_script_raw(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    db->in_transaction = status == 0;
    return status;
}

static int pg_commit(struct db *base, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    struct db_value token = DB_INT_OF(rand_below((uint64_t)1 << 62));
    PGresult *result;
    int status = pg_ask_raw(db, "UPDATE hatsize_schema SET token = $1", &token, 1, NULL, NULL, err);

    if (status == 0) {
        db->next_token = token.i;
        db->in_doubt = true;
        result = PQexec(db->conn, "COMMIT");
        /* A transaction that had failed is rolled back by COMMIT, and the server says so. */
        if (PQresultStatus(result) == PGRES_COMMAND_OK &&
            !str_eq(str_from(PQcmdStatus(result)), STR("COMMIT"))) {
            PQclear(result);
            db->in_doubt = false;
            db->in_transaction = false;
            return err_set(err, ERR_INTERNAL, "the database rolled the transaction back");
        }
        status = pg_done(db, result, err);
        if (status == 0)
            db->token = token.i;
        db->in_doubt = status < 0 && !pg_is_up(db);
    }
    if (status < 0)
        pg_rollback(base);
    db->in_transaction = false;
    return status;
}

/* ---- statements ---- */

static int pg_prepare(struct db_postgres *db, enum db_statement id, struct err *err)
{
    char name[16];
    int status;

    if (db->is_prepared[id])
        return 0;
    if (!db->sql[id])
        db->sql[id] = dialect_postgres(db_sql(id));
    (void)snprintf(name, sizeof(name), "s%d", (int)id);
    status = pg_done(db, PQprepare(db->conn, name, db->sql[id], 0, NULL), err);
    db->is_prepared[id] = status == 0;
    return status;
}

static int pg_run(struct db *base, enum db_statement id, const struct db_value *args, size_t n_args,
                  db_row_fn *on_row, void *user, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    struct pg_args bound;
    char name[16];
    int status = pg_ensure(db, err);

    if (status == 0)
        status = pg_prepare(db, id, err);
    if (status < 0)
        return status;
    ASSERT(n_args <= DB_COLUMNS_MAX);
    pg_bind(db, args, n_args, &bound);
    (void)snprintf(name, sizeof(name), "s%d", (int)id);
    return pg_rows(
        db,
        PQexecPrepared(db->conn, name, (int)n_args, bound.values, bound.lengths, bound.formats, 1),
        on_row, user, err);
}

int pg_script(struct db *base, const char *sql, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int status = pg_ensure(db, err);
    char *words = dialect_postgres(sql);

    if (status == 0)
        status = pg_script_raw(db, words, err);
    mem_free(words);
    return status;
}

int pg_ask(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
           db_row_fn *on_row, void *user, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int status = pg_ensure(db, err);

    return status < 0 ? status : pg_ask_raw(db, sql, args, n_args, on_row, user, err);
}

static void pg_forget(struct db *base)
{
    struct db_postgres *db = pg_of(base);

    if (pg_is_up(db))
        PQclear(PQexec(db->conn, "DEALLOCATE ALL"));
    memset(db->is_prepared, 0, sizeof(db->is_prepared));
}

static int pg_prepare_all(struct db *base, struct err *err)
{
    int status = 0;

    for (int i = 0; i < SQL_STATEMENTS && status == 0; i++)
        status = pg_prepare(pg_of(base), (enum db_statement)i, err);
    return status;
}

/* ---- open and close ---- */

static void pg_close(struct db *base)
{
    struct db_postgres *db = pg_of(base);

    PQfinish(db->conn);
    for (size_t i = 0; i < SQL_STATEMENTS; i++)
        mem_free(db->sql[i]);
    for (size_t i = 0; i < ARRAY_LEN(db->scratch); i++)
        buf_fini(&db->scratch[i]);
    if (db->where.pass.len > 0)
        mem_wipe((void *)(uintptr_t)db->where.pass.ptr, db->where.pass.len);
    str_free(&db->where.host);
    str_free(&db->where.name);
    str_free(&db->where.user);
    str_free(&db->where.pass);
    str_free(&db->where.sslmode);
    str_free(&db->backup_dir);
    mem_free(db);
}

static const struct db_ops pg_ops = {
    .close = pg_close,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .run = pg_run,
    .script = pg_script,
    .ask = pg_ask,
    .version = pg_version,
    .set_version = pg_set_version,
    .check = pg_check,
    .rehearse = pg_rehearse,
    .forget = pg_forget,
    .prepare_all = pg_prepare_all,
    .begin_reading = pg_begin_reading,
    .columns_sql = PG_COLUMNS_SQL,
    .text_order = " COLLATE \"C\"",
    .is_lost = pg_is_lost,
    .settle = pg_settle,
    .is_stale = pg_is_stale,
    .loaded = pg_loaded,
};

int db_postgres_open(const struct store_options *options, bool is_reader, struct db **out,
                     struct err *err)
{
    const struct store_postgres *w = options->postgres;
    struct db_postgres *db = NEW(struct db_postgres);
    int status;

    db->base.ops = &pg_ops;
    db->is_reader = is_reader;
    db->where = (struct store_postgres){.host = str_copy(w->host),
                                        .port = w->port,
                                        .name = str_copy(w->name),
                                        .user = str_copy(w->user),
                                        .pass = str_copy(w->pass),
                                        .sslmode = str_copy(w->sslmode),
                                        .patience_ms = w->patience_ms,
                                        .lock_patience_ms = w->lock_patience_ms};
    db->backup_dir = str_copy(options->backup_dir);
    status = pg_connect(db, err);
    if (status < 0) {
        pg_close(&db->base);
        return status;
    }
    *out = &db->base;
    return 0;
}

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

#include <libpq-fe.h>

#include <time.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/rand.h"
#include "store/store_internal.h"

#define PATIENCE_MS 4000
#define LOCK_PATIENCE_MS 5000
#define LOCK_POLL_MS 50
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define LOCK_KEY "5215018470114952051" /* "Hatsize" and one: no other program's, with luck */

/* pg_type's numbers, which never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

struct db_postgres {
    struct db base;
    struct store_postgres where; /* owned copies */
    struct str backup_dir;
    bool is_reader;
    PGconn *conn; /* NULL: never connected */
    char *sql[SQL_STATEMENTS];
    bool is_prepared[SQL_STATEMENTS];
    struct buf scratch[DB_COLUMNS_MAX]; /* arguments that had to be escaped */
    bool is_lost; /* the last failure was of the connection */
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

static struct db_postgres *pg_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_postgres, base);
}

static const struct db_postgres *pg_of_const(const struct db *db)
{
    return CONTAINER_OF_CONST(db, struct db_postgres, base);
}

/* ---- errors ---- */

/* By the first characters of the SQLSTATE (PostgreSQL manual, appendix A). */
static const struct {
    const char *state;
    enum err_code code;
    bool lost;
    const char *why;
} failures[] = {
    {"53100", ERR_IO, false,
     "the database's disk is full: free some space, nothing that was confirmed is lost"},
    {"53300", ERR_IO, true, "the database has too many connections"},
    {"53", ERR_IO, false, "the database has no room or memory left"},
    {"25006", ERR_IO, false, "the database is read-only (a standby?): give the primary's address"},
    {"57P", ERR_IO, true, "the database is stopping or starting"},
    {"08", ERR_IO, true, "the connection to the database is lost"},
    {"28", ERR_DENIED, false, "the database refuses this user or password"},
    {"3D000", ERR_NOT_FOUND, false, "there is no database of that name: create it first"},
    {"42501", ERR_DENIED, false, "the database's user may not do this: make it the owner"},
    {"42P01", ERR_INVALID, false, "the database's tables are not those this program knows"},
    {"42703", ERR_INVALID, false, "the database's tables are not those this program knows"},
    {"55P03", ERR_IO, false, "the database is locked by another program"},
    {"40", ERR_IO, false, "the database gave way to another transaction: try again"},
    {"58", ERR_IO, false, "the database cannot read or write its files"},
    {"XX", ERR_IO, false, "the database is damaged: see its own log"},
};

/* One line of what the server says, for a person; it names no secret. */
static struct str first_line(const char *text)
{
    struct str s = str_trim(str_from(text)), line = STR_NONE;

    (void)str_next(&s, '\n', &line);
    return line;
}

static int pg_fail_lost(struct db_postgres *db, struct err *err)
{
    struct str why = first_line(PQerrorMessage(db->conn));

    db->is_lost = true;
    db->is_dead = true;
    return err_set(err, ERR_IO, "the database does not answer: %.*s",
                   (int)MIN(why.len, (size_t)150), why.ptr ? why.ptr : "");
}

static int pg_fail(struct db_postgres *db, const PGresult *result, struct err *err)
{
    const char *field = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    struct str state = str_from(field);
    struct str words =
        first_line(result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : "");

    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        if (state.len == 0 || !str_starts(state, str_from(failures[i].state)))
            continue;
        db->is_lost = failures[i].lost;
        db->is_dead = db->is_dead || failures[i].lost;
        return err_set(err, failures[i].code, "%s", failures[i].why);
    }
    /* Without a state it is libpq itself that complains. */
    if (PQstatus(db->conn) != CONNECTION_OK || state.len == 0)
        return pg_fail_lost(db, err);
    return err_set(err, ERR_INTERNAL, "the database refused: %.*s",
                   (int)MIN(words.len, (size_t)150), words.ptr ? words.ptr : "");
}

/* Takes the result. */
static int pg_done(struct db_postgres *db, PGresult *result, struct err *err)
{
    ExecStatusType got = PQresultStatus(result);
    int status = 0;

    if (got != PGRES_COMMAND_OK && got != PGRES_TUPLES_OK && got != PGRES_EMPTY_QUERY)
        status = pg_fail(db, result, err);
    PQclear(result);
    return status;
}

/* ---- values ---- */

struct pg_args {
    const char *values[DB_COLUMNS_MAX];
    int lengths[DB_COLUMNS_MAX];
    int formats[DB_COLUMNS_MAX];
    char numbers[DB_COLUMNS_MAX][24];
};

static void pg_bind(struct db_postgres *db, const struct db_value *args, size_t n,
                    struct pg_args *to)
{
    for (size_t i = 0; i < n; i++) {
        struct str s = args[i].s;

        to->formats[i] = args[i].type != DB_INT;
        switch (args[i].type) {
        case DB_NULL:
            to->values[i] = NULL;
            break;
        case DB_INT:
            (void)snprintf(to->numbers[i], sizeof(to->numbers[i]), "%lld", (long long)args[i].i);
            to->values[i] = to->numbers[i];
            break;
        case DB_TEXT:
            if (text_needs_escape(s)) {
                buf_clear(&db->scratch[i]);
                text_escape(&db->scratch[i], s);
                s = buf_str(&db->scratch[i]);
            }
            to->values[i] = s.len > 0 ? s.ptr : "";
            to->lengths[i] = (int)s.len;
            break;
        case DB_BLOB:
            to->values[i] = s.len > 0 ? s.ptr : "";
            to->lengths[i] = (int)s.len;
            break;
        }
    }
}

static struct db_value pg_column(struct db_postgres *db, const PGresult *result, int row, int at)
{
    struct str bytes;

    if (PQgetisnull(result, row, at))
        return DB_NULL_OF;
    bytes = str_bytes(PQgetvalue(result, row, at), (size_t)PQgetlength(result, row, at));
    switch (PQftype(result, at)) {
    case OID_INT8:
        return DB_INT_OF(str_be64(bytes, 0));
    case OID_INT4:
        return DB_INT_OF((int32_t)str_be32(bytes, 0));
    case OID_INT2:
        return DB_INT_OF((int16_t)str_be16(bytes, 0));
    case OID_BOOL:
        return DB_INT_OF(bytes.ptr[0] != 0);
    case OID_BYTEA:
        return DB_BLOB_OF(bytes);
    default:
        break;
    }
    if (text_is_escaped(bytes)) {
        struct buf *to = &db->scratch[at];

        buf_clear(to);
        text_unescape(to, bytes);
        bytes = buf_str(to);
    }
    return DB_TEXT_OF(bytes);
}

/* Takes the result. */
static int pg_rows(struct db_postgres *db, PGresult *result, db_row_fn *on_row, void *user,
                   struct err *err)
{
    struct db_value columns[DB_COLUMNS_MAX];
    int n = PQnfields(result), status = 0;

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return pg_done(db, result, err);
    if (n > DB_COLUMNS_MAX) {
        PQclear(result);
        return err_set(err, ERR_INVALID, "a table has more columns than this program knows");
    }
    for (int row = 0; on_row && row < PQntuples(result) && status == 0; row++) {
        for (int i = 0; i < n; i++)
            columns[i] = pg_column(db, result, row, i);
        status = on_row(user, columns, (size_t)n, err);
    }
    PQclear(result);
    return status;
}

/* ---- connecting ---- */

static int pg_script_raw(struct db_postgres *db, const char *sql, struct err *err)
{
    return pg_done(db, PQexec(db->conn, sql), err);
}

static int pg_ask_raw(struct db_postgres *db, const char *sql, const struct db_value *args,
                      size_t n, db_row_fn *on_row, void *user, struct err *err)
{
    struct pg_args bound;

    pg_bind(db, args, n, &bound);
    return pg_rows(
        db,
        PQexecParams(db->conn, sql, (int)n, NULL, bound.values, bound.lengths, bound.formats, 1),
        on_row, user, err);
}

static int note_int(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)err;
    if (n > 0)
        *(int64_t *)user = columns[0].i;
    return 0;
}

static int pg_ask_int(struct db_postgres *db, const char *sql, int64_t *out, struct err *err)
{
    return pg_ask_raw(db, sql, NULL, 0, note_int, out, err);
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* A server that was killed may leave its connection behind for a moment. */
static int pg_lock(struct db_postgres *db, struct err *err)
{
    int64_t patience =
        db->where.lock_patience_ms ? db->where.lock_patience_ms : (int64_t)LOCK_PATIENCE_MS;
    int64_t end = clock_mono_ms() + patience;

    for (;;) {
        int64_t got = 0;
        int status = pg_ask_int(db, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", &got, err);

        if (status < 0 || got)
            return status;
        if (clock_mono_ms() >= end)
            return err_set(err, ERR_CONFLICT,
                           "another hatsize process has the database open: stop it first");
        pause_ms(LOCK_POLL_MS);
    }
}

/* Rule 2. */
static int pg_read_token(struct db_postgres *db, struct err *err)
{
    int64_t there = 0, token = 0;
    int status = pg_ask_int(
        db, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('hatsize_schema')", &there, err);

    if (status == 0 && there)
        status = pg_ask_int(db, "SELECT token FROM hatsize_schema", &token, err);
    if (status < 0)
        return status;
    db->was_applied = false;
    if (!db->has_token) {
        db->has_token = true;
    } else if (db->in_doubt && token == db->next_token) {
        db->was_applied = true;
        db->is_stale = db->is_stale || db->gave_up;
    } else if (token != db->token) {
        db->is_stale = true;
    }
    db->token = token;
    db->in_doubt = false;
    db->gave_up = false;
    return 0;
}

static int pg_set_up(struct db_postgres *db, struct err *err)
{
    int status = pg_script_raw(db,
                               "SET client_min_messages = warning; SET synchronous_commit = on;"
                               "SET lock_timeout = '10s'; SET DateStyle = ISO;"
                               /* Beside headscale's tables, ours are in a schema of their own. */
                               "SELECT set_config('search_path', nspname::text, false)"
                               " FROM pg_namespace WHERE nspname = 'hatsize'",
                               err);

    if (PQserverVersion(db->conn) < 120000)
        return err_set(err, ERR_INVALID, "PostgreSQL before version 12 is not supported");
    if (status == 0 && db->is_reader)
        return pg_script_raw(db, "SET default_transaction_read_only = on", err);
    if (status == 0)
        status = pg_lock(db, err);
    return status == 0 ? pg_read_token(db, err) : status;
}

static void on_notice(void *user, const PGresult *result)
{
    (void)user;
    log_event(LOG_DEBUG, "PostgreSQL says",
              LOG_STR("text", first_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY))));
}

static PGconn *pg_dial(const struct store_postgres *w)
{
    const char *names[16], *values[16];
    char *copies[6], port[8];
    const struct {
        const char *name;
        struct str value;
    } texts[] = {{"host", w->host},
                 {"dbname", w->name},
                 {"user", w->user},
                 {"password", w->pass},
                 {"sslmode", w->sslmode}};
    const char *const fixed[][2] = {{"connect_timeout", "5"},     {"application_name", "hatsize"},
                                    {"client_encoding", "UTF8"},  {"keepalives_idle", "20"},
                                    {"keepalives_interval", "5"}, {"keepalives_count", "3"},
                                    {"tcp_user_timeout", "15000"}};
    size_t n = 0, n_copies = 0;
    PGconn *conn;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].value.len > 0) {
            names[n] = texts[i].name;
            values[n++] = copies[n_copies++] = str_dup(texts[i].value);
        }
    if (w->port != 0) {
        (void)snprintf(port, sizeof(port), "%u", w->port);
        names[n] = "port";
        values[n++] = port;
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        names[n] = fixed[i][0];
        values[n++] = fixed[i][1];
    }
    names[n] = values[n] = NULL;
    conn = PQconnectdbParams(names, values, 0);
    for (size_t i = 0; i < n_copies; i++) {
        mem_wipe(copies[i], strlen(copies[i]));
        mem_free(copies[i]);
    }
    return conn;
}

/* Refusals that waiting does not mend, as far as libpq lets one know. */
static int pg_refused(struct db_postgres *db, struct err *err)
{
    static const struct {
        struct str words;
        enum err_code code;
        const char *why;
    } refusals[] = {
        {STR_INIT("password"), ERR_DENIED, "the database refuses this user or password"},
        {STR_INIT("pg_hba"), ERR_DENIED, "the database's pg_hba.conf refuses this connection"},
        {STR_INIT("does not exist"), ERR_NOT_FOUND, "there is no database or user of that name"},
    };
    struct str text = str_from(PQerrorMessage(db->conn));

    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (str_find(text, refusals[i].words) >= 0 && str_find(text, STR("FATAL")) >= 0)
            return err_set(err, refusals[i].code, "%s: see database.postgres in the configuration",
                           refusals[i].why);
    return pg_fail_lost(db, err);
}

static int pg_connect(struct db_postgres *db, struct err *err)
{
    int status = 0;

    PQfinish(db->conn);
    memset(db->is_prepared, 0, sizeof(db->is_prepared));
    db->is_dead = false;
    db->conn = pg_dial(&db->where);
    if (PQstatus(db->conn) != CONNECTION_OK) {
        status = pg_refused(db, err);
    } else {
        PQsetNoticeReceiver(db->conn, on_notice, NULL);
        status = pg_set_up(db, err);
    }
    if (status == 0) {
        db->backoff_ms = 0;
        db->is_lost = false;
        return 0;
    }
    /* Half a connection (without the lock, say) is none. */
    PQfinish(db->conn);
    db->conn = NULL;
    db->is_lost = true;
    db->backoff_ms = MIN(MAX(db->backoff_ms * 2, (int64_t)BACKOFF_MIN_MS), (int64_t)BACKOFF_MAX_MS);
    db->retry_at_ms = clock_mono_ms() + db->backoff_ms;
    return status;
}

static bool pg_is_up(const struct db_postgres *db)
{
    return db->conn && !db->is_dead && PQstatus(db->conn) == CONNECTION_OK;
}

static int pg_ensure(struct db_postgres *db, struct err *err)
{
    if (pg_is_up(db))
        return 0;
    db->is_lost = true;
    /* What was begun is gone; its rest must not run by itself. */
    if (db->in_transaction)
        return pg_fail_lost(db, err);
    if (clock_mono_ms() < db->retry_at_ms)
        return err_set(err, ERR_IO, "the database does not answer; it is tried again soon");
    if (pg_connect(db, err) < 0)
        return -(int)err->code;
    log_event(LOG_INFO, "the database answers again", LOG_BOOL("stale", db->is_stale));
    return 0;
}

static int pg_stale(struct err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "the database was changed by another server: it is read anew");
}

/* ---- what a lost commit became ---- */

static bool pg_is_lost(const struct db *base)
{
    return pg_of_const(base)->is_lost;
}

static bool pg_is_stale(const struct db *base)
{
    return pg_of_const(base)->is_stale;
}

static void pg_loaded(struct db *base)
{
    pg_of(base)->is_stale = false;
}

static enum db_fate pg_settle(struct db *base, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int64_t end = clock_mono_ms() + (db->where.patience_ms ? db->where.patience_ms : PATIENCE_MS);

    for (;;) {
        int64_t now = clock_mono_ms();

        if (pg_is_up(db) || (now >= db->retry_at_ms && pg_connect(db, err) == 0))
            break;
        if (now >= end) {
            db->gave_up = true;
            return DB_AWAY;
        }
        pause_ms(MIN(MAX(db->retry_at_ms - now, (int64_t)1), MAX(end - now, (int64_t)1)));
    }
    if (db->is_stale) {
        IGNORE(pg_stale(err));
        return DB_STALE;
    }
    log_event(LOG_INFO, "the database answers again", LOG_BOOL("applied", db->was_applied));
    return db->was_applied ? DB_APPLIED : DB_NOT_APPLIED;
}

/* ---- transactions ---- */

static void pg_rollback(struct db *base)
{
    struct db_postgres *db = pg_of(base);

    if (pg_is_up(db) && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
        PQclear(PQexec(db->conn, "ROLLBACK"));
    db->in_transaction = false;
}

static int pg_begin(struct db *base, struct err *err)
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

static int pg_script(struct db *base, const char *sql, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int status = pg_ensure(db, err);
    char *words = dialect_postgres(sql);

    if (status == 0)
        status = pg_script_raw(db, words, err);
    mem_free(words);
    return status;
}

static int pg_ask(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
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

/* ---- schema ---- */

#define OUR_TABLES                                  \
    "FROM pg_class c WHERE c.relkind IN ('r', 'p')" \
    " AND c.relnamespace = current_schema()::regnamespace"

static int pg_version(struct db *base, int *version, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int64_t tables = 0, ours = 0, headscale = 0, have = 0;
    int status = pg_ensure(db, err);

    if (status == 0)
        status = pg_ask_int(db, "SELECT count(*) " OUR_TABLES, &tables, err);
    if (status == 0)
        status = pg_ask_int(db, "SELECT count(*) " OUR_TABLES " AND c.relname = 'hatsize_schema'",
                            &ours, err);
    if (status == 0)
        status = pg_ask_int(
            db, "SELECT count(*) " OUR_TABLES " AND c.relname IN ('pre_auth_keys', 'migrations')",
            &headscale, err);
    if (status == 0 && ours)
        status = pg_ask_int(db, "SELECT version FROM hatsize_schema", &have, err);
    if (status < 0)
        return status;
    if (!ours && tables > 0)
        return err_set(err, ERR_INVALID, "%s: give database.postgres.name another one",
                       headscale == 2
                           ? "this is a headscale database, which Hatsize does not change; "
                             "`hatsize import headscale` puts ours beside it, in the same one"
                           : "the database belongs to another program");
    *version = (int)have;
    return 0;
}

static int pg_set_version(struct db *base, int version, struct err *err)
{
    const struct db_value args[] = {DB_INT_OF(version)};
    int status = pg_script(base,
                           "CREATE TABLE IF NOT EXISTS hatsize_schema (one INTEGER PRIMARY KEY"
                           " CHECK (one = 1), version INTEGER NOT NULL, token INTEGER NOT NULL);"
                           "INSERT INTO hatsize_schema VALUES (1, 0, 0) ON CONFLICT DO NOTHING",
                           err);

    return status < 0
               ? status
               : pg_ask(base, "UPDATE hatsize_schema SET version = $1", args, 1, NULL, NULL, err);
}

/* The server holds its own references and pages. */
static int pg_check(struct db *base, struct err *err)
{
    return pg_script(base, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED", err);
}

static int pg_keep_backup(struct db_postgres *db, int from, struct err *err)
{
    struct buf text = BUF(EXPORT_MAX);
    struct str dir = db->backup_dir.len > 0 ? db->backup_dir : STR(".");
    struct str stem = str_printf("%.*s/postgres", STR_ARG(dir));
    struct str name = backup_name(stem, from, ".json");
    int status = dir_make(dir, err);

    if (status == 0)
        status = db_export(&db->base, &text, err);
    if (status == 0)
        status = file_write_secret(name, buf_str(&text), err);
    if (status == 0) {
        backups_prune(stem);
        log_event(LOG_INFO, "a backup is kept before the database changes", LOG_STR("file", name));
    }
    str_free(&name);
    str_free(&stem);
    buf_fini(&text);
    return status < 0 ? err_wrap(err, "keeping a backup before the migration") : 0;
}

/* The copy is a transaction that is rolled back; others see nothing of it. */
static int pg_rehearse(struct db *base, const struct db_migrations *list, int from, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list before = {0};
    int status = pg_keep_backup(db, from, err);

    if (status == 0)
        status = pg_begin(base, err);
    if (status == 0)
        status = db_tables(base, arena, &before, err);
    for (size_t i = 0; i < before.len && status == 0; i++) {
        struct str sql = arena_printf(arena, "CREATE TEMP TABLE \"was_%.*s\" AS TABLE \"%.*s\"",
                                      STR_ARG(before.items[i].name), STR_ARG(before.items[i].name));

        status = pg_script_raw(db, sql.ptr, err);
    }
    if (status == 0)
        status = db_apply(base, list, from, list->version, err);
    if (status == 0)
        status = pg_check(base, err);
    if (status == 0)
        status = db_compare(base, "pg_temp.was_", &before, list, from, err);
    pg_rollback(base);
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
    .columns_sql = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)::text"
                   " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
                   " AND NOT a.attisdropped WHERE c.relkind = 'r'"
                   " AND c.relnamespace = current_schema()::regnamespace"
                   " AND c.relname <> 'hatsize_schema' ORDER BY c.oid, a.attnum",
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

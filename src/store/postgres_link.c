/*
 * The connection to PostgreSQL: how it is made, how it is made again, and what became of a commit
 * that was under way when it broke. postgres.c has the rules.
 */

#include "store/postgres_internal.h"

#include <time.h>

#include "core/clock.h"
#include "core/log.h"

#define PATIENCE_MS 4000
#define LOCK_PATIENCE_MS 5000
#define LOCK_POLL_MS 50
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define LOCK_KEY "5215018470114952051" /* "Hatsize" and one: no other program's, with luck */

/* pg_type's numbers, which never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

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

int pg_fail_lost(struct db_postgres *db, struct err *err)
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
int pg_done(struct db_postgres *db, PGresult *result, struct err *err)
{
    ExecStatusType got = PQresultStatus(result);
    int status = 0;

    if (got != PGRES_COMMAND_OK && got != PGRES_TUPLES_OK && got != PGRES_EMPTY_QUERY)
        status = pg_fail(db, result, err);
    PQclear(result);
    return status;
}

/* ---- values ---- */

void pg_bind(struct db_postgres *db, const struct db_value *args, size_t n, struct pg_args *to)
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
int pg_rows(struct db_postgres *db, PGresult *result, db_row_fn *on_row, void *user,
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

int pg_script_raw(struct db_postgres *db, const char *sql, struct err *err)
{
    return pg_done(db, PQexec(db->conn, sql), err);
}

int pg_ask_raw(struct db_postgres *db, const char *sql, const struct db_value *args, size_t n,
               db_row_fn *on_row, void *user, struct err *err)
{
    struct pg_args bound = {0};

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

int pg_ask_int(struct db_postgres *db, const char *sql, int64_t *out, struct err *err)
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

int pg_connect(struct db_postgres *db, struct err *err)
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

bool pg_is_up(const struct db_postgres *db)
{
    return db->conn && !db->is_dead && PQstatus(db->conn) == CONNECTION_OK;
}

int pg_ensure(struct db_postgres *db, struct err *err)
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

int pg_stale(struct err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "the database was changed by another server: it is read anew");
}

/* ---- what a lost commit became ---- */

bool pg_is_lost(const struct db *base)
{
    return pg_of_const(base)->is_lost;
}

bool pg_is_stale(const struct db *base)
{
    return pg_of_const(base)->is_stale;
}

void pg_loaded(struct db *base)
{
    pg_of(base)->is_stale = false;
}

enum db_fate pg_settle(struct db *base, struct err *err)
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

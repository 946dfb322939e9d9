/*
 * A headscale database in PostgreSQL, read in one read-only transaction: all tables as of one
 * moment, and no lock that a server would notice.
 *
 * Everything comes as text in the session's own settings (ISO dates in UTC, bytes in hexadecimal),
 * which the value readers take.
 */

#include <libpq-fe.h>

#include <stdio.h>

#include "store/import_internal.h"

struct foreign_postgres {
    struct foreign base;
    PGconn *conn;
};

static struct foreign_postgres *pg_of(struct foreign *f)
{
    return CONTAINER_OF(f, struct foreign_postgres, base);
}

/* libpq's words without their line end; they hold no password. */
static int fail(const struct foreign_postgres *pg, const char *doing, struct err *err)
{
    struct str text = str_trim(str_from(PQerrorMessage(pg->conn)));
    ptrdiff_t end = str_find_char(text, '\n');

    if (end >= 0)
        text = str_sub(text, 0, (size_t)end);
    return err_set(err, ERR_IO, "%s: %.*s", doing, STR_ARG(str_sub(text, 0, 180)));
}

static void pg_close(struct foreign *f)
{
    struct foreign_postgres *pg = pg_of(f);

    PQfinish(pg->conn);
    mem_free(pg);
}

static int give_row(const PGresult *result, db_row_fn *on_row, void *user, struct err *err)
{
    struct db_value columns[DB_COLUMNS_MAX];
    int n = PQnfields(result);

    ASSERT(n <= DB_COLUMNS_MAX);
    for (int i = 0; i < n; i++)
        columns[i] = PQgetisnull(result, 0, i)
                         ? DB_NULL_OF
                         : DB_TEXT_OF(str_bytes(PQgetvalue(result, 0, i),
                                                (size_t)PQgetlength(result, 0, i)));
    return on_row(user, columns, (size_t)n, err);
}

/* Row by row, so that a large table is never in memory twice. */
static int pg_query(struct foreign *f, const char *sql, db_row_fn *on_row, void *user,
                    struct err *err)
{
    struct foreign_postgres *pg = pg_of(f);
    PGresult *result;
    int status = 0;

    if (!PQsendQuery(pg->conn, sql) || !PQsetSingleRowMode(pg->conn))
        return fail(pg, "the database cannot be read", err);
    while ((result = PQgetResult(pg->conn))) {
        ExecStatusType kind = PQresultStatus(result);

        /* What comes after a refusal is read too, and thrown away. */
        if (status == 0 && kind == PGRES_SINGLE_TUPLE)
            status = give_row(result, on_row, user, err);
        else if (status == 0 && kind != PGRES_TUPLES_OK && kind != PGRES_COMMAND_OK)
            status = fail(pg, "the database cannot be read", err);
        PQclear(result);
    }
    return status;
}

static const struct foreign_ops pg_ops = {
    .close = pg_close,
    .query = pg_query,
    .columns_sql =
        "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns AS c"
        " JOIN information_schema.tables AS t USING (table_schema, table_name)"
        " WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'",
};

static int run(struct foreign_postgres *pg, const char *sql, struct err *err)
{
    PGresult *result = PQexec(pg->conn, sql);
    ExecStatusType kind = PQresultStatus(result);
    int status = 0;

    if (kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK)
        status = fail(pg, "the database cannot be read", err);
    PQclear(result);
    return status;
}

static int refuse_session(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)user;
    return err_set(err, ERR_CONFLICT,
                   "a program (%.*s) is connected to the database: stop headscale first, so that "
                   "nothing it still writes is lost",
                   n == 1 && columns[0].type == DB_TEXT ? (int)MIN(columns[0].s.len, (size_t)80)
                                                        : 0,
                   n == 1 && columns[0].type == DB_TEXT ? columns[0].s.ptr : "");
}

#define LEAVING_TRIES 20 /* a tenth of a second each: a session that ends is seen for a while */

/* Sessions of other databases and of our own programs do not count. */
static int look_at_sessions(struct foreign_postgres *pg, struct err *err)
{
    return pg_query(&pg->base,
                    "SELECT coalesce(nullif(application_name, ''), 'user ' || usename::text, '')"
                    " || coalesce(' from ' || host(client_addr), '') FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND backend_type = 'client backend' AND application_name NOT LIKE 'hatsize%'"
                    " LIMIT 1",
                    refuse_session, NULL, err);
}

static int refuse_sessions(struct foreign_postgres *pg, struct err *err)
{
    int status = look_at_sessions(pg, err);

    for (int i = 0; i < LEAVING_TRIES && status == -ERR_CONFLICT; i++) {
        status = run(pg, "SELECT pg_sleep(0.1)", err);
        if (status == 0)
            status = look_at_sessions(pg, err);
    }
    return status;
}

static PGconn *dial_url(struct str url)
{
    char *copy = str_dup(url);
    const char *const names[] = {"dbname", "connect_timeout", "application_name", "client_encoding",
                                 NULL};
    const char *const values[] = {copy, "5", "hatsize import", "UTF8", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    mem_wipe(copy, url.len);
    mem_free(copy);
    return conn;
}

static PGconn *dial_where(const struct store_postgres *w)
{
    const struct str given[] = {w->host, w->name, w->user, w->pass, w->sslmode};
    const char *const words[] = {"host", "dbname", "user", "password", "sslmode"};
    const char *names[16] = {0}, *values[16] = {0};
    char *copies[ARRAY_LEN(given)] = {0}, port[8];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        if (given[i].len > 0) {
            names[n] = words[i];
            values[n++] = copies[i] = str_dup(given[i]);
        }
    if (w->port != 0) {
        snprintf(port, sizeof(port), "%u", w->port);
        names[n] = "port";
        values[n++] = port;
    }
    names[n] = "connect_timeout";
    values[n++] = "5";
    names[n] = "application_name";
    values[n++] = "hatsize import";
    names[n] = "client_encoding";
    values[n++] = "UTF8";

    PGconn *conn = PQconnectdbParams(names, values, 0);

    for (size_t i = 0; i < ARRAY_LEN(copies); i++)
        if (copies[i]) {
            mem_wipe(copies[i], given[i].len);
            mem_free(copies[i]);
        }
    return conn;
}

/* Where the role is called like our schema, its tables would stand before headscale's. */
static const char set_up[] =
    "SET client_min_messages = warning; SET DateStyle = ISO; SET TimeZone = 'UTC';"
    "SET bytea_output = hex; SET lock_timeout = '10s';"
    "SELECT set_config('search_path', 'public', false)"
    " WHERE current_schema() = '" IMPORT_POSTGRES_SCHEMA "'";

int foreign_postgres_open(struct str url, const struct store_postgres *where, struct foreign **out,
                          struct err *err)
{
    struct foreign_postgres *pg = NEW(struct foreign_postgres);
    int status = 0;

    pg->base.ops = &pg_ops;
    pg->conn = url.len > 0 ? dial_url(url) : dial_where(where);
    if (PQstatus(pg->conn) != CONNECTION_OK)
        status = fail(pg, "no connection to PostgreSQL", err);
    if (status == 0)
        status = run(pg, set_up, err);
    if (status == 0)
        status = refuse_sessions(pg, err);
    if (status == 0)
        status = run(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (status < 0) {
        pg_close(&pg->base);
        return status;
    }
    *out = &pg->base;
    return 0;
}

/* ---- the target beside it ---- */

/* Of one number. */
static int keep_number(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)err;
    if (n == 1 && columns[0].type == DB_TEXT)
        (void)!str_parse_i64(columns[0].s, user);
    return 0;
}

int import_postgres_schema(const struct store_postgres *where, bool make, bool *has, bool *beside,
                           struct err *err)
{
    struct foreign_postgres pg = {.base = {.ops = &pg_ops}, .conn = dial_where(where)};
    int64_t schemas = 0, tables = 0;
    int status = 0;

    if (PQstatus(pg.conn) != CONNECTION_OK)
        status = fail(&pg, "no connection to PostgreSQL", err);
    if (status == 0)
        status = run(&pg, set_up, err);
    if (status == 0)
        status = pg_query(
            &pg.base,
            "SELECT count(*) FROM pg_namespace WHERE nspname = '" IMPORT_POSTGRES_SCHEMA "'",
            keep_number, &schemas, err);
    if (status == 0)
        status = pg_query(&pg.base,
                          "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
                          " AND tablename IN ('pre_auth_keys', 'nodes', 'machines')",
                          keep_number, &tables, err);
    if (status == 0 && make && schemas == 0 && tables >= 2) {
        status = run(&pg, "CREATE SCHEMA " IMPORT_POSTGRES_SCHEMA, err);
        if (status < 0)
            status = err_wrap(err, "making a schema for our tables beside headscale's");
    }
    PQfinish(pg.conn);
    if (status == 0) {
        *has = schemas > 0;
        *beside = tables >= 2;
    }
    return status;
}

int import_postgres_drop_schema(const struct store_postgres *where, struct err *err)
{
    struct foreign_postgres pg = {.base = {.ops = &pg_ops}, .conn = dial_where(where)};
    int status = PQstatus(pg.conn) != CONNECTION_OK
                     ? fail(&pg, "no connection to PostgreSQL", err)
                     : run(&pg,
                           "SET client_min_messages = warning;"
                           "DROP SCHEMA " IMPORT_POSTGRES_SCHEMA " CASCADE",
                           err);

    PQfinish(pg.conn);
    return status;
}

/*
 * The SQLite engine: one connection, used by one thread at a time.
 *
 * Rules
 *   1. A commit is on the disk when it returns: write-ahead log with synchronous=FULL (or a
 *      rollback journal, where the log is switched off).
 *   2. One server a file: "<file>.lock" is held for as long as the file is open. The lock goes with
 *      the process, so nothing is left to clean up after a crash.
 *   3. The file and everything beside it is 0600, the directories made for it 0700.
 *   4. Statements are prepared once, right after the schema is known to be current; that they all
 *      prepare is the check that the tables are what this program thinks they are.
 */

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_internal.h"

#define BUSY_MS 5000
#define PARAMETERS_MAX DB_COLUMNS_MAX

struct sqlite_statement {
    sqlite3_stmt *handle;
    int n_parameters;
    int index[PARAMETERS_MAX]; /* of $1, $2, ...: SQLite numbers them as they first appear */
};

struct db_sqlite {
    struct db base;
    sqlite3 *handle;
    struct str path; /* empty: in memory */
    int lock_fd;
    struct sqlite_statement statements[SQL_STATEMENTS];
};

static struct db_sqlite *sqlite_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_sqlite, base);
}

/* ---- errors ---- */

static int sqlite_fail(struct db_sqlite *db, struct err *err)
{
    int code = sqlite3_errcode(db->handle) & 0xff;
    int sys = sqlite3_system_errno(db->handle);
    const char *why;

    switch (code) {
    case SQLITE_FULL:
        why = "the disk is full: free some space, nothing that was confirmed is lost";
        break;
    case SQLITE_READONLY:
        why = "the database is read-only: check the file's owner and how its disk is mounted";
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        why = "the database is locked by another program";
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        why = "the database file is damaged or no SQLite database: restore a backup";
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        why = "the database file cannot be opened: check its directory and permissions";
        break;
    case SQLITE_IOERR:
        if (sys != 0)
            return err_sys(err, sys, "the database cannot be read or written");
        why = "the database cannot be read or written";
        break;
    default:
        return err_set(err, ERR_INTERNAL, "the database refused: %s", sqlite3_errmsg(db->handle));
    }
    code = err_set(err, ERR_IO, "%s", why);
    if (err)
        err->sys = sys;
    return code;
}

static int sqlite_script(struct db *base, const char *sql, struct err *err)
{
    struct db_sqlite *db = sqlite_of(base);

    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_fail(db, err);
    return 0;
}

/* ---- transactions ---- */

static void sqlite_rollback(struct db *base)
{
    struct db_sqlite *db = sqlite_of(base);

    /* Some failures (a full disk) have rolled back already. */
    if (!sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

static int sqlite_begin(struct db *base, struct err *err)
{
    return sqlite_script(base, "BEGIN IMMEDIATE", err);
}

static int sqlite_commit(struct db *base, struct err *err)
{
    int status = sqlite_script(base, "COMMIT", err);

    if (status < 0)
        sqlite_rollback(base);
    return status;
}

/* ---- statements ---- */

static void sqlite_number(struct sqlite_statement *s)
{
    char name[16];

    s->n_parameters = sqlite3_bind_parameter_count(s->handle);
    ASSERT(s->n_parameters <= PARAMETERS_MAX);
    for (int i = 0; i < s->n_parameters; i++) {
        snprintf(name, sizeof(name), "$%d", i + 1);
        s->index[i] = sqlite3_bind_parameter_index(s->handle, name);
        ASSERT(s->index[i] > 0);
    }
}

static int sqlite_prepare(struct db_sqlite *db, enum db_statement id, struct err *err)
{
    struct sqlite_statement *s = &db->statements[id];

    if (s->handle)
        return 0;
    if (sqlite3_prepare_v3(db->handle, db_sql(id), -1, SQLITE_PREPARE_PERSISTENT, &s->handle,
                           NULL) != SQLITE_OK) {
        if ((sqlite3_errcode(db->handle) & 0xff) == SQLITE_ERROR)
            return err_set(err, ERR_INVALID,
                           "the database's tables are not those of schema version %d (%s): restore "
                           "a backup",
                           DB_VERSION, sqlite3_errmsg(db->handle));
        return sqlite_fail(db, err);
    }
    sqlite_number(s);
    return 0;
}

static int sqlite_bind(const struct sqlite_statement *s, int at, const struct db_value *v)
{
    /* An empty str may have no pointer, which SQLite would take for NULL. */
    const char *bytes = v->s.len > 0 ? v->s.ptr : "";

    switch (v->type) {
    case DB_NULL:
        return sqlite3_bind_null(s->handle, s->index[at]);
    case DB_INT:
        return sqlite3_bind_int64(s->handle, s->index[at], v->i);
    case DB_TEXT:
        return sqlite3_bind_text64(s->handle, s->index[at], bytes, v->s.len, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case DB_BLOB:
        return sqlite3_bind_blob64(s->handle, s->index[at], bytes, v->s.len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static struct db_value sqlite_column(sqlite3_stmt *stmt, int at)
{
    switch (sqlite3_column_type(stmt, at)) {
    case SQLITE_INTEGER:
        return DB_INT_OF(sqlite3_column_int64(stmt, at));
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(stmt, at);

        return DB_TEXT_OF(str_bytes(text, (size_t)sqlite3_column_bytes(stmt, at)));
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, at);

        return DB_BLOB_OF(str_bytes(blob, (size_t)sqlite3_column_bytes(stmt, at)));
    }
    default: /* no table of ours has reals */
        return DB_NULL_OF;
    }
}

static int sqlite_step_all(struct db_sqlite *db, sqlite3_stmt *stmt, db_row_fn *on_row, void *user,
                           struct err *err)
{
    struct db_value columns[DB_COLUMNS_MAX];
    int n = sqlite3_column_count(stmt);
    int step;

    ASSERT(n <= DB_COLUMNS_MAX);
    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        int status = 0;

        for (int i = 0; i < n; i++)
            columns[i] = sqlite_column(stmt, i);
        if (on_row)
            status = on_row(user, columns, (size_t)n, err);
        if (status < 0)
            return status;
    }
    return step == SQLITE_DONE ? 0 : sqlite_fail(db, err);
}

static int sqlite_run(struct db *base, enum db_statement id, const struct db_value *args,
                      size_t n_args, db_row_fn *on_row, void *user, struct err *err)
{
    struct db_sqlite *db = sqlite_of(base);
    struct sqlite_statement *s = &db->statements[id];
    int status = sqlite_prepare(db, id, err);

    if (status < 0)
        return status;
    ASSERT((size_t)s->n_parameters == n_args);
    for (int i = 0; i < s->n_parameters && status == 0; i++)
        if (sqlite_bind(s, i, &args[i]) != SQLITE_OK)
            status = sqlite_fail(db, err);
    if (status == 0)
        status = sqlite_step_all(db, s->handle, on_row, user, err);
    /* Reset repeats the error that is already told. */
    (void)sqlite3_reset(s->handle);
    (void)sqlite3_clear_bindings(s->handle);
    return status;
}

/* ---- questions that are no statements of ours ---- */

static int sqlite_ask(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
                      db_row_fn *on_row, void *user, struct err *err)
{
    struct db_sqlite *db = sqlite_of(base);
    struct sqlite_statement s = {0};
    int status = 0;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &s.handle, NULL) != SQLITE_OK)
        return sqlite_fail(db, err);
    sqlite_number(&s);
    if (sqlite3_column_count(s.handle) > DB_COLUMNS_MAX)
        status = err_set(err, ERR_INVALID, "a table has more columns than this program knows");
    ASSERT((size_t)s.n_parameters <= n_args);
    for (int i = 0; i < s.n_parameters && status == 0; i++)
        if (sqlite_bind(&s, i, &args[i]) != SQLITE_OK)
            status = sqlite_fail(db, err);
    if (status == 0)
        status = sqlite_step_all(db, s.handle, on_row, user, err);
    sqlite3_finalize(s.handle);
    return status;
}

static int sqlite_ask_int(struct db_sqlite *db, const char *sql, int64_t *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int status = 0;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    else
        status = sqlite_fail(db, err);
    sqlite3_finalize(stmt);
    return status;
}

/* Damage inside the file, and rows that name what is not there. */
static int sqlite_check(struct db *base, struct err *err)
{
    struct db_sqlite *db = sqlite_of(base);
    sqlite3_stmt *stmt = NULL;
    int status = 0;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        status = sqlite_fail(db, err);
    else if (!str_eq(sqlite_column(stmt, 0).s, STR("ok")))
        status = err_set(err, ERR_INVALID, "the database file is damaged: %.*s: restore a backup",
                         STR_ARG(sqlite_column(stmt, 0).s));
    sqlite3_finalize(stmt);
    if (status < 0)
        return status;

    stmt = NULL;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA foreign_key_check", -1, &stmt, NULL) != SQLITE_OK)
        status = sqlite_fail(db, err);
    else if (sqlite3_step(stmt) == SQLITE_ROW)
        status =
            err_set(err, ERR_INVALID,
                    "%.*s row %lld names a row of %.*s that is not there: mend it or restore "
                    "a backup",
                    STR_ARG(sqlite_column(stmt, 0).s), (long long)sqlite3_column_int64(stmt, 1),
                    STR_ARG(sqlite_column(stmt, 2).s));
    sqlite3_finalize(stmt);
    return status;
}

/* ---- schema ---- */

/* What is neither empty nor ours is left alone. */
static int sqlite_version(struct db *base, int *version, struct err *err)
{
    struct db_sqlite *db = sqlite_of(base);
    int64_t application = 0, tables = 0, headscale = 0, have = 0;
    int status;

    status = sqlite_ask_int(db, "PRAGMA application_id", &application, err);
    if (status == 0)
        status = sqlite_ask_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (status == 0)
        status = sqlite_ask_int(db,
                                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND"
                                " name IN ('pre_auth_keys', 'migrations')",
                                &headscale, err);
    if (status == 0)
        status = sqlite_ask_int(db, "PRAGMA user_version", &have, err);
    if (status < 0)
        return status;
    if (application != DB_APPLICATION_ID && tables > 0 && headscale == 2)
        return err_set(err, ERR_INVALID,
                       "this is a headscale database: Hatsize does not change it; give "
                       "database.sqlite.path another file");
    if (application != DB_APPLICATION_ID && tables > 0)
        return err_set(err, ERR_INVALID,
                       "the database belongs to another program: give database.sqlite.path another "
                       "file");
    *version = (int)have;
    return 0;
}

static int sqlite_set_version(struct db *base, int version, struct err *err)
{
    char mark[96];

    snprintf(mark, sizeof(mark), "PRAGMA user_version = %d; PRAGMA application_id = %d", version,
             DB_APPLICATION_ID);
    return sqlite_script(base, mark, err);
}

static int sqlite_prepare_all(struct db *base, struct err *err)
{
    int status = 0;

    for (int i = 0; i < SQL_STATEMENTS && status == 0; i++)
        status = sqlite_prepare(sqlite_of(base), (enum db_statement)i, err);
    return status;
}

static void sqlite_forget(struct db *base)
{
    struct db_sqlite *db = sqlite_of(base);

    for (size_t i = 0; i < SQL_STATEMENTS; i++) {
        sqlite3_finalize(db->statements[i].handle);
        db->statements[i].handle = NULL;
    }
}

static int sqlite_begin_reading(struct db *base, struct err *err)
{
    int64_t any;
    int status = sqlite_script(base, "BEGIN", err);

    /* The moment is that of the first look. */
    return status < 0 ? status : sqlite_ask_int(sqlite_of(base), "PRAGMA user_version", &any, err);
}

/* ---- open and close ---- */

static void sqlite_close(struct db *base)
{
    struct db_sqlite *db = sqlite_of(base);

    for (size_t i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(db->statements[i].handle);
    (void)sqlite3_close_v2(db->handle);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    str_free(&db->path);
    mem_free(db);
}

struct str sqlite_path(const struct db *base)
{
    return CONTAINER_OF_CONST(base, struct db_sqlite, base)->path;
}

void *sqlite_handle(struct db *base)
{
    return sqlite_of(base)->handle;
}

static const struct db_ops sqlite_ops = {
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .run = sqlite_run,
    .script = sqlite_script,
    .ask = sqlite_ask,
    .version = sqlite_version,
    .set_version = sqlite_set_version,
    .check = sqlite_check,
    .rehearse = sqlite_rehearse,
    .forget = sqlite_forget,
    .prepare_all = sqlite_prepare_all,
    .begin_reading = sqlite_begin_reading,
    .columns_sql =
        "SELECT m.name, c.name, c.type FROM sqlite_schema AS m, pragma_table_info(m.name)"
        " AS c WHERE m.type = 'table' AND substr(m.name, 1, 7) <> 'sqlite_'"
        " AND substr(m.name, 1, 1) <> '_' ORDER BY m.rowid, c.cid",
    .text_order = "",
};

/* Every missing directory above the file, 0700. */
static int make_directories(char *path, struct err *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            int sys = errno;

            *slash = '/';
            return err_sys(err, sys, "making the database's directory");
        }
        *slash = '/';
    }
    return 0;
}

/* A new file's name is only safe once its directory is on the disk, too. */
static int sync_directory(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = !slash          ? str_dup(STR("."))
                : slash == path ? str_dup(STR("/"))
                                : str_dup(str_bytes(path, (size_t)(slash - path)));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = 0;

    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        status = err_sys(err, errno, "the database's directory");
    if (fd >= 0)
        close(fd);
    mem_free(dir);
    return status;
}

static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno == EEXIST ? 0 : err_sys(err, errno, "making the database file");
    close(fd);
    return sync_directory(path, err);
}

static int take_lock(struct db_sqlite *db, struct str path, struct err *err)
{
    struct str name = str_printf("%.*s.lock", STR_ARG(path));
    int status = 0;

    db->lock_fd = open(name.ptr, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0)
        status = err_sys(err, errno, "the database's lock file");
    else if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
        status = errno == EWOULDBLOCK
                     ? err_set(err, ERR_CONFLICT,
                               "another hatsize process has the database open: stop it first")
                     : err_sys(err, errno, "locking the database");
    str_free(&name);
    return status;
}

static int sqlite_prepare_file(struct db_sqlite *db, struct str path, struct err *err)
{
    char *name;
    int status;

    if (path.len == 0 || str_find_char(path, '\0') >= 0)
        return err_set(err, ERR_INVALID, "the database's path is empty or holds a NUL");
    name = str_dup(path);
    status = make_directories(name, err);
    if (status == 0)
        status = take_lock(db, path, err);
    if (status == 0)
        status = make_file(name, err);
    mem_free(name);
    return status;
}

static int sqlite_set_up(struct db_sqlite *db, const struct store_options *options, bool wal,
                         struct err *err)
{
    int status;

    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (sqlite3_db_readonly(db->handle, "main") == 1)
        return err_set(err, ERR_IO,
                       "the database is read-only: check the file's owner and how its disk is "
                       "mounted");
    status = sqlite_script(&db->base,
                           wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE", err);
    if (status == 0)
        status = sqlite_script(
            &db->base,
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY", err);
    if (options->wal_never_checkpoints || options->wal_autocheckpoint > 0)
        (void)sqlite3_wal_autocheckpoint(
            db->handle, options->wal_never_checkpoints
                            ? 0
                            : (int)MIN(options->wal_autocheckpoint, (uint32_t)INT32_MAX));
    return status;
}

int db_sqlite_open(const struct store_options *options, struct db **out, struct err *err)
{
    struct db_sqlite *db = NEW(struct db_sqlite);
    bool in_memory = str_eq(options->sqlite_path, STR(":memory:"));
    int status = 0;
    char *path;

    db->base.ops = &sqlite_ops;
    db->lock_fd = -1;
    if (!in_memory)
        status = sqlite_prepare_file(db, options->sqlite_path, err);
    if (status < 0) {
        sqlite_close(&db->base);
        return status;
    }
    path = str_dup(options->sqlite_path);
    if (!in_memory)
        db->path = str_copy(options->sqlite_path);
    if (sqlite3_open_v2(path, &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK)
        status = sqlite_fail(db, err);
    mem_free(path);
    if (status == 0)
        status = sqlite_set_up(db, options, options->wal && !in_memory, err);
    if (status < 0) {
        sqlite_close(&db->base);
        return status;
    }
    *out = &db->base;
    return 0;
}

int db_sqlite_open_reader(struct str path, struct db **out, struct err *err)
{
    struct db_sqlite *db = NEW(struct db_sqlite);
    char *name = str_dup(path);
    int status = 0;

    db->base.ops = &sqlite_ops;
    db->lock_fd = -1;
    db->path = str_copy(path);
    /* A write-ahead log's index may have to be made to read it; query_only keeps it at that. */
    if (str_find_char(path, '\0') >= 0)
        status = err_set(err, ERR_INVALID, "the database's path holds a NUL");
    else if (sqlite3_open_v2(name, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             NULL) != SQLITE_OK)
        status = sqlite_fail(db, err);
    mem_free(name);
    if (status == 0) {
        (void)sqlite3_extended_result_codes(db->handle, 1);
        (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        status = sqlite_script(&db->base, "PRAGMA query_only = ON", err);
    }
    if (status < 0) {
        sqlite_close(&db->base);
        return status;
    }
    *out = &db->base;
    return 0;
}

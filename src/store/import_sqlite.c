/*
 * A SQLite file of another program, read without touching it.
 *
 * Even a reader writes beside a database that has a write-ahead log. So the file is copied, with
 * its log or journal, into a folder of our own, and the copy is opened. That folder is gone again
 * before anything is read: the open files live on until they are closed.
 *
 * The copy is only whole while nobody writes, so a file that another process has open is refused:
 * by the locks it holds, and by a look at who has the file open, as far as the system lets us see.
 */

#include <sqlite3.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/import_internal.h"

/* Where SQLite puts its locks: lockingv3, "pending byte" and the 510 shared ones behind the next.
 */
#define SQLITE_PENDING_AT 0x40000000
#define SQLITE_LOCK_BYTES 512
/* In the -shm file: the locks of the write-ahead log. */
#define SQLITE_SHM_AT 120
#define SQLITE_SHM_BYTES 9

struct foreign_sqlite {
    struct foreign base;
    sqlite3 *handle;
};

static int fail(sqlite3 *handle, struct err *err)
{
    switch (sqlite3_errcode(handle) & 0xff) {
    case SQLITE_NOTADB:
        return err_set(err, ERR_INVALID, "this is no SQLite database");
    case SQLITE_CORRUPT:
        return err_set(err, ERR_INVALID, "the database is damaged: %s", sqlite3_errmsg(handle));
    case SQLITE_TOOBIG:
        return err_set(err, ERR_LIMIT, "a row of the database is over %zu bytes", IMPORT_VALUE_MAX);
    case SQLITE_FULL:
        return err_set(err, ERR_IO, "no space for a copy of the database ($TMPDIR)");
    default:
        return err_set(err, ERR_IO, "the database cannot be read: %s", sqlite3_errmsg(handle));
    }
}

/* ---- who has it open ---- */

static bool is_locked(const char *path, off_t at, off_t len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = len};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool taken;

    if (fd < 0)
        return false;
    taken = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return taken;
}

/* Whether process `pid` has the file among its open ones. */
static bool has_open(const char *pid, const struct stat *file)
{
    char path[PATH_MAX];
    struct stat st;
    bool found = false;
    struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    while (dir && !found && (e = readdir(dir))) {
        found = e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 &&
                st.st_ino == file->st_ino && st.st_dev == file->st_dev;
    }
    if (dir)
        closedir(dir);
    return found;
}

static void read_name(const char *pid, char name[64])
{
    char path[PATH_MAX];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    snprintf(name, 64, "a program");
    f = fopen(path, "re");
    if (f && fgets(name, 64, f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        (void)fclose(f);
}

/* Refuses when some process other than this one has the file open. */
static int refuse_open(const char *path, struct err *err)
{
    AUTO_FINI(str_free) struct str shm = str_printf("%s-shm", path);
    int status = 0;
    struct stat st;
    struct dirent *e;
    DIR *proc;

    if (stat(path, &st) < 0)
        return err_sys(err, errno, "opening the database");
    proc = opendir("/proc");
    while (proc && status == 0 && (e = readdir(proc))) {
        char name[64];

        uint64_t pid = 0;

        if (!str_parse_u64(str_from(e->d_name), &pid) || pid == (uint64_t)getpid() ||
            !has_open(e->d_name, &st))
            continue;
        read_name(e->d_name, name);
        status = err_set(err, ERR_CONFLICT,
                         "%s (process %s) has the database open: stop it first, so that nothing "
                         "it still writes is lost",
                         name, e->d_name);
    }
    if (proc)
        closedir(proc);
    if (status == 0 && (is_locked(path, SQLITE_PENDING_AT, SQLITE_LOCK_BYTES) ||
                        is_locked(shm.ptr, SQLITE_SHM_AT, SQLITE_SHM_BYTES)))
        status = err_set(err, ERR_CONFLICT,
                         "another program has the database open: stop headscale first, so that "
                         "nothing it still writes is lost");
    return status;
}

/* ---- the copy ---- */

static int copy_bytes(int from, int to, struct err *err)
{
    char *piece = mem_alloc((size_t)1 << 18);
    int status = 0;
    ssize_t n;

    while (status == 0 && (n = read(from, piece, (size_t)1 << 18)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = err_sys(err, errno, "reading the database");
        for (ssize_t at = 0; status == 0 && at < n;) {
            ssize_t put = write(to, piece + at, (size_t)(n - at));

            if (put < 0 && errno != EINTR)
                status = err_sys(err, errno, "copying the database into $TMPDIR");
            at += put > 0 ? put : 0;
        }
    }
    mem_free(piece);
    return status;
}

/* A file that is not there is only missed when it must be. */
static int copy_file(const char *from, const char *to, bool must, struct err *err)
{
    struct stat st;
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int out = -1, status = 0;

    if (in < 0)
        return errno == ENOENT && !must ? 0 : err_sys(err, errno, "opening the database");
    if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
        status = err_set(err, ERR_INVALID, "this is no database but a folder or a device");
    else
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (status == 0 && out < 0)
        status = err_sys(err, errno, "making a copy of the database in $TMPDIR");
    if (status == 0)
        status = copy_bytes(in, out, err);
    close(in);
    if (out >= 0)
        close(out);
    return status;
}

static const char *const parts[] = {"", "-wal", "-journal"};

static int copy_all(const char *path, const char *dir, struct err *err)
{
    int status = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts) && status == 0; i++) {
        AUTO_FINI(str_free) struct str from = str_printf("%s%s", path, parts[i]);
        AUTO_FINI(str_free) struct str to = str_printf("%s/copy%s", dir, parts[i]);

        status = copy_file(from.ptr, to.ptr, i == 0, err);
    }
    return status;
}

static void remove_copy(const char *dir)
{
    static const char *const names[] = {"", "-wal", "-journal", "-shm"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FINI(str_free) struct str name = str_printf("%s/copy%s", dir, names[i]);

        (void)unlink(name.ptr);
    }
    (void)rmdir(dir);
}

/* ---- the engine ---- */

static struct foreign_sqlite *sqlite_of(struct foreign *f)
{
    return CONTAINER_OF(f, struct foreign_sqlite, base);
}

static void sqlite_close(struct foreign *f)
{
    struct foreign_sqlite *s = sqlite_of(f);

    (void)sqlite3_close_v2(s->handle);
    mem_free(s);
}

/* Numbers with a fraction come as text: where one is allowed, its reader says what it makes of it.
 */
static struct db_value column_of(sqlite3_stmt *stmt, int at)
{
    switch (sqlite3_column_type(stmt, at)) {
    case SQLITE_INTEGER:
        return DB_INT_OF(sqlite3_column_int64(stmt, at));
    case SQLITE_NULL:
        return DB_NULL_OF;
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, at);

        return DB_BLOB_OF(str_bytes(blob, (size_t)sqlite3_column_bytes(stmt, at)));
    }
    default: {
        const void *text = sqlite3_column_text(stmt, at);

        return DB_TEXT_OF(str_bytes(text, (size_t)sqlite3_column_bytes(stmt, at)));
    }
    }
}

static int sqlite_query(struct foreign *f, const char *sql, db_row_fn *on_row, void *user,
                        struct err *err)
{
    struct foreign_sqlite *s = sqlite_of(f);
    struct db_value columns[DB_COLUMNS_MAX];
    sqlite3_stmt *stmt = NULL;
    int status = 0, step = SQLITE_DONE;

    if (sqlite3_prepare_v2(s->handle, sql, -1, &stmt, NULL) != SQLITE_OK)
        return fail(s->handle, err);

    int n = sqlite3_column_count(stmt);

    ASSERT(n <= DB_COLUMNS_MAX);
    while (status == 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
        for (int i = 0; i < n; i++)
            columns[i] = column_of(stmt, i);
        status = on_row(user, columns, (size_t)n, err);
    }
    if (status == 0 && step != SQLITE_DONE)
        status = fail(s->handle, err);
    sqlite3_finalize(stmt);
    return status;
}

/* Ordinary tables only: what views and virtual ones give is made by code in the file. */
static const struct foreign_ops sqlite_ops = {
    .close = sqlite_close,
    .query = sqlite_query,
    .columns_sql = "SELECT m.name, p.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS p"
                   " WHERE m.type = 'table' AND m.rootpage > 0",
};

static int check_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)user;
    if (n == 1 && columns[0].type == DB_TEXT && str_eq(columns[0].s, STR("ok")))
        return 0;
    return err_set(err, ERR_INVALID, "the database is damaged: %.*s",
                   STR_ARG(n == 1 ? columns[0].s : STR_NONE));
}

static int open_copy(const char *dir, struct foreign_sqlite *s, struct err *err)
{
    AUTO_FINI(str_free) struct str copy = str_printf("%s/copy", dir);

    if (sqlite3_open_v2(copy.ptr, &s->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK)
        return fail(s->handle, err);
    (void)sqlite3_db_config(s->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_limit(s->handle, SQLITE_LIMIT_LENGTH, (int)IMPORT_VALUE_MAX);
    /* One connection, one file: it need not be shared, so no -shm file is made. */
    if (sqlite3_exec(s->handle, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK)
        return fail(s->handle, err);
    return sqlite_query(&s->base, "PRAGMA quick_check(1)", check_row, NULL, err);
}

int foreign_sqlite_open(struct str path, struct foreign **out, struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FINI(str_free)
    struct str dir = str_printf("%s/hatsize-import-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    struct foreign_sqlite *s;
    char *given = str_dup(path), *real;
    int status;

    /* The log is beside the file itself, not beside a link to it. */
    real = str_find_char(path, '\0') < 0 ? realpath(given, NULL) : NULL;
    if (!real) {
        status = err_sys(err, errno, "%s", given);
        mem_free(given);
        return status;
    }
    mem_free(given);
    status = refuse_open(real, err);
    char *folder = str_dup(dir);

    if (status == 0 && !mkdtemp(folder))
        status = err_sys(err, errno, "making a folder for a copy of the database");
    if (status < 0) {
        mem_free(folder);
        free(real);
        return status;
    }
    s = NEW(struct foreign_sqlite);
    s->base.ops = &sqlite_ops;
    status = copy_all(real, folder, err);
    if (status == 0)
        status = open_copy(folder, s, err);
    remove_copy(folder);
    mem_free(folder);
    free(real);
    if (status < 0) {
        sqlite_close(&s->base);
        return status;
    }
    *out = &s->base;
    return 0;
}

bool import_is_headscale(struct str path)
{
    static const char ask[] = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN"
                              " ('pre_auth_keys', 'nodes', 'machines')";
    AUTO_FINI(buf_fini) struct buf uri = BUF(PATH_MAX * 3 + 64);
    sqlite3_stmt *stmt = NULL;
    sqlite3 *handle = NULL;
    bool is = false;

    /* Immutable: read as it is, no lock taken, no file made beside it. */
    buf_put(&uri, STR("file:"));
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        char hex[4];

        snprintf(hex, sizeof(hex), "%%%02x", (unsigned char)c);
        if (c == '?' || c == '#' || c == '%' || c == '\0')
            buf_put(&uri, str_from(hex));
        else
            buf_put_char(&uri, c);
    }
    buf_put(&uri, STR("?immutable=1"));
    buf_put_char(&uri, '\0');
    if (!buf_is_full(&uri) &&
        sqlite3_open_v2(uri.ptr, &handle,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(handle, ask, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        is = sqlite3_column_int(stmt, 0) == 2;
    sqlite3_finalize(stmt);
    (void)sqlite3_close_v2(handle);
    return is;
}

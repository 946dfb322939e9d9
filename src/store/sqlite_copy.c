/*
 * Copies of an SQLite database: backups beside a running server, and the copy that a migration is
 * tried on.
 *
 * SQLite's own online copy (sqlite3_backup) sees one moment, whoever writes meanwhile. A copy is
 * made under another name, looked through, put on the disk, and only then gets its name.
 */

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "store/store_internal.h"

#define COPY_PAGES 1000 /* at a time; a writer gets in between */
#define COPY_WAIT_MS 20
#define COPY_WAITS 500

static int copy_fail(sqlite3 *to, int code, struct err *err)
{
    int sys = to ? sqlite3_system_errno(to) : 0;

    code &= 0xff;
    if (code == SQLITE_FULL || sys == ENOSPC)
        return err_set(err, ERR_IO, "the disk is full: no copy of the database can be made");
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return err_set(err, ERR_IO, "the database file is damaged or no SQLite database");
    if (sys != 0)
        return err_sys(err, sys, "copying the database");
    return err_set(err, ERR_IO, "copying the database: %s", sqlite3_errstr(code));
}

static int copy_pages(sqlite3 *from, sqlite3 *to, struct err *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int code = SQLITE_OK;

    if (!b)
        return copy_fail(to, sqlite3_errcode(to), err);
    for (size_t waits = 0; waits < COPY_WAITS;) {
        code = sqlite3_backup_step(b, COPY_PAGES);
        if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
            (void)sqlite3_sleep(COPY_WAIT_MS);
            waits++;
        } else if (code != SQLITE_OK) {
            break;
        }
    }
    int end = sqlite3_backup_finish(b);
    if (code == SQLITE_DONE && end == SQLITE_OK)
        return 0;
    return copy_fail(to, code == SQLITE_DONE ? end : code, err);
}

/* One file, without a log beside it, and every page of it good. */
static int finish_copy(sqlite3 *to, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    int status = 0;

    if (code != SQLITE_OK)
        return copy_fail(to, code, err);
    if (sqlite3_prepare_v2(to, "PRAGMA integrity_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        status = copy_fail(to, sqlite3_errcode(to), err);
    else if (!str_eq(str_from((const char *)sqlite3_column_text(stmt, 0)), STR("ok")))
        status = err_set(err, ERR_INVALID, "the copy is damaged, and so is the database: %s",
                         sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return status;
}

static int sync_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = 0;

    if (fd < 0 || fsync(fd) < 0)
        status = err_sys(err, errno, "writing the copy to the disk");
    if (fd >= 0)
        close(fd);
    return status;
}

static int make_private(const char *path, struct err *err)
{
    int fd;

    if (unlink(path) < 0 && errno != ENOENT)
        return err_sys(err, errno, "making a copy of the database");
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "making a copy of the database");
    close(fd);
    return 0;
}

static void sync_folder_of(const char *path)
{
    ptrdiff_t slash = str_rfind_char(str_from(path), '/');
    char *dir = slash < 0 ? str_dup(STR(".")) : str_dup(str_bytes(path, (size_t)slash + 1));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    mem_free(dir);
}

int sqlite_copy_to(struct db *db, struct str path, struct err *err)
{
    struct str partial = str_printf("%.*s.partial", STR_ARG(path));
    char *name = str_dup(path);
    sqlite3 *to = NULL;
    int status = make_private(partial.ptr, err);

    if (status == 0 && sqlite3_open_v2(partial.ptr, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = copy_fail(to, sqlite3_errcode(to), err);
    if (status == 0)
        status = copy_pages(sqlite_handle(db), to, err);
    if (status == 0)
        status = finish_copy(to, err);
    (void)sqlite3_close_v2(to);
    if (status == 0)
        status = sync_file(partial.ptr, err);
    if (status == 0 && rename(partial.ptr, name) < 0)
        status = err_sys(err, errno, "naming the copy");
    if (status == 0)
        sync_folder_of(name);
    else
        (void)unlink(partial.ptr);
    mem_free(name);
    str_free(&partial);
    return status;
}

/* ---- the copy that is migrated first ---- */

/* On the trial's own connection, with what it was attached as "old". */
static int try_on(struct db *trial, struct str original, const struct db_migrations *list, int from,
                  struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct db_value args[] = {DB_TEXT_OF(original)};
    struct db_table_list before = {0};
    int status = trial->ops->ask(trial, "ATTACH $1 AS old", args, 1, NULL, NULL, err);

    if (status == 0)
        status = db_tables(trial, arena, &before, err);
    if (status == 0)
        status = trial->ops->begin(trial, err);
    if (status == 0)
        status = db_apply(trial, list, from, list->version, err);
    if (status == 0)
        status = trial->ops->check(trial, err);
    if (status == 0)
        status = db_compare(trial, "old.", &before, list, from, err);
    if (status < 0) {
        trial->ops->rollback(trial);
        return status;
    }
    return trial->ops->commit(trial, err);
}

static void remove_trial(struct str path)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm", ".lock"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        struct str name = str_printf("%.*s%s", STR_ARG(path), suffixes[i]);

        (void)unlink(name.ptr);
        str_free(&name);
    }
}

int sqlite_rehearse(struct db *db, const struct db_migrations *list, int from, struct err *err)
{
    struct str path = sqlite_path(db);
    struct str kept = backup_name(path, from, "");
    struct str trial_path = str_printf("%.*s.trial", STR_ARG(path));
    struct db *trial = NULL;
    int status = 0;

    if (path.len > 0) {
        remove_trial(trial_path);
        status = sqlite_copy_to(db, kept, err);
        if (status == 0)
            status = sqlite_copy_to(db, trial_path, err);
        if (status == 0)
            status =
                db_sqlite_open(&(struct store_options){.sqlite_path = trial_path}, &trial, err);
        if (status == 0)
            status = try_on(trial, kept, list, from, err);
        if (trial)
            trial->ops->close(trial);
        remove_trial(trial_path);
        if (status < 0)
            (void)unlink(kept.ptr); /* the database is as it was, and is asked again soon */
        else {
            log_event(LOG_INFO, "a backup is kept before the database changes",
                      LOG_STR("file", kept));
            backups_prune(path);
        }
    }
    str_free(&kept);
    str_free(&trial_path);
    return status;
}

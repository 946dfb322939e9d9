/*
 * Where an import goes.
 *
 * A configuration of headscale's names headscale's database, which stays as it is: ours is beside
 * it, and everything that opens a database follows (import_path_of). So one file serves both
 * servers, and going back is starting the old one again.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/import_internal.h"

#define BESIDE STR("hatsize.sqlite")
#define APPLICATION_ID_AT 68 /* in a SQLite file's header */

/* ---- names ---- */

static bool is_there(struct str path)
{
    char *name = str_dup(path);
    struct stat st;
    bool there = stat(name, &st) == 0 && st.st_size > 0;

    mem_free(name);
    return there;
}

/* By the header alone: no lock, nothing made beside it. */
static bool is_ours(struct str path)
{
    char *name = str_dup(path);
    uint8_t id[4] = {0};
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool read_it = fd >= 0 && pread(fd, id, sizeof(id), APPLICATION_ID_AT) == sizeof(id);

    mem_free(name);
    if (fd >= 0)
        close(fd);
    return read_it && str_be32(str_bytes(id, sizeof(id)), 0) == DB_APPLICATION_ID;
}

struct str import_path_beside(struct str path)
{
    ptrdiff_t slash = str_rfind_char(path, '/');

    return str_printf("%.*s%.*s", STR_ARG(str_sub(path, 0, (size_t)(slash + 1))), STR_ARG(BESIDE));
}

struct str import_path_of(struct str path)
{
    struct str beside;

    if (path.len == 0 || str_eq(path, STR(":memory:")) || str_find_char(path, '\0') >= 0)
        return str_copy(path);
    beside = import_path_beside(path);
    if (is_there(beside) && !is_ours(path))
        return beside;
    str_free(&beside);
    return str_copy(path);
}

/* ---- a new file ---- */

static void remove_file(const char *path)
{
    static const char *const parts[] = {"", "-wal", "-shm", "-journal", ".lock"};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        AUTO_FINI(str_free) struct str name = str_printf("%s%s", path, parts[i]);

        (void)unlink(name.ptr);
    }
}

/* What an import left that was killed; one that runs holds the lock. */
static int remove_leftovers(const char *path, struct err *err)
{
    AUTO_FINI(str_free) struct str lock = str_printf("%s.lock", path);
    int fd = open(lock.ptr, O_RDWR | O_CLOEXEC);
    int status = 0;

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        status = err_set(err, ERR_CONFLICT, "another import is under way");
    else
        remove_file(path);
    if (fd >= 0)
        close(fd);
    return status;
}

static int sync_folder_of(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = str_dup(slash ? str_bytes(path, (size_t)(slash - path) + 1) : STR("."));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = 0;

    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        status = err_sys(err, errno, "the database's folder");
    if (fd >= 0)
        close(fd);
    mem_free(folder);
    return status;
}

/* The last connection that leaves folds the log into the file. */
static int put_in_place(const char *from, const char *to, struct err *err)
{
    AUTO_FINI(str_free) struct str wal = str_printf("%s-wal", from);

    if (is_there(wal))
        return err_set(err, ERR_IO, "the new database could not be closed");
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        return err_sys(err, errno, "giving the new database its name");
    return sync_folder_of(to, err);
}

static int import_into_new(const struct import_options *options, const struct store_options *target,
                           struct arena *arena, struct import_report *report, struct err *err)
{
    AUTO_FINI(str_free)
    struct str making = str_printf("%.*s.import", STR_ARG(target->sqlite_path));
    struct store_options at = *target;
    struct store *store = NULL;
    char *final = str_dup(target->sqlite_path);
    int status = remove_leftovers(making.ptr, err);

    if (status < 0) {
        mem_free(final);
        return status;
    }
    at.sqlite_path = making;
    status = store_open(&at, &store, err);
    if (status == 0)
        status = import_headscale(options, store, false, arena, report, err);
    store_close(store);
    if (status == 0)
        status = put_in_place(making.ptr, final, err);
    remove_file(making.ptr);
    mem_free(final);
    return status;
}

/* In the same database as headscale's tables, and gone again when nothing came of it. */
static int import_into_postgres(const struct import_options *options,
                                const struct store_options *target, bool dry_run,
                                struct arena *arena, struct import_report *report, struct err *err)
{
    bool has = false, beside = false;
    struct store *store = NULL;
    struct err ignored = {0};
    int status = import_postgres_schema(target->postgres, !dry_run, &has, &beside, err);

    if (status < 0)
        return status;
    if (dry_run && beside && !has)
        return import_headscale(options, NULL, true, arena, report, err);
    status = store_open(target, &store, err);
    if (status == 0)
        status = import_headscale(options, store, dry_run, arena, report, err);
    store_close(store);
    if (status < 0 && beside && !has)
        IGNORE(import_postgres_drop_schema(target->postgres, &ignored));
    return status;
}

int import_headscale_into(const struct import_options *options, const struct store_options *target,
                          bool dry_run, struct arena *arena, struct import_report *report,
                          struct err *err)
{
    bool is_new = !is_there(target->sqlite_path);
    struct store *store = NULL;
    int status;

    *report = (struct import_report){0};
    if (target->postgres)
        return import_into_postgres(options, target, dry_run, arena, report, err);
    if (is_new && dry_run)
        return import_headscale(options, NULL, true, arena, report, err);
    if (is_new)
        return import_into_new(options, target, arena, report, err);
    status = store_open(target, &store, err);
    if (status == 0)
        status = import_headscale(options, store, dry_run, arena, report, err);
    store_close(store);
    return status;
}

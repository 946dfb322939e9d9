/* See file.h. */

#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rand.h"

static int dir_make_one(const char *path, struct err *err)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return err_sys(err, errno, "making the folder %s", path);
}

int dir_make(struct str path, struct err *err)
{
    char *text = str_dup(path);
    int status = 0;

    for (size_t i = 1; i <= path.len && status == 0; i++) {
        if (i < path.len && text[i] != '/')
            continue;
        char kept = text[i];

        text[i] = 0;
        if (text[0])
            status = dir_make_one(text, err);
        text[i] = kept;
    }
    mem_free(text);
    return status;
}

int dir_make_for(struct str file_path, struct err *err)
{
    ptrdiff_t slash = str_rfind_char(file_path, '/');

    return slash <= 0 ? 0 : dir_make(str_sub(file_path, 0, (size_t)slash), err);
}

static int read_all(int fd, const char *path, struct buf *out, struct err *err)
{
    for (;;) {
        char *at = buf_reserve(out, 4096);

        if (!at)
            return err_set(err, ERR_LIMIT, "%s is too large", path);
        ssize_t n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, errno, "reading %s", path);
        if (n == 0)
            return 0;
        buf_added(out, (size_t)n);
    }
}

int file_read(struct str path, struct buf *out, bool *found, struct err *err)
{
    char *text = str_dup(path);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    int status = 0;

    *found = fd >= 0;
    if (fd >= 0) {
        status = read_all(fd, text, out, err);
        (void)close(fd);
    } else if (errno != ENOENT) {
        status = err_sys(err, errno, "opening %s", text);
    }
    mem_free(text);
    return status;
}

static int write_all(int fd, struct str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text = str_from_index(text, (size_t)n);
    }
    return 0;
}

/* The rename itself must survive a power cut too. */
static void sync_folder_of(struct str path)
{
    ptrdiff_t slash = str_rfind_char(path, '/');
    char *folder = str_dup(slash > 0 ? str_sub(path, 0, (size_t)slash) : STR("."));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    mem_free(folder);
}

int file_write_secret(struct str path, struct str text, struct err *err)
{
    struct str temp =
        str_printf("%.*s.%08llx.new", STR_ARG(path), (unsigned long long)(rand_u64() & 0xffffffff));
    char *target = str_dup(path);
    int status = dir_make_for(path, err);
    int fd = status == 0 ? open(temp.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;

    if (status == 0 && fd < 0)
        status = err_sys(err, errno, "creating %s", target);
    if (fd >= 0) {
        if (write_all(fd, text) < 0 || fsync(fd) < 0)
            status = err_sys(err, errno, "writing %s", target);
        (void)close(fd);
        if (status == 0 && rename(temp.ptr, target) < 0)
            status = err_sys(err, errno, "renaming to %s", target);
        if (status < 0)
            (void)unlink(temp.ptr);
        else
            sync_folder_of(path);
    }
    mem_free(target);
    str_free(&temp);
    return status;
}

int file_check_private(struct str path, struct err *err)
{
    char *text = str_dup(path);
    struct stat st;
    int status = 0;

    if (stat(text, &st) == 0 && (st.st_mode & 077) != 0)
        status =
            err_set(err, ERR_DENIED, "%s may be read by others; run: chmod 600 %s", text, text);
    mem_free(text);
    return status;
}

/* What a process in the sandbox can and cannot do, each tried in a process of its own. */

#include "../unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "host/sandbox.h"

static char dir[] = "/dev/shm/hatsize-sandbox-XXXXXX", inside[64], outside[64], file[96], other[96];

/* In a child, which says by its exit status how it went. */
static void in_child(int (*try)(void))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(try());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool writes(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

#define WANT(condition)                \
    do {                               \
        if (!(condition))              \
            return __LINE__ % 200 + 1; \
    } while (0)

static int try_files(void)
{
    const struct str folders[] = {str_from(inside), STR("/nowhere/at/all")};
    char byte;

    WANT(writes(other) && unlink(other) == 0);
    int open_before = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    sandbox_files(folders, ARRAY_LEN(folders));
    WANT(writes(file) && unlink(file) == 0);
    WANT(!writes("/dev/shm/hatsize-sandbox-file") && errno == EACCES);
    WANT(!writes(other) && errno == EACCES);
    WANT(unlink(other) < 0 && errno == EACCES);
    WANT(mkdir(outside, 0700) < 0);
    WANT(write(open_before, "x", 1) == 1);
    WANT(writes("/dev/null"));
    /* Reading is as before. */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    WANT(fd >= 0 && read(fd, &byte, 1) == 1);
    WANT(execl("/bin/true", "true", (char *)NULL) < 0 && errno == EACCES);
    return 0;
}

static int try_calls(void)
{
    sandbox_calls();
    WANT(execl("/bin/true", "true", (char *)NULL) < 0 && errno == EPERM);
    WANT(mount("none", "/proc", "tmpfs", 0, NULL) < 0 && errno == EPERM);
    WANT(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
    WANT(chroot("/") < 0 && errno == EPERM);
    WANT(syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == EPERM);
    WANT(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EPERM);
    WANT(writes(other) && unlink(other) == 0);
    return getpid() > 0 ? 0 : 1;
}

static void writes_only_in_its_own_folders(void **state)
{
    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
        skip(); /* this kernel has no Landlock */
    in_child(try_files);
    (void)unlink(other);
}

static void refuses_what_no_server_needs(void **state)
{
    (void)state;
    in_child(try_calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_only_in_its_own_folders),
        cmocka_unit_test(refuses_what_no_server_needs),
    };

    log_init(LOG_OFF, LOG_TEXT, -1);
    /* Not in /tmp, where everybody may write, and where the build may be. */
    if (!mkdtemp(dir))
        return 1;
    (void)snprintf(inside, sizeof(inside), "%s/in", dir);
    (void)snprintf(outside, sizeof(outside), "%s/out", dir);
    (void)snprintf(file, sizeof(file), "%s/file", inside);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    if (mkdir(inside, 0700) < 0)
        return 1;
    int status = cmocka_run_group_tests(tests, NULL, NULL);

    (void)rmdir(inside);
    (void)rmdir(dir);
    return status;
}

/* See sandbox.h. The system calls are called by number: glibc has no names for most of them. */

#include "host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

/* Sanitizers look for leaks by tracing, and write what they find beside our folders. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif

static void warn(const char *what)
{
    struct err err = {0};

    IGNORE(err_sys(&err, errno, "%s", what));
    log_event(LOG_WARN, "the sandbox has a side less", LOG_ERR(&err));
}

/* ---- Files ---- */

#define WRITES                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
/* Of newer kernels, and perhaps not in the headers: from one folder to another; shortening. */
#define WRITES_REFER (UINT64_C(1) << 13)
#define WRITES_TRUNCATE (UINT64_C(1) << 14)

static bool allow(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr at = {.allowed_access = access};
    bool ok;

    at.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (at.parent_fd < 0)
        return errno == ENOENT;
    ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &at, 0) == 0;
    (void)close(at.parent_fd);
    return ok;
}

static bool allow_folders(int rules, const struct str *folders, size_t n, uint64_t writes)
{
    static const char *const anybodys[] = {"/tmp", "/var/tmp"};
    const uint64_t file = writes & (LANDLOCK_ACCESS_FS_WRITE_FILE | WRITES_TRUNCATE);
    bool ok = allow(rules, "/dev/null", file);

    for (size_t i = 0; i < ARRAY_LEN(anybodys); i++)
        ok = ok && allow(rules, anybodys[i], writes);
    for (size_t i = 0; i < n; i++) {
        char *path = str_dup(folders[i]);

        ok = ok && allow(rules, path, writes);
        mem_free(path);
    }
    return ok;
}

void sandbox_files(const struct str *folders, size_t n)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    uint64_t writes = WRITES;
    int rules;

    if (version < 1) {
        warn("files (Landlock)");
        return;
    }
    if (version >= 2)
        writes |= WRITES_REFER;
    if (version >= 3)
        writes |= WRITES_TRUNCATE;
    const struct landlock_ruleset_attr handled = {.handled_access_fs =
                                                      writes | LANDLOCK_ACCESS_FS_EXECUTE};

    rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    if (rules < 0 || !allow_folders(rules, folders, n, writes) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        warn("files (Landlock)");
    if (rules >= 0)
        (void)close(rules);
}

/* ---- System calls ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
/* None that glibc or a library of ours might try on its own. */
static const unsigned refused[] = {
    SYS_execve,
    SYS_execveat,
#ifndef IS_SANITIZED
    SYS_ptrace,
    SYS_process_vm_readv,
#endif
    SYS_process_vm_writev,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_mount_setattr,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_mknodat,
    SYS_open_by_handle_at,
    SYS_syslog,
    SYS_vhangup,
    SYS_lookup_dcookie,
    SYS_personality,
};

void sandbox_calls(void)
{
    struct sock_filter code[2 * ARRAY_LEN(refused) + 8];
    unsigned short n = 0;

    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    /* Calls of another kind (32 bit) are none of ours. */
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = n, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        warn("system calls (seccomp)");
}
#else
void sandbox_calls(void)
{
    errno = ENOSYS;
    warn("system calls (seccomp)");
}
#endif

/* See privileges.h. */

#include "host/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

static void warn(const char *what)
{
    struct err err = {0};

    IGNORE(err_sys(&err, errno, "%s", what));
    log_event(LOG_WARN, "could not give up privileges", LOG_ERR(&err));
}

static const struct passwd *find_user(struct str name)
{
    char *text = str_dup(name);
    const struct passwd *user = getpwnam(text);

    mem_free(text);
    return user;
}

/* Not less than all of it: an operator who names a user relies on it. */
static int become(struct str name, struct err *err)
{
    const struct passwd *user = find_user(name);
    uid_t uid = user ? user->pw_uid : 0;
    gid_t gid = user ? user->pw_gid : 0;

    if (!user)
        return err_set(err, ERR_NOT_FOUND, "there is no user %.*s", STR_ARG(name));
    if (uid == geteuid())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_sys(err, errno, "becoming %.*s", STR_ARG(name));
    if (uid != 0 && setuid(0) == 0)
        return err_set(err, ERR_INTERNAL, "root can be had back");
    return 0;
}

static int give(struct str folder, const struct passwd *user, struct err *err)
{
    char *path = str_dup(folder);
    bool is_new = access(path, F_OK) < 0;
    int status = dir_make(folder, err);

    if (status == 0 && is_new && lchown(path, user->pw_uid, user->pw_gid) < 0)
        status = err_sys(err, errno, "giving %s to %s", path, user->pw_name);
    mem_free(path);
    return status;
}

static void keep_ports(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct ports[_LINUX_CAPABILITY_U32S_3] = {{0}};

    ports[0].effective = ports[0].permitted = UINT32_C(1) << CAP_NET_BIND_SERVICE;
    if (syscall(SYS_capset, &header, ports) < 0)
        warn("capabilities");
}

int privileges_become(struct str name, const struct str *folders, size_t n, struct err *err)
{
    const struct passwd *user = find_user(name);

    if (geteuid() != 0)
        return 0;
    if (!user)
        return err_set(err, ERR_NOT_FOUND, "there is no user %.*s", STR_ARG(name));
    for (size_t i = 0; i < n; i++)
        if (give(folders[i], user, err) < 0)
            return -(int)err->code;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        warn("ports below 1024");
    if (become(name, err) < 0)
        return -(int)err->code;
    keep_ports();
    return 0;
}

int privileges_drop(struct str user, struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (user.len > 0 && become(user, err) < 0)
        return -(int)err->code;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        warn("no new privileges");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) < 0)
        warn("capabilities");
    return 0;
}

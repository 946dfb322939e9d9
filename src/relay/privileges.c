/* Giving up what only the start needed. Kernels that lack a step are told of, and the relay goes
 * on. */

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "relay/relay_internal.h"

static void warn(const char *what)
{
    struct err err = {0};

    IGNORE(err_sys(&err, errno, "%s", what));
    log_event(LOG_WARN, "could not give up privileges", LOG_ERR(&err));
}

/* Not less than all of it: an operator who names a user relies on it. */
static int become(struct str name, struct err *err)
{
    char *text = str_dup(name);
    const struct passwd *user = getpwnam(text);
    uid_t uid = user ? user->pw_uid : 0;
    gid_t gid = user ? user->pw_gid : 0;

    mem_free(text);
    if (!user)
        return err_set(err, ERR_NOT_FOUND, "-user: there is no %.*s", STR_ARG(name));
    if (uid == geteuid())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_sys(err, errno, "becoming %.*s", STR_ARG(name));
    if (uid != 0 && setuid(0) == 0)
        return err_set(err, ERR_INTERNAL, "-user: root can be had back");
    return 0;
}

int relay_drop_privileges(struct str user, struct err *err)
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

/* Giving up what only the start needed. Kernels that lack a step are told of, and the relay goes
 * on. */

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "relay/relay_internal.h"

static void warn(const char *what)
{
    struct err err = {0};

    IGNORE(err_sys(&err, errno, "%s", what));
    log_event(LOG_WARN, "could not give up privileges", LOG_ERR(&err));
}

void relay_drop_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        warn("no new privileges");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) < 0)
        warn("capabilities");
}

/* See limits.h. */

#include "host/limits.h"

#include <sys/resource.h>

#define OPEN_FILES_LEAST 1024 /* what Linux gives where nobody says anything */

size_t limits_open_files(void)
{
    struct rlimit limit;
    rlim_t soft;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return OPEN_FILES_LEAST;
    soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return (size_t)soft;
    return (size_t)limit.rlim_cur;
}

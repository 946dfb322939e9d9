/* See raw.h. */

#include "net/raw.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "net/tcp_internal.h"

int raw_connect(struct ip_addrport to, int64_t patience_ms)
{
    const struct timeval patience = {.tv_sec = patience_ms / 1000,
                                     .tv_usec = patience_ms % 1000 * 1000};
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) < 0) {
        (void)close(fd);
        return -1;
    }
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

bool raw_send(int fd, struct str data)
{
    while (data.len > 0) {
        ssize_t n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data = str_from_index(data, (size_t)n);
    }
    return true;
}

bool raw_read(int fd, struct buf *got, size_t enough, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    while (got->len < enough) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - clock_mono_ms();

        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        char *at = buf_reserve(got, 4096);
        ssize_t n = at ? read(fd, at, 4096) : 0;

        if (n <= 0)
            return true;
        buf_added(got, (size_t)n);
    }
    return false;
}

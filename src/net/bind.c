/* See bind.h. */

#include "net/bind.h"

#include <errno.h>
#include <unistd.h>

#include "net/tcp_internal.h"

struct ip_addrport bind_usable(struct ip_addrport wanted)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        (void)close(fd);
    else if (wanted.addr.family == IP_V6 && ip_addr_is_unspecified(wanted.addr))
        wanted.addr = IP_ADDR_V4(0, 0, 0, 0);
    return wanted;
}

static int check(struct ip_addrport addr, int type, struct err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(addr, &sa);
    int on = 1, fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_sys(err, errno, "making a socket");
    if (type == SOCK_STREAM) /* what is left of our last run is nobody's */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int bound = bind(fd, (struct sockaddr *)&sa, len);
    int status = bound < 0 ? err_sys(err, errno, "port %u", (unsigned)addr.port) : 0;

    (void)close(fd);
    return status;
}

int bind_check_tcp(struct ip_addrport addr, struct err *err)
{
    return check(addr, SOCK_STREAM, err);
}

int bind_check_udp(struct ip_addrport addr, struct err *err)
{
    return check(addr, SOCK_DGRAM, err);
}

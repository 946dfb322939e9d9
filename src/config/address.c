/* This machine's address, and the server URL made from it. */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config_internal.h"

static struct ip_addr from_sockaddr(const struct sockaddr *sa)
{
    struct ip_addr addr = {0};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    bool known = false;

    if (sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof(in));
        known = ip_addr_from_bytes(str_bytes(&in.sin_addr, 4), &addr);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof(in6));
        known = ip_addr_from_bytes(str_bytes(&in6.sin6_addr, 16), &addr);
    }
    return known ? addr : (struct ip_addr){0};
}

/* The address the kernel would send from. Connecting a UDP socket sends nothing. */
static struct ip_addr source_towards(const struct sockaddr *to, socklen_t len)
{
    struct sockaddr_storage from = {0};
    socklen_t from_len = sizeof(from);
    struct ip_addr addr = {0};
    int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return addr;
    if (connect(fd, to, len) == 0 &&
        getsockname(fd, (struct sockaddr *)(void *)&from, &from_len) == 0)
        addr = from_sockaddr((struct sockaddr *)(void *)&from);
    close(fd);
    return addr;
}

static bool is_useful(struct ip_addr addr)
{
    return ip_addr_is_set(addr) && !ip_addr_is_loopback(addr) && !ip_addr_is_unspecified(addr) &&
           !ip_addr_is_link_local(addr);
}

/* The first useful address of an interface, IPv4 before IPv6: for networks without a way out. */
static struct ip_addr of_interfaces(void)
{
    struct ifaddrs *all = NULL;
    struct ip_addr best = {0};

    if (getifaddrs(&all) < 0)
        return best;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct ip_addr addr;

        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
            continue;
        addr = from_sockaddr(i->ifa_addr);
        if (is_useful(addr) && (!ip_addr_is_set(best) || addr.family < best.family))
            best = addr;
    }
    freeifaddrs(all);
    return best;
}

struct ip_addr address_primary(void)
{
    /* Addresses set aside for documentation: nobody has them, so the default route answers. */
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    struct ip_addr addr;

    (void)inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    addr = source_towards((struct sockaddr *)(void *)&v4, sizeof(v4));
    if (!is_useful(addr)) {
        (void)inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
        addr = source_towards((struct sockaddr *)(void *)&v6, sizeof(v6));
    }
    if (!is_useful(addr))
        addr = of_interfaces();
    return is_useful(addr) ? addr : IP_ADDR_V4(127, 0, 0, 1);
}

void server_url_derive(struct config *c, uint16_t port)
{
    struct ip_addr addr =
        ip_addr_is_unspecified(c->listen.addr) ? address_primary() : c->listen.addr;
    struct buf host = BUF(64);
    bool brackets = addr.family == IP_V6;

    ip_addr_put(&host, addr);
    c->server_is_tls = c->tls_cert_path.len > 0;
    c->server_host = arena_copy(c->arena, buf_str(&host));
    c->server_port = port;
    c->server_url =
        arena_printf(c->arena, "%s://%s%.*s%s:%u", c->server_is_tls ? "https" : "http",
                     brackets ? "[" : "", STR_ARG(c->server_host), brackets ? "]" : "", port);
    c->server_url_is_derived = true;
    buf_fini(&host);
}

void config_derive_server_url(struct config *c, uint16_t port)
{
    if (c->server_url_is_derived)
        server_url_derive(c, port);
}

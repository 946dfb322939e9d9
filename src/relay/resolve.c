#include "relay/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/mem.h"

static bool addr_of(const struct addrinfo *info, struct ip_addr *out)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (info->ai_family == AF_INET) {
        memcpy(&in, info->ai_addr, sizeof(in));
        return ip_addr_from_bytes(str_bytes(&in.sin_addr, 4), out);
    }
    if (info->ai_family == AF_INET6) {
        memcpy(&in6, info->ai_addr, sizeof(in6));
        return ip_addr_from_bytes(str_bytes(&in6.sin6_addr, 16), out);
    }
    return false;
}

int resolve_name(struct str name, struct ip_addr out[RESOLVE_MAX], size_t *n, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;

    if (ip_addr_parse(name, &out[0])) {
        *n = 1;
        return 0;
    }
    char *text = str_dup(name);
    int status = getaddrinfo(text, NULL, &hints, &found);

    mem_free(text);
    if (status != 0)
        return err_set(err, ERR_IO, "looking up %.*s: %s", STR_ARG(name), gai_strerror(status));
    *n = 0;
    for (const struct addrinfo *i = found; i && *n < RESOLVE_MAX; i = i->ai_next)
        if (addr_of(i, &out[*n]))
            (*n)++;
    freeaddrinfo(found);
    return *n > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "%.*s has no address", STR_ARG(name));
}

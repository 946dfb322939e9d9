#pragma once

/*
 * Who is behind a proxy, by the headers that it adds. Believed of proxies only; from anybody else
 * the headers mean nothing.
 *
 * Source: headscale.md 9.5; RFC 7239 section 5.2 for what stands in X-Forwarded-For.
 */

#include "http/server.h"
#include "ip/prefix.h"

/*
 * The request's client, `peer` being who is connected. Unless that is one of the proxies: `peer`.
 * Else the first of these that is there and is an address, with port 0:
 *
 *   True-Client-IP, X-Real-IP
 *   X-Forwarded-For     its right-most entry that is no proxy; one that is no address ends the
 * search
 *
 * and `peer` when there is none.
 */
struct ip_addrport http_forwarded_peer(const struct http_request *req, struct ip_addrport peer,
                                       const struct ip_prefix *proxies, size_t n_proxies);

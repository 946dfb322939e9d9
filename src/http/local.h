#pragma once

/*
 * What only this machine may see: debug pages. Neither the port nor the listener decides it, the
 * request does.
 */

#include "http/server.h"

/* From this machine itself. A proxy on it brings strangers, and says so. */
static inline bool http_request_is_local(const struct http_request *req)
{
    return (req->is_unix || ip_addr_is_loopback(req->peer.addr)) &&
           http_header_get(req, STR("x-forwarded-for")).len == 0 &&
           http_header_get(req, STR("x-real-ip")).len == 0 &&
           http_header_get(req, STR("true-client-ip")).len == 0 &&
           http_header_get(req, STR("forwarded")).len == 0 &&
           http_header_get(req, STR("via")).len == 0;
}

/* Answers for a stranger with 403, and returns true. */
static inline bool http_refuse_stranger(struct http_exchange *x, const struct http_request *req)
{
    if (http_request_is_local(req))
        return false;
    http_respond_text(x, 403, "debug access denied");
    return true;
}

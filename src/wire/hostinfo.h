#pragma once

/*
 * Hostinfo: what a client says of its machine (protocol.md 8.2). Decoded into the domain's words,
 * with the text kept and the part that peers may see made ready.
 */

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"
#include "ip/prefix.h"
#include "json/value.h"

struct wire_hostinfo {
    struct str raw;  /* the JSON object as sent; borrows from the input */
    struct str peer; /* JSON object for peers (protocol.md 7.1), in the arena */
    struct str hostname;
    struct str os;
    struct str ipn_version;
    const struct ip_prefix *routes; /* sorted, unique, masked, in the arena */
    size_t n_routes;
    const struct str *request_tags;
    size_t n_request_tags;
    uint32_t preferred_derp; /* NetInfo.PreferredDERP, 0: not said */
};

/* `value` is the object or null/absent (then everything is empty, raw "{}"). Bounded by the
 * caller's input limit. */
MUST_USE int wire_hostinfo_decode(struct arena *a, const struct json_value *value,
                                  struct wire_hostinfo *out, struct err *err);

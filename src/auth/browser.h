#pragma once

/*
 * What a browser sends and is sent beside pages: queries and forms, cookies. No I/O.
 *
 * Sources: URL standard (application/x-www-form-urlencoded), RFC 6265.
 */

#include "core/arena.h"
#include "core/buf.h"

/*
 * The field of a query or a form, decoded, in the arena. False when it is absent or there twice, or
 * when its escapes are broken: there is nothing to guess about in a log-in.
 */
MUST_USE bool form_get(struct arena *arena, struct str text, struct str name, struct str *value);
/* The cookie's value out of one Cookie header, borrowed; the first of that name. */
MUST_USE bool cookie_get(struct str header, struct str name, struct str *value);

/*
 * The cookie of a web session. With https the prefix makes browsers keep it to this host, to https
 * and to the whole of it.
 */
struct str session_cookie_name(bool is_secure);

struct cookie {
    struct str name;
    struct str value; /* letters, digits, '-', '_' */
    struct str path;
    int64_t max_age_s; /* 0: forget it */
    bool is_strict;    /* SameSite=Strict, else Lax */
    bool is_secure;
};
/* A Set-Cookie header's value; always HttpOnly. */
void cookie_put(struct buf *out, const struct cookie *c);

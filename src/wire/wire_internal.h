#pragma once

/*
 * Reading one JSON object of a client's, member by member, with Go's manners: names match in any
 * case, null is absent, a wrong type is an error that names the member.
 *
 * The first error sticks: reads after it give zero values, and wire_reader_status says so at the
 * end.
 */

#include "core/arena.h"
#include "core/err.h"
#include "json/value.h"

/* Ceilings on what one request may hold. */
#define WIRE_BODY_MAX ((size_t)1 << 20)
#define WIRE_NODES_MAX ((size_t)40000) /* JSON values in a body */
#define WIRE_HOSTINFO_MAX ((size_t)128 << 10)
#define WIRE_ROUTES_MAX 1024
#define WIRE_TAGS_MAX 128
#define WIRE_ENDPOINTS_MAX \
    64 /* the rest is dropped: a machine may have more addresses than we keep */
#define WIRE_SSH_KEYS_MAX 16

struct wire_reader {
    struct arena *arena;
    const struct json_value *obj; /* NULL reads as an object without members */
    const char *where;            /* "Hostinfo", or "" at the top */
    struct err *err;
    int status; /* 0, or the first error's negative code */
};

/* `obj` of another type than object (NULL and null are fine) is the first error. */
struct wire_reader wire_reader_new(struct arena *arena, const struct json_value *obj,
                                   const char *where, struct err *err);
/* Of a member that is an object: "Hostinfo.NetInfo". Shares nothing; carry its status over. */
struct wire_reader wire_reader_member(struct wire_reader *r, const char *name);
void wire_reader_fail(struct wire_reader *r, enum err_code code, const char *name,
                      const char *complaint);
MUST_USE int wire_reader_status(const struct wire_reader *r);

/* The member, or NULL when absent or null. */
const struct json_value *wire_read(struct wire_reader *r, const char *name);
/* At most max bytes and no NUL among them. */
struct str wire_read_str(struct wire_reader *r, const char *name, size_t max);
uint64_t wire_read_u64(struct wire_reader *r, const char *name, uint64_t max);
bool wire_read_bool(struct wire_reader *r, const char *name);
/* The array's first element, and in *len how many; longer than max is an error. */
const struct json_value *wire_read_array(struct wire_reader *r, const char *name, size_t max,
                                         size_t *len);
/* An element or member that must be text. */
struct str wire_value_str(struct wire_reader *r, const struct json_value *v, const char *name,
                          size_t max);

struct ip_prefix;
const struct ip_prefix *wire_read_prefixes(struct wire_reader *r, const char *name, size_t max,
                                           size_t *n);
const struct str *wire_read_strs(struct wire_reader *r, const char *name, size_t max_len,
                                 size_t max_bytes, size_t *n);

/* The part of a Hostinfo that peers may see, as a JSON object in the arena. */
MUST_USE int wire_hostinfo_put_peer(struct wire_reader *r, struct str *out);

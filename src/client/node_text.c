/* See node_text.h. */

#include "client/node_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const own_names[] = {"Endpoints", "HomeDERP", "DERP", "Online",
                                        "LastSeen",  "DiscoKey", "Cap",  "Hostinfo"};
static const char *const online_names[] = {"LastSeen"};
const struct node_text_ignored node_text_own = {own_names, ARRAY_LEN(own_names)};
const struct node_text_ignored node_text_online = {online_names, ARRAY_LEN(online_names)};

static bool is_patchable(struct str name)
{
    static const char *const names[] = {"Online",   "LastSeen",     "Endpoints", "HomeDERP",
                                        "DERP",     "Cap",          "CapMap",    "Key",
                                        "DiscoKey", "KeySignature", "KeyExpiry"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_from(names[i])))
            return true;
    return false;
}

/* Go's zero values say the same as absence. Online is the exception: whether it is said counts. */
static const struct json_value *said(const struct json_value *node, const char *name)
{
    const struct json_value *v = json_get(node, name);

    if (!v || json_is(v, JSON_NULL))
        return NULL;
    if (str_eq(str_from(name), STR("Online")))
        return v;
    if ((json_is(v, JSON_STRING) &&
         (v->str.len == 0 || str_eq(v->str, STR("0001-01-01T00:00:00Z")))) ||
        (json_is(v, JSON_BOOL) && !v->boolean) ||
        (json_is(v, JSON_NUMBER) && str_eq(v->raw, STR("0"))) ||
        (json_is(v, JSON_OBJECT) && json_len(v) == 0 && str_eq(str_from(name), STR("CapMap"))))
        return NULL;
    return v;
}

static bool same_member(const struct json_value *a, const struct json_value *b, const char *name)
{
    const struct json_value *x = said(a, name), *y = said(b, name);

    return x && y ? json_eq(x, y) : x == y;
}

/* A member's name for json_get; too long for any real one: cut, and then not found. */
static const char *c_name(char text[64], struct str name)
{
    (void)snprintf(text, 64, "%.*s", STR_ARG(name));
    return text;
}

/* Whether all that differs could be said by a patch; the client then makes one of it. */
static bool is_patch(const struct json_value *was, const struct json_value *now)
{
    char name[64];

    JSON_EACH(member, was)
        if (!is_patchable(member->key) && !same_member(was, now, c_name(name, member->key)))
            return false;
    JSON_EACH(member, now)
        if (!is_patchable(member->key) && !same_member(was, now, c_name(name, member->key)))
            return false;
    return true;
}

/* What gets lost when a whole node becomes a patch. */
static bool is_lost(const struct json_value *was, const struct json_value *now, const char *name)
{
    bool had = said(was, name) != NULL, has = said(now, name) != NULL;
    struct str n = str_from(name);

    if (str_eq(n, STR("Online")) || str_eq(n, STR("LastSeen")))
        return had != has;
    if (str_eq(n, STR("Endpoints")) || str_eq(n, STR("HomeDERP")) || str_eq(n, STR("DERP")) ||
        str_eq(n, STR("Cap")))
        return had && !has;
    return false;
}

static void write_member(struct json_writer *w, struct str name, const struct json_value *v)
{
    json_key(w, name);
    json_value_write(w, v);
}

/* The node a client holds after it held `was` and was sent `now` whole. */
static void write_changed(struct json_writer *w, const struct json_value *was,
                          const struct json_value *now)
{
    bool as_patch = was && is_patch(was, now);
    char name[64];

    json_begin_object(w);
    JSON_EACH(member, now)
        if (!as_patch || !is_lost(was, now, c_name(name, member->key)))
            write_member(w, member->key, member);
    if (as_patch)
        JSON_EACH(member, was)
            if (is_lost(was, now, c_name(name, member->key)))
                write_member(w, member->key, member);
    json_end_object(w);
}

/* Where a patch says a node's member, or NULL when it leaves it. */
static const struct json_value *patched(const struct json_value *patch, struct str name)
{
    char text[64];
    const struct json_value *v;

    if (!is_patchable(name))
        return NULL;
    if (str_eq(name, STR("HomeDERP")))
        v = json_get(patch, "DERPRegion");
    else
        v = json_get(patch, c_name(text, name));
    if (!v || json_is(v, JSON_NULL))
        return NULL;
    /* These two have no "now empty". */
    if ((str_eq(name, STR("HomeDERP")) || str_eq(name, STR("Cap"))) && json_as_u64(v, 0) == 0)
        return NULL;
    return v;
}

static void write_patched(struct json_writer *w, const struct json_value *was,
                          const struct json_value *patch)
{
    static const char *const members[] = {"Online",   "LastSeen", "Endpoints", "HomeDERP",
                                          "Cap",      "CapMap",   "Key",       "KeySignature",
                                          "DiscoKey", "KeyExpiry"};
    uint64_t region = json_get_u64(patch, "DERPRegion", 0);
    struct str derp = str_printf("127.3.3.40:%" PRIu64, region);

    json_begin_object(w);
    JSON_EACH(member, was)
        if (!patched(patch, member->key) && !(region && str_eq(member->key, STR("DERP"))))
            write_member(w, member->key, member);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const struct json_value *v = patched(patch, str_from(members[i]));

        if (v)
            write_member(w, str_from(members[i]), v);
    }
    if (region)
        json_field_str(w, STR("DERP"), derp);
    json_end_object(w);
    str_free(&derp);
}

/* The node's tree, or NULL. */
static const struct json_value *tree_of(struct arena *arena, struct str text)
{
    struct json_value *v = NULL;

    return text.len > 0 && json_parse(arena, text, NULL, &v, NULL) ? v : NULL;
}

void node_text_put_changed(struct buf *out, struct str was, const struct json_value *now)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_writer w = JSON_WRITER(out);

    write_changed(&w, tree_of(arena, was), now);
}

bool node_text_loses(struct str was, const struct json_value *now)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *held = tree_of(arena, was), *both[] = {held, now};
    char name[64];

    if (!held || !is_patch(held, now))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        JSON_EACH(member, both[i])
            if (is_lost(held, now, c_name(name, member->key)))
                return true;
    }
    return false;
}

void node_text_put_patched(struct buf *out, struct str was, const struct json_value *patch)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_writer w = JSON_WRITER(out);

    write_patched(&w, tree_of(arena, was), patch);
}

/* ---- Comparing ---- */

static bool is_ignored(struct str name, const struct node_text_ignored *ignored)
{
    for (size_t i = 0; i < ignored->n; i++)
        if (str_eq(name, str_from(ignored->names[i])))
            return true;
    return false;
}

bool node_text_same(struct str a, struct str b, const struct node_text_ignored *ignored,
                    uint64_t id, char *why, size_t why_len)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *x = tree_of(arena, a), *y = tree_of(arena, b);
    const struct json_value *both[] = {x, y};
    char name[64];

    if (!x || !y) {
        (void)snprintf(why, why_len, "node %" PRIu64 " is not JSON", id);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        JSON_EACH(member, both[i]) {
            (void)c_name(name, member->key);
            if (is_ignored(member->key, ignored) || same_member(x, y, name))
                continue;
            (void)snprintf(why, why_len, "node %" PRIu64 ": %s is %.*s, should be %.*s", id, name,
                           STR_ARG(json_get_raw(x, name)), STR_ARG(json_get_raw(y, name)));
            return false;
        }
    }
    return true;
}

bool node_text_eq_json(struct str a, struct str b)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *x = tree_of(arena, a), *y = tree_of(arena, b);

    if (a.len == 0 || b.len == 0)
        return a.len == b.len;
    return x && y && json_eq(x, y);
}

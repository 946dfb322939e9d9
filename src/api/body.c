/*
 * What a request says: the path, the query, the body.
 *
 * headscale took ids as numbers or text, names in camelCase or snake_case, members it did not know,
 * and any content type, one release or another; so all of that passes. What is refused is a value
 * of a kind the call cannot mean.
 */

#include "api/api_internal.h"

#include "core/clock.h"

/* "aclTags", "acl_tags" and "ACLTags" are one name. */
static bool same_name(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a.len && a.ptr[i] == '_')
            i++;
        while (j < b.len && b.ptr[j] == '_')
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (!str_eq_nocase(str_sub(a, i++, 1), str_sub(b, j++, 1)))
            return false;
    }
}

static const struct json_value *member(const struct json_value *body, struct str name)
{
    const struct json_value *found = NULL;

    JSON_EACH(v, json_is(body, JSON_OBJECT) ? body : NULL) {
        if (same_name(v->key, name))
            found = v;
    }
    return json_is(found, JSON_NULL) ? NULL : found;
}

/* ---- Checking ---- */

static bool is_id(const struct json_value *v)
{
    uint64_t n = 0;

    if (json_is(v, JSON_NUMBER))
        return v->number == JSON_UNSIGNED;
    return json_is(v, JSON_STRING) && (v->str.len == 0 || str_parse_u64(v->str, &n));
}

static bool is_texts(const struct json_value *v)
{
    if (!json_is(v, JSON_ARRAY))
        return false;
    JSON_EACH(item, v) {
        if (!json_is(item, JSON_STRING))
            return false;
    }
    return true;
}

/* NULL: it is of that kind. */
static const char *complaint(const struct json_value *v, enum api_kind kind)
{
    int64_t ms;

    switch (kind) {
    case KIND_STRING:
        return json_is(v, JSON_STRING) ? NULL : "expected string";
    case KIND_ID:
        return is_id(v) ? NULL : "expected an id: a whole number, as text or bare";
    case KIND_ID_OR_NAME:
        return json_is(v, JSON_STRING) || is_id(v) ? NULL : "expected an id or a name";
    case KIND_TIME:
        return clock_parse_rfc3339(json_as_str(v, STR_NONE), &ms)
                   ? NULL
                   : "expected string to be RFC 3339 date-time";
    case KIND_BOOL:
        return json_is(v, JSON_BOOL) ? NULL : "expected boolean";
    case KIND_NUMBER:
        return json_is(v, JSON_NUMBER) ? NULL : "expected number";
    case KIND_STRINGS:
        return is_texts(v) ? NULL : "expected array of strings";
    case KIND_ANY:
    case KIND_OBJECT:
    case KIND_OBJECTS:
        break;
    }
    return NULL;
}

bool api_body_check(const struct json_value *body, enum api_version version, const char *schema,
                    const char **why, const char **where, struct str *value)
{
    const struct api_schema *s = api_schema_find(version, schema);

    *where = "";
    *value = STR_NONE;
    if (!json_is(body, JSON_OBJECT)) {
        *why = "expected object";
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct json_value *v = member(body, str_from(s->members[i].name));

        *why = v ? complaint(v, s->members[i].kind) : NULL;
        if (!*why)
            continue;
        *where = s->members[i].name;
        *value = v->raw;
        return false;
    }
    return true;
}

/* ---- Reading ---- */

bool api_path_id(struct api_call *c, const char *name, uint64_t *id)
{
    if (str_parse_u64(api_path_text(c, name), id) && *id > 0)
        return true;
    api_problem(c, 400, "an id is a positive number", NULL);
    return false;
}

struct str api_path_text(const struct api_call *c, const char *name)
{
    return arena_copy(api_arena(c), http_param_get(c->a->req, str_from(name)));
}

bool api_query(const struct api_call *c, const char *name, struct str *value)
{
    struct str rest = c->a->req->query, pair;

    while (str_next(&rest, '&', &pair)) {
        struct str key, unused, found = STR_NONE;

        (void)str_split(pair, '=', &key, &unused);
        if (!same_name(key, str_from(name)) || !http_query_get(c->a->x, key, &found))
            continue;
        *value = arena_copy(api_arena(c), found);
        return found.len > 0;
    }
    return false;
}

bool api_query_time(struct api_call *c, const char *name, int64_t *ms)
{
    struct str text;

    if (!api_query(c, name, &text) || clock_parse_rfc3339(text, ms))
        return true;
    api_problem(c, 400, arena_printf(api_arena(c), "%s is an RFC 3339 time", name).ptr, NULL);
    return false;
}

const struct json_value *api_member(const struct api_call *c, const char *name)
{
    return member(c->body, str_from(name));
}

struct str api_text(const struct api_call *c, const char *name)
{
    const struct json_value *v = api_member(c, name);

    return json_is(v, JSON_NUMBER) ? v->raw : json_as_str(v, STR_NONE);
}

bool api_bool(const struct api_call *c, const char *name)
{
    return json_as_bool(api_member(c, name), false);
}

bool api_id(const struct api_call *c, const char *name, uint64_t *id)
{
    uint64_t n = 0;

    if (!str_parse_u64(api_text(c, name), &n) || n == 0)
        return false;
    *id = n;
    return true;
}

bool api_time(const struct api_call *c, const char *name, int64_t *unix_ms)
{
    return clock_parse_rfc3339(json_as_str(api_member(c, name), STR_NONE), unix_ms);
}

struct str_list api_texts(const struct api_call *c, const char *name)
{
    return api_texts_of(c, api_member(c, name));
}

struct str_list api_texts_of(const struct api_call *c, const struct json_value *v)
{
    struct str_list list = {0};

    list.items = arena_alloc(api_arena(c), (json_len(v) + 1) * sizeof(*list.items));
    JSON_EACH(item, v) {
        list.items[list.len++] = json_as_str(item, STR_NONE);
    }
    return list;
}

const struct user *api_find_user(const struct tailnet_view *view, struct str text)
{
    size_t n = 0;
    const struct user *const *users = view_users(view, &n);
    const struct user *by_mail = NULL;
    uint64_t id = 0;

    if (text.len == 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(users[i]->name, text))
            return users[i];
        if (!by_mail && str_eq(users[i]->email, text))
            by_mail = users[i];
    }
    if (!by_mail && str_parse_u64(text, &id))
        return view_user_find(view, id);
    return by_mail;
}

#include "wire/wire_internal.h"

#include "ip/prefix.h"

struct wire_reader wire_reader_new(struct arena *arena, const struct json_value *obj,
                                   const char *where, struct err *err)
{
    struct wire_reader r = {.arena = arena, .where = where, .err = err};

    if (obj && !json_is(obj, JSON_NULL) && !json_is(obj, JSON_OBJECT))
        r.status = err_set(err, ERR_INVALID, "%s is %s, not an object",
                           where[0] ? where : "the request", json_type_name(obj));
    else if (json_is(obj, JSON_OBJECT))
        r.obj = obj;
    return r;
}

struct wire_reader wire_reader_member(struct wire_reader *r, const char *name)
{
    const char *where = r->where[0] ? arena_printf(r->arena, "%s.%s", r->where, name).ptr : name;

    return wire_reader_new(r->arena, r->status < 0 ? NULL : wire_read(r, name), where, r->err);
}

void wire_reader_fail(struct wire_reader *r, enum err_code code, const char *name,
                      const char *complaint)
{
    if (r->status < 0)
        return;
    r->status =
        err_set(r->err, code, "%s%s%s %s", r->where, r->where[0] ? "." : "", name, complaint);
}

int wire_reader_status(const struct wire_reader *r)
{
    return r->status;
}

const struct json_value *wire_read(struct wire_reader *r, const char *name)
{
    const struct json_value *v = r->status < 0 ? NULL : json_get_nocase(r->obj, name);

    return json_is(v, JSON_NULL) ? NULL : v;
}

struct str wire_value_str(struct wire_reader *r, const struct json_value *v, const char *name,
                          size_t max)
{
    struct str s = json_as_str(v, STR_NONE);

    if (r->status < 0)
        return STR_NONE;
    if (!json_is(v, JSON_STRING))
        wire_reader_fail(r, ERR_INVALID, name, "must be a string");
    else if (s.len > max)
        wire_reader_fail(r, ERR_LIMIT, name, "is too long");
    else if (str_find_char(s, '\0') >= 0)
        wire_reader_fail(r, ERR_INVALID, name, "holds a NUL");
    else
        return s;
    return STR_NONE;
}

struct str wire_read_str(struct wire_reader *r, const char *name, size_t max)
{
    const struct json_value *v = wire_read(r, name);

    return v ? wire_value_str(r, v, name, max) : STR_NONE;
}

uint64_t wire_read_u64(struct wire_reader *r, const char *name, uint64_t max)
{
    const struct json_value *v = wire_read(r, name);

    if (!v)
        return 0;
    if (!json_is(v, JSON_NUMBER) || v->number != JSON_UNSIGNED || v->u64 > max) {
        wire_reader_fail(r, ERR_INVALID, name, "must be a whole number in range");
        return 0;
    }
    return v->u64;
}

bool wire_read_bool(struct wire_reader *r, const char *name)
{
    const struct json_value *v = wire_read(r, name);

    if (v && !json_is(v, JSON_BOOL))
        wire_reader_fail(r, ERR_INVALID, name, "must be true or false");
    return json_as_bool(v, false);
}

const struct json_value *wire_read_array(struct wire_reader *r, const char *name, size_t max,
                                         size_t *len)
{
    const struct json_value *v = wire_read(r, name);

    *len = 0;
    if (!v)
        return NULL;
    if (!json_is(v, JSON_ARRAY)) {
        wire_reader_fail(r, ERR_INVALID, name, "must be an array");
        return NULL;
    }
    if (json_len(v) > max) {
        wire_reader_fail(r, ERR_LIMIT, name, "has too many entries");
        return NULL;
    }
    *len = json_len(v);
    return json_first(v);
}

const struct str *wire_read_strs(struct wire_reader *r, const char *name, size_t max_len,
                                 size_t max_bytes, size_t *n)
{
    size_t len = 0;
    const struct json_value *v = wire_read_array(r, name, max_len, &len);
    struct str *out = len ? arena_alloc(r->arena, len * sizeof *out) : NULL;

    *n = 0;
    for (; v; v = v->next)
        out[(*n)++] = wire_value_str(r, v, name, max_bytes);
    return out;
}

/* Go spells a prefix that was never set as the empty string; those are passed over. */
const struct ip_prefix *wire_read_prefixes(struct wire_reader *r, const char *name, size_t max,
                                           size_t *n)
{
    size_t len = 0, used = 0;
    const struct json_value *v = wire_read_array(r, name, max, &len);
    struct ip_prefix *out = len ? arena_alloc(r->arena, len * sizeof *out) : NULL;

    for (; v; v = v->next) {
        struct str text = wire_value_str(r, v, name, IP_PREFIX_TEXT_MAX);
        struct ip_prefix p = {0};

        if (text.len == 0)
            continue;
        if (!ip_prefix_parse(text, &p)) {
            wire_reader_fail(r, ERR_INVALID, name, "holds something that is no prefix");
            break;
        }
        out[used++] = ip_prefix_masked(p);
    }
    *n = used ? ip_prefix_sort_unique(out, used) : 0;
    return *n ? out : NULL;
}

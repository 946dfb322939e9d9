#include "json/value.h"

bool json_is(const struct json_value *v, enum json_type type)
{
    return v && v->type == type;
}

static bool is_list(const struct json_value *v)
{
    return json_is(v, JSON_ARRAY) || json_is(v, JSON_OBJECT);
}

const char *json_type_name(const struct json_value *v)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOL] = "true or false", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",     [JSON_OBJECT] = "an object",
    };

    return v ? names[v->type] : "nothing";
}

const struct json_value *json_first(const struct json_value *container)
{
    return is_list(container) ? container->list.first : NULL;
}

size_t json_len(const struct json_value *container)
{
    return is_list(container) ? container->list.len : 0;
}

const struct json_value *json_get(const struct json_value *obj, const char *key)
{
    const struct json_value *found = NULL;
    struct str wanted = str_from(key);

    if (!json_is(obj, JSON_OBJECT))
        return NULL;
    JSON_EACH(member, obj)
        if (str_eq(member->key, wanted))
            found = member;
    return found;
}

const struct json_value *json_get_nocase(const struct json_value *obj, const char *key)
{
    const struct json_value *found = NULL;
    struct str wanted = str_from(key);

    if (!json_is(obj, JSON_OBJECT))
        return NULL;
    JSON_EACH(member, obj)
        if (str_eq_nocase(member->key, wanted))
            found = member;
    return found;
}

const struct json_value *json_at(const struct json_value *array, size_t index)
{
    if (!json_is(array, JSON_ARRAY))
        return NULL;
    JSON_EACH(v, array)
        if (index-- == 0)
            return v;
    return NULL;
}

struct str json_as_str(const struct json_value *v, struct str otherwise)
{
    return json_is(v, JSON_STRING) ? v->str : otherwise;
}

uint64_t json_as_u64(const struct json_value *v, uint64_t otherwise)
{
    return json_is(v, JSON_NUMBER) && v->number == JSON_UNSIGNED ? v->u64 : otherwise;
}

int64_t json_as_i64(const struct json_value *v, int64_t otherwise)
{
    if (!json_is(v, JSON_NUMBER) || v->number == JSON_DOUBLE)
        return otherwise;
    if (v->number == JSON_NEGATIVE)
        return v->i64;
    return v->u64 <= INT64_MAX ? (int64_t)v->u64 : otherwise;
}

double json_as_double(const struct json_value *v, double otherwise)
{
    if (!json_is(v, JSON_NUMBER))
        return otherwise;
    switch (v->number) {
    case JSON_UNSIGNED:
        return (double)v->u64;
    case JSON_NEGATIVE:
        return (double)v->i64;
    case JSON_DOUBLE:
        break;
    }
    return v->dbl;
}

bool json_as_bool(const struct json_value *v, bool otherwise)
{
    return json_is(v, JSON_BOOL) ? v->boolean : otherwise;
}

struct str json_get_str(const struct json_value *obj, const char *key)
{
    return json_as_str(json_get(obj, key), STR_NONE);
}

uint64_t json_get_u64(const struct json_value *obj, const char *key, uint64_t otherwise)
{
    return json_as_u64(json_get(obj, key), otherwise);
}

int64_t json_get_i64(const struct json_value *obj, const char *key, int64_t otherwise)
{
    return json_as_i64(json_get(obj, key), otherwise);
}

double json_get_double(const struct json_value *obj, const char *key, double otherwise)
{
    return json_as_double(json_get(obj, key), otherwise);
}

bool json_get_bool(const struct json_value *obj, const char *key, bool otherwise)
{
    return json_as_bool(json_get(obj, key), otherwise);
}

const struct json_value *json_get_array(const struct json_value *obj, const char *key)
{
    const struct json_value *v = json_get(obj, key);

    return json_is(v, JSON_ARRAY) ? v : NULL;
}

const struct json_value *json_get_object(const struct json_value *obj, const char *key)
{
    const struct json_value *v = json_get(obj, key);

    return json_is(v, JSON_OBJECT) ? v : NULL;
}

struct str json_get_raw(const struct json_value *obj, const char *key)
{
    const struct json_value *v = json_get(obj, key);

    return v ? v->raw : STR_NONE;
}

static bool numbers_eq(const struct json_value *a, const struct json_value *b)
{
    if (a->number != b->number)
        return false;
    switch (a->number) {
    case JSON_UNSIGNED:
        return a->u64 == b->u64;
    case JSON_NEGATIVE:
        return a->i64 == b->i64;
    case JSON_DOUBLE:
        break;
    }
    return a->dbl == b->dbl;
}

static bool lists_eq(const struct json_value *a, const struct json_value *b)
{
    const struct json_value *y = b->list.first;

    if (a->list.len != b->list.len)
        return false;
    for (const struct json_value *x = a->list.first; x; x = x->next, y = y->next)
        if (!str_eq(x->key, y->key) || !json_eq(x, y))
            return false;
    return true;
}

bool json_eq(const struct json_value *a, const struct json_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->boolean == b->boolean;
    case JSON_NUMBER:
        return numbers_eq(a, b);
    case JSON_STRING:
        return str_eq(a->str, b->str);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return lists_eq(a, b);
}

static void write_list(struct json_writer *w, const struct json_value *v)
{
    JSON_EACH(item, v) {
        if (v->type == JSON_OBJECT)
            json_key(w, item->key);
        json_value_write(w, item);
    }
}

void json_value_write(struct json_writer *w, const struct json_value *v)
{
    switch (v->type) {
    case JSON_NULL:
        json_null(w);
        break;
    case JSON_BOOL:
        json_bool(w, v->boolean);
        break;
    case JSON_NUMBER:
        json_raw(w, v->raw);
        break;
    case JSON_STRING:
        json_str(w, v->str);
        break;
    case JSON_ARRAY:
        json_begin_array(w);
        write_list(w, v);
        json_end_array(w);
        break;
    case JSON_OBJECT:
        json_begin_object(w);
        write_list(w, v);
        json_end_object(w);
        break;
    }
}

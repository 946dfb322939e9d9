/*
 * Any bytes as the body of any call: refused, or read as the table says.
 *
 *   1. What passes the check is an object whose known members all have the kind of their rows: the
 *      typed readers give a value exactly when the member is there.
 *   2. Members nobody knows, and case and '_' in names, make no difference: the body written again
 *      from what was read, under the table's names, passes and reads the same.
 *
 * The first byte chooses the schema.
 */

#include "api/api_internal.h"

static const struct json_value *parse(struct arena *arena, struct str text)
{
    struct json_value *v = NULL;

    return json_parse(arena, text, NULL, &v, NULL) ? v : NULL;
}

/* Whether the readers agree with the row; and the member into `w`. */
static void read_member(const struct api_call *c, const struct api_member *m, struct json_writer *w)
{
    const struct json_value *v = api_member(c, m->name);
    uint64_t id = 0;
    int64_t ms = 0;

    if (!v) {
        ASSERT(api_text(c, m->name).len == 0 && !api_bool(c, m->name));
        ASSERT(!api_id(c, m->name, &id) && !api_time(c, m->name, &ms));
        ASSERT(api_texts(c, m->name).len == 0);
        return;
    }
    json_key(w, str_from(m->name));
    json_value_write(w, v);
    switch (m->kind) {
    case KIND_STRING:
        ASSERT(json_is(v, JSON_STRING) && str_is_utf8(api_text(c, m->name)));
        break;
    case KIND_ID:
        ASSERT(str_parse_u64(api_text(c, m->name), &id) || json_as_str(v, STR("x")).len == 0);
        ASSERT(api_id(c, m->name, &id) == (id != 0));
        break;
    case KIND_ID_OR_NAME:
        ASSERT(json_is(v, JSON_STRING) || str_parse_u64(api_text(c, m->name), &id));
        break;
    case KIND_TIME:
        ASSERT(api_time(c, m->name, &ms));
        break;
    case KIND_BOOL:
        ASSERT(api_bool(c, m->name) == json_as_bool(v, !api_bool(c, m->name)));
        break;
    case KIND_STRINGS:
        ASSERT(api_texts(c, m->name).len == json_len(v));
        break;
    case KIND_NUMBER:
    case KIND_ANY:
    case KIND_OBJECT:
    case KIND_OBJECTS:
        break;
    }
}

static void read_all(const struct api_call *c, const struct api_schema *s, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    for (size_t i = 0; i < s->n; i++)
        read_member(c, &s->members[i], &w);
    json_end_object(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = 0;
    const struct api_schema *schemas = api_schemas(API_V1, &n);
    const char *why = NULL, *where = NULL;
    struct str value;

    if (size < 1)
        return 0;
    const struct api_schema *s = &schemas[data[0] % n];
    struct asked asked = {.arena = arena_new()};
    struct api_call c = {.a = &asked};
    struct buf once = BUF((size_t)1 << 20), twice = BUF((size_t)1 << 20);

    c.body = parse(asked.arena, str_bytes(data + 1, size - 1));
    if (c.body && !api_body_check(c.body, API_V1, s->name, &why, &where, &value)) {
        ASSERT(why && where && (where[0] == '\0' || value.len > 0));
    } else if (c.body) {
        read_all(&c, s, &once);
        c.body = parse(asked.arena, arena_copy(asked.arena, buf_str(&once)));
        ASSERT(c.body && api_body_check(c.body, API_V1, s->name, &why, &where, &value));
        read_all(&c, s, &twice);
        ASSERT(str_eq(buf_str(&once), buf_str(&twice)));
    }
    buf_fini(&once);
    buf_fini(&twice);
    arena_free(asked.arena);
    return 0;
}

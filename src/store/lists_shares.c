/* A share's terms within a column: {"exit_node":true,"routes":["10.0.0.0/8"],"ports":["80-90"]}. */

#include "store/store_internal.h"
#include "json/value.h"
#include "json/writer.h"

#define TERMS_BYTES_MAX ((size_t)64 << 10)

struct str list_from_terms(struct arena *arena, const struct share_terms *t)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(TERMS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    if (t->exit_node)
        json_field_bool(&w, STR("exit_node"), true);
    if (t->all_routes)
        json_field_bool(&w, STR("all_routes"), true);
    if (t->two_way)
        json_field_bool(&w, STR("two_way"), true);
    if (t->n_routes > 0)
        json_field_raw(&w, STR("routes"), list_from_prefixes(arena, t->routes, t->n_routes));
    if (t->n_ports > 0)
        json_field_array(&w, STR("ports"));
    for (size_t i = 0; i < t->n_ports; i++) {
        json_begin_plain(&w);
        buf_put_u64(&out, t->ports[i].first);
        buf_put_char(&out, '-');
        buf_put_u64(&out, t->ports[i].last);
        json_end_plain(&w);
    }
    if (t->n_ports > 0)
        json_end_array(&w);
    json_end_object(&w);
    ASSERT(!buf_is_full(&out));
    return arena_copy(arena, buf_str(&out));
}

static bool read_routes(const struct json_value *v, struct share_terms *t)
{
    if (!json_is(v, JSON_ARRAY) || json_len(v) > SHARE_ROUTES_MAX || t->routes)
        return false;
    t->routes = mem_alloc_array(json_len(v), sizeof(*t->routes));
    JSON_EACH(item, v) {
        if (!json_is(item, JSON_STRING) || !ip_prefix_parse(item->str, &t->routes[t->n_routes++]))
            return false;
    }
    return true;
}

static bool read_ports(const struct json_value *v, struct share_terms *t)
{
    if (!json_is(v, JSON_ARRAY) || json_len(v) > SHARE_PORTS_MAX || t->ports)
        return false;
    t->ports = mem_alloc_array(json_len(v), sizeof(*t->ports));
    JSON_EACH(item, v) {
        struct str first, last;
        uint64_t from, to;

        if (!json_is(item, JSON_STRING) || !str_split(item->str, '-', &first, &last) ||
            !str_parse_u64(first, &from) || !str_parse_u64(last, &to) || from > UINT16_MAX ||
            to > UINT16_MAX)
            return false;
        t->ports[t->n_ports++] = (struct share_ports){(uint16_t)from, (uint16_t)to};
    }
    return true;
}

static bool read_switch(const struct json_value *v, bool *out)
{
    *out = json_as_bool(v, false);
    return json_is(v, JSON_BOOL);
}

static bool read_term(const struct json_value *v, struct share_terms *t)
{
    if (str_eq(v->key, STR("exit_node")))
        return read_switch(v, &t->exit_node);
    if (str_eq(v->key, STR("all_routes")))
        return read_switch(v, &t->all_routes);
    if (str_eq(v->key, STR("two_way")))
        return read_switch(v, &t->two_way);
    if (str_eq(v->key, STR("routes")))
        return read_routes(v, t);
    return str_eq(v->key, STR("ports")) && read_ports(v, t);
}

bool list_to_terms(struct str text, struct share_terms *out)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *obj = NULL;
    struct err ignored = {0};
    bool good;

    good = json_parse(arena, text, NULL, &obj, NULL) && json_is(obj, JSON_OBJECT);
    if (good)
        JSON_EACH(v, obj)
            good = good && read_term(v, out);
    return good && share_terms_check(out, &ignored) == 0;
}

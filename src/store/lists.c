/*
 * Lists inside a row: JSON text in the database, arrays in the objects.
 *
 * What is read back must be what was written here: another shape, a number too large, text that is
 * no address is a damaged row and is reported, never skipped.
 */

#include "store/store_internal.h"
#include "json/value.h"
#include "json/writer.h"
#include "store/regions.h"

#define LIST_BYTES_MAX ((size_t)16 << 20)

/* ---- to JSON ---- */

static struct str finish(struct arena *arena, struct buf *out)
{
    struct str text = arena_copy(arena, buf_str(out));

    /* Our own limits keep lists far below the ceiling. */
    ASSERT(!buf_is_full(out));
    buf_fini(out);
    return text;
}

struct str list_from_strings(struct arena *arena, const struct str_list *list)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (list->len == 0)
        return STR("[]");
    json_begin_array(&w);
    for (size_t i = 0; i < list->len; i++)
        json_str(&w, list->items[i]);
    json_end_array(&w);
    return finish(arena, &out);
}

struct str list_from_prefixes(struct arena *arena, const struct ip_prefix *items, size_t n)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (n == 0)
        return STR("[]");
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_plain(&w);
        ip_prefix_put(&out, items[i]);
        json_end_plain(&w);
    }
    json_end_array(&w);
    return finish(arena, &out);
}

struct str list_from_endpoints(struct arena *arena, const struct ip_addrport *items,
                               const uint8_t *types, size_t n)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (n == 0)
        return STR("[]");
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_plain(&w);
        ip_addrport_put(&out, items[i]);
        buf_put_char(&out, ' ');
        buf_put_u64(&out, types ? types[i] : 0);
        json_end_plain(&w);
    }
    json_end_array(&w);
    return finish(arena, &out);
}

static void put_resolvers(struct json_writer *w, const struct dns_resolver *items, size_t n)
{
    json_field_array(w, STR("resolvers"));
    for (size_t i = 0; i < n; i++) {
        if (!items[i].with_exit_node) {
            json_str(w, items[i].addr);
            continue;
        }
        json_begin_object(w);
        json_field_str(w, STR("addr"), items[i].addr);
        json_field_bool(w, STR("with_exit_node"), true);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_splits(struct json_writer *w, const struct dns_settings *dns)
{
    json_field_array(w, STR("splits"));
    for (size_t i = 0; i < dns->n_splits; i++) {
        json_begin_object(w);
        json_field_str(w, STR("suffix"), dns->splits[i].suffix);
        put_resolvers(w, dns->splits[i].resolvers, dns->splits[i].n_resolvers);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_records(struct json_writer *w, const struct dns_settings *dns)
{
    json_field_array(w, STR("records"));
    for (size_t i = 0; i < dns->n_records; i++) {
        json_begin_object(w);
        json_field_str(w, STR("name"), dns->records[i].name);
        json_field_str(w, STR("type"), dns->records[i].type);
        json_field_str(w, STR("value"), dns->records[i].value);
        json_end_object(w);
    }
    json_end_array(w);
}

/* The members of the object, of the parts that say something. */
static void put_dns(struct json_writer *w, const struct dns_settings *dns)
{
    if (dns->parts & DNS_MAGIC)
        json_field_bool(w, STR("magic_dns"), dns->magic_dns);
    if (dns->parts & DNS_OVERRIDE)
        json_field_bool(w, STR("override_local_dns"), dns->override_local_dns);
    if (dns->parts & DNS_RESOLVERS)
        put_resolvers(w, dns->resolvers, dns->n_resolvers);
    if (dns->parts & DNS_SPLITS)
        put_splits(w, dns);
    if (dns->parts & DNS_SEARCH)
        json_field_str_list(w, STR("search_domains"), &dns->search_domains);
    if (dns->parts & DNS_RECORDS)
        put_records(w, dns);
}

struct str list_from_dns(struct arena *arena, const struct tailnet_info *info)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    AUTO(dns_settings_free) struct dns_settings *configured = tailnet_info_configured_dns(info);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    put_dns(&w, configured);
    if (info->dns_own) {
        json_field_object(&w, STR("own"));
        put_dns(&w, info->dns_own);
        json_end_object(&w);
    }
    json_end_object(&w);
    return finish(arena, &out);
}

struct str list_from_regions(struct arena *arena, const struct derp_region *items, size_t n)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_array(&w);
    regions_put(&w, items, n, REGIONS_STORED);
    json_end_array(&w);
    return finish(arena, &out);
}

/* ---- from JSON ---- */

/* The parsed text, in an arena of the caller's, or NULL. */
static const struct json_value *parse(struct arena *arena, struct str text, enum json_type type)
{
    struct json_value *v = NULL;

    if (!json_parse(arena, text, NULL, &v, NULL) || !json_is(v, type))
        return NULL;
    return v;
}

/* A whole number from lo to hi. */
static bool get_int(const struct json_value *obj, const char *key, int64_t lo, int64_t hi,
                    int64_t *out)
{
    int64_t v = json_get_i64(obj, key, INT64_MIN);

    if (v < lo || v > hi)
        return false;
    *out = v;
    return true;
}

static bool get_bool(const struct json_value *obj, const char *key, bool *out)
{
    const struct json_value *v = json_get(obj, key);

    if (!json_is(v, JSON_BOOL))
        return false;
    *out = v->boolean;
    return true;
}

/* `out` gets a copy; what it held must be empty. */
static bool get_str(const struct json_value *obj, const char *key, struct str *out)
{
    const struct json_value *v = json_get(obj, key);

    if (!json_is(v, JSON_STRING))
        return false;
    *out = str_copy(v->str);
    return true;
}

static bool read_strings(const struct json_value *array, struct str_list *out)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    JSON_EACH(item, array) {
        if (!json_is(item, JSON_STRING))
            return false;
        str_list_add(out, item->str);
    }
    return true;
}

bool list_to_strings(struct str text, struct str_list *out)
{
    if (str_eq(text, STR("[]")))
        return true;

    AUTO(arena_free) struct arena *arena = arena_new();

    return read_strings(parse(arena, text, JSON_ARRAY), out);
}

bool list_to_prefixes(struct str text, struct ip_prefix **items, size_t *n)
{
    if (str_eq(text, STR("[]")))
        return true;

    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *array = parse(arena, text, JSON_ARRAY);

    if (!array)
        return false;
    *items = mem_alloc_array(json_len(array), sizeof(**items));
    JSON_EACH(item, array) {
        if (!json_is(item, JSON_STRING) || !ip_prefix_parse(item->str, &(*items)[*n]))
            return false;
        (*n)++;
    }
    return true;
}

static bool read_endpoint(const struct json_value *item, struct ip_addrport *endpoint,
                          uint8_t *type)
{
    struct str addr, kind;
    uint64_t number;

    if (!json_is(item, JSON_STRING) || !str_split(item->str, ' ', &addr, &kind) ||
        !ip_addrport_parse(addr, endpoint) || !str_parse_u64(kind, &number) || number > UINT8_MAX)
        return false;
    *type = (uint8_t)number;
    return true;
}

bool list_to_endpoints(struct str text, struct ip_addrport **items, uint8_t **types, size_t *n)
{
    if (str_eq(text, STR("[]")))
        return true;

    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *array = parse(arena, text, JSON_ARRAY);

    if (!array)
        return false;
    *items = mem_alloc_array(json_len(array), sizeof(**items));
    *types = mem_alloc_array(json_len(array), sizeof(**types));
    JSON_EACH(item, array) {
        if (!read_endpoint(item, &(*items)[*n], &(*types)[*n]))
            return false;
        (*n)++;
    }
    return true;
}

static bool read_resolver(const struct json_value *item, struct str *addr, bool *with_exit_node)
{
    const struct json_value *text = json_is(item, JSON_STRING) ? item : json_get(item, "addr");

    if (!json_is(text, JSON_STRING) ||
        (text != item && !get_bool(item, "with_exit_node", with_exit_node)))
        return false;
    *addr = text->str;
    return true;
}

static bool read_splits(const struct json_value *array, struct dns_settings *dns)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    JSON_EACH(item, array) {
        const struct json_value *suffix = json_get(item, "suffix");
        const struct json_value *resolvers = json_get_array(item, "resolvers");

        if (!json_is(suffix, JSON_STRING) || !resolvers)
            return false;
        struct dns_split *split = dns_add_split(dns, suffix->str);
        JSON_EACH(r, resolvers) {
            struct str addr;
            bool with_exit_node = false;

            if (!read_resolver(r, &addr, &with_exit_node))
                return false;
            dns_split_add(split, addr, with_exit_node);
        }
    }
    return true;
}

static bool read_records(const struct json_value *array, struct dns_settings *dns)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    JSON_EACH(item, array) {
        const struct json_value *name = json_get(item, "name"), *type = json_get(item, "type"),
                                *value = json_get(item, "value");

        if (!json_is(name, JSON_STRING) || !json_is(type, JSON_STRING) ||
            !json_is(value, JSON_STRING))
            return false;
        dns_add_record(dns, name->str, type->str, value->str);
    }
    return true;
}

static bool read_global(const struct json_value *array, struct dns_settings *dns)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    JSON_EACH(item, array) {
        struct str addr;
        bool with_exit_node = false;

        if (!read_resolver(item, &addr, &with_exit_node))
            return false;
        (void)dns_add_resolver(dns, addr, with_exit_node);
    }
    return true;
}

/* One member, if it is there, and its part. */
static bool read_part(const struct json_value *obj, const char *key, enum dns_part part,
                      struct dns_settings *dns)
{
    const struct json_value *v = json_get(obj, key);

    if (!v)
        return true;
    dns->parts |= part;
    switch (part) {
    case DNS_MAGIC:
        return get_bool(obj, key, &dns->magic_dns);
    case DNS_OVERRIDE:
        return get_bool(obj, key, &dns->override_local_dns);
    case DNS_RESOLVERS:
        return read_global(v, dns);
    case DNS_SPLITS:
        return read_splits(v, dns);
    case DNS_SEARCH:
        return read_strings(v, &dns->search_domains);
    case DNS_RECORDS:
        return read_records(v, dns);
    }
    return false;
}

static bool read_dns(const struct json_value *obj, struct dns_settings *dns)
{
    return json_is(obj, JSON_OBJECT) && read_part(obj, "magic_dns", DNS_MAGIC, dns) &&
           read_part(obj, "override_local_dns", DNS_OVERRIDE, dns) &&
           read_part(obj, "resolvers", DNS_RESOLVERS, dns) &&
           read_part(obj, "splits", DNS_SPLITS, dns) &&
           read_part(obj, "search_domains", DNS_SEARCH, dns) &&
           read_part(obj, "records", DNS_RECORDS, dns);
}

bool list_to_dns(struct str text, struct tailnet_info *info)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(dns_settings_free) struct dns_settings *configured = dns_settings_new();
    AUTO(dns_settings_free) struct dns_settings *own = NULL;
    const struct json_value *dns = parse(arena, text, JSON_OBJECT);

    if (!dns || !read_dns(dns, configured) || configured->parts != DNS_ALL)
        return false;
    if (json_get(dns, "own")) {
        own = dns_settings_new();
        if (!read_dns(json_get(dns, "own"), own) || own->parts == 0)
            return false;
    }
    tailnet_info_settle_dns(info, TAKE(configured), TAKE(own));
    return true;
}

static bool read_derp_node(const struct json_value *v, struct derp_node *n)
{
    int64_t stun_port = 0, derp_port = 0;

    if (!get_str(v, "name", &n->name) || !get_str(v, "host_name", &n->host_name) ||
        !get_str(v, "cert_name", &n->cert_name) || !get_str(v, "ipv4", &n->ipv4) ||
        !get_str(v, "ipv6", &n->ipv6) || !get_int(v, "stun_port", -1, 65535, &stun_port) ||
        !get_bool(v, "stun_only", &n->stun_only) ||
        !get_int(v, "derp_port", 0, 65535, &derp_port) ||
        !get_bool(v, "can_port80", &n->can_port80) ||
        !get_bool(v, "insecure_for_tests", &n->insecure_for_tests))
        return false;
    n->stun_port = (int)stun_port;
    n->derp_port = (int)derp_port;
    return true;
}

static bool read_region(const struct json_value *v, struct derp_region *r)
{
    const struct json_value *nodes = json_get_array(v, "nodes");
    int64_t id = 0;

    if (!nodes || !get_int(v, "id", 0, UINT32_MAX, &id) || !get_str(v, "code", &r->code) ||
        !get_str(v, "name", &r->name) || !get_bool(v, "avoid", &r->avoid) ||
        !get_bool(v, "no_measure_no_home", &r->no_measure_no_home))
        return false;
    r->id = (uint32_t)id;
    if (json_len(nodes) == 0)
        return true;
    r->nodes = mem_alloc_array(json_len(nodes), sizeof(*r->nodes));
    JSON_EACH(item, nodes) {
        if (!read_derp_node(item, &r->nodes[r->n_nodes++]))
            return false;
    }
    return true;
}

bool list_read_regions(const struct json_value *array, struct derp_region **items, size_t *n)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    if (json_len(array) == 0)
        return true;
    *items = mem_alloc_array(json_len(array), sizeof(**items));
    JSON_EACH(item, array) {
        if (!read_region(item, &(*items)[(*n)++]))
            return false;
    }
    return true;
}

bool list_to_regions(struct str text, struct derp_region **items, size_t *n)
{
    AUTO(arena_free) struct arena *arena = arena_new();

    return str_eq(text, STR("[]")) || list_read_regions(parse(arena, text, JSON_ARRAY), items, n);
}

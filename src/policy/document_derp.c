/*
 * derpMap: relay regions of the author's, brought into the spelling that clients read (tailcfg's
 * DERPMap), each member checked. policy.md 5.11.
 */

#include "policy/document_internal.h"

#define REGIONS_MAX 1000
#define NODES_MAX 100 /* of one region */

/* Members of a region and of a relay, as clients spell them. */
struct member_name {
    const char *name;
    enum json_type type;
    bool required;
};
static const struct member_name region_members[] = {
    {"RegionID", JSON_NUMBER, true},      {"RegionCode", JSON_STRING, true},
    {"RegionName", JSON_STRING, true},    {"Latitude", JSON_NUMBER, false},
    {"Longitude", JSON_NUMBER, false},    {"Avoid", JSON_BOOL, false},
    {"NoMeasureNoHome", JSON_BOOL, false}};
static const struct member_name node_members[] = {
    {"Name", JSON_STRING, true},        {"RegionID", JSON_NUMBER, true},
    {"HostName", JSON_STRING, true},    {"CertName", JSON_STRING, false},
    {"IPv4", JSON_STRING, false},       {"IPv6", JSON_STRING, false},
    {"STUNPort", JSON_NUMBER, false},   {"STUNOnly", JSON_BOOL, false},
    {"DERPPort", JSON_NUMBER, false},   {"InsecureForTests", JSON_BOOL, false},
    {"STUNTestIP", JSON_STRING, false}, {"CanPort80", JSON_BOOL, false}};

static const struct member_name *known(const struct member_name *names, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(str_from(names[i].name), key))
            return &names[i];
    return NULL;
}

/* Writes the members of `obj` that are in the table; `rest` (may be NULL) is left to the caller. */
static bool put_members(struct doc_reader *r, struct json_writer *w, const struct json_value *obj,
                        const struct member_name *names, size_t n, const char *rest)
{
    JSON_EACH(v, obj) {
        const struct member_name *m = known(names, n, v->key);

        if (rest && str_eq_nocase(v->key, str_from(rest)))
            continue;
        if (!m)
            return doc_refuse(r, doc_key_pos(v), "unknown field: %s", QUOTED(v->key));
        if (!doc_is(r, v, m->type, m->name))
            return false;
        json_key(w, str_from(m->name));
        json_value_write(w, v);
    }
    for (size_t i = 0; i < n; i++)
        if (names[i].required && !json_get_nocase(obj, names[i].name))
            return doc_refuse(r, doc_pos(obj), "derpMap: %s is missing", names[i].name);
    return true;
}

static bool same_region(struct doc_reader *r, const struct json_value *obj, uint64_t id)
{
    const struct json_value *v = json_get_nocase(obj, "RegionID");

    if (json_as_u64(v, 0) == id)
        return true;
    doc_refuse(r, doc_pos(v), "derpMap: RegionID is not the region's");
    return doc_hint(r, "it is the number the region stands under");
}

static bool put_nodes(struct doc_reader *r, struct json_writer *w, const struct json_value *nodes,
                      uint64_t id)
{
    if (!doc_list(r, nodes, JSON_ARRAY, "Nodes", NODES_MAX))
        return false;
    json_field_array(w, STR("Nodes"));
    JSON_EACH(v, nodes) {
        if (!doc_is(r, v, JSON_OBJECT, "a relay"))
            return false;
        json_begin_object(w);
        if (!put_members(r, w, v, node_members, ARRAY_LEN(node_members), NULL) ||
            !same_region(r, v, id))
            return false;
        json_end_object(w);
    }
    json_end_array(w);
    return true;
}

static bool put_region(struct doc_reader *r, struct buf *text, const struct json_value *v,
                       uint64_t id)
{
    const struct json_value *nodes = json_get_nocase(v, "Nodes");
    struct json_writer w = JSON_WRITER(text);

    if (!doc_is(r, v, JSON_OBJECT, "a region"))
        return false;
    json_begin_object(&w);
    if (!put_members(r, &w, v, region_members, ARRAY_LEN(region_members), "Nodes") ||
        !same_region(r, v, id))
        return false;
    if (nodes && !put_nodes(r, &w, nodes, id))
        return false;
    json_end_object(&w);
    return true;
}

static bool read_region(struct doc_reader *r, const struct json_value *v,
                        struct policy_derp_region *out)
{
    struct buf text = BUF(POLICY_TEXT_MAX);
    uint64_t id;
    bool good;

    if (!str_parse_u64(v->key, &id) || v->key.ptr[0] == '0' || id > INT32_MAX) {
        doc_refuse(r, doc_key_pos(v), "derpMap: %s is no region", QUOTED(v->key));
        return doc_hint(r, "a region is a number from 1 on");
    }
    out->id = (uint32_t)id;
    if (json_is(v, JSON_NULL))
        return true;
    good = put_region(r, &text, v, id);
    if (good)
        out->json = doc_keep(r, buf_str(&text));
    buf_fini(&text);
    return good;
}

static bool read_regions(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *d = r->doc;

    if (!doc_list(r, v, JSON_OBJECT, "regions", REGIONS_MAX))
        return false;
    d->derp_regions = arena_alloc(d->arena, json_len(v) * sizeof *d->derp_regions);
    JSON_EACH(region, v)
        if (!read_region(r, region, &d->derp_regions[d->n_derp_regions++]))
            return false;
    return true;
}

bool doc_derp_map(struct doc_reader *r, const struct json_value *v)
{
    const struct json_value *regions = NULL, *omit = NULL;
    const struct doc_field fields[] = {{"regions", NULL, &regions},
                                       {"omitDefaultRegions", NULL, &omit}};

    if (!doc_is(r, v, JSON_OBJECT, "derpMap") ||
        !doc_fields(r, v, "derpMap", fields, ARRAY_LEN(fields), false))
        return false;
    if (regions && !read_regions(r, regions))
        return false;
    return doc_bool(r, omit, "omitDefaultRegions", &r->doc->omit_default_regions);
}

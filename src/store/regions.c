/* See regions.h. */

#include "store/regions.h"

struct words {
    struct str host_name, cert_name, stun_port, stun_only, derp_port, can_port80;
};
static const struct words words[] = {
    [REGIONS_API] = {STR_INIT("hostName"), STR_INIT("certName"), STR_INIT("stunPort"),
                     STR_INIT("stunOnly"), STR_INIT("derpPort"), STR_INIT("canPort80")},
    [REGIONS_STORED] = {STR_INIT("host_name"), STR_INIT("cert_name"), STR_INIT("stun_port"),
                        STR_INIT("stun_only"), STR_INIT("derp_port"), STR_INIT("can_port80")},
};

static void put_node(struct json_writer *w, const struct derp_node *n, enum regions_spelling how)
{
    const struct words *say = &words[how];

    json_begin_object(w);
    json_field_str(w, STR("name"), n->name);
    json_field_str(w, say->host_name, n->host_name);
    json_field_str(w, say->cert_name, n->cert_name);
    json_field_str(w, STR("ipv4"), n->ipv4);
    json_field_str(w, STR("ipv6"), n->ipv6);
    json_field_i64(w, say->stun_port, n->stun_port);
    json_field_bool(w, say->stun_only, n->stun_only);
    json_field_i64(w, say->derp_port, n->derp_port);
    json_field_bool(w, say->can_port80, n->can_port80);
    if (how == REGIONS_STORED)
        json_field_bool(w, STR("insecure_for_tests"), n->insecure_for_tests);
    json_end_object(w);
}

void regions_put(struct json_writer *w, const struct derp_region *items, size_t n,
                 enum regions_spelling spelling)
{
    for (size_t i = 0; i < n; i++) {
        const struct derp_region *r = &items[i];

        json_begin_object(w);
        json_field_u64(w, STR("id"), r->id);
        json_field_str(w, STR("code"), r->code);
        json_field_str(w, STR("name"), r->name);
        json_field_bool(w, STR("avoid"), r->avoid);
        if (spelling == REGIONS_STORED)
            json_field_bool(w, STR("no_measure_no_home"), r->no_measure_no_home);
        json_field_array(w, STR("nodes"));
        for (size_t k = 0; k < r->n_nodes; k++)
            put_node(w, &r->nodes[k], spelling);
        json_end_array(w);
        json_end_object(w);
    }
}

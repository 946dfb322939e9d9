/*
 * A policy's derpMap, as far as other tailnets are told of it: guests are reached by the relays at
 * which they are at home. The domain reads no policies, so it is told.
 */

#include "control/registrar_internal.h"
#include "core/arena.h"
#include "json/value.h"

static void read_node(const struct json_value *v, struct derp_node *out)
{
    *out = (struct derp_node){
        .name = json_get_str(v, "Name"),
        .host_name = json_get_str(v, "HostName"),
        .cert_name = json_get_str(v, "CertName"),
        .ipv4 = json_get_str(v, "IPv4"),
        .ipv6 = json_get_str(v, "IPv6"),
        .stun_port = (int)json_as_i64(json_get(v, "STUNPort"), 0),
        .stun_only = json_get_bool(v, "STUNOnly", false),
        .derp_port = (int)json_as_i64(json_get(v, "DERPPort"), 0),
        .insecure_for_tests = json_get_bool(v, "InsecureForTests", false),
        .can_port80 = json_get_bool(v, "CanPort80", false),
    };
}

/* One without text is taken away: it has no relays. */
static void read_region(struct arena *a, const struct policy_derp_region *r,
                        struct derp_region *out)
{
    struct json_value *v = NULL;

    *out = (struct derp_region){.id = r->id};
    if (r->json.len == 0 || !json_parse(a, r->json, NULL, &v, NULL))
        return;
    const struct json_value *nodes = json_get_array(v, "Nodes");

    out->code = json_get_str(v, "RegionCode");
    out->name = json_get_str(v, "RegionName");
    out->avoid = json_get_bool(v, "Avoid", false);
    out->no_measure_no_home = json_get_bool(v, "NoMeasureNoHome", false);
    out->nodes = arena_alloc(a, json_len(nodes) * sizeof(*out->nodes));
    JSON_EACH(node, nodes)
        read_node(node, &out->nodes[out->n_nodes++]);
}

void registrar_tell_relays(struct registrar *r, tailnet_id tailnet,
                           const struct policy_document *document)
{
    AUTO(arena_free) struct arena *a = arena_new();
    size_t n = document ? document->n_derp_regions : 0;
    struct derp_region *regions = arena_alloc(a, n * sizeof(*regions));
    struct change_list changes = {0};

    for (size_t i = 0; i < n; i++)
        read_region(a, &document->derp_regions[i], &regions[i]);
    domain_tell_relays(
        r->domain, tailnet,
        &(struct policy_relays){
            .regions = regions, .n = n, .omits_others = document && document->omit_default_regions},
        &changes);
    if (changes.len > 0)
        round_add_changes(r, &changes);
    change_list_fini(&changes);
}

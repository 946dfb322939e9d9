/* The section "derp" and relay map files. headscale.md 1.2, 7. */

#include "config/config_internal.h"

#define REGIONS_MAX 1000
#define NODES_OF_REGION_MAX 100
#define DEFAULT_REGION 999
#define STUN_PORT 3478
#define UPDATE_MS ((int64_t)3 * 3600 * 1000)
#define UPDATE_MIN_MS 1000
#define COUNT_MAX ((int64_t)1 << 24)

/* ---- relay map files ---- */

static bool map_int(struct loader *l, const struct yaml_node *n, int64_t lo, int64_t hi,
                    int64_t *out)
{
    struct str text;
    int64_t v;

    if (!node_text(l, n, n->key, &text))
        return false;
    if (!str_parse_i64(text, &v) || v < lo || v > hi) {
        error_at(l, n, "\"%.*s\" wants a whole number from %lld to %lld", STR_ARG(shown(l, n->key)),
                 (long long)lo, (long long)hi);
        return false;
    }
    *out = v;
    return true;
}

static bool is_address_text(struct str text, uint8_t family)
{
    struct ip_addr addr;

    return str_eq(text, STR("none")) || text.len == 0 ||
           (ip_addr_parse(text, &addr) && addr.family == family);
}

/* One field of a relay; false: remarked as an error. */
static bool read_node_field(struct loader *l, const struct yaml_node *f, struct derp_node *node,
                            uint32_t region)
{
    int64_t v = 0;
    bool ok = true;

    if (yaml_is_null(f))
        return true;
    if (str_eq_nocase(f->key, STR("name"))) {
        ok = node_text(l, f, f->key, &node->name);
    } else if (str_eq_nocase(f->key, STR("hostname"))) {
        ok = node_text(l, f, f->key, &node->host_name);
    } else if (str_eq_nocase(f->key, STR("certname"))) {
        ok = node_text(l, f, f->key, &node->cert_name);
    } else if (str_eq_nocase(f->key, STR("ipv4"))) {
        ok = node_text(l, f, f->key, &node->ipv4);
    } else if (str_eq_nocase(f->key, STR("ipv6"))) {
        ok = node_text(l, f, f->key, &node->ipv6);
    } else if (str_eq_nocase(f->key, STR("stunport"))) {
        ok = map_int(l, f, -1, 65535, &v);
        node->stun_port = (int)v;
    } else if (str_eq_nocase(f->key, STR("derpport"))) {
        ok = map_int(l, f, 0, 65535, &v);
        node->derp_port = (int)v;
    } else if (str_eq_nocase(f->key, STR("stunonly"))) {
        ok = node_bool(l, f, f->key, &node->stun_only);
    } else if (str_eq_nocase(f->key, STR("canport80"))) {
        ok = node_bool(l, f, f->key, &node->can_port80);
    } else if (str_eq_nocase(f->key, STR("insecurefortests"))) {
        ok = node_bool(l, f, f->key, &node->insecure_for_tests);
    } else if (str_eq_nocase(f->key, STR("regionid"))) {
        ok = map_int(l, f, 1, UINT32_MAX, &v);
        if (ok && v != region)
            notice_at(l, f, "this relay stands under region %u, which counts", region);
    } else {
        notice_at_key(l, f, "\"%.*s\" is no key of a relay and was ignored",
                      STR_ARG(shown(l, f->key)));
    }
    return ok;
}

static bool read_node(struct loader *l, const struct yaml_node *n, struct derp_node *node,
                      uint32_t region)
{
    if (n->type != YAML_MAP) {
        error_at(l, n, "a relay has \"name\", \"hostname\" and more below it");
        return false;
    }
    YAML_EACH(field, n)
    {
        if (!read_node_field(l, field, node, region))
            return false;
    }
    if (node->host_name.len == 0) {
        error_at(l, n, "a relay wants a \"hostname\"");
        return false;
    }
    if (!is_address_text(node->ipv4, IP_V4) || !is_address_text(node->ipv6, IP_V6)) {
        error_at(l, n, "\"ipv4\" and \"ipv6\" of a relay are addresses of that kind, or \"none\"");
        return false;
    }
    if (node->name.len == 0)
        node->name = arena_printf(l->arena, "%u", region);
    return true;
}

static bool read_nodes(struct loader *l, const struct yaml_node *list, struct derp_region *r)
{
    if (list->type != YAML_LIST || list->len > NODES_OF_REGION_MAX) {
        error_at(l, list, "\"nodes\" is a list of at most %d relays", NODES_OF_REGION_MAX);
        return false;
    }
    r->nodes = arena_alloc(l->arena, list->len * sizeof(*r->nodes));
    YAML_EACH(item, list)
    {
        if (!read_node(l, item, &r->nodes[r->n_nodes], r->id))
            return false;
        r->n_nodes++;
    }
    return true;
}

static bool read_region_field(struct loader *l, const struct yaml_node *f, struct derp_region *r)
{
    int64_t v = 0;
    bool ok = true;

    if (yaml_is_null(f))
        return true;
    if (str_eq_nocase(f->key, STR("regioncode"))) {
        ok = node_text(l, f, f->key, &r->code);
    } else if (str_eq_nocase(f->key, STR("regionname"))) {
        ok = node_text(l, f, f->key, &r->name);
    } else if (str_eq_nocase(f->key, STR("avoid"))) {
        ok = node_bool(l, f, f->key, &r->avoid);
    } else if (str_eq_nocase(f->key, STR("nomeasurenohome"))) {
        ok = node_bool(l, f, f->key, &r->no_measure_no_home);
    } else if (str_eq_nocase(f->key, STR("nodes"))) {
        ok = read_nodes(l, f, r);
    } else if (str_eq_nocase(f->key, STR("regionid"))) {
        ok = map_int(l, f, 1, UINT32_MAX, &v);
        if (ok && v != r->id)
            notice_at(l, f, "this region stands under the key %u, which counts", r->id);
    } else if (!str_eq_nocase(f->key, STR("latitude")) &&
               !str_eq_nocase(f->key, STR("longitude"))) {
        notice_at_key(l, f, "\"%.*s\" is no key of a region and was ignored",
                      STR_ARG(shown(l, f->key)));
    }
    return ok;
}

/* Where the region is, or would be put. */
static size_t region_place(const struct config_derp *derp, uint32_t id)
{
    size_t at = 0;

    while (at < derp->n_regions && derp->regions[at].id < id)
        at++;
    return at;
}

static void region_put(struct loader *l, struct derp_region r)
{
    struct config_derp *derp = &l->c->derp;
    size_t at = region_place(derp, r.id);

    if (at < derp->n_regions && derp->regions[at].id == r.id) {
        derp->regions[at] = r;
        return;
    }
    memmove(&derp->regions[at + 1], &derp->regions[at],
            (derp->n_regions - at) * sizeof(*derp->regions));
    derp->regions[at] = r;
    derp->n_regions++;
}

static void region_remove(struct loader *l, uint32_t id)
{
    struct config_derp *derp = &l->c->derp;
    size_t at = region_place(derp, id);

    if (at == derp->n_regions || derp->regions[at].id != id)
        return;
    derp->n_regions--;
    memmove(&derp->regions[at], &derp->regions[at + 1],
            (derp->n_regions - at) * sizeof(*derp->regions));
}

static void read_region(struct loader *l, const struct yaml_node *n)
{
    struct derp_region r = {0};
    uint64_t id;

    if (!str_parse_u64(n->key, &id) || id == 0 || id > UINT32_MAX) {
        error_at(l, n, "a region stands under its number, not \"%.*s\"", STR_ARG(shown(l, n->key)));
        return;
    }
    r.id = (uint32_t)id;
    if (yaml_is_null(n)) {
        region_remove(l, r.id);
        return;
    }
    if (n->type != YAML_MAP) {
        error_at(l, n, "a region has \"regioncode\", \"regionname\" and \"nodes\" below it");
        return;
    }
    YAML_EACH(field, n)
    {
        if (!read_region_field(l, field, &r))
            return;
    }
    if (r.code.len == 0)
        r.code = arena_printf(l->arena, "%u", r.id);
    if (r.name.len == 0)
        r.name = r.code;
    region_put(l, r);
}

void derp_map_merge(struct loader *l, struct str file, struct str text)
{
    struct str outer = l->file;
    struct config_derp *derp = &l->c->derp;
    struct yaml_node *root = NULL;
    struct yaml_error error;
    const struct yaml_node *regions = NULL;

    l->file = file;
    if (!yaml_parse(l->arena, text, &root, &error)) {
        remark(l, true, (struct place){file, error.line, error.col}, "%s", error.text);
        l->file = outer;
        return;
    }
    if (root && root->type == YAML_MAP)
        YAML_EACH(entry, root)
        {
            if (str_eq_nocase(entry->key, STR("regions")))
                regions = entry;
            else
                notice_at_key(l, entry, "\"%.*s\" is no key of a relay map and was ignored",
                              STR_ARG(shown(l, entry->key)));
        }
    if (!regions || regions->type != YAML_MAP || regions->len > REGIONS_MAX) {
        error_at(l, regions ? regions : root,
                 "a relay map has \"regions:\" with at most %d numbered regions below it",
                 REGIONS_MAX);
    } else {
        struct derp_region *grown =
            arena_alloc(l->arena, (derp->n_regions + regions->len) * sizeof(*grown));

        if (derp->n_regions > 0)
            memcpy(grown, derp->regions, derp->n_regions * sizeof(*grown));
        derp->regions = grown;
        YAML_EACH(entry, regions)
        {
            read_region(l, entry);
        }
    }
    l->file = outer;
}

static void read_map_urls(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_DERP_URLS);
    struct config_derp *derp = &l->c->derp;

    derp->update_ms = UPDATE_MS;
    value_bool(l, KEY_DERP_AUTO_UPDATE, &derp->auto_update);
    if (value_duration(l, KEY_DERP_UPDATE_FREQUENCY, &derp->update_ms) && derp->update_ms > 0 &&
        derp->update_ms < UPDATE_MIN_MS)
        error_at(l, l->values[KEY_DERP_UPDATE_FREQUENCY],
                 "derp.update_frequency is below a second: write 3h");
    if (!list)
        return;
    derp->urls = arena_alloc(l->arena, list->len * sizeof(*derp->urls));
    YAML_EACH(item, list)
    {
        struct str text;

        if (yaml_is_null(item) || !node_text(l, item, key_path(KEY_DERP_URLS), &text))
            continue;
        if (str_starts(text, STR("https://")) || str_starts(text, STR("http://")))
            derp->urls[derp->n_urls++] = text;
        else
            notice_at(l, item, "\"%.*s\" is no http:// or https:// URL and was left out",
                      STR_ARG(shown(l, text)));
    }
}

static void read_map_files(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_DERP_PATHS);

    if (!list)
        return;
    YAML_EACH(item, list)
    {
        struct str text, path;
        struct err err = {0};

        if (yaml_is_null(item) || !node_text(l, item, key_path(KEY_DERP_PATHS), &text))
            continue;
        path = path_absolute(l->arena, item->name ? path_cwd(l->arena) : l->base_dir, text);
        if (config_file_read(l->arena, path, &text, &err) < 0)
            error_at(l, item, "the relay map \"%.*s\" cannot be read: %s", STR_ARG(shown(l, path)),
                     err.text);
        else
            derp_map_merge(l, path, text);
    }
}

/* ---- the section ---- */

static void read_address(struct loader *l, enum config_key key, uint8_t family, struct str *out)
{
    struct str text;
    struct ip_addr addr;

    if (!value_text(l, key, &text))
        return;
    if (ip_addr_parse(text, &addr) && addr.family == family)
        *out = text;
    else
        error_at(l, l->values[key], "%.*s is \"%.*s\": write an IPv%d address",
                 STR_ARG(key_path(key)), STR_ARG(shown(l, text)), family);
}

static void check_regions(struct loader *l)
{
    struct config_derp *derp = &l->c->derp;
    size_t at = region_place(derp, derp->region_id);

    if (derp->enabled && derp->add_region && at < derp->n_regions &&
        derp->regions[at].id == derp->region_id) {
        notice_at(l, l->values[KEY_DERP_REGION_ID],
                  "region %u of derp.paths gives way to the embedded one: give "
                  "derp.server.region_id another number to have both",
                  derp->region_id);
        region_remove(l, derp->region_id);
    }
    if (derp->enabled && !derp->add_region && derp->n_regions == 0 && derp->n_urls == 0)
        error_at(l, l->values[KEY_DERP_ADD_REGION],
                 "without the embedded region derp.paths must name one: add a relay map there, or "
                 "write true");
    if (!derp->enabled && derp->n_regions == 0 && derp->n_urls == 0)
        notice_at(
            l, l->values[KEY_DERP_ENABLED],
            "there is no relay: machines without a direct path cannot reach each other; write "
            "true, or name a relay map in derp.paths");
}

static void read_bytes(struct loader *l, enum config_key key, uint64_t *out)
{
    int64_t n = (int64_t)*out;

    (void)value_int(l, key, 0, (int64_t)1 << 40, &n);
    *out = (uint64_t)n;
}

static void read_count(struct loader *l, enum config_key key, int64_t least, int64_t n, size_t *out)
{
    (void)value_int(l, key, least, COUNT_MAX, &n);
    *out = (size_t)n;
}

static void read_limits(struct loader *l, struct config_limits *limits)
{
    size_t rate = 0, burst = 0;

    read_bytes(l, KEY_DERP_CLIENT_RATE, &limits->client_bytes_per_second);
    read_bytes(l, KEY_DERP_CLIENT_BURST, &limits->client_burst_bytes);
    read_bytes(l, KEY_DERP_TOTAL_RATE, &limits->total_bytes_per_second);
    read_bytes(l, KEY_DERP_TOTAL_BURST, &limits->total_burst_bytes);
    read_count(l, KEY_DERP_MAX_CONNECTIONS, 1, 65536, &limits->max_connections);
    read_count(l, KEY_DERP_MAX_PER_ADDRESS, 1, 16384, &limits->max_connections_per_address);
    read_count(l, KEY_DERP_MAX_HANDSHAKES, 2, 8192, &limits->max_handshakes);
    read_count(l, KEY_DERP_ACCEPT_RATE, 0, 0, &rate);
    read_count(l, KEY_DERP_ACCEPT_BURST, 1, 1000, &burst);
    limits->accepts_per_second = (uint32_t)rate;
    limits->accept_burst = (uint32_t)burst;
}

void section_derp(struct loader *l)
{
    struct config_derp *derp = &l->c->derp;
    int64_t region = DEFAULT_REGION;

    derp->enabled = true;
    derp->add_region = true;
    derp->verify_clients = true;
    derp->region_code = STR("hatsize");
    derp->region_name = STR("Hatsize Embedded DERP");
    derp->stun_listen = (struct ip_addrport){.addr = {.family = IP_V6}, .port = STUN_PORT};
    derp->private_key_path = path_absolute(l->arena, l->c->data_dir, STR("derp_private.key"));
    derp->cert_path = path_absolute(l->arena, l->c->data_dir, STR("derp_cert.pem"));
    derp->key_path = path_absolute(l->arena, l->c->data_dir, STR("derp_key.pem"));

    value_bool(l, KEY_DERP_ENABLED, &derp->enabled);
    value_bool(l, KEY_DERP_ADD_REGION, &derp->add_region);
    value_bool(l, KEY_DERP_VERIFY, &derp->verify_clients);
    value_int(l, KEY_DERP_REGION_ID, 1, UINT32_MAX, &region);
    derp->region_id = (uint32_t)region;
    (void)!value_text(l, KEY_DERP_REGION_CODE, &derp->region_code);
    (void)!value_text(l, KEY_DERP_REGION_NAME, &derp->region_name);
    value_listen(l, KEY_DERP_STUN, &derp->stun_listen);
    value_path(l, KEY_DERP_KEY, &derp->private_key_path);
    if (str_eq(derp->private_key_path, l->c->noise_key_path))
        error_at(l, l->values[KEY_DERP_KEY],
                 "derp.server.private_key_path and noise.private_key_path must be two files");
    read_address(l, KEY_DERP_IPV4, IP_V4, &derp->ipv4);
    read_address(l, KEY_DERP_IPV6, IP_V6, &derp->ipv6);
    read_limits(l, &derp->limits);
    read_map_urls(l);
    read_map_files(l);
    check_regions(l);
}

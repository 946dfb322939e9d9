/* What is told of the tailnet as a whole: relays, DNS (headscale.md 5.4), users. */

#include "netmap/encode.h"

#include "core/mem.h"
#include "ip/prefix.h"
#include "json/writer.h"

static void put_derp_node(struct json_writer *w, const struct derp_node *n, uint32_t region)
{
    json_begin_object(w);
    json_field_str(w, STR("Name"), n->name);
    json_field_u64(w, STR("RegionID"), region);
    json_field_str(w, STR("HostName"), n->host_name);
    json_opt_str(w, STR("CertName"), n->cert_name);
    json_opt_str(w, STR("IPv4"), n->ipv4);
    json_opt_str(w, STR("IPv6"), n->ipv6);
    json_opt_i64(w, STR("STUNPort"), n->stun_port);
    json_opt_bool(w, STR("STUNOnly"), n->stun_only);
    json_opt_i64(w, STR("DERPPort"), n->derp_port);
    json_opt_bool(w, STR("InsecureForTests"), n->insecure_for_tests);
    json_opt_bool(w, STR("CanPort80"), n->can_port80);
    json_end_object(w);
}

/* Whether the policy has a region of that number, be it to take the server's away. */
static bool policy_has_region(const struct policy_document *d, uint32_t id)
{
    for (size_t i = 0; d && i < d->n_derp_regions; i++)
        if (d->derp_regions[i].id == id)
            return true;
    return d && d->omit_default_regions;
}

static void put_policy_regions(struct json_writer *w, const struct policy_document *d)
{
    char id[16];

    for (size_t i = 0; d && i < d->n_derp_regions; i++) {
        if (d->derp_regions[i].json.len == 0)
            continue;
        (void)snprintf(id, sizeof id, "%u", d->derp_regions[i].id);
        json_field_raw(w, str_from(id), d->derp_regions[i].json);
    }
}

/* `foreign`: for reaching guests, no home for the tailnet's own. */
static void put_region(struct json_writer *w, const struct derp_region *r, bool foreign)
{
    char id[16];

    (void)snprintf(id, sizeof id, "%u", r->id);
    json_field_object(w, str_from(id));
    json_field_u64(w, STR("RegionID"), r->id);
    json_field_str(w, STR("RegionCode"), r->code);
    json_field_str(w, STR("RegionName"), r->name);
    json_opt_bool(w, STR("Avoid"), r->avoid || foreign);
    json_opt_bool(w, STR("NoMeasureNoHome"), r->no_measure_no_home || foreign);
    json_field_array(w, STR("Nodes"));
    for (size_t k = 0; k < r->n_nodes; k++)
        put_derp_node(w, &r->nodes[k], r->id);
    json_end_array(w);
    json_end_object(w);
}

static const struct derp_region *region_find(const struct tailnet_info *info, uint32_t id)
{
    for (size_t i = 0; info && i < info->n_regions; i++)
        if (info->regions[i].id == id)
            return &info->regions[i];
    return NULL;
}

/* Whether the map has the region already, its own or the policy's. */
static bool map_has_region(const struct tailnet_info *info, const struct policy_document *d,
                           uint32_t id)
{
    for (size_t i = 0; d && i < d->n_derp_regions; i++)
        if (d->derp_regions[i].id == id)
            return d->derp_regions[i].json.len > 0;
    return region_find(info, id) && !policy_has_region(d, id);
}

/* Where the guests are at home and the map does not lead yet. */
static void put_foreign_regions(struct json_writer *w, const struct tailnet_info *info,
                                const struct policy_document *d, const struct netmap_host *host)
{
    uint32_t *done = NULL;
    size_t n = 0, at = 0;
    const struct node *guest;

    while ((guest = netmap_guest_next(host, &at))) {
        const struct derp_region *r =
            region_find(view_guest_info_find(host->view, guest->tailnet), guest->home_derp);
        size_t i = 0;

        while (r && i < n && done[i] != r->id)
            i++;
        if (!r || i < n || map_has_region(info, d, r->id))
            continue;
        done = mem_realloc_array(done, n + 1, sizeof *done);
        done[n++] = r->id;
        put_region(w, r, true);
    }
    mem_free(done);
}

void netmap_put_derp_map(struct buf *out, const struct tailnet_info *info,
                         const struct policy *policy, const struct netmap_host *host)
{
    const struct policy_document *d = policy_document(policy);
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_object(&w, STR("Regions"));
    for (size_t i = 0; i < info->n_regions; i++)
        if (!policy_has_region(d, info->regions[i].id))
            put_region(&w, &info->regions[i], false);
    put_policy_regions(&w, d);
    put_foreign_regions(&w, info, d, host);
    json_end_object(&w);
    json_field_bool(&w, STR("omitDefaultRegions"), true);
    json_end_object(&w);
}

/* NextDNS tells machines apart by parameters of the resolver's URL. */
static bool resolver_is_personal(struct str addr)
{
    return str_starts(addr, STR("https://dns.nextdns.io/"));
}

static bool resolvers_are_personal(const struct dns_resolver *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (resolver_is_personal(r[i].addr))
            return true;
    return false;
}

bool netmap_dns_is_personal(const struct tailnet_info *info)
{
    for (size_t i = 0; i < info->n_splits; i++)
        if (resolvers_are_personal(info->splits[i].resolvers, info->splits[i].n_resolvers))
            return true;
    return resolvers_are_personal(info->resolvers, info->n_resolvers);
}

static void put_query_text(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.' || c == '~')
            buf_put_char(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static void put_resolver(struct json_writer *w, const struct dns_resolver *r,
                         const struct node *viewer)
{
    json_begin_object(w);
    if (!resolver_is_personal(r->addr)) {
        json_field_str(w, STR("Addr"), r->addr);
        json_opt_bool(w, STR("UseWithExitNode"), r->with_exit_node);
        json_end_object(w);
        return;
    }

    struct buf url = BUF(0);
    buf_put(&url, r->addr);
    buf_put_char(&url, str_find_char(r->addr, '?') < 0 ? '?' : '&');
    buf_put(&url, STR("device_ip="));
    ip_addr_put(&url, ip_addr_is_set(viewer->v4) ? viewer->v4 : viewer->v6);
    buf_put(&url, STR("&device_model="));
    put_query_text(&url, viewer->facts->os);
    buf_put(&url, STR("&device_name="));
    put_query_text(&url, viewer->facts->hostname);
    json_field_str(w, STR("Addr"), buf_str(&url));
    json_opt_bool(w, STR("UseWithExitNode"), r->with_exit_node);
    buf_fini(&url);
    json_end_object(w);
}

static void field_resolvers(struct json_writer *w, struct str name, const struct dns_resolver *r,
                            size_t n, const struct node *viewer)
{
    json_field_array(w, name);
    for (size_t i = 0; i < n; i++)
        put_resolver(w, &r[i], viewer);
    json_end_array(w);
}

/* Without dots at the ends: suffixes must not begin with one, and names may come with a last one.
 */
static struct str bare(struct str name)
{
    while (str_starts(name, STR(".")))
        name = str_from_index(name, 1);
    while (str_ends(name, STR(".")))
        name = str_sub(name, 0, name.len - 1);
    return name;
}

/* Whether one of the first n suffixes is this name: a member must not come twice. */
static bool splits_have(const struct tailnet_info *info, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(bare(info->splits[i].suffix), name))
            return true;
    return false;
}

/*
 * One zone of `labels` labels, the last of which has its low bits replaced by `last`. IPv4 has
 * eight bits a label in decimal, IPv6 four in hex.
 */
static void put_zone_name(struct buf *out, struct ip_prefix p, unsigned labels, unsigned last)
{
    bool v4 = p.addr.family == IP_V4;

    for (unsigned i = labels; i-- > 0;) {
        unsigned v = v4 ? p.addr.bytes[i] : (unsigned)p.addr.bytes[i / 2] >> (i % 2 ? 0 : 4) & 0xfu;

        if (i == labels - 1)
            v |= last;
        buf_printf(out, v4 ? "%u." : "%x.", v);
    }
    buf_put(out, v4 ? STR("in-addr.arpa") : STR("ip6.arpa"));
}

/*
 * Names of addresses are answered by the client itself. A prefix that ends within a label takes one
 * zone for each value the label can have: 100.64.0.0/10 is 64 zones.
 */
static void field_reverse_zones(struct json_writer *w, const struct tailnet_info *info,
                                struct ip_prefix prefix)
{
    struct ip_prefix p = ip_prefix_masked(prefix);
    unsigned width = p.addr.family == IP_V4 ? 8 : 4;
    unsigned open_bits = (width - p.bits % width) % width;
    unsigned labels = (p.bits + width - 1) / width;

    if (!ip_prefix_is_set(p) || labels == 0)
        return;
    for (unsigned last = 0; last < 1u << open_bits; last++) {
        struct buf name = BUF(256);

        put_zone_name(&name, p, labels, last);
        if (!splits_have(info, info->n_splits, buf_str(&name))) {
            json_field_array(w, buf_str(&name));
            json_end_array(w);
        }
        buf_fini(&name);
    }
}

/* The next node that is lent to the host and has a name; NULL: no more. */
static const struct node *next_lent(const struct netmap_host *host, size_t *at)
{
    const struct node *guest = netmap_guest_next(host, at);

    while (guest && netmap_guest_is_lent(host->viewer, guest) && node_dns_name(guest).len == 0)
        guest = netmap_guest_next(host, at);
    return guest && netmap_guest_is_lent(host->viewer, guest) ? guest : NULL;
}

/*
 * Their names are answered by the client itself, with the records below, whether its tailnet or
 * theirs has MagicDNS or not: an exact name is a suffix, too.
 */
static void field_lent_names(struct json_writer *w, const struct tailnet_info *info,
                             const struct netmap_host *host)
{
    const struct node *guest;

    for (size_t at = 0; (guest = next_lent(host, &at));) {
        if (splits_have(info, info->n_splits, node_dns_name(guest)))
            continue;
        json_field_array(w, node_dns_name(guest));
        json_end_array(w);
    }
}

static void field_routes(struct json_writer *w, const struct tailnet_info *info,
                         const struct node *viewer, const struct netmap_host *host)
{
    size_t at = 0;

    if (info->n_splits == 0 && !info->magic_dns && !next_lent(host, &at))
        return;
    json_field_object(w, STR("Routes"));
    for (size_t i = 0; i < info->n_splits; i++) {
        const struct dns_split *s = &info->splits[i];

        if (!splits_have(info, i, bare(s->suffix)))
            field_resolvers(w, bare(s->suffix), s->resolvers, s->n_resolvers, viewer);
    }
    if (info->magic_dns) {
        field_reverse_zones(w, info, info->prefix_v4);
        field_reverse_zones(w, info, info->prefix_v6);
    }
    field_lent_names(w, info, host);
    json_end_object(w);
}

static void put_record(struct json_writer *w, struct str name, struct str type, struct str value)
{
    json_begin_object(w);
    json_field_str(w, STR("Name"), name);
    json_opt_str(w, STR("Type"), type);
    json_field_str(w, STR("Value"), value);
    json_end_object(w);
}

static void put_addr_record(struct json_writer *w, const struct node *guest, struct str type,
                            struct ip_addr addr)
{
    struct buf value = BUF(64);

    if (ip_addr_is_set(addr)) {
        ip_addr_put(&value, addr);
        put_record(w, node_dns_name(guest), type, buf_str(&value));
    }
    buf_fini(&value);
}

static void field_records(struct json_writer *w, const struct tailnet_info *info,
                          const struct netmap_host *host)
{
    const struct node *guest;
    size_t at = 0;

    if (info->n_records == 0 && !next_lent(host, &at))
        return;
    json_field_array(w, STR("ExtraRecords"));
    for (size_t i = 0; i < info->n_records; i++)
        put_record(w, info->records[i].name, info->records[i].type, info->records[i].value);
    for (at = 0; (guest = next_lent(host, &at));) {
        if (!policy_hides_ipv4(host->policy, host->viewer->id) &&
            !policy_hides_ipv4(host->policy, guest->id))
            put_addr_record(w, guest, STR("A"), guest->v4);
        put_addr_record(w, guest, STR("AAAA"), guest->v6);
    }
    json_end_array(w);
}

static void field_domains(struct json_writer *w, const struct tailnet_info *info)
{
    if (info->base_domain.len == 0 && info->search_domains.len == 0)
        return;
    json_field_array(w, STR("Domains"));
    if (info->base_domain.len)
        json_str(w, bare(info->base_domain));
    for (size_t i = 0; i < info->search_domains.len; i++)
        json_str(w, bare(info->search_domains.items[i]));
    json_end_array(w);
}

void netmap_put_dns(struct buf *out, const struct tailnet_info *info, const struct node *viewer,
                    const struct netmap_host *host)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    if (viewer && !node_has_access(viewer)) {
        json_end_object(&w);
        return;
    }
    if (info->n_resolvers)
        field_resolvers(&w, info->override_local_dns ? STR("Resolvers") : STR("FallbackResolvers"),
                        info->resolvers, info->n_resolvers, viewer);
    field_routes(&w, info, viewer, host);
    field_domains(&w, info);
    json_opt_bool(&w, STR("Proxied"), info->magic_dns);
    field_records(&w, info, host);
    json_end_object(&w);
}

/* `domain`: what a log-in name without one gets, so that nobody of this tailnet is of that name. */
static void put_profile(struct buf *out, const struct user *u, struct str domain)
{
    struct json_writer w = JSON_WRITER(out);
    struct buf scratch = BUF(0), login = BUF(0);

    json_begin_object(&w);
    if (!u) {
        json_field_u64(&w, STR("ID"), USER_TAGGED_DEVICES);
        json_field_str(&w, STR("LoginName"), STR("tagged-devices"));
        json_field_str(&w, STR("DisplayName"), STR("Tagged Devices"));
        json_end_object(&w);
        return;
    }
    json_field_u64(&w, STR("ID"), u->id);
    buf_put(&login, user_login_name(u, &scratch));
    if (domain.len && str_find_char(buf_str(&login), '@') < 0) {
        buf_put_char(&login, '@');
        buf_put(&login, domain);
    }
    json_field_str(&w, STR("LoginName"), buf_str(&login));
    buf_fini(&login);
    buf_clear(&scratch);
    json_field_str(&w, STR("DisplayName"), user_display(u, &scratch));
    json_opt_str(&w, STR("ProfilePicURL"), u->picture_url);
    json_end_object(&w);
    buf_fini(&scratch);
}

void netmap_put_profile(struct buf *out, const struct user *u)
{
    put_profile(out, u, STR_NONE);
}

bool netmap_put_profile_of(struct buf *out, const struct tailnet_view *view, user_id id)
{
    const struct user *u = id ? view_any_user_find(view, id) : NULL;
    const struct tailnet_info *home = NULL;

    if (id && !u)
        return false;
    if (u && u->tailnet != view_info(view)->id)
        home = view_guest_info_find(view, u->tailnet);
    put_profile(out, u, home ? bare(home->base_domain) : STR_NONE);
    return true;
}

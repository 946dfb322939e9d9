/* What was loaded, as the first tailnet and as text. */

#include "config/config_internal.h"

/* ---- the first tailnet ---- */

static void copy_resolvers(struct dns_resolver **to, size_t *n_to, const struct dns_resolver *from,
                           size_t n)
{
    *n_to = n;
    if (n == 0)
        return;
    *to = mem_alloc_array(n, sizeof(**to));
    for (size_t i = 0; i < n; i++)
        (*to)[i].addr = str_copy(from[i].addr);
}

static void copy_dns(struct tailnet_info *info, const struct config_dns *dns)
{
    info->magic_dns = dns->magic_dns;
    info->override_local_dns = dns->override_local_dns;
    copy_resolvers(&info->resolvers, &info->n_resolvers, dns->resolvers, dns->n_resolvers);
    info->n_splits = dns->n_splits;
    if (dns->n_splits > 0)
        info->splits = mem_alloc_array(dns->n_splits, sizeof(*info->splits));
    for (size_t i = 0; i < dns->n_splits; i++) {
        info->splits[i].suffix = str_copy(dns->splits[i].suffix);
        copy_resolvers(&info->splits[i].resolvers, &info->splits[i].n_resolvers,
                       dns->splits[i].resolvers, dns->splits[i].n_resolvers);
    }
    for (size_t i = 0; i < dns->n_search_domains; i++)
        str_list_add(&info->search_domains, dns->search_domains[i]);
    info->n_records = dns->n_records;
    if (dns->n_records > 0)
        info->records = mem_alloc_array(dns->n_records, sizeof(*info->records));
    for (size_t i = 0; i < dns->n_records; i++)
        info->records[i] =
            (struct dns_record){str_copy(dns->records[i].name), str_copy(dns->records[i].type),
                                str_copy(dns->records[i].value)};
}

static void copy_region(struct derp_region *to, const struct derp_region *from)
{
    *to = *from;
    to->code = str_copy(from->code);
    to->name = str_copy(from->name);
    to->nodes = from->n_nodes > 0 ? mem_alloc_array(from->n_nodes, sizeof(*to->nodes)) : NULL;
    for (size_t i = 0; i < from->n_nodes; i++) {
        to->nodes[i] = from->nodes[i];
        to->nodes[i].name = str_copy(from->nodes[i].name);
        to->nodes[i].host_name = str_copy(from->nodes[i].host_name);
        to->nodes[i].cert_name = str_copy(from->nodes[i].cert_name);
        to->nodes[i].ipv4 = str_copy(from->nodes[i].ipv4);
        to->nodes[i].ipv6 = str_copy(from->nodes[i].ipv6);
    }
}

void config_add_regions(struct tailnet_info *info, const struct config_regions *more)
{
    size_t had = info->n_regions;

    info->regions =
        mem_realloc_array(info->regions, MAX(had + more->len, (size_t)1), sizeof(*info->regions));
    for (size_t i = 0; i < more->len; i++) {
        bool is_there = false;

        for (size_t k = 0; k < had; k++)
            is_there |= info->regions[k].id == more->items[i].id;
        if (!is_there)
            copy_region(&info->regions[info->n_regions++], &more->items[i]);
    }
}

void config_add_records(struct tailnet_info *info, const struct config_records *more)
{
    info->records = mem_realloc_array(info->records, MAX(info->n_records + more->len, (size_t)1),
                                      sizeof(*info->records));
    for (size_t i = 0; i < more->len; i++)
        info->records[info->n_records++] =
            (struct dns_record){str_copy(more->items[i].name), str_copy(more->items[i].type),
                                str_copy(more->items[i].value)};
}

struct tailnet_info *config_tailnet_info(const struct config *c, struct str name)
{
    struct tailnet_info *info = tailnet_info_new();

    info->name = str_copy(name);
    info->base_domain = str_copy(c->dns.base_domain);
    info->domain = str_copy(c->dns.base_domain);
    info->prefix_v4 = c->prefix_v4;
    info->prefix_v6 = c->prefix_v6;
    info->allocation = c->allocation;
    info->node_expiry_ms = c->node_expiry_ms;
    info->ephemeral_timeout_ms = c->ephemeral_timeout_ms;
    info->taildrop = c->taildrop;
    info->logtail = c->logtail;
    info->auto_update = c->auto_update;
    info->randomize_client_port = c->randomize_client_port;
    copy_dns(info, &c->dns);
    info->n_regions = c->derp.n_regions;
    if (c->derp.n_regions > 0)
        info->regions = mem_alloc_array(c->derp.n_regions, sizeof(*info->regions));
    for (size_t i = 0; i < c->derp.n_regions; i++)
        copy_region(&info->regions[i], &c->derp.regions[i]);
    return info;
}

/* ---- as text ---- */

static void put_text(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "%s: %.*s\n", key, STR_ARG(value));
}

static void put_bool(struct buf *out, const char *key, bool value)
{
    buf_printf(out, "%s: %s\n", key, value ? "true" : "false");
}

static void put_number(struct buf *out, const char *key, int64_t value)
{
    buf_printf(out, "%s: %lld\n", key, (long long)value);
}

static void put_ms(struct buf *out, const char *key, int64_t ms)
{
    buf_printf(out, "%s: %lldms\n", key, (long long)ms);
}

static void put_addrport(struct buf *out, const char *key, struct ip_addrport ap)
{
    buf_printf(out, "%s: ", key);
    if (ip_addr_is_set(ap.addr))
        ip_addrport_put(out, ap);
    buf_put_char(out, '\n');
}

static void put_prefix(struct buf *out, const char *key, struct ip_prefix p)
{
    buf_printf(out, "%s: ", key);
    ip_prefix_put(out, p);
    buf_put_char(out, '\n');
}

static void put_resolvers(struct buf *out, const struct dns_resolver *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, " %.*s", STR_ARG(items[i].addr));
    buf_put_char(out, '\n');
}

static void put_server(struct buf *out, const struct config *c)
{
    put_text(out, "config file", c->file);
    put_text(out, "data_dir", c->data_dir);
    put_text(out, "server_url", c->server_url);
    put_addrport(out, "listen_addr", c->listen);
    put_addrport(out, "metrics_listen_addr", c->metrics_listen);
    put_addrport(out, "grpc_listen_addr", c->grpc_listen);
    put_bool(out, "grpc_allow_insecure", c->grpc_allow_insecure);
    put_text(out, "unix_socket", c->unix_socket);
    buf_printf(out, "unix_socket_permission: %04o\n", c->unix_socket_mode);
    put_text(out, "noise.private_key_path", c->noise_key_path);
    put_text(out, "tls_cert_path", c->tls_cert_path);
    put_text(out, "tls_key_path", c->tls_key_path);
    put_text(out, "tls_letsencrypt_hostname", c->acme.host);
    put_text(out, "tls_letsencrypt_cache_dir", c->acme.dir);
    put_text(out, "tls_letsencrypt_challenge_type",
             c->acme.tls_alpn_01 ? STR("TLS-ALPN-01") : STR("HTTP-01"));
    put_addrport(out, "tls_letsencrypt_listen", c->acme.listen);
    put_text(out, "acme_url", c->acme.url);
    put_text(out, "acme_ca_file", c->acme.ca_file);
    put_text(out, "acme_email", c->acme.email);
    for (size_t i = 0; i < c->n_trusted_proxies; i++)
        put_prefix(out, "trusted_proxies", c->trusted_proxies[i]);
    put_bool(out, "proxy_protocol", c->proxy_protocol);
    put_bool(out, "webhooks.allow_local", c->webhooks_allow_local);
    for (size_t i = 0; i < c->api_origins.len; i++)
        put_text(out, "api.allowed_origins", c->api_origins.items[i]);
    put_text(out, "database.sqlite.path", c->sqlite_path);
    put_bool(out, "database.sqlite.write_ahead_log", c->sqlite_wal);
    put_number(out, "database.sqlite.wal_autocheckpoint", c->sqlite_wal_autocheckpoint);
    put_text(out, "run_as", c->run_as);
    put_bool(out, "sandbox", c->sandbox);
    put_bool(out, "database.debug", c->database_debug);
    put_number(out, "database.gorm.slow_threshold", c->database_slow_ms);
    put_text(out, "database.type", c->postgres.is_used ? STR("postgres") : STR("sqlite"));
    put_text(out, "database.postgres.host", c->postgres.host);
    put_number(out, "database.postgres.port", c->postgres.port);
    put_text(out, "database.postgres.name", c->postgres.name);
    put_text(out, "database.postgres.user", c->postgres.user);
    put_text(out, "database.postgres.pass", c->postgres.pass.len > 0 ? STR("(set)") : STR_NONE);
    put_text(out, "database.postgres.ssl", c->postgres.sslmode);
    put_number(out, "log.level", c->log_level);
    put_text(out, "log.format", c->log_format == LOG_JSON ? STR("json") : STR("text"));
    put_text(out, "cli.address", c->cli.address);
    put_text(out, "cli.api_key", c->cli.api_key.len > 0 ? STR("(set)") : STR_NONE);
    put_ms(out, "cli.timeout", c->cli.timeout_ms);
    put_bool(out, "cli.insecure", c->cli.insecure);
}

static void put_derp_node(struct buf *out, const struct derp_node *n)
{
    buf_printf(out, "  %.*s %.*s cert %.*s v4 %.*s v6 %.*s stun %d%s derp %d%s%s\n",
               STR_ARG(n->name), STR_ARG(n->host_name), STR_ARG(n->cert_name), STR_ARG(n->ipv4),
               STR_ARG(n->ipv6), n->stun_port, n->stun_only ? " only" : "", n->derp_port,
               n->can_port80 ? " port80" : "", n->insecure_for_tests ? " insecure" : "");
}

static void put_limits(struct buf *out, const struct config_limits *m)
{
    put_number(out, "derp.server.client_bytes_per_second", (int64_t)m->client_bytes_per_second);
    put_number(out, "derp.server.client_burst_bytes", (int64_t)m->client_burst_bytes);
    put_number(out, "derp.server.total_bytes_per_second", (int64_t)m->total_bytes_per_second);
    put_number(out, "derp.server.total_burst_bytes", (int64_t)m->total_burst_bytes);
    put_number(out, "derp.server.max_connections", (int64_t)m->max_connections);
    put_number(out, "derp.server.max_connections_per_address",
               (int64_t)m->max_connections_per_address);
    put_number(out, "derp.server.max_handshakes", (int64_t)m->max_handshakes);
    put_number(out, "derp.server.accepts_per_second", m->accepts_per_second);
    put_number(out, "derp.server.accept_burst", m->accept_burst);
}

static void put_derp(struct buf *out, const struct config_derp *d)
{
    put_bool(out, "derp.server.enabled", d->enabled);
    put_bool(out, "derp.server.automatically_add_embedded_derp_region", d->add_region);
    put_bool(out, "derp.server.verify_clients", d->verify_clients);
    put_number(out, "derp.server.region_id", d->region_id);
    put_text(out, "derp.server.region_code", d->region_code);
    put_text(out, "derp.server.region_name", d->region_name);
    put_addrport(out, "derp.server.stun_listen_addr", d->stun_listen);
    put_text(out, "derp.server.private_key_path", d->private_key_path);
    put_text(out, "derp certificate", d->cert_path);
    put_text(out, "derp certificate's key", d->key_path);
    put_text(out, "derp.server.ipv4", d->ipv4);
    put_text(out, "derp.server.ipv6", d->ipv6);
    put_limits(out, &d->limits);
    for (size_t i = 0; i < d->n_urls; i++)
        put_text(out, "derp.urls", d->urls[i]);
    put_bool(out, "derp.auto_update_enabled", d->auto_update);
    put_ms(out, "derp.update_frequency", d->update_ms);
    for (size_t i = 0; i < d->n_regions; i++) {
        const struct derp_region *r = &d->regions[i];

        buf_printf(out, "derp region %u: %.*s, %.*s%s%s\n", r->id, STR_ARG(r->code),
                   STR_ARG(r->name), r->avoid ? ", avoid" : "",
                   r->no_measure_no_home ? ", no home" : "");
        for (size_t k = 0; k < r->n_nodes; k++)
            put_derp_node(out, &r->nodes[k]);
    }
}

static void put_dns(struct buf *out, const struct config_dns *dns)
{
    put_bool(out, "dns.magic_dns", dns->magic_dns);
    put_text(out, "dns.base_domain", dns->base_domain);
    put_bool(out, "dns.override_local_dns", dns->override_local_dns);
    buf_put(out, STR("dns.nameservers.global:"));
    put_resolvers(out, dns->resolvers, dns->n_resolvers);
    for (size_t i = 0; i < dns->n_splits; i++) {
        buf_printf(out, "dns.nameservers.split %.*s:", STR_ARG(dns->splits[i].suffix));
        put_resolvers(out, dns->splits[i].resolvers, dns->splits[i].n_resolvers);
    }
    for (size_t i = 0; i < dns->n_search_domains; i++)
        put_text(out, "dns.search_domains", dns->search_domains[i]);
    put_text(out, "dns.extra_records_path", dns->records_path);
    for (size_t i = 0; i < dns->n_records; i++)
        buf_printf(out, "dns.extra_records: %.*s %.*s %.*s\n", STR_ARG(dns->records[i].name),
                   STR_ARG(dns->records[i].type), STR_ARG(dns->records[i].value));
}

static void put_list(struct buf *out, const char *key, const struct str *items, size_t n)
{
    buf_printf(out, "%s:", key);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, " %.*s", STR_ARG(items[i]));
    buf_put_char(out, '\n');
}

static void put_provider(struct buf *out, const struct oidc_provider *p)
{
    static const char *const pkce[] = {
        [OIDC_PKCE_NONE] = "off", [OIDC_PKCE_S256] = "S256", [OIDC_PKCE_PLAIN] = "plain"};

    put_text(out, "oidc provider", p->name);
    put_text(out, "oidc.tailnet", p->tailnet);
    put_text(out, "oidc.issuer", p->issuer);
    put_text(out, "oidc.client_id", p->client_id);
    put_text(out, "oidc.client_secret", p->client_secret.len > 0 ? STR("(set)") : STR_NONE);
    put_list(out, "oidc.scope", p->scopes, p->n_scopes);
    for (size_t i = 0; i < p->n_extra; i++)
        buf_printf(out, "oidc.extra_params: %.*s %.*s\n", STR_ARG(p->extra[i].name),
                   STR_ARG(p->extra[i].value));
    put_list(out, "oidc.allowed_domains", p->rules.domains, p->rules.n_domains);
    put_list(out, "oidc.allowed_users", p->rules.users, p->rules.n_users);
    put_list(out, "oidc.allowed_groups", p->rules.groups, p->rules.n_groups);
    put_list(out, "oidc.admin_users", p->admins.users, p->admins.n_users);
    put_list(out, "oidc.admin_groups", p->admins.groups, p->admins.n_groups);
    put_list(out, "oidc.admin_subjects", p->admins.subjects, p->admins.n_subjects);
    put_bool(out, "oidc.email_verified_required", p->rules.email_verified_required);
    put_bool(out, "oidc.use_expiry_from_token", p->use_expiry_from_token);
    put_text(out, "oidc.pkce", str_from(pkce[p->pkce]));
}

void config_put(struct buf *out, const struct config *c)
{
    put_server(out, c);
    put_prefix(out, "prefixes.v4", c->prefix_v4);
    put_prefix(out, "prefixes.v6", c->prefix_v6);
    put_text(out, "prefixes.allocation",
             c->allocation == ADDRESS_RANDOM ? STR("random") : STR("sequential"));
    put_ms(out, "node.expiry", c->node_expiry_ms);
    put_ms(out, "node.ephemeral.inactivity_timeout", c->ephemeral_timeout_ms);
    put_ms(out, "node.routes.ha.probe_interval", c->ha_interval_ms);
    put_ms(out, "node.routes.ha.probe_timeout", c->ha_timeout_ms);
    put_ms(out, "tuning.register_cache_expiration", c->pending.ms);
    put_number(out, "tuning.register_cache_max_entries", (int64_t)c->pending.max);
    put_number(out, "tailnets.max_nodes", c->new_quotas.max[QUOTA_NODES]);
    put_number(out, "tailnets.max_users", c->new_quotas.max[QUOTA_USERS]);
    put_number(out, "tailnets.max_keys", c->new_quotas.max[QUOTA_KEYS]);
    put_ms(out, "preauth_keys.revoked_retention", c->revoked_retention_ms);
    put_bool(out, "taildrop.enabled", c->taildrop);
    put_bool(out, "logtail.enabled", c->logtail);
    put_bool(out, "auto_update.enabled", c->auto_update);
    put_bool(out, "randomize_client_port", c->randomize_client_port);
    put_text(out, "policy.mode", c->policy_in_database ? STR("database") : STR("file"));
    put_text(out, "policy.path", c->policy_path);
    put_derp(out, &c->derp);
    put_dns(out, &c->dns);
    for (size_t i = 0; i < c->oidc.n_providers; i++)
        put_provider(out, &c->oidc.providers[i]);
    if (c->oidc.n_providers > 0)
        put_bool(out, "oidc.only_start_if_oidc_is_available", c->oidc.only_start_if_available);
}

/*
 * The sections about TLS and what stands in front of the server: certificates given or ordered
 * (ACME), proxies that are believed. headscale.md 1.2, 9.2, 9.5.
 */

#include "config/config_internal.h"

#define PROXIES_MAX 256
#define HTTP_PORT 80

static void read_challenge(struct loader *l)
{
    struct config_acme *acme = &l->c->acme;
    struct str text;

    acme->tls_alpn_01 = false;
    if (!value_text(l, KEY_ACME_CHALLENGE, &text))
        return;
    acme->tls_alpn_01 = str_eq_nocase(text, STR("TLS-ALPN-01"));
    if (!acme->tls_alpn_01 && !str_eq_nocase(text, STR("HTTP-01")))
        error_at(l, l->values[KEY_ACME_CHALLENGE],
                 "tls_letsencrypt_challenge_type is \"%.*s\": write HTTP-01 or TLS-ALPN-01",
                 STR_ARG(shown(l, text)));
    if (acme->tls_alpn_01 && l->c->listen.port != 443 && l->values[KEY_ACME_HOST])
        notice_at(
            l, l->values[KEY_ACME_CHALLENGE],
            "TLS-ALPN-01 is asked for on port 443, and listen_addr has another: what comes to "
            "443 must be sent on to it, or write HTTP-01");
}

static void read_url(struct loader *l, enum config_key key, struct str *out)
{
    struct str text;

    if (!value_text(l, key, &text))
        return;
    if ((str_starts(text, STR("https://")) && text.len > 8) ||
        (str_starts(text, STR("http://")) && text.len > 7))
        *out = text;
    else
        error_at(l, l->values[key], "%.*s is \"%.*s\": write a URL that begins with https://",
                 STR_ARG(key_path(key)), STR_ARG(shown(l, text)));
}

/* What is ordered should be what clients ask for. */
static void check_acme_host(struct loader *l)
{
    const struct yaml_node *at = l->values[KEY_ACME_HOST];
    struct config *c = l->c;
    struct ip_addr literal;

    if (!domain_is_valid(c->acme.host) || ip_addr_parse(c->acme.host, &literal)) {
        error_at(l, at, "tls_letsencrypt_hostname is \"%.*s\": write a name like vpn.example.com",
                 STR_ARG(shown(l, c->acme.host)));
        return;
    }
    if (c->tls_cert_path.len > 0 || c->tls_key_path.len > 0)
        error_at(l, at, "tls_letsencrypt_hostname and tls_cert_path exclude each other: keep one");
    if (!c->server_is_tls)
        notice_at(l, at, "server_url begins with http://: clients will not use the certificate");
    else if (!str_eq_nocase(c->server_host, c->acme.host))
        notice_at(l, at,
                  "the certificate will be for another name than the one in server_url, \"%.*s\": "
                  "clients that go there will refuse it",
                  STR_ARG(shown(l, c->server_host)));
}

void section_acme(struct loader *l)
{
    struct config_acme *acme = &l->c->acme;

    acme->dir = path_absolute(l->arena, l->c->data_dir, STR("acme"));
    acme->listen = (struct ip_addrport){.addr = {.family = IP_V6}, .port = HTTP_PORT};
    value_path(l, KEY_ACME_CACHE, &acme->dir);
    value_listen(l, KEY_ACME_LISTEN, &acme->listen);
    read_url(l, KEY_ACME_URL, &acme->url);
    (void)!value_text(l, KEY_ACME_EMAIL, &acme->email);
    value_path(l, KEY_ACME_CA_FILE, &acme->ca_file);
    read_challenge(l);
    if (!value_text(l, KEY_ACME_HOST, &acme->host))
        return;
    acme->host = domain_clean(l->arena, acme->host);
    check_acme_host(l);
}

void section_tls(struct loader *l)
{
    struct config *c = l->c;
    bool cert = value_path(l, KEY_TLS_CERT, &c->tls_cert_path);
    bool key = value_path(l, KEY_TLS_KEY, &c->tls_key_path);

    if (cert != key)
        error_at(l, l->values[cert ? KEY_TLS_CERT : KEY_TLS_KEY],
                 "tls_cert_path and tls_key_path go together: set both or none");
}

/* ---- proxies ---- */

static void read_proxy(struct loader *l, const struct yaml_node *item, size_t i)
{
    struct config *c = l->c;
    struct ip_prefix p;
    struct str text;

    if (yaml_is_null(item) || !node_text(l, item, key_path(KEY_TRUSTED_PROXIES), &text))
        return;
    if (!ip_prefix_parse_or_addr(text, &p)) {
        error_at(l, item,
                 "trusted_proxies[%zu] \"%.*s\" is neither an address nor a prefix: write one like "
                 "10.0.0.5 or 10.0.0.0/24",
                 i, STR_ARG(shown(l, text)));
        return;
    }
    if (p.bits == 0) {
        error_at(l, item,
                 "trusted_proxies[%zu] \"%.*s\": 0.0.0.0/0 and ::/0 are not allowed, anybody could "
                 "claim to be anybody: write the proxy's own address",
                 i, STR_ARG(shown(l, text)));
        return;
    }
    if (c->n_trusted_proxies == PROXIES_MAX) {
        error_at(l, item, "trusted_proxies has more than %d entries", PROXIES_MAX);
        return;
    }
    c->trusted_proxies[c->n_trusted_proxies++] = ip_prefix_masked(p);
}

void section_proxies(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_TRUSTED_PROXIES);
    struct config *c = l->c;
    size_t i = 0;

    if (list) {
        c->trusted_proxies =
            arena_alloc(l->arena, MIN(list->len, (size_t)PROXIES_MAX) * sizeof(struct ip_prefix));
        YAML_EACH(item, list)
        {
            read_proxy(l, item, i++);
        }
    }
    value_bool(l, KEY_PROXY_PROTOCOL, &c->proxy_protocol);
    if (c->proxy_protocol && !list)
        error_at(l, l->values[KEY_PROXY_PROTOCOL],
                 "proxy_protocol without trusted_proxies: name there who may say whom it brings");
}

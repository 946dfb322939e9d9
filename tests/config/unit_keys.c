/* Keys by section, beyond what unit_load has: each case a text, a remark, a line of the result. */

#include "../unit.h"

#include "config/options.h"

#define VARIABLES_MAX 4

/* `remark` begins one of the remarks ("": there is none); `line` is one of config_put's (NULL: the
 * text is refused). */
struct key_case {
    const char *name;
    struct str text;
    const char *environ[VARIABLES_MAX];
    const char *remark;
    const char *line;
};

#define HTTPS "server_url: https://vpn.example.com\n"
#define ACME HTTPS "tls_letsencrypt_hostname: vpn.example.com\n"

static const struct key_case tls_cases[] = {
    /* clang-format off */
    {"certificates by ACME", STR_INIT(ACME), {0}, "", "tls_letsencrypt_challenge_type: HTTP-01"},
    {"their folder", STR_INIT(ACME), {0}, "", "tls_letsencrypt_cache_dir: /d/acme"},
    {"a folder beside the file", STR_INIT(ACME "tls_letsencrypt_cache_dir: c\n"), {0}, "",
     "tls_letsencrypt_cache_dir: /conf/c"},
    {"their port", STR_INIT(ACME), {0}, "", "tls_letsencrypt_listen: [::]:80"},
    {"a service's name for it", STR_INIT(ACME "tls_letsencrypt_listen: ':http'\n"), {0}, "",
     "tls_letsencrypt_listen: [::]:80"},
    {"the other challenge", STR_INIT(ACME "listen_addr: :443\ntls_letsencrypt_challenge_type: TLS-ALPN-01\n"),
     {0}, "", "tls_letsencrypt_challenge_type: TLS-ALPN-01"},
    {"the other challenge on another port",
     STR_INIT(ACME "tls_letsencrypt_challenge_type: TLS-ALPN-01\n"), {0},
     "notice f:3:33: TLS-ALPN-01 is asked for on port 443", "listen_addr: [::]:8080"},
    {"no such challenge", STR_INIT("tls_letsencrypt_challenge_type: DNS-01\n"), {0},
     "error f:1:33: tls_letsencrypt_challenge_type is \"DNS-01\": write HTTP-01 or TLS-ALPN-01", NULL},
    {"ACME and files", STR_INIT(ACME "tls_cert_path: /c\ntls_key_path: /k\n"), {0},
     "error f:2:27: tls_letsencrypt_hostname and tls_cert_path exclude each other", NULL},
    {"a certificate for an address", STR_INIT("tls_letsencrypt_hostname: 192.0.2.1\n"), {0},
     "error f:1:27: tls_letsencrypt_hostname is \"192.0.2.1\": write a name", NULL},
    {"a certificate that nobody asks for",
     STR_INIT("server_url: http://vpn.example.com\ntls_letsencrypt_hostname: vpn.example.com\n"), {0},
     "notice f:2:27: server_url begins with http://", "tls_letsencrypt_hostname: vpn.example.com"},
    {"a certificate for somebody else", STR_INIT(HTTPS "tls_letsencrypt_hostname: b.example\n"), {0},
     "notice f:2:27: the certificate will be for another name", "tls_letsencrypt_hostname: b.example"},
    {"an authority", STR_INIT("acme_url: https://ca.example/dir\n"), {0}, "",
     "acme_url: https://ca.example/dir"},
    {"an authority without https", STR_INIT("acme_url: ca.example\n"), {0},
     "error f:1:11: acme_url is \"ca.example\": write a URL", NULL},

    {"proxies", STR_INIT("trusted_proxies: [10.0.0.5, 'fd00::1/64']\n"), {0}, "",
     "trusted_proxies: fd00::/64"},
    {"a proxy alone", STR_INIT("trusted_proxies: 10.0.0.5\n"), {0}, "", "trusted_proxies: 10.0.0.5/32"},
    {"proxies of a variable", STR_INIT(""), {"HEADSCALE_TRUSTED_PROXIES=10.0.0.0/8 10.9.0.1"}, "",
     "trusted_proxies: 10.9.0.1/32"},
    {"everybody a proxy", STR_INIT("trusted_proxies: [10.0.0.5, 0.0.0.0/0]\n"), {0},
     "error f:1:29: trusted_proxies[1] \"0.0.0.0/0\": 0.0.0.0/0 and ::/0 are not allowed", NULL},
    {"a proxy's name", STR_INIT("trusted_proxies:\n  - proxy.example\n"), {0},
     "error f:2:5: trusted_proxies[0] \"proxy.example\" is neither", NULL},
    {"PROXY headers", STR_INIT("trusted_proxies: [10.0.0.5]\nproxy_protocol: true\n"), {0}, "",
     "proxy_protocol: true"},
    {"PROXY headers of nobody", STR_INIT("proxy_protocol: true\n"), {0},
     "error f:1:17: proxy_protocol without trusted_proxies", NULL},
    {"no PROXY headers", STR_INIT(""), {0}, "", "proxy_protocol: false"},
    /* clang-format on */
};

static bool starts_a_remark(const struct config_remarks *r, const char *want)
{
    bool found = want[0] == '\0' && r->len == 0;

    for (size_t i = 0; i < r->len; i++) {
        struct buf line = BUF(0);

        buf_put(&line, r->items[i].is_error ? STR("error ") : STR("notice "));
        config_remark_put(&line, &r->items[i]);
        found |= want[0] != '\0' && str_starts(buf_str(&line), str_from(want));
        if (!found)
            print_message("  %.*s\n", STR_ARG(buf_str(&line)));
        buf_fini(&line);
    }
    return found;
}

static bool has_line(const struct config *c, const char *want)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(0);
    struct str rest, line;

    config_put(&text, c);
    rest = buf_str(&text);
    while (str_next(&rest, '\n', &line))
        if (str_eq(line, str_from(want)))
            return true;
    print_message("%.*s", STR_ARG(buf_str(&text)));
    return false;
}

static void check(const struct key_case *k)
{
    struct config_request req = {.data_dir = STR("/d"), .environ = k->environ};
    struct config_remarks remarks = {0};
    AUTO(config_free) struct config *c = NULL;
    struct err err = {0};
    int status;

    print_message("%s\n", k->name);
    /* The file's name as it was given is what remarks show; paths start at its folder. */
    status = config_load_text(&req, STR("/conf/f"), k->text, &c, &remarks, &err);
    for (size_t i = 0; i < remarks.len; i++)
        if (str_eq(remarks.items[i].file, STR("/conf/f"))) {
            str_free(&remarks.items[i].file);
            remarks.items[i].file = str_copy(STR("f"));
        }
    assert_true(starts_a_remark(&remarks, k->remark));
    assert_int_equal(status, k->line ? 0 : -(int)ERR_INVALID);
    assert_true(!k->line || has_line(c, k->line));
    config_remarks_fini(&remarks);
}

static void reads_tls_and_proxies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tls_cases); i++)
        check(&tls_cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_tls_and_proxies)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Keys by section, beyond what unit_load has: each case a text, a remark, a line of the result. */

#include "../unit.h"

#include "config/config_internal.h"
#include "config/example_path.h" /* made by meson.build beside this file */
#include "core/file.h"

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
    {"files make the URL https", STR_INIT("listen_addr: 192.0.2.7:443\ntls_cert_path: /c\ntls_key_path: /k\n"), {0}, "",
     "server_url: https://192.0.2.7:443"},
    {"a certificate makes the URL", STR_INIT("tls_letsencrypt_hostname: vpn.example.com\nlisten_addr: :443\n"), {0},
     "", "server_url: https://vpn.example.com"},
    {"a certificate makes the URL, with its port", STR_INIT("tls_letsencrypt_hostname: vpn.example.com\n"), {0}, "",
     "server_url: https://vpn.example.com:8080"},
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
    {"pages that may call", STR_INIT("api:\n  allowed_origins: [https://ui.example, 'http://x:8080']\n"),
     {0}, "", "api.allowed_origins: http://x:8080"},
    {"any page", STR_INIT("api:\n  allowed_origins: ['*']\n"), {0}, "", "api.allowed_origins: *"},
    {"an origin with a path", STR_INIT("api:\n  allowed_origins: [https://ui.example/web]\n"), {0},
     "error f:2:21: api.allowed_origins: \"https://ui.example/web\" is no origin", NULL},
    {"an origin without scheme", STR_INIT("api:\n  allowed_origins:\n    - ui.example\n"), {0},
     "error f:3:7: api.allowed_origins: \"ui.example\" is no origin", NULL},
    {"no PROXY headers", STR_INIT(""), {0}, "", "proxy_protocol: false"},
    /* clang-format on */
};

static const struct key_case later_cases[] = {
    /* clang-format off */
    {"records in a file", STR_INIT("dns: {extra_records_path: r.json}\n"), {0}, "",
     "dns.extra_records_path: /conf/r.json"},
    {"relay maps from elsewhere", STR_INIT("derp: {urls: ['https://x/y']}\n"), {0}, "", "derp.urls: https://x/y"},
    {"a relay map from nowhere", STR_INIT("derp: {urls: [x]}\n"), {0},
     "notice f:1:15: \"x\" is no http:// or https:// URL", "derp.update_frequency: 10800000ms"},
    {"how often", STR_INIT("derp: {auto_update_enabled: true, update_frequency: 1h}\n"), {0}, "",
     "derp.update_frequency: 3600000ms"},
    {"a variable with a duration", STR_INIT(""), {"HEADSCALE_DERP_UPDATE_FREQUENCY=2h45m"}, "",
     "derp.update_frequency: 9900000ms"},
    {"never", STR_INIT("derp: {update_frequency: 0}\n"), {0}, "", "derp.update_frequency: 0ms"},
    {"all the time", STR_INIT("derp: {update_frequency: 10ms}\n"), {0},
     "error f:1:26: derp.update_frequency is below", NULL},
    {"only relays from elsewhere",
     STR_INIT("derp: {urls: ['https://x/y'], server: {automatically_add_embedded_derp_region: false}}\n"), {0}, "",
     "derp.server.automatically_add_embedded_derp_region: false"},
    {"JSON", STR_INIT("{\n\t\"server_url\": \"http://b:1\",\n\t\"derp\": {\"server\": {\"region_id\": 7}}\n}\n"), {0}, "",
     "derp.server.region_id: 7"},
    {"probes too often", STR_INIT("node: {routes: {ha: {probe_interval: 1s, probe_timeout: 500ms}}}\n"), {0},
     "error f:1:38: node.routes.ha.probe_interval is below 2s", NULL},
    {"probes that wait too long", STR_INIT("node: {routes: {ha: {probe_interval: 3s}}}\n"), {0},
     "error f:1:38: node.routes.ha.probe_timeout must be below", NULL},
    {"headscale's tuning", STR_INIT("tuning: {batcher_workers: 4}\ndisable_check_updates: true\n"), {0}, "", "log.level: 2"},
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

static void reads_what_changes_later(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(later_cases); i++)
        check(&later_cases[i]);
}

static void parses_records(void **state)
{
    struct config_records r = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(
        config_records_parse(STR("r"),
                             STR("[{\"name\":\"A.b\",\"type\":\"A\",\"value\":\"100.64.0.3\"},\n"
                                 "{\"name\":\"c\",\"value\":\"::1\"}]"),
                             &r, &err),
        0);
    assert_int_equal(r.len, 2);
    assert_true(str_eq(r.items[0].name, STR("a.b")) && str_eq(r.items[1].type, STR("AAAA")));
    config_records_fini(&r);
    assert_int_equal(config_records_parse(STR("r"), STR("[]"), &r, &err), 0);
    assert_int_equal(r.len, 0);
    config_records_fini(&r);
    /* What is just being written may be empty for a moment. */
    assert_int_equal(config_records_parse(STR("r"), STR(" \n"), &r, &err), -(int)ERR_INVALID);
    assert_int_equal(config_records_parse(STR("r"), STR("[{\"name\":\"a\""), &r, &err),
                     -(int)ERR_INVALID);
    assert_int_equal(config_records_parse(STR("r"), STR("{\"name\":\"a\"}"), &r, &err),
                     -(int)ERR_INVALID);
    assert_int_equal(
        config_records_parse(STR("r"), STR("[{\"name\":\"a\",\"value\":\"b\"}]"), &r, &err),
        -(int)ERR_INVALID);
    assert_true(str_starts(str_from(err.text), STR("r:1:")));
}

static void parses_relay_maps(void **state)
{
    static const struct str map =
        STR_INIT("{\"Regions\":{\"2\":{\"RegionID\":2,\"RegionCode\":\"b\",\"RegionName\":\"B\","
                 "\"Latitude\":1.5,"
                 "\"Nodes\":[{\"Name\":\"2a\",\"RegionID\":2,\"HostName\":\"d.example\","
                 "\"CanPort80\":true}]},"
                 "\"1\":{\"RegionID\":1,\"Nodes\":[{\"HostName\":\"e.example\"}]}}}");
    struct config_request req = {.data_dir = STR("/d")};
    struct config_remarks remarks = {0};
    AUTO(config_free) struct config *c = NULL;
    struct config_regions r = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(config_regions_parse(STR("u"), map, &r, &err), 0);
    assert_int_equal(r.len, 2);
    assert_int_equal(r.items[0].id, 1);
    assert_true(r.items[1].nodes[0].can_port80);
    assert_int_equal(config_load_text(&req, STR("/conf/f"), STR(""), &c, &remarks, &err), 0);
    struct tailnet_info *info = config_tailnet_info(c, STR("x"));

    config_add_regions(info, &r);
    config_add_regions(info, &r); /* what is there stays */
    assert_int_equal(info->n_regions, 2);
    tailnet_info_unref(info);
    config_regions_fini(&r);
    config_remarks_fini(&remarks);
    assert_int_equal(config_regions_parse(STR("u"), STR("<html>"), &r, &err), -(int)ERR_INVALID);
}

/* ---- The long example ---- */

/* Settings that are off, switched on: "  #key: value", the bare '#' taken away. */
static void put_switched_on(struct buf *out, struct str text)
{
    struct str line;

    while (str_next(&text, '\n', &line)) {
        size_t at = 0;

        while (at < line.len && line.ptr[at] == ' ')
            at++;
        bool is_off = at + 1 < line.len && line.ptr[at] == '#' && line.ptr[at + 1] != ' ';

        buf_put(out, str_sub(line, 0, at));
        buf_put(out, str_from_index(line, at + (is_off ? 1 : 0)));
        buf_put_char(out, '\n');
    }
}

/* Whether the text has the key at that path; one "key:" a line, indented by two. */
static bool names_key(struct str text, struct str path)
{
    struct str parts[8], rest = path, part, line;
    size_t n = 0, have = 0;

    while (str_next(&rest, '.', &part))
        parts[n++] = part;
    while (str_next(&text, '\n', &line)) {
        size_t at = 0;

        while (at < line.len && line.ptr[at] == ' ')
            at++;
        if (at == line.len || line.ptr[at] == '#')
            continue;
        have = MIN(have, at / 2);
        struct str key = str_from_index(line, at), value;

        (void)str_split(key, ':', &key, &value);
        if (at / 2 == have && str_eq(key, parts[have]) && ++have == n)
            return true;
    }
    return false;
}

static void the_long_example_is_whole(void **state)
{
    static const struct {
        struct str path;
        const char *fate;
    } keys[] = {
#define X(name, path, fate) {STR_INIT(path), #fate},
        CONFIG_KEYS(X)
#undef X
    };
    AUTO_FINI(buf_fini) struct buf text = BUF(CONFIG_FILE_MAX), on = BUF(CONFIG_FILE_MAX);
    struct config_request req = {.data_dir = STR("/d")};
    struct config_remarks remarks = {0};
    struct config *c = NULL, *none = NULL;
    struct buf one = BUF(0), other = BUF(0);
    struct err err = {0};
    bool found = false, is_old = false;

    (void)state;
    assert_int_equal(file_read(STR(FULL_CONFIG), &text, &found, &err), 0);
    assert_true(found);
    /* As it is: no remark at all, and nothing but what holds without it. */
    assert_int_equal(config_load_text(&req, STR("/conf/f"), buf_str(&text), &c, &remarks, &err), 0);
    assert_true(starts_a_remark(&remarks, ""));
    assert_int_equal(config_load_text(&req, STR("/conf/f"), STR(""), &none, &remarks, &err), 0);
    config_put(&one, c);
    config_put(&other, none);
    for (struct str a = buf_str(&one), b = buf_str(&other), la, lb;
         str_next(&a, '\n', &la) && str_next(&b, '\n', &lb);)
        if (!str_eq(la, lb))
            fail_msg("the example says \"%.*s\", without it: \"%.*s\"", STR_ARG(la), STR_ARG(lb));
    config_free(c);
    config_free(none);
    buf_fini(&one);
    buf_fini(&other);
    /* With all that is off in it: every key is there, and none that is not. */
    put_switched_on(&on, buf_str(&text));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        is_old |=
            str_eq(keys[i].path, STR("acl_policy_path")); /* from there on: of older releases */
        if (!is_old && !names_key(buf_str(&on), keys[i].path))
            fail_msg("the example does not name %.*s", STR_ARG(keys[i].path));
        if (is_old && names_key(buf_str(&on), keys[i].path))
            fail_msg("the example names the old %.*s", STR_ARG(keys[i].path));
    }
    c = NULL;
    (void)!config_load_text(&req, STR("/conf/f"), buf_str(&on), &c, &remarks, &err);
    for (size_t i = 0; i < remarks.len; i++)
        assert_true(str_find(remarks.items[i].text, STR("is no key")) < 0);
    config_free(c);
    config_remarks_fini(&remarks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tls_and_proxies),
        cmocka_unit_test(reads_what_changes_later),
        cmocka_unit_test(parses_records),
        cmocka_unit_test(parses_relay_maps),
        cmocka_unit_test(the_long_example_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

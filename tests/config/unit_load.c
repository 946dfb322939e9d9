#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"

#include "config/example_path.h" /* made by meson.build beside this file */
#include "config/options.h"

#define VARIABLES_MAX 6

static struct config_request request_with(const char *const *variables)
{
    return (struct config_request){.data_dir = STR("/d"), .environ = variables};
}

static bool has_line(struct str text, struct str line)
{
    struct str have;

    while (str_next(&text, '\n', &have))
        if (str_eq(have, line))
            return true;
    return false;
}

/* All remarks, one a line, errors marked. */
static struct str remarks_text(const struct config_remarks *r)
{
    struct buf out = BUF(0);

    for (size_t i = 0; i < r->len; i++) {
        buf_put(&out, r->items[i].is_error ? STR("error ") : STR("notice "));
        config_remark_put(&out, &r->items[i]);
        buf_put_char(&out, '\n');
    }
    return buf_take(&out);
}

/*
 * `remark` is the beginning of one of the remarks ("" : there is none at all); `line` is one of
 * config_put's (NULL: the text is refused).
 */
static const struct {
    const char *name;
    struct str text;
    const char *environ[VARIABLES_MAX];
    const char *remark;
    const char *line;
} cases[] = {
    /* clang-format off */
    {"an empty file", STR(""), {0}, "", "listen_addr: [::]:8080"},
    {"only comments", STR("# nothing\n"), {0}, "", "server_url: http://127.0.0.1:8080"},
    {"a byte order mark", STR("\xef\xbb\xbflog: {level: debug}\n"), {0}, "", "log.level: 1"},
    {"the relay is on by itself", STR("log:\n"), {0}, "", "derp.server.enabled: true"},
    {"defaults: prefixes", STR(""), {0}, "", "prefixes.v6: fd7a:115c:a1e0::/48"},
    {"defaults: database", STR(""), {0}, "", "database.sqlite.path: /d/db.sqlite"},
    {"defaults: socket", STR(""), {0}, "", "unix_socket: /d/hatsize.sock"},
    {"defaults: name", STR(""), {0}, "", "dns.base_domain: tailnet.internal"},
    {"defaults: no resolvers, no override", STR(""), {0}, "", "dns.override_local_dns: false"},
    {"null is unset", STR("listen_addr:\nserver_url: ~\n"), {0}, "", "listen_addr: [::]:8080"},

    {"URL", STR("server_url: https://vpn.example.com/\n"), {0}, "",
     "server_url: https://vpn.example.com"},
    {"URL with a path", STR("server_url: https://h/x\n"), {0}, "error f:1:13: server_url is", NULL},
    {"URL without scheme", STR("server_url: h.example\n"), {0}, "error f:1:13: server_url is", NULL},
    {"URL with IPv6", STR("server_url: http://[2001:db8::1]:99\n"), {0}, "",
     "server_url: http://[2001:db8::1]:99"},
    {"URL with a user", STR("server_url: http://a@b\n"), {0}, "error f:1:13", NULL},
    {"URL with port 0", STR("server_url: http://b:0\n"), {0}, "error f:1:13", NULL},
    {"keys in capitals", STR("Server_URL: http://b:1\n"), {0}, "", "server_url: http://b:1"},

    {"listen everywhere", STR("listen_addr: :99\n"), {0}, "", "listen_addr: [::]:99"},
    {"listen on a service name", STR("listen_addr: 127.0.0.1:http\n"), {0}, "",
     "listen_addr: 127.0.0.1:80"},
    {"listen address makes the URL", STR("listen_addr: 192.0.2.7:81\n"), {0}, "",
     "server_url: http://192.0.2.7:81"},
    {"listen address makes the URL, IPv6", STR("listen_addr: '[2001:db8::7]:81'\n"), {0}, "",
     "server_url: http://[2001:db8::7]:81"},
    {"listen without port", STR("listen_addr: 127.0.0.1\n"), {0}, "error f:1:14: \"listen_addr\" is",
     NULL},
    {"listen on a list", STR("listen_addr: [1]\n"), {0}, "error f:1:14: \"listen_addr\" wants one",
     NULL},
    {"metrics listener", STR("metrics_listen_addr: localhost:9090\n"), {0}, "",
     "metrics_listen_addr: 127.0.0.1:9090"},

    {"mode in quotes", STR("unix_socket_permission: \"0770\"\n"), {0}, "",
     "unix_socket_permission: 0770"},
    {"mode as the writer meant it", STR("unix_socket_permission: 0o750\n"), {0}, "",
     "unix_socket_permission: 0750"},
    {"mode as a bare octal", STR("unix_socket_permission: 0700\n"), {0}, "",
     "unix_socket_permission: 0700"},
    {"mode with an 8", STR("unix_socket_permission: 0780\n"), {0}, "error f:1:25", NULL},

    {"paths are the file's", STR("noise: {private_key_path: ./n.key}\n"), {0}, "",
     "noise.private_key_path: /conf/n.key"},
    {"the relay's limits", STR("derp: {server: {total_bytes_per_second: 5000000}}\n"), {0}, "",
     "derp.server.total_bytes_per_second: 5000000"},
    {"the port's limits", STR("derp:\n  server:\n    max_handshakes: 100\n    accepts_per_second: 9\n"),
     {0}, "", "derp.server.max_handshakes: 100"},
    {"defaults: the port's limits", STR(""), {0}, "", "derp.server.max_connections: 65536"},
    {"no room for anybody", STR("derp: {server: {max_connections: 0}}\n"), {0}, "error f:1:34", NULL},
    {"two keys, one file",
     STR("noise: {private_key_path: k}\nderp: {server: {private_key_path: k}}\n"), {0},
     "error f:2:35: derp.server.private_key_path and noise", NULL},
    {"the data directory's key", STR("data_dir: /elsewhere\n"), {0}, "", "data_dir: /d"},
    {"certificate without its key", STR("tls_cert_path: /c\n"), {0}, "error f:1:16: tls_cert_path and",
     NULL},

    {"one family only", STR("prefixes: {v4: 100.64.0.0/16}\n"), {0}, "", "prefixes.v6: "},
    {"a prefix elsewhere", STR("prefixes: {v4: 10.0.0.0/8}\n"), {0}, "notice f:1:16: prefixes.v4 lies",
     "prefixes.v4: 10.0.0.0/8"},
    {"host bits", STR("prefixes: {v4: 100.64.0.1/10}\n"), {0}, "notice f:1:16: prefixes.v4 has bits",
     "prefixes.v4: 100.64.0.0/10"},
    {"the wrong family", STR("prefixes: {v4: 'fd7a:115c:a1e0::/48'}\n"), {0}, "error f:1:16", NULL},
    {"allocation", STR("prefixes: {allocation: random}\n"), {0}, "", "prefixes.allocation: random"},
    {"bad allocation", STR("prefixes: {allocation: rnd}\n"), {0},
     "error f:1:24: invalid prefix allocation strategy", NULL},

    {"relay off", STR("derp: {server: {enabled: false}}\n"), {0}, "notice f:1:26: there is no relay",
     "derp.server.enabled: false"},
    {"relay not in the map, and no other",
     STR("derp: {server: {automatically_add_embedded_derp_region: false}}\n"), {0},
     "error f:1:57: without the embedded region", NULL},
    {"region 0", STR("derp: {server: {region_id: 0}}\n"), {0}, "error f:1:28", NULL},
    {"relay's IPv4 is an IPv6", STR("derp: {server: {ipv4: '::1'}}\n"), {0}, "error f:1:23", NULL},
    {"relay map missing", STR("derp: {paths: [/nowhere/x]}\n"), {0},
     "error f:1:16: the relay map \"/nowhere/x\" cannot be read", NULL},

    {"expiry", STR("node: {expiry: 180d}\n"), {0}, "", "node.expiry: 15552000000ms"},
    {"expiry never", STR("node: {expiry: 0}\n"), {0}, "", "node.expiry: 0ms"},
    {"expiry without unit", STR("node: {expiry: 180}\n"), {0}, "error f:1:16: \"node.expiry\" is", NULL},
    {"ephemeral", STR("node: {ephemeral: {inactivity_timeout: 66s}}\n"), {0}, "",
     "node.ephemeral.inactivity_timeout: 66000ms"},
    {"ephemeral too short", STR("node: {ephemeral: {inactivity_timeout: 65s}}\n"), {0},
     "error f:1:40: node.ephemeral.inactivity_timeout must be more than 65s", NULL},

    {"statements in the log", STR("database: {debug: true}\n"), {0}, "", "database.debug: true"},
    {"slow statements", STR("database: {gorm: {slow_threshold: 250}}\n"), {0}, "",
     "database.gorm.slow_threshold: 250"},
    {"a slow threshold of words", STR("database: {gorm: {slow_threshold: x}}\n"), {0},
     "error f:1:35", NULL},
    {"new tailnets have no quotas", STR(""), {0}, "", "tailnets.max_keys: 0"},
    {"quotas of new tailnets", STR("tailnets: {max_nodes: 50, max_users: 10}\n"), {0}, "",
     "tailnets.max_nodes: 50"},
    {"a quota in a variable", STR("tailnets: {max_users: 10}\n"), {"HATSIZE_TAILNETS_MAX_USERS=4294967295"}, "",
     "tailnets.max_users: 4294967295"},
    {"a quota below none", STR("tailnets: {max_keys: -1}\n"), {0},
     "error f:1:22: \"tailnets.max_keys\" is \"-1\": write a whole number from 0 to 4294967295", NULL},
    {"a quota too large to be counted", STR("tailnets: {max_nodes: 4294967296}\n"), {0}, "error f:1:23", NULL},
    {"a quota of words", STR("tailnets: {max_users: few}\n"), {0}, "error f:1:23: \"tailnets.max_users\" is", NULL},
    {"a bad quota in a variable", STR(""), {"HATSIZE_TAILNETS_MAX_KEYS=1.5"},
     "error environment: HATSIZE_TAILNETS_MAX_KEYS is \"1.5\"", NULL},
    {"a quota that is none", STR("tailnets: {max_machines: 5}\n"), {0}, "notice f:1:12: ", "tailnets.max_nodes: 0"},
    {"sqlite", STR("database: {type: sqlite3, sqlite: {path: x.db, write_ahead_log: false}}\n"), {0},
     "", "database.sqlite.path: /conf/x.db"},
    {"postgres without a name", STR("database:\n  type: postgres\n"), {0},
     "error f:2:9: database.postgres.name is missing", NULL},
    {"postgres", STR("database: {type: postgres, postgres: {name: h, host: db, port: 5433}}\n"), {0},
     "", "database.postgres.port: 5433"},
    {"postgres at a socket", STR("database: {type: postgres, postgres: {name: h, host: /s, port: 5}}\n"),
     {0}, "", "database.postgres.port: 0"},
    {"postgres' password is not shown", STR("database: {postgres: {pass: x}}\n"), {0}, "",
     "database.postgres.pass: (set)"},
    {"postgres ssl off", STR("database: {postgres: {ssl: false}}\n"), {0}, "",
     "database.postgres.ssl: disable"},
    {"postgres ssl mode", STR("database: {postgres: {ssl: verify-full}}\n"), {0}, "",
     "database.postgres.ssl: verify-full"},
    {"postgres ssl word", STR("database: {postgres: {ssl: maybe}}\n"), {0},
     "error f:1:28: database.postgres.ssl is \"maybe\"", NULL},
    {"wal_autocheckpoint", STR("database: {sqlite: {wal_autocheckpoint: 0}}\n"), {0}, "",
     "database.sqlite.wal_autocheckpoint: 0"},
    {"another database", STR("database: {type: mysql}\n"), {0}, "error f:1:18: invalid database type",
     NULL},

    {"log", STR("log: {level: warn, format: json}\n"), {0}, "", "log.format: json"},
    {"log level", STR("log: {level: loud}\n"), {0}, "error f:1:14: log.level is \"loud\"", NULL},
    {"the API key is not shown", STR("cli: {api_key: secret}\n"), {0}, "", "cli.api_key: (set)"},
    {"a flag that is none", STR("logtail: {enabled: perhaps}\n"), {0},
     "error f:1:20: \"logtail.enabled\" is \"perhaps\": write true or false", NULL},

    {"resolvers turn overriding on", STR("dns: {nameservers: {global: [9.9.9.9]}}\n"), {0}, "",
     "dns.override_local_dns: true"},
    {"resolvers", STR("dns: {nameservers: {global: [9.9.9.9, 'https://d/q', '1.1.1.1:54']}}\n"), {0}, "",
     "dns.nameservers.global: 9.9.9.9 https://d/q 1.1.1.1:54"},
    {"no resolver", STR("dns: {nameservers: {global: [dns.example]}}\n"), {0},
     "notice f:1:30: \"dns.example\" is no name server", "dns.nameservers.global:"},
    {"override with nothing", STR("dns: {override_local_dns: true}\n"), {0},
     "error f:1:27: dns.nameservers.global must be set", NULL},
    {"split", STR("dns:\n  nameservers:\n    split:\n      Corp.Example.: [10.0.0.1, 10.0.0.2]\n"), {0},
     "", "dns.nameservers.split corp.example: 10.0.0.1 10.0.0.2"},
    {"split of a list", STR("dns: {nameservers: {split: [a]}}\n"), {0}, "error f:1:28", NULL},
    {"search domains", STR("dns: {search_domains: [a.example]}\n"), {0}, "",
     "dns.search_domains: a.example"},
    {"record", STR("dns: {extra_records: [{name: A.b, type: A, value: 100.64.0.3}]}\n"), {0}, "",
     "dns.extra_records: a.b A 100.64.0.3"},
    {"record of the wrong type", STR("dns: {extra_records: [{name: a.b, type: AAAA, value: 1.2.3.4}]}\n"),
     {0}, "error f:1:23: the record's type", NULL},
    {"records twice",
     STR("dns: {extra_records: [{name: a.b, value: 1.2.3.4}], extra_records_path: /x}\n"), {0},
     "error f:1:73: dns.extra_records and", NULL},
    {"server inside the base domain",
     STR("server_url: http://vpn.a.example\ndns: {base_domain: A.example}\n"), {0},
     "error f:2:20: server_url must not be inside", NULL},
    {"server beside the base domain",
     STR("server_url: http://vpna.example\ndns: {base_domain: a.example}\n"), {0}, "",
     "dns.base_domain: a.example"},

    {"a slip", STR("sever_url: http://x\n"), {0},
     "notice f:1:1: \"sever_url\" is no key and was ignored; did you mean \"server_url\"?",
     "listen_addr: [::]:8080"},
    {"a slip in a section", STR("dns:\n  magic-dns: false\n"), {0},
     "notice f:2:3: \"dns.magic-dns\" is no key and was ignored; did you mean \"dns.magic_dns\"?",
     "dns.magic_dns: true"},
    {"a section's slip", STR("dsn: {magic_dns: false}\n"), {0}, "notice f:1:1: \"dsn\" is no key and was ignored; did you mean \"dns\"?",
     "dns.magic_dns: true"},
    {"a stranger", STR("xyzzy_plugh: 1\n"), {0}, "notice f:1:1: \"xyzzy_plugh\" is no key and was ignored",
     "listen_addr: [::]:8080"},
    {"a section that is a value", STR("dns: yes\n"), {0}, "error f:1:6: \"dns\" is a section", NULL},
    {"a list for a file", STR("- a\n"), {0}, "error f:1:1: a configuration is a list of", NULL},
    {"a key twice", STR("log: {level: warn}\nlog: {format: json}\n"), {0}, "error f:2:1: \"log\" is here twice",
     NULL},
    {"an alias", STR("a: &x 1\nb: *x\n"), {0}, "error f:2:4: aliases", NULL},
    {"not YAML", STR("log: {level: warn\n"), {0}, "error f:", NULL},
    {"a tab", STR("log:\n\tlevel: warn\n"), {0}, "error f:2:", NULL},
    {"not UTF-8", STR("log:\n  level: \xff\n"), {0}, "error f:2:10: this byte is not UTF-8", NULL},
    {"a NUL", STR("log: \0\n"), {0}, "error f:1:6: a control character", NULL},
    {"columns are characters", STR("{\xc3\xa4: 1, \xc3\xb6: 2}\n"), {0}, "notice f:1:8: ", "log.level: 2"},
    {"two documents", STR("log: {level: warn}\n---\nlog: {level: info}\n"), {0}, "error f:2:1", NULL},

    {"a policy file", STR("policy: {path: /p}\n"), {0}, "", "policy.path: /p"},
    {"a policy file beside", STR("policy: {mode: file, path: p/x.hujson}\n"), {0}, "", "policy.path: /conf/p/x.hujson"},
    {"no policy", STR("policy: {path: ''}\n"), {0}, "", "policy.mode: file"},
    {"no word of policies", STR("log: {level: info}\n"), {0}, "", "policy.mode: file"},
    {"a policy of the database", STR("policy: {mode: database}\n"), {0}, "", "policy.mode: database"},
    {"a policy of nowhere", STR("policy: {mode: git}\n"), {0},
     "error f:1:16: policy.mode is \"git\": write file or database", NULL},
    {"a policy file that is not read", STR("policy: {mode: database, path: /p}\n"), {0},
     "notice f:1:32: policy.path has no effect while policy.mode is database", "policy.mode: database"},
    {"a policy of the environment", STR(""), {"HEADSCALE_POLICY_MODE=database"}, "", "policy.mode: database"},
    {"old: policy", STR("acl_policy_path: /p\n"), {0},
     "notice f:1:1: \"acl_policy_path\" is now called \"policy.path\"",
     "policy.path: /p"},
    {"identity provider", STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s}\n"), {0}, "",
     "oidc.pkce: S256"},
    {"identity provider without a client", STR("oidc: {issuer: 'https://x', client_secret: s}\n"), {0},
     "error f:1:16: \"oidc\" has an issuer and no client_id", NULL},
    {"identity provider without a secret", STR("oidc: {issuer: 'https://x', client_id: c}\n"), {0},
     "error f:1:16: \"oidc\" has an issuer and no client_secret", NULL},
    {"identity provider with two secrets",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, client_secret_path: /p}\n"), {0},
     "error f:1:81: client_secret and client_secret_path exclude each other", NULL},
    {"identity provider whose secret is nowhere",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret_path: '${NO}/nonexistent/p'}\n"), {0},
     "error f:1:63: client_secret_path \"/nonexistent/p\" cannot be read", NULL},
    {"identity provider of no kind", STR("oidc: {issuer: 'ftp://x', client_id: c, client_secret: s}\n"), {0},
     "error f:1:16: \"oidc\" wants an \"issuer\" like https://", NULL},
    {"identity provider in the open", STR("oidc: {issuer: 'http://x', client_id: c, client_secret: s}\n"), {0},
     "notice f:1:16: the issuer is asked in the open", "oidc.issuer: http://x"},
    {"identity provider of this machine",
     STR("oidc: {issuer: 'http://127.0.0.1:9', client_id: c, client_secret: s}\n"), {0}, "",
     "oidc.issuer: http://127.0.0.1:9"},
    {"PKCE, plain", STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, pkce: {method: plain}}\n"),
     {0}, "", "oidc.pkce: plain"},
    {"PKCE of no kind",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, pkce: {method: S512}}\n"), {0},
     "error f:1:76: pkce.method is \"S512\": write S256 or plain", NULL},
    {"names of parameters are lower case",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, extra_params: {Domain_Hint: A}}\n"), {0},
     "", "oidc.extra_params: domain_hint A"},
    {"parameters of the log-in itself",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, extra_params: {State: A}}\n"), {0},
     "error f:1:83: \"state\" is set by the log-in itself", NULL},
    {"who may log in",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, allowed_groups: [/a, b]}\n"), {0}, "",
     "oidc.allowed_groups: /a b"},
    {"a provider that is one tailnet's",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s, tailnet: acme}\n"), {0}, "",
     "oidc.tailnet: acme"},
    {"a provider that is no tailnet's alone",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s}\n"), {0}, "", "oidc.tailnet: "},
    {"one of several providers that is one tailnet's",
     STR("oidc_providers:\n- {name: one, issuer: 'https://x', client_id: c, client_secret: s}\n"
         "- {name: two, issuer: 'https://y', client_id: d, client_secret: t, tailnet: labs}\n"),
     {0}, "", "oidc.tailnet: labs"},
    {"a provider's tailnet by the environment",
     STR("oidc: {issuer: 'https://x', client_id: c, client_secret: s}\n"), {"HATSIZE_OIDC_TAILNET=acme"}, "",
     "oidc.tailnet: acme"},
    {"several providers",
     STR("oidc_providers:\n- {name: one, issuer: 'https://x', client_id: c, client_secret: s}\n"
         "- {name: two, issuer: 'https://y', client_id: d, client_secret: t, pkce: {enabled: false}}\n"),
     {0}, "", "oidc.pkce: off"},
    {"a provider without a name",
     STR("oidc_providers:\n- {issuer: 'https://x', client_id: c, client_secret: s}\n"), {0},
     "error f:2:3: each of oidc_providers wants a \"name\"", NULL},
    {"a provider's unknown key",
     STR("oidc_providers:\n- {name: a, issuer: 'https://x', client_id: c, client_secret: s, scopes: []}\n"),
     {0}, "error f:2:74: \"scopes\" is no key of a provider", NULL},
    {"providers of one name",
     STR("oidc_providers:\n- {name: a, issuer: 'https://x', client_id: c, client_secret: s}\n"
         "- {name: a, issuer: 'https://y', client_id: c, client_secret: s}\n"), {0},
     "error f:3:3: two providers are called \"a\"", NULL},
    {"issuers that begin alike",
     STR("oidc_providers:\n- {name: a, issuer: 'https://x/b', client_id: c, client_secret: s}\n"
         "- {name: b, issuer: 'https://x/', client_id: c, client_secret: s}\n"), {0},
     "error f:3:3: the issuers of \"a\" and \"b\" begin alike", NULL},
    {"what asks for nothing is not spoken of",
     STR("oidc: {issuer: ''}\ntls_letsencrypt_hostname: ''\nderp: {urls: []}\n"), {0}, "", "log.level: 2"},

    {"old: dns_config", STR("dns_config: {base_domain: b.example}\n"), {0},
     "notice f:1:14: \"dns_config.base_domain\" is now called \"dns.base_domain\"",
     "dns.base_domain: b.example"},
    {"old and new", STR("dns_config: {base_domain: b.example}\ndns: {base_domain: c.example}\n"), {0},
     "notice f:1:14: \"dns_config.base_domain\" is the old name", "dns.base_domain: c.example"},
    {"old: ip_prefixes", STR("ip_prefixes:\n  - 'fd7a:115c:a1e0::/48'\n  - 100.64.0.0/12\n"), {0},
     "notice f:1:1: \"ip_prefixes\" is now", "prefixes.v4: 100.64.0.0/12"},
    {"old: expiry", STR("oidc: {expiry: 90d}\n"), {0}, "notice f:1:8", "node.expiry: 7776000000ms"},
    {"old: ephemeral", STR("ephemeral_node_inactivity_timeout: 30m\n"), {0}, "notice f:1:1",
     "node.ephemeral.inactivity_timeout: 1800000ms"},
    {"old: database", STR("db_type: sqlite3\ndb_path: /x/y\n"), {0}, "notice f:1:1",
     "database.sqlite.path: /x/y"},
    {"old: log level", STR("log_level: error\n"), {0}, "notice f:1:1", "log.level: 4"},
    {"old: the random port is honoured", STR("randomize_client_port: true\n"), {0}, "",
     "randomize_client_port: true"},
    {"old: users in names", STR("dns: {use_username_in_magic_dns: true}\n"), {0},
     "notice f:1:7: \"dns.use_username_in_magic_dns\" has no meaning", "log.level: 2"},
    {"old: users in names, off", STR("dns: {use_username_in_magic_dns: false}\n"), {0}, "", "log.level: 2"},
    {"old: client certificates", STR("tls_client_auth_mode: enforced\n"), {0},
     "notice f:1:23: client certificates", "log.level: 2"},
    {"old: private key", STR("private_key_path: /x\n"), {0}, "notice f:1:1", "noise.private_key_path: /d/noise_private.key"},

    {"environment beats file", STR("listen_addr: :1\n"), {"HEADSCALE_LISTEN_ADDR=:2"}, "",
     "listen_addr: [::]:2"},
    {"our prefix beats the other", STR(""), {"HATSIZE_LISTEN_ADDR=:3", "HEADSCALE_LISTEN_ADDR=:2"}, "",
     "listen_addr: [::]:3"},
    {"an empty variable", STR("listen_addr: :1\n"), {"HATSIZE_LISTEN_ADDR="}, "", "listen_addr: [::]:1"},
    {"a path of several parts", STR(""), {"HEADSCALE_DERP_SERVER_VERIFY_CLIENTS=F"}, "",
     "derp.server.verify_clients: false"},
    {"a list in a variable", STR(""), {"HATSIZE_DNS_NAMESERVERS_GLOBAL= 1.1.1.1\t9.9.9.9 "}, "",
     "dns.nameservers.global: 1.1.1.1 9.9.9.9"},
    {"a bad variable", STR(""), {"HATSIZE_LOG_LEVEL=loud"}, "error environment: log.level is", NULL},
    {"a bad flag in a variable", STR(""), {"HATSIZE_TAILDROP_ENABLED=maybe"},
     "error environment: HATSIZE_TAILDROP_ENABLED is \"maybe\"", NULL},
    {"a slip in a variable", STR(""), {"HATSIZE_SERVER_ULR=http://x"},
     "notice environment: HATSIZE_SERVER_ULR sets no key; did you mean", "log.level: 2"},
    {"somebody else's variable", STR(""), {"HATSIZE_TOTALLY_DIFFERENT=1", "HEADSCALE_DEBUG_X=1"}, "",
     "log.level: 2"},
    {"NUL and breaks in a value", STR("server_url: \"http://a\\0b\\n\"\n"), {0},
     "error f:1:13: \"server_url\" holds a control character", NULL},
    /* clang-format on */
};

static bool has_remark(struct str all, struct str start)
{
    struct str have;

    if (start.len == 0)
        return all.len == 0;
    while (str_next(&all, '\n', &have))
        if (str_starts(have, start))
            return true;
    return false;
}

/* The derived URL differs from machine to machine; only its shape is the same. */
static bool is_machine_url(const char *line)
{
    return strcmp(line, "server_url: http://127.0.0.1:8080") == 0;
}

/* The table's "f" is the file's name. */
static struct str remark_wanted(const char *remark)
{
    struct buf out = BUF(0);

    for (const char *p = remark; *p; p++) {
        bool is_file = strncmp(p, " f:", 3) == 0 && p - remark < 8;

        buf_put(&out, is_file ? STR(" /conf/f:") : str_bytes(p, 1));
        p += is_file ? 2 : 0;
    }
    return buf_take(&out);
}

static bool line_is_there(const char *line, const struct config *c)
{
    struct buf text = BUF(0);
    bool found;

    config_put(&text, c);
    found = is_machine_url(line) ? str_find(buf_str(&text), STR("server_url: http://")) >= 0
                                 : has_line(buf_str(&text), str_from(line));
    if (!found)
        print_error("no \"%s\" in:\n%.*s\n", line, STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return found;
}

static bool case_holds(size_t i)
{
    struct config_request req = request_with(cases[i].environ);
    struct config_remarks remarks = {0};
    AUTO(config_free) struct config *c = NULL;
    struct err err = {0};
    int status = config_load_text(&req, STR("/conf/f"), cases[i].text, &c, &remarks, &err);
    struct str said = remarks_text(&remarks), want = remark_wanted(cases[i].remark);
    bool holds = has_remark(said, want);

    if (!holds)
        print_error("remarks:\n%.*swant: %.*s\n", STR_ARG(said), STR_ARG(want));
    if (status != (cases[i].line ? 0 : -(int)ERR_INVALID)) {
        print_error("status %d %s\n", status, err.text);
        holds = false;
    } else if (cases[i].line) {
        holds &= line_is_there(cases[i].line, c);
    } else {
        holds &= err.text[0] != '\0' && !c;
    }
    str_free(&said);
    str_free(&want);
    config_remarks_fini(&remarks);
    return holds;
}

static void loads_each_case(void **state)
{
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (case_holds(i))
            continue;
        print_error("^ %s\n", cases[i].name);
        failed++;
    }
    assert_int_equal(failed, 0);
}

static void collects_every_error(void **state)
{
    struct config_request req = request_with(NULL);
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(
        config_load_text(&req, STR("/f"),
                         STR("taildrop: {enabled: x}\nlisten_addr: y\nzzz: 1\nlog: {level: z}\n"),
                         &c, &remarks, &err),
        -(int)ERR_INVALID);
    assert_null(c);
    assert_int_equal(remarks.len, 4);
    /* In the order of the file, not of the sections. */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(remarks.items[i].line, i + 1);
    assert_true(str_starts(str_from(err.text), STR("/f:1:21: ")));
    assert_true(str_ends(str_from(err.text), STR("(and 2 more)")));
    config_remarks_fini(&remarks);
}

static void write_file(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.ptr, text.len), (ssize_t)text.len);
    close(fd);
}

static struct config *load_ok(const struct config_request *req)
{
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    if (config_load(req, &c, &remarks, &err) < 0)
        fail_msg("%s", err.text);
    config_remarks_fini(&remarks);
    return c;
}

static void finds_the_file(void **state)
{
    char dir[] = "/tmp/config-test-XXXXXX";
    char named[64], other[64], system_wide[64], var[96], var2[96];
    const char *variables[3] = {0};
    struct config_request req = {.data_dir = STR("/d")};
    struct config *c;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(named, sizeof(named), "%s/a.yaml", dir);
    snprintf(other, sizeof(other), "%s/b.yaml", dir);
    snprintf(system_wide, sizeof(system_wide), "%s/c.yaml", dir);
    write_file(named, STR("listen_addr: :1\n"));
    write_file(other, STR("listen_addr: :2\n"));

    /* None, and a default one that is not there: the embedded default. */
    req.default_file = str_from(system_wide);
    c = load_ok(&req);
    assert_int_equal(c->file.len, 0);
    assert_int_equal(c->listen.port, 8080);
    config_free(c);

    write_file(system_wide, STR("listen_addr: :3\n"));
    c = load_ok(&req);
    assert_int_equal(c->listen.port, 3);
    config_free(c);

    snprintf(var, sizeof(var), "HEADSCALE_CONFIG=%s", other);
    variables[0] = var;
    req.environ = variables;
    c = load_ok(&req);
    assert_int_equal(c->listen.port, 2);
    config_free(c);

    snprintf(var2, sizeof(var2), "HATSIZE_CONFIG=%s", named);
    variables[1] = var2;
    c = load_ok(&req);
    assert_int_equal(c->listen.port, 1);
    config_free(c);

    req.path = str_from(other);
    c = load_ok(&req);
    assert_int_equal(c->listen.port, 2);
    config_free(c);

    /* One that was named must be there. */
    struct config_remarks remarks = {0};
    struct err err = {0};

    req.path = STR("/nowhere/config.yaml");
    c = NULL;
    assert_int_equal(config_load(&req, &c, &remarks, &err), -(int)ERR_IO);
    assert_int_equal(err.code, ERR_IO);
    assert_null(c);
    assert_int_equal(remarks.len, 1);
    config_remarks_fini(&remarks);
    unlink(named);
    unlink(other);
    unlink(system_wide);
    rmdir(dir);
}

static uint16_t port_found(const struct config_request *req)
{
    struct config *c = load_ok(req);
    uint16_t port = c->listen.port;

    config_free(c);
    return port;
}

/* headscale.md 1.1: headscale's folders, our own first; nothing that a stranger has left. */
static void searches_folders(void **state)
{
    char dir[] = "/tmp/hatsize-config-XXXXXX", home[64], was[4096];
    const char *variables[] = {home, NULL};
    const struct config_request req = {.data_dir = STR("/d"), .environ = variables, .search = true};
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    (void)state;
    /* Whoever has one here finds that first. */
    if (access("/etc/hatsize", F_OK) == 0 || access("/etc/headscale", F_OK) == 0)
        skip();
    assert_non_null(getcwd(was, sizeof(was)));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    (void)snprintf(home, sizeof(home), "HOME=%s", dir);
    assert_int_equal(port_found(&req), 8080);

    write_file("config.yaml", STR("listen_addr: :1\n"));
    assert_int_equal(port_found(&req), 1);
    assert_int_equal(chmod("config.yaml", 0666), 0);
    assert_int_equal(port_found(&req), 8080);
    assert_int_equal(mkdir(".headscale", 0700), 0);
    write_file(".headscale/config.json", STR("{\"listen_addr\": \":2\"}"));
    assert_int_equal(port_found(&req), 2);
    assert_int_equal(mkdir(".hatsize", 0700), 0);
    write_file(".hatsize/config.toml", STR("listen_addr = \":3\"\n"));
    assert_int_equal(config_load(&req, &c, &remarks, &err), -(int)ERR_INVALID);
    assert_non_null(strstr(err.text, "TOML is not read"));
    config_remarks_fini(&remarks);
    write_file(".hatsize/config.yml", STR("listen_addr: :4\n"));
    assert_int_equal(port_found(&req), 4);

    static const char *const made[] = {"config.yaml", ".headscale/config.json",
                                       ".hatsize/config.toml", ".hatsize/config.yml"};

    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        (void)unlink(made[i]);
    (void)rmdir(".headscale");
    (void)rmdir(".hatsize");
    assert_int_equal(chdir(was), 0);
    (void)rmdir(dir);
}

static const struct {
    const char *name;
    bool is_root;
    struct str data_dir;
    const char *environ[3];
    const char *want_dir;
    const char *want_socket;
} places[] = {
    {"root", true, STR_INIT(""), {0}, "/var/lib/hatsize", "/run/hatsize/hatsize.sock"},
    {"root, its own directory", true, STR_INIT("/x/"), {0}, "/x", "/x/hatsize.sock"},
    {"a user",
     false,
     STR_INIT(""),
     {"HOME=/home/u"},
     "/home/u/.local/state/hatsize",
     "/home/u/.local/state/hatsize/hatsize.sock"},
    {"a user with a state directory",
     false,
     STR_INIT(""),
     {"XDG_STATE_HOME=/s", "HOME=/home/u"},
     "/s/hatsize",
     "/s/hatsize/hatsize.sock"},
    {"a relative state directory does not count",
     false,
     STR_INIT(""),
     {"XDG_STATE_HOME=s", "HOME=/home/u"},
     "/home/u/.local/state/hatsize",
     "/home/u/.local/state/hatsize/hatsize.sock"},
    {"by variable", true, STR_INIT(""), {"HATSIZE_DATA_DIR=/v"}, "/v", "/v/hatsize.sock"},
    {"the option beats the variable",
     true,
     STR_INIT("/x"),
     {"HATSIZE_DATA_DIR=/v"},
     "/x",
     "/x/hatsize.sock"},
};

static void finds_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct config_request req = {.is_root = places[i].is_root,
                                     .data_dir = places[i].data_dir,
                                     .environ = places[i].environ};
        struct config *c;

        print_message("%s\n", places[i].name);
        c = load_ok(&req);
        assert_str(c->data_dir, str_from(places[i].want_dir));
        assert_str(config_socket_path(c), str_from(places[i].want_socket));
        config_free(c);
    }

    struct config_request homeless = {0};
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    assert_int_equal(config_load(&homeless, &c, &remarks, &err), -(int)ERR_INVALID);
    assert_non_null(strstr(err.text, "--data-dir"));
    config_remarks_fini(&remarks);
}

static void reads_relay_maps(void **state)
{
    char dir[] = "/tmp/config-test-XXXXXX";
    char one[64], two[64], main_file[64];
    struct config_request req = {.data_dir = STR("/d")};
    struct config *c;
    struct buf text = BUF(0);

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof(one), "%s/one.yaml", dir);
    snprintf(two, sizeof(two), "%s/two.yaml", dir);
    snprintf(main_file, sizeof(main_file), "%s/config.yaml", dir);
    write_file(one,
               STR("regions:\n"
                   "  900:\n    regionid: 900\n    regioncode: a\n    regionname: A\n    nodes:\n"
                   "      - name: 900a\n        regionid: 900\n        hostname: a.example\n"
                   "        ipv4: 192.0.2.1\n        stunport: -1\n        derpport: 8443\n"
                   "        canport80: true\n"
                   "  901:\n    regioncode: b\n    nodes: []\n"
                   "  902:\n    regioncode: c\n"));
    write_file(two, STR("regions: {901: null, 902: {regioncode: d, avoid: true}, 7: {}}\n"));
    write_file(main_file, STR("derp: {paths: [one.yaml, ./two.yaml]}\n"));
    req.path = str_from(main_file);
    c = load_ok(&req);
    assert_int_equal(c->derp.n_regions, 3);
    config_put(&text, c);
    assert_true(has_line(buf_str(&text), STR("derp region 7: 7, 7")));
    assert_true(has_line(buf_str(&text), STR("derp region 900: a, A")));
    assert_true(has_line(buf_str(&text), STR("derp region 902: d, d, avoid")));
    assert_true(has_line(buf_str(&text), STR("  900a a.example cert  v4 192.0.2.1 v6  stun -1 derp "
                                             "8443 port80")));
    buf_fini(&text);

    struct tailnet_info *info = config_tailnet_info(c, STR("default"));

    assert_str(info->name, STR("default"));
    assert_str(info->base_domain, STR("tailnet.internal"));
    assert_int_equal(info->n_regions, 3);
    assert_int_equal(info->regions[1].id, 900);
    assert_str(info->regions[1].nodes[0].host_name, STR("a.example"));
    assert_int_equal(info->ephemeral_timeout_ms, 120000);
    assert_true(info->magic_dns && info->taildrop && !info->logtail);
    config_free(c);
    tailnet_info_unref(info);

    /* A fault in a map is told with the map's name. */
    struct config_remarks remarks = {0};
    struct err err = {0};

    write_file(two, STR("regions:\n  7:\n    nodes:\n    - ipv4: x\n"));
    c = NULL;
    assert_int_equal(config_load(&req, &c, &remarks, &err), -(int)ERR_INVALID);
    assert_int_equal(remarks.len, 1);
    assert_true(str_ends(remarks.items[0].file, STR("two.yaml")));
    assert_int_equal(remarks.items[0].line, 4);
    config_remarks_fini(&remarks);
    unlink(one);
    unlink(two);
    unlink(main_file);
    rmdir(dir);
}

static void hands_over_dns(void **state)
{
    struct config_request req = request_with(NULL);
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};
    struct tailnet_info *info;

    (void)state;
    assert_int_equal(
        config_load_text(&req, STR("/f"),
                         STR("dns:\n  base_domain: x.example\n  search_domains: [s.example]\n"
                             "  nameservers: {global: [9.9.9.9], split: {c.example: [10.0.0.1]}}\n"
                             "  extra_records: [{name: r.example, value: 'fd7a::1'}]\n"),
                         &c, &remarks, &err),
        0);
    info = config_tailnet_info(c, STR("t"));
    config_free(c);
    assert_str(info->domain, STR("x.example"));
    assert_str(info->resolvers[0].addr, STR("9.9.9.9"));
    assert_str(info->splits[0].suffix, STR("c.example"));
    assert_str(info->splits[0].resolvers[0].addr, STR("10.0.0.1"));
    assert_str(info->search_domains.items[0], STR("s.example"));
    assert_str(info->records[0].type, STR("AAAA"));
    tailnet_info_unref(info);
    config_remarks_fini(&remarks);
}

static void derives_the_url_again(void **state)
{
    struct config_request req = request_with(NULL);
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(
        config_load_text(&req, STR("/f"), STR("listen_addr: 127.0.0.1:0\n"), &c, &remarks, &err),
        0);
    config_derive_server_url(c, 4711);
    assert_str(c->server_url, STR("http://127.0.0.1:4711"));
    assert_int_equal(c->server_port, 4711);
    config_free(c);
    assert_int_equal(
        config_load_text(&req, STR("/f"), STR("server_url: https://h\n"), &c, &remarks, &err), 0);
    config_derive_server_url(c, 4711);
    assert_str(c->server_url, STR("https://h"));
    assert_int_equal(c->server_port, 443);
    config_free(c);
    config_remarks_fini(&remarks);
}

/* All of headscale's keys with the values that its own example has or that it would take. */
static const char headscale_file[] =
    "server_url: http://127.0.0.1:8080\n"
    "listen_addr: 127.0.0.1:8080\n"
    "metrics_listen_addr: 127.0.0.1:9090\n"
    "trusted_proxies: [10.0.0.0/8]\n"
    "noise:\n  private_key_path: /var/lib/headscale/noise_private.key\n"
    "prefixes:\n  v4: 100.64.0.0/10\n  v6: fd7a:115c:a1e0::/48\n  allocation: sequential\n"
    "derp:\n"
    "  server:\n    enabled: false\n    region_id: 999\n    region_code: headscale\n"
    "    region_name: Headscale Embedded DERP\n    verify_clients: true\n"
    "    stun_listen_addr: 0.0.0.0:3478\n"
    "    private_key_path: /var/lib/headscale/derp_server_private.key\n"
    "    automatically_add_embedded_derp_region: true\n    ipv4: 198.51.100.1\n"
    "    ipv6: 2001:db8::1\n"
    "  urls:\n    - https://controlplane.tailscale.com/derpmap/default\n"
    "  paths: []\n  auto_update_enabled: true\n  update_frequency: 3h\n"
    "disable_check_updates: false\n"
    "node:\n  expiry: 0\n  ephemeral:\n    inactivity_timeout: 30m\n"
    "  routes:\n    ha:\n      probe_interval: 10s\n      probe_timeout: 5s\n"
    "database:\n  type: sqlite\n  debug: false\n"
    "  gorm:\n    prepare_stmt: true\n    parameterized_queries: true\n"
    "    skip_err_record_not_found: true\n    slow_threshold: 1000\n"
    "  sqlite:\n    path: /var/lib/headscale/db.sqlite\n    write_ahead_log: true\n"
    "    wal_autocheckpoint: 1000\n"
    "  postgres:\n    host: localhost\n    port: 5432\n    name: headscale\n    user: foo\n"
    "    pass: secret-words\n    max_open_conns: 10\n    max_idle_conns: 10\n"
    "    conn_max_idle_time_secs: 3600\n    ssl: false\n"
    "acme_url: https://acme-v02.api.letsencrypt.org/directory\n"
    "acme_email: \"\"\n"
    "tls_letsencrypt_hostname: \"\"\n"
    "tls_letsencrypt_cache_dir: /var/lib/headscale/cache\n"
    "tls_letsencrypt_challenge_type: HTTP-01\n"
    "tls_letsencrypt_listen: \":http\"\n"
    "tls_cert_path: \"\"\ntls_key_path: \"\"\n"
    "log:\n  level: info\n  format: text\n"
    "policy:\n  mode: file\n  path: \"\"\n"
    "dns:\n  magic_dns: true\n  base_domain: example.com\n  override_local_dns: true\n"
    "  nameservers:\n    global:\n      - 1.1.1.1\n      - 1.0.0.1\n"
    "      - 2606:4700:4700::1111\n    split: {}\n"
    "  search_domains: []\n  extra_records: []\n"
    "unix_socket: /var/run/headscale/headscale.sock\n"
    "unix_socket_permission: \"0770\"\n"
    "oidc:\n  only_start_if_oidc_is_available: true\n  issuer: https://issuer.example\n"
    "  client_id: id\n  client_secret: secret-words\n  scope: [openid, profile, email]\n"
    "  pkce:\n    enabled: false\n    method: S256\n"
    "logtail:\n  enabled: false\n"
    "randomize_client_port: false\n"
    "taildrop:\n  enabled: true\n"
    "auto_update:\n  enabled: false\n"
    "tuning:\n  batch_change_delay: 800ms\n  node_store_batch_size: 100\n"
    "grpc_listen_addr: 127.0.0.1:50443\ngrpc_allow_insecure: false\n";

static void takes_headscales_file(void **state)
{
    struct config_request req = request_with(NULL);
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};
    struct str said;

    (void)state;
    if (config_load_text(&req, STR("/f"), str_from(headscale_file), &c, &remarks, &err) < 0)
        fail_msg("%s", err.text);
    assert_str(c->dns.base_domain, STR("example.com"));
    assert_str(c->unix_socket, STR("/var/run/headscale/headscale.sock"));
    assert_str(c->derp.region_code, STR("headscale"));
    assert_int_equal(c->dns.n_resolvers, 3);
    said = remarks_text(&remarks);
    /* What has no effect is told, once each; nothing is unknown, no secret is repeated. */
    assert_int_equal(c->oidc.n_providers, 1);
    assert_str(c->oidc.providers[0].client_secret, STR("secret-words"));
    assert_true(str_find(said, STR("is no key")) < 0);
    assert_true(str_find(said, STR("secret-words")) < 0);
    assert_int_equal(c->derp.n_urls, 1);
    str_free(&said);
    config_free(c);
    config_remarks_fini(&remarks);
}

/* As headscale's up to 0.29: on its port unless it is said to be off, and who allows it in the
 * clear is told. */
static void takes_grpcs_keys(void **state)
{
    static const struct {
        const char *text;
        uint16_t port; /* 0: off */
        bool is_asked_for, insecure, is_told;
    } rows[] = {
        {"", 50443, false, false, false},
        {"grpc_listen_addr: 127.0.0.1:5000\n", 5000, true, false, false},
        {"grpc_listen_addr: \"\"\n", 0, true, false, false},
        {"grpc_listen_addr: \"\"\ngrpc_allow_insecure: true\n", 0, true, true, false},
        {"grpc_allow_insecure: true\n", 50443, false, true, true},
        {"grpc_allow_insecure: true\ntls_cert_path: /c\ntls_key_path: /k\n", 50443, false, true,
         false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_request req = request_with(NULL);
        struct config_remarks remarks = {0};
        struct config *c = NULL;
        struct err err = {0};

        if (config_load_text(&req, STR("/f"), str_from(rows[i].text), &c, &remarks, &err) < 0)
            fail_msg("%s", err.text);
        struct str said = remarks_text(&remarks);

        assert_int_equal(c->grpc_listen.port, rows[i].port);
        assert_int_equal(c->grpc_listen.addr.family != IP_NONE, rows[i].port != 0);
        assert_int_equal(c->grpc_is_asked_for, rows[i].is_asked_for);
        assert_int_equal(c->grpc_allow_insecure, rows[i].insecure);
        assert_int_equal(str_find(said, STR("in the clear")) >= 0, rows[i].is_told);
        str_free(&said);
        config_free(c);
        config_remarks_fini(&remarks);
    }
}

/* What we ship says nothing but the defaults, so it loads without a word. */
static void the_example_loads(void **state)
{
    struct config_request req = request_with(NULL);
    struct config_remarks remarks = {0};
    struct config *c = NULL, *plain = NULL;
    struct err err = {0};
    struct buf with = BUF(0), without = BUF(0);
    struct str said;

    (void)state;
    req.path = STR(EXAMPLE_CONFIG);
    assert_int_equal(config_load(&req, &c, &remarks, &err), 0);
    said = remarks_text(&remarks);
    assert_str(said, STR(""));
    assert_int_equal(config_load_text(&req, c->file, STR(""), &plain, &remarks, &err), 0);
    config_put(&with, c);
    config_put(&without, plain);
    assert_str(buf_str(&with), buf_str(&without));
    str_free(&said);
    buf_fini(&with);
    buf_fini(&without);
    config_free(c);
    config_free(plain);
    config_remarks_fini(&remarks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_each_case),       cmocka_unit_test(collects_every_error),
        cmocka_unit_test(finds_the_file),        cmocka_unit_test(finds_its_place),
        cmocka_unit_test(reads_relay_maps),      cmocka_unit_test(hands_over_dns),
        cmocka_unit_test(derives_the_url_again), cmocka_unit_test(the_example_loads),
        cmocka_unit_test(takes_headscales_file), cmocka_unit_test(takes_grpcs_keys),
        cmocka_unit_test(searches_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

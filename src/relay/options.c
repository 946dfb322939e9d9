/* See options.h. One row per flag; the defaults are set where they are documented by the rows. */

#include "relay/options.h"

#include <math.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

enum kind { KIND_BOOL, KIND_TEXT, KIND_INT, KIND_FLOAT, KIND_DURATION };

struct flag {
    const char *name;
    enum kind kind;
    size_t at;
    const char *help;
};

#define FLAG(name, kind, field, help)                           \
    {                                                           \
        name, kind, offsetof(struct relay_options, field), help \
    }

static const struct flag flags[] = {
    FLAG("a", KIND_TEXT, addr,
         "address to serve on: \":port\", \"ip:port\" or \"[ip]:port\"; HTTPS when the port is 443 "
         "or with -certmode manual or self-signed or -acme-directory, otherwise HTTP (:443)"),
    FLAG("http-port", KIND_INT, http_port,
         "with HTTPS, the port for plain HTTP beside it: /generate_204, what ACME asks for, and "
         "the way "
         "to HTTPS; -1 for none (80)"),
    FLAG("stun-port", KIND_INT, stun_port, "UDP port of STUN (3478)"),
    FLAG("stun", KIND_BOOL, stun, "answer STUN (true)"),
    FLAG("derp", KIND_BOOL, derp, "relay; false leaves the other pages (true)"),
    FLAG("c", KIND_TEXT, config,
         "file with the relay's key, made if it is not there (as root: "
         "/var/lib/derper/derper.key)"),
    FLAG("hostname", KIND_TEXT, hostname,
         "the relay's name, or an IP address (derp.tailscale.com)"),
    FLAG(
        "certmode", KIND_TEXT, cert_mode,
        "where the certificate comes from. letsencrypt: from Let's Encrypt (ACME), by itself; gcp: "
        "from Google Trust Services; manual: HOSTNAME.crt and HOSTNAME.key in -certdir, made when "
        "HOSTNAME is an IP address and they are not there; self-signed: the same, made for any "
        "name, for relay maps that pin it (letsencrypt)"),
    FLAG("certdir", KIND_TEXT, cert_dir,
         "folder of the certificates (~/.cache/tailscale/derper-certs)"),
    FLAG("acme-email", KIND_TEXT, acme_email, "mail address for the ACME account; gcp needs one"),
    FLAG("acme-eab-kid", KIND_TEXT, acme_eab_kid,
         "external account binding: the key's id; gcp needs one"),
    FLAG("acme-eab-key", KIND_TEXT, acme_eab_key, "external account binding: the key, in base64"),
    FLAG("acme-ip-certs", KIND_BOOL, acme_ip_certs,
         "with letsencrypt: also certificates for the addresses that clients connect to without a "
         "name; -hostname may then be an address (false)"),
    FLAG("acme-directory", KIND_TEXT, acme_directory,
         "URL of another ACME server's directory; HTTPS on any port (ours)"),
    FLAG("acme-ca-file", KIND_TEXT, acme_ca_file,
         "PEM file: whom to trust about that server, instead of the system's authorities (ours)"),
    FLAG("home", KIND_TEXT, home,
         "what / shows: \"\" a line, \"blank\" nothing, or a URL to go to"),
    FLAG("mesh-psk-file", KIND_TEXT, mesh_psk_file,
         "file with the mesh key, 64 hexadecimal digits, that the relays of a region share "
         "(/home/derp/keys/derp-mesh.key or ~/keys/derp-mesh.key where there is one)"),
    FLAG("mesh-with", KIND_TEXT, mesh_with,
         "names of the region's relays, with commas between; this one's may be among them; "
         "NAME/HOST connects to HOST; NAME may have a port"),
    FLAG("mesh-pins", KIND_TEXT, mesh_pins,
         "NAME=sha256-raw:HEX,...: certificates of relays of -mesh-with that are known by their "
         "hash "
         "(not a flag of the official relay)"),
    FLAG("bootstrap-dns-names", KIND_TEXT, bootstrap_names,
         "names whose addresses /bootstrap-dns tells, with commas between"),
    FLAG("unpublished-bootstrap-dns-names", KIND_TEXT, unpublished_names,
         "the same, told only to who asks for the name; NAME/RECORD tells it to as many clients "
         "of a hundred as RECORD's TXT says"),
    FLAG("verify-clients", KIND_BOOL, verify_clients,
         "admit clients that the tailscaled on this machine knows (false)"),
    FLAG("socket", KIND_TEXT, socket, "that tailscaled's socket"),
    FLAG("verify-client-url", KIND_TEXT, verify_url,
         "admit clients that the server with this URL admits, such as https://SERVER/verify"),
    FLAG("verify-client-url-fail-open", KIND_BOOL, verify_fail_open,
         "admit everybody while that server cannot be reached (true)"),
    FLAG("accept-connection-limit", KIND_FLOAT, accept_limit, "new connections per second (+Inf)"),
    FLAG("accept-connection-burst", KIND_INT, accept_burst, "new connections at once"),
    FLAG("max-connections", KIND_INT, max_streams,
         "connections at a time; beyond it new ones are closed (262144; ours)"),
    FLAG("max-connections-per-address", KIND_INT, max_per_address,
         "the same of one address, or of one /64 of IPv6 (16384; ours)"),
    FLAG("max-handshakes", KIND_INT, max_guests,
         "connections at a time that are not clients of the relay yet; beyond it the oldest of "
         "them is closed (8192; ours)"),
    FLAG("rate-config", KIND_TEXT, rate_config,
         "JSON file with PerClientRateLimitBytesPerSec and PerClientRateBurstBytes, and, ours, "
         "GlobalRateLimitBytesPerSec and GlobalRateBurstBytes for all clients together; read again "
         "at SIGHUP"),
    FLAG("user", KIND_TEXT, user,
         "become this user once ports are open; what SIGHUP reads again must be readable to it "
         "(ours)"),
    FLAG("tcp-keepalive-time", KIND_DURATION, keep_alive_ms, "TCP keep-alive (10m)"),
    FLAG("tcp-user-timeout", KIND_DURATION, user_timeout_ms, "TCP user timeout (15s)"),
    FLAG("tcp-write-timeout", KIND_DURATION, write_timeout_ms,
         "a client that takes nothing for so long is closed; 0: never (2s)"),
    FLAG("drain-time", KIND_DURATION, drain_ms,
         "at the end of a relay whose sockets outlive it, over how long clients are sent to the "
         "next process, one after the other (500ms; ours)"),
    FLAG("dev", KIND_BOOL, dev, "for development: a key for this run, port 3340, plain HTTP"),
    FLAG("log-level", KIND_TEXT, log_level, "debug, info, warn or error (info; ours)"),
    FLAG("log-format", KIND_TEXT, log_format, "text or json (text; ours)"),
    FLAG("version", KIND_BOOL, version, "say the version and end"),
    FLAG("help", KIND_BOOL, help, "say this and end"),
    FLAG("h", KIND_BOOL, help, NULL),
    FLAG("secrets-url", KIND_TEXT, secrets_url,
         "refused: a setec server cannot be asked; see "
         "-mesh-psk-file"),
    FLAG("secrets-path-prefix", KIND_TEXT, secrets_prefix, NULL),
    FLAG("secrets-cache-dir", KIND_TEXT, secrets_cache_dir, NULL),
    FLAG("ace", KIND_BOOL, ace, "refused: an experiment of the official relay's"),
};

/* ---- Defaults ---- */

static struct str keep(struct relay_options *o, struct str text)
{
    str_list_add(&o->owned, text);
    str_free(&text);
    return o->owned.items[o->owned.len - 1];
}

static void set_default_folders(struct relay_options *o)
{
    const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");

    if (cache && cache[0])
        o->cert_dir = keep(o, str_printf("%s/tailscale/derper-certs", cache));
    else if (home && home[0])
        o->cert_dir = keep(o, str_printf("%s/.cache/tailscale/derper-certs", home));
    if (access("/home/derp/keys/derp-mesh.key", F_OK) == 0) {
        o->mesh_psk_file = STR("/home/derp/keys/derp-mesh.key");
        return;
    }
    struct str own = keep(o, str_printf("%s/keys/derp-mesh.key", home ? home : ""));

    if (access(own.ptr, F_OK) == 0)
        o->mesh_psk_file = own;
}

static void set_defaults(struct relay_options *o)
{
    *o = (struct relay_options){
        .stun = true,
        .derp = true,
        .verify_fail_open = true,
        .addr = STR(":443"),
        .cert_mode = STR("letsencrypt"),
        .hostname = STR("derp.tailscale.com"),
        .http_port = 80,
        .stun_port = 3478,
        .accept_limit = (double)INFINITY,
        .accept_burst = INT64_MAX,
        .max_streams = 262144,
        .max_per_address = 16384,
        .max_guests = 8192,
        .keep_alive_ms = 600000,
        .user_timeout_ms = 15000,
        .write_timeout_ms = 2000,
        .drain_ms = 500,
        .log_level = STR("info"),
        .log_format = STR("text"),
    };
    set_default_folders(o);
}

/* ---- Reading ---- */

static const struct flag *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (str_eq(name, str_from(flags[i].name)))
            return &flags[i];
    return NULL;
}

/* What Go's strconv.ParseBool takes. */
static bool parse_bool(struct str s, bool *out)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};

    for (size_t i = 0; i < 12; i++) {
        if (!str_eq(s, str_from(words[i / 6][i % 6])))
            continue;
        *out = i / 6 == 1;
        return true;
    }
    return false;
}

static bool parse_double(struct str s, double *out)
{
    char *text = str_dup(s), *end = NULL;
    double v = strtod(text, &end);
    bool ok = s.len > 0 && *end == 0 && strlen(text) == s.len && !isnan(v) && v >= 0;

    mem_free(text);
    if (ok)
        *out = v;
    return ok;
}

static bool parse_duration(struct str s, int64_t *out)
{
    int64_t v;

    if (str_eq(s, STR("0")))
        v = 0;
    else if (!clock_parse_duration(s, &v) || v < 0)
        return false;
    *out = v;
    return true;
}

static bool set(struct relay_options *o, const struct flag *f, struct str value)
{
    char *field = (char *)o + f->at;

    switch (f->kind) {
    case KIND_BOOL:
        return parse_bool(value, (bool *)(void *)field);
    case KIND_TEXT:
        *(struct str *)(void *)field = value;
        return true;
    case KIND_INT:
        return str_parse_i64(value, (int64_t *)(void *)field);
    case KIND_FLOAT:
        return parse_double(value, (double *)(void *)field);
    case KIND_DURATION:
        return parse_duration(value, (int64_t *)(void *)field);
    }
    return false;
}

int relay_options_parse(struct relay_options *o, int argc, char *const *argv, struct err *err)
{
    set_defaults(o);
    for (int i = 1; i < argc; i++) {
        struct str word = str_from(argv[i]), name, value;

        if (word.len < 2 || word.ptr[0] != '-' || str_eq(word, STR("--")))
            return err_set(err, ERR_INVALID, "\"%.*s\" is no flag", STR_ARG(word));
        bool has_value =
            str_split(str_from_index(word, word.ptr[1] == '-' ? 2 : 1), '=', &name, &value);
        const struct flag *f = find(name);

        if (!f)
            return err_set(err, ERR_INVALID, "there is no flag -%.*s", STR_ARG(name));
        if (!has_value && f->kind == KIND_BOOL) {
            value = STR("true");
        } else if (!has_value) {
            if (++i >= argc)
                return err_set(err, ERR_INVALID, "-%s wants a value", f->name);
            value = str_from(argv[i]);
        }
        if (!set(o, f, value))
            return err_set(err, ERR_INVALID, "-%s: \"%.*s\" is no value for it", f->name,
                           STR_ARG(value));
    }
    return 0;
}

/* ---- Checking ---- */

static int check_listen(struct relay_options *o, struct err *err)
{
    ptrdiff_t colon = str_rfind_char(o->addr, ':');
    struct str host = colon >= 0 ? str_sub(o->addr, 0, (size_t)colon) : STR_NONE;
    struct str port = colon >= 0 ? str_from_index(o->addr, (size_t)colon + 1) : STR_NONE;
    uint64_t number = 0;

    if (str_eq(port, STR("https")))
        number = 443;
    else if (str_eq(port, STR("http")))
        number = 80;
    else if (!str_parse_u64(port, &number) || number > 65535)
        return err_set(err, ERR_INVALID, "-a: \"%.*s\" has no port", STR_ARG(o->addr));
    o->listen = (struct ip_addrport){.addr.family = IP_V6, .port = (uint16_t)number};
    if (host.len == 0)
        return 0;
    if (str_eq(host, STR("localhost"))) {
        o->listen.addr = IP_ADDR_V4(127, 0, 0, 1);
        return 0;
    }
    if (host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_sub(host, 1, host.len - 2);
    if (!ip_addr_parse(host, &o->listen.addr))
        return err_set(err, ERR_INVALID, "-a: \"%.*s\" is no IP address", STR_ARG(host));
    return 0;
}

/* The official relay's rules, and a name that could be had at all. */
static int check_acme(struct relay_options *o, struct err *err)
{
    bool is_gcp = str_eq(o->cert_mode, STR("gcp"));
    struct ip_addr addr;
    bool is_literal = ip_addr_parse(o->hostname, &addr);

    if (str_eq(o->hostname, STR("derp.tailscale.com")))
        return err_set(err, ERR_INVALID,
                       "-hostname is missing: the name that the certificate is for");
    if (is_gcp && is_literal)
        return err_set(err, ERR_INVALID, "-certmode gcp: -hostname must be a DNS name");
    if (is_gcp && (o->acme_eab_kid.len == 0 || o->acme_eab_key.len == 0))
        return err_set(err, ERR_INVALID,
                       "-certmode gcp needs -acme-eab-kid and -acme-eab-key (see `gcloud publicca "
                       "external-account-keys create`)");
    if (is_gcp && o->acme_email.len == 0)
        return err_set(err, ERR_INVALID, "-certmode gcp needs -acme-email");
    if (is_literal && !o->acme_ip_certs)
        return err_set(err, ERR_INVALID,
                       "-hostname is an IP address: use -acme-ip-certs, or -certmode manual and "
                       "pin what it makes in the relay map");
    if (o->acme_ip_certs && o->http_port < 0)
        return err_set(err, ERR_INVALID, "-acme-ip-certs needs -http-port");
    return 0;
}

static int check_tls(struct relay_options *o, struct err *err)
{
    bool is_manual = str_eq(o->cert_mode, STR("manual")),
         is_own = str_eq(o->cert_mode, STR("self-signed")),
         is_letsencrypt = str_eq(o->cert_mode, STR("letsencrypt")),
         is_acme = is_letsencrypt || str_eq(o->cert_mode, STR("gcp"));

    if (!is_manual && !is_own && !is_acme)
        return err_set(err, ERR_INVALID,
                       "-certmode: \"%.*s\" is none of manual, self-signed, "
                       "letsencrypt, gcp",
                       STR_ARG(o->cert_mode));
    if (o->acme_ip_certs && !is_letsencrypt)
        return err_set(err, ERR_INVALID, "-acme-ip-certs needs -certmode letsencrypt");
    o->is_tls = o->listen.port == 443 || is_manual || is_own || o->acme_directory.len > 0;
    o->is_acme = o->is_tls && is_acme;
    if (!o->is_tls)
        return 0;
    if (o->cert_dir.len == 0)
        return err_set(err, ERR_INVALID, "-certdir is missing");
    if (o->hostname.len == 0)
        return err_set(err, ERR_INVALID, "-hostname is missing");
    return o->is_acme ? check_acme(o, err) : 0;
}

static int check_ports(const struct relay_options *o, struct err *err)
{
    if (o->http_port < -1 || o->http_port > 65535)
        return err_set(err, ERR_INVALID, "-http-port: no port");
    if (o->stun_port < 0 || o->stun_port > 65535)
        return err_set(err, ERR_INVALID, "-stun-port: no port");
    if (o->accept_burst < 0)
        return err_set(err, ERR_INVALID, "-accept-connection-burst: less than none");
    if (o->max_streams < 1 || o->max_streams > 1 << 24)
        return err_set(err, ERR_INVALID, "-max-connections: neither less than one nor over 2^24");
    if (o->max_per_address < 1 || o->max_per_address > 1 << 24)
        return err_set(err, ERR_INVALID,
                       "-max-connections-per-address: neither less than one nor over 2^24");
    if (o->drain_ms > 3600000)
        return err_set(err, ERR_INVALID, "-drain-time: over an hour");
    if (o->max_guests < 2 || o->max_guests > 1 << 24)
        return err_set(err, ERR_INVALID, "-max-handshakes: neither less than two nor over 2^24");
    return 0;
}

static bool is_url(struct str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

static int check_rest(const struct relay_options *o, struct err *err)
{
    if (o->secrets_url.len > 0)
        return err_set(
            err, ERR_INVALID,
            "-secrets-url: a setec server cannot be asked; put the mesh key in a file and "
            "name it with -mesh-psk-file");
    if (o->ace)
        return err_set(err, ERR_INVALID, "-ace is an experiment of the official relay's");
    if (o->mesh_with.len > 0 && o->mesh_psk_file.len == 0 && !o->dev)
        return err_set(err, ERR_INVALID, "-mesh-with needs -mesh-psk-file");
    if (o->verify_url.len > 0 && !is_url(o->verify_url))
        return err_set(err, ERR_INVALID, "-verify-client-url: \"%.*s\" is no URL",
                       STR_ARG(o->verify_url));
    if (o->home.len > 0 && !str_eq(o->home, STR("blank")) && !is_url(o->home))
        return err_set(err, ERR_INVALID, "-home: \"%.*s\" is neither blank nor a URL",
                       STR_ARG(o->home));
    if (str_find_char(o->home, '\n') >= 0 || str_find_char(o->home, '\r') >= 0)
        return err_set(err, ERR_INVALID, "-home: more than a line");
    if (o->config.len == 0 && !o->dev)
        return err_set(err, ERR_INVALID, "-c is missing: a file for the relay's key");
    return 0;
}

int relay_options_check(struct relay_options *o, struct err *err)
{
    if (o->dev)
        o->addr = STR(":3340");
    if (o->config.len == 0 && !o->dev && getuid() == 0)
        o->config = STR("/var/lib/derper/derper.key");
    if (check_listen(o, err) < 0 || check_tls(o, err) < 0 || check_ports(o, err) < 0)
        return -(int)err->code;
    return check_rest(o, err);
}

void relay_options_fini(struct relay_options *o)
{
    str_list_free(&o->owned);
}

void relay_options_put_help(struct buf *out)
{
    buf_put(out,
            STR("hatsize-derp [FLAG]...: a relay (DERP) and STUN server\n"
                "It takes the official relay's flags, as -flag value or --flag=value.\n"
                "SIGHUP: certificates and rate limits are read again. SIGTERM: clients are told, "
                "then it ends.\n\n"));
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (flags[i].help)
            buf_printf(out, "  -%-32s %s\n", flags[i].name, flags[i].help);
    buf_put(out, STR("\nTaken and without effect: -secrets-path-prefix, -secrets-cache-dir.\n"));
}

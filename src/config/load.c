/* Finding the configuration, and every section but DNS and relays. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_internal.h"

#define DEFAULT_PORT 8080
#define GRPC_PORT 50443
#define SOCKET_PATH_MAX 107 /* bytes the kernel takes */
#define EPHEMERAL_MIN_MS ((int64_t)65000)
#define HA_INTERVAL_MS 10000
#define HA_TIMEOUT_MS 5000

struct config_request config_request_here(void)
{
    return (struct config_request){
        .default_file = STR("/etc/hatsize/config.yaml"),
        .search = true,
        .environ = (const char *const *)environ,
        .is_root = geteuid() == 0,
    };
}

void config_free(struct config *c)
{
    struct arena *arena;

    if (!c)
        return;
    /* The arena's memory is ours to write, whatever borrows it. */
    if (c->cli.api_key.len > 0)
        mem_wipe((void *)(uintptr_t)c->cli.api_key.ptr, c->cli.api_key.len);
    if (c->postgres.pass.len > 0)
        mem_wipe((void *)(uintptr_t)c->postgres.pass.ptr, c->postgres.pass.len);
    for (size_t i = 0; i < c->oidc.n_providers; i++) {
        struct str secret = c->oidc.providers[i].client_secret;

        if (secret.len > 0)
            mem_wipe((void *)(uintptr_t)secret.ptr, secret.len);
    }
    arena = c->arena;
    mem_free(c);
    arena_free(arena);
}

struct str config_socket_path(const struct config *c)
{
    return c->unix_socket;
}

/* ---- files ---- */

static int read_all(int fd, struct buf *out, struct err *err)
{
    for (;;) {
        char *to = buf_reserve(out, 16384);
        ssize_t n;

        if (!to)
            return err_set(err, ERR_LIMIT, "it is longer than %zu bytes", CONFIG_FILE_MAX);
        n = read(fd, to, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, errno, "reading");
        if (n == 0)
            return 0;
        buf_added(out, (size_t)n);
    }
}

int config_file_read(struct arena *arena, struct str path, struct str *out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(CONFIG_FILE_MAX + 16384);
    struct stat st;
    char *name;
    int fd, status;

    if (str_find_char(path, '\0') >= 0)
        return err_set(err, ERR_INVALID, "the path holds a NUL");
    name = str_dup(path);
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    mem_free(name);
    if (fd < 0)
        return err_sys(err, errno, "opening");
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        status = err_set(err, ERR_IO, "it is a directory");
    else
        status = read_all(fd, &text, err);
    close(fd);
    if (status < 0)
        return status;
    *out = arena_copy(arena, buf_str(&text));
    return 0;
}

static bool file_exists(struct str path)
{
    char *name = str_dup(path);
    bool exists = access(name, F_OK) == 0;

    mem_free(name);
    return exists;
}

/* ---- directories ---- */

static struct str default_data_dir(struct loader *l)
{
    struct str state = env_get(l->req, STR("XDG_STATE_HOME"));
    struct str home = env_get(l->req, STR("HOME"));

    if (l->req->is_root)
        return STR("/var/lib/hatsize");
    if (str_starts(state, STR("/")))
        return path_absolute(l->arena, state, STR("hatsize"));
    if (str_starts(home, STR("/")))
        return path_absolute(l->arena, home, STR(".local/state/hatsize"));
    return STR_NONE;
}

static void section_data_dir(struct loader *l)
{
    struct str usual = default_data_dir(l);
    struct config *c = l->c;

    c->data_dir = usual;
    value_path(l, KEY_DATA_DIR, &c->data_dir);
    c->sandbox = true;
    value_bool(l, KEY_SANDBOX, &c->sandbox);
    (void)!value_text(l, KEY_RUN_AS, &c->run_as);
    if (l->req->data_dir.len > 0)
        c->data_dir = path_absolute(l->arena, path_cwd(l->arena), l->req->data_dir);
    while (c->data_dir.len > 1 && str_ends(c->data_dir, STR("/")))
        c->data_dir.len--;
    c->data_dir_is_default = str_eq(c->data_dir, usual);
    if (c->data_dir.len == 0) {
        remark(l, true, (struct place){.file = STR("environment")},
               "HOME is not set, so there is no place to keep state: set it, or give --data-dir");
        c->data_dir = STR("/nonexistent");
    }
}

static struct str in_data_dir(struct loader *l, struct str name)
{
    return path_absolute(l->arena, l->c->data_dir, name);
}

/* ---- server ---- */

static bool host_is_valid(struct str host)
{
    struct ip_addr addr;

    return ip_addr_parse(host, &addr) || domain_is_valid(host);
}

/* "https://host[:port]", a slash at the end allowed. */
static bool parse_url(struct loader *l, struct str url)
{
    struct config *c = l->c;
    struct str rest, host, port = STR_NONE;
    bool is_tls = str_starts(url, STR("https://"));
    uint64_t number = is_tls ? 443 : 80;

    if (!is_tls && !str_starts(url, STR("http://")))
        return false;
    rest = str_from_index(url, is_tls ? 8 : 7);
    while (str_ends(rest, STR("/")))
        rest = str_sub(rest, 0, rest.len - 1);
    if (str_starts(rest, STR("["))) {
        struct ip_addr addr;

        if (!str_split(str_from_index(rest, 1), ']', &host, &port) || !ip_addr_parse(host, &addr) ||
            addr.family != IP_V6 || (port.len > 0 && port.ptr[0] != ':'))
            return false;
        port = str_from_index(port, 1);
    } else if (str_split(rest, ':', &host, &port) && port.len == 0) {
        return false;
    }
    if (!host_is_valid(host) ||
        (port.len > 0 && (!str_parse_u64(port, &number) || number == 0 || number > 65535)))
        return false;
    c->server_url =
        arena_printf(l->arena, "%s%.*s", is_tls ? "https://" : "http://", STR_ARG(rest));
    c->server_host = host;
    c->server_port = (uint16_t)number;
    c->server_is_tls = is_tls;
    return true;
}

/* Octal, with or without quotes or a leading 0 or 0o. headscale.md 1.2 tells of the trap. */
static bool parse_mode(struct str text, unsigned *mode)
{
    unsigned v = 0;

    if (str_starts(text, STR("0o")))
        text = str_from_index(text, 2);
    if (text.len == 0 || text.len > 4)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7')
            return false;
        v = v * 8 + (unsigned)(text.ptr[i] - '0');
    }
    if (v > 0777)
        return false;
    *mode = v;
    return true;
}

static void section_socket(struct loader *l)
{
    struct config *c = l->c;
    struct str text;

    c->unix_socket = l->req->is_root && c->data_dir_is_default
                         ? STR("/run/hatsize/hatsize.sock")
                         : in_data_dir(l, STR("hatsize.sock"));
    value_path(l, KEY_UNIX_SOCKET, &c->unix_socket);
    if (c->unix_socket.len > SOCKET_PATH_MAX)
        error_at(l, l->values[KEY_UNIX_SOCKET],
                 "the path of the Unix socket is longer than %d bytes: set unix_socket to a "
                 "shorter one",
                 SOCKET_PATH_MAX);
    c->unix_socket_mode = 0770;
    if (value_text(l, KEY_UNIX_SOCKET_PERMISSION, &text) && !parse_mode(text, &c->unix_socket_mode))
        error_at(l, l->values[KEY_UNIX_SOCKET_PERMISSION],
                 "unix_socket_permission is \"%.*s\": write an octal mode like \"0770\"",
                 STR_ARG(shown(l, text)));
}

/* Who orders a certificate for a name means clients to use it. */
static void server_url_of_certificate(struct loader *l)
{
    struct str host;
    unsigned port = l->c->listen.port;

    if (!value_text(l, KEY_ACME_HOST, &host) || !domain_is_valid(host))
        return;
    l->c->server_url_is_derived =
        !parse_url(l, port == 443 || port == 0
                          ? arena_printf(l->arena, "https://%.*s", STR_ARG(host))
                          : arena_printf(l->arena, "https://%.*s:%u", STR_ARG(host), port));
}

/* As headscale had it: wanted unless it is said to be off, and served where it is safe. After TLS.
 */
static void section_grpc(struct loader *l)
{
    struct config *c = l->c;
    const struct yaml_node *said = l->values[KEY_GRPC_LISTEN];

    c->grpc_is_asked_for = said != NULL;
    if (!said)
        c->grpc_listen = (struct ip_addrport){.addr = {.family = IP_V6}, .port = GRPC_PORT};
    value_listen(l, KEY_GRPC_LISTEN, &c->grpc_listen);
    value_bool(l, KEY_GRPC_INSECURE, &c->grpc_allow_insecure);
    if (c->grpc_allow_insecure && c->tls_cert_path.len == 0 && c->acme.host.len == 0 &&
        c->grpc_listen.addr.family != IP_NONE)
        notice_at_key(l, l->values[KEY_GRPC_INSECURE],
                      "gRPC is served without TLS: API keys go over the network in the clear");
}

static void section_server(struct loader *l)
{
    struct config *c = l->c;
    struct str text;

    c->listen = (struct ip_addrport){.addr = {.family = IP_V6}, .port = DEFAULT_PORT};
    value_listen(l, KEY_LISTEN_ADDR, &c->listen);
    value_listen(l, KEY_METRICS_LISTEN_ADDR, &c->metrics_listen);
    section_tls(l); /* a derived URL is https if there is a certificate */
    if (!value_text(l, KEY_SERVER_URL, &text)) {
        server_url_derive(c, c->listen.port);
        server_url_of_certificate(l);
    } else if (!parse_url(l, text)) {
        error_at(l, l->values[KEY_SERVER_URL],
                 "server_url is \"%.*s\": write what clients use, like https://vpn.example.com or "
                 "http://192.0.2.1:8080, without a path",
                 STR_ARG(shown(l, text)));
        server_url_derive(c, c->listen.port);
    }
    section_acme(l);
    section_grpc(l);
    section_proxies(l);
    section_api(l);
    section_socket(l);
    c->noise_key_path = in_data_dir(l, STR("noise_private.key"));
    value_path(l, KEY_NOISE_KEY, &c->noise_key_path);
}

/* ---- log, command line ---- */

static void section_log(struct loader *l)
{
    struct config *c = l->c;
    struct str text;

    c->log_level = LOG_INFO;
    c->log_format = LOG_TEXT;
    if (value_text(l, KEY_LOG_LEVEL, &text) && !log_level_parse(text, &c->log_level))
        error_at(l, l->values[KEY_LOG_LEVEL],
                 "log.level is \"%.*s\": write trace, debug, info, warn, error or disabled",
                 STR_ARG(shown(l, text)));
    if (!value_text(l, KEY_LOG_FORMAT, &text))
        return;
    if (str_eq_nocase(text, STR("json")))
        c->log_format = LOG_JSON;
    else if (!str_eq_nocase(text, STR("text")))
        error_at(l, l->values[KEY_LOG_FORMAT], "log.format is \"%.*s\": write text or json",
                 STR_ARG(shown(l, text)));
}

static void section_cli(struct loader *l)
{
    struct config_cli *cli = &l->c->cli;

    cli->timeout_ms = 5000;
    (void)!value_text(l, KEY_CLI_ADDRESS, &cli->address);
    (void)!value_text(l, KEY_CLI_API_KEY, &cli->api_key);
    value_duration(l, KEY_CLI_TIMEOUT, &cli->timeout_ms);
    value_bool(l, KEY_CLI_INSECURE, &cli->insecure);
}

/* ---- the tailnet ---- */

static void read_prefix(struct loader *l, const struct yaml_node *n, struct str what,
                        uint8_t family, struct ip_prefix *out)
{
    struct ip_prefix p;
    struct str text;
    /* What clients are built for. */
    struct ip_prefix usual = {0};
    bool known = ip_prefix_parse(
        family == IP_V4 ? STR("100.64.0.0/10") : STR("fd7a:115c:a1e0::/48"), &usual);

    ASSERT(known);
    if (!node_text(l, n, what, &text) || text.len == 0)
        return;
    if (!ip_prefix_parse(text, &p) || p.addr.family != family) {
        error_at(l, n, "%.*s is \"%.*s\": write a prefix like %s", STR_ARG(what),
                 STR_ARG(shown(l, text)),
                 family == IP_V4 ? "100.64.0.0/10" : "fd7a:115c:a1e0::/48");
        return;
    }
    if (!ip_prefix_is_masked(p))
        notice_at(l, n, "%.*s has bits set behind its length: they are ignored", STR_ARG(what));
    p = ip_prefix_masked(p);
    if (!ip_prefix_covers(usual, p))
        notice_at(l, n,
                  "%.*s lies outside %s, the range clients are made for: routes and exit nodes may "
                  "not work",
                  STR_ARG(what), family == IP_V4 ? "100.64.0.0/10" : "fd7a:115c:a1e0::/48");
    *out = p;
}

/* "ip_prefixes" and "ip_prefix" of old: the first of each family. */
static void read_old_prefixes(struct loader *l, enum config_key key)
{
    const struct yaml_node *list = value_list(l, key);

    if (!list)
        return;
    notice_at_key(l, l->values[key], "\"%.*s\" is now prefixes.v4 and prefixes.v6: write those",
                  STR_ARG(key_path(key)));
    YAML_EACH(item, list)
    {
        struct str text;
        struct ip_prefix p, *to;

        if (yaml_is_null(item) || !node_text(l, item, key_path(key), &text))
            continue;
        if (!ip_prefix_parse(text, &p)) {
            error_at(l, item, "\"%.*s\" is no prefix", STR_ARG(shown(l, text)));
            continue;
        }
        to = p.addr.family == IP_V4 ? &l->c->prefix_v4 : &l->c->prefix_v6;
        if (!ip_prefix_is_set(*to))
            read_prefix(l, item, key_path(key), p.addr.family, to);
    }
}

static void section_prefixes(struct loader *l)
{
    struct config *c = l->c;
    struct str text;
    bool known;

    if (l->values[KEY_PREFIX_V4])
        read_prefix(l, l->values[KEY_PREFIX_V4], key_path(KEY_PREFIX_V4), IP_V4, &c->prefix_v4);
    if (l->values[KEY_PREFIX_V6])
        read_prefix(l, l->values[KEY_PREFIX_V6], key_path(KEY_PREFIX_V6), IP_V6, &c->prefix_v6);
    read_old_prefixes(l, KEY_OLD_PREFIXES);
    read_old_prefixes(l, KEY_OLD_PREFIX);
    if (!ip_prefix_is_set(c->prefix_v4) && !ip_prefix_is_set(c->prefix_v6)) {
        known = ip_prefix_parse(STR("100.64.0.0/10"), &c->prefix_v4) &&
                ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &c->prefix_v6);
        ASSERT(known);
    }
    c->allocation = ADDRESS_SEQUENTIAL;
    if (!value_text(l, KEY_ALLOCATION, &text))
        return;
    if (str_eq_nocase(text, STR("random")))
        c->allocation = ADDRESS_RANDOM;
    else if (!str_eq_nocase(text, STR("sequential")))
        error_at(l, l->values[KEY_ALLOCATION],
                 "invalid prefix allocation strategy \"%.*s\": write sequential or random",
                 STR_ARG(shown(l, text)));
}

static void section_pending(struct loader *l)
{
    struct pending_limits *p = &l->c->pending;
    int64_t max = PENDING_MAX;

    *p = (struct pending_limits){PENDING_MS, PENDING_MAX};
    if (value_duration(l, KEY_TUNING_5, &p->ms) && p->ms < 1000)
        error_at(l, l->values[KEY_TUNING_5], "%.*s must be 1s or more",
                 STR_ARG(key_path(KEY_TUNING_5)));
    if (value_int(l, KEY_TUNING_6, 1, 1000000, &max))
        p->max = (size_t)max;
}

static void section_quotas(struct loader *l)
{
    static const enum config_key keys[QUOTAS] = {
        [QUOTA_NODES] = KEY_TAILNETS_NODES,
        [QUOTA_USERS] = KEY_TAILNETS_USERS,
        [QUOTA_KEYS] = KEY_TAILNETS_KEYS,
    };

    for (size_t i = 0; i < QUOTAS; i++) {
        int64_t max = 0;

        if (value_int(l, keys[i], 0, UINT32_MAX, &max))
            l->c->new_quotas.max[i] = (uint32_t)max;
    }
}

/* Of routers of the same subnet. */
static void check_probes(struct loader *l)
{
    int64_t interval = HA_INTERVAL_MS, timeout = HA_TIMEOUT_MS;

    if (value_duration(l, KEY_HA_INTERVAL, &interval) && interval > 0 && interval < 2000)
        error_at(l, l->values[KEY_HA_INTERVAL],
                 "node.routes.ha.probe_interval is below 2s: write 10s, or 0 for never");
    if (value_duration(l, KEY_HA_TIMEOUT, &timeout) && timeout < 1000)
        error_at(l, l->values[KEY_HA_TIMEOUT],
                 "node.routes.ha.probe_timeout is below 1s: write 5s");
    else if (interval > 0 && timeout >= interval)
        error_at(l, l->values[l->values[KEY_HA_TIMEOUT] ? KEY_HA_TIMEOUT : KEY_HA_INTERVAL],
                 "node.routes.ha.probe_timeout must be below probe_interval");
    l->c->ha_interval_ms = interval;
    l->c->ha_timeout_ms = timeout;
}

static void section_tailnet(struct loader *l)
{
    struct config *c = l->c;

    c->taildrop = true;
    c->ephemeral_timeout_ms = 120000;
    c->revoked_retention_ms = REVOKED_RETENTION_MS;
    section_pending(l);
    section_quotas(l);
    section_prefixes(l);
    check_probes(l);
    value_duration(l, KEY_NODE_EXPIRY, &c->node_expiry_ms);
    if (value_duration(l, KEY_EPHEMERAL_TIMEOUT, &c->ephemeral_timeout_ms) &&
        c->ephemeral_timeout_ms <= EPHEMERAL_MIN_MS)
        error_at(l, l->values[KEY_EPHEMERAL_TIMEOUT],
                 "%.*s must be more than 65s, or machines vanish between two keep-alives: write 2m "
                 "or more",
                 STR_ARG(key_path(KEY_EPHEMERAL_TIMEOUT)));
    value_duration(l, KEY_KEYS_RETENTION, &c->revoked_retention_ms);
    value_bool(l, KEY_TAILDROP, &c->taildrop);
    value_bool(l, KEY_LOGTAIL, &c->logtail);
    value_bool(l, KEY_AUTO_UPDATE, &c->auto_update);
    value_bool(l, KEY_RANDOMIZE_PORT, &c->randomize_client_port);
}

static void section_policy(struct loader *l)
{
    struct config *c = l->c;
    struct str mode;

    value_path(l, KEY_POLICY_PATH, &c->policy_path);
    /* Without a file there is nowhere to name another file. */
    c->policy_in_database = l->file.len == 0 && c->policy_path.len == 0;
    if (!value_text(l, KEY_POLICY_MODE, &mode))
        return;
    c->policy_in_database = str_eq_nocase(mode, STR("database"));
    if (!c->policy_in_database && !str_eq_nocase(mode, STR("file")))
        error_at(l, l->values[KEY_POLICY_MODE], "policy.mode is \"%.*s\": write file or database",
                 STR_ARG(shown(l, mode)));
    if (c->policy_in_database && c->policy_path.len > 0)
        notice_at(l, l->values[KEY_POLICY_PATH],
                  "policy.path has no effect while policy.mode is database");
}

/* Keys whose being ignored an operator must know. */
static void section_warnings(struct loader *l)
{
    struct str text;

    if (value_text(l, KEY_OLD_CLIENT_AUTH, &text) && str_eq_nocase(text, STR("enforced")))
        notice_at(l, l->values[KEY_OLD_CLIENT_AUTH],
                  "client certificates are not asked for: tls_client_auth_mode has no effect");
}

/* ---- the whole ---- */

static int finish(struct loader *l, struct config **out, struct err *err)
{
    const struct config_remark *first = NULL;
    AUTO_FINI(buf_fini) struct buf line = BUF(4096);

    remarks_sort(l);
    if (l->errors == 0) {
        *out = TAKE(l->c);
        return 0;
    }
    for (size_t i = l->first_remark; i < l->remarks->len && !first; i++)
        if (l->remarks->items[i].is_error)
            first = &l->remarks->items[i];
    config_free(TAKE(l->c));
    if (first)
        config_remark_put(&line, first);
    if (l->errors > 1)
        return err_set(err, ERR_INVALID, "%.*s (and %zu more)", STR_ARG(buf_str(&line)),
                       l->errors - 1);
    return err_set(err, ERR_INVALID, "%.*s", STR_ARG(buf_str(&line)));
}

static void read_sections(struct loader *l, const struct yaml_node *root)
{
    keys_collect(l, root);
    section_data_dir(l);
    section_server(l);
    section_database(l);
    section_tailnet(l);
    section_derp(l);
    section_dns(l);
    section_oidc(l);
    section_log(l);
    section_cli(l);
    section_policy(l);
    section_warnings(l);
}

static struct loader loader_new(const struct config_request *req, struct config_remarks *remarks)
{
    struct loader l = {.c = NEW(struct config), .req = req, .remarks = remarks};

    l.c->arena = arena_new();
    l.arena = l.c->arena;
    l.first_remark = remarks->len;
    l.base_dir = path_cwd(l.arena);
    return l;
}

static int load_text(struct loader *l, struct str text, struct config **out, struct err *err)
{
    struct yaml_node *root = NULL;
    struct yaml_error error = {0};

    /* A byte order mark is what some editors leave; nothing follows from it. */
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_from_index(text, 3);
    if (str_ends(l->file, STR(".toml")))
        remark(l, true, (struct place){.file = l->file},
               "TOML is not read: write the same keys as YAML or JSON, in config.yaml or "
               "config.json");
    else if (yaml_parse(l->arena, text, &root, &error))
        read_sections(l, root);
    else
        remark(l, true, (struct place){l->file, error.line, error.col}, "%s", error.text);
    return finish(l, out, err);
}

static void set_file(struct loader *l, struct str file)
{
    l->file = arena_copy(l->arena, file);
    l->c->file = path_absolute(l->arena, path_cwd(l->arena), file);
    l->base_dir = path_dir(l->arena, l->c->file);
}

int config_load_text(const struct config_request *req, struct str file, struct str text,
                     struct config **out, struct config_remarks *remarks, struct err *err)
{
    struct loader l = loader_new(req, remarks);

    set_file(&l, file);
    return load_text(&l, text, out, err);
}

/* Anybody may leave a file where somebody else works. */
static bool is_trusted(struct str path)
{
    char *name = str_dup(path);
    struct stat st;
    bool is = stat(name, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
              (st.st_mode & S_IWOTH) == 0;

    mem_free(name);
    return is;
}

/* headscale.md 1.1, our own folders first. */
static struct str search_file(struct loader *l)
{
    struct str home = env_get(l->req, STR("HOME"));
    bool has_home = str_starts(home, STR("/"));
    const struct str folders[] = {
        STR("/etc/hatsize"),
        has_home ? path_absolute(l->arena, home, STR(".hatsize")) : STR_NONE,
        STR("/etc/headscale"),
        has_home ? path_absolute(l->arena, home, STR(".headscale")) : STR_NONE,
        path_cwd(l->arena),
    };
    static const struct str names[] = {STR_INIT("config.yaml"), STR_INIT("config.yml"),
                                       STR_INIT("config.json"), STR_INIT("config.toml")};

    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        for (size_t k = 0; k < ARRAY_LEN(names) && folders[i].len > 0; k++) {
            struct str path = path_absolute(l->arena, folders[i], names[k]);
            bool is_here = i + 1 == ARRAY_LEN(folders);

            if (!file_exists(path) || (is_here && !is_trusted(path)))
                continue;
            if (i > 0)
                remark(l, false, (struct place){.file = path},
                       "this configuration is used, since there is no /etc/hatsize/config.yaml; "
                       "--config names another");
            return path;
        }
    return STR_NONE;
}

/* The file somebody named, or the first one that is there, or none. */
static struct str find_file(struct loader *l)
{
    const struct config_request *req = l->req;
    struct str named[] = {req->path, env_get(req, STR("HATSIZE_CONFIG")),
                          env_get(req, STR("HEADSCALE_CONFIG"))};

    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if (named[i].len > 0)
            return named[i];
    if (req->default_file.len > 0 && file_exists(req->default_file))
        return req->default_file;
    return req->search ? search_file(l) : STR_NONE;
}

int config_load(const struct config_request *req, struct config **out,
                struct config_remarks *remarks, struct err *err)
{
    struct loader l = loader_new(req, remarks);
    struct str file = find_file(&l), text;
    struct err cause = {0};
    int status;

    if (file.len == 0) {
        read_sections(&l, NULL);
        return finish(&l, out, err);
    }
    set_file(&l, file);
    if (config_file_read(l.arena, l.c->file, &text, &cause) == 0)
        return load_text(&l, text, out, err);

    remark(&l, true, (struct place){.file = l.file},
           "the configuration cannot be read: %s: name another one, or none for the defaults",
           cause.text);
    status = finish(&l, out, err);
    if (err)
        err->code = ERR_IO;
    return status < 0 ? -(int)ERR_IO : status;
}

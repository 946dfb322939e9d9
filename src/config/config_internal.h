#pragma once

/*
 * What the files of this room share.
 *
 *   yaml.c    text to a tree with positions
 *   keys.c    tree, environment and old names to one value a key
 *   values.c  a value as a flag, a number, a path...; complaints
 *   load.c, tls.c, dns.c, derp.c  the sections: values to struct config, checked
 */

#include <stdarg.h>

#include "config/options.h"
#include "core/clock.h"

/* ---- YAML ---- */

enum yaml_type { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_type type;
    bool is_plain;   /* a scalar without quotes */
    struct str text; /* of a scalar; NUL behind it */
    struct str key;  /* of a map's entry */
    unsigned line;   /* from 1; 0: from the environment */
    unsigned col;
    unsigned key_line;
    unsigned key_col;
    struct yaml_node *first;
    struct yaml_node *next;
    size_t len;       /* entries */
    const char *name; /* of the variable, when from the environment */
};

struct yaml_error {
    unsigned line;
    unsigned col;
    char text[160];
};

/*
 * One document, all in the arena. *out is NULL for a text without any value. False: not YAML, or
 * more than we take (32 levels, 50,000 values, aliases, repeated keys); *error is set, its
 * position inside the text.
 */
MUST_USE bool yaml_parse(struct arena *arena, struct str text, struct yaml_node **out,
                         struct yaml_error *error);
/* Nothing, "null" or "~" without quotes; also NULL. */
bool yaml_is_null(const struct yaml_node *n);
#define YAML_EACH(var, container) \
    for (const struct yaml_node *var = (container)->first; var; var = var->next)

/* ---- keys ---- */

/* name, path, what becomes of it */
#define CONFIG_KEYS(X)                                                             \
    X(DATA_DIR, "data_dir", USED)                                                  \
    X(RUN_AS, "run_as", USED)                                                      \
    X(SANDBOX, "sandbox", USED)                                                    \
    X(SERVER_URL, "server_url", USED)                                              \
    X(LISTEN_ADDR, "listen_addr", USED)                                            \
    X(METRICS_LISTEN_ADDR, "metrics_listen_addr", USED)                            \
    X(UNIX_SOCKET, "unix_socket", USED)                                            \
    X(UNIX_SOCKET_PERMISSION, "unix_socket_permission", USED)                      \
    X(NOISE_KEY, "noise.private_key_path", USED)                                   \
    X(PREFIX_V4, "prefixes.v4", USED)                                              \
    X(PREFIX_V6, "prefixes.v6", USED)                                              \
    X(ALLOCATION, "prefixes.allocation", USED)                                     \
    X(DERP_ENABLED, "derp.server.enabled", USED)                                   \
    X(DERP_REGION_ID, "derp.server.region_id", USED)                               \
    X(DERP_REGION_CODE, "derp.server.region_code", USED)                           \
    X(DERP_REGION_NAME, "derp.server.region_name", USED)                           \
    X(DERP_VERIFY, "derp.server.verify_clients", USED)                             \
    X(DERP_STUN, "derp.server.stun_listen_addr", USED)                             \
    X(DERP_KEY, "derp.server.private_key_path", USED)                              \
    X(DERP_ADD_REGION, "derp.server.automatically_add_embedded_derp_region", USED) \
    X(DERP_IPV4, "derp.server.ipv4", USED)                                         \
    X(DERP_IPV6, "derp.server.ipv6", USED)                                         \
    X(DERP_CLIENT_RATE, "derp.server.client_bytes_per_second", USED)               \
    X(DERP_CLIENT_BURST, "derp.server.client_burst_bytes", USED)                   \
    X(DERP_TOTAL_RATE, "derp.server.total_bytes_per_second", USED)                 \
    X(DERP_TOTAL_BURST, "derp.server.total_burst_bytes", USED)                     \
    X(DERP_MAX_CONNECTIONS, "derp.server.max_connections", USED)                   \
    X(DERP_MAX_PER_ADDRESS, "derp.server.max_connections_per_address", USED)       \
    X(DERP_MAX_HANDSHAKES, "derp.server.max_handshakes", USED)                     \
    X(DERP_ACCEPT_RATE, "derp.server.accepts_per_second", USED)                    \
    X(DERP_ACCEPT_BURST, "derp.server.accept_burst", USED)                         \
    X(DERP_PATHS, "derp.paths", USED)                                              \
    X(DERP_URLS, "derp.urls", USED)                                                \
    X(DERP_AUTO_UPDATE, "derp.auto_update_enabled", USED)                          \
    X(DERP_UPDATE_FREQUENCY, "derp.update_frequency", USED)                        \
    X(DERP_STUN_ENABLED, "derp.server.stun.enabled", QUIET)                        \
    X(NODE_EXPIRY, "node.expiry", USED)                                            \
    X(EPHEMERAL_TIMEOUT, "node.ephemeral.inactivity_timeout", USED)                \
    X(HA_INTERVAL, "node.routes.ha.probe_interval", USED)                          \
    X(HA_TIMEOUT, "node.routes.ha.probe_timeout", USED)                            \
    X(KEYS_RETENTION, "preauth_keys.revoked_retention", USED)                      \
    X(DATABASE_TYPE, "database.type", USED)                                        \
    X(DATABASE_DEBUG, "database.debug", USED)                                      \
    X(GORM_PREPARE, "database.gorm.prepare_stmt", QUIET)                           \
    X(GORM_PARAMETERS, "database.gorm.parameterized_queries", QUIET)               \
    X(GORM_SKIP, "database.gorm.skip_err_record_not_found", QUIET)                 \
    X(GORM_SLOW, "database.gorm.slow_threshold", USED)                             \
    X(SQLITE_PATH, "database.sqlite.path", USED)                                   \
    X(SQLITE_WAL, "database.sqlite.write_ahead_log", USED)                         \
    X(SQLITE_CHECKPOINT, "database.sqlite.wal_autocheckpoint", USED)               \
    X(PG_HOST, "database.postgres.host", USED)                                     \
    X(PG_PORT, "database.postgres.port", USED)                                     \
    X(PG_NAME, "database.postgres.name", USED)                                     \
    X(PG_USER, "database.postgres.user", USED)                                     \
    X(PG_PASS, "database.postgres.pass", USED)                                     \
    X(PG_SSL, "database.postgres.ssl", USED)                                       \
    X(PG_OPEN, "database.postgres.max_open_conns", QUIET)                          \
    X(PG_IDLE, "database.postgres.max_idle_conns", QUIET)                          \
    X(PG_IDLE_TIME, "database.postgres.conn_max_idle_time_secs", QUIET)            \
    X(TRUSTED_PROXIES, "trusted_proxies", USED)                                    \
    X(PROXY_PROTOCOL, "proxy_protocol", USED)                                      \
    X(API_ORIGINS, "api.allowed_origins", USED)                                    \
    X(WEBHOOKS_LOCAL, "webhooks.allow_local", USED)                                \
    X(ACME_URL, "acme_url", USED)                                                  \
    X(ACME_EMAIL, "acme_email", USED)                                              \
    X(ACME_CA_FILE, "acme_ca_file", USED)                                          \
    X(ACME_HOST, "tls_letsencrypt_hostname", USED)                                 \
    X(ACME_CACHE, "tls_letsencrypt_cache_dir", USED)                               \
    X(ACME_CHALLENGE, "tls_letsencrypt_challenge_type", USED)                      \
    X(ACME_LISTEN, "tls_letsencrypt_listen", USED)                                 \
    X(TLS_CERT, "tls_cert_path", USED)                                             \
    X(TLS_KEY, "tls_key_path", USED)                                               \
    X(LOG_LEVEL, "log.level", USED)                                                \
    X(LOG_FORMAT, "log.format", USED)                                              \
    X(POLICY_MODE, "policy.mode", USED)                                            \
    X(POLICY_PATH, "policy.path", USED)                                            \
    X(MAGIC_DNS, "dns.magic_dns", USED)                                            \
    X(BASE_DOMAIN, "dns.base_domain", USED)                                        \
    X(OVERRIDE_DNS, "dns.override_local_dns", USED)                                \
    X(NAMESERVERS, "dns.nameservers.global", USED)                                 \
    X(SPLIT, "dns.nameservers.split", USED)                                        \
    X(SEARCH_DOMAINS, "dns.search_domains", USED)                                  \
    X(EXTRA_RECORDS, "dns.extra_records", USED)                                    \
    X(EXTRA_RECORDS_PATH, "dns.extra_records_path", USED)                          \
    X(OIDC_ONLY_START, "oidc.only_start_if_oidc_is_available", USED)               \
    X(OIDC_ISSUER, "oidc.issuer", USED)                                            \
    X(OIDC_CLIENT_ID, "oidc.client_id", USED)                                      \
    X(OIDC_SECRET, "oidc.client_secret", USED)                                     \
    X(OIDC_SECRET_PATH, "oidc.client_secret_path", USED)                           \
    X(OIDC_SCOPE, "oidc.scope", USED)                                              \
    X(OIDC_EXTRA, "oidc.extra_params", USED)                                       \
    X(OIDC_DOMAINS, "oidc.allowed_domains", USED)                                  \
    X(OIDC_USERS, "oidc.allowed_users", USED)                                      \
    X(OIDC_GROUPS, "oidc.allowed_groups", USED)                                    \
    X(OIDC_ADMIN_USERS, "oidc.admin_users", USED)                                  \
    X(OIDC_ADMIN_GROUPS, "oidc.admin_groups", USED)                                \
    X(OIDC_ADMIN_SUBJECTS, "oidc.admin_subjects", USED)                            \
    X(OIDC_VERIFIED, "oidc.email_verified_required", USED)                         \
    X(OIDC_TOKEN_EXPIRY, "oidc.use_expiry_from_token", USED)                       \
    X(OIDC_PKCE, "oidc.pkce.enabled", USED)                                        \
    X(OIDC_PKCE_METHOD, "oidc.pkce.method", USED)                                  \
    X(OIDC_TITLE, "oidc.title", USED)                                              \
    X(OIDC_TAILNET, "oidc.tailnet", USED)                                          \
    X(OIDC_CA_FILE, "oidc.ca_file", USED)                                          \
    X(OIDC_PROVIDERS, "oidc_providers", USED)                                      \
    X(TAILNETS_NODES, "tailnets.max_nodes", USED)                                  \
    X(TAILNETS_USERS, "tailnets.max_users", USED)                                  \
    X(TAILNETS_KEYS, "tailnets.max_keys", USED)                                    \
    X(LOGTAIL, "logtail.enabled", USED)                                            \
    X(TAILDROP, "taildrop.enabled", USED)                                          \
    X(AUTO_UPDATE, "auto_update.enabled", USED)                                    \
    X(RANDOMIZE_PORT, "randomize_client_port", USED)                               \
    X(CLI_ADDRESS, "cli.address", USED)                                            \
    X(CLI_API_KEY, "cli.api_key", USED)                                            \
    X(CLI_TIMEOUT, "cli.timeout", USED)                                            \
    X(CLI_INSECURE, "cli.insecure", USED)                                          \
    X(CHECK_UPDATES, "disable_check_updates", QUIET)                               \
    X(TUNING_1, "tuning.notifier_send_timeout", QUIET)                             \
    X(TUNING_2, "tuning.batch_change_delay", QUIET)                                \
    X(TUNING_3, "tuning.node_mapsession_buffered_chan_size", QUIET)                \
    X(TUNING_4, "tuning.batcher_workers", QUIET)                                   \
    X(TUNING_5, "tuning.register_cache_expiration", USED)                          \
    X(TUNING_6, "tuning.register_cache_max_entries", USED)                         \
    X(TUNING_7, "tuning.node_store_batch_size", QUIET)                             \
    X(TUNING_8, "tuning.node_store_batch_timeout", QUIET)                          \
    X(GRPC_LISTEN, "grpc_listen_addr", USED)                                       \
    X(GRPC_INSECURE, "grpc_allow_insecure", USED)                                  \
    /* Names of older releases. */                                                 \
    X(OLD_POLICY_PATH, "acl_policy_path", OLD)                                     \
    X(OLD_MAGIC_DNS, "dns_config.magic_dns", OLD)                                  \
    X(OLD_BASE_DOMAIN, "dns_config.base_domain", OLD)                              \
    X(OLD_OVERRIDE_DNS, "dns_config.override_local_dns", OLD)                      \
    X(OLD_NAMESERVERS, "dns_config.nameservers", OLD)                              \
    X(OLD_SPLIT, "dns_config.restricted_nameservers", OLD)                         \
    X(OLD_DOMAINS, "dns_config.domains", OLD)                                      \
    X(OLD_RECORDS, "dns_config.extra_records", OLD)                                \
    X(OLD_USERNAME_1, "dns.use_username_in_magic_dns", GONE)                       \
    X(OLD_USERNAME_2, "dns_config.use_username_in_magic_dns", GONE)                \
    X(OLD_STRIP, "oidc.strip_email_domain", GONE)                                  \
    X(OLD_LEGACY_USERS, "oidc.map_legacy_users", GONE)                             \
    X(OLD_OIDC_EXPIRY, "oidc.expiry", OLD)                                         \
    X(OLD_EPHEMERAL, "ephemeral_node_inactivity_timeout", OLD)                     \
    X(OLD_PREFIX, "ip_prefix", USED)                                               \
    X(OLD_PREFIXES, "ip_prefixes", USED)                                           \
    X(OLD_PRIVATE_KEY, "private_key_path", GONE)                                   \
    X(OLD_DB_TYPE, "db_type", OLD)                                                 \
    X(OLD_DB_PATH, "db_path", OLD)                                                 \
    X(OLD_DB_HOST, "db_host", OLD)                                                 \
    X(OLD_DB_PORT, "db_port", OLD)                                                 \
    X(OLD_DB_NAME, "db_name", OLD)                                                 \
    X(OLD_DB_USER, "db_user", OLD)                                                 \
    X(OLD_DB_PASS, "db_pass", OLD)                                                 \
    X(OLD_DB_SSL, "db_ssl", OLD)                                                   \
    X(OLD_LOG_LEVEL, "log_level", OLD)                                             \
    X(OLD_CHECK_INTERVAL, "node_update_check_interval", QUIET)                     \
    X(OLD_CLIENT_AUTH, "tls_client_auth_mode", USED)                               \
    X(OLD_DOMAIN_MAP, "oidc.domain_map", QUIET)

enum config_key {
#define X(name, path, fate) KEY_##name,
    CONFIG_KEYS(X)
#undef X
        KEY_COUNT
};

/* ---- loading ---- */

struct loader {
    struct config *c; /* being filled */
    struct arena *arena;
    const struct config_request *req;
    struct config_remarks *remarks;
    size_t first_remark; /* of this load */
    size_t errors;
    struct str file;                           /* as shown; empty: none */
    struct str base_dir;                       /* absolute, of the file or the working directory */
    const struct yaml_node *values[KEY_COUNT]; /* NULL: unset */
};

/* The path of a key as written in files. */
struct str key_path(enum config_key key);
/* Fills l->values, from the tree (may be NULL), then the environment, then old names. */
void keys_collect(struct loader *l, const struct yaml_node *root);
/* The value of a variable of the request's environment, empty when unset. */
struct str env_get(const struct config_request *req, struct str name);

/* ---- complaints (values.c) ---- */

/* `at` NULL: about no place. The text says what is wrong and what to write instead. */
PRINTF_LIKE(3, 4) void error_at(struct loader *l, const struct yaml_node *at, const char *fmt, ...);
PRINTF_LIKE(3, 4)
void notice_at(struct loader *l, const struct yaml_node *at, const char *fmt, ...);
/* About an entry's key. */
PRINTF_LIKE(3, 4)
void notice_at_key(struct loader *l, const struct yaml_node *at, const char *fmt, ...);
struct place {
    struct str file;
    unsigned line;
    unsigned col;
};
PRINTF_LIKE(4, 5)
void remark(struct loader *l, bool is_error, struct place place, const char *fmt, ...);
/* Puts this load's remarks in the order of the file. */
void remarks_sort(struct loader *l);
/* A scalar as complaints quote it: printable, cut at 60 bytes. */
struct str shown(struct loader *l, struct str text);

/* ---- values (values.c) ---- */

/*
 * Each returns whether a good value was there; the output is untouched otherwise. Null and the
 * empty text count as unset; a bad value is an error remarked.
 */
MUST_USE bool value_text(struct loader *l, enum config_key key, struct str *out);
bool value_bool(struct loader *l, enum config_key key, bool *out);
bool value_int(struct loader *l, enum config_key key, int64_t lo, int64_t hi, int64_t *out);
bool value_duration(struct loader *l, enum config_key key, int64_t *ms);
bool value_path(struct loader *l, enum config_key key, struct str *out);
bool value_listen(struct loader *l, enum config_key key, struct ip_addrport *out);
/* The list, or NULL; a single text counts as a list of one. */
const struct yaml_node *value_list(struct loader *l, enum config_key key);
/* A scalar without control characters; else an error that begins with `what`. */
MUST_USE bool node_text(struct loader *l, const struct yaml_node *n, struct str what,
                        struct str *out);
MUST_USE bool node_bool(struct loader *l, const struct yaml_node *n, struct str what, bool *out);
/* Absolute and without "." parts at the front; relative ones are from base_dir. */
struct str path_absolute(struct arena *arena, struct str base_dir, struct str path);
struct str path_cwd(struct arena *arena);
struct str path_dir(struct arena *arena, struct str path);

/* ---- sections ---- */

void section_tls(struct loader *l);
/* After server_url and listen_addr. */
void section_acme(struct loader *l);
void section_proxies(struct loader *l);
void section_api(struct loader *l);
void section_derp(struct loader *l);
void section_dns(struct loader *l);
void section_database(struct loader *l);
void section_oidc(struct loader *l);
/* A file of records, whole, into l->c->dns. */
void records_read(struct loader *l, const struct yaml_node *root);
/* Reads a relay map file's text into the regions; those of the same id give way, null ones go. */
void derp_map_merge(struct loader *l, struct str file, struct str text);
MUST_USE bool domain_is_valid(struct str name); /* labels of letters, digits, '-', '_' */
/* Lower case, dots at the ends gone. */
struct str domain_clean(struct arena *arena, struct str name);

/* ---- this machine (address.c) ---- */

struct ip_addr address_primary(void); /* the one others would see; loopback if there is none */
void server_url_derive(struct config *c, uint16_t port);

/* A file's whole text, in the arena. */
MUST_USE int config_file_read(struct arena *arena, struct str path, struct str *out,
                              struct err *err);

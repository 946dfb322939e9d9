#pragma once

/*
 * What the server and its command line are told: from nothing at all, a YAML file in headscale's
 * words, and the environment, made into one struct with every default already in it.
 *
 *   file --yaml--> tree --+
 *                         +--> one value a key --> sections, checked --> struct config
 *   HEADSCALE_*, HATSIZE_*+
 *
 * The file is the one named by --config, else by $HATSIZE_CONFIG, else by $HEADSCALE_CONFIG, else
 * the first that is there of config.yaml, config.yml and config.json in /etc/hatsize, ~/.hatsize,
 * and headscale's folders: /etc/headscale, ~/.headscale, the working directory (there only if it is
 * ours or root's). None of them: the embedded default, a working private network on one machine. A
 * file that was named and cannot be read is an error. TOML is not read, and said so: Debian 12 has
 * no library of C for it.
 *
 * The environment beats the file: HATSIZE_ or HEADSCALE_ (the former wins) and the key's path in
 * capitals with '_' for '.', as HEADSCALE_DERP_SERVER_ENABLED; an empty variable counts as unset;
 * lists are split on white space.
 *
 * Relative paths in the file are taken from the file's directory; --data-dir and the paths of the
 * environment from the working directory. Every path in struct config is absolute.
 *
 * Keys, aliases and their meaning: headscale.md 1.1 to 1.4.
 */

#include "auth/oidc.h"
#include "core/arena.h"
#include "core/err.h"
#include "core/log.h"
#include "ip/addrport.h"
#include "store/store.h"
#include "tailnet/domain.h"
#include "tailnet/info.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20) /* bytes; also of each DERP map file */

/* What strangers and clients may take of the server. The relay's share of the machine: */
struct config_limits {
    uint64_t client_bytes_per_second, client_burst_bytes; /* 0: no limit */
    uint64_t total_bytes_per_second, total_burst_bytes;   /* of all clients together; 0: none */
    /* The main port's, on which control and relay are. */
    size_t max_connections;             /* at a time; beyond it new ones are closed */
    size_t max_connections_per_address; /* /64 for IPv6 */
    /* Connections that are nothing yet; beyond it the oldest are closed. A server that knows many
     * machines takes more (daemon/door.c). */
    size_t max_handshakes;
    uint32_t accepts_per_second; /* 0: no limit */
    uint32_t accept_burst;
};

struct config_derp {
    bool enabled;    /* the embedded relay with STUN; true unless switched off */
    bool add_region; /* the embedded region goes into the relay map by itself */
    bool verify_clients;
    uint32_t region_id; /* 999 */
    struct str region_code;
    struct str region_name;
    struct ip_addrport stun_listen; /* [::]:3478; port 0: any */
    struct str private_key_path;    /* derp_private.key */
    /* The self-signed certificate that the relay map pins; both made when absent. */
    struct str cert_path; /* derp_cert.pem */
    struct str key_path;  /* derp_key.pem */
    struct str ipv4;      /* literal of the embedded region's node; empty: not told */
    struct str ipv6;
    struct config_limits limits;
    /* From derp.paths, merged in order, by rising id; without the embedded one. */
    struct derp_region *regions;
    size_t n_regions;
    /* More maps, in JSON; regions of derp.paths and the embedded one beat theirs. */
    struct str *urls;
    size_t n_urls;
    bool auto_update;  /* asked for again */
    int64_t update_ms; /* every so often; 3 h */
};

struct config_dns {
    bool magic_dns;
    struct str base_domain; /* lower case, no dots at the ends */
    bool override_local_dns;
    struct dns_resolver *resolvers;
    size_t n_resolvers;
    struct dns_split *splits;
    size_t n_splits;
    struct str *search_domains;
    size_t n_search_domains;
    struct dns_record *records;
    size_t n_records;
    struct str records_path; /* a JSON file of them, watched; empty: none */
};

/* Certificates that come by themselves. */
struct config_acme {
    struct str host; /* whom for, lower case; empty: off */
    struct str dir;
    struct str url;     /* the authority's directory; empty: Let's Encrypt */
    struct str ca_file; /* whom to trust about that server; empty: the system's */
    struct str email;
    bool tls_alpn_01;          /* on the main port; else HTTP-01 */
    struct ip_addrport listen; /* for HTTP-01; [::]:80 */
};

/* Log-in with identity providers; `oidc` first, then those of `oidc_providers`. */
struct config_oidc {
    const struct oidc_provider *providers;
    size_t n_providers;
    bool only_start_if_available;
};

struct config_postgres {
    bool is_used;    /* database.type says so; else SQLite is */
    struct str host; /* or the directory of its Unix socket; empty: libpq's default */
    uint16_t port;   /* 0: not given */
    struct str name;
    struct str user;
    struct str pass;    /* secret */
    struct str sslmode; /* libpq's word; empty: libpq's default, prefer */
};

struct config_cli {
    struct str address; /* empty: the Unix socket of this machine */
    struct str api_key; /* secret */
    int64_t timeout_ms;
    bool insecure;
};

/* Everything in it lives in `arena`; read-only once loaded. Free with config_free. */
struct config {
    struct arena *arena;
    struct str file;     /* the configuration file; empty: the embedded default */
    struct str data_dir; /* made by whoever writes into it first, 0700 */
    bool data_dir_is_default;
    struct str run_as; /* who a server that is started as root becomes; empty: nobody else */
    bool sandbox;      /* host/sandbox.h; true unless switched off */

    struct str server_url;      /* "http://host:port" or https, no slash at the end */
    bool server_url_is_derived; /* nobody set it: from this machine's address and the port */
    bool server_is_tls;         /* server_url begins with https */
    struct str server_host;     /* name or literal without brackets */
    uint16_t server_port;       /* 80 or 443 when the URL has none */

    struct ip_addrport listen;         /* [::] takes IPv4 too; port 0: any */
    struct ip_addrport metrics_listen; /* family IP_NONE: off */
    struct ip_addrport grpc_listen; /* family IP_NONE: off */
    bool grpc_is_asked_for;         /* the configuration names an address, or none */
    bool grpc_allow_insecure;       /* also where there is no certificate for clients */
    struct str unix_socket;
    unsigned unix_socket_mode; /* permission bits */
    struct str noise_key_path;
    struct str tls_cert_path; /* both or neither */
    struct str tls_key_path;
    struct config_acme acme;
    struct ip_prefix *trusted_proxies; /* masked, none of length 0 */
    size_t n_trusted_proxies;
    bool proxy_protocol; /* those begin each connection with a PROXY header */
    bool webhooks_allow_local; /* webhooks may be on this machine, or link-local */
    struct str_list api_origins; /* whose pages may call the API from a browser; "*": all */

    struct str sqlite_path;
    bool sqlite_wal;
    uint32_t sqlite_wal_autocheckpoint; /* pages; 0: never */
    struct config_postgres postgres;
    bool database_debug;       /* each statement goes to the log */
    uint32_t database_slow_ms; /* those that take as long do; 0: none */

    struct ip_prefix prefix_v4; /* IP_NONE: none; at least one of the two is set */
    struct ip_prefix prefix_v6;
    enum address_allocation allocation;
    int64_t node_expiry_ms;       /* 0: never */
    int64_t ephemeral_timeout_ms; /* more than 65 s */
    struct pending_limits pending; /* of registrations that wait for approval */
    struct quotas new_quotas;      /* what tailnets made from now on begin with */
    int64_t revoked_retention_ms; /* of revoked auth keys; 0: for ever */
    /* How often routers of the same subnet are asked whether they are there; 0: never. */
    int64_t ha_interval_ms;
    int64_t ha_timeout_ms; /* for their answer */
    bool taildrop;
    bool logtail;
    bool auto_update;
    bool randomize_client_port;

    /*
     * Where the first tailnet's policy comes from. From the database, by the API and the command
     * line, when the mode says so or when there is no configuration file; else from the file at
     * policy_path, and when that is empty there is none.
     */
    bool policy_in_database;
    struct str policy_path;

    struct config_derp derp;
    struct config_dns dns;
    struct config_oidc oidc;
    struct config_cli cli;

    enum log_level log_level;
    enum log_format log_format;
};
void config_free(struct config *c); /* wipes what is secret */
DEFINE_AUTO(struct config, config_free);

/* One thing to say about a file or a variable. All owned by the list. */
struct config_remark {
    bool is_error;   /* false: a notice, the configuration is used all the same */
    struct str file; /* where; "environment" for variables */
    unsigned line;   /* from 1; 0: no place in a file (environment, a missing file) */
    unsigned col;    /* from 1, in characters; 0 as above */
    struct str text; /* what is wrong and what to write instead */
};
struct config_remarks {
    struct config_remark *items;
    size_t len;
    size_t cap;
};
void config_remarks_fini(struct config_remarks *r);
/* "file:3:7: text", without a line end. */
void config_remark_put(struct buf *out, const struct config_remark *r);

struct config_request {
    struct str path;            /* --config; empty: search */
    struct str data_dir;        /* --data-dir; empty: not given */
    struct str default_file;    /* "/etc/hatsize/config.yaml"; empty: none */
    bool search;                /* in the folders above, when that is not there */
    const char *const *environ; /* "NAME=value", NULL at the end; NULL: none */
    bool is_root;               /* whose default directories */
};
/* This process: its environment and privilege, no options given. */
struct config_request config_request_here(void);

/*
 * Loads what the request says. Remarks are appended, in the order of the file, also when it fails.
 * 0: *out is set. ERR_INVALID: an error was remarked; err holds the first one and how many follow.
 * ERR_IO: the file cannot be read (remarked too). Reads files; makes no directories.
 */
MUST_USE int config_load(const struct config_request *req, struct config **out,
                         struct config_remarks *remarks, struct err *err);
/* As above with the file's text given; `file` is its name, and what relative paths start from. */
MUST_USE int config_load_text(const struct config_request *req, struct str file, struct str text,
                              struct config **out, struct config_remarks *remarks, struct err *err);

/*
 * Where the server's Unix socket is, for server and command line alike. Unless unix_socket says:
 * /run/hatsize/hatsize.sock for root with the default data directory, else in the data directory.
 */
struct str config_socket_path(const struct config *c);
/* Makes server_url anew from this machine's primary address, for a port known after listening.
 * Without effect when somebody set server_url. */
void config_derive_server_url(struct config *c, uint16_t port);

/*
 * The first tailnet as configured: prefixes, flags, DNS, the relay regions of derp.paths. The
 * embedded region is added by who knows its certificate. id 0, created_ms 0; count 1, the
 * caller's.
 */
MUST_USE struct tailnet_info *config_tailnet_info(const struct config *c, struct str name);

/*
 * Asks each log-in provider about itself, as the server does at its start; blocks, for some seconds
 * where nobody answers. Without effect when the server would start all the same.
 */
MUST_USE int config_ask_providers(const struct config *c, struct err *err);

/* What the store is told; borrows the configuration. config_store_fini when the store is open. */
struct config_store {
    struct store_postgres postgres;
    struct store_options options;
    struct str backup_dir;
};
const struct store_options *config_store_options(const struct config *c, struct config_store *room);
void config_store_fini(struct config_store *room);

/*
 * What is read while the server runs: dns.extra_records_path, and relay maps of derp.urls. JSON or
 * YAML. ERR_INVALID: `err` says where and why. Finished with the _fini of its kind.
 */
struct config_records {
    struct arena *arena;
    struct dns_record *items;
    size_t len;
};
MUST_USE int config_records_parse(struct str file, struct str text, struct config_records *out,
                                  struct err *err);
void config_records_fini(struct config_records *r);
struct config_regions {
    struct arena *arena;
    struct derp_region *items; /* by rising id */
    size_t len;
};
MUST_USE int config_regions_parse(struct str file, struct str text, struct config_regions *out,
                                  struct err *err);
void config_regions_fini(struct config_regions *r);
/* Adds copies of those whose ids are not there yet. */
void config_add_regions(struct tailnet_info *info, const struct config_regions *more);
void config_add_records(struct tailnet_info *info, const struct config_records *more);

/* The whole of it as "key: value" lines in headscale's words, secrets as "(set)". For comparing and
 * showing. */
void config_put(struct buf *out, const struct config *c);

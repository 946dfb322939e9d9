#pragma once

/*
 * What a tailnet is apart from its users and nodes: its name, settings, DNS and relay map.
 * Immutable and counted, like nodes.
 */

#include "core/mem.h"
#include "core/str.h"
#include "ip/addr.h"
#include "ip/prefix.h"
#include "tailnet/settings.h"
#include "tailnet/types.h"

struct derp_node {
    struct str name; /* unique over all regions */
    struct str host_name;
    struct str cert_name; /* "sha256-raw:…" pins a certificate; empty: host_name is verified */
    struct str ipv4;      /* literal, "none" or empty */
    struct str ipv6;
    int stun_port; /* 0: 3478, -1: none */
    bool stun_only;
    int derp_port; /* 0: 443 */
    bool can_port80;
    bool insecure_for_tests;
};

struct derp_region {
    uint32_t id;
    struct str code;
    struct str name;
    bool avoid;
    bool no_measure_no_home;
    struct derp_node *nodes;
    size_t n_nodes;
};

/* A deep copy; mem_free by derp_regions_free. */
MUST_USE struct derp_region *derp_regions_copy(const struct derp_region *r, size_t n);
void derp_regions_free(struct derp_region *r, size_t n);
bool derp_regions_eq(const struct derp_region *a, size_t n_a, const struct derp_region *b,
                     size_t n_b);

struct dns_resolver {
    struct str addr;     /* IP, IP:port or https URL */
    bool with_exit_node; /* asked directly also by who sends all else through an exit node */
};
struct dns_split {
    struct str suffix;
    struct dns_resolver *resolvers; /* none: answered by the client itself */
    size_t n_resolvers;
};
struct dns_record {
    struct str name;
    struct str type; /* "A", "AAAA" */
    struct str value;
};

struct dns_settings;

enum address_allocation { ADDRESS_SEQUENTIAL, ADDRESS_RANDOM };

struct tailnet_info {
    struct ref ref;
    tailnet_id id;
    struct str name;        /* unique on the server; [a-z0-9-], "default" for the first */
    struct str base_domain; /* its machines are <given name>.<base_domain>; no dots at the ends */
    struct str domain;      /* shown by clients as the tailnet's name (MapResponse.Domain) */
    int64_t created_ms;

    struct ip_prefix prefix_v4; /* bits and family 0: none; at least one of the two is set */
    struct ip_prefix prefix_v6;
    enum address_allocation allocation;
    int64_t node_expiry_ms;       /* 0: never */
    int64_t ephemeral_timeout_ms; /* after the last stream ended */
    bool taildrop;
    bool logtail;
    bool auto_update;
    bool randomize_client_port;
    struct tailnet_settings settings; /* put over the above; tailnet_info_settle_settings */
    bool suspended; /* as settings say: no machine of it has access, its keys open nothing */

    bool magic_dns;
    bool override_local_dns;
    struct dns_resolver *resolvers;
    size_t n_resolvers;
    struct dns_split *splits;
    size_t n_splits;
    struct str_list search_domains;
    struct dns_record *records;
    size_t n_records;
    /* Set by administrators in place of what is configured, which is kept beside: see dns.h. Both
     * NULL: nothing is. */
    struct dns_settings *dns_own;
    struct dns_settings *dns_configured;

    struct derp_region *regions;
    size_t n_regions;

    /* As its author wrote it, comments and layout too; nothing here reads it. Empty: none. */
    struct str policy;
    struct str policy_author;
    int64_t policy_updated_ms; /* rises with every new text; 0: there never was one */
};
/* Empty, count 1; fill it before it is shared. */
MUST_USE struct tailnet_info *tailnet_info_new(void);
/* Deep copy to change. */
MUST_USE struct tailnet_info *tailnet_info_clone(const struct tailnet_info *i);
struct tailnet_info *tailnet_info_ref(const struct tailnet_info *i);
void tailnet_info_unref(const struct tailnet_info *i);
DEFINE_AUTO(const struct tailnet_info, tailnet_info_unref);

/* One tailnet's user. Immutable, counted. */
struct user {
    struct ref ref;
    user_id id;
    tailnet_id tailnet;
    struct str name; /* unique among the tailnet's local users */
    struct str display_name;
    struct str email;
    struct str picture_url;
    struct str provider;    /* "" local, "oidc" */
    struct str provider_id; /* issuer and subject; "" for local users */
    /* What the provider said at the last log-in, each as policies name it: "oidc:engineering".
     * Sorted. */
    struct str_list groups;
    enum user_role role;
    enum user_status status;
    int64_t created_ms;
};
MUST_USE struct user *user_new(void);
MUST_USE struct user *user_clone(const struct user *u);
struct user *user_ref(const struct user *u);
void user_unref(const struct user *u);
DEFINE_AUTO(const struct user, user_unref);
/* How clients are told of the user: email, else name, else provider id, else the id in decimal. */
struct str user_login_name(const struct user *u, struct buf *scratch);
struct str user_display(const struct user *u, struct buf *scratch);
/* "member", "network-admin": the words for roles in policies and in both APIs. */
struct str user_role_name(enum user_role role);
MUST_USE bool user_role_find(struct str name, enum user_role *role);
/* "active", "needs-approval", "suspended", as REST v2 has them. */
struct str user_status_name(enum user_status status);

/* A key that registers nodes. The secret itself is never kept, only its hash. Immutable, counted.
 */
struct auth_key {
    struct ref ref;
    auth_key_id id;
    tailnet_id tailnet;
    user_id user; /* 0: the tags own it */
    struct str_list tags;
    struct str prefix; /* 12 hex characters: what lists show and look-ups use */
    uint8_t hash[32];  /* SHA-256 of the 64-character secret */
    /* Of imported keys: a bcrypt hash, "sha256:" and the hash of the whole text, or that text. */
    struct str legacy;
    bool reusable;
    bool ephemeral;
    bool preauthorized; /* machines that come with it need nobody to approve them */
    bool used;
    int64_t created_ms;
    int64_t expiry_ms;  /* 0: never */
    int64_t revoked_ms; /* 0: it is not. Else it is good for nothing and goes after a while */
    struct str description;
};
MUST_USE struct auth_key *auth_key_new(void);
MUST_USE struct auth_key *auth_key_clone(const struct auth_key *k);
struct auth_key *auth_key_ref(const struct auth_key *k);
void auth_key_unref(const struct auth_key *k);
DEFINE_AUTO(const struct auth_key, auth_key_unref);

#pragma once

/*
 * A policy as written: the text, parsed and checked as far as that goes without a tailnet.
 *
 *   text --policy_document_parse--> struct policy_document --policy_compile (policy.h)--> answers
 *
 * Immutable and counted; any thread may read it. Everything it points to lives in its own arena, in
 * the order of the text. Names of groups, tags, hosts, sets and postures are resolved to the entry
 * they mean; whether users exist only a tailnet can say.
 *
 * Positions count lines and columns from 1, columns in characters.
 *
 * Sources: shared facts in policy.md, checked against captures of the hosted service.
 */

#include "core/arena.h"
#include "core/buf.h"
#include "core/mem.h"
#include "ip/ports.h"
#include "ip/prefix.h"
#include "ip/set.h"
#include "json/value.h"

struct policy_pos {
    uint32_t line;
    uint32_t col;
};

/* Bounds on one policy; what is over is refused with a complaint that names the bound. */
#define POLICY_TEXT_MAX ((size_t)4 << 20) /* bytes */
#define POLICY_RULES_MAX 20000            /* acls and grants together; ssh rules */
#define POLICY_NAMES_MAX 20000            /* of each kind: groups, tags, hosts, sets, postures */
#define POLICY_SELECTORS_MAX 200000       /* in all lists together */
#define POLICY_SET_RANGES_MAX 100000      /* ranges of one ipset after its operations */

enum policy_autogroup {
    AUTOGROUP_NONE,
    AUTOGROUP_SELF,
    AUTOGROUP_INTERNET,
    AUTOGROUP_MEMBER, /* and its old name, autogroup:members */
    AUTOGROUP_TAGGED,
    AUTOGROUP_OWNER,
    AUTOGROUP_ADMIN, /* the owner too */
    AUTOGROUP_NETWORK_ADMIN,
    AUTOGROUP_IT_ADMIN,
    AUTOGROUP_BILLING_ADMIN,
    AUTOGROUP_AUDITOR,
    AUTOGROUP_SHARED,
    AUTOGROUP_NONROOT,
    AUTOGROUP_DANGER_ALL,
};

/* What a selector string is; policy.md 3. */
enum policy_selector_kind {
    SELECTOR_PREFIX, /* address or CIDR */
    SELECTOR_WILDCARD,
    SELECTOR_USER,   /* contains '@' */
    SELECTOR_DOMAIN, /* user:*@domain */
    SELECTOR_GROUP,
    SELECTOR_TAG,
    SELECTOR_AUTOGROUP,
    SELECTOR_IPSET,
    SELECTOR_HOST,
    SELECTOR_TAILNET, /* tailnet:name, guests from there; a source only */
    SELECTOR_SERVICE, /* svc:name; nothing delivers it yet */
};

/* One per distinct selector of a document; lists point to it, so pointers compare as meaning. */
struct policy_selector {
    enum policy_selector_kind kind;
    size_t index;    /* in document->selectors */
    struct str text; /* trimmed, as written where it came first */
    /* PREFIX, HOST: masked. */
    struct ip_prefix prefix;
    enum policy_autogroup autogroup;  /* AUTOGROUP */
    struct str user;                  /* USER: without one trailing '@' (headscale's form) */
    struct str domain;                /* DOMAIN: behind the last '@' */
    struct str tailnet;               /* TAILNET: behind the ':' */
    const struct policy_group *group; /* GROUP */
    const struct policy_tag *tag;     /* TAG */
    const struct policy_ipset *ipset; /* IPSET */
};

/* A selector where it was used. */
struct policy_ref {
    const struct policy_selector *selector;
    struct policy_pos pos;
};
struct policy_refs {
    struct policy_ref *items;
    size_t len;
};
struct policy_word { /* a string where it stood */
    struct str text;
    struct policy_pos pos;
};
struct policy_words {
    struct policy_word *items;
    size_t len;
};

struct policy_group {
    struct str name; /* with "group:" */
    struct policy_pos pos;
    struct policy_refs members; /* SELECTOR_USER only */
};
struct policy_host {
    struct str name;
    struct policy_pos pos;
    struct ip_prefix prefix; /* masked */
};
struct policy_ipset {
    struct str name; /* with "ipset:" */
    struct policy_pos pos;
    struct ip_set set; /* after all operations */
};
struct policy_tag {
    struct str name; /* with "tag:" */
    struct policy_pos pos;
    struct policy_refs owners; /* USER, GROUP, TAG, AUTOGROUP */
};

/* Postures: all assertions of one must hold. policy.md 5.10. */
enum policy_assert_op {
    ASSERT_EQ,
    ASSERT_NE,
    ASSERT_LT,
    ASSERT_LE,
    ASSERT_GT,
    ASSERT_GE,
    ASSERT_IN,
    ASSERT_NOT_IN,
    ASSERT_IS_SET,
    ASSERT_NOT_SET,
};
struct policy_assertion {
    struct str text;      /* as written */
    struct str attribute; /* "node:os", "custom:tier" */
    enum policy_assert_op op;
    struct policy_words values; /* one, or the list of IN; numbers and booleans as their text */
    struct policy_pos pos;
};
struct policy_posture {
    struct str name; /* with "posture:" */
    struct policy_pos pos;
    size_t index; /* in document->postures */
    struct policy_assertion *assertions;
    size_t n_assertions;
};
struct policy_postures {
    const struct policy_posture **items;
    size_t len;
};

/* A destination: a selector, and in acls its ports. */
struct policy_target {
    struct policy_ref ref;
    struct ip_ports *ports; /* acls only, in the text's order, at least one */
    size_t n_ports;
};
/* One entry of grants[].ip. */
struct policy_proto_ports {
    int proto; /* -1: none given */
    struct ip_ports *ports;
    size_t n_ports;
    struct policy_pos pos;
};
struct policy_capability {
    struct str name;
    struct str values; /* the JSON array as written, comments and white space taken out */
    struct policy_pos pos;
};

/* One entry of acls or grants. */
struct policy_rule {
    bool is_acl;
    size_t index; /* in its own list of the text */
    struct policy_pos pos;
    struct policy_refs src;
    struct policy_target *dst;
    size_t n_dst;
    int proto;                     /* acls: -1: none given */
    struct policy_proto_ports *ip; /* grants */
    size_t n_ip;
    struct policy_capability *app; /* grants */
    size_t n_app;
    struct policy_refs via; /* grants: tags */
    /* Any one of these must hold for a source node; empty: no condition. The default where the rule
     * names none. */
    struct policy_postures postures;
};

enum policy_ssh_action { SSH_ACCEPT, SSH_CHECK };
#define POLICY_CHECK_PERIOD_DEFAULT_MS ((int64_t)12 * 3600 * 1000)
struct policy_ssh_rule {
    size_t index;
    struct policy_pos pos;
    enum policy_ssh_action action;
    int64_t period_ms; /* SSH_CHECK: 0 for "always" */
    struct policy_refs src;
    struct policy_refs dst;
    bool root;
    bool nonroot;
    struct policy_words logins;     /* literal login names, in order */
    struct policy_words localparts; /* domains of localpart:*@domain, in order */
    struct policy_words accept_env;
    struct policy_refs recorders; /* tags */
    bool enforce_recorder;
    struct policy_postures postures;
};

struct policy_node_attr {
    struct policy_pos pos;
    struct policy_refs targets;
    struct policy_words attrs;
    struct policy_capability *app; /* app connectors' configuration */
    size_t n_app;
    struct ip_prefix *ip_pools;
    size_t n_ip_pools;
};

struct policy_route_approver {
    struct ip_prefix prefix; /* masked */
    struct policy_pos pos;
    struct policy_refs approvers;
};
struct policy_service_approver {
    struct str name; /* svc:... */
    struct policy_pos pos;
    struct policy_refs approvers;
};

/*
 * Assertions of the author; their shape is judged when they run (policy.md 13). What they name is
 * among the document's selectors; NULL where it is no selector or names nothing that is defined,
 * for that fails the test and does not refuse the text.
 */
struct policy_test {
    struct policy_pos pos;
    struct policy_word src;
    const struct policy_selector *src_is;
    const struct policy_selector **accept_is; /* of each of accept, ports aside */
    const struct policy_selector **deny_is;
    struct policy_word proto; /* empty: none; a JSON number as its text */
    struct policy_words accept;
    struct policy_words deny;
};
struct policy_ssh_test {
    struct policy_pos pos;
    struct policy_word src;
    const struct policy_selector *src_is;
    const struct policy_selector **dst_is; /* of each of dst */
    struct policy_words dst;
    struct policy_words accept;
    struct policy_words check;
    struct policy_words deny;
};

/* Something to tell the author that is no reason to refuse. */
struct policy_finding {
    struct policy_pos pos;
    struct str text;
};
struct policy_findings {
    struct policy_finding *items;
    size_t len;
};

enum policy_cgnat_route { CGNAT_DEFAULT, CGNAT_MAC_ALWAYS, CGNAT_MAC_NEVER };

/* A relay region of derpMap; one without text takes the server's region of that number away. */
struct policy_derp_region {
    uint32_t id;
    struct str json; /* as clients read it (tailcfg.DERPRegion) */
};

struct policy_document {
    struct ref ref;
    struct arena *arena;
    struct str text; /* as given, comments and layout too */

    struct policy_selector **selectors; /* every distinct one */
    size_t n_selectors;

    /* Sections in the text's order, except that groups, tags and the like are sorted by name. */
    struct policy_group *groups;
    size_t n_groups;
    struct policy_host *hosts;
    size_t n_hosts;
    struct policy_ipset *ipsets;
    size_t n_ipsets;
    struct policy_tag *tags;
    size_t n_tags;
    struct policy_posture *postures;
    size_t n_postures;
    struct policy_rule *grants;
    size_t n_grants;
    struct policy_rule *acls;
    size_t n_acls;
    bool has_rules; /* acls or grants is there, be it empty: else everything is allowed */
    struct policy_ssh_rule *ssh;
    size_t n_ssh;
    struct policy_node_attr *node_attrs;
    size_t n_node_attrs;
    struct policy_route_approver *route_approvers;
    size_t n_route_approvers;
    struct policy_refs exit_approvers;
    struct policy_service_approver *service_approvers;
    size_t n_service_approvers;
    struct policy_test *tests;
    size_t n_tests;
    struct policy_ssh_test *ssh_tests;
    size_t n_ssh_tests;
    bool randomize_client_port;
    bool disable_ipv4;
    enum policy_cgnat_route cgnat_route;
    struct policy_derp_region *derp_regions; /* in the text's order */
    size_t n_derp_regions;
    bool omit_default_regions; /* the server's own relays are not told */

    /* What the server cannot deliver, in the text's order; policy check tells. */
    struct policy_findings undelivered;
};

/* Why a policy is refused. */
struct policy_complaint {
    struct policy_pos pos; /* line 0: no one place */
    /* Exactly what the hosted service answers where that is known. */
    char text[512];
    /* What would be right, in a sentence; empty where the text says it. */
    char hint[256];
};

struct policy_parse_options {
    /*
     * Domains the tailnet is associated with: user:*@domain and localpart:*@domain take no other.
     * NULL: any domain (the operator of this server vouches for all its log-ins).
     */
    const struct str_list *domains;
};

/*
 * Parses and checks. The text is copied. Zero bytes (or white space and comments only) give a
 * document with nothing in it: everything is allowed, nobody has a shell.
 *
 * 0 and *out counted once; -ERR_INVALID with the complaint filled. Linear in the text but for
 * sorting.
 */
MUST_USE int policy_document_parse(struct str text, const struct policy_parse_options *options,
                                   const struct policy_document **out,
                                   struct policy_complaint *complaint);
const struct policy_document *policy_document_ref(const struct policy_document *d);
void policy_document_unref(const struct policy_document *d); /* NULL is fine */
DEFINE_AUTO(const struct policy_document, policy_document_unref);

/*
 * A selector from outside the text (tests, explain, the CLI), resolved against the document's
 * names; `out` borrows from document and text. A prefix, host, user and so on as in 3; false and
 * the complaint's text filled when it is none or names something that is not defined.
 */
MUST_USE bool policy_selector_parse(const struct policy_document *d, struct str text,
                                    struct policy_selector *out,
                                    struct policy_complaint *complaint);
/* By full name, or NULL. log n. */
const struct policy_tag *policy_tag_find(const struct policy_document *d, struct str name);
const struct policy_group *policy_group_find(const struct policy_document *d, struct str name);
const struct policy_host *policy_host_find(const struct policy_document *d, struct str name);

/*
 * "tcp", "6"... to the number of policy.md 4.3; 1 to 255, or -1 when it is none. Case does not
 * count.
 */
int policy_proto_parse(struct str text);
/* A name for it, or NULL. */
const char *policy_proto_name(int proto);

/* As Go prints a duration: "12h0m0s", "-1m0s", "0s". */
void policy_put_duration(struct buf *out, int64_t ms);

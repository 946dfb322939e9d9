#pragma once

/*
 * What the files that read a policy share: one reader for one text.
 *
 * Functions return false after they have filled the complaint; the first complaint ends the
 * reading, so nobody overwrites one.
 */

#include "core/map.h"
#include "policy/document.h"

struct doc_reader {
    struct policy_document *doc;
    const struct str_list *domains; /* NULL: any */
    struct policy_complaint *complaint;
    struct map *by_text;    /* selectors by what was written, */
    struct map *by_meaning; /* and by what it means */
    struct policy_selector **selectors;
    size_t cap_selectors;
    struct policy_finding *findings;
    size_t cap_findings;
    size_t n_items; /* of lists, so far: POLICY_SELECTORS_MAX */
    struct policy_postures default_postures;
};

/* ---- Complaints (document_read.c) ---- */

/* A string in double quotes as Go's %q has it, cut where it is long. */
struct doc_quoted {
    char text[224];
};
struct doc_quoted doc_quote(struct str s, size_t max_bytes);
#define QUOTED_MAX(s, max_bytes) (doc_quote((s), (max_bytes)).text)
#define QUOTED(s) QUOTED_MAX(s, sizeof(struct doc_quoted))
/* The same without the quotes around it. */
#define PLAIN(s) (doc_plain(s).text)
struct doc_quoted doc_plain(struct str s);

/* Always false. The hint stays empty. */
PRINTF_LIKE(3, 4)
bool doc_refuse(struct doc_reader *r, struct policy_pos pos, const char *fmt, ...);
/* The hint of the complaint just made; false too, so that `return doc_hint(...)` ends the path. */
PRINTF_LIKE(2, 3) bool doc_hint(struct doc_reader *r, const char *fmt, ...);
/* Tells of something that the server cannot deliver; what is past the bound is not told. */
#define DOC_FINDINGS_MAX 1000
PRINTF_LIKE(3, 4)
void doc_undelivered(struct doc_reader *r, struct policy_pos pos, const char *fmt, ...);

/* ---- Reading JSON (document_read.c) ---- */

struct policy_pos doc_pos(const struct json_value *v);
struct policy_pos doc_key_pos(const struct json_value *v);
/* The string for as long as the document lives. */
struct str doc_keep(struct doc_reader *r, struct str s);
/* Counts n more things in lists. */
MUST_USE bool doc_count(struct doc_reader *r, struct policy_pos pos, size_t n);

/* A member that an object may have, under one of two names; NULL afterwards when it is not there or
 * null. */
struct doc_field {
    const char *name;
    const char *old_name; /* or NULL */
    const struct json_value **value;
};
/* Case, '-' and '_' do not count in names. `what` names the object: "a grant". With `notes`,
 * members that begin with '#' are skipped. */
MUST_USE bool doc_fields(struct doc_reader *r, const struct json_value *obj, const char *what,
                         const struct doc_field *fields, size_t n, bool notes);
/* v is of that type, or a complaint that names it as `what`. */
MUST_USE bool doc_is(struct doc_reader *r, const struct json_value *v, enum json_type type,
                     const char *what);
/* As above, and no more than `max` elements or members. */
MUST_USE bool doc_list(struct doc_reader *r, const struct json_value *v, enum json_type type,
                       const char *what, size_t max);
/* v NULL: nothing is set. */
MUST_USE bool doc_bool(struct doc_reader *r, const struct json_value *v, const char *what,
                       bool *out);
/* A list of strings as they are; v NULL: empty. */
MUST_USE bool doc_words(struct doc_reader *r, const struct json_value *v, const char *what,
                        struct policy_words *out);
/* A string; v NULL: empty. */
MUST_USE bool doc_word(struct doc_reader *r, const struct json_value *v, const char *what,
                       struct policy_word *out);
/* The value without comments and white space. */
struct str doc_compact(struct doc_reader *r, const struct json_value *v);
/* No object of the tree has a member twice. */
MUST_USE bool doc_unique_members(struct doc_reader *r, const struct json_value *v);

/* ---- Selectors (selector.c) ---- */

/* Where a selector stands: what may stand there, and how a complaint is worded. */
enum doc_place {
    PLACE_ACL_SRC,
    PLACE_ACL_DST,
    PLACE_GRANT_SRC,
    PLACE_GRANT_DST,
    PLACE_VIA,
    PLACE_SSH_SRC,
    PLACE_SSH_DST,
    PLACE_RECORDER,
    PLACE_TARGET,
    PLACE_OWNER,
    PLACE_APPROVER,
};
MUST_USE bool doc_ref(struct doc_reader *r, enum doc_place place, struct str text,
                      struct policy_pos pos, struct policy_ref *out);
/* A list of them; v NULL: empty. */
MUST_USE bool doc_refs(struct doc_reader *r, enum doc_place place, const struct json_value *v,
                       const char *what, struct policy_refs *out);
/* What a test names, one of the document's selectors from now on; NULL: nothing. */
const struct policy_selector *doc_mention(struct doc_reader *r, struct str text);
/* A user as a member of a group: contains '@'. */
MUST_USE bool doc_user(struct doc_reader *r, struct str text, struct policy_pos pos,
                       struct policy_ref *out);
/* Whether the tailnet is associated with the domain; `prefix` goes before the complaint. */
MUST_USE bool doc_domain(struct doc_reader *r, const char *prefix, struct str domain,
                         struct policy_pos pos);
const struct policy_ipset *doc_ipset_find(const struct policy_document *d, struct str name);
const struct policy_posture *doc_posture_find(const struct policy_document *d, struct str name);

/* ---- Ports and protocols (document_ports.c) ---- */

/* One entry of acls[].dst: a selector and its ports. */
MUST_USE bool doc_acl_target(struct doc_reader *r, const struct json_value *v,
                             struct policy_target *out);
/* The selector in a test's destination, what is behind the last colon aside; empty: none. */
struct str doc_test_host(struct doc_reader *r, struct str text);
/* acls[].proto, a string or a number; NULL or empty: -1. */
MUST_USE bool doc_acl_proto(struct doc_reader *r, const struct json_value *v, int *out);
/* One entry of grants[].ip. */
MUST_USE bool doc_proto_ports(struct doc_reader *r, const struct json_value *v,
                              struct policy_proto_ports *out);

/* ---- Sections; v is never NULL ---- */

bool doc_groups(struct doc_reader *r, const struct json_value *v);
bool doc_hosts(struct doc_reader *r, const struct json_value *v);
bool doc_ipsets(struct doc_reader *r, const struct json_value *v);
/* Names first, so that owners may name any tag. */
bool doc_tags(struct doc_reader *r, const struct json_value *v);
bool doc_postures(struct doc_reader *r, const struct json_value *v);
bool doc_default_postures(struct doc_reader *r, const struct json_value *v);
bool doc_acls(struct doc_reader *r, const struct json_value *v);
bool doc_grants(struct doc_reader *r, const struct json_value *v);
bool doc_ssh(struct doc_reader *r, const struct json_value *v);
bool doc_node_attrs(struct doc_reader *r, const struct json_value *v);
bool doc_auto_approvers(struct doc_reader *r, const struct json_value *v);
bool doc_tests(struct doc_reader *r, const struct json_value *v);
bool doc_ssh_tests(struct doc_reader *r, const struct json_value *v);
bool doc_randomize_client_port(struct doc_reader *r, const struct json_value *v);
bool doc_disable_ipv4(struct doc_reader *r, const struct json_value *v);
bool doc_cgnat_route(struct doc_reader *r, const struct json_value *v);
bool doc_derp_map(struct doc_reader *r, const struct json_value *v);
bool doc_attr_config(struct doc_reader *r, const struct json_value *v);

/* The postures a rule names, or the default ones; v may be NULL. */
MUST_USE bool doc_rule_postures(struct doc_reader *r, const struct json_value *v,
                                struct policy_postures *out);
/* An object of capability names with lists of values. `names`: whether the hosted service's rules
 * for names in grants hold. */
MUST_USE bool doc_app(struct doc_reader *r, const struct json_value *v, bool names,
                      struct policy_capability **out, size_t *n);

/* ---- Durations (duration.c) ---- */

/* As Go's time.ParseDuration; false with its words in `why`. */
MUST_USE bool duration_parse(struct str text, int64_t *ns, char why[static 256]);
void duration_put(struct buf *out, int64_t ns);

#define NEW_ITEMS(r, type, n) ((type *)arena_alloc((r)->doc->arena, (n) * sizeof(type)))

/*
 * Selectors: what a string stands for, whether it may stand where it stands, and one struct for all
 * strings of a document that mean the same.
 *
 * What a string is, is decided by its form alone (policy.md 3), in the order of classify(); names
 * are then looked up. Where it stands decides only what is refused, and in whose words.
 */

#include "policy/document_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    struct str name;
    enum policy_autogroup autogroup;
} autogroups[] = {
    {STR_INIT("autogroup:self"), AUTOGROUP_SELF},
    {STR_INIT("autogroup:internet"), AUTOGROUP_INTERNET},
    {STR_INIT("autogroup:member"), AUTOGROUP_MEMBER},
    {STR_INIT("autogroup:members"), AUTOGROUP_MEMBER},
    {STR_INIT("autogroup:tagged"), AUTOGROUP_TAGGED},
    {STR_INIT("autogroup:owner"), AUTOGROUP_OWNER},
    {STR_INIT("autogroup:admin"), AUTOGROUP_ADMIN},
    {STR_INIT("autogroup:network-admin"), AUTOGROUP_NETWORK_ADMIN},
    {STR_INIT("autogroup:it-admin"), AUTOGROUP_IT_ADMIN},
    {STR_INIT("autogroup:billing-admin"), AUTOGROUP_BILLING_ADMIN},
    {STR_INIT("autogroup:auditor"), AUTOGROUP_AUDITOR},
    {STR_INIT("autogroup:shared"), AUTOGROUP_SHARED},
    {STR_INIT("autogroup:nonroot"), AUTOGROUP_NONROOT},
    {STR_INIT("autogroup:danger-all"), AUTOGROUP_DANGER_ALL},
};

#define ROLES                                                                     \
    (BIT(AUTOGROUP_OWNER) | BIT(AUTOGROUP_ADMIN) | BIT(AUTOGROUP_NETWORK_ADMIN) | \
     BIT(AUTOGROUP_IT_ADMIN) | BIT(AUTOGROUP_BILLING_ADMIN) | BIT(AUTOGROUP_AUDITOR))
#define NODES (BIT(AUTOGROUP_MEMBER) | BIT(AUTOGROUP_TAGGED))
#define ADDRESSES \
    (BIT(SELECTOR_PREFIX) | BIT(SELECTOR_HOST) | BIT(SELECTOR_IPSET) | BIT(SELECTOR_WILDCARD))
#define PEOPLE (BIT(SELECTOR_USER) | BIT(SELECTOR_DOMAIN) | BIT(SELECTOR_GROUP))
#define GUESTS BIT(SELECTOR_TAILNET)
#define OTHERS (BIT(SELECTOR_TAG) | BIT(SELECTOR_AUTOGROUP))

/* Sources: 3.3 and the table of 6. */
static const struct {
    const char *name; /* as complaints call it */
    unsigned kinds;
    unsigned autogroups;
} places[] = {
    [PLACE_ACL_SRC] = {"ACL sources", ADDRESSES | PEOPLE | GUESTS | OTHERS,
                       NODES | ROLES | BIT(AUTOGROUP_SHARED) | BIT(AUTOGROUP_DANGER_ALL)},
    [PLACE_ACL_DST] = {"ACL destinations", ADDRESSES | PEOPLE | OTHERS | BIT(SELECTOR_SERVICE),
                       NODES | ROLES | BIT(AUTOGROUP_SELF) | BIT(AUTOGROUP_INTERNET)},
    [PLACE_GRANT_SRC] = {"ACL sources", ADDRESSES | PEOPLE | GUESTS | OTHERS,
                         NODES | ROLES | BIT(AUTOGROUP_SHARED) | BIT(AUTOGROUP_DANGER_ALL)},
    [PLACE_GRANT_DST] = {"ACL destinations", ADDRESSES | PEOPLE | OTHERS | BIT(SELECTOR_SERVICE),
                         NODES | ROLES | BIT(AUTOGROUP_SELF) | BIT(AUTOGROUP_INTERNET)},
    [PLACE_VIA] = {"via", BIT(SELECTOR_TAG), 0},
    [PLACE_SSH_SRC] = {"SSH sources", PEOPLE | GUESTS | OTHERS,
                       NODES | ROLES | BIT(AUTOGROUP_SHARED)},
    [PLACE_SSH_DST] = {"SSH destinations", BIT(SELECTOR_USER) | OTHERS,
                       NODES | BIT(AUTOGROUP_SELF)},
    [PLACE_RECORDER] = {"recorder", BIT(SELECTOR_TAG), 0},
    [PLACE_TARGET] = {"node attribute targets", ADDRESSES | PEOPLE | OTHERS, NODES | ROLES},
    [PLACE_OWNER] = {"tag owners", BIT(SELECTOR_USER) | BIT(SELECTOR_GROUP) | OTHERS,
                     NODES | ROLES},
    [PLACE_APPROVER] = {"auto approvers", BIT(SELECTOR_USER) | BIT(SELECTOR_GROUP) | OTHERS,
                        NODES | ROLES},
};

/* ---- Names ---- */

#define FIND(items, n, name)                                   \
    do {                                                       \
        size_t lo_ = 0, hi_ = (n);                             \
                                                               \
        while (lo_ < hi_) {                                    \
            size_t mid_ = lo_ + (hi_ - lo_) / 2;               \
            int order_ = str_cmp((items)[mid_].name, name);    \
                                                               \
            if (order_ == 0)                                   \
                return &(items)[mid_];                         \
            *(order_ < 0 ? &lo_ : &hi_) = mid_ + (order_ < 0); \
        }                                                      \
        return NULL;                                           \
    } while (0)

const struct policy_tag *policy_tag_find(const struct policy_document *d, struct str name)
{
    FIND(d->tags, d->n_tags, name);
}

const struct policy_group *policy_group_find(const struct policy_document *d, struct str name)
{
    FIND(d->groups, d->n_groups, name);
}

const struct policy_host *policy_host_find(const struct policy_document *d, struct str name)
{
    FIND(d->hosts, d->n_hosts, name);
}

const struct policy_ipset *doc_ipset_find(const struct policy_document *d, struct str name)
{
    FIND(d->ipsets, d->n_ipsets, name);
}

const struct policy_posture *doc_posture_find(const struct policy_document *d, struct str name)
{
    FIND(d->postures, d->n_postures, name);
}

/* ---- What a string is ---- */

#define DOMAIN_FORM "user:*@"
#define TAILNET_FORM "tailnet:"

static bool is_autogroup(struct str text, enum policy_autogroup *out)
{
    for (size_t i = 0; i < ARRAY_LEN(autogroups); i++) {
        if (str_eq(text, autogroups[i].name)) {
            *out = autogroups[i].autogroup;
            return true;
        }
    }
    return false;
}

/* By form; false: it has none of a selector. */
static bool classify(struct str text, struct policy_selector *out)
{
    *out = (struct policy_selector){.text = text};
    if (ip_prefix_parse_or_addr(text, &out->prefix)) {
        out->kind = SELECTOR_PREFIX;
        out->prefix = ip_prefix_masked(out->prefix);
    } else if (str_eq(text, STR("*"))) {
        out->kind = SELECTOR_WILDCARD;
    } else if (str_starts(text, STR("group:"))) {
        out->kind = SELECTOR_GROUP; /* a synced one may have an '@' */
    } else if (str_starts(text, STR("user:")) && str_find_char(text, '@') >= 0) {
        out->kind = SELECTOR_DOMAIN;
        out->domain = str_from_index(text, (size_t)str_rfind_char(text, '@') + 1);
        return str_starts(text, STR(DOMAIN_FORM)) && out->domain.len > 0;
    } else if (str_find_char(text, '@') >= 0) {
        out->kind = SELECTOR_USER;
        out->user = str_ends(text, STR("@")) ? str_sub(text, 0, text.len - 1) : text;
        return out->user.len > 0;
    } else if (str_starts(text, STR("tag:"))) {
        out->kind = SELECTOR_TAG;
    } else if (str_starts(text, STR("autogroup:"))) {
        out->kind = SELECTOR_AUTOGROUP;
    } else if (str_starts(text, STR("ipset:"))) {
        out->kind = SELECTOR_IPSET;
    } else if (str_starts(text, STR(TAILNET_FORM))) {
        out->kind = SELECTOR_TAILNET;
        out->tailnet = str_from_index(text, strlen(TAILNET_FORM));
        return out->tailnet.len > 0;
    } else if (str_starts(text, STR("svc:"))) {
        out->kind = SELECTOR_SERVICE;
        return text.len > strlen("svc:");
    } else {
        out->kind = SELECTOR_HOST;
        return text.len > 0 && str_find_char(text, ':') < 0;
    }
    return true;
}

/* Looks its name up; false when it names nothing. */
static bool look_up(const struct policy_document *d, struct policy_selector *s)
{
    const struct policy_host *host = NULL;

    switch (s->kind) {
    case SELECTOR_GROUP:
        return (s->group = policy_group_find(d, s->text));
    case SELECTOR_TAG:
        return (s->tag = policy_tag_find(d, s->text));
    case SELECTOR_IPSET:
        return (s->ipset = doc_ipset_find(d, s->text));
    case SELECTOR_AUTOGROUP:
        return is_autogroup(s->text, &s->autogroup);
    case SELECTOR_HOST:
        host = policy_host_find(d, s->text);
        if (host)
            s->prefix = host->prefix;
        return host;
    case SELECTOR_PREFIX:
    case SELECTOR_WILDCARD:
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        break;
    }
    return true;
}

/* ---- Complaints about it ---- */

struct words { /* of a complaint */
    char text[512];
    char hint[256];
};

static void list_autogroups(char *out, size_t cap, unsigned allowed)
{
    size_t len = 0;

    out[0] = 0;
    for (size_t i = 0; i < ARRAY_LEN(autogroups) && len < cap; i++) {
        if ((allowed & BIT(autogroups[i].autogroup)) &&
            !str_eq(autogroups[i].name, STR("autogroup:members")))
            len += (size_t)snprintf(out + len, cap - len, "%s%.*s", len ? " " : "",
                                    STR_ARG(autogroups[i].name));
    }
}

/* classify() or look_up() said no. */
static void say_unknown(const struct policy_selector *s, bool formed, struct words *w)
{
    char names[320] = "";

    if (!formed || s->kind == SELECTOR_HOST) {
        snprintf(w->text, sizeof(w->text), "%s: invalid address", QUOTED(s->text));
        snprintf(w->hint, sizeof(w->hint), "%s",
                 s->kind == SELECTOR_DOMAIN && !formed
                     ? "a user is named by log-in alone; user:*@domain is everyone of a domain"
                     : "an address, a CIDR, a user with '@', group:, tag:, autogroup:, ipset:, "
                       "* or a name of the hosts section is meant");
        return;
    }
    if (s->kind == SELECTOR_TAG) {
        snprintf(w->text, sizeof(w->text), "tag not found: %s", QUOTED(s->text));
        snprintf(w->hint, sizeof(w->hint), "a tag is defined in tagOwners before it is used");
    } else if (s->kind == SELECTOR_GROUP) {
        snprintf(w->text, sizeof(w->text), "group not defined in policy: %s", QUOTED(s->text));
        snprintf(w->hint, sizeof(w->hint), "a group is defined in groups before it is used");
    } else if (s->kind == SELECTOR_IPSET) {
        snprintf(w->text, sizeof(w->text), "ipset not defined in policy: %s", QUOTED(s->text));
        snprintf(w->hint, sizeof(w->hint), "a set is defined in ipsets before it is used");
    } else {
        list_autogroups(names, sizeof(names), ~0u);
        snprintf(w->text, sizeof(w->text), "invalid autogroup: got %.100s, must be one of [%s]",
                 QUOTED_MAX(s->text, 100), names);
    }
}

bool policy_selector_parse(const struct policy_document *d, struct str text,
                           struct policy_selector *out, struct policy_complaint *complaint)
{
    struct policy_selector s = {0};
    struct words w = {0};
    bool formed = classify(str_trim(text), &s);

    if (formed && look_up(d, &s)) {
        *out = s;
        return true;
    }
    say_unknown(&s, formed, &w);
    *complaint = (struct policy_complaint){0};
    memcpy(complaint->text, w.text, sizeof(w.text));
    memcpy(complaint->hint, w.hint, sizeof(w.hint));
    return false;
}

static bool is_src(enum doc_place place)
{
    return place == PLACE_ACL_SRC || place == PLACE_GRANT_SRC;
}

/* A name that stands for nothing, in the words for its place. */
static bool refuse_unknown(struct doc_reader *r, enum doc_place place,
                           const struct policy_selector *s, bool formed, struct policy_pos pos)
{
    struct words w = {0};

    say_unknown(s, formed, &w);
    if (place == PLACE_VIA && s->kind == SELECTOR_TAG)
        doc_refuse(r, pos, "tag %s not found", QUOTED(s->text));
    else if (place == PLACE_SSH_DST && s->kind == SELECTOR_HOST)
        doc_refuse(r, pos, "invalid dst %s", QUOTED(s->text));
    else if (is_src(place))
        doc_refuse(r, pos, "src=%s", w.text);
    else if (place == PLACE_ACL_DST)
        doc_refuse(r, pos, "dst=%s: %s", QUOTED(s->text), w.text);
    else
        doc_refuse(r, pos, "%s", w.text);
    return doc_hint(r, "%s", w.hint);
}

static bool refuse_autogroup(struct doc_reader *r, enum doc_place place,
                             const struct policy_selector *s, struct policy_pos pos)
{
    char names[320] = "";

    list_autogroups(names, sizeof(names), places[place].autogroups);
    if (is_src(place) && s->autogroup == AUTOGROUP_SELF) {
        doc_refuse(r, pos, "\"autogroup:self\" not valid on the src side of a rule");
        return doc_hint(r, "autogroup:member as src and autogroup:self as dst lets everyone reach "
                           "their own devices");
    }
    if (is_src(place) && s->autogroup == AUTOGROUP_INTERNET)
        return doc_refuse(r, pos,
                          "\"autogroup:internet\" not valid on the src side of a rule: "
                          "autogroup:internet can only be used in ACL destinations");
    if ((place == PLACE_ACL_DST || place == PLACE_GRANT_DST) &&
        s->autogroup == AUTOGROUP_DANGER_ALL) {
        doc_refuse(r, pos, "cannot use autogroup:danger-all as a dst");
        return doc_hint(r, "\"*\" as dst is everything");
    }
    if (place == PLACE_TARGET && s->autogroup == AUTOGROUP_SELF) {
        doc_refuse(r, pos, "internal server error"); /* what the hosted service says */
        return doc_hint(r,
                        "autogroup:self is no target of node attributes, it depends on who "
                        "asks; can be [%s]",
                        names);
    }
    doc_refuse(r, pos, "autogroup not supported for %s: \"%.*s\", can be [%s]", places[place].name,
               STR_ARG(s->text), names);
    return false;
}

static bool refuse_kind(struct doc_reader *r, enum doc_place place, const struct policy_selector *s,
                        struct policy_pos pos)
{
    switch (place) {
    case PLACE_VIA:
        return doc_refuse(r, pos, "via can only be a tag");
    case PLACE_RECORDER:
        return doc_refuse(r, pos, "recorder can only be a tag");
    case PLACE_SSH_SRC:
        doc_refuse(r, pos, "alias not supported for SSH source: %s", QUOTED(s->text));
        return doc_hint(r, "users, groups, tags and autogroups may log in");
    case PLACE_SSH_DST:
        if (s->kind == SELECTOR_WILDCARD)
            return doc_refuse(
                r, pos,
                "wildcard (*) is not supported as SSH destination; use 'autogroup:member' for "
                "user-owned devices, 'autogroup:tagged' for tagged devices, or specific "
                "tags/users");
        if (s->kind == SELECTOR_HOST)
            doc_refuse(r, pos, "invalid dst %s", QUOTED(s->text));
        else
            doc_refuse(r, pos, "invalid dst %s: alias not supported for SSH destination: %s",
                       QUOTED(s->text), QUOTED(s->text));
        return doc_hint(r, "tags, users and autogroups are destinations of SSH rules");
    case PLACE_OWNER:
    case PLACE_APPROVER:
        doc_refuse(r, pos, "alias not supported for %s: %s", places[place].name, QUOTED(s->text));
        return doc_hint(r, "users, groups, tags and autogroups may be named here");
    case PLACE_ACL_SRC:
    case PLACE_GRANT_SRC:
        doc_refuse(r, pos, "src=%s: a service cannot be a source", QUOTED(s->text));
        return doc_hint(r, "name the tag of the service's hosts");
    case PLACE_ACL_DST:
    case PLACE_GRANT_DST:
    case PLACE_TARGET:
        break;
    }
    if (s->kind == SELECTOR_TAILNET) {
        doc_refuse(r, pos, "alias not supported for %s: %s", places[place].name, QUOTED(s->text));
        return doc_hint(r, "machines of other tailnets are sources only");
    }
    return doc_refuse(r, pos, "alias not supported for %s: %s", places[place].name,
                      QUOTED(s->text));
}

bool doc_domain(struct doc_reader *r, const char *prefix, struct str domain, struct policy_pos pos)
{
    struct str_list known = {0};

    if (r->domains)
        known = *r->domains;
    if (r->domains ? str_list_has(&known, domain) : str_find_char(domain, '*') < 0)
        return true;
    doc_refuse(r, pos,
               "%s%s is not associated with this Tailnet and cannot be used in user:*@<domain> "
               "expressions",
               prefix, PLAIN(domain));
    if (known.len > 0)
        doc_hint(r, "associated is %s", PLAIN(known.items[0]));
    return false;
}

/* ---- One struct for one meaning ---- */

static void put_meaning(const struct policy_selector *s, struct buf *out)
{
    buf_put_char(out, (char)('a' + (int)s->kind));
    if (s->kind == SELECTOR_PREFIX)
        ip_prefix_put(out, s->prefix);
    else if (s->kind == SELECTOR_USER)
        buf_put(out, s->user);
    else if (s->kind == SELECTOR_DOMAIN)
        buf_put(out, s->domain);
    else if (s->kind == SELECTOR_AUTOGROUP)
        buf_put_u64(out, s->autogroup);
    else if (s->kind != SELECTOR_WILDCARD)
        buf_put(out, s->text);
}

static void keep_all(struct doc_reader *r, struct policy_selector *s)
{
    struct str text = doc_keep(r, s->text);

    /* User and domain are parts of the text. */
    if (s->kind == SELECTOR_USER)
        s->user = str_sub(text, 0, s->user.len);
    if (s->kind == SELECTOR_DOMAIN)
        s->domain = str_from_index(text, text.len - s->domain.len);
    if (s->kind == SELECTOR_TAILNET)
        s->tailnet = str_from_index(text, text.len - s->tailnet.len);
    s->text = text;
}

static const struct policy_selector *intern(struct doc_reader *r, struct policy_selector *s)
{
    AUTO_FINI(buf_fini) struct buf meaning = BUF(2 * POLICY_TEXT_MAX);
    struct policy_document *doc = r->doc;

    put_meaning(s, &meaning);
    struct policy_selector *one = map_find(r->by_meaning, buf_str(&meaning));
    if (!one) {
        keep_all(r, s);
        s->index = doc->n_selectors;
        one = NEW_ITEMS(r, struct policy_selector, 1);
        *one = *s;
        map_put(r->by_meaning, buf_str(&meaning), one);
        if (doc->n_selectors == r->cap_selectors) {
            r->cap_selectors = r->cap_selectors ? 2 * r->cap_selectors : 64;
            r->selectors = mem_realloc_array(r->selectors, r->cap_selectors, sizeof(*r->selectors));
        }
        r->selectors[doc->n_selectors++] = one;
    }
    map_put(r->by_text, s->text, one);
    return one;
}

static bool may_stand(struct doc_reader *r, enum doc_place place, const struct policy_selector *s,
                      struct policy_pos pos)
{
    if (!(places[place].kinds & BIT(s->kind)))
        return refuse_kind(r, place, s, pos);
    if (s->kind == SELECTOR_AUTOGROUP && !(places[place].autogroups & BIT(s->autogroup)))
        return refuse_autogroup(r, place, s, pos);
    if (s->kind == SELECTOR_DOMAIN &&
        !doc_domain(r, place == PLACE_SSH_SRC ? "[ssh] " : "", s->domain, pos))
        return false;
    if (s->kind == SELECTOR_SERVICE)
        doc_undelivered(r, pos, "%s is not delivered yet: the server has no services",
                        QUOTED(s->text));
    return true;
}

bool doc_ref(struct doc_reader *r, enum doc_place place, struct str text, struct policy_pos pos,
             struct policy_ref *out)
{
    struct policy_selector fresh = {0};

    text = str_trim(text);
    const struct policy_selector *s = map_find(r->by_text, text);
    if (!s) {
        bool formed = classify(text, &fresh);

        /* What may not stand here at all is said before that it is unknown. */
        if (formed && fresh.kind != SELECTOR_AUTOGROUP && fresh.kind != SELECTOR_HOST &&
            !(places[place].kinds & BIT(fresh.kind)))
            return refuse_kind(r, place, &fresh, pos);
        if (place == PLACE_VIA && fresh.kind != SELECTOR_TAG)
            return refuse_kind(r, place, &fresh, pos);
        if (!formed || !look_up(r->doc, &fresh))
            return refuse_unknown(r, place, &fresh, formed, pos);
        s = intern(r, &fresh);
    }
    if (!may_stand(r, place, s, pos))
        return false;
    *out = (struct policy_ref){s, pos};
    return true;
}

const struct policy_selector *doc_mention(struct doc_reader *r, struct str text)
{
    struct policy_selector fresh = {0};

    text = str_trim(text);
    const struct policy_selector *s = map_find(r->by_text, text);
    if (s)
        return s;
    if (!classify(text, &fresh) || !look_up(r->doc, &fresh))
        return NULL;
    if (fresh.kind == SELECTOR_DOMAIN && r->domains && !str_list_has(r->domains, fresh.domain))
        return NULL;
    return intern(r, &fresh);
}

bool doc_refs(struct doc_reader *r, enum doc_place place, const struct json_value *v,
              const char *what, struct policy_refs *out)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_ARRAY, what) || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    *out = (struct policy_refs){.items = NEW_ITEMS(r, struct policy_ref, json_len(v))};
    JSON_EACH(m, v) {
        if (!doc_is(r, m, JSON_STRING, what) ||
            !doc_ref(r, place, m->str, doc_pos(m), &out->items[out->len++]))
            return false;
    }
    return true;
}

bool doc_user(struct doc_reader *r, struct str text, struct policy_pos pos, struct policy_ref *out)
{
    struct policy_selector fresh = {0};

    text = str_trim(text);
    const struct policy_selector *s = map_find(r->by_text, text);
    if (!s) {
        if (!classify(text, &fresh) || fresh.kind != SELECTOR_USER) {
            doc_refuse(r, pos, "username must contain @, got: %s", QUOTED(text));
            return doc_hint(r, "members of groups are users, named by log-in");
        }
        s = intern(r, &fresh);
    }
    if (s->kind != SELECTOR_USER)
        return doc_refuse(r, pos, "username must contain @, got: %s", QUOTED(text));
    *out = (struct policy_ref){s, pos};
    return true;
}

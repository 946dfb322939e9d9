/*
 * Sections that give names: groups, hosts, tagOwners. Each list is sorted by name, so that a name
 * is found by bisection.
 */

#include "policy/document_internal.h"

#include <stdlib.h>
#include <string.h>

/* Every kind of entry begins with its name. */
static int by_name(const void *a, const void *b)
{
    struct str x = {0}, y = {0};

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return str_cmp(x, y);
}
_Static_assert(offsetof(struct policy_group, name) == 0, "sorted by name");
_Static_assert(offsetof(struct policy_host, name) == 0, "sorted by name");
_Static_assert(offsetof(struct policy_tag, name) == 0, "sorted by name");

#define SORT(items, n)                                        \
    do {                                                      \
        if ((n) > 1)                                          \
            qsort((items), (n), sizeof((items)[0]), by_name); \
    } while (0)

/* ---- groups ---- */

struct unread { /* a group and the list of its members */
    struct policy_group group;
    const struct json_value *members;
};

static bool read_member(struct doc_reader *r, struct policy_group *g, const struct json_value *v)
{
    if (!doc_is(r, v, JSON_STRING, "a member of a group"))
        return false;
    struct str text = str_trim(v->str);
    if (str_starts(text, STR("group:"))) {
        doc_refuse(r, doc_pos(v), "groups[%s]: %s: group members cannot be recursive",
                   QUOTED(g->name), QUOTED(text));
        return doc_hint(r, "list the users of the inner group here");
    }
    return doc_user(r, text, doc_pos(v), &g->members.items[g->members.len++]);
}

static bool read_members(struct doc_reader *r, struct policy_group *g, const struct json_value *v)
{
    if (json_is(v, JSON_NULL))
        return true;
    if (!json_is(v, JSON_ARRAY))
        return doc_refuse(r, doc_pos(v),
                          "group value must be an array of users: group %s got %s: %s",
                          QUOTED(g->name), json_is(v, JSON_STRING) ? "string" : json_type_name(v),
                          QUOTED(json_is(v, JSON_STRING) ? v->str : v->raw));
    if (!doc_count(r, doc_pos(v), json_len(v)))
        return false;
    g->members.items = NEW_ITEMS(r, struct policy_ref, json_len(v));
    JSON_EACH(m, v) {
        if (!read_member(r, g, m))
            return false;
    }
    return true;
}

/* The hosted service looks at the greatest name first (policy.md 5.1). */
static bool read_groups(struct doc_reader *r, struct unread *list, size_t n)
{
    struct policy_document *doc = r->doc;

    SORT(list, n);
    doc->groups = NEW_ITEMS(r, struct policy_group, n);
    doc->n_groups = n;
    for (size_t i = n; i-- > 0;) {
        doc->groups[i] = list[i].group;
        if (!read_members(r, &doc->groups[i], list[i].members))
            return false;
    }
    return true;
}

bool doc_groups(struct doc_reader *r, const struct json_value *v)
{
    size_t n = 0;

    if (!doc_list(r, v, JSON_OBJECT, "groups", POLICY_NAMES_MAX))
        return false;
    struct unread *list = NEW_ITEMS(r, struct unread, json_len(v));
    JSON_EACH(m, v) {
        if (!str_starts(m->key, STR("group:")) || m->key.len == strlen("group:")) {
            doc_refuse(r, doc_key_pos(m), "group must start with 'group:', got: %s",
                       QUOTED(m->key));
            return doc_hint(r, "a group is named like group:dev");
        }
        list[n++] = (struct unread){
            .group = {.name = doc_keep(r, m->key), .pos = doc_key_pos(m)},
            .members = m,
        };
    }
    return read_groups(r, list, n);
}

/* ---- hosts ---- */

static bool read_host(struct doc_reader *r, const struct json_value *m, struct policy_host *h)
{
    struct ip_prefix prefix = {0};

    if (m->key.len == 0 || str_find_char(m->key, '@') >= 0 || str_find_char(m->key, ':') >= 0) {
        doc_refuse(r, doc_key_pos(m), "invalid hostname: %s", QUOTED(m->key));
        return doc_hint(r, "a name of hosts has neither ':' nor '@'");
    }
    if (!doc_is(r, m, JSON_STRING, "a host"))
        return false;
    if (!ip_prefix_parse_or_addr(str_trim(m->str), &prefix)) {
        doc_refuse(r, doc_pos(m), "hostname contains invalid IP address: hostname %s address %s",
                   QUOTED(m->key), QUOTED(m->str));
        return doc_hint(r, "an address or a CIDR is meant: 10.0.0.5 or 10.0.0.0/24");
    }
    *h = (struct policy_host){
        .name = doc_keep(r, m->key),
        .pos = doc_key_pos(m),
        .prefix = ip_prefix_masked(prefix),
    };
    return true;
}

bool doc_hosts(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_OBJECT, "hosts", POLICY_NAMES_MAX))
        return false;
    doc->hosts = NEW_ITEMS(r, struct policy_host, json_len(v));
    JSON_EACH(m, v) {
        if (!read_host(r, m, &doc->hosts[doc->n_hosts++]))
            return false;
    }
    SORT(doc->hosts, doc->n_hosts);
    return true;
}

/* ---- tagOwners ---- */

static bool read_tag_name(struct doc_reader *r, const struct json_value *m, struct policy_tag *tag)
{
    struct str name = str_from_index(m->key, strlen("tag:"));

    if (!str_starts(m->key, STR("tag:"))) {
        doc_refuse(r, doc_key_pos(m), "tag must start with 'tag:', got: %s", QUOTED(m->key));
        return doc_hint(r, "a tag is named like tag:web");
    }
    char first = name.len > 0 ? (char)(name.ptr[0] | 0x20) : 0;
    if (first < 'a' || first > 'z')
        return doc_refuse(r, doc_key_pos(m),
                          "tagOwners[%s]: tag names must start with a letter, after 'tag:'",
                          QUOTED(m->key));
    *tag = (struct policy_tag){.name = doc_keep(r, m->key), .pos = doc_key_pos(m)};
    return true;
}

/* The words for an owner that is an undefined tag name both. */
static bool read_owners(struct doc_reader *r, const struct json_value *m)
{
    struct policy_tag *tag = (struct policy_tag *)(uintptr_t)policy_tag_find(r->doc, m->key);

    if (json_is(m, JSON_NULL))
        return true;
    JSON_EACH(o, m) {
        struct str text = str_trim(json_as_str(o, STR_NONE));

        if (json_is(m, JSON_ARRAY) && str_starts(text, STR("tag:")) &&
            str_find_char(text, '@') < 0 && !policy_tag_find(r->doc, text)) {
            doc_refuse(r, doc_pos(o), "tag %s references undefined tag %s: tag not found: %s",
                       QUOTED(m->key), QUOTED(text), QUOTED(text));
            return doc_hint(r, "give it an entry in tagOwners too, [] is enough");
        }
    }
    return doc_refs(r, PLACE_OWNER, m, "owners of a tag", &tag->owners);
}

bool doc_tags(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_OBJECT, "tagOwners", POLICY_NAMES_MAX))
        return false;
    doc->tags = NEW_ITEMS(r, struct policy_tag, json_len(v));
    JSON_EACH(m, v) {
        if (!read_tag_name(r, m, &doc->tags[doc->n_tags++]))
            return false;
    }
    SORT(doc->tags, doc->n_tags);
    JSON_EACH(m, v) {
        if (!read_owners(r, m))
            return false;
    }
    return true;
}

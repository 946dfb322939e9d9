#include "netmap/naive_map.h"

#include <string.h>

#include "core/arena.h"
#include "core/map.h"
#include "core/mem.h"
#include "netmap/encode.h"
#include "json/value.h"
#include "json/writer.h"

static void key(struct json_writer *w, struct str name)
{
    json_key(w, name);
    json_value_follows(w);
}

static void put_filter(const struct naive_map *m, struct json_writer *w)
{
    enum policy_form form = m->capver >= POLICY_CAPVER_COMPACT ? POLICY_COMPACT : POLICY_CANONICAL;

    if (m->capver < POLICY_CAPVER_NAMED) {
        key(w, STR("PacketFilter"));
        policy_put_filter(m->policy, m->viewer, form, w->out);
    } else {
        key(w, STR("PacketFilters"));
        policy_put_named_filter(NULL, m->policy, m->viewer, form, w->out);
    }
}

/* Of guests an open policy says nothing. */
static bool sees(const struct naive_map *m, const struct node *n)
{
    if (n->id == m->viewer || !policy_sees(m->policy, m->viewer, n->id))
        return false;
    return n->tailnet == view_info(m->view)->id || !policy_is_open(m->policy);
}

static void put_peers(const struct naive_map *m, struct json_writer *w, struct map *users)
{
    const struct netmap_eye eye = {.cls = policy_class_of(m->policy, m->viewer),
                                   .self = view_node_find(m->view, m->viewer)};
    const struct node *n;
    bool any = false;

    for (struct view_any_at at = {0}; (n = view_any_next(m->view, &at));) {
        const struct abroad_item *item = abroad_find(eye.self->abroad, n->id);

        if (!sees(m, n))
            continue;
        if (!any)
            json_field_array(w, STR("Peers"));
        any = true;
        json_value_follows(w);
        netmap_put_card_for(w->out, m->policy, &eye, n);
        (void)map_put_u64(users, n->user, w);
        if (item && item->sharer)
            (void)map_put_u64(users, item->sharer, w);
    }
    if (any)
        json_end_array(w);
}

static void put_profiles(const struct naive_map *m, struct json_writer *w, const struct map *users)
{
    struct str key;
    void *value;

    json_field_array(w, STR("UserProfiles"));
    for (size_t at = 0; map_next(users, &at, &key, &value);) {
        user_id id;

        memcpy(&id, key.ptr, sizeof id);
        if (id && !view_any_user_find(m->view, id))
            continue;
        json_value_follows(w);
        (void)netmap_put_profile_of(w->out, m->view, id);
    }
    json_end_array(w);
}

void naive_map_put(const struct naive_map *m, struct buf *out)
{
    const struct tailnet_info *info = view_info(m->view);
    const struct node *self = view_node_find(m->view, m->viewer);
    const struct netmap_host host = {.view = m->view, .policy = m->policy, .viewer = self};
    struct json_writer w = JSON_WRITER(out);
    struct map *users = map_new();

    json_begin_object(&w);
    json_field_bool(&w, STR("KeepAlive"), false);
    key(&w, STR("Node"));
    netmap_put_self(out, info, m->policy, self);
    (void)map_put_u64(users, self->user, users);
    put_peers(m, &w, users);
    put_profiles(m, &w, users);
    map_free(users);
    key(&w, STR("DERPMap"));
    netmap_put_derp_map(out, info, m->policy, &host);
    key(&w, STR("DNSConfig"));
    netmap_put_dns(out, info, self, &host);
    json_field_str(&w, STR("Domain"), info->domain);
    json_field_bool(&w, STR("CollectServices"), false);
    put_filter(m, &w);
    key(&w, STR("SSHPolicy"));
    policy_put_ssh(m->policy, m->viewer, STR(POLICY_SSH_BASE), out);
    if (!info->logtail)
        json_field_raw(&w, STR("Debug"), STR("{\"DisableLogTail\":true}"));
    if (m->capver < 131)
        json_field_bool(&w, STR("DefaultAutoUpdate"), info->auto_update);
    json_field_raw(&w, STR("Health"), STR("[]"));
    json_field_time(&w, STR("ControlTime"), 0);
    json_end_object(&w);
}

/* ---- Held against each other ---- */

static struct str canonical(struct arena *a, const struct json_value *v)
{
    struct buf text = BUF(0);
    struct json_writer w = JSON_WRITER(&text);
    struct str copy;

    json_value_write(&w, v);
    copy = arena_copy(a, buf_str(&text));
    buf_fini(&text);
    return copy;
}

static bool differs(char *why, size_t why_len, struct str what, struct str got, struct str want)
{
    (void)snprintf(why, why_len, "%.*s is %.*s, naively %.*s", STR_ARG(what), STR_ARG(got),
                   STR_ARG(want));
    return false;
}

static const struct json_value *by_id(const struct json_value *list, uint64_t id, size_t *times)
{
    const struct json_value *found = NULL;

    *times = 0;
    JSON_EACH(v, list) {
        if (json_get_u64(v, "ID", 0) != id)
            continue;
        found = v;
        ++*times;
    }
    return found;
}

/* Everything of the one list is in the other, and the same there. */
static bool is_covered(struct arena *a, struct str what, const struct json_value *list,
                       const struct json_value *by, char *why, size_t why_len)
{
    JSON_EACH(v, list) {
        size_t times;
        const struct json_value *other = by_id(by, json_get_u64(v, "ID", 0), &times);
        struct str x = canonical(a, v), y = other ? canonical(a, other) : STR("not there");

        if (!str_eq(x, y))
            return differs(why, why_len, what, x, y);
    }
    return true;
}

/* Peers come once; profiles may come again, clients keep them by id. */
static bool lists_same(struct arena *a, struct str what, const struct json_value *got,
                       const struct json_value *want, char *why, size_t why_len)
{
    bool may_repeat = str_eq(what, STR("UserProfiles"));

    if (may_repeat ? json_len(got) < json_len(want) : json_len(got) != json_len(want))
        return differs(why, why_len, what, canonical(a, got), canonical(a, want));
    return is_covered(a, what, got, want, why, why_len) &&
           is_covered(a, what, want, got, why, why_len);
}

bool naive_map_same(const struct naive_map *m, struct str message, char *why, size_t why_len)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *got, *want;
    struct json_error error;
    struct buf text = BUF(0);
    bool same = true;

    naive_map_put(m, &text);
    if (!json_parse(a, message, NULL, &got, &error) ||
        !json_parse(a, buf_str(&text), NULL, &want, &error)) {
        buf_fini(&text);
        return differs(why, why_len, STR("a message"), STR("no JSON"), STR("some"));
    }
    if (json_len(got) != json_len(want))
        same = differs(why, why_len, STR("the message"), message, buf_str(&text));
    JSON_EACH(v, want) {
        char name[64];
        const struct json_value *mine;

        (void)snprintf(name, sizeof name, "%.*s", STR_ARG(v->key));
        mine = json_get(got, name);
        if (!same || str_eq(v->key, STR("ControlTime")))
            continue;
        if (!mine)
            same = differs(why, why_len, v->key, STR("not there"), canonical(a, v));
        else if (str_eq(v->key, STR("Peers")) || str_eq(v->key, STR("UserProfiles")))
            same = lists_same(a, v->key, mine, v, why, why_len);
        else if (!str_eq(canonical(a, mine), canonical(a, v)))
            same = differs(why, why_len, v->key, canonical(a, mine), canonical(a, v));
    }
    buf_fini(&text);
    return same;
}

/*
 * What administrators set of tailnets and nodes, within one column: settings as an object of those
 * that are set, custom attributes as a list. JSON text, made and read here only.
 */

#include "store/store_internal.h"
#include "json/value.h"
#include "json/writer.h"

#define LIST_BYTES_MAX ((size_t)4 << 20)

static struct str finish(struct arena *arena, struct buf *out)
{
    ASSERT(!buf_is_full(out));
    return arena_copy(arena, buf_str(out));
}

static bool take_text(const struct json_value *obj, const char *key, struct str *out)
{
    const struct json_value *v = json_get(obj, key);

    if (!json_is(v, JSON_STRING))
        return false;
    *out = str_copy(v->str);
    return true;
}

/* ---- Joining rules, within settings ---- */

static void put_joining(struct json_writer *w, const struct tailnet_settings *s)
{
    json_field_array(w, STR("joining"));
    for (size_t i = 0; i < s->n_joining; i++) {
        const struct join_rule *r = &s->joining[i];

        json_begin_object(w);
        json_field_str(w, STR("by"), join_by_name(r->by));
        json_field_str(w, STR("provider"), r->provider);
        json_field_str(w, STR("value"), r->value);
        json_field_bool(w, STR("needs_approval"), r->needs_approval);
        json_field_str(w, STR("role"), user_role_name(r->role));
        json_end_object(w);
    }
    json_end_array(w);
}

/* The rules borrow from the JSON, their array is the caller's. */
static bool read_joining(const struct json_value *v, struct tailnet_settings *s)
{
    s->set |= SETTING_JOINING;
    if (!json_is(v, JSON_ARRAY) || json_len(v) > JOIN_RULES_MAX || s->joining)
        return false;
    s->joining = mem_alloc_array(json_len(v) + 1, sizeof(*s->joining));
    JSON_EACH(item, v) {
        struct join_rule *r = &s->joining[s->n_joining++];

        r->provider = json_get_str(item, "provider");
        r->value = json_get_str(item, "value");
        r->needs_approval = json_as_bool(json_get(item, "needs_approval"), true);
        if (!join_by_find(json_get_str(item, "by"), &r->by) ||
            !user_role_find(json_get_str(item, "role"), &r->role))
            return false;
    }
    return true;
}

/* ---- Settings ---- */

static const char *const contacts[CONTACTS] = {
    [CONTACT_ACCOUNT] = "contact_account",
    [CONTACT_SUPPORT] = "contact_support",
    [CONTACT_SECURITY] = "contact_security",
};

static const char *const quotas[QUOTAS] = {
    [QUOTA_NODES] = "max_nodes",
    [QUOTA_USERS] = "max_users",
    [QUOTA_KEYS] = "max_keys",
};

struct str list_from_settings(struct arena *arena, const struct tailnet_settings *s)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    if (s->set & SETTING_KEY_DURATION)
        json_field_i64(&w, STR("key_duration_ms"), s->key_duration_ms);
    if (s->set & SETTING_AUTO_UPDATE)
        json_field_bool(&w, STR("auto_update"), s->auto_update);
    if (s->set & SETTING_POLICY_ELSEWHERE)
        json_field_bool(&w, STR("policy_elsewhere"), s->policy_elsewhere);
    if (s->set & SETTING_POLICY_LINK)
        json_field_str(&w, STR("policy_link"), s->policy_link);
    for (unsigned i = 0; i < CONTACTS; i++)
        if (s->set & ((unsigned)SETTING_CONTACT_ACCOUNT << i))
            json_field_str(&w, str_from(contacts[i]), s->contacts[i]);
    for (unsigned i = 0; i < QUOTAS; i++)
        if (s->set & ((unsigned)SETTING_MAX_NODES << i))
            json_field_u64(&w, str_from(quotas[i]), s->max[i]);
    if (s->set & SETTING_SUSPENDED)
        json_field_bool(&w, STR("suspended"), true);
    if (s->set & SETTING_ADDRESSES_APART)
        json_field_bool(&w, STR("addresses_apart"), true);
    if (s->set & SETTING_RELAYS)
        json_field_raw(&w, STR("relays"), list_from_regions(arena, s->relays, s->n_relays));
    if (s->set & SETTING_JOINING)
        put_joining(&w, s);
    if (s->set & SETTING_USER_APPROVAL)
        json_field_bool(&w, STR("user_approval"), s->user_approval);
    if (s->set & SETTING_DEVICE_APPROVAL)
        json_field_bool(&w, STR("device_approval"), s->device_approval);
    json_end_object(&w);
    return finish(arena, &out);
}

static bool read_quota(const struct json_value *v, struct tailnet_settings *s, bool *is_one)
{
    *is_one = true;
    for (unsigned i = 0; i < QUOTAS; i++) {
        int64_t max = json_as_i64(v, -1);

        if (!str_eq(v->key, str_from(quotas[i])))
            continue;
        s->set |= (unsigned)SETTING_MAX_NODES << i;
        s->max[i] = (uint32_t)max;
        return max >= 0 && max <= UINT32_MAX;
    }
    *is_one = false;
    return false;
}

/* One that is set by being there. */
static bool read_switch(const struct json_value *v, struct tailnet_settings *s, enum setting bit)
{
    s->set |= bit;
    return json_as_bool(v, false);
}

static bool read_bool(const struct json_value *v, struct tailnet_settings *s, enum setting bit,
                      bool *out)
{
    s->set |= bit;
    *out = json_as_bool(v, false);
    return json_is(v, JSON_BOOL);
}

static bool read_setting(const struct json_value *v, struct tailnet_settings *s)
{
    bool is_quota = false, read = read_quota(v, s, &is_quota);

    if (is_quota)
        return read;
    if (str_eq(v->key, STR("suspended")))
        return read_switch(v, s, SETTING_SUSPENDED);
    if (str_eq(v->key, STR("addresses_apart")))
        return read_switch(v, s, SETTING_ADDRESSES_APART);
    if (str_eq(v->key, STR("relays"))) {
        s->set |= SETTING_RELAYS;
        return s->n_relays == 0 && list_read_regions(v, &s->relays, &s->n_relays);
    }
    if (str_eq(v->key, STR("key_duration_ms"))) {
        s->set |= SETTING_KEY_DURATION;
        s->key_duration_ms = json_as_i64(v, -1);
        return s->key_duration_ms >= 0;
    }
    if (str_eq(v->key, STR("auto_update")))
        return read_bool(v, s, SETTING_AUTO_UPDATE, &s->auto_update);
    if (str_eq(v->key, STR("policy_elsewhere")))
        return read_bool(v, s, SETTING_POLICY_ELSEWHERE, &s->policy_elsewhere);
    if (str_eq(v->key, STR("joining")))
        return read_joining(v, s);
    if (str_eq(v->key, STR("user_approval")))
        return read_bool(v, s, SETTING_USER_APPROVAL, &s->user_approval);
    if (str_eq(v->key, STR("device_approval")))
        return read_bool(v, s, SETTING_DEVICE_APPROVAL, &s->device_approval);
    if (str_eq(v->key, STR("policy_link"))) {
        s->set |= SETTING_POLICY_LINK;
        s->policy_link = json_as_str(v, STR_NONE);
        return json_is(v, JSON_STRING);
    }
    for (unsigned i = 0; i < CONTACTS; i++) {
        if (!str_eq(v->key, str_from(contacts[i])))
            continue;
        s->set |= (unsigned)SETTING_CONTACT_ACCOUNT << i;
        s->contacts[i] = json_as_str(v, STR_NONE);
        return json_is(v, JSON_STRING);
    }
    return false;
}

bool list_to_settings(struct str text, struct tailnet_info *info)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct tailnet_settings s = {
        0}; /* borrows from the arena, but for relays and the rules' array */
    struct json_value *obj = NULL;
    struct err ignored = {0};

    if (!json_parse(arena, text, NULL, &obj, NULL) || !json_is(obj, JSON_OBJECT))
        return false;
    bool good = true;
    JSON_EACH(v, obj)
        good = good && read_setting(v, &s);
    good = good && tailnet_settings_check(&s, &ignored) == 0;
    if (good)
        tailnet_info_settle_settings(info, &s);
    derp_regions_free(s.relays, s.n_relays);
    mem_free(s.joining);
    return good;
}

/* ---- Attributes ---- */

static const char *const kinds[] = {
    [ATTRIBUTE_TEXT] = "text",
    [ATTRIBUTE_NUMBER] = "number",
    [ATTRIBUTE_BOOL] = "bool",
};

struct str list_from_attributes(struct arena *arena, const struct node_attribute *items, size_t n)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(LIST_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(&w);
        json_field_str(&w, STR("name"), items[i].name);
        json_field_str(&w, STR("kind"), str_from(kinds[items[i].kind]));
        json_field_str(&w, STR("value"), items[i].value);
        json_field_i64(&w, STR("expiry_ms"), items[i].expiry_ms);
        json_field_str(&w, STR("comment"), items[i].comment);
        json_end_object(&w);
    }
    json_end_array(&w);
    return finish(arena, &out);
}

static bool read_attribute(const struct json_value *v, struct node_attribute *a)
{
    struct str kind = json_get_str(v, "kind");
    struct err ignored = {0};
    size_t k = 0;

    while (k < ARRAY_LEN(kinds) && !str_eq(kind, str_from(kinds[k])))
        k++;
    if (k == ARRAY_LEN(kinds) || !take_text(v, "name", &a->name) ||
        !take_text(v, "value", &a->value) || !take_text(v, "comment", &a->comment))
        return false;
    a->kind = (enum attribute_kind)k;
    a->expiry_ms = json_get_i64(v, "expiry_ms", -1);
    return a->expiry_ms >= 0 && node_attribute_check(a, &ignored) == 0;
}

bool list_to_attributes(struct str text, struct node_attribute **items, size_t *n)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *array = NULL;

    if (!json_parse(arena, text, NULL, &array, NULL) || !json_is(array, JSON_ARRAY) ||
        json_len(array) > NODE_ATTRIBUTES_MAX)
        return false;
    if (json_len(array) == 0)
        return true;
    *items = mem_alloc_array(json_len(array), sizeof(**items));
    JSON_EACH(item, array) {
        if (!read_attribute(item, &(*items)[(*n)++]))
            return false;
    }
    return true;
}

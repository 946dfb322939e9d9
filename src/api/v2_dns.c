/*
 * v2's DNS: nameservers, preferences, search paths, split DNS, and all of it as one.
 *
 * Source: Tailscale's API reference, "DNS"; tailscale-client-go-v2 dns.go. The records are ours.
 */

#include "api/dns_internal.h"
#include "api/v2_internal.h"

/* ---- As JSON ---- */

static void put_addresses(struct json_writer *w, struct str key, const struct dns_resolver *r,
                          size_t n)
{
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++)
        json_str(w, r[i].addr);
    json_end_array(w);
}

/* Read as lists only by Tailscale's library: nothing else may be in it. */
static void put_nameservers(struct json_writer *w, const struct tailnet_info *info)
{
    put_addresses(w, STR("dns"), info->resolvers, info->n_resolvers);
}

static void put_set_nameservers(struct json_writer *w, const struct tailnet_info *info)
{
    put_nameservers(w, info);
    json_field_bool(w, STR("magicDNS"), info->magic_dns);
}

static void put_preferences(struct json_writer *w, const struct tailnet_info *info)
{
    json_field_bool(w, STR("magicDNS"), info->magic_dns);
}

static void put_search_paths(struct json_writer *w, const struct tailnet_info *info)
{
    json_field_str_list(w, STR("searchPaths"), &info->search_domains);
}

static void put_split(struct json_writer *w, const struct tailnet_info *info)
{
    for (size_t i = 0; i < info->n_splits; i++)
        put_addresses(w, info->splits[i].suffix, info->splits[i].resolvers,
                      info->splits[i].n_resolvers);
}

static void put_configuration(struct json_writer *w, const struct tailnet_info *info)
{
    api_put_resolvers(w, STR("nameservers"), info->resolvers, info->n_resolvers);
    json_field_object(w, STR("splitDNS"));
    for (size_t i = 0; i < info->n_splits; i++)
        api_put_resolvers(w, info->splits[i].suffix, info->splits[i].resolvers,
                          info->splits[i].n_resolvers);
    json_end_object(w);
    json_field_str_list(w, STR("searchPaths"), &info->search_domains);
    json_field_object(w, STR("preferences"));
    json_field_bool(w, STR("overrideLocalDNS"), info->override_local_dns);
    json_field_bool(w, STR("magicDNS"), info->magic_dns);
    json_end_object(w);
}

static void put_own_records(struct json_writer *w, const struct tailnet_info *info)
{
    const struct dns_settings *own = info->dns_own;

    json_field_array(w, STR("records"));
    for (size_t i = 0; own && i < own->n_records; i++) {
        json_begin_object(w);
        json_field_str(w, STR("name"), own->records[i].name);
        json_field_str(w, STR("type"), own->records[i].type);
        json_field_str(w, STR("value"), own->records[i].value);
        json_end_object(w);
    }
    json_end_array(w);
}

typedef void put_fn(struct json_writer *w, const struct tailnet_info *info);

static void answer(struct api_call *c, const struct tailnet_view *view, put_fn *put)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    put(&w, view_info(view));
    json_end_object(&w);
    api_respond(c, &body);
}

#define DONE(name, put)                           \
    static void name(struct registrar_call *call) \
    {                                             \
        struct api_call *c = api_call_of(call);   \
                                                  \
        if (!api_dns_refused(c))                  \
            answer(c, call->result.view, put);    \
    }                                             \
    struct done_##name##_needs_semicolon

DONE(done_nameservers, put_set_nameservers);
DONE(done_preferences, put_preferences);
DONE(done_search_paths, put_search_paths);
DONE(done_split, put_split);
DONE(done_configuration, put_configuration);
DONE(done_records, put_own_records);

/* ---- Nameservers, preferences, search paths ---- */

void api_v2_dns_nameservers_get(struct api_call *c)
{
    answer(c, c->view, put_nameservers);
}

void api_v2_dns_nameservers_set(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();
    const struct json_value *list = api_member(c, "dns");

    if (!list || !api_read_resolvers(list, dns)) {
        dns_settings_free(dns);
        api_wrong_kind(c, "dns");
        return;
    }
    api_dns_submit(c, dns, DNS_REPLACE, done_nameservers);
}

void api_v2_dns_preferences_get(struct api_call *c)
{
    answer(c, c->view, put_preferences);
}

void api_v2_dns_preferences_set(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();

    dns->parts = DNS_MAGIC;
    dns->magic_dns = api_bool(c, "magicDNS");
    api_dns_submit(c, dns, DNS_REPLACE, done_preferences);
}

void api_v2_dns_searchpaths_get(struct api_call *c)
{
    answer(c, c->view, put_search_paths);
}

void api_v2_dns_searchpaths_set(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();
    const struct json_value *list = api_member(c, "searchPaths");

    dns->parts = DNS_SEARCH;
    if (list && !api_read_search(list, dns)) {
        dns_settings_free(dns);
        api_wrong_kind(c, "searchPaths");
        return;
    }
    api_dns_submit(c, dns, DNS_REPLACE, done_search_paths);
}

/* ---- Split DNS: domains are the members' names ---- */

void api_v2_dns_split_get(struct api_call *c)
{
    answer(c, c->view, put_split);
}

/* A domain without nameservers is one to forget. */
static bool read_map(const struct json_value *map, enum dns_how how, struct dns_settings *dns)
{
    dns->parts |= DNS_SPLITS;
    JSON_EACH(member, map) {
        bool is_empty =
            json_is(member, JSON_NULL) || (json_is(member, JSON_ARRAY) && json_len(member) == 0);

        if ((how == DNS_MERGE || !is_empty) && !api_read_split(member, member->key, dns))
            return false;
    }
    return true;
}

static void set_split(struct api_call *c, enum dns_how how)
{
    struct dns_settings *dns = dns_settings_new();

    if (!read_map(c->body, how, dns)) {
        dns_settings_free(dns);
        api_wrong_kind(c, "a domain's list of nameservers");
        return;
    }
    api_dns_submit(c, dns, how, done_split);
}

void api_v2_dns_split_update(struct api_call *c)
{
    set_split(c, DNS_MERGE);
}

void api_v2_dns_split_set(struct api_call *c)
{
    set_split(c, DNS_REPLACE);
}

/* ---- All of it ---- */

void api_v2_dns_configuration_get(struct api_call *c)
{
    answer(c, c->view, put_configuration);
}

/* What is left out is none, or false: Go's clients leave such members out. */
void api_v2_dns_configuration_set(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();
    const struct json_value *servers = api_member(c, "nameservers");
    const struct json_value *split = api_member(c, "splitDNS");
    const struct json_value *paths = api_member(c, "searchPaths");
    const struct json_value *preferences = api_member(c, "preferences");
    const char *wrong = NULL;

    if (servers && !api_read_resolvers(servers, dns))
        wrong = "nameservers";
    if (split && (!json_is(split, JSON_OBJECT) || !read_map(split, DNS_REPLACE, dns)))
        wrong = "splitDNS";
    if (paths && !api_read_search(paths, dns))
        wrong = "searchPaths";
    if (preferences && !json_is(preferences, JSON_OBJECT))
        wrong = "preferences";
    if (wrong) {
        dns_settings_free(dns);
        api_wrong_kind(c, wrong);
        return;
    }
    dns->parts = DNS_ALL & ~(unsigned)DNS_RECORDS;
    dns->magic_dns = json_get_bool(preferences, "magicDNS", false);
    dns->override_local_dns = json_get_bool(preferences, "overrideLocalDNS", false);
    api_dns_submit(c, dns, DNS_REPLACE, done_configuration);
}

/* ---- Records of one's own ---- */

void api_v2_dns_records_get(struct api_call *c)
{
    answer(c, c->view, put_own_records);
}

void api_v2_dns_records_set(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();
    const struct json_value *list = api_member(c, "records");

    if (!list || !api_read_records(list, dns)) {
        dns_settings_free(dns);
        api_wrong_kind(c, "records");
        return;
    }
    api_dns_submit(c, dns, DNS_REPLACE, done_records);
}

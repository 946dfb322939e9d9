/*
 * /api/v1/dns: what machines are told about names, and what of it was set here and not in the
 * configuration.
 */

#include "api/dns_internal.h"

/* ---- As JSON ---- */

void api_put_resolvers(struct json_writer *w, struct str key, const struct dns_resolver *r,
                       size_t n)
{
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        json_field_str(w, STR("address"), r[i].addr);
        json_field_bool(w, STR("useWithExitNode"), r[i].with_exit_node);
        json_end_object(w);
    }
    json_end_array(w);
}

static bool is_own(const struct tailnet_info *info, const struct dns_record *r)
{
    const struct dns_settings *own = info->dns_own;

    for (size_t i = 0; own && i < own->n_records; i++)
        if (str_eq_nocase(own->records[i].name, r->name) &&
            str_eq_nocase(own->records[i].type, r->type))
            return true;
    return false;
}

static void put_records(struct json_writer *w, const struct tailnet_info *info)
{
    json_field_array(w, STR("records"));
    for (size_t i = 0; i < info->n_records; i++) {
        json_begin_object(w);
        json_field_str(w, STR("name"), info->records[i].name);
        json_field_str(w, STR("type"), info->records[i].type);
        json_field_str(w, STR("value"), info->records[i].value);
        json_field_str(w, STR("source"),
                       is_own(info, &info->records[i]) ? STR("set") : STR("configuration"));
        json_end_object(w);
    }
    json_end_array(w);
}

static const struct {
    enum dns_part part;
    const char *name;
} parts[] = {
    {DNS_MAGIC, "magicDns"},  {DNS_OVERRIDE, "overrideLocalDns"}, {DNS_RESOLVERS, "nameservers"},
    {DNS_SPLITS, "splitDns"}, {DNS_SEARCH, "searchPaths"},        {DNS_RECORDS, "records"},
};

static void put_dns(struct json_writer *w, const struct tailnet_info *info)
{
    unsigned set = info->dns_own ? info->dns_own->parts : 0;

    json_begin_object(w);
    json_field_bool(w, STR("magicDns"), info->magic_dns);
    json_field_str(w, STR("baseDomain"), info->base_domain);
    json_field_bool(w, STR("overrideLocalDns"), info->override_local_dns);
    api_put_resolvers(w, STR("nameservers"), info->resolvers, info->n_resolvers);
    json_field_array(w, STR("splitDns"));
    for (size_t i = 0; i < info->n_splits; i++) {
        json_begin_object(w);
        json_field_str(w, STR("domain"), info->splits[i].suffix);
        api_put_resolvers(w, STR("nameservers"), info->splits[i].resolvers,
                          info->splits[i].n_resolvers);
        json_end_object(w);
    }
    json_end_array(w);
    json_field_str_list(w, STR("searchPaths"), &info->search_domains);
    put_records(w, info);
    json_field_array(w, STR("set"));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (set & parts[i].part)
            json_str(w, str_from(parts[i].name));
    json_end_array(w);
    json_end_object(w);
}

static void answer(struct api_call *c, const struct tailnet_view *view)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_key(&w, STR("dns"));
    put_dns(&w, view_info(view));
    json_end_object(&w);
    api_respond(c, &body);
}

/* ---- From JSON ---- */

bool api_read_resolver(const struct json_value *v, struct str *addr, bool *with_exit_node)
{
    const struct json_value *text = json_is(v, JSON_STRING) ? v : json_get(v, "address");
    const struct json_value *flag = json_get(v, "useWithExitNode");

    if (!json_is(text, JSON_STRING) || (flag && !json_is(flag, JSON_BOOL)))
        return false;
    *addr = json_as_str(text, STR_NONE);
    *with_exit_node = json_as_bool(flag, false);
    return true;
}

bool api_read_resolvers(const struct json_value *list, struct dns_settings *dns)
{
    struct str addr;
    bool with_exit_node;

    dns->parts |= DNS_RESOLVERS;
    JSON_EACH(item, list) {
        if (!api_read_resolver(item, &addr, &with_exit_node))
            return false;
        (void)dns_add_resolver(dns, addr, with_exit_node);
    }
    return json_is(list, JSON_ARRAY) || json_is(list, JSON_NULL);
}

bool api_read_split(const struct json_value *list, struct str suffix, struct dns_settings *dns)
{
    struct dns_split *split = dns_add_split(dns, suffix);
    struct str addr;
    bool with_exit_node;

    JSON_EACH(item, list) {
        if (!api_read_resolver(item, &addr, &with_exit_node))
            return false;
        dns_split_add(split, addr, with_exit_node);
    }
    return !list || json_is(list, JSON_ARRAY) || json_is(list, JSON_NULL);
}

bool api_read_search(const struct json_value *list, struct dns_settings *dns)
{
    dns->parts |= DNS_SEARCH;
    JSON_EACH(item, list) {
        if (!json_is(item, JSON_STRING))
            return false;
        dns_add_search(dns, json_as_str(item, STR_NONE));
    }
    return json_is(list, JSON_ARRAY) || json_is(list, JSON_NULL);
}

static bool is_text_or_none(const struct json_value *v)
{
    return !v || json_is(v, JSON_STRING) || json_is(v, JSON_NULL);
}

bool api_read_records(const struct json_value *list, struct dns_settings *dns)
{
    dns->parts |= DNS_RECORDS;
    JSON_EACH(item, list) {
        if (!json_is(item, JSON_OBJECT) || !is_text_or_none(json_get(item, "name")) ||
            !is_text_or_none(json_get(item, "type")) || !is_text_or_none(json_get(item, "value")))
            return false;
        dns_add_record(dns, json_get_str(item, "name"), json_get_str(item, "type"),
                       json_get_str(item, "value"));
    }
    return json_is(list, JSON_ARRAY) || json_is(list, JSON_NULL);
}

static bool read_splits(const struct json_value *list, struct dns_settings *dns)
{
    dns->parts |= DNS_SPLITS;
    JSON_EACH(item, list) {
        const struct json_value *domain = json_get(item, "domain");

        if (!json_is(domain, JSON_STRING) ||
            !api_read_split(json_get(item, "nameservers"), json_as_str(domain, STR_NONE), dns))
            return false;
    }
    return json_is(list, JSON_ARRAY);
}

void api_wrong_kind(struct api_call *c, const char *member)
{
    api_problem(c, c->version == API_V2 ? 400 : 422, "validation failed",
                arena_printf(api_arena(c), "%s is not what it must be", member).ptr);
}

/* What of the body says something; NULL: answered. */
static struct dns_settings *read_body(struct api_call *c)
{
    struct dns_settings *dns = dns_settings_new();
    const struct json_value *v;
    const char *wrong = NULL;

    if ((v = api_member(c, "magicDns"))) {
        dns->parts |= DNS_MAGIC;
        dns->magic_dns = json_as_bool(v, false);
    }
    if ((v = api_member(c, "overrideLocalDns"))) {
        dns->parts |= DNS_OVERRIDE;
        dns->override_local_dns = json_as_bool(v, false);
    }
    if ((v = api_member(c, "nameservers")) && !api_read_resolvers(v, dns))
        wrong = "nameservers";
    if ((v = api_member(c, "splitDns")) && !read_splits(v, dns))
        wrong = "splitDns";
    if ((v = api_member(c, "searchPaths")) && !api_read_search(v, dns))
        wrong = "searchPaths";
    if ((v = api_member(c, "records")) && !api_read_records(v, dns))
        wrong = "records";
    if (!wrong)
        return dns;
    api_wrong_kind(c, wrong);
    dns_settings_free(dns);
    return NULL;
}

/* ---- The calls ---- */

void api_dns_submit(struct api_call *c, struct dns_settings *dns, enum dns_how how,
                    void (*done)(struct registrar_call *call))
{
    struct command *command = api_command(c, COMMAND_DNS_SET);

    command->dns = dns;
    command->dns_how = how;
    c->a->more = dns;
    api_submit(c, done);
}

bool api_dns_refused(struct api_call *c)
{
    dns_settings_free(c->a->more);
    c->a->more = NULL;
    return api_refused(c);
}

static void done_dns(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_dns_refused(c))
        answer(c, call->result.view);
}

static void change(struct api_call *c, enum dns_how how)
{
    struct dns_settings *dns = read_body(c);

    if (dns)
        api_dns_submit(c, dns, how, done_dns);
}

void api_dns_get(struct api_call *c)
{
    answer(c, c->view);
}

void api_dns_set(struct api_call *c)
{
    change(c, DNS_REPLACE);
}

void api_dns_add(struct api_call *c)
{
    change(c, DNS_MERGE);
}

void api_dns_remove(struct api_call *c)
{
    change(c, DNS_REMOVE);
}

/* {"parts": ["nameservers", …]}; without: all of them. */
void api_dns_reset(struct api_call *c)
{
    struct str_list named = api_texts(c, "parts");
    struct dns_settings *dns = dns_settings_new();

    dns->parts = named.len > 0 ? 0 : DNS_ALL;
    for (size_t i = 0; i < named.len; i++) {
        unsigned part = 0;

        for (size_t k = 0; k < ARRAY_LEN(parts); k++)
            if (str_eq_nocase(named.items[i], str_from(parts[k].name)))
                part = parts[k].part;
        dns->parts |= part;
        if (part == 0) {
            dns_settings_free(dns);
            api_wrong_kind(c, "parts");
            return;
        }
    }
    api_dns_submit(c, dns, DNS_RESET, done_dns);
}

/* The section "dns". headscale.md 1.2, 5.4. */

#include "config/config_internal.h"

#define DEFAULT_BASE_DOMAIN "tailnet.internal"
#define DOMAIN_MAX 253

struct str domain_clean(struct arena *arena, struct str name)
{
    struct buf out = BUF(0);
    struct str clean;

    while (str_starts(name, STR(".")))
        name = str_from_index(name, 1);
    while (str_ends(name, STR(".")))
        name = str_sub(name, 0, name.len - 1);
    buf_put_lower(&out, name);
    clean = arena_copy(arena, buf_str(&out));
    buf_fini(&out);
    return clean;
}

static bool label_is_valid(struct str label)
{
    if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

bool domain_is_valid(struct str name)
{
    struct str label, rest = name;

    if (name.len == 0 || name.len > DOMAIN_MAX || str_ends(name, STR(".")))
        return false;
    while (str_next(&rest, '.', &label))
        if (!label_is_valid(label))
            return false;
    return true;
}

/* ---- resolvers ---- */

static bool is_resolver(struct str text)
{
    struct ip_addr addr;
    struct ip_addrport ap;

    return ip_addr_parse(text, &addr) || ip_addrport_parse(text, &ap) ||
           (str_starts(text, STR("https://")) && text.len > strlen("https://"));
}

/* Entries that are no resolver are left out with a notice, as headscale does it. */
static size_t read_resolvers(struct loader *l, const struct yaml_node *list, struct str what,
                             struct dns_resolver **out)
{
    size_t n = 0;

    *out = arena_alloc(l->arena, list->len * sizeof(**out));
    YAML_EACH(item, list)
    {
        struct str text;

        if (yaml_is_null(item) || !node_text(l, item, what, &text))
            continue;
        if (is_resolver(text))
            (*out)[n++].addr = text;
        else
            notice_at(l, item,
                      "\"%.*s\" is no name server and was left out: write an IP address or an "
                      "https:// URL",
                      STR_ARG(shown(l, text)));
    }
    return n;
}

static void read_splits(struct loader *l)
{
    const struct yaml_node *map = l->values[KEY_SPLIT];
    struct config_dns *dns = &l->c->dns;

    if (!map || (map->type == YAML_SCALAR && map->text.len == 0))
        return;
    if (map->type != YAML_MAP) {
        error_at(l, map, "\"%.*s\" wants \"domain:\" lines, each with a list of name servers",
                 STR_ARG(key_path(KEY_SPLIT)));
        return;
    }
    dns->splits = arena_alloc(l->arena, map->len * sizeof(*dns->splits));
    YAML_EACH(entry, map)
    {
        struct str suffix = domain_clean(l->arena, entry->key);
        struct dns_split *split = &dns->splits[dns->n_splits];
        struct yaml_node *one;
        const struct yaml_node *list = entry;

        if (!domain_is_valid(suffix)) {
            error_at(l, entry, "\"%.*s\" is no domain name", STR_ARG(shown(l, entry->key)));
            continue;
        }
        split->suffix = suffix;
        if (entry->type == YAML_MAP) {
            error_at(l, entry, "\"%.*s\" wants a list of name servers", STR_ARG(shown(l, suffix)));
            continue;
        }
        if (entry->type == YAML_SCALAR) {
            one = arena_alloc(l->arena, 2 * sizeof(*one));
            one[0] = one[1] = *entry;
            one[0].first = &one[1];
            one[0].len = 1;
            one[1].next = NULL;
            list = one;
        }
        split->n_resolvers = read_resolvers(l, list, suffix, &split->resolvers);
        dns->n_splits++;
    }
}

/* ---- records ---- */

static bool read_record(struct loader *l, const struct yaml_node *item, struct dns_record *r)
{
    struct ip_addr addr = {0};

    if (item->type != YAML_MAP) {
        error_at(l, item, "a record has \"name\", \"type\" and \"value\"");
        return false;
    }
    YAML_EACH(field, item)
    {
        struct str *to = str_eq_nocase(field->key, STR("name"))    ? &r->name
                         : str_eq_nocase(field->key, STR("type"))  ? &r->type
                         : str_eq_nocase(field->key, STR("value")) ? &r->value
                                                                   : NULL;

        if (!to)
            notice_at_key(l, field, "\"%.*s\" is no part of a record: name, type and value are",
                          STR_ARG(shown(l, field->key)));
        else if (!node_text(l, field, field->key, to))
            return false;
    }
    r->name = domain_clean(l->arena, r->name);
    if (!domain_is_valid(r->name)) {
        error_at(l, item, "the record's name \"%.*s\" is no domain name",
                 STR_ARG(shown(l, r->name)));
        return false;
    }
    if (!ip_addr_parse(r->value, &addr)) {
        error_at(l, item, "the record's value \"%.*s\" is no IP address",
                 STR_ARG(shown(l, r->value)));
        return false;
    }
    if (r->type.len == 0)
        r->type = addr.family == IP_V4 ? STR("A") : STR("AAAA");
    if (!str_eq(r->type, addr.family == IP_V4 ? STR("A") : STR("AAAA"))) {
        error_at(l, item,
                 "the record's type \"%.*s\" does not fit its value: write A for IPv4, "
                 "AAAA for IPv6",
                 STR_ARG(shown(l, r->type)));
        return false;
    }
    return true;
}

static size_t read_record_list(struct loader *l, const struct yaml_node *list,
                               struct dns_record **out)
{
    size_t n = 0;

    *out = arena_alloc(l->arena, list->len * sizeof(**out));
    YAML_EACH(item, list)
    {
        if (read_record(l, item, &(*out)[n]))
            n++;
        else
            (*out)[n] = (struct dns_record){0};
    }
    return n;
}

static void read_records(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_EXTRA_RECORDS);
    struct config_dns *dns = &l->c->dns;

    if (value_path(l, KEY_EXTRA_RECORDS_PATH, &dns->records_path) && list && list->len > 0)
        error_at(l, l->values[KEY_EXTRA_RECORDS_PATH],
                 "dns.extra_records and dns.extra_records_path exclude each other: keep one");
    if (list)
        dns->n_records = read_record_list(l, list, &dns->records);
}

void records_read(struct loader *l, const struct yaml_node *root)
{
    struct config_dns *dns = &l->c->dns;

    if (root && root->type == YAML_LIST)
        dns->n_records = read_record_list(l, root, &dns->records);
    else if (!root)
        remark(l, true, (struct place){.file = l->file},
               "it is empty: write [] if there are to be no records");
    else
        error_at(l, root, "a file of records is a list of {\"name\", \"type\", \"value\"}");
}

static void read_search_domains(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_SEARCH_DOMAINS);
    struct config_dns *dns = &l->c->dns;

    if (!list)
        return;
    dns->search_domains = arena_alloc(l->arena, list->len * sizeof(*dns->search_domains));
    YAML_EACH(item, list)
    {
        struct str text;

        if (yaml_is_null(item) || !node_text(l, item, key_path(KEY_SEARCH_DOMAINS), &text))
            continue;
        text = domain_clean(l->arena, text);
        if (domain_is_valid(text))
            dns->search_domains[dns->n_search_domains++] = text;
        else
            error_at(l, item, "the search domain \"%.*s\" is no domain name",
                     STR_ARG(shown(l, text)));
    }
}

/* ---- base domain ---- */

/* Whether the server's own name would be one of the tailnet's. */
static bool is_inside(struct str host, struct str domain)
{
    return str_eq(host, domain) || (host.len > domain.len && str_ends(host, domain) &&
                                    host.ptr[host.len - domain.len - 1] == '.');
}

static void read_base_domain(struct loader *l)
{
    struct config_dns *dns = &l->c->dns;
    struct str text, host = domain_clean(l->arena, l->c->server_host);

    dns->base_domain = STR(DEFAULT_BASE_DOMAIN);
    if (!value_text(l, KEY_BASE_DOMAIN, &text))
        return;
    text = domain_clean(l->arena, text);
    if (!domain_is_valid(text)) {
        error_at(l, l->values[KEY_BASE_DOMAIN],
                 "dns.base_domain \"%.*s\" is no domain name: write one like %s",
                 STR_ARG(shown(l, text)), DEFAULT_BASE_DOMAIN);
        return;
    }
    if (is_inside(host, text))
        error_at(l, l->values[KEY_BASE_DOMAIN],
                 "server_url must not be inside dns.base_domain \"%.*s\", clients could not reach "
                 "it: choose another domain for one of them",
                 STR_ARG(shown(l, text)));
    dns->base_domain = text;
}

void section_dns(struct loader *l)
{
    struct config_dns *dns = &l->c->dns;
    const struct yaml_node *global = value_list(l, KEY_NAMESERVERS);
    bool asked;

    dns->magic_dns = true;
    value_bool(l, KEY_MAGIC_DNS, &dns->magic_dns);
    read_base_domain(l);
    if (global)
        dns->n_resolvers = read_resolvers(l, global, key_path(KEY_NAMESERVERS), &dns->resolvers);
    read_splits(l);
    read_search_domains(l);
    read_records(l);

    /* Without a word about it: on when there is something to override with. */
    dns->override_local_dns = dns->n_resolvers > 0;
    if (value_bool(l, KEY_OVERRIDE_DNS, &asked)) {
        if (asked && dns->n_resolvers == 0)
            error_at(l, l->values[KEY_OVERRIDE_DNS],
                     "dns.nameservers.global must be set when dns.override_local_dns is true: name "
                     "servers there, or write false");
        dns->override_local_dns = asked;
    }
}

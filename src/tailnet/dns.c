/*
 * DNS settings as objects: made, checked, changed by a command, and put together with what is
 * configured.
 */

#include "tailnet/dns.h"

#include "core/map.h"
#include "ip/addrport.h"
#include "tailnet/dns_internal.h"

#define DOMAIN_MAX 253

/* ---- Made, copied, freed ---- */

static void resolvers_free(struct dns_resolver *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_free(&r[i].addr);
    mem_free(r);
}

static struct dns_resolver *resolvers_copy(const struct dns_resolver *r, size_t n)
{
    struct dns_resolver *c = n > 0 ? mem_alloc_array(n, sizeof(*c)) : NULL;

    for (size_t i = 0; i < n; i++)
        c[i] = (struct dns_resolver){str_copy(r[i].addr), r[i].with_exit_node};
    return c;
}

static void split_fini(struct dns_split *s)
{
    str_free(&s->suffix);
    resolvers_free(s->resolvers, s->n_resolvers);
}

static void record_fini(struct dns_record *r)
{
    str_free(&r->name);
    str_free(&r->type);
    str_free(&r->value);
}

static struct dns_split split_copy(const struct dns_split *s)
{
    return (struct dns_split){.suffix = str_copy(s->suffix),
                              .resolvers = resolvers_copy(s->resolvers, s->n_resolvers),
                              .n_resolvers = s->n_resolvers};
}

static struct dns_record record_copy(const struct dns_record *r)
{
    return (struct dns_record){str_copy(r->name), str_copy(r->type), str_copy(r->value)};
}

void dns_clear(struct dns_settings *s, unsigned parts)
{
    if (parts & DNS_RESOLVERS) {
        resolvers_free(s->resolvers, s->n_resolvers);
        s->resolvers = NULL;
        s->n_resolvers = 0;
    }
    if (parts & DNS_SPLITS) {
        for (size_t i = 0; i < s->n_splits; i++)
            split_fini(&s->splits[i]);
        mem_free(s->splits);
        s->splits = NULL;
        s->n_splits = 0;
    }
    if (parts & DNS_SEARCH) {
        str_list_free(&s->search_domains);
        s->search_domains = (struct str_list){0};
    }
    if (parts & DNS_RECORDS) {
        for (size_t i = 0; i < s->n_records; i++)
            record_fini(&s->records[i]);
        mem_free(s->records);
        s->records = NULL;
        s->n_records = 0;
    }
    s->parts &= ~parts;
}

static bool resolvers_eq(const struct dns_resolver *a, size_t n_a, const struct dns_resolver *b,
                         size_t n_b)
{
    for (size_t i = 0; i < n_a && n_a == n_b; i++)
        if (!str_eq(a[i].addr, b[i].addr) || a[i].with_exit_node != b[i].with_exit_node)
            return false;
    return n_a == n_b;
}

static bool splits_eq(const struct dns_settings *a, const struct dns_settings *b)
{
    for (size_t i = 0; i < a->n_splits && a->n_splits == b->n_splits; i++)
        if (!str_eq(a->splits[i].suffix, b->splits[i].suffix) ||
            !resolvers_eq(a->splits[i].resolvers, a->splits[i].n_resolvers, b->splits[i].resolvers,
                          b->splits[i].n_resolvers))
            return false;
    return a->n_splits == b->n_splits;
}

static bool records_eq(const struct dns_settings *a, const struct dns_settings *b)
{
    for (size_t i = 0; i < a->n_records && a->n_records == b->n_records; i++)
        if (!str_eq(a->records[i].name, b->records[i].name) ||
            !str_eq(a->records[i].type, b->records[i].type) ||
            !str_eq(a->records[i].value, b->records[i].value))
            return false;
    return a->n_records == b->n_records;
}

bool dns_settings_eq(const struct dns_settings *a, const struct dns_settings *b)
{
    return a->parts == b->parts && a->magic_dns == b->magic_dns &&
           a->override_local_dns == b->override_local_dns &&
           resolvers_eq(a->resolvers, a->n_resolvers, b->resolvers, b->n_resolvers) &&
           splits_eq(a, b) && str_list_eq(&a->search_domains, &b->search_domains) &&
           records_eq(a, b);
}

/* Of `parts`, what `from` has, in place of what is there. */
void dns_assign(struct dns_settings *to, const struct dns_settings *from, unsigned parts)
{
    dns_clear(to, parts);
    to->parts |= parts;
    if (parts & DNS_MAGIC)
        to->magic_dns = from->magic_dns;
    if (parts & DNS_OVERRIDE)
        to->override_local_dns = from->override_local_dns;
    if (parts & DNS_RESOLVERS) {
        to->resolvers = resolvers_copy(from->resolvers, from->n_resolvers);
        to->n_resolvers = from->n_resolvers;
    }
    if ((parts & DNS_SPLITS) && from->n_splits > 0) {
        to->splits = mem_alloc_array(from->n_splits, sizeof(*to->splits));
        for (; to->n_splits < from->n_splits; to->n_splits++)
            to->splits[to->n_splits] = split_copy(&from->splits[to->n_splits]);
    }
    if (parts & DNS_SEARCH)
        str_list_copy(&to->search_domains, &from->search_domains);
    if ((parts & DNS_RECORDS) && from->n_records > 0) {
        to->records = mem_alloc_array(from->n_records, sizeof(*to->records));
        for (; to->n_records < from->n_records; to->n_records++)
            to->records[to->n_records] = record_copy(&from->records[to->n_records]);
    }
}

struct dns_settings *dns_settings_new(void)
{
    return NEW(struct dns_settings);
}

struct dns_settings *dns_settings_copy(const struct dns_settings *s)
{
    struct dns_settings *c = s ? dns_settings_new() : NULL;

    if (s)
        dns_assign(c, s, s->parts);
    return c;
}

void dns_settings_free(struct dns_settings *s)
{
    if (!s)
        return;
    dns_clear(s, DNS_ALL);
    mem_free(s);
}

static void resolver_add(struct dns_resolver **items, size_t *n, struct str addr,
                         bool with_exit_node)
{
    *items = mem_realloc_array(*items, *n + 1, sizeof(**items));
    (*items)[(*n)++] = (struct dns_resolver){str_copy(addr), with_exit_node};
}

struct dns_resolver *dns_add_resolver(struct dns_settings *s, struct str addr, bool with_exit_node)
{
    s->parts |= DNS_RESOLVERS;
    resolver_add(&s->resolvers, &s->n_resolvers, addr, with_exit_node);
    return &s->resolvers[s->n_resolvers - 1];
}

struct dns_split *dns_add_split(struct dns_settings *s, struct str suffix)
{
    s->parts |= DNS_SPLITS;
    s->splits = mem_realloc_array(s->splits, s->n_splits + 1, sizeof(*s->splits));
    s->splits[s->n_splits] = (struct dns_split){.suffix = str_copy(suffix)};
    return &s->splits[s->n_splits++];
}

void dns_split_add(struct dns_split *split, struct str addr, bool with_exit_node)
{
    resolver_add(&split->resolvers, &split->n_resolvers, addr, with_exit_node);
}

void dns_add_search(struct dns_settings *s, struct str domain)
{
    s->parts |= DNS_SEARCH;
    str_list_add(&s->search_domains, domain);
}

static void record_add(struct dns_settings *s, struct dns_record record)
{
    s->records = mem_realloc_array(s->records, s->n_records + 1, sizeof(*s->records));
    s->records[s->n_records++] = record;
}

void dns_add_record(struct dns_settings *s, struct str name, struct str type, struct str value)
{
    s->parts |= DNS_RECORDS;
    record_add(s, (struct dns_record){str_copy(name), str_copy(type), str_copy(value)});
}

/* ---- As part of a tailnet ---- */

/* The plain members of the info, borrowed. */
struct dns_settings dns_plain(const struct tailnet_info *i)
{
    return (struct dns_settings){
        .parts = DNS_ALL,
        .magic_dns = i->magic_dns,
        .override_local_dns = i->override_local_dns,
        .resolvers = i->resolvers,
        .n_resolvers = i->n_resolvers,
        .splits = i->splits,
        .n_splits = i->n_splits,
        .search_domains = i->search_domains,
        .records = i->records,
        .n_records = i->n_records,
    };
}

/* They become the info's; `s` is empty afterwards. */
static void give_plain(struct tailnet_info *i, struct dns_settings *s)
{
    i->magic_dns = s->magic_dns;
    i->override_local_dns = s->override_local_dns;
    i->resolvers = s->resolvers;
    i->n_resolvers = s->n_resolvers;
    i->splits = s->splits;
    i->n_splits = s->n_splits;
    i->search_domains = s->search_domains;
    i->records = s->records;
    i->n_records = s->n_records;
    *s = (struct dns_settings){0};
}

struct dns_settings *info_take_dns(struct tailnet_info *i)
{
    struct dns_settings *s = dns_settings_new(), none = {0};

    *s = dns_plain(i);
    give_plain(i, &none);
    return s;
}

void info_copy_dns(struct tailnet_info *to, const struct tailnet_info *from)
{
    struct dns_settings was = dns_plain(from), copy = {0};

    dns_assign(&copy, &was, DNS_ALL);
    give_plain(to, &copy);
    to->dns_own = dns_settings_copy(from->dns_own);
    to->dns_configured = dns_settings_copy(from->dns_configured);
}

struct dns_settings *tailnet_info_configured_dns(const struct tailnet_info *i)
{
    struct dns_settings told = dns_plain(i);

    return dns_settings_copy(i->dns_configured ? i->dns_configured : &told);
}

/* What records of one name and kind have in common. */
static struct str record_key(struct buf *out, const struct dns_record *r)
{
    buf_clear(out);
    buf_put_lower(out, r->name);
    buf_put_char(out, ' ');
    buf_put_lower(out, r->type);
    return buf_str(out);
}

/* Configured records, but for those whose name and type one's own have; then these. */
static void put_records_together(struct dns_settings *told, const struct dns_settings *own)
{
    struct map *replaced = map_new();
    struct buf key = BUF(0);
    size_t kept = 0;

    for (size_t i = 0; i < own->n_records; i++)
        (void)map_put(replaced, record_key(&key, &own->records[i]), &own->records[i]);
    for (size_t i = 0; i < told->n_records; i++) {
        if (map_find(replaced, record_key(&key, &told->records[i])))
            record_fini(&told->records[i]);
        else
            told->records[kept++] = told->records[i];
    }
    told->n_records = kept;
    for (size_t i = 0; i < own->n_records; i++)
        record_add(told, record_copy(&own->records[i]));
    map_free(replaced);
    buf_fini(&key);
}

void tailnet_info_settle_dns(struct tailnet_info *i, struct dns_settings *configured,
                             struct dns_settings *own)
{
    struct dns_settings *told = configured;

    if (own && own->parts == 0) {
        dns_settings_free(own);
        own = NULL;
    }
    if (own) {
        told = dns_settings_copy(configured);
        dns_assign(told, own, own->parts & ~(unsigned)DNS_RECORDS);
        if (own->parts & DNS_RECORDS)
            put_records_together(told, own);
        /* As the configuration has it: on when there is something to override with. */
        if ((own->parts & (DNS_RESOLVERS | DNS_OVERRIDE)) == DNS_RESOLVERS &&
            configured->n_resolvers == 0)
            told->override_local_dns = told->n_resolvers > 0;
    }
    dns_settings_free(info_take_dns(i));
    dns_settings_free(i->dns_own);
    dns_settings_free(i->dns_configured);
    give_plain(i, told);
    dns_settings_free(told); /* empty by now */
    i->dns_own = own;
    i->dns_configured = own ? configured : NULL;
}

/* ---- Checked ---- */

/* In lower case, without dots at the ends. */
static void clean_name(struct str *name)
{
    struct buf lower = BUF(0);
    struct str bare = *name;

    while (str_starts(bare, STR(".")))
        bare = str_from_index(bare, 1);
    while (str_ends(bare, STR(".")))
        bare = str_sub(bare, 0, bare.len - 1);
    buf_put_lower(&lower, bare);
    str_free(name);
    *name = buf_take(&lower);
}

static bool is_label(struct str s)
{
    if (s.len == 0 || s.len > 63 || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return true;
}

static int check_name(struct str name, const char *what, struct err *err)
{
    struct str label, rest = name;
    bool is_good = name.len > 0 && name.len <= DOMAIN_MAX;

    while (is_good && str_next(&rest, '.', &label))
        is_good = is_label(label);
    return is_good ? 0
                   : err_set(err, ERR_INVALID, "%s \"%.*s\" is no domain name", what,
                             STR_ARG(str_sub(name, 0, 80)));
}

static bool is_url(struct str s)
{
    static const char scheme[] = "https://";

    if (!str_starts(s, STR("https://")) || s.len == sizeof(scheme) - 1 ||
        s.ptr[sizeof(scheme) - 1] == '/')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '"' || s.ptr[i] == '\\')
            return false;
    return true;
}

static int check_resolvers(struct dns_resolver *r, size_t *n, struct err *err)
{
    struct ip_addr addr;
    struct ip_addrport ap;
    size_t kept = 0;

    if (*n > DNS_RESOLVERS_MAX)
        return err_set(err, ERR_INVALID, "a list has at most %d nameservers", DNS_RESOLVERS_MAX);
    for (size_t i = 0; i < *n; i++) {
        if (r[i].addr.len > DNS_ADDR_MAX ||
            (!ip_addr_parse(r[i].addr, &addr) && !ip_addrport_parse(r[i].addr, &ap) &&
             !is_url(r[i].addr)))
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" is no nameserver: write an IP address or an https:// URL",
                           STR_ARG(str_sub(r[i].addr, 0, 80)));
    }
    for (size_t i = 0; i < *n; i++) {
        bool is_twice = false;

        for (size_t k = 0; k < kept && !is_twice; k++)
            is_twice = str_eq(r[k].addr, r[i].addr);
        if (is_twice)
            str_free(&r[i].addr);
        else
            r[kept++] = r[i];
    }
    *n = kept;
    return 0;
}

static int check_splits(struct dns_settings *s, struct err *err)
{
    if (s->n_splits > DNS_SPLITS_MAX)
        return err_set(err, ERR_INVALID, "split DNS has at most %d domains", DNS_SPLITS_MAX);
    for (size_t i = 0; i < s->n_splits; i++) {
        struct dns_split *split = &s->splits[i];

        clean_name(&split->suffix);
        if (check_name(split->suffix, "the split DNS domain", err) < 0 ||
            check_resolvers(split->resolvers, &split->n_resolvers, err) < 0)
            return -(int)err->code;
        for (size_t k = 0; k < i; k++)
            if (str_eq(s->splits[k].suffix, split->suffix))
                return err_set(err, ERR_INVALID, "the split DNS domain \"%.*s\" is there twice",
                               STR_ARG(split->suffix));
    }
    return 0;
}

static int check_search(struct dns_settings *s, struct err *err)
{
    struct str_list clean = {0};
    int status = 0;

    if (s->search_domains.len > DNS_SEARCH_MAX)
        return err_set(err, ERR_INVALID, "there are at most %d search paths", DNS_SEARCH_MAX);
    for (size_t i = 0; i < s->search_domains.len && status == 0; i++) {
        clean_name(&s->search_domains.items[i]);
        status = check_name(s->search_domains.items[i], "the search path", err);
        if (!str_list_has(&clean, s->search_domains.items[i]))
            str_list_add(&clean, s->search_domains.items[i]);
    }
    str_list_free(&s->search_domains);
    s->search_domains = clean;
    return status;
}

/* Clients know A and AAAA only (protocol.md 12.1). */
static int check_record(struct dns_record *r, struct err *err)
{
    struct ip_addr addr = {0};

    clean_name(&r->name);
    if (check_name(r->name, "the record's name", err) < 0)
        return -(int)err->code;
    if (r->type.len > 0 && !str_eq_nocase(r->type, STR("A")) &&
        !str_eq_nocase(r->type, STR("AAAA")))
        return err_set(err, ERR_INVALID,
                       "a record's type is A or AAAA: clients answer no other, not \"%.*s\"",
                       STR_ARG(str_sub(r->type, 0, 16)));
    if (!ip_addr_parse(r->value, &addr))
        return err_set(err, ERR_INVALID, "the record's value \"%.*s\" is no IP address",
                       STR_ARG(str_sub(r->value, 0, 80)));
    struct str type = addr.family == IP_V4 ? STR("A") : STR("AAAA");
    if (r->type.len > 0 && !str_eq_nocase(r->type, type))
        return err_set(err, ERR_INVALID, "a record with the value \"%.*s\" is of type %.*s",
                       STR_ARG(r->value), STR_ARG(type));
    str_free(&r->type);
    r->type = str_copy(type);
    return 0;
}

static struct str whole_record_key(struct buf *out, const struct dns_record *r)
{
    (void)record_key(out, r);
    buf_put_char(out, ' ');
    buf_put(out, r->value);
    return buf_str(out);
}

static int check_records(struct dns_settings *s, struct err *err)
{
    struct map *seen = NULL;
    struct buf key = BUF(0);
    size_t kept = 0;

    if (s->n_records > DNS_RECORDS_MAX)
        return err_set(err, ERR_INVALID, "there are at most %d records", DNS_RECORDS_MAX);
    for (size_t i = 0; i < s->n_records; i++)
        if (check_record(&s->records[i], err) < 0)
            return -(int)err->code;
    seen = map_new();
    for (size_t i = 0; i < s->n_records; i++) {
        if (map_find(seen, whole_record_key(&key, &s->records[i]))) {
            record_fini(&s->records[i]);
            continue;
        }
        (void)map_put(seen, whole_record_key(&key, &s->records[i]), seen);
        s->records[kept++] = s->records[i];
    }
    s->n_records = kept;
    map_free(seen);
    buf_fini(&key);
    return 0;
}

int dns_settings_check(struct dns_settings *s, struct err *err)
{
    if (check_resolvers(s->resolvers, &s->n_resolvers, err) < 0 || check_splits(s, err) < 0 ||
        check_search(s, err) < 0 || check_records(s, err) < 0)
        return -(int)err->code;
    return 0;
}

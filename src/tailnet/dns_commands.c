/* COMMAND_DNS_SET: what administrators set, part by part. */

#include "tailnet/dns_internal.h"
#include "tailnet/domain_internal.h"

/* ---- Added to what holds ---- */

static bool has_suffix(const struct dns_settings *s, struct str suffix)
{
    for (size_t i = 0; i < s->n_splits; i++)
        if (str_eq_nocase(s->splits[i].suffix, suffix))
            return true;
    return false;
}

static void add_split_like(struct dns_settings *own, const struct dns_split *from)
{
    struct dns_split *split = dns_add_split(own, from->suffix);

    for (size_t i = 0; i < from->n_resolvers; i++)
        dns_split_add(split, from->resolvers[i].addr, from->resolvers[i].with_exit_node);
}

/* `with` is checked: its suffixes are bare and each there once. */
static void merge_splits(struct dns_settings *own, const struct dns_settings *told,
                         const struct dns_settings *with)
{
    dns_clear(own, DNS_SPLITS);
    own->parts |= DNS_SPLITS;
    for (size_t i = 0; i < told->n_splits; i++)
        if (!has_suffix(with, told->splits[i].suffix))
            add_split_like(own, &told->splits[i]);
    for (size_t i = 0; i < with->n_splits; i++)
        if (with->splits[i].n_resolvers > 0)
            add_split_like(own, &with->splits[i]);
}

static void merge(struct dns_settings *own, const struct dns_settings *told,
                  const struct dns_settings *with)
{
    dns_assign(own, with, with->parts & (DNS_MAGIC | DNS_OVERRIDE));
    if (with->parts & DNS_RESOLVERS) {
        dns_assign(own, told, DNS_RESOLVERS);
        for (size_t i = 0; i < with->n_resolvers; i++)
            (void)dns_add_resolver(own, with->resolvers[i].addr, with->resolvers[i].with_exit_node);
    }
    if (with->parts & DNS_SEARCH) {
        dns_assign(own, told, DNS_SEARCH);
        for (size_t i = 0; i < with->search_domains.len; i++)
            dns_add_search(own, with->search_domains.items[i]);
    }
    if (with->parts & DNS_SPLITS)
        merge_splits(own, told, with);
    for (size_t i = 0; i < with->n_records; i++)
        dns_add_record(own, with->records[i].name, with->records[i].type, with->records[i].value);
}

/* ---- Taken from what holds ---- */

static bool has_resolver(const struct dns_settings *s, struct str addr)
{
    for (size_t i = 0; i < s->n_resolvers; i++)
        if (str_eq(s->resolvers[i].addr, addr))
            return true;
    return false;
}

static bool has_search(const struct dns_settings *s, struct str domain)
{
    for (size_t i = 0; i < s->search_domains.len; i++)
        if (str_eq_nocase(s->search_domains.items[i], domain))
            return true;
    return false;
}

static bool asks_for_record(const struct dns_settings *s, const struct dns_record *r)
{
    for (size_t i = 0; i < s->n_records; i++) {
        const struct dns_record *w = &s->records[i];

        if ((w->name.len == 0 || str_eq_nocase(w->name, r->name)) &&
            (w->type.len == 0 || str_eq_nocase(w->type, r->type)) &&
            (w->value.len == 0 || str_eq(w->value, r->value)))
            return true;
    }
    return false;
}

static int missing(struct err *err, const char *what)
{
    return err_set(err, ERR_NOT_FOUND, "there is no such %s", what);
}

static int remove_resolvers(struct dns_settings *own, const struct dns_settings *told,
                            const struct dns_settings *with, struct err *err)
{
    dns_clear(own, DNS_RESOLVERS);
    own->parts |= DNS_RESOLVERS;
    for (size_t i = 0; i < told->n_resolvers; i++)
        if (!has_resolver(with, told->resolvers[i].addr))
            (void)dns_add_resolver(own, told->resolvers[i].addr, told->resolvers[i].with_exit_node);
    return own->n_resolvers < told->n_resolvers ? 0 : missing(err, "nameserver");
}

static int remove_splits(struct dns_settings *own, const struct dns_settings *told,
                         const struct dns_settings *with, struct err *err)
{
    dns_clear(own, DNS_SPLITS);
    own->parts |= DNS_SPLITS;
    for (size_t i = 0; i < told->n_splits; i++)
        if (!has_suffix(with, told->splits[i].suffix))
            add_split_like(own, &told->splits[i]);
    return own->n_splits < told->n_splits ? 0 : missing(err, "split DNS domain");
}

static int remove_search(struct dns_settings *own, const struct dns_settings *told,
                         const struct dns_settings *with, struct err *err)
{
    dns_clear(own, DNS_SEARCH);
    own->parts |= DNS_SEARCH;
    for (size_t i = 0; i < told->search_domains.len; i++)
        if (!has_search(with, told->search_domains.items[i]))
            dns_add_search(own, told->search_domains.items[i]);
    return own->search_domains.len < told->search_domains.len ? 0 : missing(err, "search path");
}

static int remove_records(struct dns_settings *own, const struct dns_settings *with,
                          struct err *err)
{
    AUTO(dns_settings_free) struct dns_settings *was = dns_settings_copy(own);

    dns_clear(own, DNS_RECORDS);
    for (size_t i = 0; i < was->n_records; i++)
        if (!asks_for_record(with, &was->records[i]))
            dns_add_record(own, was->records[i].name, was->records[i].type, was->records[i].value);
    return own->n_records < was->n_records ? 0 : missing(err, "record of one's own");
}

static int take_away(struct dns_settings *own, const struct dns_settings *told,
                     const struct dns_settings *with, struct err *err)
{
    int status = 0;

    if (with->parts & DNS_RESOLVERS)
        status = remove_resolvers(own, told, with, err);
    if (status == 0 && (with->parts & DNS_SPLITS))
        status = remove_splits(own, told, with, err);
    if (status == 0 && (with->parts & DNS_SEARCH))
        status = remove_search(own, told, with, err);
    if (status == 0 && (with->parts & DNS_RECORDS))
        status = remove_records(own, with, err);
    return status;
}

/* ---- The command ---- */

/* Checked as far as they are to be; what is taken away need not be well-formed. */
static int change_own(struct dns_settings *own, const struct tailnet_info *info,
                      const struct command *c, struct err *err)
{
    AUTO(dns_settings_free) struct dns_settings *with = dns_settings_copy(c->dns);
    const struct dns_settings told = dns_plain(info);

    switch (c->dns_how) {
    case DNS_REPLACE:
        dns_assign(own, with, with->parts);
        break;
    case DNS_MERGE:
        if (dns_settings_check(with, err) < 0)
            return -(int)err->code;
        merge(own, &told, with);
        break;
    case DNS_REMOVE:
        if (take_away(own, &told, with, err) < 0)
            return -(int)err->code;
        break;
    case DNS_RESET:
        dns_clear(own, with->parts);
        break;
    }
    return dns_settings_check(own, err);
}

int dns_set(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    AUTO(dns_settings_free) struct dns_settings *own = NULL;
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    own = t->info->dns_own ? dns_settings_copy(t->info->dns_own) : dns_settings_new();
    if (change_own(own, t->info, c, err) < 0)
        return -(int)err->code;
    struct tailnet_info *info = tailnet_info_clone(t->info);
    owned = info;
    tailnet_info_settle_dns(info, tailnet_info_configured_dns(t->info), TAKE(own));
    if (c->dns_how != DNS_RESET && (c->dns->parts & DNS_OVERRIDE) && info->override_local_dns &&
        info->n_resolvers == 0)
        return err_set(err, ERR_INVALID,
                       "overriding local DNS wants at least one global nameserver: set one first");
    const struct tailnet_info *old = t->info;
    t->info = TAKE(owned);
    d->of = t;
    r->id = t->id;
    domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    tailnet_info_unref(old);
    return 0;
}

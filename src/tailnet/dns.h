#pragma once

/*
 * DNS as a tailnet's administrators set it, and what becomes of it together with the configuration.
 *
 *   configured (the configuration's "dns", at every start and SIGHUP) --+
 *                                                                       +--> what clients are told
 *   own (COMMAND_DNS_SET), part by part; a part that is not set --------+
 *   leaves what is configured
 *
 * A part that is set stands in place of what is configured, until it is reset. Records are the
 * exception: those of one's own are added, and take the place of configured ones of the same name
 * and type only.
 *
 * In tailnet_info the plain members (magic_dns, resolvers, …) are always what clients are told.
 */

#include "core/err.h"
#include "tailnet/info.h"

/* Of one's own settings; configured ones have no ceiling but the file's. */
#define DNS_RESOLVERS_MAX 16 /* in one list */
#define DNS_SPLITS_MAX 512
#define DNS_SEARCH_MAX 64
#define DNS_RECORDS_MAX 4096
#define DNS_ADDR_MAX 512 /* bytes of a resolver */

enum dns_part {
    DNS_MAGIC = 1u << 0,
    DNS_OVERRIDE = 1u << 1,
    DNS_RESOLVERS = 1u << 2,
    DNS_SPLITS = 1u << 3,
    DNS_SEARCH = 1u << 4,
    DNS_RECORDS = 1u << 5,
};
#define DNS_ALL 63u

/* Owns what it points to. */
struct dns_settings {
    unsigned parts; /* enum dns_part: which of the following say something */
    bool magic_dns;
    bool override_local_dns;
    struct dns_resolver *resolvers;
    size_t n_resolvers;
    struct dns_split *splits;
    size_t n_splits;
    struct str_list search_domains;
    struct dns_record *records;
    size_t n_records;
};

/* What COMMAND_DNS_SET does with the parts it names. */
enum dns_how {
    DNS_REPLACE,
    /*
     * Adds to what holds: search domains and resolvers behind those there are, records, and splits,
     * where one of the same suffix is replaced, or goes if it comes without resolvers.
     */
    DNS_MERGE,
    /*
     * Takes from what holds: resolvers by address, splits by suffix, records by name, type and
     * value (empty ones: any). ERR_NOT_FOUND when none of a part's is there; of records only one's
     * own can be taken.
     */
    DNS_REMOVE,
    DNS_RESET, /* back to what is configured */
};

MUST_USE struct dns_settings *dns_settings_new(void);
MUST_USE struct dns_settings *dns_settings_copy(const struct dns_settings *s); /* NULL: NULL */
void dns_settings_free(struct dns_settings *s);
/* Neither NULL. */
bool dns_settings_eq(const struct dns_settings *a, const struct dns_settings *b);
DEFINE_AUTO(struct dns_settings, dns_settings_free);
/* Each adds one at the end, copied, and marks its part; the pointer is good until the next. */
struct dns_resolver *dns_add_resolver(struct dns_settings *s, struct str addr, bool with_exit_node);
struct dns_split *dns_add_split(struct dns_settings *s, struct str suffix);
void dns_split_add(struct dns_split *split, struct str addr, bool with_exit_node);
void dns_add_search(struct dns_settings *s, struct str domain);
void dns_add_record(struct dns_settings *s, struct str name, struct str type, struct str value);

/* What is configured, all parts; copied. */
MUST_USE struct dns_settings *tailnet_info_configured_dns(const struct tailnet_info *i);
/* Takes one's own (NULL: none) and the configured settings, and makes of both what is told. */
void tailnet_info_settle_dns(struct tailnet_info *i, struct dns_settings *configured,
                             struct dns_settings *own);

/*
 * Names in lower case and without dots at the ends; records without a type get the one that fits;
 * what comes twice goes. Then whether everything is what it must be.
 */
MUST_USE int dns_settings_check(struct dns_settings *s, struct err *err);

/* DNS settings of one's own over configured ones: set, added to, taken from, reset, refused. */

#include "each_fixture.h"

static void configure(void)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    AUTO(dns_settings_free) struct dns_settings *dns = dns_settings_new();

    dns->magic_dns = true;
    (void)dns_add_resolver(dns, STR("9.9.9.9"), false);
    dns_split_add(dns_add_split(dns, STR("corp.test")), STR("10.0.0.53"), false);
    dns_add_search(dns, STR("corp.test"));
    dns_add_record(dns, STR("grafana.test"), STR("A"), STR("100.64.0.9"));
    dns_add_record(dns, STR("printer.test"), STR("A"), STR("10.1.1.1"));
    dns->override_local_dns = true;
    tailnet_info_settle_dns(info, TAKE(dns), NULL);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
}

static int set_up(void **state)
{
    (void)set_up_fixture(state);
    configure();
    return 0;
}

/* "parts: …" of what clients are told. */
static void assert_told(const char *wanted)
{
    const struct tailnet_info *i = view_info(fixture_view(&f));
    struct buf out = BUF(4096);

    buf_printf(&out, "%s%s|", i->magic_dns ? "magic " : "", i->override_local_dns ? "over" : "");
    for (size_t k = 0; k < i->n_resolvers; k++)
        buf_printf(&out, " %.*s%s", STR_ARG(i->resolvers[k].addr),
                   i->resolvers[k].with_exit_node ? "!" : "");
    buf_put(&out, STR("|"));
    for (size_t k = 0; k < i->n_splits; k++) {
        buf_printf(&out, " %.*s=", STR_ARG(i->splits[k].suffix));
        for (size_t m = 0; m < i->splits[k].n_resolvers; m++)
            buf_printf(&out, "%.*s,", STR_ARG(i->splits[k].resolvers[m].addr));
    }
    buf_put(&out, STR("|"));
    for (size_t k = 0; k < i->search_domains.len; k++)
        buf_printf(&out, " %.*s", STR_ARG(i->search_domains.items[k]));
    buf_put(&out, STR("|"));
    for (size_t k = 0; k < i->n_records; k++)
        buf_printf(&out, " %.*s/%.*s/%.*s", STR_ARG(i->records[k].name),
                   STR_ARG(i->records[k].type), STR_ARG(i->records[k].value));
    buf_put_char(&out, '\0');
    assert_string_equal(buf_str(&out).ptr, wanted);
    buf_fini(&out);
}

#define CONFIGURED                                                                     \
    "magic over| 9.9.9.9| corp.test=10.0.0.53,| corp.test| grafana.test/A/100.64.0.9 " \
    "printer.test/A/10.1.1.1"

static void set(struct dns_settings *dns, enum dns_how how)
{
    fixture_done(&f, (struct command){.type = COMMAND_DNS_SET, .dns = dns, .dns_how = how});
    assert_int_equal(fixture_count(&f, CHANGE_INFO), 1);
    dns_settings_free(dns);
}

static void refused(struct dns_settings *dns, enum dns_how how, enum err_code code,
                    const char *text)
{
    fixture_refused(&f, (struct command){.type = COMMAND_DNS_SET, .dns = dns, .dns_how = how}, code,
                    text);
    dns_settings_free(dns);
    assert_told(CONFIGURED);
}

static struct dns_settings *parts(unsigned which)
{
    struct dns_settings *dns = dns_settings_new();

    dns->parts = which;
    return dns;
}

static void stands_in_place_until_reset(void **state)
{
    struct dns_settings *dns = dns_settings_new();

    (void)state;
    assert_told(CONFIGURED);
    (void)dns_add_resolver(dns, STR("1.1.1.1"), true);
    (void)dns_add_resolver(dns, STR("https://dns.nextdns.io/abc"), false);
    dns_add_search(dns, STR(".Lab.TEST."));
    set(dns, DNS_REPLACE);
    assert_told("magic over| 1.1.1.1! https://dns.nextdns.io/abc| corp.test=10.0.0.53,| lab.test| "
                "grafana.test/A/100.64.0.9 printer.test/A/10.1.1.1");

    /* An empty part is one that says "none". */
    set(parts(DNS_SEARCH | DNS_SPLITS | DNS_MAGIC), DNS_REPLACE);
    assert_told("over| 1.1.1.1! https://dns.nextdns.io/abc||| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.1.1.1");
    set(parts(DNS_RESOLVERS), DNS_RESET);
    assert_told("over| 9.9.9.9||| grafana.test/A/100.64.0.9 printer.test/A/10.1.1.1");
    set(parts(DNS_ALL), DNS_RESET);
    assert_told(CONFIGURED);
    assert_null(view_info(fixture_view(&f))->dns_own);
    assert_null(view_info(fixture_view(&f))->dns_configured);
}

static void survives_the_configuration(void **state)
{
    struct dns_settings *dns = parts(DNS_SEARCH);

    (void)state;
    dns_add_record(dns, STR("own.test"), STR_NONE, STR("fd7a::1"));
    set(dns, DNS_REPLACE);
    configure();
    assert_told("magic over| 9.9.9.9| corp.test=10.0.0.53,|| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.1.1.1 own.test/AAAA/fd7a::1");

    /* An update without an info renames only. */
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .name = STR("other")});
    assert_told("magic over| 9.9.9.9| corp.test=10.0.0.53,|| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.1.1.1 own.test/AAAA/fd7a::1");
    set(parts(DNS_ALL), DNS_RESET);
    assert_told(CONFIGURED);
}

static void adds_and_takes_away(void **state)
{
    struct dns_settings *dns = dns_settings_new();

    (void)state;
    (void)dns_add_resolver(dns, STR("1.1.1.1"), false);
    (void)dns_add_resolver(dns, STR("9.9.9.9"), false); /* is there already */
    dns_add_search(dns, STR("lab.test"));
    dns_split_add(dns_add_split(dns, STR("CORP.test")), STR("10.0.0.54"), false);
    dns_split_add(dns_add_split(dns, STR("lab.test")), STR("10.0.0.55:5353"), false);
    set(dns, DNS_MERGE);
    assert_told("magic over| 9.9.9.9 1.1.1.1| corp.test=10.0.0.54, lab.test=10.0.0.55:5353,| "
                "corp.test lab.test| grafana.test/A/100.64.0.9 printer.test/A/10.1.1.1");

    dns = dns_settings_new();
    (void)dns_add_split(dns, STR("corp.test")); /* without resolvers: goes */
    set(dns, DNS_MERGE);
    dns = dns_settings_new();
    (void)dns_add_resolver(dns, STR("9.9.9.9"), false);
    dns_add_search(dns, STR("Corp.Test"));
    set(dns, DNS_REMOVE);
    assert_told("magic over| 1.1.1.1| lab.test=10.0.0.55:5353,| lab.test| "
                "grafana.test/A/100.64.0.9 printer.test/A/10.1.1.1");
    dns = dns_settings_new();
    (void)dns_add_split(dns, STR("lab.test"));
    set(dns, DNS_REMOVE);
    assert_told("magic over| 1.1.1.1|| lab.test| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.1.1.1");
}

static void records_of_a_name_and_type_are_replaced(void **state)
{
    struct dns_settings *dns = dns_settings_new();

    (void)state;
    dns_add_record(dns, STR("Printer.test."), STR("a"), STR("10.2.2.2"));
    dns_add_record(dns, STR("printer.test"), STR("A"), STR("10.2.2.2")); /* the same again */
    dns_add_record(dns, STR("printer.test"), STR_NONE, STR("10.2.2.3"));
    dns_add_record(dns, STR("grafana.test"), STR("AAAA"), STR("fd7a::9"));
    set(dns, DNS_MERGE);
    assert_told("magic over| 9.9.9.9| corp.test=10.0.0.53,| corp.test| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.2.2.2 printer.test/A/10.2.2.3 grafana.test/AAAA/fd7a::9");
    dns = dns_settings_new();
    dns_add_record(dns, STR("printer.test"), STR_NONE, STR("10.2.2.3"));
    set(dns, DNS_REMOVE);
    dns = dns_settings_new();
    dns_add_record(dns, STR("grafana.test"), STR_NONE, STR_NONE);
    set(dns, DNS_REMOVE);
    assert_told("magic over| 9.9.9.9| corp.test=10.0.0.53,| corp.test| grafana.test/A/100.64.0.9 "
                "printer.test/A/10.2.2.2");
    dns = dns_settings_new();
    dns_add_record(dns, STR("printer.test"), STR_NONE, STR_NONE);
    set(dns, DNS_REMOVE);
    assert_told(CONFIGURED);
    assert_null(view_info(fixture_view(&f))->dns_own);
}

static void overrides_when_there_is_something_to_override_with(void **state)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    struct dns_settings *dns = parts(DNS_OVERRIDE);

    (void)state;
    tailnet_info_settle_dns(info, dns_settings_new(), NULL);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
    assert_told("||||");
    dns->override_local_dns = true;
    fixture_refused(&f, (struct command){.type = COMMAND_DNS_SET, .dns = dns}, ERR_INVALID,
                    "overriding local DNS wants at least one global nameserver: set one first");
    dns_settings_free(dns);
    dns = dns_settings_new();
    (void)dns_add_resolver(dns, STR("1.1.1.1"), false);
    set(dns, DNS_REPLACE);
    assert_told("over| 1.1.1.1|||");
    set(parts(DNS_OVERRIDE), DNS_REPLACE);
    assert_told("| 1.1.1.1|||");
}

static void refuses_what_cannot_be(void **state)
{
    static const struct {
        const char *resolver, *split, *search, *name, *type, *value;
        const char *text;
    } cases[] = {
        {.resolver = "dns.example.com",
         .text = "\"dns.example.com\" is no nameserver: write an IP address or an https:// URL"},
        {.resolver = "http://1.1.1.1/dns-query",
         .text =
             "\"http://1.1.1.1/dns-query\" is no nameserver: write an IP address or an https:// "
             "URL"},
        {.resolver = "https://",
         .text = "\"https://\" is no nameserver: write an IP address or an https:// URL"},
        {.resolver = "https://x/\"y",
         .text = "\"https://x/\"y\" is no nameserver: write an IP address or an https:// URL"},
        {.split = "a..b", .text = "the split DNS domain \"a..b\" is no domain name"},
        {.split = ".", .text = "the split DNS domain \"\" is no domain name"},
        {.search = "-a.test", .text = "the search path \"-a.test\" is no domain name"},
        {.name = "a b", .value = "1.2.3.4", .text = "the record's name \"a b\" is no domain name"},
        {.name = "a.test",
         .value = "b.test",
         .text = "the record's value \"b.test\" is no IP address"},
        {.name = "a.test",
         .type = "CNAME",
         .value = "b.test",
         .text = "a record's type is A or AAAA: clients answer no other, not \"CNAME\""},
        {.name = "a.test",
         .type = "AAAA",
         .value = "1.2.3.4",
         .text = "a record with the value \"1.2.3.4\" is of type A"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int how = DNS_REPLACE; how <= DNS_MERGE; how++) {
            struct dns_settings *dns = dns_settings_new();

            if (cases[i].resolver)
                (void)dns_add_resolver(dns, str_from(cases[i].resolver), false);
            if (cases[i].split)
                (void)dns_add_split(dns, str_from(cases[i].split));
            if (cases[i].search)
                dns_add_search(dns, str_from(cases[i].search));
            if (cases[i].name)
                dns_add_record(dns, str_from(cases[i].name), str_from(cases[i].type),
                               str_from(cases[i].value));
            refused(dns, (enum dns_how)how, ERR_INVALID, cases[i].text);
        }
    }
}

static void refuses_too_much_and_what_is_not_there(void **state)
{
    struct dns_settings *dns = dns_settings_new();

    (void)state;
    for (int i = 0; i <= DNS_RESOLVERS_MAX; i++) {
        struct str addr = str_printf("10.0.0.%d", i);

        (void)dns_add_resolver(dns, addr, false);
        str_free(&addr);
    }
    refused(dns, DNS_REPLACE, ERR_INVALID, "a list has at most 16 nameservers");
    dns = dns_settings_new();
    for (int i = 0; i <= DNS_RECORDS_MAX; i++)
        dns_add_record(dns, STR("a.test"), STR("A"), STR("10.0.0.1"));
    refused(dns, DNS_MERGE, ERR_INVALID, "there are at most 4096 records");
    dns = dns_settings_new();
    (void)dns_add_split(dns, STR("a.test"));
    (void)dns_add_split(dns, STR("A.test."));
    refused(dns, DNS_REPLACE, ERR_INVALID, "the split DNS domain \"a.test\" is there twice");

    dns = dns_settings_new();
    (void)dns_add_resolver(dns, STR("1.2.3.4"), false);
    refused(dns, DNS_REMOVE, ERR_NOT_FOUND, "there is no such nameserver");
    dns = dns_settings_new();
    dns_add_record(dns, STR("grafana.test"), STR("A"), STR("100.64.0.9"));
    refused(dns, DNS_REMOVE, ERR_NOT_FOUND, "there is no such record of one's own");
    dns = dns_settings_new();
    fixture_refused(&f, (struct command){.type = COMMAND_DNS_SET, .tailnet = 77, .dns = dns},
                    ERR_NOT_FOUND, "tailnet not found");
    dns_settings_free(dns);
}

static void a_further_tailnet_begins_with_what_is_configured(void **state)
{
    struct dns_settings *dns = parts(DNS_SPLITS | DNS_SEARCH);
    struct tailnet_info *info;

    (void)state;
    set(dns, DNS_REPLACE);
    info = tailnet_info_clone(view_info(fixture_view(&f)));
    str_free(&info->name);
    str_free(&info->base_domain);
    fixture_done(
        &f, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("second"), .info = info});
    assert_int_equal(view_info(f.result.view)->n_splits, 1);
    assert_int_equal(view_info(f.result.view)->search_domains.len, 1);
    assert_null(view_info(f.result.view)->dns_own);
    tailnet_info_unref(info);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stands_in_place_until_reset),
        TEST(survives_the_configuration),
        TEST(adds_and_takes_away),
        TEST(records_of_a_name_and_type_are_replaced),
        TEST(overrides_when_there_is_something_to_override_with),
        TEST(refuses_what_cannot_be),
        TEST(refuses_too_much_and_what_is_not_there),
        TEST(a_further_tailnet_begins_with_what_is_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

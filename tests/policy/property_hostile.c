/*
 * Policies made to hurt. Each runs in a child of its own, from the text to every question there is,
 * under a ceiling of memory and of CPU seconds; both are many times what is needed today, so that
 * only another order of growth breaks them. What goes over a bound of document.h is refused with a
 * complaint; everything else has to be answered.
 */

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/policy.h"
#include "random_tailnet.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define LIMIT_MB ((size_t)(SANITIZED ? 4000 : 1200))
#define LIMIT_CPU_S (SANITIZED ? 120 : 40)
#define NODES 12

/* The sanitizer's own way to a ceiling: address space says nothing under it. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "hard_rss_limit_mb=4000";
}

/* ---- The texts ---- */

#define MANY(out, n, ...)                                \
    do {                                                 \
        for (unsigned i = 0; i < (n); i++) {             \
            buf_put((out), i > 0 ? STR(",") : STR_NONE); \
            buf_printf((out), __VA_ARGS__);              \
        }                                                \
    } while (0)

static void ten_thousand_groups(struct buf *out)
{
    buf_put(out, STR("{\"groups\":{"));
    MANY(out, 10000, "\"group:g%u\":[\"alice@example.com\",\"u%u@example.com\",\"u%u@x.org\"]", i,
         i, i * 7 % 10000);
    buf_put(out, STR("},\"acls\":["));
    MANY(out, 10000, "{\"action\":\"accept\",\"src\":[\"group:g%u\"],\"dst\":[\"group:g%u:%u\"]}",
         i, (i * 31 + 7) % 10000, 1 + i % 60000);
    buf_put(out, STR("]}"));
}

static void a_group_of_a_hundred_thousand(struct buf *out)
{
    buf_put(out, STR("{\"groups\":{\"group:g\":["));
    MANY(out, 100000, "\"u%u@example.com\"", i);
    buf_put(out, STR(",\"alice@example.com\"]},\"acls\":["));
    MANY(out, 200, "{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"group:g:%u\"]}", 1 + i);
    buf_put(out, STR("]}"));
}

static void a_source_list_of_a_hundred_thousand(struct buf *out)
{
    buf_put(out, STR("{\"acls\":[{\"action\":\"accept\",\"src\":["));
    MANY(out, 100000, "\"10.%u.%u.%u\"", i >> 16 & 255, i >> 8 & 255, i & 255);
    buf_put(out, STR("],\"dst\":[\"*:*\"]}]}"));
}

static void too_many_selectors(struct buf *out)
{
    buf_put(out, STR("{\"acls\":[{\"action\":\"accept\",\"src\":["));
    MANY(out, POLICY_SELECTORS_MAX + 1, "\"*\"");
    buf_put(out, STR("],\"dst\":[\"*:*\"]}]}"));
}

static void put_rules(struct buf *out, unsigned n)
{
    buf_put(out, STR("{\"acls\":["));
    MANY(out, n, "{\"action\":\"accept\",\"src\":[\"100.64.0.%u\"],\"dst\":[\"10.%u.%u.0/24:%u\"]}",
         1 + i % 60, i >> 8, i & 255, 1 + i % 9);
    buf_put(out, STR("]}"));
}

static void as_many_rules_as_may_be(struct buf *out)
{
    put_rules(out, POLICY_RULES_MAX);
}

static void one_rule_too_many(struct buf *out)
{
    put_rules(out, POLICY_RULES_MAX + 1);
}

/* Each rule of its own protocol and sources, so that nothing merges and everyone gets all of it. */
static void rules_for_everyone(struct buf *out)
{
    buf_put(out, STR("{\"grants\":["));
    MANY(out, 10000,
         "{\"src\":[\"100.64.%u.%u\",\"*\"],\"dst\":[\"*\"],\"ip\":[\"tcp:%u\",\"udp:%u\"]}",
         i >> 8 & 63, i & 255, 1 + i, 1 + i);
    buf_put(out, STR("]}"));
}

static void self_in_every_rule(struct buf *out)
{
    buf_put(out, STR("{\"grants\":["));
    MANY(out, 20000,
         "{\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],\"ip\":[\"%u\"]}", 1 + i);
    buf_put(out, STR("]}"));
}

static void via_in_every_rule(struct buf *out)
{
    buf_put(out, STR("{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":["));
    MANY(out, 10000,
         "{\"src\":[\"100.64.0.%u\"],\"dst\":[\"10.%u.%u.0/"
         "24\"],\"via\":[\"tag:%c\"],\"ip\":[\"*\"]}",
         1 + i % 60, i >> 8, i & 255, i % 2 ? 'a' : 'b');
    buf_put(out, STR("]}"));
}

static void put_depth(struct buf *out, unsigned depth, char open, char close)
{
    for (unsigned i = 0; i < depth; i++)
        buf_put_char(out, open);
    for (unsigned i = 0; i < depth; i++)
        buf_put_char(out, close);
}

static void deep_lists(struct buf *out)
{
    buf_put(out, STR("{\"acls\":"));
    put_depth(out, 1000000, '[', ']');
    buf_put(out, STR("}"));
}

static void deep_values(struct buf *out)
{
    buf_put(out, STR("{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"app\":{\"a.b/c\":"));
    put_depth(out, 50, '[', ']');
    buf_put(out, STR("}}]}"));
}

static void deep_comments(struct buf *out)
{
    buf_put(out, STR("{"));
    for (unsigned i = 0; i < 1000000; i++)
        buf_put(out, STR("/**/"));
    buf_put(out, STR("\"acls\":[]}"));
}

static void over_four_mebibytes(struct buf *out)
{
    for (size_t i = 0; i <= POLICY_TEXT_MAX; i++)
        buf_put_char(out, ' ');
}

/* One set in fifty thousand pieces. */
static void put_holes(struct buf *out)
{
    buf_put(out, STR("\"ipset:holes\":[\"add 10.0.0.0/8\","));
    MANY(out, 50000, "\"remove 10.%u.%u.%u\"", i >> 15 & 255, i >> 7 & 255, (i << 1) & 255);
    buf_put(out, STR("]"));
}

static void a_set_of_fifty_thousand_pieces(struct buf *out)
{
    buf_put(out, STR("{\"ipsets\":{"));
    put_holes(out);
    buf_put(out, STR("},\"acls\":["));
    MANY(out, 20, "{\"action\":\"accept\",\"src\":[\"ipset:holes\"],\"dst\":[\"ipset:holes:%u\"]}",
         1 + i);
    buf_put(out, STR("]}"));
}

/* Sets of that set: a few bytes of text each. */
static void thousands_of_large_sets(struct buf *out)
{
    buf_put(out, STR("{\"ipsets\":{"));
    put_holes(out);
    buf_put(out, STR(","));
    MANY(out, 10000, "\"ipset:s%u\":[\"ipset:holes\"]", i);
    buf_put(out, STR("},\"acls\":["));
    MANY(out, 10000, "{\"action\":\"accept\",\"src\":[\"ipset:s%u\"],\"dst\":[\"*:*\"]}", i);
    buf_put(out, STR("]}"));
}

static void a_chain_of_sets(struct buf *out)
{
    buf_put(out, STR("{\"ipsets\":{\"ipset:s20000\":[\"10.0.0.0/8\"],"));
    MANY(out, POLICY_NAMES_MAX - 2, "\"ipset:s%u\":[\"ipset:s%u\",\"ipset:s%u\"]", i, i + 1,
         i + 1 < POLICY_NAMES_MAX - 2 ? i + 1 : 20000);
    buf_printf(out, ",\"ipset:s%u\":[]},\"acls\":[]}", POLICY_NAMES_MAX - 2);
}

static void a_circle_of_sets(struct buf *out)
{
    buf_put(out, STR("{\"ipsets\":{"));
    MANY(out, 10000, "\"ipset:s%u\":[\"ipset:s%u\"]", i, (i + 1) % 10000);
    buf_put(out, STR("},\"acls\":[]}"));
}

static void a_chain_of_tags(struct buf *out)
{
    buf_put(out, STR("{\"tagOwners\":{\"tag:a\":[\"tag:t0\"],"));
    MANY(out, POLICY_NAMES_MAX - 2, "\"tag:t%u\":[\"tag:t%u\"]", i,
         (i + 1) % (POLICY_NAMES_MAX - 2));
    buf_put(out, STR("}}"));
}

/* Each tag is owned by all: ways without number from one to another. */
static void a_thicket_of_tags(struct buf *out)
{
    buf_put(out, STR("{\"tagOwners\":{\"tag:a\":[\"tag:t0\"]"));
    for (unsigned k = 0; k < 300; k++) {
        buf_printf(out, ",\"tag:t%u\":[", k);
        MANY(out, 300, "\"tag:t%u\"", i);
        buf_put(out, STR("]"));
    }
    buf_put(out, STR("}}"));
}

static void forty_thousand_ports(struct buf *out)
{
    buf_put(out,
            STR("{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"autogroup:member:"));
    MANY(out, 40000, "%u", 1 + i);
    buf_put(out, STR("\",\"autogroup:tagged:"));
    MANY(out, 40000, "%u", 1 + i);
    buf_put(out, STR("\"]}]}"));
}

static void twenty_thousand_shells(struct buf *out)
{
    buf_put(out, STR("{\"ssh\":["));
    MANY(out, POLICY_RULES_MAX,
         "{\"action\":\"%s\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],\"users\":"
         "[\"u%u\"]}",
         i % 2 ? "check" : "accept", i);
    buf_put(out, STR("]}"));
}

static void postures_everywhere(struct buf *out)
{
    buf_put(out, STR("{\"postures\":{"));
    MANY(out, 10000, "\"posture:p%u\":[\"node:os == 'linux'\",\"node:tsVersion >= '1.%u'\"]", i, i);
    buf_put(out, STR("},\"acls\":["));
    MANY(out, 10000,
         "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"10.%u.%u.1:22\"],\"srcPosture\":["
         "\"posture:"
         "p%u\"]}",
         i >> 8, i & 255, i);
    buf_put(out, STR("]}"));
}

static void attributes_for_all(struct buf *out)
{
    buf_put(out, STR("{\"nodeAttrs\":["));
    MANY(out, 20000, "{\"target\":[\"*\",\"100.64.0.%u\"],\"attr\":[\"a%u\",\"b%u\"]}", 1 + i % 60,
         i, i % 100);
    buf_put(out, STR("]}"));
}

static void many_hosts(struct buf *out)
{
    buf_put(out, STR("{\"hosts\":{"));
    MANY(out, POLICY_NAMES_MAX, "\"h%u\":\"10.%u.%u.0/24\"", i, i >> 8, i & 255);
    buf_put(out, STR("},\"acls\":["));
    MANY(out, POLICY_NAMES_MAX, "{\"action\":\"accept\",\"src\":[\"h%u\"],\"dst\":[\"h%u:*\"]}", i,
         (i * 13) % POLICY_NAMES_MAX);
    buf_put(out, STR("]}"));
}

static void too_many_hosts(struct buf *out)
{
    buf_put(out, STR("{\"hosts\":{"));
    MANY(out, POLICY_NAMES_MAX + 1, "\"h%u\":\"10.%u.%u.0/24\"", i, i >> 8, i & 255);
    buf_put(out, STR("}}"));
}

static void many_tests(struct buf *out)
{
    buf_put(out, STR("{\"acls\":["));
    MANY(out, 5000,
         "{\"action\":\"accept\",\"src\":[\"100.64.%u.%u\"],\"dst\":[\"100.65.0.1:%u\"]}", i >> 8,
         i & 255, 1 + i);
    buf_put(out, STR("],\"tests\":["));
    MANY(out, 5000, "{\"src\":\"100.64.%u.%u\",\"accept\":[\"100.65.0.1:%u\"]}", i >> 8, i & 255,
         1 + i);
    buf_put(out, STR("]}"));
}

static void approvers_for_all(struct buf *out)
{
    buf_put(out, STR("{\"autoApprovers\":{\"routes\":{"));
    MANY(out, 20000, "\"10.%u.%u.0/24\":[\"autogroup:member\",\"alice@example.com\"]", i >> 8,
         i & 255);
    buf_put(out, STR("}}}"));
}

static const struct {
    const char *name;
    void (*put)(struct buf *out);
    bool refused;
} cases[] = {
#define OK(f)        \
    {                \
#f, f, false \
    }
#define REFUSED(f)  \
    {               \
#f, f, true \
    }
    OK(ten_thousand_groups),
    OK(a_group_of_a_hundred_thousand),
    OK(a_source_list_of_a_hundred_thousand),
    REFUSED(too_many_selectors),
    OK(as_many_rules_as_may_be),
    REFUSED(one_rule_too_many),
    OK(rules_for_everyone),
    OK(self_in_every_rule),
    OK(via_in_every_rule),
    REFUSED(deep_lists),
    OK(deep_values),
    OK(deep_comments),
    REFUSED(over_four_mebibytes),
    OK(a_set_of_fifty_thousand_pieces),
    REFUSED(thousands_of_large_sets),
    OK(a_chain_of_sets),
    REFUSED(a_circle_of_sets),
    OK(a_chain_of_tags),
    OK(a_thicket_of_tags),
    OK(forty_thousand_ports),
    OK(twenty_thousand_shells),
    OK(postures_everywhere),
    OK(attributes_for_all),
    OK(many_hosts),
    REFUSED(too_many_hosts),
    OK(many_tests),
    OK(approvers_for_all),
};

/* ---- Every question there is ---- */

static void ask_about_node(const struct policy *p, const struct tailnet_view *v,
                           const struct node *n)
{
    struct buf out = BUF((size_t)1 << 30);
    struct ip_prefix routes[16];
    const struct str *names;
    const struct node *other;

    policy_put_filter(p, n->id, POLICY_CANONICAL, &out);
    buf_clear(&out);
    policy_put_filter(p, n->id, POLICY_COMPACT, &out);
    buf_clear(&out);
    policy_put_ssh(p, n->id, STR_NONE, &out);
    ASSERT(!buf_is_full(&out));
    buf_fini(&out);
    (void)policy_filter_mark(p, n->id, POLICY_COMPACT);
    (void)policy_attrs(p, n->id, &names);
    for (size_t at = 0; (other = view_node_next(v, &at));) {
        (void)policy_sees(p, n->id, other->id);
        (void)policy_peer_routes(p, n->id, other->id, routes, ARRAY_LEN(routes));
        (void)policy_ssh_check_ms(p, n->id, other->id);
        (void)policy_allows(p, n->v4, other->v4, 6, 22);
    }
}

static void ask_about_names(const struct policy_document *d, const struct tailnet_view *v)
{
    const struct node *n;
    struct ip_prefix route = {IP_ADDR_V4(10, 77, 9, 0), 24};

    for (size_t at = 0; (n = view_node_next(v, &at));) {
        const struct user *owner = view_user_find(v, n->user);

        (void)policy_approves_route(d, n, owner, route);
        (void)policy_tag_may_be_requested(d, owner, n, STR("tag:a"));
    }
}

static void ask_about_all(const struct policy_document *d, struct random_tailnet *t)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct policy_input first = {.document = d, .view = t->view};
    AUTO(policy_unref) const struct policy *p = policy_compile(&first);
    struct policy_complaint complaint;
    struct policy_findings findings;
    struct buf details = BUF((size_t)1 << 20);
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(t->view, &at));)
        ask_about_node(p, t->view, n);
    ask_about_names(d, t->view);
    IGNORE(policy_check_users(d, t->view, &complaint));
    IGNORE(policy_run_tests(p, &complaint, &details));
    policy_lint(p, arena, &findings);
    buf_fini(&details);
    random_tailnet_step(t);
    const struct policy_input next = {d, t->view, p, t->changes.items, t->changes.len};
    AUTO(policy_unref) const struct policy *later = policy_compile(&next);
    (void)policy_class_of(later, 1);
}

/* In the child. */
static void suffer(size_t at)
{
    struct rlimit cpu = {LIMIT_CPU_S, LIMIT_CPU_S}, memory = {LIMIT_MB << 20, LIMIT_MB << 20};
    struct buf text = BUF((size_t)64 << 20);
    const struct policy_document *d = NULL;
    struct policy_complaint complaint = {0};
    struct random_tailnet t;

    (void)setrlimit(RLIMIT_CPU, &cpu);
    if (!SANITIZED)
        (void)setrlimit(RLIMIT_AS, &memory);
    cases[at].put(&text);
    random_tailnet_init(&t, (struct random_tailnet_options){.seed = 7, .max_nodes = NODES});
    bool refused = policy_document_parse(buf_str(&text), NULL, &d, &complaint) < 0;
    if (refused != cases[at].refused) {
        (void)fprintf(stderr, "%s: %s %.200s\n", cases[at].name, refused ? "refused:" : "accepted",
                      complaint.text);
        _exit(1);
    }
    if (!refused)
        ask_about_all(d, &t);
    policy_document_unref(d);
    buf_fini(&text);
    random_tailnet_fini(&t);
    _exit(0);
}

static void hostile_policies_stay_within_limits(void **state)
{
    const char *only = getenv("HATSIZE_CASE");
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rusage used;
        int status = 0;

        if (only && !strstr(cases[i].name, only))
            continue;
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            suffer(i);
        assert_int_equal(wait4(child, &status, 0, &used), child);
        size_t mb = (size_t)used.ru_maxrss >> 10;
        bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && mb <= LIMIT_MB;

        print_message("%-36s %4ld.%02ld s %5zu MB %s\n", cases[i].name, (long)used.ru_utime.tv_sec,
                      (long)used.ru_utime.tv_usec / 10000, mb, good ? "" : "FAILED");
        failed += !good;
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_policies_stay_within_limits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

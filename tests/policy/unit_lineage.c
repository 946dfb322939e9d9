/* Which new policies go on with the lineage of the one before. */

#include "../unit.h"

#include "policy/eval_internal.h"
#include "policy/policy.h"

#define USERS "\"users\":[{\"id\":1,\"name\":\"ann\"},{\"id\":2,\"name\":\"bob\"}],\"nodes\":["
#define ANN \
    "{\"name\":\"a\",\"user\":\"ann\",\"ipv4\":\"100.64.0.1\",\"ipv6\":\"fd7a:115c:a1e0::1\"}"
#define DB                                                                                       \
    ",{\"name\":\"d\",\"tags\":[\"tag:db\"],\"ipv4\":\"100.64.0.2\",\"ipv6\":\"fd7a:115c:a1e0::" \
    "2\"}"
#define BOB \
    ",{\"name\":\"b\",\"user\":\"bob\",\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a:115c:a1e0::3\"}"
/* Bob under another name, and who is like him. */
#define RENAMED(name)                                                          \
    "\"users\":[{\"id\":1,\"name\":\"ann\"},{\"id\":2,\"name\":\"" name "\"}," \
    "{\"id\":3,\"name\":\"dan\"}],\"nodes\":["
#define DAN ",{\"name\":\"d\",\"user\":\"dan\",\"ipv4\":\"100.64.0.2\"}"
#define NAMED(name) ",{\"name\":\"b\",\"user\":\"" name "\",\"ipv4\":\"100.64.0.3\"}"
#define RULES                                                                                      \
    "{\"tagOwners\":{\"tag:db\":[]},\"acls\":[{\"action\":\"accept\",\"src\":[\"ann@\",\"bob@\"]," \
    "\"dst\":[\"tag:db:5432\"]}]}"

static const struct tailnet_view *view_from(const char *users, const char *nodes)
{
    AUTO_FINI(buf_fini) struct buf json = BUF(0);
    const struct tailnet_view *view = NULL;
    struct eval_case c;
    struct err err = {0};

    buf_printf(&json, "{%s%s],\"policy\":\"\"}", users, nodes);
    assert_int_equal(eval_case_read(buf_str(&json), &c, &err), 0);
    assert_int_equal(eval_case_view(&c, NULL, &view, &err), 0);
    eval_case_fini(&c);
    return view;
}

static const struct tailnet_view *view_of(const char *nodes)
{
    return view_from(USERS, nodes);
}

static const struct policy_document *document_of(const char *text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    assert_int_equal(policy_document_parse(str_from(text), NULL, &d, &c), 0);
    return d;
}

static const struct policy *after_change(const struct policy *before,
                                         const struct tailnet_view *view, struct change change)
{
    change.tailnet = view_info(view)->id;
    return policy_compile(&(struct policy_input){.document = policy_document(before),
                                                 .view = view,
                                                 .before = before,
                                                 .changes = &change,
                                                 .n_changes = 1});
}

/* After node `id` has come. */
static const struct policy *next_of(const struct policy *before, const struct tailnet_view *view,
                                    node_id id)
{
    return after_change(before, view,
                        (struct change){.kind = CHANGE_NODE, .id = id, .mask = NODE_NEW});
}

static const struct policy *first_of(const struct policy_document *d,
                                     const struct tailnet_view *view)
{
    return policy_compile(&(struct policy_input){.document = d, .view = view});
}

static void a_machine_unlike_any_before_is_one_class_more(void **state)
{
    AUTO(policy_document_unref) const struct policy_document *d = document_of(RULES);
    AUTO(view_unref) const struct tailnet_view *few = view_of(ANN DB), *all = view_of(ANN DB BOB);
    AUTO(policy_unref) const struct policy *before = first_of(d, few);
    AUTO(policy_unref) const struct policy *after = next_of(before, all, 3);

    (void)state;
    assert_true(policy_same_lineage(before, after));
    assert_int_equal(policy_class_count(after), policy_class_count(before) + 1);
    assert_int_equal(policy_class_of(after, 1), policy_class_of(before, 1));
    assert_int_equal(policy_class_of(after, 2), policy_class_of(before, 2));
    assert_true(policy_mark_eq(policy_node_mark(before, 1), policy_node_mark(after, 1)));
    assert_true(policy_sees(after, 3, 2));
    assert_false(policy_sees(after, 3, 1));
    /* Whoever it may come from is told, all the same. */
    assert_false(policy_mark_eq(policy_filter_mark(before, 2, POLICY_CANONICAL),
                                policy_filter_mark(after, 2, POLICY_CANONICAL)));
}

static void a_class_that_comes_between_ends_it(void **state)
{
    AUTO(policy_document_unref) const struct policy_document *d = document_of(RULES);
    AUTO(view_unref) const struct tailnet_view *few = view_of(ANN BOB), *all = view_of(ANN DB BOB);
    AUTO(policy_unref) const struct policy *before = first_of(d, few);
    AUTO(policy_unref) const struct policy *after = next_of(before, all, 2);

    (void)state;
    assert_false(policy_same_lineage(before, after));
}

static void another_document_ends_it(void **state)
{
    AUTO(policy_document_unref) const struct policy_document *d = document_of(RULES);
    AUTO(policy_document_unref) const struct policy_document *same = document_of(RULES);
    AUTO(view_unref) const struct tailnet_view *view = view_of(ANN DB);
    AUTO(policy_unref) const struct policy *a = first_of(d, view), *b = first_of(same, view);

    (void)state;
    assert_false(policy_same_lineage(a, b));
}

/* Nobody would look at its machines again: nothing happened to them. */
static void a_user_who_comes_under_a_rule_ends_it(void **state)
{
    AUTO(policy_document_unref)
    const struct policy_document *d =
        document_of("{\"acls\":[{\"action\":\"accept\",\"src\":[\"cy@\"],\"dst\":[\"ann@:22\"]}]}");
    AUTO(view_unref)
    const struct tailnet_view *were = view_from(RENAMED("bob"), ANN DAN NAMED("bob"));
    AUTO(view_unref) const struct tailnet_view *are = view_from(RENAMED("cy"), ANN DAN NAMED("cy"));
    AUTO(policy_unref) const struct policy *before = first_of(d, were);
    AUTO(policy_unref)
    const struct policy *after =
        after_change(before, are, (struct change){.kind = CHANGE_USER, .id = 2});

    (void)state;
    assert_int_equal(policy_class_of(before, 3), policy_class_of(before, 2));
    assert_int_equal(policy_class_of(after, 2), policy_class_of(before, 2));
    assert_true(policy_sees(after, 3, 1));
    assert_false(policy_same_lineage(before, after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_unlike_any_before_is_one_class_more),
        cmocka_unit_test(a_class_that_comes_between_ends_it),
        cmocka_unit_test(another_document_ends_it),
        cmocka_unit_test(a_user_who_comes_under_a_rule_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Registrations that wait: asked, asked again, approved, rejected, timed out, pushed out. */

#include "each_fixture.h"

#include "tailnet/name.h"

/* Asks without an auth key; the auth id in `id`. */
static void ask(struct ask a, char id[64])
{
    assert_int_equal(fixture_register(&f, a), REGISTER_PENDING);
    snprintf(id, 64, "%s", f.result.auth_id);
}

static struct command approve(const char *id, const char *user)
{
    return (struct command){
        .type = COMMAND_REGISTER_APPROVE, .name = str_from(id), .user_name = str_from(user)};
}

static void assert_gone(struct command c)
{
    char text[256];

    snprintf(text, sizeof(text),
             "no pending auth session for auth_id %.*s; it may have expired: log in again on the "
             "machine",
             STR_ARG(c.name));
    fixture_refused(&f, c, ERR_NOT_FOUND, text);
}

static void asking_again_gives_the_same_id(void **state)
{
    char first[64], again[64], other[64];
    struct pending_info info;

    (void)state;
    ask((struct ask){.machine = 1, .key = 1, .hostname = "one"}, first);
    assert_int_equal(strlen(first), 38);
    assert_memory_equal(first, "hskey-authreq-", 14);
    assert_int_equal(f.changes.len, 0);
    ask((struct ask){.machine = 1, .key = 1, .hostname = "two"}, again);
    assert_string_equal(first, again);
    assert_true(domain_pending_find(f.d, str_from(first), &info));
    assert_str(info.hostname, STR("two"));
    ask((struct ask){.machine = 1, .key = 2}, other);
    assert_string_not_equal(first, other);
    /* The follow-up waits under the same id, another machine's does not. */
    ask((struct ask){.machine = 1, .key = 1, .followup = first}, again);
    assert_string_equal(first, again);
    ask((struct ask){.machine = 2, .key = 3, .followup = first}, again);
    assert_string_not_equal(first, again);
    assert_false(domain_pending_find(f.d, STR("hskey-authreq-000000000000000000000000"), &info));
}

static void approval_completes_it_once(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char id[64];

    (void)state;
    ask((struct ask){.machine = 1, .key = 1, .hostname = "laptop"}, id);
    fixture_refused(&f, approve(id, "nobody"), ERR_NOT_FOUND, "user not found");
    fixture_done(&f, approve(id, "alice"));
    assert_true(f.result.node->user == alice && f.result.node->method == REGISTER_CLI);
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
    assert_int_equal(fixture_count(&f, CHANGE_NODE), 1);
    for (size_t i = 0; i < f.changes.len; i++)
        if (f.changes.items[i].kind == CHANGE_PENDING)
            assert_string_equal(f.changes.items[i].text, id);
    assert_gone(approve(id, "alice"));
    /* However often and in which form the client asks now, it is in. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .followup = id}),
                         REGISTER_DONE);
        assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1}), REGISTER_DONE);
        assert_true(f.result.user->id == alice && f.changes.len == 0);
    }
}

static void rejection_is_told_once(void **state)
{
    char id[64], next[64];

    (void)state;
    fixture_user(&f, "alice");
    ask((struct ask){.machine = 1, .key = 1}, id);
    fixture_done(&f, (struct command){.type = COMMAND_REGISTER_REJECT, .name = str_from(id)});
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
    assert_gone(approve(id, "alice"));
    assert_gone((struct command){.type = COMMAND_REGISTER_REJECT, .name = str_from(id)});
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .followup = id}),
                     REGISTER_FAILED);
    assert_string_equal(f.result.text, "registration was rejected");
    ask((struct ask){.machine = 1, .key = 1, .followup = id}, next);
    assert_string_not_equal(id, next);
}

static void it_times_out(void **state)
{
    char id[64], next[64];
    struct pending_info info;

    (void)state;
    ask((struct ask){.machine = 1, .key = 1}, id);
    assert_true(domain_next_tick_ms(f.d) == f.now + PENDING_MS);
    fixture_tick(&f, PENDING_MS - 1);
    assert_int_equal(f.changes.len, 0);
    fixture_tick(&f, 1);
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
    assert_false(domain_pending_find(f.d, str_from(id), &info));
    ask((struct ask){.machine = 1, .key = 1, .followup = id}, next);
    assert_string_not_equal(id, next);
}

/* headscale.md 11 #37, as far as the domain goes. */
static void limits_can_be_others(void **state)
{
    char first[64], id[64], next[64];
    struct pending_info info;

    (void)state;
    domain_set_pending_limits(f.d, (struct pending_limits){.ms = 2000, .max = 2});
    ask((struct ask){.machine = 1, .key = 1}, first);
    ask((struct ask){.machine = 2, .key = 2}, id);
    ask((struct ask){.machine = 3, .key = 3}, id);
    assert_false(domain_pending_find(f.d, str_from(first), &info));
    fixture_tick(&f, 2000);
    assert_false(domain_pending_find(f.d, str_from(id), &info));
    ask((struct ask){.machine = 3, .key = 3, .followup = id}, next);
    assert_string_not_equal(id, next);
}

static void the_oldest_is_pushed_out(void **state)
{
    char first[64], id[64];
    struct pending_info info;

    (void)state;
    f.is_quiet = true;
    ask((struct ask){.machine = 1, .key = 1}, first);
    /* One machine has at most 16… */
    for (unsigned i = 2; i <= 16; i++)
        ask((struct ask){.machine = 1, .key = i}, id);
    assert_true(domain_pending_find(f.d, str_from(first), &info));
    ask((struct ask){.machine = 1, .key = 17}, id);
    assert_false(domain_pending_find(f.d, str_from(first), &info));
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
    /* …and the server PENDING_MAX. */
    ask((struct ask){.machine = 2, .key = 100}, first);
    for (unsigned i = 0; i < PENDING_MAX - 17; i++)
        ask((struct ask){.machine = 1000 + i, .key = 1000 + i}, id);
    assert_int_equal(f.changes.len, 0);
    for (unsigned i = 0; i < 17; i++)
        ask((struct ask){.machine = 5000 + i, .key = 5000 + i}, id);
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
    assert_false(domain_pending_find(f.d, str_from(first), &info));
}

static bool only_tag_ok(void *user, tailnet_id tailnet, const struct user *owner,
                        const struct node *existing, struct str tag)
{
    (void)existing;
    assert_true(tailnet == 1);
    return owner->id == *(user_id *)user && str_eq(tag, STR("tag:ok"));
}

static bool tag_ok_is_defined(void *user, tailnet_id tailnet, struct str tag)
{
    (void)user;
    (void)tailnet;
    return str_eq(tag, STR("tag:ok"));
}

static void requested_tags_are_the_policys_to_allow(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    const struct domain_policy_hooks hooks = {
        .tag_is_defined = tag_ok_is_defined, .tag_may_be_requested = only_tag_ok, .user = &alice};
    char id[64];

    (void)state;
    fixture_user(&f, "bob");
    domain_set_policy_hooks(f.d, &hooks);
    ask((struct ask){.machine = 1, .key = 1, .tags = "tag:ok,tag:no,Bad"}, id);
    fixture_refused(&f, approve(id, "alice"), ERR_INVALID,
                    "requested tags [Bad tag:no] are invalid or not permitted");
    ask((struct ask){.machine = 1, .key = 1, .tags = "tag:ok"}, id);
    fixture_refused(&f, approve(id, "bob"), ERR_INVALID,
                    "requested tags [tag:ok] are invalid or not permitted");
    fixture_done(&f, approve(id, "alice"));
    node_id node = f.result.id;
    assert_true(f.result.user == NULL && f.result.node->user == 0);
    assert_int_equal(f.result.node->tags.len, 1);

    struct str_list tags = list_of("tag:no");
    fixture_refused(&f, (struct command){.type = COMMAND_NODE_TAG, .id = node, .tags = tags},
                    ERR_INVALID, "requested tags [tag:no] are invalid or not permitted");
    str_list_free(&tags);

    /* Another log-in, without tags: the user's again. */
    ask((struct ask){.machine = 1, .key = 2, .old_key = 1}, id);
    fixture_done(&f, approve(id, "alice"));
    assert_true(f.result.id == node && f.result.node->user == alice);
    assert_int_equal(f.result.node->tags.len, 0);
}

static void a_token_says_when_the_key_expires(void **state)
{
    char id[64];

    (void)state;
    fixture_user(&f, "alice");
    ask((struct ask){.machine = 1, .key = 1, .expiry_ms = f.now + 5000}, id);
    struct command c = approve(id, "alice");
    c.is_oidc = true;
    c.expiry_ms = f.now + 9000;
    fixture_done(&f, c);
    assert_true(f.result.node->expiry_ms == f.now + 9000);
    assert_int_equal(f.result.node->method, REGISTER_OIDC);
}

static void a_key_taken_meanwhile_is_refused(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char id[64];

    (void)state;
    ask((struct ask){.machine = 1, .key = 7}, id);
    fixture_join(&f, 7, alice, "other", "");
    fixture_refused(&f, approve(id, "alice"), ERR_CONFLICT,
                    "node key already in use by another machine");
}

static void a_join_by_auth_key_wakes_who_waits(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char id[64];

    (void)state;
    ask((struct ask){.machine = 7, .key = 7}, id);
    fixture_join(&f, 7, alice, "other", "");
    assert_int_equal(fixture_count(&f, CHANGE_PENDING), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(asking_again_gives_the_same_id),
        FIXTURE_TEST(approval_completes_it_once),
        FIXTURE_TEST(rejection_is_told_once),
        FIXTURE_TEST(it_times_out),
        FIXTURE_TEST(limits_can_be_others),
        FIXTURE_TEST(the_oldest_is_pushed_out),
        FIXTURE_TEST(requested_tags_are_the_policys_to_allow),
        FIXTURE_TEST(a_token_says_when_the_key_expires),
        FIXTURE_TEST(a_key_taken_meanwhile_is_refused),
        FIXTURE_TEST(a_join_by_auth_key_wakes_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

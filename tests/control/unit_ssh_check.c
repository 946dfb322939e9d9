/*
 * SSH checks: who waits, who is let in, for how long, what ends it, and how much of it fits.
 */

#include "../unit.h"

#include "control/ssh_check.h"
#include "core/clock.h"
#include "core/log.h"

#define HOUR_MS ((int64_t)3600 * 1000)
#define MINUTE_MS ((int64_t)60 * 1000)

struct fixture {
    struct ssh_checks *checks;
    bool is_gone;
    struct ssh_pair pair; /* of every pair of nodes */
    struct ssh_check *shown;
};

static bool look(void *user, const struct ssh_login *login, struct ssh_pair *out)
{
    struct fixture *f = user;

    if (f->is_gone || login->src == login->dst)
        return false;
    *out = f->pair;
    return true;
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    const struct ssh_checks_options options = {.look = look, .user = f};

    log_init(LOG_OFF, LOG_TEXT, -1);
    f->checks = ssh_checks_new(&options);
    f->pair = (struct ssh_pair){.src_user = 5, .period_ms = 12 * HOUR_MS};
    f->pair.src_key.b[0] = 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ssh_checks_drop_held(f->checks);
    ssh_checks_free(f->checks);
    mem_free(f);
    return 0;
}

static struct ssh_login login_of(node_id src, node_id dst, const char *as)
{
    return (struct ssh_login){
        .tailnet = 1, .src = src, .dst = dst, .local_user = str_from(as), .ssh_user = STR("typed")};
}

static enum ssh_verdict ask_as(struct fixture *f, node_id src, node_id dst, const char *as,
                               const char *id)
{
    const struct ssh_login login = login_of(src, dst, as);

    return ssh_checks_ask(f->checks, &login, str_from(id), &f->shown);
}

/* Node 10 to node 20 as root: a new session, or one that comes back with its id. */
static enum ssh_verdict ask(struct fixture *f, const char *id)
{
    return ask_as(f, 10, 20, "root", id);
}

/* A new session that must be held; its id. */
static struct str ask_id(struct fixture *f, char out[SSH_CHECK_ID_MAX])
{
    assert_int_equal(ask(f, ""), SSH_ASK);
    memcpy(out, f->shown->id, SSH_CHECK_ID_MAX);
    return str_from(out);
}

static void approve(struct fixture *f, struct str id)
{
    struct err err = {0};

    assert_int_equal(ssh_checks_approve(f->checks, 1, id, &err), 0);
}

struct test_held {
    struct ssh_held held;
    bool is_done;
    enum ssh_verdict verdict;
};

static void on_done(struct ssh_held *h, enum ssh_verdict verdict)
{
    struct test_held *t = CONTAINER_OF(h, struct test_held, held);

    assert_false(t->is_done);
    t->is_done = true;
    t->verdict = verdict;
}

static void hold(struct fixture *f, struct test_held *t, struct str id)
{
    *t = (struct test_held){.held.done = on_done};
    assert_int_equal(ask(f, id.ptr), SSH_HOLD);
    assert_true(ssh_check_hold(f->shown, &t->held));
}

static void approval_lets_held_and_later_sessions_in(void **state)
{
    struct fixture *f = *state;
    struct test_held one, two;
    char id[SSH_CHECK_ID_MAX], again[SSH_CHECK_ID_MAX];

    hold(f, &one, ask_id(f, id));
    assert_true(str_eq(ask_id(f, again), str_from(id))); /* a second session shares the check */
    hold(f, &two, str_from(id));
    assert_false(one.is_done || two.is_done);
    approve(f, str_from(id));
    assert_true(one.is_done && one.verdict == SSH_ACCEPTED);
    assert_true(two.is_done && two.verdict == SSH_ACCEPTED);
    assert_int_equal(ask(f, id), SSH_ACCEPTED);
    assert_int_equal(ask(f, ""), SSH_ACCEPTED);
    approve(f, str_from(id)); /* twice is once */
    assert_int_equal(ssh_checks_count(f->checks), 1);
}

static void approval_is_for_this_log_in_only(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct ssh_login elsewhere = login_of(10, 20, "root");
    struct err err = {0};

    approve(f, ask_id(f, id));
    assert_int_equal(ask_as(f, 10, 20, "ubuntu", ""), SSH_ASK);
    assert_int_equal(ask_as(f, 10, 20, "postgres", id), SSH_ASK); /* with somebody else's id */
    assert_int_equal(ask_as(f, 11, 20, "root", id), SSH_ASK);
    assert_int_equal(ask_as(f, 10, 21, "root", id), SSH_ASK);
    assert_int_equal(ask_as(f, 20, 10, "root", id), SSH_ASK);
    elsewhere.tailnet = 2;
    assert_int_equal(ssh_checks_ask(f->checks, &elsewhere, str_from(id), &f->shown), SSH_ASK);
    /* Nor is it another tailnet's business. */
    assert_int_equal(ssh_checks_reject(f->checks, 2, str_from(id), &err), -ERR_NOT_FOUND);
    assert_int_equal(ask(f, ""), SSH_ACCEPTED);
}

static void approval_lasts_its_period_from_the_approval(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];

    (void)ask_id(f, id);
    clock_test_advance_ms(9 * MINUTE_MS);
    approve(f, str_from(id));
    clock_test_advance_ms(12 * HOUR_MS - MINUTE_MS);
    assert_int_equal(ask(f, ""), SSH_ACCEPTED);
    clock_test_advance_ms(MINUTE_MS);
    /* headscale.md 11 #88: nor does the old id help. */
    assert_int_equal(ask(f, id), SSH_ASK);
    assert_true(!str_eq(str_from(f->shown->id), str_from(id)));
    /* A shorter period in the policy counts from the approval as well. */
    approve(f, str_from(f->shown->id));
    clock_test_advance_ms(2 * HOUR_MS);
    assert_int_equal(ask(f, ""), SSH_ACCEPTED);
    f->pair.period_ms = HOUR_MS;
    assert_int_equal(ask(f, ""), SSH_ASK);
}

static void always_asks_every_session(void **state)
{
    struct fixture *f = *state;
    char one[SSH_CHECK_ID_MAX], two[SSH_CHECK_ID_MAX];

    f->pair.period_ms = 0;
    (void)ask_id(f, one);
    assert_false(str_eq(ask_id(f, two), str_from(one)));
    approve(f, str_from(one));
    assert_int_equal(ask(f, one), SSH_ACCEPTED);
    assert_int_equal(ask(f, one), SSH_ACCEPTED); /* its answer was lost */
    assert_int_equal(ask(f, two), SSH_HOLD);
    assert_int_equal(ask(f, ""), SSH_ASK);
    clock_test_advance_ms(SSH_CHECK_KEEP_MS);
    assert_int_equal(ask(f, one), SSH_ASK);
}

static void from_always_to_a_period(void **state)
{
    struct fixture *f = *state;
    struct test_held one, two;
    char id_one[SSH_CHECK_ID_MAX], id_two[SSH_CHECK_ID_MAX];

    f->pair.period_ms = 0;
    hold(f, &one, ask_id(f, id_one));
    hold(f, &two, ask_id(f, id_two));
    f->pair.period_ms = HOUR_MS;
    ssh_checks_refresh(f->checks, 1);
    assert_false(one.is_done || two.is_done);
    approve(f, str_from(id_one));
    assert_true(one.is_done && one.verdict == SSH_ACCEPTED);
    assert_true(two.is_done && two.verdict == SSH_HOLD);
    assert_int_equal(ask(f, id_two), SSH_ACCEPTED);
}

static void rejected_and_expired(void **state)
{
    struct fixture *f = *state;
    struct test_held held;
    char id[SSH_CHECK_ID_MAX];
    struct err err = {0};

    hold(f, &held, ask_id(f, id));
    assert_int_equal(ssh_checks_reject(f->checks, 1, str_from(id), &err), 0);
    assert_true(held.is_done && held.verdict == SSH_REJECTED); /* headscale.md 11 #87 */
    assert_int_equal(ask(f, id), SSH_REJECTED);
    assert_int_equal(ssh_checks_approve(f->checks, 1, str_from(id), &err), -ERR_CONFLICT);
    /* The next session asks anew. */
    hold(f, &held, ask_id(f, id));
    for (int i = 0; i < 9; i++) {
        clock_test_advance_ms(MINUTE_MS);
        (void)ssh_checks_tick(f->checks);
        assert_true(held.is_done && held.verdict == SSH_HOLD); /* time to come back */
        hold(f, &held, str_from(id));
    }
    clock_test_advance_ms(MINUTE_MS);
    (void)ssh_checks_tick(f->checks);
    assert_true(held.is_done && held.verdict == SSH_TIMED_OUT); /* headscale.md 11 #87 */
    assert_int_equal(ask(f, id), SSH_TIMED_OUT);
    assert_int_equal(ssh_checks_approve(f->checks, 1, str_from(id), &err), -ERR_CONFLICT);
    clock_test_advance_ms(SSH_CHECK_KEEP_MS);
    assert_int_equal(ssh_checks_tick(f->checks), -1);
    assert_int_equal(ssh_checks_count(f->checks), 0);
    assert_int_equal(ssh_checks_approve(f->checks, 1, str_from(id), &err), -ERR_NOT_FOUND);
}

static void approval_taken_back(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct err err = {0};

    approve(f, ask_id(f, id));
    assert_int_equal(ssh_checks_reject(f->checks, 1, str_from(id), &err), 0);
    assert_int_equal(ask(f, ""), SSH_ASK);
}

static void another_session_keeps_the_check_alive(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX], again[SSH_CHECK_ID_MAX];

    (void)ask_id(f, id);
    clock_test_advance_ms(SSH_CHECK_WAIT_MS - MINUTE_MS);
    assert_true(str_eq(ask_id(f, again), str_from(id)));
    clock_test_advance_ms(SSH_CHECK_WAIT_MS - MINUTE_MS);
    assert_int_equal(ask(f, id), SSH_HOLD);
    clock_test_advance_ms(MINUTE_MS);
    assert_int_equal(ask(f, id), SSH_TIMED_OUT);
}

/* What changes; each ends what waits and what is approved, also without a refresh. */
enum end { END_GONE, END_KEY, END_USER, END_RULE, END_COUNT };

static void change(struct fixture *f, enum end what)
{
    f->is_gone = what == END_GONE;
    f->pair.src_key.b[0] = what == END_KEY ? 2 : 1;
    f->pair.src_user += what == END_USER;
    f->pair.period_ms = what == END_RULE ? -1 : f->pair.period_ms;
}

static void changes_end_checks(void **state)
{
    static const char *const names[END_COUNT] = {"node gone", "key", "owner", "rule"};
    struct fixture *f = *state;
    const struct fixture before = *f;

    for (int i = 0; i < 4 * END_COUNT; i++) {
        enum end what = (enum end)(i / 4);
        bool approved = i & 1, refresh = i & 2;
        struct test_held held = {0};
        char id[SSH_CHECK_ID_MAX];
        struct err err = {0};

        print_message("%s, %s, %s\n", names[what], approved ? "approved" : "waiting",
                      refresh ? "told" : "not told");
        hold(f, &held, ask_id(f, id));
        if (approved)
            approve(f, str_from(id));
        change(f, what);
        if (refresh) {
            ssh_checks_refresh(f->checks, 2);
            assert_int_equal(ssh_checks_count(f->checks), 1);
            ssh_checks_refresh(f->checks, 1);
            assert_int_equal(ssh_checks_count(f->checks), 0);
            assert_true(held.is_done);
            assert_int_equal(held.verdict, approved ? SSH_ACCEPTED : SSH_NO_RULE);
        } else if (i < 4) {
            assert_int_equal(ssh_checks_approve(f->checks, 1, str_from(id), &err), -ERR_NOT_FOUND);
        }
        bool may_ask = what == END_KEY || what == END_USER;
        assert_int_equal(ask(f, id), may_ask ? SSH_ASK : SSH_NO_RULE);
        assert_true(held.is_done);
        assert_int_equal(ssh_checks_count(f->checks), may_ask ? 1 : 0);
        f->is_gone = true;
        ssh_checks_refresh(f->checks, 1);
        f->is_gone = false;
        f->pair = before.pair;
    }
}

static void bounds_hold(void **state)
{
    struct fixture *f = *state;
    char name[300];

    for (int i = 0; i < SSH_CHECKS_PAIR_MAX; i++) {
        (void)snprintf(name, sizeof(name), "user%d", i);
        assert_int_equal(ask_as(f, 10, 20, name, ""), SSH_ASK);
    }
    assert_int_equal(ask(f, ""), SSH_TOO_MANY);
    assert_int_equal(ask_as(f, 10, 20, "user3", ""), SSH_ASK); /* what waits goes on */
    /* An approved one takes nobody's room. */
    approve(f, str_from(f->shown->id));
    assert_int_equal(ask(f, ""), SSH_ASK);
    assert_int_equal(ask_as(f, 10, 20, "late", ""), SSH_TOO_MANY);
    for (node_id src = 100; ssh_checks_count(f->checks) - 1 < SSH_CHECKS_NODE_MAX; src++)
        assert_int_equal(ask_as(f, src, 20, "root", ""), SSH_ASK);
    assert_int_equal(ask_as(f, 11, 20, "root", ""), SSH_TOO_MANY);
    for (node_id dst = 1000; ssh_checks_count(f->checks) - 1 < SSH_CHECKS_TAILNET_MAX; dst++)
        assert_int_equal(ask_as(f, 11, dst, "root", ""), SSH_ASK);
    assert_int_equal(ask_as(f, 12, 13, "root", ""), SSH_TOO_MANY);
    /* Another tailnet does not suffer. */
    struct ssh_login other = login_of(10, 20, "root");
    other.tailnet = 2;
    assert_int_equal(ssh_checks_ask(f->checks, &other, STR_NONE, &f->shown), SSH_ASK);
    /* A name no system has. */
    memset(name, 'x', sizeof(name));
    name[SSH_CHECK_USER_MAX + 1] = '\0';
    other.tailnet = 3;
    other.local_user = str_from(name);
    assert_int_equal(ssh_checks_ask(f->checks, &other, STR_NONE, &f->shown), SSH_NO_RULE);
}

static void holds_so_many_and_releases(void **state)
{
    struct fixture *f = *state;
    struct test_held held[SSH_CHECK_HELD_MAX + 1] = {0};
    char id[SSH_CHECK_ID_MAX];

    (void)ask_id(f, id);
    for (size_t i = 0; i < SSH_CHECK_HELD_MAX; i++)
        hold(f, &held[i], str_from(id));
    assert_int_equal(ask(f, id), SSH_HOLD);
    held[SSH_CHECK_HELD_MAX].held.done = on_done;
    assert_false(ssh_check_hold(f->shown, &held[SSH_CHECK_HELD_MAX].held));
    ssh_check_release(&held[3].held);
    ssh_check_release(&held[3].held);
    assert_true(ssh_check_hold(f->shown, &held[SSH_CHECK_HELD_MAX].held));
    approve(f, str_from(id));
    for (size_t i = 0; i <= SSH_CHECK_HELD_MAX; i++)
        assert_int_equal(held[i].is_done, i != 3);
}

static void tick_says_when(void **state)
{
    struct fixture *f = *state;
    struct test_held held;
    char id[SSH_CHECK_ID_MAX];

    assert_int_equal(ssh_checks_tick(f->checks), -1);
    (void)ask_id(f, id);
    int64_t in = ssh_checks_tick(f->checks);
    assert_true(in > SSH_CHECK_WAIT_MS - 1000 && in <= SSH_CHECK_WAIT_MS);
    hold(f, &held, str_from(id));
    in = ssh_checks_tick(f->checks);
    assert_true(in > SSH_CHECK_HOLD_MS - 1000 && in <= SSH_CHECK_HOLD_MS);
    approve(f, str_from(id));
    in = ssh_checks_tick(f->checks);
    assert_true(in > 12 * HOUR_MS - 1000 && in <= 12 * HOUR_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(approval_lets_held_and_later_sessions_in, setup, teardown),
        cmocka_unit_test_setup_teardown(approval_is_for_this_log_in_only, setup, teardown),
        cmocka_unit_test_setup_teardown(approval_lasts_its_period_from_the_approval, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(always_asks_every_session, setup, teardown),
        cmocka_unit_test_setup_teardown(from_always_to_a_period, setup, teardown),
        cmocka_unit_test_setup_teardown(rejected_and_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(approval_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(another_session_keeps_the_check_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_end_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_so_many_and_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(tick_says_when, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * People over several tailnets: what they are asked, what becomes of them before and after the yes,
 * links of invitations, sessions by role. The rules themselves are tested in tests/tailnet.
 */

#include "login_world.h"

#define ALICE ",\"email\":\"alice@example.com\",\"email_verified\":true"

static tailnet_id make_another(struct fixture *f, const char *name, const struct join_rule *rule)
{
    struct join_rule rules[1] = {rule ? *rule : (struct join_rule){0}};
    struct tailnet_settings settings = {
        .set = SETTING_JOINING, .joining = rules, .n_joining = rule ? 1 : 0};
    struct test_call t = {0};

    apply(f, &t,
          (struct command){
              .type = COMMAND_TAILNET_CREATE, .name = str_from(name), .settings = &settings});
    tailnet_id id = view_info(t.call.result.view)->id;
    command_result_fini(&t.call.result);
    return id;
}

static const struct join_rule by_domain = {.by = JOIN_DOMAIN,
                                           .value = STR_INIT("example.com"),
                                           .needs_approval = true,
                                           .role = ROLE_MEMBER};

/* From now on nobody comes to the first tailnet by a log-in who is no member. */
static void close_first(struct fixture *f)
{
    const struct tailnet_settings settings = {.set = SETTING_JOINING};
    struct test_call t = {0};

    apply(f, &t, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &settings});
    command_result_fini(&t.call.result);
}

struct look {
    struct registrar_query query;
    tailnet_id tailnet;
    size_t users;
    user_id first;
    enum user_status status;
    enum user_role role;
    size_t sessions;
    _Atomic(bool) is_done;
};

static void look_run(struct registrar_query *q, struct domain *d)
{
    struct look *l = CONTAINER_OF(q, struct look, query);
    AUTO(view_unref) const struct tailnet_view *view = domain_view(d, l->tailnet);
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    const struct user *const *users = view_users(view, &l->users);

    l->sessions = api_key_set_count(keys);
    if (l->users == 0)
        return;
    l->first = users[0]->id;
    l->status = users[0]->status;
    l->role = users[0]->role;
}

static void look_done(struct registrar_query *q)
{
    atomic_store(&CONTAINER_OF(q, struct look, query)->is_done, true);
}

static struct look look_at(struct fixture *f, tailnet_id tailnet)
{
    struct look l = {.tailnet = tailnet};

    l.query = (struct registrar_query){.run = look_run, .done = look_done, .loop = f->loops[0]};
    registrar_ask(control_registrar(f->control), &l.query);
    for (int i = 0; i < 60000 && !atomic_load(&l.is_done); i++)
        (void)usleep(1000);
    assert_true(atomic_load(&l.is_done));
    return l;
}

static void set_role(struct fixture *f, tailnet_id tailnet, user_id user, enum user_role role)
{
    struct test_call t = {0};

    apply(f, &t,
          (struct command){.type = COMMAND_USER_UPDATE,
                           .tailnet = tailnet,
                           .id = user,
                           .fields = USER_FIELD_ROLE,
                           .role = role});
    command_result_fini(&t.call.result);
}

static struct str invite(struct fixture *f, struct arena *arena, struct command c)
{
    struct test_call t = {0};

    c.type = COMMAND_USER_INVITE_CREATE;
    apply(f, &t, c);
    struct str path = arena_printf(arena, "/invite/%.*s", STR_ARG(t.call.result.secret));
    command_result_fini(&t.call.result);
    return path;
}

static struct answer ask_to_join(struct fixture *f, struct arena *arena, struct str *confirm)
{
    struct answer away;
    char id[64];

    begin(f, id);
    *confirm = arena_printf(arena, "/register/confirm/%s", id);
    return come_back_from(f, arena, arena_printf(arena, "/register/%s", id), "good", &away);
}

/* ---- Machines ---- */

static void a_person_picks_a_tailnet(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", &by_domain);
    struct str confirm;
    struct answer page;

    (void)make_another(f, "secretive", NULL);
    set_claims(f, STR(ALICE));
    page = ask_to_join(f, arena, &confirm);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, ">default</button>") && has(&page, ">acme</button>"));
    assert_true(has(&page, "administrators must approve you"));
    assert_false(has(&page, "secretive"));
    /* A tailnet that was not asked about, and none; a question is good once. */
    assert_int_equal(answer_to(f, arena, confirm, &page, acme + 1000).status, 400);
    assert_int_equal(answer_to(f, arena, confirm, &page, acme).status, 410);
    page = ask_to_join(f, arena, &confirm);
    assert_int_equal(answer_to(f, arena, confirm, &page, 0).status, 400);
    assert_int_equal(look_at(f, 0).users, 0);
    assert_int_equal(look_at(f, acme).users, 0);

    page = ask_to_join(f, arena, &confirm);
    struct answer done = answer_to(f, arena, confirm, &page, acme);
    assert_int_equal(done.status, 200);
    assert_true(has(&done, "Node Registered") && has(&done, "wait for approval"));
    assert_true(has(&done, "acme"));
    assert_int_equal(look_at(f, 0).users, 0);
    assert_int_equal(look_at(f, acme).users, 1);
    assert_int_equal(look_at(f, acme).status, USER_PENDING);
}

static void a_stranger_learns_no_name(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", &by_domain);
    struct str confirm;
    struct answer page;

    close_first(f);
    /* The address is not verified: it is nobody's. */
    f->provider.rules.email_verified_required = false;
    set_claims(f, STR(",\"email\":\"alice@example.com\",\"email_verified\":false"));
    page = ask_to_join(f, arena, &confirm);
    assert_int_equal(page.status, 403);
    assert_true(has(&page, "invitation"));
    assert_false(has(&page, "acme"));
    assert_false(has(&page, "default"));
    assert_int_equal(look_at(f, acme).users, 0);
    assert_int_equal(look_at(f, 0).users, 0);
}

static void a_name_or_a_provider_says_which(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", &by_domain);
    struct str confirm;
    struct answer page;

    set_claims(f, STR(",\"preferred_username\":\"alice+acme\"" ALICE));
    page = ask_to_join(f, arena, &confirm);
    assert_int_equal(page.status, 200);
    assert_false(has(&page, "</button> "));
    assert_true(has(&page, "<td>acme</td>") && !has(&page, "default"));
    assert_int_equal(answer_to(f, arena, confirm, &page, 0).status, 200);
    assert_int_equal(look_at(f, acme).users, 1);
    /* The provider is another tailnet's alone, whatever the name says. */
    f->provider.tailnet = STR("default");
    page = ask_to_join(f, arena, &confirm);
    assert_true(has(&page, "<td>default</td>") && !has(&page, "acme</"));
    f->provider.tailnet = STR("gone");
    page = ask_to_join(f, arena, &confirm);
    assert_int_equal(page.status, 403);
    assert_false(has(&page, "gone"));
}

/* Its key has expired: no question which tailnet it is to be in. */
static void a_machine_comes_back_to_its_tailnet(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", &by_domain);
    struct node_facts *facts = node_facts_new();
    struct register_request reg = {.capver = 142, .facts = facts};
    struct answer page, away;
    struct test_call first = {0}, expire = {0}, again = {0}, other = {0};

    set_claims(f, STR(ALICE));
    rand_bytes(reg.machine.b, sizeof(reg.machine.b));
    rand_bytes(reg.key.b, sizeof(reg.key.b));
    apply(f, &first, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    struct str id = arena_copy(arena, str_from(first.call.result.auth_id));
    struct str start = arena_printf(arena, "/register/%.*s", STR_ARG(id));
    struct str confirm = arena_printf(arena, "/register/confirm/%.*s", STR_ARG(id));
    page = come_back_from(f, arena, start, "good", &away);
    assert_true(has(&page, ">default</button>"));
    assert_int_equal(answer_to(f, arena, confirm, &page, acme).status, 200);

    struct register_request later = reg;
    later.old_key = reg.key;
    rand_bytes(later.key.b, sizeof(later.key.b));
    apply(f, &again, (struct command){.type = COMMAND_REGISTER, .reg = &later});
    assert_int_equal(again.call.result.outcome, REGISTER_PENDING);
    id = arena_copy(arena, str_from(again.call.result.auth_id));
    page =
        come_back_from(f, arena, arena_printf(arena, "/register/%.*s", STR_ARG(id)), "good", &away);
    assert_true(has(&page, "<td>acme</td>") && !has(&page, "default"));
    page =
        answer_to(f, arena, arena_printf(arena, "/register/confirm/%.*s", STR_ARG(id)), &page, 0);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "Node Reauthenticated"));

    /* Another profile of the same machine: the person picks. */
    rand_bytes(later.key.b, sizeof(later.key.b));
    later.old_key = (struct node_key){0};
    apply(f, &other, (struct command){.type = COMMAND_REGISTER, .reg = &later});
    id = arena_copy(arena, str_from(other.call.result.auth_id));
    page =
        come_back_from(f, arena, arena_printf(arena, "/register/%.*s", STR_ARG(id)), "good", &away);
    assert_true(has(&page, ">default</button>") && has(&page, ">acme</button>"));
    command_result_fini(&first.call.result);
    command_result_fini(&expire.call.result);
    command_result_fini(&again.call.result);
    command_result_fini(&other.call.result);
    node_facts_unref(facts);
}

/* ---- Invitations ---- */

static struct str body_of(const struct answer *a)
{
    ptrdiff_t at = str_find(a->all, STR("\r\n\r\n"));

    assert_true(at > 0);
    return str_from_index(a->all, (size_t)at + 4);
}

static void a_link_makes_a_member_once(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", NULL);
    struct str link = invite(f, arena, (struct command){.tailnet = acme, .role = ROLE_AUDITOR});
    struct answer away, page, done;

    set_claims(f, STR(ALICE));
    page = come_back_from(f, arena, link, "good", &away);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "You are invited to acme as auditor") &&
                has(&page, "alice@example.com"));
    /* The secret is in the link only. */
    assert_true(str_find(page.all, str_from_index(link, 8)) < 0);
    assert_true(str_find(away.all, str_from_index(link, 8)) < 0);
    assert_int_equal(look_at(f, acme).users, 0);
    done = answer_to(f, arena, STR("/invite/confirm"), &page, 0);
    assert_int_equal(done.status, 200);
    assert_true(has(&done, "You are a member") && has(&done, "tailscale up --login-server="));
    assert_int_equal(look_at(f, acme).role, ROLE_AUDITOR);
    assert_int_equal(look_at(f, acme).status, USER_ACTIVE);
    assert_int_equal(look_at(f, 0).users, 0);

    /* Used, unknown and what is no link at all are the same. */
    struct answer used = ask(f, arena, "GET", link, STR_NONE, STR_NONE);
    assert_int_equal(used.status, 410);
    static const char *const others[] = {
        "/invite/x", "/invite/hskey-invite-0123456789ab-"
                     "0000000000000000000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct answer other = ask(f, arena, "GET", str_from(others[i]), STR_NONE, STR_NONE);

        assert_int_equal(other.status, 410);
        assert_str(body_of(&other), body_of(&used));
    }

    /* Who is a member already uses no link up. */
    link = invite(f, arena, (struct command){.tailnet = acme, .role = ROLE_OWNER});
    page = come_back_from(f, arena, link, "good", &away);
    assert_true(has(&page, "You are a member"));
    assert_int_equal(look_at(f, acme).role, ROLE_AUDITOR);
    assert_int_equal(ask(f, arena, "GET", link, STR_NONE, STR_NONE).status, 302);
}

static void a_link_may_be_for_one_address(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", NULL);
    struct str link = invite(
        f, arena,
        (struct command){.tailnet = acme, .role = ROLE_MEMBER, .email = STR("bob@example.com")});
    struct answer away, page;

    set_claims(f, STR(ALICE));
    page = come_back_from(f, arena, link, "good", &away);
    assert_int_equal(page.status, 403);
    assert_true(has(&page, "another mail address"));
    assert_false(has(&page, "bob@example.com"));
    assert_false(has(&page, "acme"));
    f->subject = "bob";
    set_claims(f, STR(",\"email\":\"Bob@Example.com\",\"email_verified\":true"));
    page = come_back_from(f, arena, link, "good", &away);
    assert_int_equal(answer_to(f, arena, STR("/invite/confirm"), &page, 0).status, 200);
    assert_int_equal(look_at(f, acme).users, 1);
}

/* ---- Sessions ---- */

static struct answer log_in(struct fixture *f, struct arena *arena)
{
    struct answer away;

    return come_back_from(f, arena, STR("/login"), "good", &away);
}

static user_id come_by_link(struct fixture *f, struct arena *arena, tailnet_id tailnet,
                            enum user_role role)
{
    struct answer away, page;
    struct str link = invite(f, arena, (struct command){.tailnet = tailnet, .role = role});

    page = come_back_from(f, arena, link, "good", &away);
    assert_int_equal(answer_to(f, arena, STR("/invite/confirm"), &page, 0).status, 200);
    return look_at(f, tailnet).first;
}

static void a_session_is_for_who_may_something(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    tailnet_id acme = make_another(f, "acme", &by_domain);
    tailnet_id other = make_another(f, "other", NULL);
    struct test_call t = {0};
    struct answer page;

    set_claims(f, STR(ALICE));
    page = log_in(f, arena);
    assert_int_equal(page.status, 403);
    assert_false(has(&page, "acme"));
    assert_int_equal(look_at(f, acme).users + look_at(f, 0).users, 0);

    user_id alice = come_by_link(f, arena, acme, ROLE_MEMBER);
    assert_int_equal(log_in(f, arena).status, 403);
    set_role(f, acme, alice, ROLE_AUDITOR);
    page = log_in(f, arena);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "hatsize_session=hskey-session-"));
    assert_int_equal(look_at(f, 0).users, 0);

    /* Of two tailnets one is chosen. */
    (void)come_by_link(f, arena, other, ROLE_IT_ADMIN);
    page = log_in(f, arena);
    assert_true(has(&page, ">acme</button>") && has(&page, ">other</button>") &&
                has(&page, "as it-admin"));
    assert_false(has(&page, "default"));
    assert_false(has(&page, "hatsize_session"));
    page = answer_to(f, arena, STR("/login/confirm"), &page, other);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "hatsize_session=hskey-session-"));
    assert_int_equal(look_at(f, 0).sessions, 2);

    /* Suspended: no more, and what there was has ended. */
    apply(f, &t, (struct command){.type = COMMAND_USER_SUSPEND, .tailnet = acme, .id = alice});
    command_result_fini(&t.call.result);
    for (int i = 0; i < 60000 && look_at(f, 0).sessions != 1; i++)
        (void)usleep(1000);
    assert_int_equal(look_at(f, 0).sessions, 1);
    page = log_in(f, arena);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "Logged In"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_person_picks_a_tailnet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_learns_no_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_or_a_provider_says_which, setup, teardown),
        cmocka_unit_test_setup_teardown(a_machine_comes_back_to_its_tailnet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_makes_a_member_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_may_be_for_one_address, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_is_for_who_may_something, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Treaties: which shared machines both policies let be used; over a real domain and real policies.
 */

#include "../tailnet/fixture.h"

#include "control/treaty.h"

/* "default" lends anna's box to gina, or to all, of "guests"; gerd is there, too. */
struct rig {
    struct fixture f;
    tailnet_id owner, guest;
    user_id anna, gina, gerd;
    node_id box, ginas, gerds;
    const struct policy_document *documents[2]; /* NULL: none */
    unsigned given;                             /* by the last look */
};

static user_id user_in(struct fixture *f, tailnet_id t, const char *name)
{
    struct str email = str_printf("%s@x.org", name);

    fixture_done(
        f, (struct command){
               .type = COMMAND_USER_CREATE, .tailnet = t, .name = str_from(name), .email = email});
    str_free(&email);
    return f->result.id;
}

static node_id join_in(struct fixture *f, tailnet_id t, unsigned machine, user_id user,
                       const char *hostname)
{
    struct node_facts *facts = facts_of(hostname, "", "");

    fixture_done(f, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = t, .user = user});
    struct str key = str_copy(f->result.secret);
    struct register_request reg = {.machine = machine_of(machine),
                                   .key = key_of(machine),
                                   .capver = 100,
                                   .auth_key = key,
                                   .facts = facts};
    fixture_done(f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    str_free(&key);
    node_facts_unref(facts);
    return f->result.id;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    fixture_init(&r->f);
    r->owner = view_info(fixture_view(&r->f))->id;
    fixture_done(&r->f, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("guests")});
    r->guest = r->f.result.id;
    r->anna = user_in(&r->f, r->owner, "anna");
    r->gina = user_in(&r->f, r->guest, "gina");
    r->gerd = user_in(&r->f, r->guest, "gerd");
    r->box = join_in(&r->f, r->owner, 1, r->anna, "box");
    r->ginas = join_in(&r->f, r->guest, 2, r->gina, "ginas");
    r->gerds = join_in(&r->f, r->guest, 3, r->gerd, "gerds");
}

static void rig_fini(struct rig *r)
{
    policy_document_unref(r->documents[0]);
    policy_document_unref(r->documents[1]);
    fixture_fini(&r->f);
}

/* "SRC>DST" of a rule for all ports; NULL: no policy. */
static void set_policy(struct rig *r, int side, const char *src, const char *dst)
{
    struct policy_complaint complaint = {0};
    char text[200];

    policy_document_unref(r->documents[side]);
    r->documents[side] = NULL;
    if (!src)
        return;
    (void)snprintf(text, sizeof(text),
                   "{\"acls\":[{\"action\":\"accept\",\"src\":[\"%s\"],\"dst\":[\"%s:*\"]}]}", src,
                   dst);
    assert_int_equal(policy_document_parse(str_from(text), NULL, &r->documents[side], &complaint),
                     0);
}

static share_id lend(struct rig *r, user_id to, struct share_terms terms)
{
    struct share s = {
        .owner = r->owner, .node = r->box, .guest = r->guest, .user = to, .terms = terms};

    fixture_done(&r->f, (struct command){.type = COMMAND_SHARE_CREATE,
                                         .tailnet = r->owner,
                                         .share = &s,
                                         .is_accepted = true});
    return r->f.result.share->id;
}

/* ---- Looking ---- */

struct look {
    struct rig *r;
    struct treaty_side sides[2];
};

static struct treaty_side side(void *user, tailnet_id id)
{
    const struct look *l = user;

    return id == l->r->owner   ? l->sides[0]
           : id == l->r->guest ? l->sides[1]
                               : (struct treaty_side){0};
}

static void each(void *user, const struct node *n, const struct abroad *wanted)
{
    struct look *l = user;

    l->r->given++;
    fixture_done(&l->r->f, (struct command){.type = COMMAND_NODE_ABROAD,
                                            .tailnet = n->tailnet,
                                            .id = n->id,
                                            .abroad = wanted});
}

static void look_at(struct rig *r)
{
    struct look l = {.r = r};
    tailnet_id ids[2] = {r->owner, r->guest};

    r->given = 0;
    for (int i = 0; i < 2; i++) {
        l.sides[i].view = domain_view(r->f.d, ids[i]);
        l.sides[i].policy = policy_compile(
            &(struct policy_input){.document = r->documents[i], .view = l.sides[i].view});
    }
    for (int i = 0; i < 2; i++)
        treaty_look(
            &(struct treaty_terms){.of = l.sides[i], .side = side, .each = each, .user = &l});
    for (int i = 0; i < 2; i++) {
        view_unref(l.sides[i].view);
        policy_unref(l.sides[i].policy);
    }
}

static bool may(struct rig *r, node_id from, node_id to)
{
    return abroad_find(fixture_node(&r->f, from)->abroad, to) != NULL;
}

/* ---- Tests ---- */

static void asks_both_policies(void **state)
{
    static const struct {
        const char *src[2], *dst[2];
        bool gina, gerd;
    } cases[] = {
        {{NULL, NULL}, {NULL, NULL}, true, true},
        {{"autogroup:shared", NULL}, {"*", NULL}, true, true},
        {{"gina@x.org", NULL}, {"*", NULL}, true, false},
        {{"autogroup:member", NULL}, {"*", NULL}, false, false},
        {{NULL, "gerd@x.org"}, {NULL, "*"}, false, true},
        {{NULL, "gerd@x.org"}, {NULL, "gerd@x.org"}, false, false},
        {{"gina@x.org", "gerd@x.org"}, {"*", "*"}, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;

        print_message("case %zu\n", i);
        rig_init(&r);
        for (int s = 0; s < 2; s++)
            set_policy(&r, s, cases[i].src[s], cases[i].dst[s]);
        (void)lend(&r, 0, (struct share_terms){0});
        look_at(&r);
        assert_int_equal(may(&r, r.ginas, r.box), cases[i].gina);
        assert_int_equal(may(&r, r.gerds, r.box), cases[i].gerd);
        assert_false(may(&r, r.box, r.ginas) || may(&r, r.box, r.gerds));
        /* What came out is no news the second time. */
        look_at(&r);
        assert_int_equal(r.given, 0);
        rig_fini(&r);
    }
}

static void covers_whom_it_is_for(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    look_at(&r);
    assert_int_equal(r.given, 0);
    share_id id = lend(&r, r.gina, (struct share_terms){0});
    look_at(&r);
    assert_true(may(&r, r.ginas, r.box));
    assert_false(may(&r, r.gerds, r.box));
    /* A policy that changes its mind. */
    set_policy(&r, 0, "autogroup:member", "*");
    look_at(&r);
    assert_false(may(&r, r.ginas, r.box));
    set_policy(&r, 0, NULL, NULL);
    look_at(&r);
    assert_true(may(&r, r.ginas, r.box));
    fixture_done(&r.f,
                 (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = r.owner, .id = id});
    assert_false(may(&r, r.ginas, r.box));
    look_at(&r);
    assert_int_equal(r.given, 0);
    rig_fini(&r);
}

static void goes_both_ways(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    (void)lend(&r, r.gina, (struct share_terms){.two_way = true});
    look_at(&r);
    assert_true(may(&r, r.ginas, r.box));
    assert_true(may(&r, r.box, r.ginas));
    assert_false(may(&r, r.box, r.gerds));
    /* The guests' own policy has a say in it. */
    set_policy(&r, 1, "gina@x.org", "*");
    look_at(&r);
    assert_true(may(&r, r.ginas, r.box));
    assert_false(may(&r, r.box, r.ginas));
    rig_fini(&r);
}

/* Whose machines have no access are nobody's guests, and lend nothing. */
static void leaves_out_who_has_no_access(void **state)
{
    static const struct {
        bool has_policy, is_guest;
    } cases[] = {{false, false}, {false, true}, {true, false}, {true, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        struct command c = {.type = COMMAND_USER_SUSPEND};

        print_message("case %zu\n", i);
        rig_init(&r);
        c.tailnet = cases[i].is_guest ? r.guest : r.owner;
        c.id = cases[i].is_guest ? r.gina : r.anna;
        if (cases[i].has_policy)
            set_policy(&r, 0, "autogroup:shared", "*");
        (void)lend(&r, r.gina, (struct share_terms){.two_way = true});
        look_at(&r);
        assert_true(may(&r, r.ginas, r.box));
        fixture_done(&r.f, c);
        look_at(&r);
        assert_false(may(&r, r.ginas, r.box) || may(&r, r.box, r.ginas));
        look_at(&r);
        assert_int_equal(r.given, 0);
        c.type = COMMAND_USER_RESTORE;
        fixture_done(&r.f, c);
        look_at(&r);
        assert_true(may(&r, r.ginas, r.box));
        rig_fini(&r);
    }
}

static void knows_partners(void **state)
{
    struct rig r;
    size_t n = 1;

    (void)state;
    rig_init(&r);
    mem_free(treaty_partners(fixture_view(&r.f), &n));
    assert_int_equal(n, 0);
    (void)lend(&r, r.gina, (struct share_terms){0});
    (void)lend(&r, r.gerd, (struct share_terms){0});
    tailnet_id *ids = treaty_partners(fixture_view(&r.f), &n);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], r.guest);
    mem_free(ids);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_both_policies), cmocka_unit_test(covers_whom_it_is_for),
        cmocka_unit_test(goes_both_ways),     cmocka_unit_test(leaves_out_who_has_no_access),
        cmocka_unit_test(knows_partners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Random people at two providers, tailnets with random joining rules, invitations, suspensions.
 * After each command, from the views alone (and what fixture.c holds for every domain):
 *
 *   - a log-in does what the choices said just before, and the choices are what a plain reading of
 *     members and rules says;
 *   - an invitation makes a member exactly if it is there, good, and for that person;
 *   - a refused command changed no tailnet;
 *   - a tailnet that had an active owner has one;
 *   - what is put into a fresh domain as a start would answers the same.
 */

#include "../property.h"
#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TAILNETS 4
#define PEOPLE 20
#define STEPS 1500
#define SECRETS 6

struct person {
    char identity[32], name[32], email[64];
    struct str issuer;
    bool verified;
    struct str *groups; /* the first of the world's */
    size_t n_groups;
};

struct world {
    struct fixture f;
    struct rand_seeded r;
    tailnet_id tailnets[TAILNETS];
    struct person people[PEOPLE];
    struct str groups[2];
    char secrets[SECRETS][128]; /* of invitations, also of those that are gone */
    unsigned next_machine;
    size_t done, denied, joined, accepted, held;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->r, n);
}

static bool chance(struct world *w, unsigned percent)
{
    return below(w, 100) < percent;
}

static tailnet_id any_tailnet(struct world *w)
{
    return w->tailnets[below(w, TAILNETS)];
}

static struct command say(const struct person *p, enum command_type type, tailnet_id t)
{
    return (struct command){.type = type,
                            .tailnet = t,
                            .issuer = p->issuer,
                            .provider = STR("oidc"),
                            .provider_id = str_from(p->identity),
                            .name = str_from(p->name),
                            .email = str_from(p->email),
                            .email_verified = p->verified,
                            .groups = {p->groups, p->n_groups}};
}

/* ---- A plain reading ---- */

static const struct user *member(const struct tailnet_view *v, const struct person *p)
{
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    for (size_t i = 0; i < n; i++)
        if (str_eq(users[i]->provider_id, str_from(p->identity)))
            return users[i];
    return NULL;
}

static bool rule_fits(const struct join_rule *r, const struct person *p)
{
    struct str local, domain;
    bool fits = r->by == JOIN_ANYONE;

    if (r->by == JOIN_GROUP)
        for (size_t i = 0; i < p->n_groups; i++)
            fits = fits || str_eq(p->groups[i], r->value);
    if (r->by == JOIN_DOMAIN)
        fits = p->verified && str_split(str_from(p->email), '@', &local, &domain) &&
               str_eq_nocase(domain, r->value);
    return fits && (r->provider.len == 0 || str_eq(r->provider, p->issuer));
}

/* What he would be in there; false: he may not come. */
static bool expect(const struct world *w, const struct tailnet_view *v, const struct person *p,
                   struct login_choice *out)
{
    const struct tailnet_info *info = view_info(v);
    const struct tailnet_settings *s = &info->settings;
    const struct user *u = member(v, p);

    *out = (struct login_choice){.tailnet = info->id};
    if (info->suspended)
        return false;
    if (u) {
        out->user = u->id;
        out->role = u->role;
        out->status = u->status;
        return u->status != USER_SUSPENDED;
    }
    out->status = s->user_approval ? USER_PENDING : USER_ACTIVE;
    if (!(s->set & SETTING_JOINING))
        return info->id == w->tailnets[0];
    for (size_t i = 0; i < s->n_joining; i++) {
        if (!rule_fits(&s->joining[i], p))
            continue;
        out->role = s->joining[i].role;
        if (s->joining[i].needs_approval)
            out->status = USER_PENDING;
        return true;
    }
    return false;
}

static bool has_owner(const struct tailnet_view *v)
{
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    for (size_t i = 0; i < n; i++)
        if (users[i]->role == ROLE_OWNER && users[i]->status == USER_ACTIVE)
            return true;
    return false;
}

/* ---- Applying ---- */

static int apply(struct world *w, struct command c)
{
    const struct tailnet_view *before[TAILNETS];
    int status;

    for (size_t i = 0; i < TAILNETS; i++)
        before[i] = domain_view(w->f.d, w->tailnets[i]);
    status = fixture_apply(&w->f, c);
    w->done += status == 0;
    w->denied += status == -ERR_DENIED;
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *now = domain_view(w->f.d, w->tailnets[i]);
        const struct node *n;

        for (size_t at = 0; (n = view_node_next(now, &at));)
            w->held += !node_has_access(n);
        if (status < 0)
            assert_ptr_equal(now, before[i]);
        assert_true(!has_owner(before[i]) || has_owner(now));
        view_unref(before[i]);
    }
    return status;
}

/* ---- Log-ins ---- */

static void check_choices(struct world *w, const struct person *p)
{
    const struct login_choice *all = w->f.result.choices;
    size_t n = w->f.result.n_choices, expected = 0;
    bool members_over = false;

    for (size_t i = 0; i < n; i++) {
        assert_true(all[i].user == 0 || !members_over);
        members_over = all[i].user == 0;
    }
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, w->tailnets[i]);
        struct login_choice want;
        bool listed = false;

        if (!expect(w, v, p, &want))
            continue;
        expected++;
        for (size_t k = 0; k < n; k++)
            listed = listed || (all[k].tailnet == want.tailnet && all[k].user == want.user &&
                                all[k].role == want.role && all[k].status == want.status &&
                                str_eq(all[k].name, view_info(v)->name));
        assert_true(listed);
    }
    assert_int_equal(n, expected);
    assert_int_equal(n == 0, w->f.result.text[0] != '\0');
}

static void log_in(struct world *w)
{
    const struct person *p = &w->people[below(w, PEOPLE)];
    tailnet_id t = any_tailnet(w);
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    struct login_choice want;

    assert_int_equal(apply(w, say(p, COMMAND_LOGIN_CHOICES, 0)), 0);
    assert_int_equal(w->f.changes.len, 0);
    check_choices(w, p);
    bool may = expect(w, v, p, &want);
    int status = apply(w, say(p, COMMAND_USER_LOGIN, t));
    if (!may) {
        assert_int_equal(status, -ERR_DENIED);
        return;
    }
    assert_true(status == 0 || (status == -ERR_LIMIT && want.user == 0));
    if (status < 0)
        return;
    assert_true(w->f.result.user->role == want.role && w->f.result.user->status == want.status);
    assert_true(want.user == 0 || want.user == w->f.result.id);
    assert_true(view_info(w->f.result.view)->id == t);
    w->joined += want.user == 0;
}

/* ---- Invitations ---- */

static const struct user *any_user(struct world *w, const struct tailnet_view *v)
{
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    return n > 0 ? users[below(w, n)] : NULL;
}

static void invite(struct world *w)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, any_tailnet(w));
    const struct user *by = chance(w, 60) ? any_user(w, v) : NULL;
    const struct person *to = &w->people[below(w, PEOPLE)];
    struct command c = {.type = COMMAND_USER_INVITE_CREATE,
                        .tailnet = view_info(v)->id,
                        .user = by ? by->id : 0,
                        .role = (enum user_role)below(w, ROLES),
                        .email = chance(w, 40) ? str_from(to->email) : STR_NONE,
                        .expiry_ms = chance(w, 50) ? 0 : w->f.now + (int64_t)below(w, 100000)};
    bool may =
        !by || (by->status == USER_ACTIVE && (c.role != ROLE_OWNER || by->role == ROLE_OWNER));
    int status = apply(w, c);

    if (c.expiry_ms == w->f.now)
        assert_true(status < 0);
    else
        assert_int_equal(status, may ? 0 : -ERR_DENIED);
    if (status == 0)
        snprintf(w->secrets[below(w, SECRETS)], 128, "%.*s", STR_ARG(w->f.result.secret));
}

static void accept_one(struct world *w)
{
    const struct person *p = &w->people[below(w, PEOPLE)];
    struct str secret = str_from(w->secrets[below(w, SECRETS)]);
    const struct user_invite *i = domain_user_invite_find(w->f.d, secret, w->f.now);
    struct command c = say(p, COMMAND_USER_INVITE_ACCEPT, 0);
    AUTO(view_unref) const struct tailnet_view *v = i ? domain_view(w->f.d, i->tailnet) : NULL;
    const struct user *was = i ? member(v, p) : NULL;
    const struct user *by = i && i->inviter ? view_user_find(v, i->inviter) : NULL;

    c.secret = secret;
    if (!i) {
        assert_int_equal(apply(w, c), -ERR_NOT_FOUND);
        return;
    }
    assert_true(!view_info(v)->suspended && i->expiry_ms > w->f.now);
    assert_true(i->inviter == 0 || by->status == USER_ACTIVE);
    bool meant = i->email.len == 0 || (p->verified && str_eq(i->email, str_from(p->email)));
    bool may = meant && (!was || was->status != USER_SUSPENDED);
    enum user_role role = was ? was->role : i->role;
    user_invite_id id = i->id;
    int status = apply(w, c);

    assert_true(may ? status == 0 || (status == -ERR_LIMIT && !was) : status == -ERR_DENIED);
    AUTO(view_unref) const struct tailnet_view *now = domain_view(w->f.d, view_info(v)->id);
    assert_int_equal(view_user_invite_find(now, id) != NULL, status < 0);
    if (status < 0)
        return;
    assert_true(w->f.result.user->role == role && w->f.result.user->status == USER_ACTIVE);
    w->accepted++;
}

/* ---- What administrators do ---- */

static void change_user(struct world *w)
{
    static const enum command_type types[] = {
        COMMAND_USER_APPROVE, COMMAND_USER_APPROVE, COMMAND_USER_SUSPEND, COMMAND_USER_SUSPEND,
        COMMAND_USER_RESTORE, COMMAND_USER_RESTORE, COMMAND_USER_DELETE,  COMMAND_USER_UPDATE};
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, any_tailnet(w));
    const struct user *u = any_user(w, v);

    if (!u)
        return;
    (void)apply(w, (struct command){.type = types[below(w, ARRAY_LEN(types))],
                                    .tailnet = u->tailnet,
                                    .id = u->id,
                                    .with_nodes = below(w, 4) == 0,
                                    .fields = USER_FIELD_ROLE,
                                    .role = (enum user_role)below(w, ROLES)});
}

static void change_settings(struct world *w)
{
    static const struct str groups[] = {STR_INIT("oidc:a"), STR_INIT("oidc:b")};
    struct join_rule rules[3];
    struct tailnet_settings s = {.set = (unsigned)below(w, 8) * SETTING_JOINING,
                                 .joining = rules,
                                 .n_joining = below(w, ARRAY_LEN(rules) + 1),
                                 .user_approval = chance(w, 30),
                                 .device_approval = chance(w, 50)};

    for (size_t i = 0; i < s.n_joining; i++) {
        enum join_by by = (enum join_by)below(w, 3);

        rules[i] = (struct join_rule){.by = by,
                                      .provider = chance(w, 40) ? STR("https://one") : STR_NONE,
                                      .value = by == JOIN_GROUP    ? groups[below(w, 2)]
                                               : by == JOIN_DOMAIN ? STR("Red.example")
                                                                   : STR_NONE,
                                      .needs_approval = chance(w, 40),
                                      .role = chance(w, 70) ? ROLE_MEMBER : ROLE_AUDITOR};
    }
    (void)apply(w, (struct command){
                       .type = COMMAND_SETTINGS_SET, .tailnet = any_tailnet(w), .settings = &s});
}

static void suspend_tailnet(struct world *w)
{
    (void)apply(w, (struct command){.type = chance(w, 30) ? COMMAND_TAILNET_SUSPEND
                                                          : COMMAND_TAILNET_RESUME,
                                    .tailnet = any_tailnet(w)});
}

/* ---- Machines ---- */

static void join(struct world *w)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, any_tailnet(w));
    const struct user *u = any_user(w, v);
    struct node_facts *facts;
    unsigned n = ++w->next_machine;

    if (!u || apply(w, (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                                        .tailnet = u->tailnet,
                                        .user = u->id,
                                        .preauthorized = chance(w, 30)}) < 0)
        return;
    struct str key = str_copy(w->f.result.secret);
    bool may = u->status == USER_ACTIVE && !view_info(v)->suspended;
    facts = facts_of("host", "", "");
    struct register_request reg = {
        .machine = machine_of(n % 40), .key = key_of(n), .auth_key = key, .facts = facts};
    assert_int_equal(apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg}), 0);
    assert_int_equal(w->f.result.outcome, may ? REGISTER_DONE : REGISTER_FAILED);
    node_facts_unref(facts);
    str_free(&key);
}

static void change_node(struct world *w)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, any_tailnet(w));
    static const enum command_type types[] = {COMMAND_NODE_APPROVE, COMMAND_NODE_APPROVE,
                                              COMMAND_NODE_MOVE, COMMAND_NODE_DELETE};
    const struct node *n = NULL;
    const struct user *u = any_user(w, v);
    size_t at = 0, skip = below(w, view_node_count(v) + 1);

    while (skip-- > 0)
        n = view_node_next(v, &at);
    if (!n)
        return;
    (void)apply(w, (struct command){.type = types[below(w, ARRAY_LEN(types))],
                                    .tailnet = n->tailnet,
                                    .id = n->id,
                                    .user = u ? u->id : 0,
                                    .revokes = chance(w, 40)});
}

/* ---- As a start would ---- */

static void load(struct world *w, struct domain *fresh, struct err *err)
{
    int status = 0;

    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, w->tailnets[i]);
        const struct user_invite *invite;
        const struct node *n;
        size_t n_users = 0;
        const struct user *const *users = view_users(v, &n_users);

        status |= domain_load_tailnet(fresh, tailnet_info_ref(view_info(v)), view_revision(v), err);
        for (size_t k = 0; k < n_users; k++)
            status |= domain_load_user(fresh, user_ref(users[k]), err);
        for (size_t at = 0; (n = view_node_next(v, &at));) {
            struct node *copy = node_clone(n);

            copy->auth_key = 0;
            copy->holds &= HOLD_DEVICE;
            status |= domain_load_node(fresh, copy, err);
        }
        for (size_t at = 0; (invite = view_user_invite_next(v, &at));)
            status |= domain_load_user_invite(fresh, user_invite_ref(invite), err);
    }
    if (status != 0)
        fail_msg("%s", err->text);
    domain_load_done(fresh, w->f.now);
}

static void check_start(struct world *w)
{
    struct domain *fresh = domain_new(), *d = w->f.d;
    struct err err = {0};

    load(w, fresh, &err);
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(d, w->tailnets[i]);
        const struct node *n;

        for (size_t at = 0; (n = view_node_next(v, &at));)
            assert_int_equal(domain_node_by_id(fresh, n->id)->holds, n->holds);
    }
    for (size_t i = 0; i < SECRETS; i++) {
        const struct user_invite *a = domain_user_invite_find(d, str_from(w->secrets[i]), w->f.now);
        const struct user_invite *b =
            domain_user_invite_find(fresh, str_from(w->secrets[i]), w->f.now);

        assert_ptr_equal(a, b);
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        struct command c = say(&w->people[i], COMMAND_LOGIN_CHOICES, 0);
        struct command_result r = {0};
        struct change_list none = {0};

        c.now_ms = w->f.now;
        assert_int_equal(apply(w, c), 0);
        assert_int_equal(domain_apply(fresh, &c, &none, &r, &err), 0);
        assert_int_equal(r.n_choices, w->f.result.n_choices);
        for (size_t k = 0; k < r.n_choices; k++)
            assert_true(r.choices[k].tailnet == w->f.result.choices[k].tailnet &&
                        r.choices[k].user == w->f.result.choices[k].user);
        command_result_fini(&r);
        change_list_fini(&none);
    }
    domain_free(fresh);
}

/* ---- All of it ---- */

static void step(struct world *w)
{
    uint64_t what = below(w, 100);

    w->f.now += (int64_t)below(w, 5000);
    if (what < 35)
        log_in(w);
    else if (what < 43)
        invite(w);
    else if (what < 55)
        accept_one(w);
    else if (what < 72)
        change_user(w);
    else if (what < 76)
        change_settings(w);
    else if (what < 78)
        suspend_tailnet(w);
    else if (what < 86)
        join(w);
    else if (what < 94)
        change_node(w);
    else if (what < 96)
        check_start(w);
    else
        (void)apply(w, (struct command){.type = COMMAND_TICK});
}

static void begin(struct world *w)
{
    w->groups[0] = STR("oidc:a");
    w->groups[1] = STR("oidc:b");
    fixture_init(&w->f);
    (void)domain_tailnet_ids(w->f.d, w->tailnets, 1);
    for (size_t i = 1; i < TAILNETS; i++) {
        struct tailnet_settings few = {.set = SETTING_MAX_USERS, .max = {[QUOTA_USERS] = 5}};
        char name[16];

        snprintf(name, sizeof(name), "t%zu", i);
        fixture_done(&w->f, (struct command){.type = COMMAND_TAILNET_CREATE,
                                             .name = str_from(name),
                                             .settings = i == 1 ? &few : NULL});
        w->tailnets[i] = w->f.result.id;
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        struct person *p = &w->people[i];

        snprintf(p->identity, sizeof(p->identity), "idp/%zu", i);
        snprintf(p->name, sizeof(p->name), "person%zu%s", i, chance(w, 20) ? "+t2" : "");
        snprintf(p->email, sizeof(p->email), "p%zu@%s.example", i, chance(w, 50) ? "red" : "blue");
        p->issuer = chance(w, 50) ? STR("https://one") : STR("https://two");
        p->verified = chance(w, 70);
        p->n_groups = below(w, 3);
        p->groups = w->groups;
    }
}

static void people_are_where_they_may_be(void **state)
{
    uint64_t seed = property_seed();
    struct world w = {.next_machine = 0};

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    rand_seed(&w.r, seed);
    begin(&w);
    for (size_t i = 0; i < STEPS; i++)
        step(&w);
    print_message("%zu commands, %zu denied, %zu joined, %zu accepted, %zu held\n", w.done,
                  w.denied, w.joined, w.accepted, w.held);
    fixture_fini(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(people_are_where_they_may_be)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

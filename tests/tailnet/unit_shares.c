/* Shares, invitations, guests and what nodes have abroad. */

#include "fixture.h"

#include <string.h>

/* Tailnet A ("default": alice, her web machine) and B (bob and carol, a machine each). */
struct two {
    struct fixture f;
    tailnet_id a, b;
    user_id alice, bob, carol;
    node_id web, bobs, carols;
};

static user_id user_in(struct fixture *f, tailnet_id t, const char *name)
{
    fixture_done(
        f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = t, .name = str_from(name)});
    return f->result.id;
}

static node_id join_in(struct fixture *f, tailnet_id t, unsigned machine, user_id user,
                       const char *tags, const char *hostname)
{
    struct str_list list = list_of(tags);
    struct node_facts *facts = facts_of(hostname, "", "");

    fixture_done(f, (struct command){
                        .type = COMMAND_AUTH_KEY_CREATE, .tailnet = t, .user = user, .tags = list});
    struct str key = str_copy(f->result.secret);
    struct register_request reg = {.machine = machine_of(machine),
                                   .key = key_of(machine),
                                   .capver = 100,
                                   .auth_key = key,
                                   .facts = facts};
    fixture_done(f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    assert_int_equal(f->result.outcome, REGISTER_DONE);
    str_free(&key);
    str_list_free(&list);
    node_facts_unref(facts);
    return f->result.id;
}

/* v4: a range of its own that others may have, too; NULL: the usual ones. */
static tailnet_id tailnet_with(struct fixture *f, const char *name, const char *v4)
{
    struct tailnet_settings apart = {.set = SETTING_ADDRESSES_APART};
    struct ip_prefix range = v4 ? prefix_of(v4) : (struct ip_prefix){0};

    fixture_done(f, (struct command){.type = COMMAND_TAILNET_CREATE,
                                     .name = str_from(name),
                                     .routes = &range,
                                     .n_routes = v4 ? 1 : 0,
                                     .settings = v4 ? &apart : NULL});
    return f->result.id;
}

static void two_init(struct two *w)
{
    *w = (struct two){0};
    fixture_init(&w->f);
    w->a = domain_tailnet_ids(w->f.d, &w->a, 1) ? w->a : 0;
    w->b = tailnet_with(&w->f, "other", NULL);
    w->alice = user_in(&w->f, w->a, "alice");
    w->bob = user_in(&w->f, w->b, "bob");
    w->carol = user_in(&w->f, w->b, "carol");
    w->web = join_in(&w->f, w->a, 1, w->alice, "", "web");
    w->bobs = join_in(&w->f, w->b, 2, w->bob, "", "laptop");
    w->carols = join_in(&w->f, w->b, 3, w->carol, "", "phone");
}

static const struct tailnet_view *view_of(struct two *w, tailnet_id t)
{
    const struct tailnet_view *v = domain_view(w->f.d, t);

    view_unref(v);
    return v;
}

static struct command lend(const struct two *w, const struct share *s, bool accepted)
{
    return (struct command){
        .type = COMMAND_SHARE_CREATE, .tailnet = w->a, .share = s, .is_accepted = accepted};
}

static share_id lend_to(struct two *w, user_id user, struct share_terms terms)
{
    const struct share s = {
        .node = w->web, .guest = w->b, .user = user, .sharer = w->alice, .terms = terms};

    fixture_done(&w->f, lend(w, &s, true));
    return w->f.result.id;
}

static void set_abroad(struct two *w, node_id x, const node_id *ys, size_t n)
{
    struct abroad *a = abroad_new();

    a->items = n > 0 ? mem_alloc_array(n, sizeof(*a->items)) : NULL;
    a->n_items = n;
    for (size_t i = 0; i < n; i++)
        a->items[i].node = ys[i];
    fixture_done(&w->f, (struct command){.type = COMMAND_NODE_ABROAD, .id = x, .abroad = a});
    abroad_unref(a);
}

static size_t told(const struct two *w, tailnet_id t, enum change_kind kind, uint64_t id,
                   unsigned mask)
{
    size_t n = 0;

    for (size_t i = 0; i < w->f.changes.len; i++) {
        const struct change *c = &w->f.changes.items[i];

        n += c->tailnet == t && c->kind == kind && (id == 0 || c->id == id) &&
             (mask == 0 || c->mask == mask);
    }
    return n;
}

static void take_back(struct two *w, tailnet_id by, share_id id)
{
    fixture_done(&w->f, (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = by, .id = id});
}

/* ---- Guests ---- */

static void brings_guests_into_both_views(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 0);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 0);
    share_id id = lend_to(&w, w.bob, (struct share_terms){0});

    const struct tailnet_view *a = view_of(&w, w.a), *b = view_of(&w, w.b);
    assert_int_equal(view_guest_count(a), 1);
    assert_int_equal(view_guest_count(b), 1);
    const struct node *web = view_guest_find(b, w.web), *bobs = view_guest_find(a, w.bobs);
    assert_non_null(web);
    assert_non_null(bobs);
    assert_null(view_guest_find(a, w.carols));
    assert_true(web->tailnet == w.a);
    assert_str(web->fqdn, STR("web.example.net."));
    assert_true(ip_addr_eq(web->v4, fixture_node(&w.f, w.web)->v4));
    assert_ptr_equal(web->facts, fixture_node(&w.f, w.web)->facts);
    assert_null(view_node_find(b, w.web));
    assert_ptr_equal(view_any_find(b, w.web), web);
    /* Both know whose it is, and no more than that. */
    assert_non_null(view_guest_user_find(b, w.alice));
    assert_non_null(view_guest_user_find(a, w.bob));
    assert_null(view_guest_user_find(a, w.carol));
    assert_null(view_any_user_find(a, w.carol));
    assert_str(view_guest_info_find(b, w.a)->base_domain, STR("example.net"));
    assert_str(view_guest_info_find(a, w.b)->name, STR("other"));
    assert_non_null(view_share_find(a, id));
    assert_ptr_equal(view_share_find(a, id), view_share_find(b, id));
    assert_int_equal(told(&w, w.a, CHANGE_SHARE, id, 0), 1);
    assert_int_equal(told(&w, w.b, CHANGE_SHARE, id, 0), 1);
    assert_int_equal(told(&w, w.a, CHANGE_GUEST, w.bobs, NODE_NEW | NODE_CARD), 1);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST, w.web, NODE_NEW | NODE_CARD), 1);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST_USER, w.alice, 0), 1);

    struct view_any_at at = {0};
    size_t n = 0;
    for (const struct node *x; (x = view_any_next(b, &at)); n++)
        assert_non_null(x);
    assert_int_equal(n, 3);

    take_back(&w, w.b, id);
    assert_int_equal(told(&w, w.a, CHANGE_GUEST_REMOVED, w.bobs, 0), 1);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST_REMOVED, w.web, 0), 1);
    a = view_of(&w, w.a);
    b = view_of(&w, w.b);
    assert_int_equal(view_guest_count(a), 0);
    assert_int_equal(view_guest_count(b), 0);
    assert_null(view_guest_user_find(b, w.alice));
    assert_null(view_guest_info_find(b, w.a));
    assert_null(view_share_find(a, id));
    fixture_refused(&w.f, (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = w.a, .id = id},
                    ERR_NOT_FOUND, "share not found");
    fixture_fini(&w.f);
}

static void guests_follow_their_nodes(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    lend_to(&w, 0, (struct share_terms){0});
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 2);

    uint64_t generation = fixture_open(&w.f, w.web);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST, w.web, NODE_ONLINE), 1);
    assert_true(view_guest_find(view_of(&w, w.b), w.web)->online);
    fixture_close(&w.f, w.web, generation);
    fixture_done(&w.f,
                 (struct command){
                     .type = COMMAND_NODE_RENAME, .tailnet = w.a, .id = w.web, .name = STR("www")});
    assert_str(view_guest_find(view_of(&w, w.b), w.web)->given_name, STR("www"));
    fixture_done(&w.f, (struct command){.type = COMMAND_USER_RENAME,
                                        .tailnet = w.a,
                                        .id = w.alice,
                                        .name = STR("alicia")});
    assert_int_equal(told(&w, w.b, CHANGE_GUEST_USER, w.alice, 0), 1);
    assert_str(view_guest_user_find(view_of(&w, w.b), w.alice)->name, STR("alicia"));
    /* A role is none of their business. */
    fixture_done(&w.f, (struct command){.type = COMMAND_USER_UPDATE,
                                        .tailnet = w.a,
                                        .id = w.alice,
                                        .fields = USER_FIELD_ROLE,
                                        .role = ROLE_OWNER});
    assert_int_equal(told(&w, w.b, CHANGE_GUEST_USER, w.alice, 0), 0);
    assert_int_equal(view_guest_user_find(view_of(&w, w.b), w.alice)->role, ROLE_MEMBER);

    /* One more device of the whole tailnet, a tagged one. */
    node_id tagged = join_in(&w.f, w.b, 4, 0, "tag:db", "db");
    assert_int_equal(told(&w, w.a, CHANGE_GUEST, tagged, NODE_NEW | NODE_CARD), 1);
    fixture_done(&w.f, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = w.b, .id = tagged});
    assert_int_equal(told(&w, w.a, CHANGE_GUEST_REMOVED, tagged, 0), 1);

    /* The tailnet is called otherwise. */
    struct tailnet_info *info = tailnet_info_clone(view_info(view_of(&w, w.a)));
    str_free(&info->base_domain);
    info->base_domain = str_copy(STR("example.org"));
    fixture_done(&w.f,
                 (struct command){.type = COMMAND_TAILNET_UPDATE, .tailnet = w.a, .info = info});
    tailnet_info_unref(info);
    assert_int_equal(told(&w, w.b, CHANGE_INFO, w.b, 0), 1);
    assert_str(view_guest_info_find(view_of(&w, w.b), w.a)->base_domain, STR("example.org"));
    assert_str(view_guest_find(view_of(&w, w.b), w.web)->fqdn, STR("www.example.org."));
    fixture_done(&w.f,
                 (struct command){.type = COMMAND_POLICY_SET, .tailnet = w.a, .text = STR("{}")});
    assert_int_equal(told(&w, w.b, CHANGE_INFO, 0, 0), 0);

    fixture_done(&w.f, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = w.a, .id = w.web});
    assert_int_equal(told(&w, w.b, CHANGE_GUEST_REMOVED, w.web, 0), 1);
    assert_int_equal(told(&w, w.b, CHANGE_SHARE_REMOVED, 0, 0), 1);
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 0);
    fixture_fini(&w.f);
}

/* ---- Abroad ---- */

static void keeps_to_what_shares_cover(void **state)
{
    struct share_ports ports[] = {{443, 443}, {80, 90}, {85, 100}};
    struct two w;

    (void)state;
    two_init(&w);
    share_id first = lend_to(&w, w.bob, (struct share_terms){.ports = ports, .n_ports = 3});
    /* Only what is covered: not carol's, no way back, nothing of one's own tailnet. */
    set_abroad(&w, w.bobs, (node_id[]){w.web, w.carols, w.web, 999}, 4);
    assert_int_equal(told(&w, w.b, CHANGE_NODE, w.bobs, NODE_ABROAD), 1);
    assert_int_equal(told(&w, w.a, CHANGE_GUEST, w.bobs, NODE_ABROAD), 1);
    const struct abroad *abroad = fixture_node(&w.f, w.bobs)->abroad;
    assert_int_equal(abroad->n_items, 1);
    const struct abroad_item *item = abroad_find(abroad, w.web);
    assert_true(item->tailnet == w.a && item->sharer == w.alice);
    assert_int_equal(item->terms.n_ports, 2);
    assert_int_equal(item->terms.ports[0].first, 80);
    assert_int_equal(item->terms.ports[0].last, 100);
    assert_ptr_equal(view_guest_find(view_of(&w, w.a), w.bobs)->abroad, abroad);
    assert_true(fixture_node(&w.f, w.web)->abroad->is_lent);
    assert_true(view_guest_find(view_of(&w, w.b), w.web)->abroad->is_lent);
    set_abroad(&w, w.carols, (node_id[]){w.web}, 1);
    assert_int_equal(w.f.changes.len, 0);
    set_abroad(&w, w.web, (node_id[]){w.bobs}, 1);
    assert_int_equal(w.f.changes.len, 0);

    /* Two shares that cover one pair allow what either does. */
    share_id second = lend_to(&w, 0, (struct share_terms){.exit_node = true, .two_way = true});
    item = abroad_find(fixture_node(&w.f, w.bobs)->abroad, w.web);
    assert_true(item->terms.exit_node && item->terms.n_ports == 0 && !item->terms.two_way);
    set_abroad(&w, w.web, (node_id[]){w.bobs, w.carols}, 2);
    assert_int_equal(fixture_node(&w.f, w.web)->abroad->n_items, 2);
    assert_true(fixture_node(&w.f, w.carols)->abroad->is_lent);
    assert_false(abroad_find(fixture_node(&w.f, w.web)->abroad, w.bobs)->terms.exit_node);

    take_back(&w, w.a, second);
    item = abroad_find(fixture_node(&w.f, w.bobs)->abroad, w.web);
    assert_false(item->terms.exit_node);
    assert_int_equal(item->terms.n_ports, 2);
    assert_int_equal(fixture_node(&w.f, w.web)->abroad->n_items, 0);
    assert_null(fixture_node(&w.f, w.carols)->abroad);

    take_back(&w, w.a, first);
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    assert_null(fixture_node(&w.f, w.web)->abroad);
    assert_int_equal(told(&w, w.b, CHANGE_NODE, w.bobs, NODE_ABROAD), 1);
    fixture_fini(&w.f);
}

static void owners_matter(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    lend_to(&w, w.bob, (struct share_terms){0});
    set_abroad(&w, w.bobs, (node_id[]){w.web}, 1);
    /* Another owner: no guest, no use. */
    fixture_done(
        &w.f,
        (struct command){.type = COMMAND_NODE_MOVE, .tailnet = w.b, .id = w.bobs, .user = w.carol});
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    assert_null(fixture_node(&w.f, w.web)->abroad);
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 0);
    assert_null(view_guest_user_find(view_of(&w, w.a), w.bob));
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 1);
    fixture_done(&w.f, (struct command){
                           .type = COMMAND_NODE_MOVE, .tailnet = w.b, .id = w.bobs, .user = w.bob});
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 1);
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    /* Tagged: nobody's. */
    set_abroad(&w, w.bobs, (node_id[]){w.web}, 1);
    struct str_list tags = list_of("tag:x");
    fixture_done(&w.f, (struct command){
                           .type = COMMAND_NODE_TAG, .tailnet = w.b, .id = w.bobs, .tags = tags});
    str_list_free(&tags);
    assert_int_equal(view_guest_count(view_of(&w, w.a)), 0);
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    /* The lent one may be tagged, and stays lent. */
    tags = list_of("tag:web");
    fixture_done(&w.f, (struct command){
                           .type = COMMAND_NODE_TAG, .tailnet = w.a, .id = w.web, .tags = tags});
    str_list_free(&tags);
    assert_non_null(view_guest_find(view_of(&w, w.b), w.web));
    /* Who lent it is still known. */
    assert_non_null(view_guest_user_find(view_of(&w, w.b), w.alice));
    fixture_done(&w.f,
                 (struct command){.type = COMMAND_USER_DELETE, .tailnet = w.a, .id = w.alice});
    assert_int_equal(told(&w, w.b, CHANGE_SHARE, 0, 0), 1);
    assert_null(view_guest_user_find(view_of(&w, w.b), w.alice));
    fixture_done(&w.f, (struct command){.type = COMMAND_USER_DELETE, .tailnet = w.b, .id = w.bob});
    assert_int_equal(told(&w, w.a, CHANGE_SHARE_REMOVED, 0, 0), 1);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 0);
    fixture_fini(&w.f);
}

/* ---- The way of a share ---- */

static void waits_until_it_is_accepted(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    struct share s = {.node = w.web, .guest = w.b, .user = w.bob};
    fixture_done(&w.f, lend(&w, &s, false));
    share_id id = w.f.result.id;
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 0);
    assert_non_null(view_share_find(view_of(&w, w.b), id));
    fixture_refused(&w.f, lend(&w, &s, true), ERR_CONFLICT, "the node is shared with them already");
    fixture_refused(&w.f, (struct command){.type = COMMAND_SHARE_ACCEPT, .tailnet = w.a, .id = id},
                    ERR_DENIED, "a share is accepted by those it is made for");
    fixture_done(&w.f, (struct command){.type = COMMAND_SHARE_ACCEPT, .tailnet = w.b, .id = id});
    assert_int_equal(w.f.result.share->accepted_ms, T0);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 1);
    fixture_done(&w.f, (struct command){.type = COMMAND_SHARE_ACCEPT, .tailnet = w.b, .id = id});
    assert_int_equal(w.f.changes.len, 0);
    set_abroad(&w, w.bobs, (node_id[]){w.web}, 1);

    /* More of the same is the owner's to give; the way back is not. */
    s.terms.exit_node = true;
    struct command update = {.type = COMMAND_SHARE_UPDATE, .tailnet = w.a, .id = id, .share = &s};
    fixture_done(&w.f, update);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 1);
    assert_true(abroad_find(fixture_node(&w.f, w.bobs)->abroad, w.web)->terms.exit_node);
    s.terms.two_way = true;
    fixture_done(&w.f, update);
    assert_int_equal(w.f.result.share->accepted_ms, 0);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 0);
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    update.tailnet = w.b;
    fixture_refused(&w.f, update, ERR_DENIED, "a share's terms are its owner's to change");
    fixture_done(&w.f, (struct command){.type = COMMAND_SHARE_ACCEPT, .tailnet = w.b, .id = id});

    /* It ends by itself. */
    update.tailnet = w.a;
    s.expiry_ms = w.f.now + HOUR_MS;
    fixture_done(&w.f, update);
    assert_true(domain_next_tick_ms(w.f.d) == w.f.now + HOUR_MS);
    set_abroad(&w, w.bobs, (node_id[]){w.web}, 1);
    fixture_tick(&w.f, HOUR_MS);
    assert_int_equal(told(&w, w.b, CHANGE_SHARE_REMOVED, id, 0), 1);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 0);
    assert_null(fixture_node(&w.f, w.bobs)->abroad);
    fixture_fini(&w.f);
}

static void refuses_what_cannot_be(void **state)
{
    struct share_ports upside_down = {9, 8};
    struct ip_prefix everything = prefix_of("0.0.0.0/0");
    struct two w;

    (void)state;
    two_init(&w);
    const struct {
        struct share share;
        enum err_code code;
        const char *text;
    } cases[] = {
        {{.node = 999, .guest = w.b}, ERR_NOT_FOUND, "node not found"},
        {{.node = w.bobs, .guest = w.b}, ERR_NOT_FOUND, "node not found"},
        {{.node = w.web, .guest = w.a}, ERR_INVALID, "a node is not shared with its own tailnet"},
        {{.node = w.web}, ERR_NOT_FOUND, "the tailnet to share with is not found"},
        {{.node = w.web, .guest = w.b, .user = w.alice},
         ERR_NOT_FOUND,
         "no such user in the tailnet to share with"},
        {{.node = w.web, .guest = w.b, .sharer = w.bob}, ERR_NOT_FOUND, "user not found"},
        {{.node = w.web, .guest = w.b, .expiry_ms = T0},
         ERR_INVALID,
         "the share's expiry has passed"},
        {{.node = w.web, .guest = w.b, .terms = {.ports = &upside_down, .n_ports = 1}},
         ERR_INVALID,
         "ports go from 1 to 65535, the smaller one first"},
        {{.node = w.web, .guest = w.b, .terms = {.routes = &everything, .n_routes = 1}},
         ERR_INVALID,
         "a share is for use as an exit node by its own option, not by a route"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        fixture_refused(&w.f, lend(&w, &cases[i].share, true), cases[i].code, cases[i].text);
    fixture_fini(&w.f);
}

static void invites_by_link(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    struct share_invite i = {.node = w.web, .sharer = w.alice, .uses_left = 2};
    struct command make = {.type = COMMAND_SHARE_INVITE_CREATE, .tailnet = w.a, .invite = &i};
    fixture_done(&w.f, make);
    share_invite_id id = w.f.result.id;
    struct str secret = str_copy(w.f.result.secret);
    assert_true(str_starts(secret, SHARE_INVITE_KIND));
    assert_true(w.f.result.invite->expiry_ms == T0 + SHARE_INVITE_MS);
    assert_non_null(view_share_invite_find(view_of(&w, w.a), id));
    struct command accept = {.type = COMMAND_SHARE_INVITE_ACCEPT,
                             .tailnet = w.b,
                             .user = w.bob,
                             .text = STR("hskey-share-nonsense")};
    fixture_refused(&w.f, accept, ERR_NOT_FOUND,
                    "there is no such invitation, or it was used, revoked or has expired");
    accept.text = secret;
    accept.user = 0;
    fixture_refused(&w.f, accept, ERR_DENIED,
                    "this invitation is for one person, not for a tailnet");
    accept.user = w.bob;
    fixture_done(&w.f, accept);
    assert_true(w.f.result.share->user == w.bob && w.f.result.share->sharer == w.alice);
    assert_int_equal(view_guest_count(view_of(&w, w.b)), 1);
    assert_int_equal(view_share_invite_find(view_of(&w, w.a), id)->uses_left, 1);
    fixture_refused(&w.f, accept, ERR_CONFLICT, "the node is shared with them already");
    accept.user = w.carol;
    fixture_done(&w.f, accept);
    assert_int_equal(told(&w, w.a, CHANGE_SHARE_INVITE_REMOVED, id, 0), 1);
    accept.user = w.bob;
    fixture_refused(&w.f, accept, ERR_NOT_FOUND,
                    "there is no such invitation, or it was used, revoked or has expired");
    str_free(&secret);

    i.whole_tailnet = true;
    fixture_done(&w.f, make);
    accept.text = secret = str_copy(w.f.result.secret);
    accept.tailnet = w.a;
    accept.user = 0;
    fixture_refused(&w.f, accept, ERR_INVALID, "a node is not shared with its own tailnet");
    accept.tailnet = w.b;
    fixture_done(&w.f, accept);
    assert_true(w.f.result.share->user == 0);
    id = w.f.result.share->id;
    take_back(&w, w.a, id);
    fixture_tick(&w.f, SHARE_INVITE_MS);
    assert_int_equal(fixture_count(&w.f, CHANGE_SHARE_INVITE_REMOVED), 1);
    fixture_refused(&w.f, accept, ERR_NOT_FOUND,
                    "there is no such invitation, or it was used, revoked or has expired");
    str_free(&secret);

    fixture_done(&w.f, make);
    id = w.f.result.id;
    fixture_done(&w.f,
                 (struct command){.type = COMMAND_SHARE_INVITE_REVOKE, .tailnet = w.a, .id = id});
    fixture_refused(&w.f,
                    (struct command){.type = COMMAND_SHARE_INVITE_REVOKE, .tailnet = w.a, .id = id},
                    ERR_NOT_FOUND, "invitation not found");
    fixture_fini(&w.f);
}

/* ---- Addresses ---- */

static void gives_aliases_where_addresses_are_taken(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    tailnet_id c = tailnet_with(&w.f, "apart", "100.64.0.0/24");
    user_id dave = user_in(&w.f, c, "dave");
    node_id daves = join_in(&w.f, c, 7, dave, "", "desk");
    const struct node *web = fixture_node(&w.f, w.web);
    assert_true(ip_addr_eq(fixture_node(&w.f, daves)->v4, web->v4));

    const struct share s = {.node = w.web, .guest = c, .user = dave};
    fixture_done(&w.f, lend(&w, &s, true));
    share_id id = w.f.result.id;
    web = fixture_node(&w.f, w.web);
    const struct node *desk = fixture_node(&w.f, daves);
    const struct node *guest = view_guest_find(view_of(&w, c), w.web);
    assert_false(ip_addr_eq(guest->v4, web->v4));
    assert_true(ip_prefix_contains(prefix_of("100.64.0.0/24"), guest->v4));
    const struct abroad_alias *alias = abroad_alias_find(web->abroad, c);
    assert_true(ip_addr_eq(alias->v4, guest->v4));
    assert_ptr_equal(guest->abroad, web->abroad);
    guest = view_guest_find(view_of(&w, w.a), daves);
    assert_false(ip_addr_eq(guest->v4, desk->v4));
    assert_true(ip_addr_eq(abroad_alias_find(desk->abroad, w.a)->v4, guest->v4));
    /* Nobody is given a guest's alias. */
    struct ip_addr taken = abroad_alias_find(web->abroad, c)->v4;
    fixture_refused(
        &w.f,
        (struct command){.type = COMMAND_NODE_ADDRESS, .tailnet = c, .id = daves, .addr = taken},
        ERR_CONFLICT, "the address is not free");
    take_back(&w, c, id);
    assert_null(fixture_node(&w.f, w.web)->abroad);
    fixture_done(&w.f, (struct command){
                           .type = COMMAND_NODE_ADDRESS, .tailnet = c, .id = daves, .addr = taken});
    fixture_fini(&w.f);
}

static size_t regions_told(struct two *w, uint32_t first)
{
    const struct tailnet_info *told = view_guest_info_find(view_of(w, w->b), w->a);

    assert_non_null(told);
    assert_true(told->n_regions == 0 || told->regions[0].id == first);
    return told->n_regions;
}

/* What a policy makes of relays is told to those who have guests, over what the tailnet has. */
static void tells_the_relays_of_a_policy(void **state)
{
    struct derp_node relay = {.name = STR("7a"), .host_name = STR("relay.test")};
    const struct derp_region own = {
        .id = 5, .code = STR("own"), .name = STR("Own"), .nodes = &relay, .n_nodes = 1};
    struct derp_region regions[] = {{.id = 7, .nodes = &relay, .n_nodes = 1}, {.id = 5}};
    struct tailnet_settings settings = {
        .set = SETTING_RELAYS, .relays = (struct derp_region *)(uintptr_t)&own, .n_relays = 1};
    struct policy_relays says = {.regions = regions, .n = 1};
    struct change_list changes = {0};
    struct two w;

    (void)state;
    two_init(&w);
    domain_tell_relays(w.f.d, w.a, &says, &changes);
    assert_int_equal(changes.len, 0); /* nobody knows of it */
    (void)lend_to(&w, w.bob, (struct share_terms){0});
    assert_int_equal(regions_told(&w, 7), 1);
    fixture_done(
        &w.f, (struct command){.type = COMMAND_TAILNET_SET, .tailnet = w.a, .settings = &settings});
    assert_int_equal(regions_told(&w, 5), 2);
    says.n = 2; /* takes the other one away */
    domain_tell_relays(w.f.d, w.a, &says, &changes);
    assert_int_equal(changes.len, 1);
    assert_true(changes.items[0].kind == CHANGE_INFO && changes.items[0].tailnet == w.b);
    assert_int_equal(regions_told(&w, 7), 1);
    domain_tell_relays(w.f.d, w.a, &says, &changes);
    assert_int_equal(changes.len, 1);
    says = (struct policy_relays){.omits_others = true};
    domain_tell_relays(w.f.d, w.a, &says, &changes);
    assert_int_equal(regions_told(&w, 0), 0);
    says.omits_others = false;
    domain_tell_relays(w.f.d, w.a, &says, &changes);
    assert_int_equal(regions_told(&w, 5), 1);
    change_list_fini(&changes);
    fixture_fini(&w.f);
}

/* ---- Relays of one number ---- */

static void has_relay(struct two *w, tailnet_id t, uint32_t id, const char *host)
{
    struct derp_node relay = {.name = STR("a"), .host_name = str_from(host)};
    struct derp_region region = {
        .id = id, .code = str_from(host), .name = str_from(host), .nodes = &relay, .n_nodes = 1};
    struct tailnet_settings settings = {
        .set = SETTING_RELAYS, .relays = &region, .n_relays = id ? 1 : 0};

    fixture_done(
        &w->f, (struct command){.type = COMMAND_TAILNET_SET, .tailnet = t, .settings = &settings});
}

static void is_at_home(struct two *w, unsigned machine, uint32_t region)
{
    fixture_done(&w->f, (struct command){.type = COMMAND_NODE_UPDATE,
                                         .machine = machine_of(machine),
                                         .key = key_of(machine),
                                         .home_derp = region});
}

/* Where the guest is at home, by its number here; "": nowhere that the tailnet's map leads to. */
static const char *home_of(struct two *w, tailnet_id in, node_id guest)
{
    static char host[64];
    const struct tailnet_view *v = view_of(w, in);
    const struct node *n = view_guest_find(v, guest);
    const struct tailnet_info *infos[] = {view_info(v), view_guest_info_find(v, n->tailnet)};

    host[0] = '\0';
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < infos[k]->n_regions; i++) {
            const struct derp_region *r = &infos[k]->regions[i];

            if (r->id != n->home_derp)
                continue;
            /* One number is one region. */
            assert_true(!host[0] || str_eq(str_from(host), r->nodes[0].host_name));
            (void)snprintf(host, sizeof(host), "%.*s", STR_ARG(r->nodes[0].host_name));
        }
    return host;
}

static uint32_t number_of(struct two *w, tailnet_id in, node_id guest)
{
    return view_guest_find(view_of(w, in), guest)->home_derp;
}

static void knows_relays_of_one_number_apart(void **state)
{
    struct two w;

    (void)state;
    two_init(&w);
    has_relay(&w, w.a, 900, "a.test");
    has_relay(&w, w.b, 900, "b.test");
    is_at_home(&w, 1, 900);
    is_at_home(&w, 2, 900);
    share_id id = lend_to(&w, w.bob, (struct share_terms){0});

    assert_string_equal(home_of(&w, w.b, w.web), "a.test");
    assert_string_equal(home_of(&w, w.a, w.bobs), "b.test");
    uint32_t web = number_of(&w, w.b, w.web), bobs = number_of(&w, w.a, w.bobs);
    assert_true(web >= 32768 && web < 65536 && bobs >= 32768 && bobs < 65536);
    /* Names of relays are unique over a map. */
    const struct tailnet_info *known = view_guest_info_find(view_of(&w, w.b), w.a);
    char name[32];
    (void)snprintf(name, sizeof(name), "%u-a", web);
    assert_true(str_eq(known->regions[0].nodes[0].name, str_from(name)));

    /* It is the same after another share, and where the other side's stays. */
    take_back(&w, w.a, id);
    assert_null(view_guest_info_find(view_of(&w, w.b), w.a));
    (void)lend_to(&w, w.bob, (struct share_terms){0});
    assert_int_equal(number_of(&w, w.b, w.web), web);

    /* Where the number is free it is kept, and who is at home there is told. */
    has_relay(&w, w.b, 901, "b.test");
    assert_int_equal(number_of(&w, w.b, w.web), 900);
    assert_string_equal(home_of(&w, w.b, w.web), "a.test");
    assert_int_equal(told(&w, w.b, CHANGE_GUEST, w.web, NODE_DERP), 1);
    assert_true(told(&w, w.b, CHANGE_INFO, 0, 0) > 0);
    /* Bob's is at home at a number that his tailnet has no more: in A's map it is not A's. */
    assert_int_equal(number_of(&w, w.a, w.bobs), 0);
    is_at_home(&w, 2, 901);
    assert_string_equal(home_of(&w, w.a, w.bobs), "b.test");
    assert_int_equal(told(&w, w.a, CHANGE_GUEST, w.bobs, NODE_DERP), 1);

    /* What both have is one region. */
    has_relay(&w, w.b, 900, "a.test");
    assert_int_equal(number_of(&w, w.b, w.web), 900);
    known = view_guest_info_find(view_of(&w, w.b), w.a);
    assert_true(str_eq(known->regions[0].nodes[0].name, STR("a")));
    fixture_fini(&w.f);
}

/* At home where nobody knows, until the tailnet it is in gives that number to a region. */
static void is_not_at_home_where_a_number_is_given(void **state)
{
    struct derp_node relay = {.name = STR("x"), .host_name = STR("x.test")};
    struct derp_region region = {.id = 904, .nodes = &relay, .n_nodes = 1};
    struct policy_relays says = {.regions = &region, .n = 1}, nothing = {0};
    struct change_list changes = {0};
    struct two w;

    (void)state;
    two_init(&w);
    is_at_home(&w, 1, 904);
    (void)lend_to(&w, w.bob, (struct share_terms){0});
    assert_int_equal(number_of(&w, w.b, w.web), 904);
    has_relay(&w, w.b, 904, "b.test");
    assert_int_equal(number_of(&w, w.b, w.web), 0);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST, w.web, NODE_DERP), 1);
    assert_int_equal(told(&w, w.b, CHANGE_INFO, 0, 0), 1);
    has_relay(&w, w.b, 0, "");
    assert_int_equal(number_of(&w, w.b, w.web), 904);
    assert_int_equal(told(&w, w.b, CHANGE_GUEST, w.web, NODE_DERP), 1);
    domain_tell_relays(w.f.d, w.b, &says, &changes);
    assert_int_equal(number_of(&w, w.b, w.web), 0);
    domain_tell_relays(w.f.d, w.b, &nothing, &changes);
    assert_int_equal(number_of(&w, w.b, w.web), 904);
    size_t moved = 0;
    for (size_t i = 0; i < changes.len; i++)
        moved += changes.items[i].kind == CHANGE_GUEST && changes.items[i].mask == NODE_DERP;
    assert_int_equal(moved, 2);
    change_list_fini(&changes);
    fixture_fini(&w.f);
}

/* The same where two lend to one, in either order, and one has its relays of a policy. */
static void tells_relays_of_several_tailnets_apart(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        struct derp_node relay = {.name = STR("c"), .host_name = STR("c.test")};
        struct derp_region region = {.id = 900, .nodes = &relay, .n_nodes = 1};
        struct policy_relays says = {.regions = &region, .n = 1};
        struct change_list changes = {0};
        struct two w;

        two_init(&w);
        tailnet_id c = tailnet_with(&w.f, "third", NULL);
        user_id dave = user_in(&w.f, c, "dave");
        node_id daves = join_in(&w.f, c, 7, dave, "", "desk");
        has_relay(&w, w.a, 900, "a.test");
        has_relay(&w, w.b, 900, "b.test");
        is_at_home(&w, 2, 900);
        is_at_home(&w, 7, 900);
        for (int i = 0; i < 2; i++) {
            const struct share to_bob = {.node = w.web, .guest = w.b, .user = w.bob};
            const struct share to_dave = {.node = w.web, .guest = c, .user = dave};

            fixture_done(&w.f, lend(&w, i == turn ? &to_bob : &to_dave, true));
        }
        domain_tell_relays(w.f.d, c, &says, &changes);
        assert_true(changes.len > 0);
        assert_string_equal(home_of(&w, w.a, w.bobs), "b.test");
        assert_string_equal(home_of(&w, w.a, daves), "c.test");
        assert_int_not_equal(number_of(&w, w.a, w.bobs), number_of(&w, w.a, daves));
        /* Without it the number is nobody's. */
        says.n = 0;
        domain_tell_relays(w.f.d, c, &says, &changes);
        assert_int_equal(number_of(&w, w.a, daves), 0);
        change_list_fini(&changes);
        fixture_fini(&w.f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_guests_into_both_views),
        cmocka_unit_test(guests_follow_their_nodes),
        cmocka_unit_test(keeps_to_what_shares_cover),
        cmocka_unit_test(owners_matter),
        cmocka_unit_test(waits_until_it_is_accepted),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(tells_the_relays_of_a_policy),
        cmocka_unit_test(knows_relays_of_one_number_apart),
        cmocka_unit_test(is_not_at_home_where_a_number_is_given),
        cmocka_unit_test(tells_relays_of_several_tailnets_apart),
        cmocka_unit_test(invites_by_link),
        cmocka_unit_test(gives_aliases_where_addresses_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

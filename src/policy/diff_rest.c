/* Attributes of nodes, approvals and what else of a document reaches nodes. policy.md 5.4, 11, 12.
 */

#include "policy/diff_internal.h"

#define USERS_MAX 4

/* ---- Attributes ---- */

static bool has_attr(const struct str *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static void compare_names(struct diff *d, struct change_set *c, uint32_t kind)
{
    const struct str *names[SIDES];
    size_t n[SIDES];

    for (int side = 0; side < SIDES; side++)
        n[side] = policy_attrs(d->p[side], d->kinds[kind].first->id, &names[side]);
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < n[side]; i++) {
            if (has_attr(names[1 - side], n[1 - side], names[side][i]))
                continue;
            struct str verb =
                arena_printf(d->arena, "%s the attribute %.*s", side == AFTER ? "gets" : "loses",
                             STR_ARG(names[side][i]));

            changes_add(c, side == AFTER ? '+' : '-', verb, STR_NONE, crowd_of(d, kind),
                        (struct crowd){0});
        }
}

static void compare_apps(struct diff *d, struct change_set *c, uint32_t kind)
{
    struct buf text[SIDES] = {BUF(0), BUF(0)};

    for (int side = 0; side < SIDES; side++) {
        struct json_writer w = JSON_WRITER(&text[side]);

        policy_put_attr_app(d->p[side], d->kinds[kind].first->id, &w);
    }
    if (!str_eq(buf_str(&text[BEFORE]), buf_str(&text[AFTER])))
        changes_add(c, '~', STR("gets another app configuration (nodeAttrs)"), STR_NONE,
                    crowd_of(d, kind), (struct crowd){0});
    buf_fini(&text[BEFORE]);
    buf_fini(&text[AFTER]);
}

void diff_attrs(struct diff *d)
{
    struct change_set *c = changes_new(d);

    for (uint32_t k = 0; k < d->n_kinds && diff_work(d, 16); k++) {
        compare_names(d, c, k);
        compare_apps(d, c, k);
    }
    changes_put(c);
}

/* ---- Approvals ---- */

static void compare_approval(struct diff *d, const struct node *n, struct ip_prefix route)
{
    const struct user *owner = node_is_tagged(n) ? NULL : view_user_find(d->view, n->user);
    bool is[SIDES];

    for (int side = 0; side < SIDES; side++)
        is[side] = policy_approves_route(d->p[side]->shape->doc, n, owner, route);
    if (is[BEFORE] == is[AFTER] || !diff_line(d))
        return;
    buf_printf(d->out, "%c %.*s's route ", is[AFTER] ? '+' : '-', STR_ARG(n->given_name));
    ip_prefix_put(d->out, route);
    buf_put(d->out, is[AFTER] ? STR(" is approved without asking\n")
                              : STR(" would no longer be approved without asking\n"));
}

static void compare_approvals(struct diff *d)
{
    const struct node *n;

    for (size_t at = 0; (n = policy_node_next(d->view, &at));)
        for (size_t i = 0; i < n->facts->n_routes && diff_work(d, 16); i++)
            /* What is approved stays approved, whatever the policy says. */
            if (!ip_prefix_in(n->approved, n->n_approved, n->facts->routes[i]))
                compare_approval(d, n, n->facts->routes[i]);
}

/* ---- Tags ---- */

struct takers {
    struct buf text;
    size_t n;
};

static void compare_tag(struct diff *d, struct str tag)
{
    struct takers takers[SIDES] = {{.text = BUF(0)}, {.text = BUF(0)}};
    const struct user *const *users;
    size_t n;

    users = view_users(d->view, &n);
    for (size_t i = 0; i < n && diff_work(d, 16); i++) {
        bool may[SIDES];
        struct takers *t;

        for (int side = 0; side < SIDES; side++)
            may[side] = policy_tag_may_be_requested(d->p[side]->shape->doc, users[i], NULL, tag);
        if (may[BEFORE] == may[AFTER])
            continue;
        t = &takers[may[AFTER] ? AFTER : BEFORE];
        if (t->n++ < USERS_MAX)
            buf_printf(&t->text, "%s%.*s", t->n > 1 ? ", " : "",
                       STR_ARG(users[i]->email.len ? users[i]->email : users[i]->name));
    }
    for (int side = AFTER; side >= BEFORE; side--) {
        if (takers[side].n && diff_line(d)) {
            buf_printf(d->out, "%c %.*s", side == AFTER ? '+' : '-',
                       STR_ARG(buf_str(&takers[side].text)));
            if (takers[side].n > USERS_MAX)
                buf_printf(d->out, " and %zu more users", takers[side].n - USERS_MAX);
            buf_printf(d->out, " may %sgive their machines %.*s\n",
                       side == AFTER ? "" : "no longer ", STR_ARG(tag));
        }
        buf_fini(&takers[side].text);
    }
}

static void compare_tags(struct diff *d)
{
    const struct policy_document *after = d->p[AFTER]->shape->doc;

    /* Without a policy everyone may give any tag there could be. */
    if (d->no_policy)
        return;
    for (int side = 0; side < SIDES; side++) {
        const struct policy_document *doc = d->p[side]->shape->doc;

        for (size_t i = 0; i < doc->n_tags; i++)
            if (side == AFTER || !policy_tag_find(after, doc->tags[i].name))
                compare_tag(d, doc->tags[i].name);
    }
}

/* ---- The rest of the document ---- */

static bool same_relays(const struct policy_document *a, const struct policy_document *b)
{
    if (a->n_derp_regions != b->n_derp_regions ||
        a->omit_default_regions != b->omit_default_regions)
        return false;
    for (size_t i = 0; i < a->n_derp_regions; i++)
        if (a->derp_regions[i].id != b->derp_regions[i].id ||
            !str_eq(a->derp_regions[i].json, b->derp_regions[i].json))
            return false;
    return true;
}

static void compare_options(struct diff *d)
{
    const struct policy_document *a = d->p[BEFORE]->shape->doc, *b = d->p[AFTER]->shape->doc;

    if (!same_relays(a, b) && diff_line(d))
        buf_put(d->out, STR("~ the relays of the tailnet change (derpMap)\n"));
    if (a->cgnat_route != b->cgnat_route && diff_line(d))
        buf_put(d->out, STR("~ how macOS clients route 100.64.0.0/10 changes (OneCGNATRoute)\n"));
}

void diff_approvals(struct diff *d)
{
    compare_approvals(d);
    compare_tags(d);
    compare_options(d);
}

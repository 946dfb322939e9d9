/*
 * Shares: machines lent to other tailnets, and invitations to borrow one.
 *
 * Who may name one tailnet only never learns whether another is there: he lends by invitation. A
 * share straight to a tailnet or user is for those who may name both.
 */

#include "api/api_internal.h"
#include "api/schema_words_internal.h"

#include "core/clock.h"

/* ---- Objects ---- */

#define TERMS                                                                                 \
    B("exitNode"), B("allRoutes"), STRINGS("routes"),                                         \
        {.name = "ports", .kind = KIND_STRINGS, .about = "\"22\", \"8000-8010\"; none: all"}, \
    {                                                                                         \
        .name = "twoWay", .kind = KIND_BOOL,                                                  \
        .about = "it may begin connections to the guests, too"                                \
    }

const struct api_member api_share_members[17] = {
    ID("id"),
    {.name = "direction", .kind = KIND_STRING, .about = "out: lent by the tailnet asked for; in"},
    {.name = "state", .kind = KIND_STRING, .about = "pending, accepted"},
    ID("nodeId"),
    S("nodeName"),
    S("ownerTailnet"),
    S("sharer"),
    S("guestTailnet"),
    {.name = "guestUser", .kind = KIND_STRING, .about = "empty: all of the tailnet"},
    TERMS,
    TIME("createdAt"),
    TIME_OR_NULL("acceptedAt"),
    TIME_OR_NULL("expiration"),
};
const struct api_member api_shares_members[1] = {OBJECTS("shares", "Share")};
const struct api_member api_create_share_members[9] = {
    ID_OR_NAME("node"),
    S("toTailnet"),
    ID_OR_NAME("toUser"),
    TERMS,
    {.name = "expiration", .kind = KIND_TIME, .about = "of the share; none: never"},
};
const struct api_member api_update_share_members[6] = {
    TERMS,
    {.name = "expiration", .kind = KIND_TIME, .about = "none: never"},
};
const struct api_member api_share_invite_members[16] = {
    ID("id"),
    ID("nodeId"),
    S("nodeName"),
    S("sharer"),
    B("wholeTailnet"),
    TERMS,
    N("usesLeft"),
    N("uses"),
    TIME("createdAt"),
    TIME("expiration"),
    TIME_OR_NULL("shareExpiration"),
    {.name = "secret",
     .kind = KIND_STRING,
     .optional = true,
     .about = "for who is to accept; only where it is made"},
};
const struct api_member api_share_invites_members[1] = {OBJECTS("invitations", "ShareInvite")};
const struct api_member api_create_share_invite_members[10] = {
    ID_OR_NAME("node"),
    {.name = "wholeTailnet", .kind = KIND_BOOL, .about = "for all of a tailnet, not for one user"},
    TERMS,
    {.name = "uses", .kind = KIND_NUMBER, .about = "how often it is good (1)"},
    {.name = "expiration", .kind = KIND_TIME, .about = "of the invitation; 30 days from now"},
    {.name = "shareExpiration", .kind = KIND_TIME, .about = "of what it makes; none: never"},
};
const struct api_member api_accept_share_invite_members[2] = {
    S("secret"),
    {.name = "user", .kind = KIND_ID_OR_NAME, .about = "for whom; none: for the whole tailnet"},
};

static struct hub *hub_of(const struct api_call *c)
{
    return control_hub(c->api->control, c->a->loop);
}

static void field_time_or_null(struct json_writer *w, struct str key, int64_t ms)
{
    if (ms)
        json_field_time(w, key, ms);
    else
        json_field_null(w, key);
}

static void put_ports(struct json_writer *w, const struct share_terms *t)
{
    json_field_array(w, STR("ports"));
    for (size_t i = 0; i < t->n_ports; i++) {
        char text[16];

        if (t->ports[i].first == t->ports[i].last)
            (void)snprintf(text, sizeof(text), "%u", t->ports[i].first);
        else
            (void)snprintf(text, sizeof(text), "%u-%u", t->ports[i].first, t->ports[i].last);
        json_str(w, str_from(text));
    }
    json_end_array(w);
}

static void put_terms(struct json_writer *w, const struct share_terms *t)
{
    json_field_bool(w, STR("exitNode"), t->exit_node);
    json_field_bool(w, STR("allRoutes"), t->all_routes);
    api_field_prefixes(w, STR("routes"), t->routes, t->n_routes);
    put_ports(w, t);
    json_field_bool(w, STR("twoWay"), t->two_way);
}

/* Empty for nobody, and for who is gone. */
static void field_login(struct json_writer *w, struct str key, const struct tailnet_view *view,
                        user_id id)
{
    const struct user *u = view && id ? view_user_find(view, id) : NULL;
    struct buf scratch = BUF(64);

    json_field_str(w, key, u ? user_login_name(u, &scratch) : STR_NONE);
    buf_fini(&scratch);
}

static void field_tailnet(struct json_writer *w, struct str key, const struct tailnet_view *view)
{
    json_field_str(w, key, view ? view_info(view)->name : STR_NONE);
}

static void field_node(struct json_writer *w, const struct tailnet_view *view, node_id id)
{
    const struct node *n = view ? view_node_find(view, id) : NULL;

    api_field_id(w, STR("nodeId"), id);
    json_field_str(w, STR("nodeName"), n ? node_dns_name(n) : STR_NONE);
}

static void put_share(struct json_writer *w, const struct api_call *c, const struct share *s)
{
    const struct tailnet_view *owner = hub_view(hub_of(c), s->owner),
                              *guest = hub_view(hub_of(c), s->guest);

    json_begin_object(w);
    api_field_id(w, STR("id"), s->id);
    json_field_str(w, STR("direction"), s->owner == c->tailnet ? STR("out") : STR("in"));
    json_field_str(w, STR("state"), s->accepted_ms ? STR("accepted") : STR("pending"));
    field_node(w, owner, s->node);
    field_tailnet(w, STR("ownerTailnet"), owner);
    field_login(w, STR("sharer"), owner, s->sharer);
    field_tailnet(w, STR("guestTailnet"), guest);
    field_login(w, STR("guestUser"), guest, s->user);
    put_terms(w, &s->terms);
    json_field_time(w, STR("createdAt"), s->created_ms);
    field_time_or_null(w, STR("acceptedAt"), s->accepted_ms);
    field_time_or_null(w, STR("expiration"), s->expiry_ms);
    json_end_object(w);
}

static void put_invite(struct json_writer *w, const struct tailnet_view *view,
                       const struct share_invite *i, struct str secret)
{
    json_begin_object(w);
    api_field_id(w, STR("id"), i->id);
    field_node(w, view, i->node);
    field_login(w, STR("sharer"), view, i->sharer);
    json_field_bool(w, STR("wholeTailnet"), i->whole_tailnet);
    put_terms(w, &i->terms);
    json_field_u64(w, STR("usesLeft"), i->uses_left);
    json_field_u64(w, STR("uses"), i->uses);
    json_field_time(w, STR("createdAt"), i->created_ms);
    json_field_time(w, STR("expiration"), i->expiry_ms);
    field_time_or_null(w, STR("shareExpiration"), i->share_expiry_ms);
    if (secret.len > 0)
        json_field_str(w, STR("secret"), secret);
    json_end_object(w);
}

/* ---- What is asked for ---- */

static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t n = 0;

    if (!str_parse_u64(text, &n) || n < 1 || n > UINT16_MAX)
        return false;
    *port = (uint16_t)n;
    return true;
}

/* False: answered. */
static bool read_ports(struct api_call *c, struct share_terms *out)
{
    struct str_list texts = api_texts(c, "ports");

    if (texts.len > SHARE_PORTS_MAX) {
        api_problem(c, 400, "too many ports", NULL);
        return false;
    }
    out->ports = arena_alloc(api_arena(c), (texts.len + 1) * sizeof *out->ports);
    for (size_t i = 0; i < texts.len; i++) {
        struct str first, last;
        bool is_range = str_split(texts.items[i], '-', &first, &last);

        if (!parse_port(is_range ? first : texts.items[i], &out->ports[i].first) ||
            !parse_port(is_range ? last : texts.items[i], &out->ports[i].last)) {
            api_problem(c, 400, "a port is such as 22 or 8000-8010", NULL);
            return false;
        }
    }
    out->n_ports = texts.len;
    return true;
}

/* In the arena. False: answered. */
static bool read_terms(struct api_call *c, struct share_terms *out)
{
    out->exit_node = api_bool(c, "exitNode");
    out->all_routes = api_bool(c, "allRoutes");
    out->two_way = api_bool(c, "twoWay");
    return api_prefixes(c, "routes", &out->routes, &out->n_routes) && read_ports(c, out);
}

/* By id, or by the name that peers use. 0: answered. */
static node_id read_node(struct api_call *c)
{
    struct str text = api_text(c, "node");
    const struct node *n;
    uint64_t id = 0;

    if (api_id(c, "node", &id) && view_node_find(c->view, id))
        return id;
    for (size_t at = 0; text.len > 0 && (n = view_node_next(c->view, &at));)
        if (str_eq_nocase(n->given_name, text) || str_eq_nocase(node_dns_name(n), text))
            return n->id;
    api_problem(c, 404, "node not found", NULL);
    return 0;
}

/* Who answers for it: the user that the caller is or acts for, else an operator. */
static user_id sharer_of(const struct api_call *c)
{
    return c->caller.user && view_user_find(c->view, c->caller.user) ? c->caller.user : 0;
}

/* ---- Shares ---- */

void api_shares_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct share *s;

    json_begin_object(&w);
    json_field_array(&w, STR("shares"));
    for (size_t at = 0; (s = view_share_next(c->view, &at));)
        put_share(&w, c, s);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

/* done: the share. */
static void done_share(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    put_share(&w, c, call->result.share);
    api_respond(c, &body);
}

/* False: answered. */
static bool read_guest(struct api_call *c, struct share *out)
{
    const struct tailnet_view *guest = hub_view_by_name(hub_of(c), api_text(c, "toTailnet"));
    struct str text = api_text(c, "toUser");
    const struct user *u = NULL;

    if (c->caller.tailnet != 0) {
        api_problem(c, 403, "not permitted",
                    "a key of one tailnet lends by invitation: POST /api/v1/share-invite");
        return false;
    }
    if (!guest) {
        api_problem(c, 404, "the tailnet to share with is not found", NULL);
        return false;
    }
    out->guest = view_info(guest)->id;
    if (text.len > 0 && !(u = api_find_user(guest, text))) {
        api_problem(c, 404, "no such user in the tailnet to share with", NULL);
        return false;
    }
    out->user = u ? u->id : 0;
    return true;
}

void api_shares_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_SHARE_CREATE);
    struct share *s = arena_alloc(api_arena(c), sizeof *s);

    *s = (struct share){.owner = c->tailnet, .sharer = sharer_of(c)};
    if (!read_guest(c, s))
        return;
    /* Without one it is answered, and the call's memory gone. */
    node_id node = read_node(c);
    if (node == 0)
        return;
    s->node = node;
    if (!read_terms(c, &s->terms))
        return;
    (void)api_time(c, "expiration", &s->expiry_ms);
    command->share = s;
    api_submit(c, done_share);
}

/* The one in the path, in whichever tailnet the caller may name: with `as_guest` the one it is lent
 * to, else its owner where that may be. NULL: answered. */
static const struct share *find_share(struct api_call *c, bool as_guest)
{
    const struct tailnet_view *view;
    uint64_t id = 0;

    if (!api_path_id(c, "shareId", &id))
        return NULL;
    for (int round = 0; round < 2; round++)
        for (size_t at = 0; (view = api_next_view(c, &at));) {
            const struct share *s = view_share_find(view, id);

            if (!s || (round == 0 && (s->guest == view_info(view)->id) != as_guest))
                continue;
            api_turn_to(c, view);
            return s;
        }
    api_problem(c, 404, "share not found", NULL);
    return NULL;
}

void api_share_get(struct api_call *c)
{
    const struct share *s = find_share(c, false);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (!s)
        return;
    put_share(&w, c, s);
    api_respond(c, &body);
}

void api_share_accept(struct api_call *c)
{
    const struct share *s = find_share(c, true);

    if (!s)
        return;
    api_command(c, COMMAND_SHARE_ACCEPT)->id = s->id;
    api_submit(c, done_share);
}

void api_share_update(struct api_call *c)
{
    const struct share *was = find_share(c, false);
    struct share *s;

    /* Then it is answered, and the call's memory gone. */
    if (!was)
        return;
    s = arena_alloc(api_arena(c), sizeof *s);
    *s = (struct share){0};
    if (!read_terms(c, &s->terms))
        return;
    struct command *command = api_command(c, COMMAND_SHARE_UPDATE);

    (void)api_time(c, "expiration", &s->expiry_ms);
    command->id = was->id;
    command->share = s;
    api_submit(c, done_share);
}

void api_share_revoke(struct api_call *c)
{
    const struct share *s = find_share(c, false);

    if (!s)
        return;
    api_command(c, COMMAND_SHARE_REVOKE)->id = s->id;
    api_submit(c, api_done_empty);
}

/* ---- Invitations ---- */

void api_share_invites_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct share_invite *i;

    json_begin_object(&w);
    json_field_array(&w, STR("invitations"));
    for (size_t at = 0; (i = view_share_invite_next(c->view, &at));)
        put_invite(&w, c->view, i, STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void done_invite(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    put_invite(&w, call->result.view, call->result.invite, call->result.secret);
    api_respond(c, &body);
}

void api_share_invites_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_SHARE_INVITE_CREATE);
    struct share_invite *i = arena_alloc(api_arena(c), sizeof *i);
    const struct json_value *uses = api_member(c, "uses");
    int64_t n = uses ? json_as_i64(uses, 0) : 1;

    *i = (struct share_invite){.tailnet = c->tailnet,
                               .sharer = sharer_of(c),
                               .whole_tailnet = api_bool(c, "wholeTailnet"),
                               .expiry_ms = clock_unix_ms() + SHARE_INVITE_MS};
    if (n < 1 || n > 1000000) {
        api_problem(c, 400, "an invitation is good for 1 to 1000000 uses", NULL);
        return;
    }
    i->uses_left = (uint32_t)n;
    node_id node = read_node(c);
    if (node == 0)
        return;
    i->node = node;
    if (!read_terms(c, &i->terms))
        return;
    (void)api_time(c, "expiration", &i->expiry_ms);
    (void)api_time(c, "shareExpiration", &i->share_expiry_ms);
    command->invite = i;
    api_submit(c, done_invite);
}

void api_share_invite_revoke(struct api_call *c)
{
    const struct tailnet_view *view;
    uint64_t id = 0;

    if (!api_path_id(c, "inviteId", &id))
        return;
    for (size_t at = 0; (view = api_next_view(c, &at));) {
        if (!view_share_invite_find(view, id))
            continue;
        api_turn_to(c, view);
        api_command(c, COMMAND_SHARE_INVITE_REVOKE)->id = id;
        api_submit(c, api_done_empty);
        return;
    }
    api_problem(c, 404, "invitation not found", NULL);
}

void api_share_invite_accept(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_SHARE_INVITE_ACCEPT);
    struct str text = api_text(c, "user");
    const struct user *u = NULL;

    if (text.len > 0 && !(u = api_find_user(c->view, text))) {
        api_problem(c, 404, "user not found", NULL);
        return;
    }
    command->user = u ? u->id : 0;
    command->text = api_text(c, "secret");
    api_submit(c, done_share);
}

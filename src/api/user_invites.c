/*
 * Invitations of people (tailnet/joining.h): links that make one person a member of a tailnet. A
 * link is told where it is made, and never again. v1's, and v2's as Tailscale has them, where a
 * list comes and goes bare.
 *
 * Source: Tailscale's API reference, "user invites".
 */

#include "api/schema_words_internal.h"
#include "api/v2_internal.h"
#include "core/clock.h"

#define INVITES_AT_ONCE_MAX 50

const struct api_member api_user_invite_members[7] = {
    ID("id"),
    S("role"),
    {.name = "email",
     .kind = KIND_STRING,
     .about = "only who has this address, verified, may use it; empty: whoever has the link"},
    {.name = "inviter", .kind = KIND_STRING, .about = "empty: an operator"},
    TIME("createdAt"),
    TIME("expiration"),
    {.name = "url",
     .kind = KIND_STRING,
     .optional = true,
     .about = "for who is invited; only where it is made"},
};
const struct api_member api_user_invites_members[1] = {OBJECTS("invitations", "UserInvite")};
const struct api_member api_create_user_invite_members[3] = {
    {.name = "role", .kind = KIND_STRING, .about = "member"},
    {.name = "email", .kind = KIND_STRING, .about = "none: whoever has the link"},
    {.name = "expiration", .kind = KIND_TIME, .about = "7 days from now"},
};
const struct api_member api_v2_user_invite_members[6] = {
    ID("id"),
    S("role"),
    N("tailnetId"),
    {.name = "inviterId", .kind = KIND_NUMBER, .about = "0: an operator"},
    MAYBE("email", KIND_STRING),
    {.name = "inviteUrl",
     .kind = KIND_STRING,
     .optional = true,
     .about = "for who is invited; only where it is made"},
};

static void field_url(struct json_writer *w, struct str key, const struct api_call *c,
                      struct str secret)
{
    if (secret.len == 0)
        return;
    json_key(w, key);
    json_begin_plain(w);
    buf_put(w->out, c->api->server_url);
    buf_put(w->out, STR("/invite/"));
    buf_put(w->out, secret);
    json_end_plain(w);
}

static void put_v1(struct json_writer *w, const struct api_call *c, const struct tailnet_view *view,
                   const struct user_invite *i, struct str secret)
{
    const struct user *inviter = i->inviter ? view_user_find(view, i->inviter) : NULL;
    struct buf scratch = BUF(64);

    json_begin_object(w);
    api_field_id(w, STR("id"), i->id);
    json_field_str(w, STR("role"), user_role_name(i->role));
    json_field_str(w, STR("email"), i->email);
    json_field_str(w, STR("inviter"), inviter ? user_login_name(inviter, &scratch) : STR_NONE);
    json_field_time(w, STR("createdAt"), i->created_ms);
    json_field_time(w, STR("expiration"), i->expiry_ms);
    field_url(w, STR("url"), c, secret);
    json_end_object(w);
    buf_fini(&scratch);
}

static void put_v2(struct json_writer *w, const struct api_call *c, const struct user_invite *i,
                   struct str secret)
{
    json_begin_object(w);
    api_field_id(w, STR("id"), i->id);
    json_field_str(w, STR("role"), user_role_name(i->role));
    json_field_u64(w, STR("tailnetId"), i->tailnet);
    json_field_u64(w, STR("inviterId"), i->inviter);
    if (i->email.len > 0)
        json_field_str(w, STR("email"), i->email);
    field_url(w, STR("inviteUrl"), c, secret);
    json_end_object(w);
}

/* ---- Lists ---- */

void api_user_invites_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct user_invite *i;

    json_begin_object(&w);
    json_field_array(&w, STR("invitations"));
    for (size_t at = 0; (i = view_user_invite_next(c->view, &at));)
        put_v1(&w, c, c->view, i, STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_user_invites_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct user_invite *i;

    json_begin_array(&w);
    for (size_t at = 0; (i = view_user_invite_next(c->view, &at));)
        put_v2(&w, c, i, STR_NONE);
    json_end_array(&w);
    api_respond(c, &body);
}

/* ---- One is made ---- */

/* What an invitation is to be. Borrows from the body. */
struct wish {
    enum user_role role;
    struct str email;
    int64_t expiry_ms; /* 0: as the domain has it */
};

static void ask_invite(struct api_call *c, const struct wish *w,
                       void (*done)(struct registrar_call *call))
{
    struct command *command = api_command(c, COMMAND_USER_INVITE_CREATE);

    command->role = w->role;
    command->email = w->email;
    command->expiry_ms = w->expiry_ms;
    command->user = c->caller.tailnet == c->tailnet ? c->caller.user : 0;
    api_submit(c, done);
}

static void done_v1(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    put_v1(&w, c, call->result.view, call->result.user_invite, call->result.secret);
    api_respond(c, &body);
}

void api_user_invites_create(struct api_call *c)
{
    struct wish wish = {.role = ROLE_MEMBER, .email = api_text(c, "email")};

    if (!api_role(c, &wish.role) || !api_may_give(c, wish.role))
        return;
    /* What lies before 1970 has passed, too. */
    if (api_time(c, "expiration", &wish.expiry_ms))
        wish.expiry_ms = MAX(wish.expiry_ms, (int64_t)1);
    ask_invite(c, &wish, done_v1);
}

/* ---- Several at once ---- */

struct several {
    struct wish *wishes;
    size_t n, at;
    struct buf body;
    struct json_writer w;
};

static void done_v2(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct several *s = c->a->more;
    struct command_result *r = &call->result;

    if (call->status < 0 || !c->a->x) {
        if (s->body.ptr)
            mem_wipe(s->body.ptr, s->body.len);
        buf_fini(&s->body);
        IGNORE(api_refused(c));
        return;
    }
    put_v2(&s->w, c, r->user_invite, r->secret);
    command_result_fini(r);
    if (++s->at < s->n) {
        ask_invite(c, &s->wishes[s->at], done_v2);
        return;
    }
    json_end_array(&s->w);
    struct buf body = s->body;

    api_respond(c, &body);
}

static bool refuse(struct api_call *c, const char *why)
{
    api_problem(c, 400, why, NULL);
    return false;
}

/* False: answered. */
static bool read_several(struct api_call *c, struct several *s)
{
    struct str text = arena_copy(api_arena(c), str_trim(c->a->req->body));
    struct json_value *list = NULL;
    struct json_error error;

    if (!json_parse(api_arena(c), text, NULL, &list, &error) || !json_is(list, JSON_ARRAY) ||
        json_len(list) == 0)
        return refuse(c, "the body is a list of invitations: [{\"role\": \"member\"}]");
    if (json_len(list) > INVITES_AT_ONCE_MAX)
        return refuse(c, "at most 50 invitations at once");
    s->wishes = arena_alloc(api_arena(c), json_len(list) * sizeof(*s->wishes));
    JSON_EACH(v, list) {
        struct wish *w = &s->wishes[s->n++];
        struct str role = json_get_str(v, "role");

        *w = (struct wish){.role = ROLE_MEMBER, .email = json_get_str(v, "email")};
        if (!json_is(v, JSON_OBJECT) || (role.len > 0 && !user_role_find(role, &w->role)))
            return refuse(c, "an invitation has a role that there is, and a mail address or none");
        if (!api_may_give(c, w->role))
            return false;
    }
    return true;
}

void api_v2_user_invites_create(struct api_call *c)
{
    struct several *s = arena_alloc(api_arena(c), sizeof(*s));

    *s = (struct several){.body = BUF((size_t)1 << 20)};
    if (!read_several(c, s))
        return;
    s->w = JSON_WRITER(&s->body);
    json_begin_array(&s->w);
    c->a->more = s;
    ask_invite(c, &s->wishes[0], done_v2);
}

/* ---- One of them ---- */

/* By the id in the path, in whichever tailnet the caller may name; the call is then about that one.
 * NULL: answered. */
static const struct user_invite *find_invite(struct api_call *c)
{
    const struct tailnet_view *view;
    uint64_t id = 0;

    if (!api_path_id(c, "inviteId", &id))
        return NULL;
    for (size_t at = 0; (view = api_next_view(c, &at));) {
        const struct user_invite *i = view_user_invite_find(view, id);

        if (!i)
            continue;
        api_turn_to(c, view);
        return i;
    }
    api_problem(c, 404, "invitation not found", NULL);
    return NULL;
}

void api_user_invite_revoke(struct api_call *c)
{
    const struct user_invite *i = find_invite(c);

    if (!i)
        return;
    api_command(c, COMMAND_USER_INVITE_REVOKE)->id = i->id;
    api_submit(c, api_done_empty);
}

void api_v2_user_invite_get(struct api_call *c)
{
    const struct user_invite *i = find_invite(c);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (!i)
        return;
    put_v2(&w, c, i, STR_NONE);
    api_respond(c, &body);
}

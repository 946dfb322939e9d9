/*
 * Somebody has the link of an invitation: to a provider, what it is to be a member of, yes, and in.
 *
 *   GET /invite/{secret} --302--> provider --302--> page --POST /invite/confirm--> member
 *
 * Whatever is wrong with a link, the page is the same, and takes as long: its secret is looked up
 * by hash. It is kept in memory while somebody is under way, and is in no log, no cookie and no
 * address but the link's own.
 */

#include "control/login_internal.h"

#include "core/log.h"

void login_invite_is_gone(struct login_request *r)
{
    buf_clear(&r->page);
    page_tell(&r->page, "Invitation", NULL, 0,
              "There is no such invitation, or it was used, revoked or has expired. Ask whoever "
              "sent it for another one.",
              STR_NONE);
    login_answer(r, 410);
}

/* Whether the person is a member there already, and active. */
static bool is_member(const struct login_request *r)
{
    const struct command_result *result = &r->call.result;

    for (size_t i = 0; i < result->n_choices; i++)
        if (result->choices[i].tailnet == r->invite_tailnet && result->choices[i].user != 0 &&
            result->choices[i].status == USER_ACTIVE)
            return true;
    return false;
}

/* What a new member does next. */
static void put_welcome(struct login_request *r, struct str tailnet, struct str login,
                        struct str role)
{
    const struct page_row rows[] = {
        {"Tailnet", tailnet, false}, {"Your account", login, false}, {"Role", role, false}};

    page_tell(&r->page, "You are a member", rows, ARRAY_LEN(rows) - (role.len == 0),
              "To let a machine in, install Tailscale on it and log in with this account:",
              arena_printf(r->arena, "tailscale up --login-server=%.*s",
                           STR_ARG(r->desk->options.server_url)));
}

void login_invite_choices(struct login_request *r)
{
    struct str role = user_role_name(r->invite_role);
    const struct page_row rows[] = {{"Tailnet", r->invite_name, false},
                                    {"Role", role, false},
                                    {"Your account", login_name_of(&r->person), false}};
    struct page_question page = {.title = "Invitation",
                                 .heading =
                                     arena_printf(r->arena, "You are invited to %.*s as %.*s",
                                                  STR_ARG(r->invite_name), STR_ARG(role))
                                         .ptr,
                                 .text = "Join with this account? Its administrators see your name "
                                         "and mail address then.",
                                 .rows = rows,
                                 .n_rows = ARRAY_LEN(rows),
                                 .button = "Join"};

    if (r->invite_email.len > 0 &&
        (!r->person.email_verified || !str_eq_nocase(r->invite_email, r->person.email))) {
        login_fail(r, 403, "the invitation is for another mail address",
                   "This invitation is for another mail address: log in with the account it was "
                   "sent to.");
        return;
    }
    if (is_member(r)) {
        login_forget_state_cookies(r);
        put_welcome(r, r->invite_name, login_name_of(&r->person), STR_NONE);
        login_answer(r, 200);
        return;
    }
    login_keep_question(r, NULL, 0, &r->person);
    login_put_question(r, &page);
}

static void accepted(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);
    const struct user *user = call->result.user;
    struct buf login = BUF(4096);

    if (!r->desk->is_stopped && call->status < 0 && call->err.code == ERR_NOT_FOUND) {
        login_invite_is_gone(r);
        return;
    }
    if (login_refused(r))
        return;
    const struct tailnet_view *view =
        call->result.view ? call->result.view : hub_view(r->desk->options.hub, user->tailnet);

    log_event(LOG_INFO, "somebody came by an invitation", LOG_U64("user", user->id),
              LOG_STR("from", r->peer));
    put_welcome(r, view ? view_info(view)->name : STR_NONE, user_login_name(user, &login),
                user_role_name(user->role));
    buf_fini(&login);
    login_forget_confirm_cookie(r);
    login_answer(r, 200);
}

void login_invite_answered(struct login_request *r)
{
    login_command(r, COMMAND_USER_INVITE_ACCEPT, r->question.person, accepted)->secret =
        str_from(r->question.secret);
    registrar_submit(r->desk->registrar, &r->call);
}

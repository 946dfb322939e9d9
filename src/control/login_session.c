/*
 * A session of the API and the console: for administrators by the configuration, in the first
 * tailnet, and for active members whose role lets them do anything, in theirs. What the session is
 * good for is asked again at each request (auth/auth.h), and it ends when that is nothing
 * (session_keeper.h).
 */

#include "control/login_internal.h"

#include "auth/roles.h"
#include "core/clock.h"
#include "core/log.h"

static void refuse(struct login_request *r)
{
    login_fail(r, 403, "no administrator: see admin_users, admin_groups, admin_subjects, and roles",
               "You are not an administrator of this server.");
}

static void session_is_open(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);
    struct buf login = BUF(4096);

    if (r->desk->is_stopped) {
        login_answer(r, 503);
        return;
    }
    if (call->status < 0) {
        login_fail(r, call->err.code == ERR_LIMIT ? 429 : 500, call->err.text, NULL);
        return;
    }
    log_event(LOG_INFO, "an administrator logged in", LOG_U64("user", call->result.user->id),
              LOG_STR("from", r->peer));
    login_add_cookie(r, &(struct cookie){.name = session_cookie_name(login_cookies_are_secure(r)),
                                         .value = call->result.secret,
                                         .path = STR("/"),
                                         .max_age_s = LOGIN_SESSION_MS / 1000,
                                         .is_secure = login_cookies_are_secure(r)});
    page_done(&r->page, "Logged In", "Logged in", user_login_name(call->result.user, &login));
    buf_fini(&login);
    login_answer(r, 200);
}

static void open_session(struct login_request *r)
{
    static struct str scopes[] = {STR_INIT("all")};
    struct buf login = BUF(4096);
    struct command command = {.type = COMMAND_SESSION_CREATE,
                              .origin = ORIGIN_API,
                              .from = r->peer,
                              .tailnet = r->user->tailnet,
                              .user = r->user->id,
                              .scopes = {scopes, ARRAY_LEN(scopes)},
                              .expiry_ms = clock_unix_ms() + LOGIN_SESSION_MS};

    command.text =
        arena_copy(r->arena, str_sub(user_login_name(r->user, &login), 0, API_KEY_NOTE_MAX));
    command.author = arena_printf(r->arena, "user:%.*s", STR_ARG(command.text));
    buf_fini(&login);
    command_result_fini(&r->call.result);
    r->call = (struct registrar_call){
        .loop = r->desk->options.loop, .done = session_is_open, .command = command};
    registrar_submit(r->desk->registrar, &r->call);
}

static void user_is_known(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);
    const struct tailnet_view *first = hub_view(r->desk->options.hub, 0);
    enum user_role role;

    if (login_refused(r))
        return;
    r->user = user_ref(call->result.user);
    log_event(LOG_INFO, "a person logged in", LOG_U64("user", r->user->id),
              LOG_STR("from", r->peer));
    /* As the user is now: whatever was asked was asked of somebody of before. */
    if (admins_role(r->desk->options.admins, r->user,
                    first && view_info(first)->id == r->user->tailnet, &role) &&
        permissions_of_role(role).read != 0)
        open_session(r);
    else
        refuse(r);
}

static void enter(struct login_request *r, tailnet_id tailnet, const struct login_person *person)
{
    login_command(r, COMMAND_USER_LOGIN, person, user_is_known)->tailnet = tailnet;
    registrar_submit(r->desk->registrar, &r->call);
}

/* Puts those where the person may administer first. */
static size_t keep_administered(struct login_request *r, size_t n)
{
    struct login_choice *choices = r->call.result.choices;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct login_choice c = choices[i];
        bool has_role = c.user != 0 && permissions_of_role(c.role).read != 0;

        if (c.status != USER_ACTIVE || !(has_role || login_is_admin(r, c.tailnet)))
            continue;
        choices[i] = choices[kept];
        choices[kept++] = c;
    }
    return kept;
}

void login_session_choices(struct login_request *r)
{
    size_t n = keep_administered(r, login_narrow_choices(r));
    const struct login_choice *choices = r->call.result.choices;
    struct page_option options[LOGIN_CHOICES_MAX];
    const struct page_row rows[] = {{"Your account", login_name_of(&r->person), false}};
    struct page_question page = {.title = "Log in",
                                 .heading = "Choose a tailnet",
                                 .text = "You administer several tailnets. A session is of one.",
                                 .rows = rows,
                                 .n_rows = ARRAY_LEN(rows),
                                 .options = options,
                                 .n_options = n};

    if (n == 0) {
        refuse(r);
        return;
    }
    if (n == 1) {
        login_forget_state_cookies(r);
        enter(r, choices[0].tailnet, &r->person);
        return;
    }
    for (size_t i = 0; i < n; i++)
        options[i] = (struct page_option){
            .value = choices[i].tailnet,
            .label = choices[i].name,
            .note = choices[i].user != 0 ? arena_printf(r->arena, "as %.*s",
                                                        STR_ARG(user_role_name(choices[i].role)))
                                               .ptr
                                         : NULL};
    login_keep_question(r, choices, n, &r->person);
    login_put_question(r, &page);
}

void login_session_answered(struct login_request *r)
{
    const struct login_option *o = login_chosen(r);

    if (!o)
        return;
    login_forget_confirm_cookie(r);
    enter(r, o->tailnet, r->question.person);
}

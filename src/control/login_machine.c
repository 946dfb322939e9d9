/*
 * A machine waits, and somebody is back from a provider: into which tailnet, as whom, and in.
 *
 *   choices --> page: this machine, this account, these tailnets --yes, which--> the pending is
 *     still there --> user found or made --> machine approved --> page
 *
 * Nobody becomes a member before the yes. A machine that comes back goes to the tailnet it has been
 * in. Whoever is neither member nor admitted learns no tailnet's name.
 */

#include "control/login_internal.h"

#include "core/clock.h"
#include "core/log.h"

/* ---- The question ---- */

static void refuse(struct login_request *r)
{
    const struct command_result *result = &r->call.result;

    login_fail(r, 403, "no tailnet lets the person in",
               result->n_choices == 0 && result->text[0]
                   ? result->text
                   : "No tailnet here lets you in: ask for an invitation.");
}

/* What is new for somebody who would be a member only then; NULL: nothing. */
static const char *note_of(const struct login_choice *c)
{
    if (c->user == 0)
        return c->status == USER_PENDING
                   ? "You would join it, and one of its administrators must approve you."
                   : "You would join it.";
    return c->status == USER_PENDING ? "One of its administrators has yet to approve you." : NULL;
}

void login_machine_choices(struct login_request *r)
{
    size_t n = login_narrow_choices(r);
    const struct login_choice *choices = r->call.result.choices;
    struct page_option options[LOGIN_CHOICES_MAX];
    const struct page_row rows[] = {
        {"Hostname", r->hostname, false},
        {"OS", r->os.len > 0 ? r->os : STR("(unknown)"), false},
        {"Machine key", r->machine, true},
        {n > 1 ? "Your account" : "Registered to", login_name_of(&r->person), false},
        {"Tailnet", n == 1 ? choices[0].name : STR_NONE, false},
    };
    struct page_question page = {
        .title = "Confirm node registration",
        .heading = "Confirm node registration",
        .text = "This machine wants to join with your account. Let it in only if it is yours and "
                "you have just asked for it.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows) - (n > 1),
        .button = "Register",
        .options = options,
        .n_options = n > 1 ? n : 0};

    if (n == 0) {
        refuse(r);
        return;
    }
    if (n == 1)
        page.note = note_of(&choices[0]);
    for (size_t i = 0; i < page.n_options; i++)
        options[i] = (struct page_option){
            .value = choices[i].tailnet, .label = choices[i].name, .note = note_of(&choices[i])};
    login_keep_question(r, choices, n, &r->person);
    login_put_question(r, &page);
}

/* ---- The answer ---- */

static void put_waiting(struct login_request *r, const char *title, bool is_user)
{
    struct buf login = BUF(4096);
    const struct tailnet_view *view = hub_view(r->desk->options.hub, r->user->tailnet);
    const struct page_row rows[] = {
        {"Registered to", user_login_name(r->user, &login), false},
        {"Tailnet", view ? view_info(view)->name : STR_NONE, false},
    };

    page_tell(&r->page, title, rows, ARRAY_LEN(rows),
              is_user ? "You wait for approval by one of its administrators. Until then your "
                        "machines are registered and have no access. They go on by themselves."
                      : "This machine waits for approval by one of its administrators. Until then "
                        "it is registered and has no access. It goes on by itself.",
              STR_NONE);
    buf_fini(&login);
}

static void approved(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);
    struct buf login = BUF(4096);

    if (login_refused(r))
        return;
    const struct node *node = call->result.node;
    bool is_old = node && node->created_ms < r->question.asked_unix;
    const char *title = is_old ? "Node Reauthenticated" : "Node Registered";

    log_event(LOG_INFO, "a log-in let a machine in", LOG_U64("node", node ? node->id : 0),
              LOG_U64("user", r->user->id), LOG_STR("from", r->peer));
    if (r->user->status == USER_PENDING)
        put_waiting(r, title, true);
    else if (node && (node->holds & HOLD_DEVICE))
        put_waiting(r, title, false);
    else
        page_done(&r->page, title, is_old ? "Reauthenticated" : "Registered",
                  user_login_name(r->user, &login));
    buf_fini(&login);
    login_forget_confirm_cookie(r);
    login_answer(r, 200);
}

static void user_is_known(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);

    if (login_refused(r))
        return;
    r->user = user_ref(call->result.user);
    log_event(LOG_INFO, "a person logged in", LOG_U64("user", r->user->id),
              LOG_STR("provider", r->question.person->issuer), LOG_STR("from", r->peer));
    command_result_fini(&r->call.result);
    r->call = (struct registrar_call){.loop = r->desk->options.loop, .done = approved};
    r->call.command = (struct command){
        .type = COMMAND_REGISTER_APPROVE,
        .origin = ORIGIN_API,
        .author = arena_printf(r->arena, "user:%llu", (unsigned long long)r->user->id),
        .from = r->peer,
        .tailnet = r->user->tailnet,
        .name = r->subject,
        .user = r->user->id,
        .expiry_ms = r->question.expiry_ms,
        .is_oidc = true};
    registrar_submit(r->desk->registrar, &r->call);
}

void login_machine_answered(struct login_request *r)
{
    const struct login_option *o;

    if (!r->is_found) {
        login_fail(r, 410, "the registration is gone", NULL);
        return;
    }
    if (!(o = login_chosen(r)))
        return;
    login_command(r, COMMAND_USER_LOGIN, r->question.person, user_is_known)->tailnet = o->tailnet;
    registrar_submit(r->desk->registrar, &r->call);
}

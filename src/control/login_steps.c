/*
 * The steps of a log-in, on the desk's loop:
 *
 *   start    look up --> pick a provider --> know it --> 302
 *   back     state, cookies --> exchange (--> new keys --> again) --> filters --> look up
 *              --> choices of tailnets --> page with the question, or a session
 *   confirm  token, cookie --> what was said yes to --> page
 *
 * What the yes is about is in login_machine.c, login_session.c, login_invite.c; SSH checks are
 * here.
 */

#include "control/login_internal.h"

#include "core/clock.h"
#include "core/log.h"

#define STATE_COOKIE_S 3600
#define CONFIRM_COOKIE_S 900
#define GROUP_MAX 512 /* bytes of a group's name */
#define CALLBACK_PATH STR("/oidc/callback")

/* ---- start ---- */

static struct str path_of(struct login_request *r, const char *between)
{
    if (r->purpose == LOGIN_SESSION)
        return str_eq(str_from(between), STR("/")) ? STR("/login") : STR("/login/confirm");
    if (r->purpose == LOGIN_INVITE)
        return str_eq(str_from(between), STR("/"))
                   ? arena_printf(r->arena, "/invite/%.*s", STR_ARG(r->secret))
                   : STR("/invite/confirm");
    return arena_printf(r->arena, "%s%s%.*s", r->purpose == LOGIN_REGISTER ? "/register" : "/auth",
                        between, STR_ARG(r->subject));
}

/* The provider meant; -1: not said which, -2: none of ours. */
static ptrdiff_t source_of(const struct login_request *r)
{
    const struct login_desk_options *o = &r->desk->options;

    if (o->n_providers == 1)
        return 0;
    for (size_t i = 0; i < o->n_providers; i++)
        if (str_eq(o->providers[i].name, r->provider_name))
            return (ptrdiff_t)i;
    return r->provider_name.len == 0 ? -1 : -2;
}

static void add_state_cookies(struct login_request *r)
{
    const struct oidc_secrets *s = &r->login.secrets;
    const struct {
        const char *name;
        const char *value;
    } cookies[] = {{"state_", s->state}, {"nonce_", s->nonce}};

    for (size_t i = 0; i < ARRAY_LEN(cookies); i++)
        login_add_cookie(
            r, &(struct cookie){.name = arena_printf(r->arena, "%s%.6s", cookies[i].name, s->state),
                                .value = str_from(cookies[i].value),
                                .path = CALLBACK_PATH,
                                .max_age_s = STATE_COOKIE_S,
                                .is_secure = login_cookies_are_secure(r)});
}

static void send_away(struct login_request *r, size_t source)
{
    struct login_desk *d = r->desk;
    const struct login_source *s = &d->sources[source];
    struct buf url = BUF((size_t)64 << 10);

    if (!logins_start(d->logins, r->purpose, r->subject, r->secret, source, clock_mono_ms(),
                      &r->login)) {
        login_fail(r, 400, "the id in the address is too long", NULL);
        return;
    }
    add_state_cookies(r);
    oidc_put_authorize_url(&url, s->provider, s->meta, &r->login.secrets, d->redirect_uri);
    r->location = buf_take(&url);
    login_answer(r, 302);
}

/* Without its provider, the command line lets people in. */
static void asked_about_itself(struct login_request *r)
{
    ptrdiff_t source = source_of(r);

    if (source >= 0 && r->desk->sources[source].meta) {
        send_away(r, (size_t)source);
        return;
    }
    if (r->purpose == LOGIN_SESSION || r->purpose == LOGIN_INVITE) {
        login_fail(r, 502, "the provider does not answer", NULL);
        return;
    }
    if (r->purpose == LOGIN_REGISTER)
        page_register(&r->page, r->subject);
    else
        page_ssh_check(&r->page, r->subject);
    login_answer(r, 200);
}

static void start_found(struct login_request *r)
{
    const struct login_desk *d = r->desk;
    ptrdiff_t source = source_of(r);

    if (!r->is_found && r->purpose == LOGIN_INVITE) {
        login_invite_is_gone(r);
    } else if (!r->is_found) {
        login_fail(r, 410, "nothing waits under this id", NULL);
    } else if (r->purpose == LOGIN_SSH_CHECK && r->check_user == 0) {
        login_fail(r, 403, "a machine without an owner asks: nobody's log-in approves that", NULL);
    } else if (source == -1) {
        page_pick(&r->page, path_of(r, "/"), d->options.providers, d->options.n_providers);
        login_answer(r, 200);
    } else if (source == -2) {
        login_fail(r, 400, "there is no such provider", NULL);
    } else if (d->sources[source].meta) {
        send_away(r, (size_t)source);
    } else {
        login_ask_source(r, (size_t)source, asked_about_itself);
    }
}

void login_step_start(struct login_request *r)
{
    login_look_up(r, start_found);
}

/* ---- back ---- */

static const struct login_source *source_back(const struct login_request *r)
{
    return &r->desk->sources[r->login.provider];
}

void login_forget_state_cookies(struct login_request *r)
{
    static const char *const names[] = {"state_", "nonce_"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        login_add_cookie(r, &(struct cookie){.name = arena_printf(r->arena, "%s%.6s", names[i],
                                                                  r->login.secrets.state),
                                             .value = STR(""),
                                             .path = CALLBACK_PATH,
                                             .is_secure = login_cookies_are_secure(r)});
}

void login_put_question(struct login_request *r, struct page_question *page)
{
    page->action = path_of(r, "/confirm/");
    page->token = str_from(r->question.token);
    page_ask(&r->page, page);
    login_forget_state_cookies(r);
    login_add_cookie(r, &(struct cookie){.name = CONFIRM_COOKIE,
                                         .value = page->token,
                                         .path = page->action,
                                         .max_age_s = CONFIRM_COOKIE_S,
                                         .is_strict = true,
                                         .is_secure = login_cookies_are_secure(r)});
    login_answer(r, 200);
}

void login_keep_question(struct login_request *r, const struct login_choice *choices, size_t n,
                         const struct login_person *person)
{
    struct login_question *q = &r->question;

    *q = (struct login_question){.purpose = r->purpose,
                                 .person = person ? login_person_copy(person) : NULL,
                                 .expiry_ms = source_back(r)->provider->use_expiry_from_token
                                                  ? r->exchange.claims.expiry_ms
                                                  : 0,
                                 .asked_unix = clock_unix_ms()};
    for (; q->n_options < n; q->n_options++)
        q->options[q->n_options] = (struct login_option){.tailnet = choices[q->n_options].tailnet,
                                                         .user = choices[q->n_options].user};
    memcpy(q->subject, r->login.subject, sizeof(q->subject));
    memcpy(q->secret, r->login.secret, sizeof(q->secret));
    logins_ask(r->desk->logins, q, clock_mono_ms());
}

/* ---- Who is back ---- */

static struct str identity_of(struct login_request *r)
{
    struct buf text = BUF(8192);

    oidc_identity_put(&text, source_back(r)->provider->issuer, r->exchange.claims.subject);
    struct str out = arena_copy(r->arena, buf_str(&text));
    buf_fini(&text);
    return out;
}

static void add_groups(struct login_request *r, struct str_list *list, bool of_admins)
{
    const struct oidc_claims *c = &r->exchange.claims;
    struct str prefix = source_back(r)->provider->group_prefix;

    for (size_t i = 0; i < c->n_groups && list->len < USER_GROUPS_MAX; i++)
        if (c->groups[i].len <= GROUP_MAX && str_is_utf8(c->groups[i]) &&
            admins_name_group(r->desk->options.admins, r->login.provider, c->groups[i]) ==
                of_admins)
            list->items[list->len++] =
                arena_printf(r->arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(c->groups[i]));
}

/* As policies name them. Who is in more than that is in the first of them; those that make an
 * administrator are kept before others. */
static struct str_list groups_of(struct login_request *r)
{
    struct str_list list = {.items = arena_alloc(r->arena, USER_GROUPS_MAX * sizeof(struct str))};

    add_groups(r, &list, true);
    add_groups(r, &list, false);
    return list;
}

static void note_person(struct login_request *r)
{
    const struct oidc_claims *c = &r->exchange.claims;
    const struct oidc_provider *p = source_back(r)->provider;

    r->person = (struct login_person){
        .issuer = p->issuer,
        .provider_id = identity_of(r),
        .name = c->preferred_username,
        .display = c->name,
        .email = c->email_verified || !p->rules.email_verified_required ? c->email : STR_NONE,
        .email_verified = c->email_verified,
        .picture_url = c->picture,
        .groups = groups_of(r)};
}

struct str login_name_of(const struct login_person *p)
{
    return p->email.len > 0 ? p->email : p->name.len > 0 ? p->name : p->provider_id;
}

struct command *login_command(struct login_request *r, enum command_type type,
                              const struct login_person *p,
                              void (*done)(struct registrar_call *call))
{
    command_result_fini(&r->call.result);
    r->call = (struct registrar_call){.loop = r->desk->options.loop, .done = done};
    r->call.command =
        (struct command){.type = type,
                         .origin = ORIGIN_API,
                         .author = arena_printf(r->arena, "login:%.*s", STR_ARG(p->provider_id)),
                         .from = r->peer,
                         .issuer = p->issuer,
                         .provider = STR("oidc"),
                         .provider_id = p->provider_id,
                         .name = p->name,
                         .text = p->display,
                         .email = p->email,
                         .email_verified = p->email_verified,
                         .picture_url = p->picture_url,
                         .groups = p->groups};
    return &r->call.command;
}

/* The person has logged in: they may know what is wrong with what they asked for. */
bool login_refused(struct login_request *r)
{
    const struct err *err = &r->call.err;

    if (r->desk->is_stopped) {
        login_answer(r, 503);
        return true;
    }
    if (r->call.status == 0)
        return false;
    switch (err->code) {
    case ERR_NOT_FOUND:
        login_fail(r, 410, err->text, NULL);
        break;
    case ERR_DENIED:
    case ERR_LIMIT:
        login_fail(r, 403, err->text, err->text);
        break;
    case ERR_INVALID:
    case ERR_CONFLICT:
        login_fail(r, 400, err->text, err->text);
        break;
    case ERR_IO:
    case ERR_INTERNAL:
        login_fail(r, err->code == ERR_IO ? 503 : 500, err->text, NULL);
        break;
    }
    return true;
}

bool login_is_admin(const struct login_request *r, tailnet_id tailnet)
{
    const struct tailnet_view *first = hub_view(r->desk->options.hub, 0);

    return first && view_info(first)->id == tailnet &&
           admins_have(r->desk->options.admins, r->login.provider, &r->exchange.claims);
}

/* ---- Which tailnet ---- */

/* Puts those that fit first; 0 leaves all as they are. */
static size_t keep(struct login_choice *choices, size_t n, const struct login_request *r,
                   bool (*fits)(const struct login_request *r, const struct login_choice *c))
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (fits(r, &choices[i])) {
            struct login_choice c = choices[i];

            choices[i] = choices[kept];
            choices[kept++] = c;
        }
    return kept;
}

static bool is_of_provider(const struct login_request *r, const struct login_choice *c)
{
    return str_eq(source_back(r)->provider->tailnet, c->name);
}

static bool is_home(const struct login_request *r, const struct login_choice *c)
{
    return r->home != 0 && c->tailnet == r->home && c->user != 0 && c->user == r->home_user;
}

static bool is_hinted(const struct login_request *r, const struct login_choice *c)
{
    (void)r;
    return c->is_hinted;
}

size_t login_narrow_choices(struct login_request *r)
{
    struct command_result *result = &r->call.result;
    size_t n = result->n_choices, less;

    if (source_back(r)->provider->tailnet.len > 0)
        n = keep(result->choices, n, r, is_of_provider);
    if ((less = keep(result->choices, n, r, is_home)) > 0 ||
        (less = keep(result->choices, n, r, is_hinted)) > 0)
        return less;
    return n;
}

static void choices_known(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);

    if (login_refused(r))
        return;
    if (r->purpose == LOGIN_REGISTER)
        login_machine_choices(r);
    else if (r->purpose == LOGIN_SESSION)
        login_session_choices(r);
    else
        login_invite_choices(r);
}

static void ask_choices(struct login_request *r)
{
    (void)login_command(r, COMMAND_LOGIN_CHOICES, &r->person, choices_known);
    registrar_submit(r->desk->registrar, &r->call);
}

/* ---- SSH checks ---- */

/* The check's owner, by identity; nobody else. */
static void ask_about_check(struct login_request *r)
{
    const struct tailnet_view *view = hub_view(r->desk->options.hub, r->check.tailnet);
    const struct user *user = view ? view_user_find(view, r->check_user) : NULL;
    const struct node *src = view ? view_node_find(view, r->check.src) : NULL;
    const struct node *dst = view ? view_node_find(view, r->check.dst) : NULL;
    struct buf login = BUF(4096);

    if (!user || !src || !dst || !str_eq(user->provider_id, r->person.provider_id)) {
        login_fail(r, 403, "it is another person's machine that asks for the SSH log-in", NULL);
        return;
    }
    if (user->status != USER_ACTIVE) {
        login_fail(r, 403, "the user waits for approval, or is suspended",
                   "Your account in this tailnet waits for approval, or is suspended.");
        return;
    }
    const struct page_row rows[] = {
        {"From", src->given_name, false},
        {"To", dst->given_name, false},
        {"As", r->check.local_user, false},
        {"Your account", user_login_name(user, &login), false},
    };

    struct page_question page = {
        .title = "Confirm SSH session",
        .heading = "Confirm SSH session",
        .text = "An SSH log-in of yours waits. Let it in only if you have just asked for it.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .button = "Let it in"};
    login_keep_question(r, &(struct login_choice){.tailnet = r->check.tailnet, .user = user->id}, 1,
                        NULL);
    login_put_question(r, &page);
    buf_fini(&login);
}

static void back_found(struct login_request *r)
{
    if (!r->is_found && r->purpose == LOGIN_INVITE)
        login_invite_is_gone(r);
    else if (!r->is_found)
        login_fail(r, 410, "what the log-in was about is gone", NULL);
    else if (r->purpose == LOGIN_SSH_CHECK)
        ask_about_check(r);
    else
        ask_choices(r);
}

static void exchanged(struct login_request *r);

static void keys_asked(struct login_request *r)
{
    struct login_source *s = &r->desk->sources[r->login.provider];

    oidc_meta_unref(r->exchange.meta);
    r->exchange.meta = oidc_meta_ref(s->meta);
    login_run_exchange(r, exchanged);
}

static void exchanged(struct login_request *r)
{
    const struct oidc_provider *p = source_back(r)->provider;
    const char *refusal;

    switch (r->outcome) {
    case OIDC_UNKNOWN_KEY:
        if (!r->has_waited) {
            r->has_waited = true;
            login_ask_source(r, r->login.provider, keys_asked);
            return;
        }
        login_fail(r, 403, r->exchange.err.text, NULL);
        return;
    case OIDC_REFUSED:
        login_fail(r, 403, r->exchange.err.text, NULL);
        return;
    case OIDC_NO_TOKEN:
        login_fail(r, 400, r->exchange.err.text, NULL);
        return;
    case OIDC_AWAY:
        login_fail(r, 502, r->exchange.err.text, NULL);
        return;
    case OIDC_OK:
        break;
    }
    if ((refusal = oidc_rules_refuse(&p->rules, &r->exchange.claims))) {
        login_fail(r, 401, refusal, NULL);
        return;
    }
    note_person(r);
    login_look_up(r, back_found);
}

/* 0: the answer to come is for the log-in that began in this browser. */
static int check_state(struct login_request *r, const char **why)
{
    struct login_desk *d = r->desk;

    if (r->state.len == 0 || (r->code.len == 0 && !r->is_refusal)) {
        *why = "no code or no state";
        return 400;
    }
    if (r->state.len != 2 * OIDC_STATE_BYTES || r->code.len > OIDC_CODE_MAX) {
        *why = "that is no state of ours";
        return 400;
    }
    if (r->state_cookie.len == 0 || r->nonce_cookie.len == 0) {
        *why = "the browser is not the one that began";
        return 400;
    }
    if (!str_eq_secret(r->state_cookie, r->state)) {
        *why = "the state is not the browser's";
        return 403;
    }
    if (!logins_take(d->logins, r->state, clock_mono_ms(), &r->login)) {
        *why = "no such log-in: it was used, is too old, or never was";
        return 404;
    }
    if (!str_eq_secret(r->nonce_cookie, str_from(r->login.secrets.nonce))) {
        *why = "the nonce is not the browser's";
        return 403;
    }
    if (r->issuer.len > 0 && !str_eq(r->issuer, source_back(r)->provider->issuer)) {
        *why = "another provider answers than the one that was asked";
        return 403;
    }
    if (r->is_refusal) {
        *why = "the provider said no";
        return 401;
    }
    if (d->n_jobs >= LOGIN_JOBS_MAX || !d->sources[r->login.provider].meta) {
        *why = "too many log-ins at this moment";
        return 429;
    }
    return 0;
}

void login_step_back(struct login_request *r)
{
    const struct login_desk *d = r->desk;
    const char *why = NULL;
    int status = check_state(r, &why);

    if (status != 0) {
        login_fail(r, status, why, NULL);
        return;
    }
    const struct login_source *s = source_back(r);

    r->purpose = r->login.purpose;
    r->subject = arena_copy(r->arena, str_from(r->login.subject));
    r->secret = arena_copy(r->arena, str_from(r->login.secret));
    r->exchange = (struct oidc_exchange){.provider = s->provider,
                                         .meta = oidc_meta_ref(s->meta),
                                         .secrets = &r->login.secrets,
                                         .redirect_uri = d->redirect_uri,
                                         .code = r->code,
                                         .cancelled = &d->cancelled,
                                         .arena = r->arena};
    login_run_exchange(r, exchanged);
}

/* ---- confirm ---- */

void login_forget_confirm_cookie(struct login_request *r)
{
    login_add_cookie(r, &(struct cookie){.name = CONFIRM_COOKIE,
                                         .value = STR(""),
                                         .path = path_of(r, "/confirm/"),
                                         .is_strict = true,
                                         .is_secure = login_cookies_are_secure(r)});
}

const struct login_option *login_chosen(struct login_request *r)
{
    const struct login_option *o = login_option_find(&r->question, r->choice);

    if (!o)
        login_fail(r, 400, "the answer names no tailnet that was asked about", NULL);
    return o;
}

static void run_approve(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, check_query);

    r->approve_status =
        ssh_checks_approve(checks, r->question.options[0].tailnet, r->subject, &r->call.err);
}

/* The user, if he is active; of the question's only option. */
static const struct user *asked_user(const struct login_request *r)
{
    const struct login_option *o = &r->question.options[0];
    const struct tailnet_view *view = hub_view(r->desk->options.hub, o->tailnet);
    const struct user *user = view ? view_user_find(view, o->user) : NULL;

    return user && user->status == USER_ACTIVE ? user : NULL;
}

static void done_approve(struct ssh_desk_query *q)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, check_query);
    const struct user *user = asked_user(r);
    struct buf login = BUF(4096);

    if (r->desk->is_stopped) {
        login_answer(r, 503);
    } else if (r->approve_status < 0) {
        login_fail(r, 410, r->call.err.text, NULL);
    } else {
        page_done(&r->page, "SSH Session Authorized", "Authorized",
                  user ? user_login_name(user, &login) : STR("a tag"));
        login_forget_confirm_cookie(r);
        login_answer(r, 200);
    }
    buf_fini(&login);
}

static void approve_check(struct login_request *r)
{
    const struct login_option *o = &r->question.options[0];

    if (!r->is_found) {
        login_fail(r, 410, "the SSH check is gone", NULL);
        return;
    }
    if (r->check_user != o->user || r->check.tailnet != o->tailnet || !asked_user(r)) {
        login_fail(r, 403, "the machine that asks has another owner now, or he is suspended", NULL);
        return;
    }
    r->check_query = (struct ssh_desk_query){
        .run = run_approve, .done = done_approve, .loop = r->desk->options.loop};
    ssh_desk_ask(r->desk->options.ssh, &r->check_query);
}

void login_step_confirm(struct login_request *r)
{
    if (r->token.len == 0 || r->token_cookie.len == 0)
        login_fail(r, 400, "no token, or the browser is not the one that was asked", NULL);
    else if (!str_eq_secret(r->token, r->token_cookie))
        login_fail(r, 403, "the token is not the browser's", NULL);
    else if (!logins_answer(r->desk->logins, r->purpose, r->subject, r->token, clock_mono_ms(),
                            &r->question))
        login_fail(r, 410, "the question is answered, too old, or never was", NULL);
    else if (r->purpose == LOGIN_REGISTER)
        login_look_up(r, login_machine_answered);
    else if (r->purpose == LOGIN_SESSION)
        login_session_answered(r);
    else if (r->purpose == LOGIN_INVITE)
        login_invite_answered(r);
    else
        login_look_up(r, approve_check);
}

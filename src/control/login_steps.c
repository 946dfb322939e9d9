/*
 * The steps of a log-in, on the desk's loop:
 *
 *   start    look up --> pick a provider --> know it --> 302
 *   back     state, cookies --> exchange (--> new keys --> again) --> filters --> look up
 *              --> user --> page with the question
 *   confirm  token, cookie --> approve --> page
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

    if (!logins_start(d->logins, r->purpose, r->subject, source, clock_mono_ms(), &r->login)) {
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

    if (!r->is_found) {
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

static void forget_state_cookies(struct login_request *r)
{
    static const char *const names[] = {"state_", "nonce_"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        login_add_cookie(r, &(struct cookie){.name = arena_printf(r->arena, "%s%.6s", names[i],
                                                                  r->login.secrets.state),
                                             .value = STR(""),
                                             .path = CALLBACK_PATH,
                                             .is_secure = login_cookies_are_secure(r)});
}

static void put_question(struct login_request *r, const struct page_row *rows, size_t n)
{
    const bool is_check = r->purpose == LOGIN_SSH_CHECK;
    const struct page_question page = {
        .title = is_check ? "Confirm SSH session" : "Confirm node registration",
        .heading = is_check ? "Confirm SSH session" : "Confirm node registration",
        .text = is_check ? "An SSH log-in of yours waits. Let it in only if you have just asked "
                           "for it."
                         : "This machine wants to join with your account. Let it in only if it is "
                           "yours and you have just asked for it.",
        .rows = rows,
        .n_rows = n,
        .action = path_of(r, "/confirm/"),
        .token = str_from(r->question.token),
        .button = is_check ? "Let it in" : "Register",
    };

    page_ask(&r->page, &page);
    forget_state_cookies(r);
    login_add_cookie(r, &(struct cookie){.name = CONFIRM_COOKIE,
                                         .value = str_from(r->question.token),
                                         .path = page.action,
                                         .max_age_s = CONFIRM_COOKIE_S,
                                         .is_strict = true,
                                         .is_secure = login_cookies_are_secure(r)});
    login_answer(r, 200);
}

/* Keeps what the yes is to be about. */
static void keep_question(struct login_request *r, tailnet_id tailnet, user_id user)
{
    const struct login_source *s = source_back(r);

    r->question = (struct login_question){
        .purpose = r->purpose,
        .tailnet = tailnet,
        .user = user,
        .expiry_ms = s->provider->use_expiry_from_token ? r->exchange.claims.expiry_ms : 0,
        .asked_unix = clock_unix_ms()};
    memcpy(r->question.subject, r->login.subject, sizeof(r->question.subject));
    logins_ask(r->desk->logins, &r->question, clock_mono_ms());
}

static void ask_about_machine(struct login_request *r, const struct user *user)
{
    struct buf login = BUF(4096);
    const struct page_row rows[] = {
        {"Hostname", r->hostname, false},
        {"OS", r->os.len > 0 ? r->os : STR("(unknown)"), false},
        {"Machine key", r->machine, true},
        {"Registered to", user_login_name(user, &login), false},
    };

    keep_question(r, user->tailnet, user->id);
    put_question(r, rows, ARRAY_LEN(rows));
    buf_fini(&login);
}

static void user_is_known(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);

    if (r->desk->is_stopped) {
        login_answer(r, 503);
        return;
    }
    if (call->status < 0) {
        login_fail(r, call->err.code == ERR_IO ? 503 : 500, call->err.text, NULL);
        return;
    }
    log_event(LOG_INFO, "a person logged in", LOG_U64("user", call->result.user->id),
              LOG_STR("provider", source_back(r)->provider->issuer), LOG_STR("from", r->peer));
    ask_about_machine(r, call->result.user);
}

static struct str identity_of(struct login_request *r)
{
    struct buf text = BUF(8192);

    oidc_identity_put(&text, source_back(r)->provider->issuer, r->exchange.claims.subject);
    struct str out = arena_copy(r->arena, buf_str(&text));
    buf_fini(&text);
    return out;
}

/* As policies name them. Who is in more than that is in the first of them. */
static struct str_list groups_of(struct login_request *r)
{
    const struct oidc_claims *c = &r->exchange.claims;
    struct str prefix = source_back(r)->provider->group_prefix;
    struct str_list list = {.items = arena_alloc(r->arena, USER_GROUPS_MAX * sizeof(struct str))};

    for (size_t i = 0; i < c->n_groups && list.len < USER_GROUPS_MAX; i++)
        if (c->groups[i].len <= GROUP_MAX && str_is_utf8(c->groups[i]))
            list.items[list.len++] =
                arena_printf(r->arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(c->groups[i]));
    return list;
}

static void log_user_in(struct login_request *r)
{
    const struct oidc_claims *c = &r->exchange.claims;
    const struct oidc_rules *rules = &source_back(r)->provider->rules;
    struct str identity = identity_of(r);

    r->call = (struct registrar_call){.loop = r->desk->options.loop, .done = user_is_known};
    r->call.command = (struct command){
        .type = COMMAND_USER_LOGIN,
        .origin = ORIGIN_API,
        .author = arena_printf(r->arena, "login:%.*s", STR_ARG(identity)),
        .from = r->peer,
        .provider = STR("oidc"),
        .provider_id = identity,
        .name = c->preferred_username,
        .text = c->name,
        .email = c->email_verified || !rules->email_verified_required ? c->email : STR_NONE,
        .picture_url = c->picture,
        .groups = groups_of(r)};
    registrar_submit(r->desk->registrar, &r->call);
}

/* The check's owner, by identity; nobody else. */
static void ask_about_check(struct login_request *r)
{
    const struct tailnet_view *view = hub_view(r->desk->options.hub, r->check.tailnet);
    const struct user *user = view ? view_user_find(view, r->check_user) : NULL;
    const struct node *src = view ? view_node_find(view, r->check.src) : NULL;
    const struct node *dst = view ? view_node_find(view, r->check.dst) : NULL;
    struct buf login = BUF(4096);

    if (!user || !src || !dst || !str_eq(user->provider_id, identity_of(r))) {
        login_fail(r, 403, "it is another person's machine that asks for the SSH log-in", NULL);
        return;
    }
    const struct page_row rows[] = {
        {"From", src->given_name, false},
        {"To", dst->given_name, false},
        {"As", r->check.local_user, false},
        {"Your account", user_login_name(user, &login), false},
    };

    keep_question(r, r->check.tailnet, user->id);
    put_question(r, rows, ARRAY_LEN(rows));
    buf_fini(&login);
}

static void back_found(struct login_request *r)
{
    if (!r->is_found)
        login_fail(r, 410, "what the log-in was about is gone", NULL);
    else if (r->purpose == LOGIN_REGISTER)
        log_user_in(r);
    else
        ask_about_check(r);
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

static void forget_confirm_cookie(struct login_request *r)
{
    login_add_cookie(r, &(struct cookie){.name = CONFIRM_COOKIE,
                                         .value = STR(""),
                                         .path = path_of(r, "/confirm/"),
                                         .is_strict = true,
                                         .is_secure = login_cookies_are_secure(r)});
}

static void put_done(struct login_request *r, const char *title, const char *verb,
                     const struct user *user)
{
    struct buf login = BUF(4096);

    page_done(&r->page, title, verb, user ? user_login_name(user, &login) : STR("a tag"));
    buf_fini(&login);
    forget_confirm_cookie(r);
    login_answer(r, 200);
}

static void approved(struct registrar_call *call)
{
    struct login_request *r = CONTAINER_OF(call, struct login_request, call);
    const struct tailnet_view *view = hub_view(r->desk->options.hub, r->question.tailnet);

    if (r->desk->is_stopped) {
        login_answer(r, 503);
        return;
    }
    if (call->status < 0) {
        /* The person has logged in: they may know what is wrong with what they asked for. */
        bool is_theirs = call->err.code == ERR_INVALID || call->err.code == ERR_CONFLICT;
        int status = call->err.code == ERR_NOT_FOUND ? 410 : is_theirs ? 400 : 500;

        login_fail(r, status, call->err.text, is_theirs ? call->err.text : NULL);
        return;
    }
    const struct node *node = call->result.node;
    bool is_old = node && node->created_ms < r->question.asked_unix;

    log_event(LOG_INFO, "a log-in let a machine in", LOG_U64("node", node ? node->id : 0),
              LOG_U64("user", r->question.user), LOG_STR("from", r->peer));
    put_done(r, is_old ? "Node Reauthenticated" : "Node Registered",
             is_old ? "Reauthenticated" : "Registered",
             view ? view_user_find(view, r->question.user) : NULL);
}

static void approve_machine(struct login_request *r)
{
    r->call = (struct registrar_call){.loop = r->desk->options.loop, .done = approved};
    r->call.command = (struct command){
        .type = COMMAND_REGISTER_APPROVE,
        .origin = ORIGIN_API,
        .author = arena_printf(r->arena, "user:%llu", (unsigned long long)r->question.user),
        .from = r->peer,
        .tailnet = r->question.tailnet,
        .name = r->subject,
        .user = r->question.user,
        .expiry_ms = r->question.expiry_ms,
        .is_oidc = true};
    registrar_submit(r->desk->registrar, &r->call);
}

static void run_approve(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, check_query);

    r->approve_status = ssh_checks_approve(checks, r->question.tailnet, r->subject, &r->call.err);
}

static void done_approve(struct ssh_desk_query *q)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, check_query);
    const struct tailnet_view *view = hub_view(r->desk->options.hub, r->question.tailnet);

    if (r->desk->is_stopped)
        login_answer(r, 503);
    else if (r->approve_status < 0)
        login_fail(r, 410, r->call.err.text, NULL);
    else
        put_done(r, "SSH Session Authorized", "Authorized",
                 view ? view_user_find(view, r->question.user) : NULL);
}

static void approve_check(struct login_request *r)
{
    if (!r->is_found) {
        login_fail(r, 410, "the SSH check is gone", NULL);
        return;
    }
    if (r->check_user != r->question.user || r->check.tailnet != r->question.tailnet) {
        login_fail(r, 403, "the machine that asks has another owner now", NULL);
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
        approve_machine(r);
    else
        login_look_up(r, approve_check);
}

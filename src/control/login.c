/*
 * The desk of log-ins: requests on their way there and back, what waits elsewhere (registrar, SSH
 * checks, workers), and the providers. The steps are in login_steps.c.
 */

#include "control/login_internal.h"

#include "core/clock.h"
#include "core/health.h"
#include "core/log.h"
#include "crypto/secret.h"

/* ---- The way there and back ---- */

static void wipe_secret(struct login_request *r)
{
    union {
        const char *in;
        char *out;
    } text = {.in = r->secret.ptr};

    if (r->secret.len > 0)
        mem_wipe(text.out, r->secret.len);
}

static void request_free(struct login_request *r)
{
    login_fini(&r->login);
    login_question_fini(&r->question);
    user_unref(r->user);
    oidc_exchange_fini(&r->exchange);
    oidc_meta_unref(r->exchange.meta);
    command_result_fini(&r->call.result);
    for (size_t i = 0; i < r->n_cookies; i++) {
        union {
            const char *in;
            char *out;
        } text = {.in = r->cookies[i].ptr};

        if (text.out)
            mem_wipe(text.out, r->cookies[i].len);
        str_free(&r->cookies[i]);
    }
    str_free(&r->location);
    buf_fini(&r->page);
    wipe_secret(r);
    arena_free(r->arena);
    mem_free(r);
}

static void on_end(void *user, bool aborted)
{
    struct login_request *r = user;

    (void)aborted;
    r->x = NULL;
}

static void respond(struct login_request *r)
{
    http_add_header(r->x, STR("cache-control"), STR("no-store"));
    for (size_t i = 0; i < r->n_cookies; i++)
        http_add_header(r->x, STR("set-cookie"), r->cookies[i]);
    if (r->location.len > 0)
        http_add_header(r->x, STR("location"), r->location);
    http_respond(r->x, r->status, PAGE_TYPE, buf_str(&r->page));
}

/* On the request's loop. */
static void request_back(struct loop_message *msg)
{
    struct login_request *r = CONTAINER_OF(msg, struct login_request, message);

    if (r->x) {
        http_on_end(r->x, NULL, NULL);
        if (!msg->cancelled)
            respond(r);
        r->x = NULL;
    }
    request_free(r);
}

void login_answer(struct login_request *r, int status)
{
    r->status = status;
    r->message = (struct loop_message){.run = request_back};
    loop_post(r->loop, &r->message);
}

void login_fail(struct login_request *r, int status, const char *why, const char *detail)
{
    if (asked_may_log())
        log_event(LOG_INFO, "a log-in came to nothing", LOG_STR("from", r->peer),
                  LOG_I64("status", status), LOG_TXT("reason", why));
    buf_clear(&r->page);
    page_error(&r->page, status, detail);
    login_answer(r, status);
}

/* On the desk's loop. */
static void request_arrives(struct loop_message *msg)
{
    struct login_request *r = CONTAINER_OF(msg, struct login_request, message);

    if (msg->cancelled)
        request_back(msg);
    else
        r->next(r);
}

/* What every stay elsewhere ends with. */
static void go_on(struct login_request *r)
{
    if (r->desk->is_stopped)
        login_answer(r, 503);
    else
        r->next(r);
}

void login_add_cookie(struct login_request *r, const struct cookie *c)
{
    struct buf text = BUF(4096);

    ASSERT(r->n_cookies < LOGIN_COOKIES_MAX);
    cookie_put(&text, c);
    r->cookies[r->n_cookies++] = buf_take(&text);
}

bool login_cookies_are_secure(const struct login_request *r)
{
    return r->desk->is_tls;
}

/* ---- Requests come ---- */

static struct login_request *request_new(struct login_desk *d, struct http_exchange *x,
                                         const struct http_request *req)
{
    struct login_request *r = NEW(struct login_request);
    struct buf peer = BUF(256);

    r->desk = d;
    r->loop = req->loop;
    r->x = x;
    r->arena = arena_new();
    r->page = BUF(PAGE_MAX);
    ip_addr_put(&peer, req->peer.addr);
    r->peer = arena_copy(r->arena, buf_str(&peer));
    buf_fini(&peer);
    return r;
}

/* From any of the Cookie headers, of which HTTP/2 may have several. */
static struct str request_cookie(struct login_request *r, const struct http_request *req,
                                 struct str name)
{
    struct str value;

    for (size_t i = 0; i < req->n_headers; i++)
        if (str_eq(req->headers[i].name, STR("cookie")) &&
            cookie_get(req->headers[i].value, name, &value))
            return arena_copy(r->arena, value);
    return STR_NONE;
}

static void request_go(struct login_request *r, void (*step)(struct login_request *r))
{
    http_on_end(r->x, on_end, r);
    r->next = step;
    r->message = (struct loop_message){.run = request_arrives};
    loop_post(r->desk->options.loop, &r->message);
}

/* The subject is the secret's hash: nothing else of it is shown or compared. */
static void take_secret(struct login_request *r, struct str secret)
{
    uint8_t hash[SECRET_HASH_BYTES];
    struct buf text = BUF(2 * sizeof(hash));

    r->secret = arena_copy(r->arena, str_sub(secret, 0, LOGIN_SECRET_MAX - 1));
    secret_hash(secret, hash);
    buf_put_hex(&text, str_bytes(hash, sizeof(hash) / 2));
    r->subject = arena_copy(r->arena, buf_str(&text));
    buf_fini(&text);
}

void login_desk_start(struct login_desk *d, enum login_purpose purpose, struct http_exchange *x,
                      const struct http_request *req)
{
    struct login_request *r = request_new(d, x, req);

    r->purpose = purpose;
    if (purpose == LOGIN_SESSION)
        r->subject = STR("session");
    else if (purpose == LOGIN_INVITE)
        take_secret(r, http_param_get(req, STR("secret")));
    else
        r->subject = arena_copy(r->arena, http_param_get(req, STR("id")));
    (void)!form_get(r->arena, req->query, STR("provider"), &r->provider_name);
    request_go(r, login_step_start);
}

void login_desk_back(struct login_desk *d, struct http_exchange *x, const struct http_request *req)
{
    struct login_request *r = request_new(d, x, req);
    struct str error;

    r->is_refusal = form_get(r->arena, req->query, STR("error"), &error);
    (void)!form_get(r->arena, req->query, STR("code"), &r->code);
    (void)!form_get(r->arena, req->query, STR("state"), &r->state);
    (void)!form_get(r->arena, req->query, STR("iss"), &r->issuer);
    if (r->state.len == 2 * OIDC_STATE_BYTES) {
        struct str six = str_sub(r->state, 0, 6);

        r->state_cookie =
            request_cookie(r, req, arena_printf(r->arena, "state_%.*s", STR_ARG(six)));
        r->nonce_cookie =
            request_cookie(r, req, arena_printf(r->arena, "nonce_%.*s", STR_ARG(six)));
    }
    request_go(r, login_step_back);
}

void login_desk_confirm(struct login_desk *d, enum login_purpose purpose, struct http_exchange *x,
                        const struct http_request *req)
{
    struct login_request *r = request_new(d, x, req);

    r->purpose = purpose;
    if (purpose == LOGIN_REGISTER || purpose == LOGIN_SSH_CHECK)
        r->subject = arena_copy(r->arena, http_param_get(req, STR("id")));
    (void)!form_get(r->arena, req->body, STR("token"), &r->token);
    (void)!form_get(r->arena, req->body, STR("tailnet"), &r->choice);
    r->token_cookie = request_cookie(r, req, CONFIRM_COOKIE);
    request_go(r, login_step_confirm);
}

/* ---- Looking up what a log-in is about ---- */

static void run_pending(struct registrar_query *q, struct domain *d)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, query);
    struct pending_info info;
    struct buf key = BUF(256);

    r->is_found = domain_pending_find(d, r->subject, &info);
    if (!r->is_found)
        return;
    r->hostname = arena_copy(r->arena, info.hostname);
    r->os = arena_copy(r->arena, info.os);
    r->home = info.tailnet;
    r->home_user = info.user;
    machine_key_put(&key, &info.machine);
    r->machine = arena_copy(r->arena, buf_str(&key));
    buf_fini(&key);
}

static void run_invite(struct registrar_query *q, struct domain *d)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, query);
    const struct user_invite *i = domain_user_invite_find(d, r->secret, clock_unix_ms());
    AUTO(view_unref) const struct tailnet_view *view = i ? domain_view(d, i->tailnet) : NULL;

    r->is_found = view != NULL;
    if (!r->is_found)
        return;
    r->invite_tailnet = i->tailnet;
    r->invite_role = i->role;
    r->invite_email = arena_copy(r->arena, i->email);
    r->invite_name = arena_copy(r->arena, view_info(view)->name);
}

static void done_pending(struct registrar_query *q)
{
    go_on(CONTAINER_OF(q, struct login_request, query));
}

static void run_check(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct login_request *r = CONTAINER_OF(q, struct login_request, check_query);

    for (const struct ssh_check *c = NULL; (c = ssh_checks_next(checks, c));) {
        if (c->state != SSH_CHECK_WAITING || !str_eq(str_from(c->id), r->subject))
            continue;
        r->is_found = true;
        r->check = c->login;
        r->check.local_user = arena_copy(r->arena, c->login.local_user);
        r->check.ssh_user = STR_NONE;
        r->check_user = c->src_user;
    }
}

static void done_check(struct ssh_desk_query *q)
{
    go_on(CONTAINER_OF(q, struct login_request, check_query));
}

void login_look_up(struct login_request *r, void (*next)(struct login_request *r))
{
    r->next = next;
    r->is_found = r->purpose == LOGIN_SESSION; /* about nothing that could be gone */
    if (r->is_found) {
        next(r);
        return;
    }
    if (r->purpose == LOGIN_REGISTER || r->purpose == LOGIN_INVITE) {
        r->query =
            (struct registrar_query){.run = r->purpose == LOGIN_INVITE ? run_invite : run_pending,
                                     .done = done_pending,
                                     .loop = r->desk->options.loop};
        registrar_ask(r->desk->registrar, &r->query);
        return;
    }
    r->check_query = (struct ssh_desk_query){
        .run = run_check, .done = done_check, .loop = r->desk->options.loop};
    ssh_desk_ask(r->desk->options.ssh, &r->check_query);
}

/* ---- Asking a provider ---- */

static void source_work(struct worker_job *job)
{
    struct login_source *s = CONTAINER_OF(job, struct login_source, job);
    int status = s->had
                     ? oidc_fetch_keys(s->provider, s->had, &s->desk->cancelled, &s->got, &s->err)
                     : oidc_discover(s->provider, &s->desk->cancelled, &s->got, &s->err);

    if (status < 0)
        s->got = NULL;
}

static void source_done(struct worker_job *job)
{
    struct login_source *s = CONTAINER_OF(job, struct login_source, job);
    struct list waiting;

    s->is_asking = false;
    s->asked_ms = clock_mono_ms();
    oidc_meta_unref(TAKE(s->had));
    if (s->got) {
        oidc_meta_unref(s->meta);
        s->meta = TAKE(s->got);
        health_note(HEALTH_LOGIN, STR_NONE);
    } else {
        log_event(LOG_WARN, "a log-in provider does not answer", LOG_ERR(&s->err));
        health_note(HEALTH_LOGIN, str_from(s->err.text));
    }
    /* Who asks again from here is not of this round. */
    list_init(&waiting);
    for (struct list_node *n; (n = list_pop_front(&s->waiting));)
        list_push_back(&waiting, n);
    for (struct list_node *n; (n = list_pop_front(&waiting));)
        go_on(CONTAINER_OF(n, struct login_request, waiting_link));
}

void login_ask_source(struct login_request *r, size_t source, void (*next)(struct login_request *r))
{
    struct login_desk *d = r->desk;
    struct login_source *s = &d->sources[source];

    r->next = next;
    if (!s->is_asking && s->asked_ms != 0 && clock_mono_ms() - s->asked_ms < LOGIN_ASK_MS) {
        next(r);
        return;
    }
    list_push_back(&s->waiting, &r->waiting_link);
    if (s->is_asking)
        return;
    s->is_asking = true;
    s->had = oidc_meta_ref(s->meta);
    s->job = (struct worker_job){.work = source_work, .done = source_done, .loop = d->options.loop};
    worker_submit(d->pool, &s->job);
}

static void exchange_work(struct worker_job *job)
{
    struct login_request *r = CONTAINER_OF(job, struct login_request, job);

    r->outcome = oidc_exchange_run(&r->exchange, clock_unix_ms());
}

static void exchange_done(struct worker_job *job)
{
    struct login_request *r = CONTAINER_OF(job, struct login_request, job);

    r->desk->n_jobs--;
    go_on(r);
}

void login_run_exchange(struct login_request *r, void (*next)(struct login_request *r))
{
    r->next = next;
    r->desk->n_jobs++;
    r->job = (struct worker_job){
        .work = exchange_work, .done = exchange_done, .loop = r->desk->options.loop};
    worker_submit(r->desk->pool, &r->job);
}

/* ---- Life ---- */

int login_desk_new(const struct login_desk_options *options, struct login_desk **out,
                   struct err *err)
{
    struct login_desk *d = NEW(struct login_desk);

    d->options = *options;
    d->options.metas = NULL;
    d->redirect_uri = str_printf("%.*s/oidc/callback", STR_ARG(options->server_url));
    d->is_tls = str_starts(options->server_url, STR("https://"));
    d->logins = logins_new();
    d->sources = mem_alloc_array(options->n_providers, sizeof(*d->sources));
    for (size_t i = 0; i < options->n_providers; i++) {
        d->sources[i].provider = &options->providers[i];
        d->sources[i].meta = oidc_meta_ref(options->metas ? options->metas[i] : NULL);
        d->sources[i].desk = d;
        list_init(&d->sources[i].waiting);
    }
    if (worker_pool_new(LOGIN_WORKERS, &d->pool, err) < 0) {
        login_desk_free(d);
        return -(int)err->code;
    }
    *out = d;
    return 0;
}

void login_desk_set_registrar(struct login_desk *d, struct registrar *registrar)
{
    d->registrar = registrar;
}

void login_desk_stop(struct login_desk *d)
{
    if (!d)
        return;
    d->is_stopped = true;
    atomic_store(&d->cancelled, true);
    worker_pool_free(TAKE(d->pool));
}

void login_desk_free(struct login_desk *d)
{
    if (!d)
        return;
    worker_pool_free(d->pool);
    for (size_t i = 0; i < d->options.n_providers; i++)
        oidc_meta_unref(d->sources[i].meta);
    mem_free(d->sources);
    logins_free(d->logins);
    str_free(&d->redirect_uri);
    mem_free(d);
}

/*
 * /api/v1/ssh/check: SSH log-ins that wait for a person, and approvals that last.
 *
 *   GET  /api/v1/ssh/check                {"checks": [...]}
 *   POST /api/v1/ssh/check/{id}/approve   {"check": {...}}
 *   POST /api/v1/ssh/check/{id}/reject    {"check": {...}}; an approval is taken back
 *   POST /api/v1/auth/approve {"authId"}  {}; headscale's words for the same, and auth/reject
 */

#include "api/api_internal.h"

/* What a check looked like on its own loop. */
struct seen {
    struct ssh_login login;
    struct str id;
    const char *state;
    int64_t period_ms, asked_unix, ends_unix;
};

struct checks_call {
    struct ssh_desk_query query;
    struct api_call *call; /* its arena holds this */
    tailnet_id tailnet;
    struct str id; /* of the one to decide */
    int (*decide)(struct ssh_checks *s, tailnet_id tailnet, struct str id, struct err *err);
    bool bare; /* answers {} */
    bool ran;
    int status;
    struct err err;
    struct seen *seen;
    size_t n_seen;
};

static struct checks_call *call_of(struct ssh_desk_query *q)
{
    return CONTAINER_OF(q, struct checks_call, query);
}

static struct checks_call *call_new(struct api_call *c)
{
    struct checks_call *call = arena_alloc(api_arena(c), sizeof(*call));

    *call = (struct checks_call){.call = c, .tailnet = c->tailnet};
    call->query.loop = c->a->loop;
    return call;
}

static void ask(struct checks_call *call)
{
    ssh_desk_ask(control_ssh_desk(call->call->api->control), &call->query);
}

/* ---- On the checks' loop ---- */

static void see(struct checks_call *call, const struct ssh_check *c)
{
    struct seen *s = &call->seen[call->n_seen++];

    *s = (struct seen){.login = c->login,
                       .id = arena_copy(api_arena(call->call), str_from(c->id)),
                       .state = ssh_check_state_name(c->state),
                       .period_ms = c->period_ms,
                       .asked_unix = c->asked_unix,
                       .ends_unix = c->ends_unix};
    s->login.local_user = arena_copy(api_arena(call->call), c->login.local_user);
    s->login.ssh_user = arena_copy(api_arena(call->call), c->login.ssh_user);
}

/* All of the tailnet, or the one with `id`. */
static void see_all(struct checks_call *call, const struct ssh_checks *checks, struct str id)
{
    call->seen =
        arena_alloc(api_arena(call->call), (ssh_checks_count(checks) + 1) * sizeof(*call->seen));
    for (const struct ssh_check *c = NULL; (c = ssh_checks_next(checks, c));) {
        if (c->login.tailnet == call->tailnet && (id.len == 0 || str_eq(id, str_from(c->id))))
            see(call, c);
    }
}

static void run_list(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct checks_call *call = call_of(q);

    call->ran = true;
    see_all(call, checks, STR_NONE);
}

static void run_decide(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct checks_call *call = call_of(q);

    call->ran = true;
    call->status = call->decide(checks, call->tailnet, call->id, &call->err);
    if (call->status == 0)
        see_all(call, checks, call->id);
}

/* ---- Back on the request's ---- */

static void put_node(struct json_writer *w, const char *key, const struct tailnet_view *view,
                     node_id id)
{
    const struct node *n = view_node_find(view, id);
    const struct user *user = n && n->user ? view_user_find(view, n->user) : NULL;
    struct buf login = BUF(1024);

    json_field_object(w, str_from(key));
    json_key(w, STR("id"));
    json_begin_plain(w);
    buf_put_u64(w->out, id);
    json_end_plain(w);
    json_field_str(w, STR("name"), n ? n->given_name : STR_NONE);
    json_field_str(w, STR("user"), user ? user_login_name(user, &login) : STR_NONE);
    json_field_str_list(w, STR("tags"), n ? &n->tags : &(struct str_list){0});
    json_end_object(w);
    buf_fini(&login);
}

static void put_check(struct json_writer *w, const struct tailnet_view *view, const struct seen *s)
{
    json_begin_object(w);
    json_field_str(w, STR("id"), s->id);
    json_field_str(w, STR("state"), str_from(s->state));
    put_node(w, "source", view, s->login.src);
    put_node(w, "destination", view, s->login.dst);
    json_field_str(w, STR("localUser"), s->login.local_user);
    json_field_str(w, STR("sshUser"), s->login.ssh_user);
    json_field_u64(w, STR("periodSeconds"), (uint64_t)MAX(s->period_ms, (int64_t)0) / 1000);
    json_field_time(w, STR("askedAt"), s->asked_unix);
    json_field_time(w, STR("endsAt"), s->ends_unix);
    json_end_object(w);
}

/* The view that the answer names nodes from; false: the call is over. */
static bool may_answer(struct checks_call *call, const struct tailnet_view **view)
{
    struct api_call *c = call->call;

    if (!c->a->x || !call->ran)
        api_end(c);
    else if (call->status < 0)
        api_respond_err(c, &call->err);
    else if (!(*view = hub_view(control_hub(c->api->control, c->a->loop), call->tailnet)))
        api_problem(c, 404, "tailnet not found", NULL);
    else
        return true;
    return false;
}

static void done_list(struct ssh_desk_query *q)
{
    struct checks_call *call = call_of(q);
    const struct tailnet_view *view = NULL;
    struct buf body = BUF(BUF_LIMIT_DEFAULT);
    struct json_writer w = JSON_WRITER(&body);

    if (!may_answer(call, &view))
        return;
    json_begin_object(&w);
    json_field_array(&w, STR("checks"));
    for (size_t i = 0; i < call->n_seen; i++)
        put_check(&w, view, &call->seen[i]);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(call->call, &body);
}

static void done_decide(struct ssh_desk_query *q)
{
    struct checks_call *call = call_of(q);
    const struct tailnet_view *view = NULL;
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (!may_answer(call, &view))
        return;
    if (!call->bare && call->n_seen == 0) {
        api_problem(call->call, 404, "ssh check not found", NULL);
        return;
    }
    json_begin_object(&w);
    if (!call->bare) {
        json_key(&w, STR("check"));
        put_check(&w, view, &call->seen[0]);
    }
    json_end_object(&w);
    api_respond(call->call, &body);
}

void api_ssh_checks_list(struct api_call *c)
{
    struct checks_call *call = call_new(c);

    call->query.run = run_list;
    call->query.done = done_list;
    ask(call);
}

static void decide(struct api_call *c, struct str id, bool approve, bool bare)
{
    struct checks_call *call = call_new(c);

    call->id = id;
    call->decide = approve ? ssh_checks_approve : ssh_checks_reject;
    call->bare = bare;
    call->query.run = run_decide;
    call->query.done = done_decide;
    ask(call);
}

void api_ssh_checks_approve(struct api_call *c)
{
    decide(c, api_path_text(c, "checkId"), true, false);
}

void api_ssh_checks_reject(struct api_call *c)
{
    decide(c, api_path_text(c, "checkId"), false, false);
}

void api_ssh_check_decide(struct api_call *c, struct str id, bool approve)
{
    decide(c, id, approve, true);
}

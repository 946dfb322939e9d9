/*
 * /api/v1/policy: read, set; and, without setting, check, diff and explain.
 *
 * Setting is a command like any other. The rest asks this loop's newest view and policy, on a
 * worker thread: a large policy in a large tailnet takes a while to judge.
 */

#include "api/api_internal.h"

#include "core/clock.h"

#define ANSWER_MAX ((size_t)64 << 20)

static const char mode_words[] = "update is disabled for modes other than 'database'";

/* ---- Refusals ---- */

/* Beside headscale's members each part of the complaint has one of its own. */
static void put_complaint(struct json_writer *w, const struct policy_verdict *v)
{
    const struct policy_complaint *c = &v->complaint;
    struct buf message = BUF(ANSWER_MAX);

    if (v->judgement == POLICY_UNPARSABLE)
        buf_put(&message, STR("parsing policy: "));
    policy_verdict_put(&message, v);
    json_begin_object(w);
    json_field_str(w, STR("message"), buf_str(&message));
    json_field_str(w, STR("text"), str_from(c->text));
    json_field_u64(w, STR("line"), c->pos.line);
    json_field_u64(w, STR("column"), c->pos.col);
    json_field_str(w, STR("hint"), str_from(c->hint));
    json_field_str(w, STR("details"), v->details);
    json_end_object(w);
    buf_fini(&message);
}

static void refuse(struct http_exchange *x, const char *detail, const struct policy_verdict *v)
{
    struct buf body = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("title"), STR("Bad Request"));
    json_field_u64(&w, STR("status"), 400);
    json_field_str(&w, STR("detail"), str_from(detail));
    json_field_str(&w, STR("message"), str_from(v->complaint.text));
    json_field_array(&w, STR("errors"));
    put_complaint(&w, v);
    json_end_array(&w);
    json_end_object(&w);
    buf_put_char(&body, '\n');
    http_respond(x, 400, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

/* ---- Reading and setting ---- */

/* The configuration's file governs the first tailnet only. */
static bool is_from_file(const struct api *api, const struct http_request *req,
                         const struct tailnet_view *view)
{
    const struct tailnet_view *first = hub_view(control_hub(api->control, req->loop), 0);

    return api->policy_from_file && view_info(first)->id == view_info(view)->id;
}

static void respond_policy(struct http_exchange *x, const struct tailnet_info *info, bool from_file)
{
    struct buf body = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("policy"), info->policy);
    json_field_time(&w, STR("updatedAt"), from_file ? CLOCK_ZERO : info->policy_updated_ms);
    json_end_object(&w);
    api_respond(x, &body);
}

void api_policy_get(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct tailnet_view *view = api_view(owner, x, req);

    if (!view)
        return;
    const struct tailnet_info *info = view_info(view);
    bool from_file = is_from_file(owner, req, view);
    if (!from_file && info->policy.len == 0)
        api_problem(x, 500, "loading ACL from database", "acl policy not found");
    else
        respond_policy(x, info, from_file);
}

/* The body's policy, or answers and says false. */
static bool body_policy(struct http_exchange *x, const struct json_value *body, struct str *text)
{
    const struct json_value *v = json_get_nocase(body, "policy");

    *text = json_as_str(v, STR_NONE);
    if (!json_is(v, JSON_STRING))
        api_problem(x, 400, "the body wants the text of a policy: {\"policy\": \"...\"}", NULL);
    else if (text->len > TAILNET_POLICY_MAX)
        api_problem(x, 400, "setting policy", "a policy has at most 4 MiB");
    else
        return true;
    return false;
}

static void done_set(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    struct policy_verdict *v = call->verdict;

    if (a->x && call->status < 0 && v->judgement != POLICY_GOOD)
        refuse(a->x, "setting policy", v);
    else if (a->x && call->status < 0)
        api_respond_err(a->x, &call->err);
    else if (a->x)
        respond_policy(a->x, view_info(call->result.view), false);
    policy_verdict_fini(v);
    asked_free(a);
}

void api_policy_set(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    const struct tailnet_view *view = api_view(owner, x, req);

    if (!view)
        return;
    if (is_from_file(owner, req, view)) {
        api_problem(x, 400, mode_words, "edit the policy's file and send the server SIGHUP");
        return;
    }
    struct asked *a = api_ask(owner, x, req, COMMAND_POLICY_SET, &body);
    if (!a)
        return;
    if (!body_policy(x, body, &a->call.command.text)) {
        asked_free(a);
        return;
    }
    a->call.verdict = arena_alloc(a->arena, sizeof(*a->call.verdict));
    asked_submit(a, done_set);
}

/* ---- Questions that take long ---- */

struct policy_job {
    struct worker_job job;
    struct asked *asked; /* its arena holds this */
    const struct tailnet_view *view;
    const struct policy *policy; /* in force with the view */
    struct str text;             /* a policy that is not in force */
    struct str src, dst;
    int port, proto;
    const char *doing;
    void (*answer)(struct policy_job *j, struct json_writer *w);
    /* What came of it. */
    struct policy_verdict verdict;
    struct err err;
    int status;
    struct buf body;
};

static void job_work(struct worker_job *job)
{
    struct policy_job *j = CONTAINER_OF(job, struct policy_job, job);
    struct json_writer w = JSON_WRITER(&j->body);

    json_begin_object(&w);
    j->answer(j, &w);
    json_end_object(&w);
}

static void job_done(struct worker_job *job)
{
    struct policy_job *j = CONTAINER_OF(job, struct policy_job, job);
    struct http_exchange *x = j->asked->x;

    if (x && j->verdict.judgement != POLICY_GOOD)
        refuse(x, j->doing, &j->verdict);
    else if (x && j->status < 0)
        api_respond_err(x, &j->err);
    else if (x)
        api_respond(x, &j->body);
    policy_verdict_fini(&j->verdict);
    buf_fini(&j->body);
    policy_unref(j->policy);
    view_unref(j->view);
    asked_free(j->asked);
}

/* NULL after answering. */
static struct policy_job *job_new(struct api *api, struct http_exchange *x,
                                  const struct http_request *req, const char *doing,
                                  const struct json_value **body)
{
    struct asked *a = api_ask(api, x, req, COMMAND_POLICY_SET, body);

    if (!a)
        return NULL;
    struct hub *hub = control_hub(api->control, req->loop);
    struct policy_job *j = arena_alloc(a->arena, sizeof(*j));

    *j = (struct policy_job){.asked = a,
                             .doing = doing,
                             .view = view_ref(hub_view(hub, a->call.command.tailnet)),
                             .policy = policy_ref(hub_policy(hub, a->call.command.tailnet)),
                             .body = BUF(ANSWER_MAX)};
    j->job.work = job_work;
    j->job.done = job_done;
    j->job.loop = a->loop;
    return j;
}

static void job_start(struct api *api, struct policy_job *j)
{
    if (api->pool) {
        worker_submit(api->pool, &j->job);
        return;
    }
    job_work(&j->job);
    job_done(&j->job);
}

/* The job about the policy in the body, which is started. */
static void start_with_text(struct api *api, struct http_exchange *x,
                            const struct http_request *req, const char *doing,
                            void (*answer)(struct policy_job *j, struct json_writer *w))
{
    const struct json_value *body = NULL;
    struct policy_job *j = job_new(api, x, req, doing, &body);

    if (!j)
        return;
    if (!body_policy(x, body, &j->text)) {
        j->asked->x = NULL; /* answered */
        http_on_end(x, NULL, NULL);
        job_done(&j->job);
        return;
    }
    j->answer = answer;
    job_start(api, j);
}

static void answer_check(struct policy_job *j, struct json_writer *w)
{
    AUTO(policy_unref) const struct policy *policy = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct policy_findings findings = {0};

    policy_judge(j->text, j->view, NULL, &policy, &j->verdict);
    if (policy)
        policy_lint(policy, arena, &findings);
    json_field_array(w, STR("findings"));
    for (size_t i = 0; i < findings.len; i++) {
        json_begin_object(w);
        json_field_u64(w, STR("line"), findings.items[i].pos.line);
        json_field_u64(w, STR("column"), findings.items[i].pos.col);
        json_field_str(w, STR("text"), findings.items[i].text);
        json_end_object(w);
    }
    json_end_array(w);
}

void api_policy_check(void *owner, struct http_exchange *x, const struct http_request *req)
{
    start_with_text(owner, x, req, "checking policy", answer_check);
}

static void answer_diff(struct policy_job *j, struct json_writer *w)
{
    AUTO(policy_unref) const struct policy *policy = NULL;
    struct buf text = BUF(ANSWER_MAX / 4);

    policy_judge(j->text, j->view, NULL, &policy, &j->verdict);
    if (policy)
        policy_diff(j->policy, policy, j->view, &text);
    json_field_str(w, STR("diff"), buf_str(&text));
    buf_fini(&text);
}

void api_policy_diff(void *owner, struct http_exchange *x, const struct http_request *req)
{
    start_with_text(owner, x, req, "comparing policy", answer_diff);
}

static void answer_explain(struct policy_job *j, struct json_writer *w)
{
    struct buf text = BUF(ANSWER_MAX / 4);

    j->status =
        policy_explain(j->policy, j->view, j->src, j->dst, j->port, j->proto, &text, &j->err);
    json_field_str(w, STR("explanation"), buf_str(&text));
    buf_fini(&text);
}

void api_policy_explain(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct str src = STR_NONE, dst = STR_NONE;

    if (!http_query_get(x, STR("src"), &src) || !http_query_get(x, STR("dst"), &dst) ||
        src.len == 0 || dst.len == 0) {
        api_problem(x, 400, "src and dst say what to explain", NULL);
        return;
    }
    struct policy_job *j = job_new(owner, x, req, "explaining", NULL);
    if (!j)
        return;
    j->src = arena_copy(j->asked->arena, src);
    api_parse_target(arena_copy(j->asked->arena, dst), &j->dst, &j->port, &j->proto);
    j->answer = answer_explain;
    job_start(owner, j);
}

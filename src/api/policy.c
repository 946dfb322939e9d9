/*
 * /api/v1/policy: read, set; and, without setting, check, diff and explain.
 *
 * Setting is a command like any other. The rest asks this loop's newest view and policy, on a
 * worker thread: a large policy in a large tailnet takes a while to judge.
 */

#include "api/api_internal.h"

#define ANSWER_MAX ((size_t)64 << 20)

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

/*
 * The message of a refusal has the words that headscale's had, by which consoles know that it is
 * meant for the policy's author.
 */
static void refuse(struct api_call *c, const struct policy_verdict *v)
{
    struct buf errors = BUF(ANSWER_MAX), message = BUF(8192);
    struct json_writer w = JSON_WRITER(&errors);

    if (c->a->x) {
        buf_printf(&message, "%s: parsing policy from bytes: %s%s", c->op->doing,
                   v->judgement == POLICY_UNPARSABLE ? "parsing HuJSON: " : "", v->complaint.text);
        json_begin_array(&w);
        put_complaint(&w, v);
        json_end_array(&w);
        api_put_problem_with(c->a->x, 400, c->op->doing, buf_str(&message), buf_str(&errors));
    }
    buf_fini(&errors);
    buf_fini(&message);
    api_end(c);
}

/* ---- Reading and setting ---- */

bool api_policy_is_from_file(const struct api_call *c)
{
    const struct tailnet_view *first = hub_view(control_hub(c->api->control, c->a->loop), 0);

    return c->api->policy_from_file && view_info(first)->id == c->tailnet;
}

/*
 * Without a policy the text is empty, which consoles take for an empty one that may be written; and
 * no time means to them that it may not.
 */
static void respond_policy(struct api_call *c, const struct tailnet_info *info, bool from_file)
{
    struct buf body = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("policy"), info->policy);
    if (from_file)
        json_field_null(&w, STR("updatedAt"));
    else
        json_field_time(&w, STR("updatedAt"),
                        info->policy_updated_ms ? info->policy_updated_ms : info->created_ms);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_policy_get(struct api_call *c)
{
    respond_policy(c, view_info(c->view), api_policy_is_from_file(c));
}

/*
 * The body's policy, or answers and says false. {} is what generated clients, the Terraform
 * provider among them, make of an empty text: with `may_be_none` it stands for no policy.
 */
static bool body_policy(struct api_call *c, bool may_be_none, struct str *text)
{
    const struct json_value *v = api_member(c, "policy");
    bool is_none = may_be_none && json_is(c->body, JSON_OBJECT) && json_len(c->body) == 0;

    *text = json_as_str(v, STR_NONE);
    if (!v && !is_none)
        api_problem(c, 400, c->op->doing, "the body wants the text: {\"policy\": \"...\"}");
    else if (text->len > TAILNET_POLICY_MAX)
        api_problem(c, 400, c->op->doing, "a policy has at most 4 MiB");
    else
        return true;
    return false;
}

static void done_set(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct policy_verdict verdict = *call->verdict;

    /* The call's end frees what the verdict is in, not what it holds. */
    if (call->status < 0 && verdict.judgement != POLICY_GOOD)
        refuse(c, &verdict);
    else if (!api_refused(c))
        respond_policy(c, view_info(call->result.view), false);
    policy_verdict_fini(&verdict);
}

void api_policy_set(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_POLICY_SET);

    if (api_policy_is_from_file(c)) {
        api_problem(c, 400, "update is disabled for modes other than 'database'",
                    "edit the policy's file and send the server SIGHUP");
        return;
    }
    if (!body_policy(c, true, &command->text))
        return;
    c->a->call.verdict = arena_alloc(api_arena(c), sizeof(*c->a->call.verdict));
    api_submit(c, done_set);
}

/* ---- Questions that take long ---- */

struct policy_job {
    struct worker_job job;
    struct api_call *call; /* its arena holds this */
    const struct tailnet_view *view;
    const struct policy *policy; /* in force with the view */
    struct str text;             /* a policy that is not in force */
    struct str src, dst;
    int port, proto;
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
    struct policy_job j = *CONTAINER_OF(job, struct policy_job, job);

    /* The answer frees the job's memory. */
    policy_unref(j.policy);
    view_unref(j.view);
    if (j.verdict.judgement != POLICY_GOOD)
        refuse(j.call, &j.verdict);
    else if (j.status < 0)
        api_respond_err(j.call, &j.err);
    else
        api_respond(j.call, &j.body);
    policy_verdict_fini(&j.verdict);
    buf_fini(&j.body);
}

static void job_start(struct api_call *c, struct policy_job *made)
{
    struct hub *hub = control_hub(c->api->control, c->a->loop);
    struct policy_job *j = arena_alloc(api_arena(c), sizeof(*j));

    *j = *made;
    j->call = c;
    j->view = view_ref(c->view);
    j->policy = policy_ref(hub_policy(hub, c->tailnet));
    j->body = BUF(ANSWER_MAX);
    j->job.work = job_work;
    j->job.done = job_done;
    j->job.loop = c->a->loop;
    if (c->api->pool) {
        worker_submit(c->api->pool, &j->job);
        return;
    }
    job_work(&j->job);
    job_done(&j->job);
}

/* About the policy in the body. */
static void start_with_text(struct api_call *c,
                            void (*answer)(struct policy_job *j, struct json_writer *w))
{
    struct policy_job j = {.answer = answer};

    if (body_policy(c, false, &j.text))
        job_start(c, &j);
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

void api_policy_check(struct api_call *c)
{
    start_with_text(c, answer_check);
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

void api_policy_diff(struct api_call *c)
{
    start_with_text(c, answer_diff);
}

static void answer_explain(struct policy_job *j, struct json_writer *w)
{
    struct buf text = BUF(ANSWER_MAX / 4);

    j->status =
        policy_explain(j->policy, j->view, j->src, j->dst, j->port, j->proto, &text, &j->err);
    json_field_str(w, STR("explanation"), buf_str(&text));
    buf_fini(&text);
}

void api_policy_explain(struct api_call *c)
{
    struct policy_job j = {.answer = answer_explain};
    struct str dst = STR_NONE;

    if (!api_query(c, "src", &j.src) || !api_query(c, "dst", &dst)) {
        api_problem(c, 400, "src and dst say what to explain", NULL);
        return;
    }
    api_parse_target(dst, &j.dst, &j.port, &j.proto);
    job_start(c, &j);
}

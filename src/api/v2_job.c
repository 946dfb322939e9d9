/* Questions about policies, which take a while: asked on a worker, of the newest view. */

#include "api/v2_internal.h"

#define ANSWER_MAX ((size_t)64 << 20)

static void work(struct worker_job *job)
{
    struct api_v2_job *j = CONTAINER_OF(job, struct api_v2_job, job);
    struct json_writer w = JSON_WRITER(&j->body);

    json_begin_object(&w);
    j->answer(j, &w);
    json_end_object(&w);
}

static void done(struct worker_job *job)
{
    struct api_v2_job j = *CONTAINER_OF(job, struct api_v2_job, job);

    /* The answer frees the job's memory. */
    policy_unref(j.policy);
    view_unref(j.view);
    if (j.problem[0] != '\0')
        api_problem(j.call, 400, j.problem, NULL);
    else
        api_respond(j.call, &j.body);
    buf_fini(&j.body);
}

void api_v2_job_start(struct api_call *c, const struct api_v2_job *made)
{
    struct hub *hub = control_hub(c->api->control, c->a->loop);
    struct api_v2_job *j = arena_alloc(api_arena(c), sizeof(*j));

    *j = *made;
    j->call = c;
    j->view = view_ref(c->view);
    j->policy = policy_ref(hub_policy(hub, c->tailnet));
    j->body = BUF(ANSWER_MAX);
    j->job.work = work;
    j->job.done = done;
    j->job.loop = c->a->loop;
    if (c->api->pool) {
        worker_submit(c->api->pool, &j->job);
        return;
    }
    work(&j->job);
    done(&j->job);
}

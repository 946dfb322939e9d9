/* The storage thread: takes batches, commits them one by one, reports back. */

#include "control/registrar_internal.h"

struct commit {
    struct loop_message message;
    struct registrar *registrar;
    struct store_batch *batch;
    int status;
    struct err err;
};

static void commit_report(struct loop_message *msg)
{
    struct commit *c = CONTAINER_OF(msg, struct commit, message);

    if (msg->cancelled)
        store_batch_free(c->batch);
    else
        registrar_committed(c->registrar, c->batch, c->status, &c->err);
    mem_free(c);
}

static void commit_run(struct loop_message *msg)
{
    struct commit *c = CONTAINER_OF(msg, struct commit, message);

    /* Also when the server is going down: what was applied is kept. */
    c->status = store_commit(c->registrar->store, c->batch, &c->err);
    c->message = (struct loop_message){.run = commit_report};
    loop_post(c->registrar->loop, &c->message);
}

/* ---- Looks into the store ---- */

static void query_report(struct loop_message *msg)
{
    struct store_query *q = CONTAINER_OF(msg, struct store_query, message);

    q->done(q);
}

static void query_run(struct loop_message *msg)
{
    struct store_query *q = CONTAINER_OF(msg, struct store_query, message);

    q->cancelled = msg->cancelled;
    if (!q->cancelled)
        q->run(q, q->registrar->store);
    q->message = (struct loop_message){.run = query_report};
    loop_post(q->loop, &q->message);
}

void registrar_ask_store(struct registrar *r, struct store_query *q)
{
    q->registrar = r;
    q->cancelled = !r;
    q->message = (struct loop_message){.run = r ? query_run : query_report};
    loop_post(r ? r->committer : q->loop, &q->message);
}

/* ---- Commits ---- */

void committer_submit(struct registrar *r, struct store_batch *batch)
{
    struct commit *c = NEW(struct commit);

    c->registrar = r;
    c->batch = batch;
    c->message.run = commit_run;
    loop_post(r->committer, &c->message);
}

int committer_start(struct registrar *r, struct err *err)
{
    int status = loop_new("storage", &r->committer, err);

    if (status < 0)
        return status;
    status = loop_thread_start(r->committer, err);
    r->committer_running = status == 0;
    return status;
}

void committer_stop(struct registrar *r)
{
    if (r->committer_running) {
        loop_stop(r->committer);
        loop_thread_join(r->committer);
    }
    loop_free(r->committer);
    r->committer = NULL;
}

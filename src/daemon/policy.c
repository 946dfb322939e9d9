/*
 * The policy file: read at the start, and again at every SIGHUP. What is bad is noted and changes
 * nothing; the policy in force stays.
 */

#include "core/log.h"
#include "daemon/daemon_internal.h"
#include "daemon/files.h"

struct policy_watch {
    struct str path;
    struct buf text;    /* as it was read last */
    struct str trouble; /* owned; why it could not be read */
    struct policy_file file;
    struct server *server;
    struct registrar_call call;
    struct policy_verdict verdict;
    bool is_busy;  /* the call is under way */
    bool is_again; /* another SIGHUP came meanwhile */
};

static void read_file(struct policy_watch *w)
{
    struct err err = {0};
    bool found = false;

    buf_fini(&w->text);
    w->text = BUF(TAILNET_POLICY_MAX + 8192);
    str_free(&w->trouble);
    if (w->path.len > 0 && file_read(w->path, &w->text, &found, &err) < 0)
        w->trouble = str_from(err.text);
    else if (w->path.len > 0 && !found)
        w->trouble = STR("there is no such file");
    else if (w->text.len > TAILNET_POLICY_MAX)
        w->trouble = STR("it is over 4 MiB");
    w->trouble = str_copy(w->trouble);
    w->file =
        (struct policy_file){.path = w->path, .text = buf_str(&w->text), .trouble = w->trouble};
}

int server_read_policy(struct server *s, struct err *err)
{
    (void)err;
    if (s->config->policy_in_database)
        return 0;
    s->policy_watch = NEW(struct policy_watch);
    s->policy_watch->server = s;
    s->policy_watch->path = s->config->policy_path;
    read_file(s->policy_watch);
    return 0;
}

const struct policy_file *policy_watch_file(const struct policy_watch *w)
{
    return w ? &w->file : NULL;
}

void policy_watch_free(struct policy_watch *w)
{
    if (!w)
        return;
    policy_verdict_fini(&w->verdict);
    buf_fini(&w->text);
    str_free(&w->trouble);
    mem_free(w);
}

static void note(struct policy_watch *w, struct str why)
{
    struct str text = str_printf("%.*s: %.*s", STR_ARG(w->path), STR_ARG(why));

    registrar_note_policy(control_registrar(w->server->control), 0, text);
    str_free(&text);
}

static void note_verdict(struct policy_watch *w)
{
    struct buf why = BUF((size_t)1 << 20);

    policy_verdict_put(&why, &w->verdict);
    note(w, buf_str(&why));
    buf_fini(&why);
}

static void done(struct registrar_call *call)
{
    struct policy_watch *w = CONTAINER_OF(call, struct policy_watch, call);

    w->is_busy = false;
    if (call->status == 0)
        log_event(LOG_INFO, "the policy file was read again and is in force",
                  LOG_STR("file", w->path));
    else if (w->verdict.judgement != POLICY_GOOD)
        note_verdict(w);
    else
        log_event(LOG_ERROR, "the policy file could not be put in force", LOG_ERR(&call->err));
    command_result_fini(&call->result);
    policy_verdict_fini(&w->verdict);
    if (w->is_again && control_registrar(w->server->control))
        policy_watch_reload(w);
}

void policy_watch_reload(struct policy_watch *w)
{
    w->is_again = w->is_busy;
    if (w->is_busy)
        return;
    read_file(w);
    if (w->trouble.len > 0) {
        note(w, w->trouble);
        return;
    }
    w->is_busy = true;
    w->call = (struct registrar_call){.command = {.type = COMMAND_POLICY_SET,
                                                  .origin = ORIGIN_SERVER,
                                                  .author = STR("file"),
                                                  .text = buf_str(&w->text)},
                                      .verdict = &w->verdict,
                                      .loop = w->server->loops[0],
                                      .done = done};
    registrar_submit(control_registrar(w->server->control), &w->call);
}

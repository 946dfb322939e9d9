/*
 * POST /machine/ssh/recording: a machine tells that it could not record an SSH session (the
 * NotifyURL of an SSH rule's onRecordingFailure). The operator is to know; clients want 201.
 *
 * Source: protocol.md 11.3; tailcfg.SSHEventNotifyRequest.
 */

#include "control/control_internal.h"
#include "core/log.h"
#include "core/metric.h"
#include "json/value.h"

#define NOTICE_NODES_MAX 4096
#define NOTICE_TEXT_MAX 256 /* bytes of each text in the log */

static struct metric failures =
    METRIC_COUNTER("hatsize_ssh_recording_failures_total",
                   "SSH sessions that machines could not record, as they say.");

static const char *event_name(uint64_t type)
{
    static const char *const names[] = {"", "rejected", "terminated", "unrecorded"};

    return type < ARRAY_LEN(names) ? names[type] : "";
}

/* The machine's node, to name it. */
static const struct node *node_of(const struct hub *hub, const struct machine_key *machine)
{
    const struct tailnet_view *view;
    const struct node *n;

    for (size_t i = 0; (view = hub_view_at(hub, i)); i++) {
        for (size_t at = 0; (n = view_node_next(view, &at));)
            if (machine_key_eq(&n->machine, machine))
                return n;
    }
    return NULL;
}

static struct str text_of(const struct json_value *obj, const char *key)
{
    return str_sub(json_get_str(obj, key), 0, NOTICE_TEXT_MAX);
}

static void log_failure(const struct hub *hub, const struct machine_key *machine,
                        const struct json_value *body)
{
    const struct node *node = node_of(hub, machine);
    const struct json_value *attempt = json_first(json_get_array(body, "RecordingAttempts"));

    log_event(LOG_WARN, "a machine could not record an SSH session",
              LOG_U64("node", node ? node->id : 0),
              LOG_U64("from", json_as_u64(json_get(body, "SrcNode"), 0)),
              LOG_STR("as", text_of(body, "LocalUser")),
              LOG_TXT("session", event_name(json_as_u64(json_get(body, "EventType"), 0))),
              LOG_STR("recorder", text_of(attempt, "Recorder")),
              LOG_STR("why", text_of(attempt, "FailureMessage")));
}

void on_ssh_recording(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct control *c = user;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_options options = {.max_nodes = NOTICE_NODES_MAX};
    struct json_value *body = NULL;

    if (!json_parse(arena, req->body, &options, &body, NULL)) {
        http_respond_text(x, 400, "the body is not JSON");
        return;
    }
    metric_add(&failures, 1);
    if (asked_may_log())
        log_failure(control_hub(c, req->loop), &request_channel(req)->machine, body);
    http_respond(x, 201, NULL, STR_NONE);
}

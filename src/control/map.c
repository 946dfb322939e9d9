/*
 * POST /machine/map: a lite update is a command and an empty answer; a stream is a command that
 * makes the node online and then a session of the loop's hub (protocol.md 6.1).
 */

#include "control/control_internal.h"
#include "control/headscale_metrics.h"
#include "core/log.h"
#include "wire/request.h"

static void updated(struct registrar_call *call)
{
    struct asked *a = asked_of(call);

    if (call->status < 0)
        asked_refuse(a, &call->err);
    else if (a->x)
        http_respond(a->x, 200, NULL, STR_NONE);
    asked_free(a);
}

static void close_done(struct registrar_call *call)
{
    asked_free(asked_of(call));
}

/* The client left while its stream was being opened: undo. */
static void close_unserved(struct asked *a, const struct map_session_options *o)
{
    command_result_fini(&a->call.result);
    a->call.result = (struct command_result){0};
    a->call.command = map_session_close_command(o);
    asked_submit(a, close_done);
}

static void opened(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    const struct wire_map_request *r = a->more;
    const struct node *node = call->result.node;

    if (call->status < 0) {
        asked_refuse(a, &call->err);
        asked_free(a);
        return;
    }
    const struct map_session_options o = {.tailnet = node->tailnet,
                                          .node = node->id,
                                          .generation = call->result.generation,
                                          .machine = call->command.machine,
                                          .key = call->command.key,
                                          .capver = r->version,
                                          .zstd = r->zstd,
                                          .omit_peers = r->omit_peers,
                                          .stream = r->stream,
                                          .keep_alive = r->keep_alive};
    struct http_exchange *x = a->x;

    if (!x) {
        if (r->stream)
            close_unserved(a, &o);
        else
            asked_free(a);
        return;
    }
    struct hub *hub = control_hub(a->owner, a->loop);
    asked_free(a);
    hub_serve_map(hub, x, &o);
}

static bool is_lite(const struct wire_map_request *r)
{
    return !r->stream && r->omit_peers && !r->read_only;
}

void on_map(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct control *c = user;
    struct channel *channel = request_channel(req);
    struct asked *a = asked_new(c, c->registrar, x, req);
    struct wire_map_request *r = arena_alloc(a->arena, sizeof(*r));
    struct err err = {0};

    a->more = r;
    if (channel->version < CAPVER_MIN) {
        IGNORE(err_set(&err, ERR_INVALID, TOO_OLD));
        asked_refuse(a, &err);
        asked_free(a);
        return;
    }
    if (wire_map_request_decode(a->arena, req->body, r, &err) < 0) {
        asked_refuse(a, &err);
        asked_free(a);
        return;
    }
    if (r->has_hostinfo)
        a->facts = facts_from_wire(&r->hostinfo);
    a->call.command = (struct command){
        .type = r->stream ? COMMAND_STREAM_OPEN : COMMAND_NODE_UPDATE,
        .origin = ORIGIN_CLIENT,
        .machine = channel->machine,
        .key = r->key,
        .is_update = is_lite(r),
        .capver = r->version,
        .disco = r->disco,
        .facts = is_lite(r) ? a->facts : NULL,
        .endpoints = r->endpoints,
        .endpoint_types = r->endpoint_types,
        .n_endpoints = r->n_endpoints,
        .has_endpoints = is_lite(r),
        .forwarding_off = r->forwarding_off,
        .home_derp = r->hostinfo.preferred_derp,
    };
    if (is_lite(r))
        headscale_note_endpoints();
    asked_submit(a, is_lite(r) ? updated : opened);
}

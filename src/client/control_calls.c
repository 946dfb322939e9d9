/* See control_calls.h. */

#include "client/control_calls.h"

#include "core/mem.h"

#define REQUEST_MAX ((size_t)1 << 20)

struct registering {
    control_register_fn *on_done;
    void *user;
};

/* The answer's members in the order in which the client looks at them (protocol.md 5.2). */
static void decode(struct arena *arena, struct str body, struct control_registration *r)
{
    struct json_value *answer = NULL;

    if (!json_parse(arena, body, NULL, &answer, NULL) || !json_is(answer, JSON_OBJECT)) {
        r->outcome = CONTROL_REFUSED;
        r->text = STR("the answer is not JSON");
        return;
    }
    r->text = json_get_str(answer, "Error");
    if (r->text.len > 0) {
        r->outcome = CONTROL_REFUSED;
        return;
    }
    if (json_get_bool(answer, "NodeKeyExpired", false)) {
        r->outcome = CONTROL_KEY_EXPIRED;
        return;
    }
    r->text = json_get_str(answer, "AuthURL");
    r->outcome = r->text.len > 0 ? CONTROL_NEEDS_LOGIN : CONTROL_REGISTERED;
}

static void on_answer(void *user, int status, struct str body, const struct err *err)
{
    struct registering *g = user;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct control_registration r = {.status = status};

    if (err) {
        r.outcome = CONTROL_UNANSWERED;
        r.text = str_from(err->text);
    } else if (status != 200) {
        r.outcome = CONTROL_REFUSED;
        r.text = str_trim(body);
    } else {
        decode(arena, body, &r);
    }
    g->on_done(g->user, &r);
    mem_free(g);
}

void control_client_register(struct control_client *c, const struct wire_register_encode *req,
                             control_register_fn *on_done, void *user)
{
    struct registering *g = NEW(struct registering);
    struct buf body = BUF(REQUEST_MAX);

    g->on_done = on_done;
    g->user = user;
    wire_register_request_encode(req, &body);
    control_client_post(c, STR("/machine/register"), buf_str(&body), on_answer, g);
    buf_fini(&body);
}

void control_client_lite(struct control_client *c, const struct wire_map_encode *req,
                         control_answer_fn *answered, void *user)
{
    struct wire_map_encode lite = *req;
    struct buf body = BUF(REQUEST_MAX);

    lite.stream = false;
    lite.omit_peers = true;
    wire_map_request_encode(&lite, &body);
    control_client_post(c, STR("/machine/map"), buf_str(&body), answered, user);
    buf_fini(&body);
}

struct control_map *control_client_stream(struct control_client *c,
                                          const struct wire_map_encode *req,
                                          const struct control_map_events *events, void *user)
{
    struct wire_map_encode stream = *req;
    struct buf body = BUF(REQUEST_MAX);

    stream.stream = true;
    stream.omit_peers = false;
    wire_map_request_encode(&stream, &body);
    struct control_map *m = control_client_map(c, buf_str(&body), req->zstd, events, user);

    buf_fini(&body);
    return m;
}

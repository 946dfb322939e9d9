/*
 * The outer door: the server's key, the upgrade to Noise, health, the approval page, relay
 * admission.
 */

#include "auth/pages.h"
#include "control/control_internal.h"
#include "core/clock.h"
#include "core/health.h"
#include "core/log.h"
#include "core/metric.h"
#include "noise/handshake.h"
#include "noise/record.h"
#include "wire/response.h"
#include "json/value.h"

#define INITIATION_BYTES 101
#define EARLY_CHALLENGE_MIN 49 /* capability version that reads the early payload */

static struct metric channels_open =
    METRIC_GAUGE("hatsize_channels", "Noise connections that are open.");
static struct metric handshakes_failed =
    METRIC_COUNTER("hatsize_handshakes_failed_total", "Noise handshakes that were refused.");

void control_on_key(struct control *c, struct http_exchange *x, const struct http_request *req)
{
    struct buf body = BUF(1024);
    struct str version;
    uint64_t v = 0;

    (void)req;
    if (!http_query_get(x, STR("v"), &version)) {
        http_respond_text(x, 400, "capability version must be set");
        return;
    }
    if (!str_parse_u64(version, &v)) {
        http_respond_text(x, 400, "invalid capability version");
        return;
    }
    wire_key_response_encode(&c->noise_public, &body);
    http_respond(x, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

/* ---- The Noise channel ---- */

struct noise_codec {
    struct noise_session session;
};

static int codec_decode(void *codec, struct buf *in, struct buf *plain, struct err *err)
{
    struct noise_codec *n = codec;

    return noise_open(&n->session, in, plain, err);
}

static int codec_encode(void *codec, struct str plain, struct buf *out, struct err *err)
{
    struct noise_codec *n = codec;

    return noise_seal(&n->session, plain, out, err);
}

static void codec_free(void *codec)
{
    struct noise_codec *n = codec;

    noise_session_fini(&n->session);
    mem_free(n);
}

static const struct stream_filter_ops noise_filter = {
    .decode = codec_decode, .encode = codec_encode, .free = codec_free, .in_limit = 64 << 10};

static void channel_closed(void *user)
{
    metric_add(&channels_open, -1);
    mem_free(user);
}

/* Clients read it and, today, do nothing with it; it is our word that we hold the key we named. */
static void put_early_payload(struct stream *s)
{
    struct buf early = BUF(1024);
    struct challenge_key challenge;
    struct machine_private one_time;

    machine_private_generate(&one_time);
    struct machine_key public;
    machine_private_public(&one_time, &public);
    memcpy(challenge.b, public.b, sizeof(challenge.b));
    machine_private_fini(&one_time);
    noise_early_payload_put(&early, &challenge);
    stream_write(s, buf_str(&early));
    buf_fini(&early);
}

static void serve_channel(struct control *c, struct stream *raw, struct noise_codec *codec,
                          struct str response, const struct channel *made, bool with_early)
{
    struct channel *channel = NEW(struct channel);

    *channel = *made;
    stream_write(raw, response);
    struct stream *s = stream_filter(raw, &noise_filter, codec);
    if (with_early)
        put_early_payload(s);
    metric_add(&channels_open, 1);
    http_serve(c->inner, s, channel, channel_closed);
}

static void refuse_handshake(struct http_exchange *x, const struct http_request *req,
                             const char *why)
{
    struct buf peer = BUF(128);

    metric_add(&handshakes_failed, 1);
    ip_addrport_put(&peer, req->peer);
    log_event(LOG_INFO, "refused a client's handshake", LOG_STR("from", buf_str(&peer)),
              LOG_TXT("reason", why));
    buf_fini(&peer);
    http_respond_text(x, 400, "bad handshake");
}

void control_on_ts2021(struct control *c, struct http_exchange *x, const struct http_request *req)
{
    bool websocket = str_eq(req->method, STR("GET"));
    struct str text = http_header_get(req, STR("x-tailscale-handshake"));
    struct buf initiation = BUF(256);
    struct noise_codec *codec;
    uint8_t response[NOISE_RESPONSE_BYTES];
    struct channel channel = {.control = c, .peer = req->peer};
    struct err err = {0};

    if (websocket && !http_is_websocket(req, "tailscale-control-protocol")) {
        http_respond_text(x, 400, "WebSocket with subprotocol tailscale-control-protocol expected");
        return;
    }
    if (!websocket &&
        !str_eq(http_header_get(req, STR("upgrade")), STR("tailscale-control-protocol"))) {
        http_respond_text(x, 400, "Upgrade: tailscale-control-protocol expected");
        return;
    }
    if (websocket)
        (void)http_query_get(x, STR("X-Tailscale-Handshake"), &text);
    if (text.len > 256 || !base64_decode(text, &initiation) || initiation.len != INITIATION_BYTES) {
        buf_fini(&initiation);
        refuse_handshake(x, req, "not an initiation");
        return;
    }
    codec = NEW(struct noise_codec);
    int status = noise_server_handshake(&c->noise_key, buf_str(&initiation), NULL, response,
                                        &codec->session, &channel.machine, &channel.version, &err);
    buf_fini(&initiation);
    if (status < 0) {
        mem_free(codec);
        refuse_handshake(x, req, err.text);
        return;
    }
    struct stream *raw = websocket ? http_upgrade_websocket(x, "tailscale-control-protocol")
                                   : http_upgrade(x, "tailscale-control-protocol", false);
    if (!raw) {
        codec_free(codec);
        http_respond_text(x, 400, "HTTP/1.1 expected");
        return;
    }
    serve_channel(c, raw, codec, str_bytes(response, sizeof(response)), &channel,
                  !websocket && channel.version >= EARLY_CHALLENGE_MIN);
}

/* ---- Health, approval page, admission ---- */

/* The rest of it: only what is ill, not why. */
static void respond_parts(struct http_exchange *x)
{
    AUTO_FINI(buf_fini) struct buf why = BUF(65536), body = BUF(4096);
    size_t n = 0;

    for (enum health_part part = 0; part < HEALTH_PARTS; part++)
        if (health_is_ill(part, clock_unix_ms(), &why))
            buf_printf(&body, "%s%s", n++ > 0 ? ", " : "{\"status\":\"warn\",\"output\":\"",
                       health_part_name(part));
    buf_put(&body, n > 0 ? STR(": see hatsize health\"}\n") : STR("{\"status\":\"pass\"}\n"));
    http_respond(x, 200, "application/health+json", buf_str(&body));
}

void control_on_health(struct control *c, struct http_exchange *x, const struct http_request *req)
{
    (void)req;
    /* A stranger need not know which policy and why; the command line tells. */
    static const struct str warning =
        STR_INIT("{\"status\":\"warn\",\"output\":\"policy: see hatsize health\"}\n");

    if (!registrar_is_healthy(c->registrar))
        http_respond(x, 500, "application/health+json",
                     STR("{\"status\":\"fail\",\"output\":\"the database cannot be written: see "
                         "hatsize health\"}\n"));
    else if (!registrar_policies_are_well(c->registrar))
        http_respond(x, 200, "application/health+json", warning);
    else
        respond_parts(x);
}

static bool auth_id_is_plausible(struct str id)
{
    static const struct str prefix = STR_INIT("hskey-authreq-");

    if (!str_starts(id, prefix) || id.len != prefix.len + 24)
        return false;
    for (size_t i = prefix.len; i < id.len; i++)
        if (!((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f')))
            return false;
    return true;
}

/*
 * Ids of headscale: a machine's or a node's key up to 0.23, 24 characters of base64url up to 0.28,
 * the same behind today's prefix in 0.29.
 */
static bool auth_id_is_old(struct str id)
{
    if (str_starts(id, STR("mkey:")) || str_starts(id, STR("nodekey:")))
        return true;
    if (str_starts(id, STR("hskey-authreq-")))
        id = str_from_index(id, STR("hskey-authreq-").len);
    if (id.len != 24)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'z') ||
              (id.ptr[i] >= 'A' && id.ptr[i] <= 'Z') || id.ptr[i] == '-' || id.ptr[i] == '_'))
            return false;
    return true;
}

static bool check_id_is_plausible(struct str id)
{
    if (!str_starts(id, STR(SSH_CHECK_ID_PREFIX)) || id.len >= SSH_CHECK_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'z') ||
              id.ptr[i] == '-'))
            return false;
    return true;
}

static bool id_is_plausible(enum login_purpose purpose, struct str id)
{
    return purpose == LOGIN_REGISTER ? auth_id_is_plausible(id) : check_id_is_plausible(id);
}

static void on_page(struct control *c, enum login_purpose purpose, struct http_exchange *x,
                    const struct http_request *req)
{
    struct str id = http_param_get(req, STR("id"));
    struct buf page = BUF(PAGE_MAX);

    if (!id_is_plausible(purpose, id)) {
        if (purpose == LOGIN_REGISTER && auth_id_is_old(id)) {
            page_old_link(&page, c->server_url);
            http_respond(x, 410, PAGE_TYPE, buf_str(&page));
        } else {
            http_respond_text(x, 400, "invalid auth id");
        }
        buf_fini(&page);
        return;
    }
    if (c->login) {
        login_desk_start(c->login, purpose, x, req);
        return;
    }
    if (purpose == LOGIN_REGISTER)
        page_register(&page, id);
    else
        page_ssh_check(&page, id);
    http_respond(x, 200, PAGE_TYPE, buf_str(&page));
    buf_fini(&page);
}

void control_on_register_page(struct control *c, struct http_exchange *x,
                              const struct http_request *req)
{
    on_page(c, LOGIN_REGISTER, x, req);
}

void control_on_check_page(struct control *c, struct http_exchange *x,
                           const struct http_request *req)
{
    on_page(c, LOGIN_SSH_CHECK, x, req);
}

void control_on_session_page(struct control *c, struct http_exchange *x,
                             const struct http_request *req)
{
    if (c->login)
        login_desk_start(c->login, LOGIN_SESSION, x, req);
    else
        http_respond_text(x, 404, "there is no log-in without an identity provider");
}

void control_on_invite_page(struct control *c, struct http_exchange *x,
                            const struct http_request *req)
{
    struct buf page = BUF(PAGE_MAX);

    if (c->login) {
        login_desk_start(c->login, LOGIN_INVITE, x, req);
        return;
    }
    page_tell(&page, "Invitation", NULL, 0,
              "Log-in is not set up on this server, so that nobody can come by a link. Ask whoever "
              "sent it.",
              STR_NONE);
    http_respond(x, 404, PAGE_TYPE, buf_str(&page));
    buf_fini(&page);
}

void control_on_login_back(struct control *c, struct http_exchange *x,
                           const struct http_request *req)
{
    if (c->login)
        login_desk_back(c->login, x, req);
    else
        http_respond_text(x, 404, "404 page not found");
}

static void on_confirm(struct control *c, enum login_purpose purpose, struct http_exchange *x,
                       const struct http_request *req)
{
    bool has_id = purpose == LOGIN_REGISTER || purpose == LOGIN_SSH_CHECK;

    if (!c->login)
        http_respond_text(x, 404, "404 page not found");
    else if (has_id && !id_is_plausible(purpose, http_param_get(req, STR("id"))))
        http_respond_text(x, 400, "invalid auth id");
    else
        login_desk_confirm(c->login, purpose, x, req);
}

void control_on_register_confirm(struct control *c, struct http_exchange *x,
                                 const struct http_request *req)
{
    on_confirm(c, LOGIN_REGISTER, x, req);
}

void control_on_check_confirm(struct control *c, struct http_exchange *x,
                              const struct http_request *req)
{
    on_confirm(c, LOGIN_SSH_CHECK, x, req);
}

void control_on_session_confirm(struct control *c, struct http_exchange *x,
                                const struct http_request *req)
{
    on_confirm(c, LOGIN_SESSION, x, req);
}

void control_on_invite_confirm(struct control *c, struct http_exchange *x,
                               const struct http_request *req)
{
    on_confirm(c, LOGIN_INVITE, x, req);
}

struct admission {
    struct registrar_query query;
    struct node_key key;
    bool known;
    void (*done)(void *user, bool known);
    void *user;
};

static void admission_run(struct registrar_query *q, struct domain *d)
{
    struct admission *a = CONTAINER_OF(q, struct admission, query);

    const struct node *node = domain_node_by_key(d, &a->key);
    AUTO(view_unref) const struct tailnet_view *view = node ? domain_view(d, node->tailnet) : NULL;

    a->known = view && !view_info(view)->suspended && node_has_access(node);
}

static void admission_done(struct registrar_query *q)
{
    struct admission *a = CONTAINER_OF(q, struct admission, query);

    a->done(a->user, a->known);
    mem_free(a);
}

void control_admit(struct control *c, struct loop *loop, const struct node_key *key,
                   void (*done)(void *user, bool known), void *user)
{
    struct admission *a = NEW(struct admission);

    a->key = *key;
    a->done = done;
    a->user = user;
    a->query.run = admission_run;
    a->query.done = admission_done;
    a->query.loop = loop;
    registrar_ask(c->registrar, &a->query);
}

struct verify {
    struct http_exchange *x;
};

static void verify_ended(void *user, bool aborted)
{
    struct verify *v = user;

    (void)aborted;
    v->x = NULL;
}

static void verify_done(void *user, bool known)
{
    struct verify *v = user;

    if (v->x) {
        http_on_end(v->x, NULL, NULL);
        http_respond(v->x, 200, "application/json",
                     known ? STR("{\"Allow\":true}\n") : STR("{\"Allow\":false}\n"));
    }
    mem_free(v);
}

void control_on_verify(struct control *c, struct http_exchange *x, const struct http_request *req)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *body = NULL;
    struct node_key key;

    if (!json_parse(arena, req->body, NULL, &body, NULL) ||
        !node_key_parse(json_as_str(json_get_nocase(body, "NodePublic"), STR_NONE), &key)) {
        http_respond_text(x, 400, "a JSON object with NodePublic is expected");
        return;
    }
    struct verify *v = NEW(struct verify);
    v->x = x;
    http_on_end(x, verify_ended, v);
    control_admit(c, req->loop, &key, verify_done, v);
}

/*
 * Questions about SSH log-ins, between the loops. See ssh_desk.h.
 *
 *   request: posted to the desk --> HOLD? linked at its check --verdict--> posted back --> answered
 *                                        |
 *   client leaves: a second message unlinks it there, and ends it if it was linked
 *
 * Invariants
 *   1. `x` is touched on the request's loop only, `held` on the desk's only.
 *   2. The block has one count for the way there and back and one for a leave message under way.
 *   3. Messages of one loop arrive in order, so a leave message finds its request arrived.
 */

#include "control/ssh_desk.h"

#include "core/arena.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "policy/policy.h"
#include "json/writer.h"

#define ANSWER_MAX ((size_t)4 << 20)

struct ssh_desk {
    struct ssh_desk_options options;
    struct ssh_checks *checks;
    struct timer tick;
    bool is_stopped; /* the loops run no more */
};

struct ssh_request {
    struct ref ref;
    struct ssh_desk *desk;
    struct loop *loop;
    const struct hub *hub;   /* of its loop */
    struct http_exchange *x; /* NULL: the client left */
    struct arena *arena;
    struct ssh_login login;
    struct str id;
    struct ssh_held held;
    struct loop_message message;
    struct loop_message leave;
    enum ssh_verdict verdict;
    char shown[SSH_CHECK_ID_MAX]; /* ASK, HOLD: the check's id */
};

/* ---- What nodes and policy say ---- */

static bool look(void *user, const struct ssh_login *login, struct ssh_pair *out)
{
    struct ssh_desk *d = user;
    const struct tailnet_view *view = hub_view(d->options.hub, login->tailnet);
    const struct policy *policy = hub_policy(d->options.hub, login->tailnet);
    const struct node *src = view ? view_node_find(view, login->src) : NULL;
    const struct node *dst = view ? view_node_find(view, login->dst) : NULL;

    if (!src || !dst || src->expired || !policy || !policy_sees(policy, dst->id, src->id))
        return false;
    *out = (struct ssh_pair){.src_key = src->key,
                             .src_user = src->user,
                             .period_ms = policy_ssh_check_ms(policy, src->id, dst->id)};
    return true;
}

static void arm(struct ssh_desk *d)
{
    int64_t in = ssh_checks_tick(d->checks);

    if (in < 0)
        timer_stop(&d->tick);
    else
        timer_start(&d->tick, in);
}

static void on_tick(void *user)
{
    arm(user);
}

/* ---- Answers ---- */

/* Names come from people and machines: only what a terminal shows as itself. */
static void put_plain(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = str_utf8_len(str_from_index(text, i));
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_control =
            c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && text.ptr[i + 1] < '\xa0');

        if (n == 0 || is_control)
            buf_put_char(out, '?');
        else
            buf_put(out, str_sub(text, i, n));
        i += MAX(n, (size_t)1);
    }
}

static void put_owner(struct buf *out, const struct tailnet_view *view, const struct node *n)
{
    const struct user *user = n->user ? view_user_find(view, n->user) : NULL;
    struct buf scratch = BUF(1024);

    if (user)
        put_plain(out, user_login_name(user, &scratch));
    for (size_t i = 0; !user && i < n->tags.len; i++) {
        buf_put(out, i > 0 ? STR(",") : STR(""));
        put_plain(out, n->tags.items[i]);
    }
    buf_fini(&scratch);
}

/* What the person sees who waits for a shell: who asks for what, and what lets them in. */
static void put_message(struct buf *out, const struct ssh_request *r)
{
    const struct tailnet_view *view = hub_view(r->hub, r->login.tailnet);
    const struct node *src = view ? view_node_find(view, r->login.src) : NULL;
    const struct node *dst = view ? view_node_find(view, r->login.dst) : NULL;
    bool is_first = view && view == hub_view(r->hub, 0);

    buf_put(out, STR("# This SSH log-in has to be approved.\r\n"));
    if (src && dst) {
        buf_put(out, STR("# "));
        put_owner(out, view, src);
        buf_printf(out, " on %.*s asks to log in to %.*s as ", STR_ARG(src->given_name),
                   STR_ARG(dst->given_name));
        put_plain(out, r->login.local_user);
        buf_put(out, STR(".\r\n"));
    }
    if (r->desk->options.has_login && src && src->user != 0)
        buf_printf(out, "# To authenticate, visit: %.*s/auth/%s\r\n",
                   STR_ARG(r->desk->options.server_url), r->shown);
    buf_printf(out, "# An administrator approves it with:\r\n#   hatsize ssh approve %s", r->shown);
    if (view && !is_first)
        buf_printf(out, " --tailnet %.*s", STR_ARG(view_info(view)->name));
    buf_put(out, STR("\r\n"));
}

/* The client fills in the variables anew; https whatever the server speaks, since the host only
 * names it inside the channel it has. */
static void put_next_url(struct json_writer *w, const struct ssh_request *r)
{
    struct str scheme, host = r->desk->options.server_url;
    ptrdiff_t at = str_find(host, STR("://"));

    scheme = at < 0 ? STR_NONE : str_sub(host, 0, (size_t)at + 3);
    host = str_from_index(host, scheme.len);
    struct str url = arena_printf(r->arena,
                                  "https://%.*s/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID"
                                  "?local_user=$LOCAL_USER&ssh_user=$SSH_USER&check=%s",
                                  STR_ARG(host), r->shown);
    json_field_str(w, STR("holdAndDelegate"), url);
}

static void put_rejection(struct json_writer *w, const char *text)
{
    json_field_bool(w, STR("reject"), true);
    json_field_str(w, STR("message"), str_from(text));
}

static void put_action(struct json_writer *w, const struct ssh_request *r)
{
    struct buf message = BUF(8192);

    switch (r->verdict) {
    case SSH_ASK:
        put_message(&message, r);
        json_field_str(w, STR("message"), buf_str(&message));
        put_next_url(w, r);
        break;
    case SSH_HOLD:
        put_next_url(w, r);
        break;
    case SSH_ACCEPTED: /* and its rule is gone meanwhile */
    case SSH_NO_RULE:
        put_rejection(w, "# The policy does not let this log-in in.\r\n");
        break;
    case SSH_REJECTED:
        put_rejection(w, "# An administrator rejected this log-in.\r\n");
        break;
    case SSH_TIMED_OUT:
        put_rejection(w, "# Nobody approved this log-in in time. Try again.\r\n");
        break;
    case SSH_TOO_MANY:
        put_rejection(w, "# Too many log-ins wait for approval. Try again later.\r\n");
        break;
    }
    buf_fini(&message);
}

static void answer(const struct ssh_request *r)
{
    const struct policy *policy = hub_policy(r->hub, r->login.tailnet);
    struct buf body = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    /* The accepting action is the rule's: it names recorders. */
    if (r->verdict != SSH_ACCEPTED || !policy ||
        !policy_put_ssh_accept(policy, r->login.src, r->login.dst, &body)) {
        json_begin_object(&w);
        put_action(&w, r);
        json_end_object(&w);
    }
    http_respond(r->x, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

/* ---- The way there and back ---- */

static void request_drop(struct ssh_request *r)
{
    if (!ref_drop(&r->ref))
        return;
    arena_free(r->arena);
    mem_free(r);
}

/* On the request's loop: the last step of the way. */
static void request_back(struct loop_message *msg)
{
    struct ssh_request *r = CONTAINER_OF(msg, struct ssh_request, message);

    if (r->x) {
        http_on_end(r->x, NULL, NULL);
        if (!msg->cancelled)
            answer(r);
        r->x = NULL;
    }
    request_drop(r);
}

/* From here on the block is its own loop's. */
static void send_back(struct ssh_request *r, enum ssh_verdict verdict)
{
    r->verdict = verdict;
    r->message = (struct loop_message){.run = request_back};
    loop_post(r->loop, &r->message);
}

static void on_verdict(struct ssh_held *h, enum ssh_verdict verdict)
{
    send_back(CONTAINER_OF(h, struct ssh_request, held), verdict);
}

/* On the desk's loop. */
static void request_arrives(struct loop_message *msg)
{
    struct ssh_request *r = CONTAINER_OF(msg, struct ssh_request, message);
    struct ssh_desk *d = r->desk;
    struct ssh_check *check = NULL;

    if (msg->cancelled) {
        request_back(msg);
        return;
    }
    enum ssh_verdict verdict = ssh_checks_ask(d->checks, &r->login, r->id, &check);

    if (verdict == SSH_ASK || verdict == SSH_HOLD)
        memcpy(r->shown, check->id, sizeof(r->shown));
    if (verdict != SSH_HOLD)
        send_back(r, verdict);
    else if (!ssh_check_hold(check, &r->held))
        send_back(r, SSH_TOO_MANY);
    arm(d);
}

static void request_leaves(struct loop_message *msg)
{
    struct ssh_request *r = CONTAINER_OF(msg, struct ssh_request, leave);

    if (!msg->cancelled && r->held.check) {
        ssh_check_release(&r->held);
        request_drop(r); /* nothing will be sent back */
    }
    request_drop(r);
}

static void on_end(void *user, bool aborted)
{
    struct ssh_request *r = user;

    (void)aborted;
    r->x = NULL;
    if (r->desk->is_stopped)
        return;
    ref_take(&r->ref);
    r->leave = (struct loop_message){.run = request_leaves};
    loop_post(r->desk->options.loop, &r->leave);
}

/* ---- Questions ---- */

/* The log-in in the URL, when it is to a node of this machine. */
static bool read_login(const struct hub *hub, const struct machine_key *machine,
                       struct http_exchange *x, const struct http_request *req,
                       struct ssh_login *out)
{
    const struct tailnet_view *view;
    uint64_t src, dst;

    if (!str_parse_u64(http_param_get(req, STR("src")), &src) ||
        !str_parse_u64(http_param_get(req, STR("dst")), &dst))
        return false;
    for (size_t i = 0; (view = hub_view_at(hub, i)); i++) {
        const struct node *node = view_node_find(view, dst);

        if (!node || !machine_key_eq(&node->machine, machine))
            continue;
        *out = (struct ssh_login){.tailnet = view_info(view)->id, .src = src, .dst = dst};
        (void)http_query_get(x, STR("local_user"), &out->local_user);
        (void)http_query_get(x, STR("ssh_user"), &out->ssh_user);
        return true;
    }
    return false;
}

void ssh_desk_serve(struct ssh_desk *d, const struct hub *hub, const struct machine_key *machine,
                    struct http_exchange *x, const struct http_request *req)
{
    struct ssh_login login;
    struct str id = STR_NONE;

    if (!read_login(hub, machine, x, req, &login)) {
        http_respond_text(x, 404, "not found");
        return;
    }
    struct ssh_request *r = NEW(struct ssh_request);

    ref_init(&r->ref);
    r->desk = d;
    r->loop = req->loop;
    r->hub = hub;
    r->x = x;
    r->arena = arena_new();
    r->login = login;
    r->login.local_user = arena_copy(r->arena, login.local_user);
    r->login.ssh_user = arena_copy(r->arena, login.ssh_user);
    if (http_query_get(x, STR("check"), &id))
        r->id = arena_copy(r->arena, id);
    r->held.done = on_verdict;
    r->message = (struct loop_message){.run = request_arrives};
    http_on_end(x, on_end, r);
    loop_post(d->options.loop, &r->message);
}

static void query_back(struct loop_message *msg)
{
    struct ssh_desk_query *q = CONTAINER_OF(msg, struct ssh_desk_query, message);

    q->done(q);
}

static void query_arrives(struct loop_message *msg)
{
    struct ssh_desk_query *q = CONTAINER_OF(msg, struct ssh_desk_query, message);

    if (msg->cancelled) {
        q->done(q);
        return;
    }
    q->run(q, q->desk->checks);
    arm(q->desk);
    q->message = (struct loop_message){.run = query_back};
    loop_post(q->loop, &q->message);
}

void ssh_desk_ask(struct ssh_desk *d, struct ssh_desk_query *q)
{
    q->desk = d;
    q->message = (struct loop_message){.run = query_arrives};
    loop_post(d->options.loop, &q->message);
}

/* ---- Changes ---- */

/* Whether it may end a check: nodes, users and the policy, which may ask about a machine's posture.
 */
static bool is_about_checks(const struct change *c)
{
    switch (c->kind) {
    case CHANGE_NODE:
    case CHANGE_GUEST:
        return c->mask & (NODE_CARD | NODE_KEY | NODE_EXPIRY | NODE_FACTS | NODE_FACTS_PRIVATE |
                          NODE_ABROAD | NODE_ACCESS);
    case CHANGE_NODE_REMOVED:
    case CHANGE_GUEST_REMOVED:
    case CHANGE_GUEST_USER:
    case CHANGE_USER:
    case CHANGE_USER_REMOVED:
    case CHANGE_INFO:
    case CHANGE_TAILNET_REMOVED:
        return true;
    case CHANGE_AUTH_KEY:
    case CHANGE_AUTH_KEY_REMOVED:
    case CHANGE_WEBHOOK:
    case CHANGE_WEBHOOK_REMOVED:
    case CHANGE_SHARE:
    case CHANGE_SHARE_REMOVED:
    case CHANGE_SHARE_INVITE:
    case CHANGE_SHARE_INVITE_REMOVED:
    case CHANGE_USER_INVITE:
    case CHANGE_USER_INVITE_REMOVED:
    case CHANGE_NODE_EXPIRING:
    case CHANGE_API_KEY:
    case CHANGE_API_KEY_REMOVED:
    case CHANGE_STREAM_END:
    case CHANGE_PENDING:
        break;
    }
    return false;
}

void ssh_desk_publish(struct ssh_desk *d, const struct publication *p)
{
    bool matters = p->reset;

    if (ssh_checks_count(d->checks) == 0)
        return;
    for (size_t i = 0; !matters && i < p->n_changes; i++)
        matters = is_about_checks(&p->changes[i]);
    if (!matters)
        return;
    ssh_checks_refresh(d->checks, view_info(p->view)->id);
    arm(d);
}

/* ---- Life ---- */

struct ssh_desk *ssh_desk_new(const struct ssh_desk_options *options)
{
    struct ssh_desk *d = NEW(struct ssh_desk);
    const struct ssh_checks_options checks = {.look = look, .user = d};

    d->options = *options;
    d->checks = ssh_checks_new(&checks);
    timer_init(&d->tick, options->loop, on_tick, d);
    return d;
}

void ssh_desk_stop(struct ssh_desk *d)
{
    if (!d)
        return;
    d->is_stopped = true;
    timer_stop(&d->tick);
    ssh_checks_drop_held(d->checks);
}

void ssh_desk_free(struct ssh_desk *d)
{
    if (!d)
        return;
    ssh_checks_free(d->checks);
    mem_free(d);
}

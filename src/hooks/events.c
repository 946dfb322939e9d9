/*
 * Events: what changed between two views of a tailnet, in the words of Tailscale's webhooks.
 *
 * A new kind of event: a difference of two views goes beside its like in tell_change (another state
 * of a user in user_changed), what is in no view beside tell_waiting; docs/webhooks.md lists them.
 *
 * Registrations that wait for approval are in no view; of each is told once, and of so many in a
 * minute, because a stranger can begin as many as he likes.
 */

#include "hooks/events.h"

#include <inttypes.h>

#include "core/clock.h"
#include "core/map.h"
#include "core/metric.h"
#include "json/writer.h"

#define EVENT_BYTES_MAX ((size_t)1 << 20)
#define POLICY_SHOWN_MAX ((size_t)128 << 10) /* bytes of a policy's text in an event */
#define WAITING_PER_MINUTE 30
#define WAITING_MAX 4096
#define OFF_MAX 4096

static struct metric events_made =
    METRIC_COUNTER("hatsize_webhook_events_total", "Events for webhooks.");

struct hook_events {
    struct str server_url;
    bool has_login;
    const struct tailnet_view **before; /* of tailnets with webhooks; counted */
    size_t cap;
    size_t n;
    struct map *waiting; /* auth id -> this: registrations that were told of */
    struct map *off;     /* node key -> this: routers that do not forward, and were told of */
    int64_t minute;      /* and how many in this minute */
    unsigned in_minute;
};

/* What one command tells of. */
struct telling {
    struct hook_events *events;
    struct domain *domain;
    const struct command *command;
    const struct tailnet_view *before, *after; /* borrowed */
    void (*each)(void *user, const struct delivery *delivery);
    void *user;
};

struct hook_events *hook_events_new(struct str server_url, bool has_login)
{
    struct hook_events *e = NEW(struct hook_events);

    e->server_url = str_copy(server_url);
    e->has_login = has_login;
    e->waiting = map_new();
    e->off = map_new();
    return e;
}

static void forget_before(struct hook_events *e)
{
    for (size_t i = 0; i < e->n; i++)
        view_unref(e->before[i]);
    e->n = 0;
}

void hook_events_free(struct hook_events *e)
{
    if (!e)
        return;
    forget_before(e);
    mem_free(e->before);
    map_free(e->waiting);
    map_free(e->off);
    str_free(&e->server_url);
    mem_free(e);
}

/* Machines say these all day long, and no event comes of them. */
static bool is_quiet(enum command_type type)
{
    return type == COMMAND_NODE_UPDATE || type == COMMAND_STREAM_OPEN ||
           type == COMMAND_STREAM_CLOSE || type == COMMAND_API_KEY_SEEN ||
           type == COMMAND_NODE_PROBED;
}

/* Whether it may change another tailnet than the one it names. */
static bool is_between(enum command_type type)
{
    return type == COMMAND_TAILNET_UPDATE || type == COMMAND_SHARE_CREATE ||
           type == COMMAND_SHARE_ACCEPT || type == COMMAND_SHARE_UPDATE ||
           type == COMMAND_SHARE_REVOKE || type == COMMAND_SHARE_INVITE_ACCEPT ||
           type == COMMAND_NODE_DELETE || type == COMMAND_NODE_TAG || type == COMMAND_NODE_MOVE ||
           type == COMMAND_USER_DELETE || type == COMMAND_TAILNET_DELETE ||
           type == COMMAND_USER_INVITE_ACCEPT;
}

void hook_events_begin(struct hook_events *e, struct domain *d, const struct command *c)
{
    size_t n = 0;
    tailnet_id *ids = is_quiet(c->type) ? NULL : domain_webhook_tailnets(d, &n);

    if (n > e->cap) {
        e->cap = n + n / 2;
        e->before = mem_realloc_array(e->before, e->cap, sizeof(*e->before));
    }
    /* What a tailnet's own people do concerns that one. */
    for (size_t i = 0; i < n; i++)
        if (c->tailnet == 0 || c->tailnet == ids[i] || is_between(c->type))
            e->before[e->n++] = domain_view(d, ids[i]);
    mem_free(ids);
}

/* ---- The object ---- */

struct event {
    enum webhook_event type;
    struct buf text; /* message, for people */
    struct buf body;
    struct json_writer w; /* inside data */
};

static struct str tailnet_name(const struct tailnet_info *info)
{
    return info->domain.len > 0        ? info->domain
           : info->base_domain.len > 0 ? info->base_domain
                                       : info->name;
}

static struct str actor(const struct command *c)
{
    struct str author = c->author;

    if (str_starts(author, STR("user:")))
        return str_from_index(author, 5);
    if (author.len > 0)
        return author;
    return c->origin == ORIGIN_SERVER ? STR("server") : STR("client");
}

/* event->text is set; members of data follow, then send. */
static void begin(struct event *e, const struct telling *t)
{
    const struct tailnet_view *view = t->after ? t->after : t->before;

    e->body = BUF(EVENT_BYTES_MAX);
    e->w = JSON_WRITER(&e->body);
    json_begin_object(&e->w);
    json_field_time(&e->w, STR("timestamp"), t->command->now_ms);
    json_field_u64(&e->w, STR("version"), 1);
    json_field_str(&e->w, STR("type"), str_from(webhook_event_name(e->type)));
    json_field_str(&e->w, STR("tailnet"), tailnet_name(view_info(view)));
    json_field_str(&e->w, STR("message"), buf_str(&e->text));
    json_field_object(&e->w, STR("data"));
}

static void put_url(struct event *e, const struct telling *t, const char *path, uint64_t id)
{
    json_key(&e->w, STR("url"));
    json_begin_plain(&e->w);
    buf_put(&e->body, t->events->server_url);
    buf_put(&e->body, str_from(path));
    if (id != 0)
        buf_put_u64(&e->body, id);
    json_end_plain(&e->w);
}

/* To one endpoint, or to all that want it. */
static void send(struct event *e, const struct telling *t, webhook_id only)
{
    const struct tailnet_view *view = t->after ? t->after : t->before;
    const struct webhook *h;

    json_end_object(&e->w);
    json_end_object(&e->w);
    for (size_t at = 0; !buf_is_full(&e->body) && (h = view_webhook_next(view, &at));) {
        if (only != 0 ? h->id != only : !webhook_wants(h, e->type))
            continue;
        struct delivery *d = delivery_new();

        d->id = domain_take_event_id(t->domain);
        d->webhook = h->id;
        d->tailnet = h->tailnet;
        d->event = e->type;
        d->created_ms = t->command->now_ms;
        d->body = str_copy(buf_str(&e->body));
        metric_add(&events_made, 1);
        t->each(t->user, d);
        delivery_unref(d);
    }
    buf_fini(&e->body);
    buf_fini(&e->text);
}

/* ---- Nodes ---- */

static void put_owner(struct event *e, const struct tailnet_view *view, const struct node *n)
{
    const struct user *u = n->user ? view_user_find(view, n->user) : NULL;
    struct buf scratch = BUF(64);

    json_key(&e->w, STR("managedBy"));
    if (u) {
        json_str(&e->w, user_login_name(u, &scratch));
    } else {
        struct buf tags = BUF(65536);

        for (size_t i = 0; i < n->tags.len; i++)
            buf_printf(&tags, "%s%.*s", i > 0 ? "," : "", STR_ARG(n->tags.items[i]));
        json_str(&e->w, buf_str(&tags));
        buf_fini(&tags);
    }
    buf_fini(&scratch);
}

static void tell_node(const struct telling *t, enum webhook_event type, const struct node *n,
                      const struct tailnet_view *view, const char *what)
{
    struct event e = {.type = type, .text = BUF(4096)};

    buf_printf(&e.text, "Node %.*s %s", STR_ARG(n->given_name), what);
    begin(&e, t);
    json_field_str(&e.w, STR("nodeID"), n->stable_id);
    json_key(&e.w, STR("id"));
    json_begin_plain(&e.w);
    buf_put_u64(&e.body, n->id);
    json_end_plain(&e.w);
    put_url(&e, t, "/api/v2/device/", n->id);
    json_field_str(&e.w, STR("deviceName"), node_dns_name(n));
    put_owner(&e, view, n);
    json_field_str(&e.w, STR("actor"), actor(t->command));
    if (n->expiry_ms != 0)
        json_field_time(&e.w, STR("expiration"), n->expiry_ms);
    send(&e, t, 0);
}

/* Device approval waits for somebody. What its user waits for is told of him. */
static bool is_held(const struct node *n)
{
    return (n->holds & HOLD_DEVICE) != 0;
}

static void node_changed(const struct telling *t, node_id id)
{
    const struct node *old = view_node_find(t->before, id);
    const struct node *now = t->after ? view_node_find(t->after, id) : NULL;
    /* By an administrator, unless device approval asks for one more. */
    bool is_approved = t->command->type == COMMAND_REGISTER_APPROVE && !t->command->is_oidc;

    if (!now)
        return;
    is_approved = is_approved && !is_held(now);
    if (!old)
        tell_node(t, EVENT_NODE_CREATED, now, t->after, "created");
    if ((!old && is_approved) || (old && is_held(old) && !is_held(now)))
        tell_node(t, EVENT_NODE_APPROVED, now, t->after, "approved");
    if (is_held(now) && !(old && is_held(old)))
        tell_node(t, EVENT_NODE_NEEDS_APPROVAL, now, t->after, "needs approval");
    if (now->expired && !(old && old->expired))
        tell_node(t, EVENT_NODE_KEY_EXPIRED, now, t->after, "has an expired key");
}

static void node_removed(const struct telling *t, node_id id)
{
    const struct node *old = view_node_find(t->before, id);

    if (old)
        tell_node(t, EVENT_NODE_DELETED, old, t->before, "deleted");
}

static void node_expires(const struct telling *t, node_id id)
{
    const struct node *now = t->after ? view_node_find(t->after, id) : NULL;

    if (now)
        tell_node(t, EVENT_NODE_KEY_EXPIRING, now, t->after, "has a key that expires in one day");
}

/* ---- Users ---- */

static void tell_user(const struct telling *t, enum webhook_event type, const struct user *u,
                      const struct user *old, const char *what)
{
    struct event e = {.type = type, .text = BUF(8192)};
    struct buf scratch = BUF(64);
    struct str login = user_login_name(u, &scratch);

    buf_printf(&e.text, "User %.*s %s", STR_ARG(str_sub(login, 0, 1024)), what);
    begin(&e, t);
    json_field_str(&e.w, STR("user"), login);
    put_url(&e, t, "/api/v2/users/", u->id);
    json_field_str(&e.w, STR("actor"), actor(t->command));
    if (type == EVENT_USER_ROLE_UPDATED) {
        json_field_str(&e.w, STR("oldRoles"), user_role_name(old->role));
        json_field_str(&e.w, STR("newRoles"), user_role_name(u->role));
    }
    send(&e, t, 0);
    buf_fini(&scratch);
}

/* What became of who was `was`. */
static void tell_status(const struct telling *t, const struct user *u, enum user_status was)
{
    if (u->status == was)
        return;
    switch (u->status) {
    case USER_PENDING:
        tell_user(t, EVENT_USER_NEEDS_APPROVAL, u, NULL, "needs approval");
        break;
    case USER_SUSPENDED:
        tell_user(t, EVENT_USER_SUSPENDED, u, NULL, "suspended");
        break;
    case USER_ACTIVE:
        if (was == USER_PENDING)
            tell_user(t, EVENT_USER_APPROVED, u, NULL, "approved");
        else
            tell_user(t, EVENT_USER_RESTORED, u, NULL, "restored");
        break;
    }
}

static void user_changed(const struct telling *t, user_id id)
{
    const struct user *old = view_user_find(t->before, id);
    const struct user *now = t->after ? view_user_find(t->after, id) : NULL;

    if (!now && old)
        tell_user(t, EVENT_USER_DELETED, old, NULL, "deleted");
    if (now && !old)
        tell_user(t, EVENT_USER_CREATED, now, NULL, "created");
    if (now && old && now->role != old->role)
        tell_user(t, EVENT_USER_ROLE_UPDATED, now, old, "has another role");
    if (now)
        tell_status(t, now, old ? old->status : USER_ACTIVE);
}

/* ---- Shares ---- */

/* The half of it that this tailnet may know: of the other one its name. */
static void tell_share(const struct telling *t, enum webhook_event type, const struct share *s,
                       const struct tailnet_view *view, const char *what)
{
    bool is_lent = s->owner == view_info(view)->id;
    AUTO(view_unref)
    const struct tailnet_view *other = domain_view(t->domain, is_lent ? s->guest : s->owner);
    const struct node *n = view_any_find(view, s->node);
    struct event e = {.type = type, .text = BUF(4096)};
    struct str name = n && is_lent ? n->given_name : n ? node_dns_name(n) : STR_NONE;

    if (name.len > 0)
        buf_printf(&e.text, "Share of node %.*s %s", STR_ARG(name), what);
    else
        buf_printf(&e.text, "Share %s", what);
    begin(&e, t);
    json_key(&e.w, STR("shareID"));
    json_begin_plain(&e.w);
    buf_put_u64(&e.body, s->id);
    json_end_plain(&e.w);
    put_url(&e, t, "/api/v1/share/", s->id);
    json_field_str(&e.w, STR("direction"), is_lent ? STR("out") : STR("in"));
    if (name.len > 0)
        json_field_str(&e.w, STR("deviceName"), name);
    json_field_str(&e.w, is_lent ? STR("guestTailnet") : STR("ownerTailnet"),
                   other ? view_info(other)->name : STR_NONE);
    /* Who did it over there is not told. */
    if (t->command->tailnet == view_info(view)->id)
        json_field_str(&e.w, STR("actor"), actor(t->command));
    send(&e, t, 0);
}

static void share_changed(const struct telling *t, share_id id)
{
    const struct share *old = view_share_find(t->before, id);
    const struct share *now = t->after ? view_share_find(t->after, id) : NULL;

    if (now && !old)
        tell_share(t, EVENT_SHARE_CREATED, now, t->after, "offered");
    if (now && now->accepted_ms && !(old && old->accepted_ms))
        tell_share(t, EVENT_SHARE_ACCEPTED, now, t->after, "in force");
    if (old && !now)
        tell_share(t, EVENT_SHARE_REVOKED, old, t->before, "ended");
}

/* ---- Policy ---- */

static void tell_policy(const struct telling *t)
{
    const struct tailnet_info *old = view_info(t->before), *now = view_info(t->after);
    struct event e = {.type = EVENT_POLICY_UPDATE, .text = BUF(256)};

    if (old->policy_updated_ms == now->policy_updated_ms)
        return;
    buf_put(&e.text, STR("Tailnet policy file updated"));
    begin(&e, t);
    put_url(&e, t, "/api/v2/tailnet/-/acl", 0);
    json_field_str(&e.w, STR("actor"), actor(t->command));
    if (old->policy.len <= POLICY_SHOWN_MAX && now->policy.len <= POLICY_SHOWN_MAX) {
        json_field_str(&e.w, STR("oldPolicy"), old->policy);
        json_field_str(&e.w, STR("newPolicy"), now->policy);
    }
    send(&e, t, 0);
}

/* ---- Registrations that wait ---- */

static bool may_tell_waiting(struct hook_events *e, struct str auth_id, int64_t now_ms)
{
    if (e->has_login || auth_id.len == 0 || map_find(e->waiting, auth_id))
        return false;
    /* Those of a domain that was taken back are never heard of again. */
    if (map_len(e->waiting) >= WAITING_MAX) {
        map_free(e->waiting);
        e->waiting = map_new();
    }
    if (e->minute != now_ms / 60000) {
        e->minute = now_ms / 60000;
        e->in_minute = 0;
    }
    if (e->in_minute >= WAITING_PER_MINUTE)
        return false;
    e->in_minute++;
    (void)map_put(e->waiting, auth_id, e);
    return true;
}

static void tell_waiting(const struct telling *t, const struct command_result *r)
{
    struct event e = {.type = EVENT_NODE_NEEDS_APPROVAL, .text = BUF(4096)};
    struct pending_info info = {0};
    struct str auth_id = str_from(r->auth_id);

    if (!domain_pending_find(t->domain, auth_id, &info) ||
        !may_tell_waiting(t->events, auth_id, t->command->now_ms))
        return;
    buf_printf(&e.text, "Node %.*s needs approval", STR_ARG(str_sub(info.hostname, 0, 255)));
    begin(&e, t);
    json_field_str(&e.w, STR("deviceName"), str_sub(info.hostname, 0, 255));
    json_field_str(&e.w, STR("os"), str_sub(info.os, 0, 64));
    json_field_hex(&e.w, STR("machineKey"), STR("mkey:"),
                   str_bytes(&info.machine, sizeof(info.machine)));
    put_url(&e, t, "/", 0);
    json_field_str(&e.w, STR("actor"), actor(t->command));
    send(&e, t, 0);
}

/* ---- Routers that forward nothing ---- */

static struct str key_bytes(const struct command *c)
{
    return str_bytes(&c->key, sizeof(c->key));
}

/*
 * Whether a map request says of a router for the first time that its system forwards nothing. Once
 * it does not say so any more, the next time is a first one again.
 */
static bool is_misconfigured(struct hook_events *e, const struct command *c)
{
    if (c->type != COMMAND_NODE_UPDATE && c->type != COMMAND_STREAM_OPEN)
        return false;
    if (!c->forwarding_off && map_len(e->off) > 0)
        (void)map_remove(e->off, key_bytes(c));
    return c->forwarding_off && !map_find(e->off, key_bytes(c));
}

static void remember_off(struct hook_events *e, const struct command *c)
{
    /* Keys that are gone are never heard of again. */
    if (map_len(e->off) >= OFF_MAX) {
        map_free(e->off);
        e->off = map_new();
    }
    (void)map_put(e->off, key_bytes(c), e);
}

/* The whole of what it announces: approved or not, it was meant to work. */
static void tell_misconfigured(const struct telling *t, const struct node *n)
{
    bool subnet = false, exit = false;

    for (size_t i = 0; i < n->facts->n_routes; i++) {
        exit |= ip_prefix_is_exit(n->facts->routes[i]);
        subnet |= !ip_prefix_is_exit(n->facts->routes[i]);
    }
    if (subnet || exit)
        remember_off(t->events, t->command);
    if (subnet)
        tell_node(t, EVENT_SUBNET_FORWARDING_OFF, n, t->after,
                  "announces subnet routes, but IP forwarding is not enabled on it");
    if (exit)
        tell_node(t, EVENT_EXIT_FORWARDING_OFF, n, t->after,
                  "announces itself as an exit node, but IP forwarding is not enabled on it");
}

/* ---- Tests ---- */

static void tell_test(const struct telling *t, webhook_id id)
{
    struct event e = {.type = EVENT_TEST, .text = BUF(256)};

    buf_put(&e.text, STR("This is a test event"));
    begin(&e, t);
    json_field_str(&e.w, STR("actor"), actor(t->command));
    send(&e, t, id);
}

/* ---- All of it ---- */

static void tell_change(const struct telling *t, const struct change *c)
{
    if (c->kind == CHANGE_NODE && (c->mask & (NODE_NEW | NODE_EXPIRY | NODE_ACCESS)))
        node_changed(t, c->id);
    if (c->kind == CHANGE_NODE_REMOVED)
        node_removed(t, c->id);
    if (c->kind == CHANGE_NODE_EXPIRING)
        node_expires(t, c->id);
    if (c->kind == CHANGE_USER || c->kind == CHANGE_USER_REMOVED)
        user_changed(t, c->id);
    if (c->kind == CHANGE_SHARE || c->kind == CHANGE_SHARE_REMOVED)
        share_changed(t, c->id);
}

static void tell_tailnet(const struct telling *t, const struct command_result *r,
                         const struct change *changes, size_t n)
{
    tailnet_id id = view_info(t->before)->id;

    for (size_t i = 0; i < n; i++)
        if (changes[i].tailnet == id)
            tell_change(t, &changes[i]);
    if (!t->after)
        return;
    if (t->command->type == COMMAND_POLICY_SET)
        tell_policy(t);
    if (t->command->type == COMMAND_WEBHOOK_TEST && view_webhook_find(t->after, r->id))
        tell_test(t, r->id);
    /* Whose it will be nobody knows yet: the first tailnet is where machines come to. */
    if (t->command->type == COMMAND_REGISTER && r->outcome == REGISTER_PENDING) {
        AUTO(view_unref) const struct tailnet_view *first = domain_view(t->domain, 0);

        if (first && view_info(first)->id == id)
            tell_waiting(t, r);
    }
}

void hook_events_end(struct hook_events *e, struct domain *d, const struct command *c,
                     const struct command_result *r, const struct change *changes, size_t n,
                     void (*each)(void *user, const struct delivery *delivery), void *user)
{
    for (size_t i = 0; i < n; i++)
        if (changes[i].kind == CHANGE_PENDING)
            (void)map_remove(e->waiting, str_from(changes[i].text));
    for (size_t i = 0; r && i < e->n; i++) {
        AUTO(view_unref)
        const struct tailnet_view *after = domain_view(d, view_info(e->before[i])->id);
        struct telling t = {.events = e,
                            .domain = d,
                            .command = c,
                            .before = e->before[i],
                            .after = after,
                            .each = each,
                            .user = user};

        if (after)
            tell_tailnet(&t, r, changes, n);
    }
    forget_before(e);
    if (r && is_misconfigured(e, c)) {
        const struct node *node = domain_node_by_key(d, &c->key);
        AUTO(view_unref)
        const struct tailnet_view *view = node ? domain_view(d, node->tailnet) : NULL;
        const struct telling t = {.events = e,
                                  .domain = d,
                                  .command = c,
                                  .before = view,
                                  .after = view,
                                  .each = each,
                                  .user = user};

        if (view)
            tell_misconfigured(&t, node);
    }
}

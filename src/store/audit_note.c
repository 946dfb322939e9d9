/* What each command is called in the log, and the entry it makes. */

#include "store/audit_note.h"
#include "store/audit_internal.h"

#include "json/writer.h"

static const char *const object_names[] = {
    [OBJECT_NONE] = "",
    [OBJECT_TAILNET] = "tailnet",
    [OBJECT_POLICY] = "policy",
    [OBJECT_DNS] = "dns",
    [OBJECT_USER] = "user",
    [OBJECT_AUTH_KEY] = "auth_key",
    [OBJECT_API_KEY] = "api_key",
    [OBJECT_NODE] = "node",
    [OBJECT_REGISTRATION] = "registration",
    [OBJECT_SESSION] = "session",
    [OBJECT_OAUTH_CLIENT] = "oauth_client",
    [OBJECT_OAUTH_TOKEN] = "oauth_token",
    [OBJECT_WEBHOOK] = "webhook",
    [OBJECT_SHARE] = "share",
    [OBJECT_SHARE_INVITE] = "share_invite",
    [OBJECT_USER_INVITE] = "user_invite",
};

static bool is_api_key(enum audit_object kind)
{
    return kind == OBJECT_API_KEY || kind == OBJECT_OAUTH_CLIENT || kind == OBJECT_OAUTH_TOKEN ||
           kind == OBJECT_SESSION;
}

static const struct {
    const char *action; /* NULL: not for the log */
    enum audit_object object;
} commands[] = {
    [COMMAND_TAILNET_CREATE] = {"tailnet.create", OBJECT_TAILNET},
    [COMMAND_TAILNET_UPDATE] = {"tailnet.update", OBJECT_TAILNET},
    [COMMAND_TAILNET_SET] = {"tailnet.set", OBJECT_TAILNET},
    [COMMAND_TAILNET_SUSPEND] = {"tailnet.suspend", OBJECT_TAILNET},
    [COMMAND_TAILNET_RESUME] = {"tailnet.resume", OBJECT_TAILNET},
    [COMMAND_TAILNET_DELETE] = {"tailnet.delete", OBJECT_TAILNET},
    [COMMAND_POLICY_SET] = {"policy.set", OBJECT_POLICY},
    [COMMAND_DNS_SET] = {"dns.set", OBJECT_DNS},
    [COMMAND_SETTINGS_SET] = {"tailnet.settings", OBJECT_TAILNET},
    [COMMAND_USER_CREATE] = {"user.create", OBJECT_USER},
    [COMMAND_USER_RENAME] = {"user.rename", OBJECT_USER},
    [COMMAND_USER_UPDATE] = {"user.update", OBJECT_USER},
    [COMMAND_USER_LOGIN] = {"user.login", OBJECT_USER},
    [COMMAND_LOGIN_CHOICES] = {NULL, OBJECT_NONE},
    [COMMAND_USER_APPROVE] = {"user.approve", OBJECT_USER},
    [COMMAND_USER_SUSPEND] = {"user.suspend", OBJECT_USER},
    [COMMAND_USER_RESTORE] = {"user.restore", OBJECT_USER},
    [COMMAND_USER_INVITE_CREATE] = {"user_invite.create", OBJECT_USER_INVITE},
    [COMMAND_USER_INVITE_REVOKE] = {"user_invite.revoke", OBJECT_USER_INVITE},
    [COMMAND_USER_INVITE_ACCEPT] = {"user_invite.accept", OBJECT_USER},
    [COMMAND_USER_DELETE] = {"user.delete", OBJECT_USER},
    [COMMAND_AUTH_KEY_CREATE] = {"auth_key.create", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_EXPIRE] = {"auth_key.expire", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_REVOKE] = {"auth_key.revoke", OBJECT_AUTH_KEY},
    [COMMAND_AUTH_KEY_DELETE] = {"auth_key.delete", OBJECT_AUTH_KEY},
    [COMMAND_API_KEY_CREATE] = {"api_key.create", OBJECT_API_KEY},
    [COMMAND_API_KEY_EXPIRE] = {"api_key.expire", OBJECT_API_KEY},
    [COMMAND_API_KEY_DELETE] = {"api_key.delete", OBJECT_API_KEY},
    [COMMAND_OAUTH_CLIENT_CREATE] = {"oauth_client.create", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_CLIENT_UPDATE] = {"oauth_client.update", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_CLIENT_DELETE] = {"oauth_client.delete", OBJECT_OAUTH_CLIENT},
    [COMMAND_OAUTH_TOKEN_CREATE] = {"oauth_token.create", OBJECT_OAUTH_TOKEN},
    [COMMAND_SESSION_CREATE] = {"session.create", OBJECT_SESSION},
    [COMMAND_SESSION_DELETE] = {"session.delete", OBJECT_SESSION},
    [COMMAND_REGISTER] = {"node.register", OBJECT_NODE},
    [COMMAND_REGISTER_APPROVE] = {"node.approve", OBJECT_NODE},
    [COMMAND_REGISTER_FABRICATE] = {"registration.fabricate", OBJECT_REGISTRATION},
    [COMMAND_REGISTER_REJECT] = {"registration.reject", OBJECT_REGISTRATION},
    [COMMAND_NODE_RENAME] = {"node.rename", OBJECT_NODE},
    [COMMAND_NODE_DELETE] = {"node.delete", OBJECT_NODE},
    [COMMAND_NODE_EXPIRE] = {"node.expire", OBJECT_NODE},
    [COMMAND_NODE_MOVE] = {"node.move", OBJECT_NODE},
    [COMMAND_NODE_TAG] = {"node.tag", OBJECT_NODE},
    /* The other one is that of a registration. */
    [COMMAND_NODE_APPROVE] = {"node.approve_device", OBJECT_NODE},
    [COMMAND_NODE_APPROVE_ROUTES] = {"node.approve_routes", OBJECT_NODE},
    [COMMAND_NODE_ADDRESS] = {"node.address", OBJECT_NODE},
    [COMMAND_NODE_ATTRIBUTE_SET] = {"node.attribute_set", OBJECT_NODE},
    [COMMAND_NODE_ATTRIBUTE_DELETE] = {"node.attribute_delete", OBJECT_NODE},
    [COMMAND_NODES_BACKFILL] = {"nodes.backfill", OBJECT_TAILNET},
    [COMMAND_SHARE_CREATE] = {"share.create", OBJECT_SHARE},
    [COMMAND_SHARE_ACCEPT] = {"share.accept", OBJECT_SHARE},
    [COMMAND_SHARE_UPDATE] = {"share.update", OBJECT_SHARE},
    [COMMAND_SHARE_REVOKE] = {"share.revoke", OBJECT_SHARE},
    [COMMAND_SHARE_INVITE_CREATE] = {"share_invite.create", OBJECT_SHARE_INVITE},
    [COMMAND_SHARE_INVITE_REVOKE] = {"share_invite.revoke", OBJECT_SHARE_INVITE},
    [COMMAND_SHARE_INVITE_ACCEPT] = {"share_invite.accept", OBJECT_SHARE},
    [COMMAND_WEBHOOK_CREATE] = {"webhook.create", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_UPDATE] = {"webhook.update", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_ROTATE] = {"webhook.rotate", OBJECT_WEBHOOK},
    [COMMAND_WEBHOOK_DELETE] = {"webhook.delete", OBJECT_WEBHOOK},
    [COMMAND_TICK] = {NULL, OBJECT_NONE},
};

/* ---- Finding the object ---- */

static const void *find(enum audit_object kind, uint64_t id, const struct tailnet_view *view,
                        const struct api_key_set *keys)
{
    if (is_api_key(kind))
        return keys ? api_key_set_find(keys, id) : NULL;
    if (!view)
        return NULL;
    switch (kind) {
    case OBJECT_TAILNET:
    case OBJECT_DNS:
    case OBJECT_POLICY:
        return view_info(view)->id == id ? view_info(view) : NULL;
    case OBJECT_USER:
        return view_user_find(view, id);
    case OBJECT_AUTH_KEY:
        return view_auth_key_find(view, id);
    case OBJECT_NODE:
        return view_node_find(view, id);
    case OBJECT_WEBHOOK:
        return view_webhook_find(view, id);
    case OBJECT_SHARE:
        return view_share_find(view, id);
    case OBJECT_SHARE_INVITE:
        return view_share_invite_find(view, id);
    case OBJECT_USER_INVITE:
        return view_user_invite_find(view, id);
    case OBJECT_API_KEY:
    case OBJECT_OAUTH_CLIENT:
    case OBJECT_OAUTH_TOKEN:
    case OBJECT_SESSION:
    case OBJECT_NONE:
    case OBJECT_REGISTRATION:
        break;
    }
    return NULL;
}

const char *audit_action(enum command_type type)
{
    return (size_t)type < ARRAY_LEN(commands) ? commands[type].action : NULL;
}

static const char *action_of(const struct command *c)
{
    return audit_action(c->type);
}

/* Of the command: an invitation's is said by its secret. */
static tailnet_id tailnet_of(const struct domain *d, const struct command *c)
{
    const struct user_invite *i = c->type == COMMAND_USER_INVITE_ACCEPT
                                      ? domain_user_invite_find(d, c->secret, c->now_ms)
                                      : NULL;

    return i ? i->tailnet : c->tailnet;
}

void audit_note_begin(struct audit_note *n, struct domain *d, const struct command *c)
{
    const struct node *holder = NULL;

    *n = (struct audit_note){0};
    if (!action_of(c))
        return;
    n->view = domain_view(d, tailnet_of(d, c));
    n->keys = domain_api_keys(d);
    if (c->type == COMMAND_REGISTER) {
        holder = domain_node_by_key(d, &c->reg->key);
        if (!holder)
            holder = domain_node_by_key(d, &c->reg->old_key);
        n->node = holder ? node_ref(holder) : NULL;
    }
}

static void note_fini(struct audit_note *n)
{
    view_unref(n->view);
    api_key_set_unref(n->keys);
    node_unref(n->node);
    *n = (struct audit_note){0};
}

/* ---- The entry ---- */

struct noted {
    const char *action;
    enum audit_object kind;
    uint64_t id;
    const void *before, *after; /* borrowed */
    struct str name;
    bool is_owner; /* of a share: whose half it is */
    bool is_other; /* the entry is of the tailnet that the command was not of */
};

/* A machine's own registration: it came, came back, or left. */
static void note_registration(struct noted *e, const struct audit_note *n,
                              const struct command_result *r)
{
    e->id = r->node ? r->node->id : n->node ? n->node->id : 0;
    e->before = n->node;
    e->after = r->node;
    /* It came back with another key than it had. */
    if (!e->before || n->node->id != e->id)
        e->before = find(OBJECT_NODE, e->id, n->view, NULL);
    if (r->outcome == REGISTER_LOGGED_OUT)
        e->action = "node.logout";
    else if (r->outcome != REGISTER_DONE)
        e->action = NULL;
    else if (e->before)
        e->action = "node.login";
}

struct str audit_cut(struct str s)
{
    struct str name = str_sub(s, 0, 255);

    while (name.len > 0 && !str_is_utf8(name) && name.len + 4 > MIN(s.len, (size_t)255))
        name.len--;
    return str_copy(name);
}

/* All that is kept of a tailnet that was deleted. */
static struct str name_json(struct str name)
{
    struct buf out = BUF(1024);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    json_field_str(&w, STR("name"), name);
    json_end_object(&w);
    return buf_take(&out);
}

static struct str json_of(struct domain *d, const struct noted *n, const void *object)
{
    if (n->kind == OBJECT_SHARE)
        return audit_share_json(d, object, n->is_owner);
    if (n->kind == OBJECT_SHARE_INVITE)
        return audit_share_invite_json(d, object);
    if (n->kind == OBJECT_USER_INVITE)
        return audit_user_invite_json(d, object);
    return audit_object_json(n->kind, object);
}

/* Of whom it is none of the other tailnet's business, it is told the tailnet. */
static struct str author_of(struct domain *d, const struct command *c, const struct noted *n)
{
    AUTO(view_unref) const struct tailnet_view *v = NULL;

    if (!n->is_other || c->origin == ORIGIN_SOCKET || c->origin == ORIGIN_SERVER)
        return audit_cut(c->author);
    v = domain_view(d, c->tailnet);
    return str_printf("tailnet:%.*s", STR_ARG(view_info(v)->name));
}

static const struct audit_entry *entry_of(struct domain *d, const struct command *c,
                                          const struct command_result *r, const struct noted *n)
{
    struct audit_entry *e = audit_entry_new();

    e->before = json_of(d, n, n->before);
    e->after = json_of(d, n, n->after);
    if (c->type == COMMAND_NODES_BACKFILL && r->lines.len > 0) {
        struct buf count = BUF(64);

        buf_printf(&count, "{\"changes\":%zu}", r->lines.len);
        str_free(&e->before);
        str_free(&e->after);
        e->after = buf_take(&count);
    }
    if (c->type == COMMAND_TAILNET_DELETE) {
        str_free(&e->before);
        e->before = name_json(n->name);
    }
    if (c->type == COMMAND_USER_DELETE && n->kind == OBJECT_USER && r->lines.len > 0) {
        str_free(&e->before);
        e->before = audit_user_json(n->before, &r->lines);
    }
    if (n->kind != OBJECT_REGISTRATION && str_eq(e->before, e->after)) {
        audit_entry_unref(e);
        return NULL;
    }
    e->id = domain_take_audit_id(d);
    e->created_ms = c->now_ms;
    e->origin = c->origin;
    e->author = author_of(d, c, n);
    e->from = n->is_other ? STR_NONE : audit_cut(c->from);
    e->action = str_copy(str_from(n->action));
    e->object = str_copy(str_from(object_names[n->kind]));
    e->object_id = n->id;
    e->object_name = audit_cut(n->name);
    /* All entries of a tailnet go with it; that it went is the server's to know. */
    if (c->type == COMMAND_TAILNET_DELETE)
        e->tailnet = 0;
    else if (is_api_key(n->kind))
        e->tailnet = n->after ? ((const struct api_key *)n->after)->tailnet
                              : ((const struct api_key *)n->before)->tailnet;
    else if (n->is_other) {
        const struct share *s = n->after ? n->after : n->before;

        e->tailnet = n->is_owner ? s->owner : s->guest;
    } else if (r->view)
        e->tailnet = view_info(r->view)->id;
    return e;
}

static struct str invite_name(struct domain *d, const struct share_invite *i)
{
    const struct node *node = i ? domain_node_by_id(d, i->node) : NULL;

    return node ? node->given_name : STR_NONE;
}

const struct audit_entry *audit_note_end(struct audit_note *n, struct domain *d,
                                         const struct command *c, const struct command_result *r)
{
    const struct audit_entry *entry = NULL, *other = NULL;
    struct noted e = {.action = action_of(c)};

    if (!e.action || !r) {
        note_fini(n);
        return NULL;
    }
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    e.kind = commands[c->type].object;
    e.id = r->id;
    e.before = find(e.kind, e.id, n->view, n->keys);
    /* A tailnet that was deleted is still what the result shows. */
    if (c->type != COMMAND_TAILNET_DELETE)
        e.after = find(e.kind, e.id, r->view, keys);
    if (c->type == COMMAND_REGISTER)
        note_registration(&e, n, r);
    if (c->type == COMMAND_NODE_APPROVE && c->revokes)
        e.action = "node.hold_device";
    e.name = e.kind == OBJECT_REGISTRATION
                 ? c->name
                 : audit_object_name(e.kind, e.after ? e.after : e.before);
    if (e.kind == OBJECT_SHARE) {
        const struct share *s = e.after ? e.after : e.before;

        e.is_owner = s && r->view && s->owner == view_info(r->view)->id;
        e.name = audit_share_name(d, s, e.is_owner);
    }
    if (e.kind == OBJECT_SHARE_INVITE)
        e.name = invite_name(d, e.after ? e.after : e.before);
    if (e.action)
        entry = entry_of(d, c, r, &e);
    if (entry && e.kind == OBJECT_SHARE) {
        e.is_owner = !e.is_owner;
        e.is_other = true;
        e.name = audit_share_name(d, e.after ? e.after : e.before, e.is_owner);
        other = entry_of(d, c, r, &e);
    }
    note_fini(n);
    n->other = other;
    return entry;
}

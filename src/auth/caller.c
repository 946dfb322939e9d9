/* Callers as values: who they are, what they may do. */

#include "auth/caller.h"

#include "auth/auth_internal.h"
#include "core/buf.h"
#include "tailnet/command.h"

/* ---- Scopes ---- */

static const struct {
    const char *scope;
    enum area area;
} scopes[AREA_COUNT] = {
    {"devices:core", AREA_DEVICES},
    {"devices:routes", AREA_ROUTES},
    {"auth_keys", AREA_AUTH_KEYS},
    {"oauth_keys", AREA_OAUTH_KEYS},
    {"policy_file", AREA_POLICY},
    {"feature_settings", AREA_SETTINGS},
    {"users", AREA_USERS},
    {"dns", AREA_DNS},
    {"api_access_tokens", AREA_API_KEYS},
    {"logs:configuration", AREA_LOGS},
    {"webhooks", AREA_WEBHOOKS},
    {"devices:posture_attributes", AREA_POSTURE},
    {"account_settings", AREA_ACCOUNT},
    {"server", AREA_SERVER},
};

const char *area_scope(enum area area)
{
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (scopes[i].area == area)
            return scopes[i].scope;
    return "none";
}

bool permissions_add_scope(struct permissions *p, struct str scope)
{
    bool reads_only = str_ends(scope, STR(":read"));
    struct str name = reads_only ? str_sub(scope, 0, scope.len - sizeof(":read") + 1) : scope;
    uint32_t areas = 0;

    if (str_eq(name, STR("all")))
        areas = PERMISSIONS_ALL.read;
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (str_eq(name, str_from(scopes[i].scope)))
            areas |= BIT(scopes[i].area);
    p->read |= areas;
    p->write |= reads_only ? 0 : areas;
    return areas != 0;
}

struct permissions permissions_of_scopes(const struct str_list *list)
{
    struct permissions p = {0};

    if (list->len == 0)
        return PERMISSIONS_ALL;
    for (size_t i = 0; i < list->len; i++)
        IGNORE(permissions_add_scope(&p, list->items[i]));
    return p;
}

bool permissions_within(struct permissions inner, struct permissions outer)
{
    return (inner.read & ~outer.read) == 0 && (inner.write & ~outer.write) == 0;
}

/* ---- Callers ---- */

struct caller caller_socket(void)
{
    return (struct caller){.kind = CALLER_SOCKET, .may = PERMISSIONS_ALL, .author = "socket"};
}

/* Author lines are for people and for searching: nothing in them may look like another line. */
static void put_author(struct caller *c, const char *kind, struct str name)
{
    size_t n = strlen(kind);

    memcpy(c->author, kind, n);
    for (size_t i = 0; i < name.len && n < sizeof(c->author) - 1; i++)
        c->author[n++] =
            (unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f ? '?' : name.ptr[i];
    /* Cut between characters. */
    while (n > 0 && !str_is_utf8(str_bytes(c->author, n)))
        n--;
    c->author[n] = '\0';
}

struct caller caller_session(tailnet_id tailnet, user_id user, struct str login,
                             struct permissions may)
{
    struct caller c = {.kind = CALLER_SESSION, .tailnet = tailnet, .user = user, .may = may};

    put_author(&c, "user:", login);
    return c;
}

struct caller caller_of_api_key(const struct api_key *k, const struct api_key *client)
{
    static const enum caller_kind kinds[API_KEY_KINDS] = {
        [API_KEY_PLAIN] = CALLER_API_KEY,
        [API_KEY_OAUTH_CLIENT] = CALLER_OAUTH,
        [API_KEY_OAUTH_TOKEN] = CALLER_OAUTH,
        [API_KEY_SESSION] = CALLER_SESSION,
    };
    struct caller c = {.kind = kinds[k->kind],
                       .tailnet = k->tailnet,
                       .user = k->user,
                       .api_key = k->id,
                       .may = permissions_of_scopes(&k->scopes)};

    str_list_copy(&c.tags, &k->tags);
    if (k->kind == API_KEY_PLAIN)
        put_author(&c, "key:", k->prefix);
    else if (k->kind == API_KEY_SESSION)
        put_author(&c, "user:", k->description);
    else
        put_author(&c, "oauth:", client ? client->prefix : k->prefix);
    return c;
}

struct caller caller_copy(const struct caller *c)
{
    struct caller copy = *c;

    str_list_copy(&copy.tags, &c->tags);
    return copy;
}

void caller_fini(struct caller *c)
{
    str_list_free(&c->tags);
    *c = CALLER_NOBODY;
}

void caller_set_from(struct caller *c, struct ip_addrport peer)
{
    struct buf text = BUF(sizeof(c->from) - 1);

    if (ip_addr_is_set(peer.addr))
        ip_addr_put(&text, peer.addr);
    if (text.len > 0)
        memcpy(c->from, text.ptr, text.len);
    c->from[text.len] = '\0';
    buf_fini(&text);
}

bool caller_may_read(const struct caller *c, enum area area)
{
    return (c->may.read & BIT(area)) != 0 && (area != AREA_SERVER || c->tailnet == 0);
}

bool caller_may_write(const struct caller *c, enum area area)
{
    return caller_may_read(c, area) && (c->may.write & BIT(area)) != 0;
}

bool caller_may_name(const struct caller *c, tailnet_id tailnet)
{
    return c->kind != CALLER_NONE && (c->tailnet == 0 || c->tailnet == tailnet);
}

void caller_stamp(const struct caller *c, struct command *command)
{
    command->author = str_from(c->author);
    command->from = str_from(c->from);
    command->origin = c->kind == CALLER_SOCKET ? ORIGIN_SOCKET : ORIGIN_API;
}

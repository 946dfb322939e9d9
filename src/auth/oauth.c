/* See oauth.h. */

#include "auth/oauth.h"

#include "auth/browser.h"
#include "crypto/secret.h"
#include "tailnet/api_key.h"

#define WORDS_MAX 128

/* ---- Scopes ---- */

/* Tailscale's for what is not on this server; clients that run here and there name them. */
static const char *const elsewhere[] = {
    "services",      "device_invites", "user_invites",        "logs:network",
    "log_streaming", "federated_keys", "networking_settings", "workload_identity",
};

static struct str bare(struct str scope)
{
    return str_ends(scope, STR(":read")) ? str_sub(scope, 0, scope.len - sizeof(":read") + 1)
                                         : scope;
}

static bool is_elsewhere(struct str scope)
{
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        if (str_eq(bare(scope), str_from(elsewhere[i])))
            return true;
    return false;
}

bool oauth_scope_is_known(struct str scope)
{
    struct permissions p = {0};

    return permissions_add_scope(&p, scope) || is_elsewhere(scope);
}

bool oauth_scope_within(struct str scope, const struct str_list *of)
{
    struct permissions inner = {0}, outer = {0};

    for (size_t i = 0; i < of->len; i++)
        IGNORE(permissions_add_scope(&outer, of->items[i]));
    if (permissions_add_scope(&inner, scope))
        return permissions_within(inner, outer);
    return is_elsewhere(scope) && (str_list_has(of, scope) || str_list_has(of, bare(scope)) ||
                                   str_list_has(of, STR("all")));
}

bool oauth_scopes_want_tags(const struct str_list *scopes)
{
    return str_list_has(scopes, STR("devices:core")) || str_list_has(scopes, STR("auth_keys"));
}

/* ---- The request ---- */

static bool refuse(struct oauth_error *error, const char *code, const char *why)
{
    *error = (struct oauth_error){code, why};
    return false;
}

/* Whether the form has a field of that name at all, however broken. */
static bool is_named(struct str body, struct str name)
{
    struct str pair, key, rest;

    while (str_next(&body, '&', &pair)) {
        (void)str_split(pair, '=', &key, &rest);
        if (str_eq(key, name))
            return true;
    }
    return false;
}

/* Absent is empty. False: it is there twice, or its escapes are broken, or it is not UTF-8. */
static bool field(struct arena *arena, struct str body, const char *name, struct str *value)
{
    *value = STR_NONE;
    if (!form_get(arena, body, str_from(name), value))
        return !is_named(body, str_from(name));
    return str_is_utf8(*value);
}

/* Words between spaces; empty ones are passed over. False: too many. */
static bool words(struct arena *arena, struct str text, struct str_list *out)
{
    struct str word;

    *out = (struct str_list){.items = arena_alloc(arena, WORDS_MAX * sizeof(struct str))};
    while (str_next(&text, ' ', &word)) {
        if (word.len == 0)
            continue;
        if (out->len == WORDS_MAX)
            return false;
        out->items[out->len++] = word;
    }
    return true;
}

/* RFC 6749 2.3.1: both halves are encoded as in a form. */
static bool decoded(struct arena *arena, struct str half, struct str *out)
{
    struct str pair = arena_printf(arena, "v=%.*s", STR_ARG(half));

    return str_find_char(half, '&') < 0 && str_find_char(half, '\0') < 0 &&
           form_get(arena, pair, STR("v"), out) && str_is_utf8(*out);
}

/* False: there is a header, but not with a password in it. */
static bool from_header(struct arena *arena, struct str header, struct oauth_request *out)
{
    struct auth_credentials shown;
    bool good = false;

    if (auth_credentials_parse(header, &shown) && shown.is_basic && shown.password_len > 0)
        good = decoded(arena, str_bytes(shown.name, shown.name_len), &out->client_id) &&
               decoded(arena, str_bytes(shown.password, shown.password_len), &out->secret);
    auth_credentials_fini(&shown);
    out->by_header = true;
    return good;
}

static bool is_form(struct str content_type)
{
    struct str kind, rest;

    (void)str_split(content_type, ';', &kind, &rest);
    kind = str_trim(kind);
    return kind.len == 0 || str_eq_nocase(kind, STR("application/x-www-form-urlencoded"));
}

static bool looks_like_ours(struct str client_id)
{
    if (client_id.len != SECRET_ID_CHARS)
        return false;
    for (size_t i = 0; i < client_id.len; i++)
        if (hex_digit(client_id.ptr[i]) < 0)
            return false;
    return true;
}

bool oauth_request_parse(struct arena *arena, struct str content_type, struct str header,
                         struct str body, struct oauth_request *out, struct oauth_error *error)
{
    struct str grant, client_id, secret, scope, tags, rest;

    *out = (struct oauth_request){0};
    *error = (struct oauth_error){0};
    if (!is_form(content_type))
        return refuse(error, "invalid_request",
                      "the body is a form: application/x-www-form-urlencoded");
    if (!field(arena, body, "grant_type", &grant) || !field(arena, body, "client_id", &client_id) ||
        !field(arena, body, "client_secret", &secret) || !field(arena, body, "scope", &scope) ||
        !field(arena, body, "tags", &tags))
        return refuse(error, "invalid_request", "a field is there twice, or its escapes are wrong");
    if (grant.len > 0 && !str_eq(grant, STR("client_credentials")))
        return refuse(error, "unsupported_grant_type",
                      "only the client_credentials grant is supported");
    if (!words(arena, scope, &out->scopes) || !words(arena, tags, &out->tags))
        return refuse(error, "invalid_request", "too many scopes or tags");
    if (secret.len > 0 && str_starts(header, STR("Basic ")))
        return refuse(error, "invalid_request",
                      "client credentials in the form and in Authorization");
    out->client_id = client_id;
    out->secret = secret;
    if (secret.len == 0 && (header.len == 0 || !from_header(arena, header, out)))
        return refuse(error, "invalid_client", "missing client credentials");
    if (str_split(out->secret, '?', &secret, &rest))
        out->secret = secret;
    if (!looks_like_ours(out->client_id))
        out->client_id = STR_NONE;
    return true;
}

/* ---- What it may have ---- */

/* "all" may give any tag there is, as at Tailscale. */
static bool may_give(struct str tag, const struct str_list *scopes, const struct str_list *tags)
{
    return str_list_has(tags, tag) ||
           (str_list_has(scopes, STR("all")) && str_starts(tag, STR("tag:")));
}

bool oauth_narrow(struct arena *arena, const struct oauth_request *req,
                  const struct str_list *scopes, const struct str_list *tags,
                  struct str_list *out_scopes, struct str_list *out_tags, struct oauth_error *error)
{
    for (size_t i = 0; i < req->scopes.len; i++)
        if (!oauth_scope_within(req->scopes.items[i], scopes))
            return refuse(error, "invalid_scope",
                          arena_printf(arena, "scope %.*s is not granted to this client",
                                       STR_ARG(str_sub(req->scopes.items[i], 0, 64)))
                              .ptr);
    for (size_t i = 0; i < req->tags.len; i++)
        if (!may_give(req->tags.items[i], scopes, tags))
            return refuse(error, "invalid_target",
                          arena_printf(arena, "tag %.*s is not granted to this client",
                                       STR_ARG(str_sub(req->tags.items[i], 0, 64)))
                              .ptr);
    *out_scopes = req->scopes.len > 0 ? req->scopes : *scopes;
    *out_tags = req->tags.len > 0 ? req->tags : *tags;
    return true;
}

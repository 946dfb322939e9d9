/*
 * /api/v2/tailnet/{tailnet}/keys: auth keys, OAuth clients and API keys as one kind of thing, told
 * apart by keyType. Each needs the scope of its own kind; of a kind the caller may not read there
 * is nothing to be seen.
 *
 * An auth key's id is its number, the others' is their prefix.
 *
 * Source: headscale.md 3.6.
 */

#include "api/v2_internal.h"
#include "auth/oauth.h"
#include "core/clock.h"
#include "tailnet/name.h"

#define NINETY_DAYS_S ((int64_t)90 * 24 * 3600)
#define TEN_YEARS_S ((int64_t)3653 * 24 * 3600)
#define NOTE_MAX 50 /* characters of a description */

/* ---- Shape ---- */

static void put_capabilities(struct json_writer *w, bool reusable, bool ephemeral,
                             bool preauthorized, const struct str_list *tags)
{
    json_field_object(w, STR("capabilities"));
    json_field_object(w, STR("devices"));
    json_field_object(w, STR("create"));
    json_field_bool(w, STR("reusable"), reusable);
    json_field_bool(w, STR("ephemeral"), ephemeral);
    json_field_bool(w, STR("preauthorized"), preauthorized);
    json_field_str_list(w, STR("tags"), tags);
    json_end_object(w);
    json_end_object(w);
    json_end_object(w);
}

static void put_times(struct json_writer *w, int64_t created_ms, int64_t expiry_ms)
{
    if (expiry_ms > created_ms)
        json_field_i64(w, STR("expirySeconds"), (expiry_ms - created_ms) / 1000);
    json_field_time(w, STR("created"), created_ms);
    if (expiry_ms != 0)
        json_field_time(w, STR("expires"), expiry_ms);
}

static void put_note(struct json_writer *w, struct str note)
{
    if (note.len > 0)
        json_field_str(w, STR("description"), note);
}

/* `secret`: the whole key, once; empty: left out. */
static void put_auth_key(struct json_writer *w, const struct auth_key *k, struct str secret)
{
    int64_t now = clock_unix_ms();

    json_begin_object(w);
    api_field_id(w, STR("id"), k->id);
    json_field_str(w, STR("keyType"), STR("auth"));
    if (secret.len > 0)
        json_field_str(w, STR("key"), secret);
    put_note(w, k->description);
    put_times(w, k->created_ms, k->expiry_ms);
    if (k->revoked_ms != 0)
        json_field_time(w, STR("revoked"), k->revoked_ms);
    json_field_bool(w, STR("invalid"),
                    k->revoked_ms != 0 || (k->expiry_ms != 0 && k->expiry_ms <= now) ||
                        (k->used && !k->reusable));
    put_capabilities(w, k->reusable, k->ephemeral, k->preauthorized, &k->tags);
    if (k->tags.len > 0)
        json_field_str_list(w, STR("tags"), &k->tags);
    else if (k->user != 0)
        api_field_id(w, STR("userId"), k->user);
    json_end_object(w);
}

/* An OAuth client or an API key. */
static void put_api_key(struct json_writer *w, const struct api_key *k, struct str secret)
{
    static const struct str_list none = {0};
    bool is_client = k->kind == API_KEY_OAUTH_CLIENT;

    json_begin_object(w);
    json_field_str(w, STR("id"), k->prefix);
    json_field_str(w, STR("keyType"), is_client ? STR("client") : STR("api"));
    if (secret.len > 0)
        json_field_str(w, STR("key"), secret);
    put_note(w, k->description);
    put_times(w, k->created_ms, k->expiry_ms);
    json_field_bool(w, STR("invalid"), k->expiry_ms != 0 && k->expiry_ms <= clock_unix_ms());
    put_capabilities(w, false, false, false, &none);
    json_field_str_list(w, STR("scopes"), &k->scopes);
    if (is_client)
        json_field_str_list(w, STR("tags"), &k->tags);
    else if (k->user != 0)
        api_field_id(w, STR("userId"), k->user);
    json_end_object(w);
}

/* ---- Which ---- */

static enum area area_of(enum api_key_kind kind)
{
    return kind == API_KEY_OAUTH_CLIENT ? AREA_OAUTH_KEYS : AREA_API_KEYS;
}

static bool may(const struct api_call *c, enum area area, bool to_write)
{
    return to_write ? caller_may_write(&c->caller, area) : caller_may_read(&c->caller, area);
}

/* Of the tailnet; the server's keys are the server's to see. */
static bool is_shown(const struct api_call *c, const struct api_key *k, bool to_write)
{
    if (k->kind != API_KEY_OAUTH_CLIENT && k->kind != API_KEY_PLAIN)
        return false;
    return may(c, area_of(k->kind), to_write) &&
           (k->tailnet == c->tailnet || (k->tailnet == 0 && c->caller.tailnet == 0));
}

static const struct api_key_set *keys_now(const struct api_call *c)
{
    return auth_keys(control_auth(c->api->control), c->a->loop);
}

/* NULL: none that the caller may do that with. */
static const struct api_key *find_api_key(const struct api_call *c, struct str id, bool to_write)
{
    const struct api_key_set *keys = keys_now(c);
    const struct api_key *k;

    for (size_t at = 0; keys && (k = api_key_set_next(keys, &at));)
        if (str_eq(k->prefix, id) && is_shown(c, k, to_write))
            return k;
    return NULL;
}

static void not_found(struct api_call *c)
{
    api_problem(c, 404, "key not found", NULL);
}

/* ---- Reading ---- */

void api_v2_keys_list(struct api_call *c)
{
    const struct api_key_set *keys = keys_now(c);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct api_key *k;
    size_t n = 0;
    const struct auth_key *const *auth = view_auth_keys(c->view, &n);

    json_begin_object(&w);
    json_field_array(&w, STR("keys"));
    for (size_t i = 0; i < n && may(c, AREA_AUTH_KEYS, false); i++)
        put_auth_key(&w, auth[i], STR_NONE);
    for (size_t at = 0; keys && (k = api_key_set_next(keys, &at));)
        if (is_shown(c, k, false))
            put_api_key(&w, k, STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

/* NULL: answered. */
static const struct auth_key *find_auth_key(struct api_call *c, struct str text, bool to_write)
{
    const struct auth_key *k = NULL;
    uint64_t id = 0;

    if (may(c, AREA_AUTH_KEYS, to_write) && str_parse_u64(text, &id))
        k = view_auth_key_find(c->view, id);
    if (!k)
        not_found(c);
    return k;
}

void api_v2_key_get(struct api_call *c)
{
    struct str id = api_path_text(c, "keyId");
    const struct api_key *key = find_api_key(c, id, false);
    const struct auth_key *auth = key ? NULL : find_auth_key(c, id, false);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (!key && !auth)
        return;
    if (key)
        put_api_key(&w, key, STR_NONE);
    else
        put_auth_key(&w, auth, STR_NONE);
    api_respond(c, &body);
}

/* ---- Making ---- */

static void done_auth_key(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    put_auth_key(&w, call->result.auth_key, call->result.secret);
    api_respond(c, &body);
}

static void done_client(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    put_api_key(&w, call->result.api_key, call->result.secret);
    api_respond(c, &body);
}

static size_t characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

/* False: answered. */
static bool read_note(struct api_call *c, struct command *command)
{
    command->text = api_text(c, "description");
    if (characters(command->text) <= NOTE_MAX)
        return true;
    api_problem(c, 400, "a description has at most 50 characters", NULL);
    return false;
}

static void create_auth_key(struct api_call *c)
{
    const struct json_value *devices = json_get(api_member(c, "capabilities"), "devices");
    const struct json_value *create = json_get(devices, "create");
    struct command *command = api_command(c, COMMAND_AUTH_KEY_CREATE);
    int64_t seconds = json_as_i64(api_member(c, "expirySeconds"), 0);

    command->reusable = json_get_bool(create, "reusable", false);
    command->ephemeral = json_get_bool(create, "ephemeral", false);
    command->preauthorized = json_get_bool(create, "preauthorized", false);
    command->tags = api_texts_of(c, json_get(create, "tags"));
    command->user = command->tags.len == 0 ? c->caller.user : 0;
    /* Of seconds that were asked for none may be missing: Terraform would see another key. */
    command->lifetime_ms = (seconds > 0 ? MIN(seconds, TEN_YEARS_S) : NINETY_DAYS_S) * 1000;
    if (!caller_may_write(&c->caller, AREA_AUTH_KEYS))
        api_problem(c, 403, "token is missing the required scope auth_keys", NULL);
    else if (seconds < 0 || seconds > TEN_YEARS_S)
        api_problem(c, 400, "expirySeconds is from 1 to ten years", NULL);
    else if (!read_note(c, command) || !api_v2_may_give(c, &command->tags))
        return;
    else if (command->tags.len == 0 && c->caller.kind == CALLER_OAUTH)
        api_problem(c, 403, "an OAuth client must create tagged auth keys", NULL);
    else if (command->tags.len == 0 && command->user == 0)
        api_problem(c, 400, "an auth key without tags must be created with a user-owned API key",
                    NULL);
    else
        api_submit(c, done_auth_key);
}

/* What a client may have, whoever makes or changes it. False: answered. */
static bool read_grant(struct api_call *c, struct command *command)
{
    command->scopes = api_texts(c, "scopes");
    command->tags = api_texts(c, "tags");
    if (!read_note(c, command))
        return false;
    if (command->scopes.len == 0) {
        api_problem(c, 400, "an OAuth client must declare at least one scope", NULL);
        return false;
    }
    for (size_t i = 0; i < command->scopes.len; i++) {
        struct str scope = command->scopes.items[i];
        struct permissions p = {0};

        if (!oauth_scope_is_known(scope)) {
            api_problem(c, 400,
                        arena_printf(api_arena(c), "there is no scope \"%.*s\"",
                                     STR_ARG(str_sub(scope, 0, 64)))
                            .ptr,
                        NULL);
            return false;
        }
        IGNORE(permissions_add_scope(&p, scope));
        if (!permissions_within(p, c->caller.may)) {
            api_problem(c, 403,
                        arena_printf(api_arena(c),
                                     "client may not be granted scope %.*s beyond the creating one",
                                     STR_ARG(scope))
                            .ptr,
                        NULL);
            return false;
        }
    }
    /* Its tokens give roles, which whoever makes it must be able to. */
    if ((permissions_of_scopes(&command->scopes).write & BIT(AREA_USERS)) &&
        !api_may_give(c, ROLE_ADMIN))
        return false;
    if (command->tags.len == 0 && oauth_scopes_want_tags(&command->scopes)) {
        api_problem(c, 400, "tags are required when scopes include devices:core or auth_keys",
                    NULL);
        return false;
    }
    return api_v2_may_give(c, &command->tags);
}

static void create_client(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_OAUTH_CLIENT_CREATE);

    if (!caller_may_write(&c->caller, AREA_OAUTH_KEYS))
        api_problem(c, 403, "token is missing the required scope oauth_keys", NULL);
    else if (read_grant(c, command))
        api_submit(c, done_client);
}

void api_v2_key_create(struct api_call *c)
{
    struct str type = api_text(c, "keyType");

    if (type.len == 0 || str_eq(type, STR("auth")))
        create_auth_key(c);
    else if (str_eq(type, STR("client")))
        create_client(c);
    else
        api_problem(c, 400, "keyType is \"auth\" or \"client\"", NULL);
}

/* ---- One that is there ---- */

void api_v2_key_set(struct api_call *c)
{
    const struct api_key *k = find_api_key(c, api_path_text(c, "keyId"), true);
    struct command *command = api_command(c, COMMAND_OAUTH_CLIENT_UPDATE);

    if (!k || k->kind != API_KEY_OAUTH_CLIENT) {
        not_found(c);
        return;
    }
    command->id = k->id;
    if (read_grant(c, command))
        api_submit(c, done_client);
}

void api_v2_key_delete(struct api_call *c)
{
    struct str id = api_path_text(c, "keyId");
    const struct api_key *key = find_api_key(c, id, true);
    const struct auth_key *auth = key ? NULL : find_auth_key(c, id, true);

    if (!key && !auth)
        return;
    struct command *command =
        api_command(c, auth                                ? COMMAND_AUTH_KEY_REVOKE
                       : key->kind == API_KEY_OAUTH_CLIENT ? COMMAND_OAUTH_CLIENT_DELETE
                                                           : COMMAND_API_KEY_DELETE);
    command->id = auth ? auth->id : key->id;
    if (key)
        command->tailnet = key->tailnet;
    api_submit(c, api_done_empty);
}

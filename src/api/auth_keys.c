/* /api/v1/preauthkey. */

#include "api/api_internal.h"

#include "core/clock.h"

#define KIND STR("hskey-auth-")
#define AN_HOUR_MS ((int64_t)3600 * 1000)

/* False: answered; *user is NULL when nobody is asked for. */
static bool read_user(struct api_call *c, struct str text, const struct user **user)
{
    uint64_t id = 1;

    *user = NULL;
    /* Some send 0 or "" for a key that belongs to its tags. */
    if (text.len == 0 || (str_parse_u64(text, &id) && id == 0))
        return true;
    *user = api_find_user(c->view, text);
    if (!*user)
        api_problem(c, 404, "user not found", NULL);
    return *user != NULL;
}

void api_auth_keys_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct user *user = NULL;
    struct str whose = STR_NONE;
    size_t n = 0;

    (void)api_query(c, "user", &whose);
    if (!read_user(c, whose, &user))
        return;
    const struct auth_key *const *keys = view_auth_keys(c->view, &n);
    json_begin_object(&w);
    json_field_array(&w, STR("preAuthKeys"));
    for (size_t i = 0; i < n; i++)
        if (keys[i]->revoked_ms == 0 && (!user || keys[i]->user == user->id))
            api_put_auth_key(&w, c->view, keys[i], STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void done_created(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    json_begin_object(&w);
    json_key(&w, STR("preAuthKey"));
    api_put_auth_key(&w, call->result.view, call->result.auth_key, call->result.secret);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_auth_keys_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_AUTH_KEY_CREATE);
    const struct user *user = NULL;

    if (!read_user(c, api_text(c, "user"), &user))
        return;
    /* An hour, as the command line gives, where headscale's API would make a key that is dead at
     * birth. */
    command->expiry_ms = clock_unix_ms() + AN_HOUR_MS;
    if (api_time(c, "expiration", &command->expiry_ms))
        command->expiry_ms = MAX(command->expiry_ms, (int64_t)1);
    command->user = user ? user->id : 0;
    command->reusable = api_bool(c, "reusable");
    command->ephemeral = api_bool(c, "ephemeral");
    command->preauthorized = api_bool(c, "preauthorized");
    command->tags = api_texts(c, "aclTags");
    if (command->tags.len > NODE_TAGS_MAX)
        api_problem(c, 400, "too many tags", NULL);
    else
        api_submit(c, done_created);
}

/* ---- One of them, by id or as older clients name it ---- */

static bool is_named(const struct auth_key *k, struct str key)
{
    struct str bare = str_starts(key, KIND) ? str_from_index(key, KIND.len) : key;

    if (k->prefix.len > 0)
        return str_eq(str_sub(bare, 0, k->prefix.len), k->prefix);
    if (str_ends(key, STR("***"))) {
        struct str shown = str_sub(key, 0, key.len - 3);

        return shown.len >= 8 && str_starts(k->legacy, shown);
    }
    return str_eq_secret(k->legacy, key);
}

static auth_key_id find_by_text(const struct tailnet_view *view, struct str key)
{
    auth_key_id found = 0;
    size_t n = 0;
    const struct auth_key *const *keys = view_auth_keys(view, &n);

    for (size_t i = 0; i < n; i++) {
        if (!is_named(keys[i], key))
            continue;
        if (found != 0)
            return 0; /* which one? */
        found = keys[i]->id;
    }
    return found;
}

/* 0: answered. */
static auth_key_id chosen(struct api_call *c)
{
    struct str id_text = STR_NONE, key = api_text(c, "key");
    uint64_t id = 0;

    if (api_id(c, "id", &id))
        return id;
    if (api_query(c, "id", &id_text)) {
        if (str_parse_u64(id_text, &id) && id > 0)
            return id;
        api_problem(c, 400, "an id is a positive number", NULL);
        return 0;
    }
    if (key.len == 0 && !api_query(c, "key", &key)) {
        api_problem(c, 400, "missing id parameter", NULL);
        return 0;
    }
    id = find_by_text(c->view, key);
    if (id == 0)
        api_problem(c, 404, "auth-key not found", NULL);
    return id;
}

static void ask_about_one(struct api_call *c, enum command_type type)
{
    auth_key_id id = chosen(c);

    if (id == 0)
        return;
    api_command(c, type)->id = id;
    api_submit(c, api_done_empty);
}

void api_auth_keys_expire(struct api_call *c)
{
    ask_about_one(c, COMMAND_AUTH_KEY_EXPIRE);
}

void api_auth_keys_delete(struct api_call *c)
{
    ask_about_one(c, COMMAND_AUTH_KEY_DELETE);
}

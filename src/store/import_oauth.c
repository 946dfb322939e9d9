/*
 * OAuth clients and the access tokens that are still good (headscale 0.30), with their Argon2id
 * hashes. Tokens come along because programs keep one until it ends and do not ask for another when
 * it is refused.
 *
 * Numbers of rows mean nothing here: a client is known by its client id, which is its prefix.
 */

#include "crypto/secret.h"
#include "store/import_internal.h"

#define SCOPE_MAX 64 /* bytes, as of ours */

static bool is_hex(struct str s, size_t n)
{
    if (s.len != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (hex_digit(s.ptr[i]) < 0)
            return false;
    return true;
}

static void add(struct import *im, struct api_key *key, enum import_what what, uint64_t id)
{
    import_note(im, IMPORT_TAKEN, what, id, STR_NONE, NULL);
    (void)map_put(im->api_prefixes, key->prefix, key);
    change_list_add(&im->changes, (struct change){.kind = CHANGE_API_KEY, .id = key->id});
}

/* The lists that both have. */
static void read_grant(struct values *r, struct import *im, struct str_list *scopes,
                       struct str_list *tags)
{
    values_list(r, "scopes", im->arena, scopes);
    values_list(r, "tags", im->arena, tags);
    if (scopes->len > API_KEY_SCOPES_MAX)
        values_complain(r, "scopes are too many");
    for (size_t i = 0; i < scopes->len; i++)
        if (scopes->items[i].len == 0 || scopes->items[i].len > SCOPE_MAX ||
            !str_is_ascii(scopes->items[i]))
            values_complain(r, "scopes hold one that is none");
    if (tags->len > NODE_TAGS_MAX)
        values_complain(r, "tags are too many");
    for (size_t i = 0; i < tags->len; i++)
        if (!import_tag_is_usable(tags->items[i]) || tags->items[i].len > 255)
            values_complain(r, "tags hold one that is none");
}

static struct api_key *key_of(struct import *im, enum api_key_kind kind, struct str prefix,
                              struct str hash, const struct str_list *scopes,
                              const struct str_list *tags)
{
    struct api_key *k = api_key_new();

    k->id = import_take_id(im, 'a', 0, &im->next.api_key);
    k->kind = kind;
    k->tailnet = im->tailnet;
    k->prefix = str_copy(prefix);
    k->legacy = str_copy(hash);
    str_list_copy(&k->scopes, scopes);
    str_list_copy(&k->tags, tags);
    str_list_sort_unique(&k->tags);
    return k;
}

/* ---- Clients ---- */

static const char *const client_columns[] = {"id",         "client_id", "secret_hash",
                                             "scopes",     "tags",      "description",
                                             "created_at", "revoked",   NULL};

static int client_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = client_columns, .v = columns, .n = n};
    struct str_list scopes = {0}, tags = {0};
    uint64_t id = values_id(&r, "id");
    struct str client_id = values_text(&r, "client_id", IMPORT_NAME_MAX);
    struct str hash = values_hash(&r, "secret_hash", im->arena);
    struct str note = values_text(&r, "description", API_KEY_NOTE_MAX);
    int64_t created = values_ms(&r, "created_at"), revoked = values_ms(&r, "revoked");

    read_grant(&r, im, &scopes, &tags);
    if (!is_hex(client_id, SECRET_ID_CHARS))
        values_complain(&r, "client_id is none");
    else if (!secret_is_argon2id(hash))
        values_complain(&r, "secret_hash is no Argon2id hash");
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_OAUTH_CLIENT, id, client_id, "%s", r.trouble);
        return 0;
    }
    if (revoked != 0 || scopes.len == 0) {
        import_note(im, IMPORT_LEFT, IMPORT_OAUTH_CLIENT, id, client_id,
                    revoked != 0 ? "it is revoked" : "it has no scope");
        return 0;
    }
    if (import_api_key_is_present(im, IMPORT_OAUTH_CLIENT, id, client_id, hash))
        return 0;
    if (map_len(im->api_prefixes) >= OAUTH_CLIENTS_MAX + API_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d OAuth clients", OAUTH_CLIENTS_MAX);

    struct api_key *k = key_of(im, API_KEY_OAUTH_CLIENT, client_id, hash, &scopes, &tags);

    k->description = str_copy(note);
    k->created_ms = created;
    if (domain_load_api_key(im->domain, k, err) < 0)
        return -(int)err->code;
    add(im, k, IMPORT_OAUTH_CLIENT, id);
    return 0;
}

/* ---- Tokens ---- */

static const char *const token_columns[] = {
    "id", "prefix", "hash", "client_id", "scopes", "tags", "expiration", "created_at", NULL};

static int token_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = token_columns, .v = columns, .n = n};
    struct str_list scopes = {0}, tags = {0};
    uint64_t id = values_id(&r, "id");
    struct str prefix = values_text(&r, "prefix", IMPORT_NAME_MAX);
    struct str client_id = values_text(&r, "client_id", IMPORT_NAME_MAX);
    struct str hash = values_hash(&r, "hash", im->arena);
    int64_t created = values_ms(&r, "created_at"), expiry = values_ms(&r, "expiration");
    const struct api_key *client = map_find(im->api_prefixes, client_id);

    read_grant(&r, im, &scopes, &tags);
    if (!is_hex(prefix, SECRET_ID_CHARS))
        values_complain(&r, "prefix is none of an access token");
    else if (!secret_is_argon2id(hash))
        values_complain(&r, "hash is no Argon2id hash");
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_OAUTH_TOKEN, id, prefix, "%s", r.trouble);
        return 0;
    }
    /* They end by the hour: nobody misses an old one. One of ours never lasts longer. */
    if (expiry <= im->options->now_ms)
        return 0;
    if (!client || client->kind != API_KEY_OAUTH_CLIENT || scopes.len == 0) {
        import_note(im, IMPORT_LEFT, IMPORT_OAUTH_TOKEN, id, prefix, "its client is not there");
        return 0;
    }
    if (import_api_key_is_present(im, IMPORT_OAUTH_TOKEN, id, prefix, hash))
        return 0;
    if (map_len(im->api_prefixes) >= OAUTH_TOKENS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d access tokens", OAUTH_TOKENS_MAX);

    struct api_key *k = key_of(im, API_KEY_OAUTH_TOKEN, prefix, hash, &scopes, &tags);

    k->client = client->id;
    k->created_ms = created;
    k->expiry_ms = MIN(expiry, im->options->now_ms + OAUTH_TOKEN_MS);
    if (domain_load_api_key(im->domain, k, err) < 0)
        return -(int)err->code;
    add(im, k, IMPORT_OAUTH_TOKEN, id);
    return 0;
}

int import_oauth(struct import *im, struct err *err)
{
    if (schema_has_column(&im->schema, "oauth_clients", "client_id") &&
        schema_select(&im->schema, "oauth_clients", client_columns, client_row, im, err) < 0)
        return -(int)err->code;
    if (!schema_has_column(&im->schema, "oauth_access_tokens", "prefix"))
        return 0;
    return schema_select(&im->schema, "oauth_access_tokens", token_columns, token_row, im, err);
}

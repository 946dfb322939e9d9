/*
 * OAuth clients and their access tokens (headscale.md 3.6).
 *
 * A client is of one tailnet and of nobody in it, so that what it runs goes on when a person
 * leaves. What scopes mean is not known here: who asks for a token has been told by auth/caller.h
 * what the client may.
 */

#include "tailnet/domain_internal.h"

static int client_get(const struct domain *d, const struct command *c, const struct api_key **out,
                      struct err *err)
{
    const struct api_key *k = c->id != 0 ? table_find(&d->api_keys, c->id) : NULL;

    if (c->id == 0 && c->name.len > 0)
        k = map_find(d->api_key_by_prefix, c->name);
    if (!k || k->kind != API_KEY_OAUTH_CLIENT || (c->tailnet != 0 && k->tailnet != c->tailnet))
        return err_set(err, ERR_NOT_FOUND, "OAuth client not found");
    *out = k;
    return 0;
}

/* *tags is set on 0 and to be freed then. */
static int check_said(const struct command *c, struct str_list *tags, struct err *err)
{
    if (api_key_check_note(c->text, err) < 0)
        return -(int)err->code;
    if (c->scopes.len == 0)
        return err_set(err, ERR_INVALID, "at least one scope is required");
    if (api_key_check_scopes(&c->scopes, err) < 0)
        return -(int)err->code;
    return tags_check(&c->tags, tags, err);
}

/* Takes the tags. */
static void say(struct api_key *k, const struct command *c, struct str_list tags)
{
    str_free(&k->description);
    k->description = str_copy(c->text);
    str_list_free(&k->scopes);
    str_list_copy(&k->scopes, &c->scopes);
    str_list_sort_unique(&k->scopes);
    str_list_free(&k->tags);
    k->tags = tags;
}

int oauth_client_create(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    struct tailnet *t = NULL;
    struct str_list tags = {0};

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (d->n_api_keys[API_KEY_OAUTH_CLIENT] >= OAUTH_CLIENTS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d OAuth clients; delete old ones",
                       OAUTH_CLIENTS_MAX);
    if (quota_check_share(d, t, API_KEY_OAUTH_CLIENT, OAUTH_CLIENTS_MAX, err) < 0 ||
        quota_check(t, QUOTA_KEYS, keys_count(d, t), err) < 0 || check_said(c, &tags, err) < 0)
        return -(int)err->code;

    struct api_key *k = api_key_make(d, API_KEY_OAUTH_CLIENT, r);
    k->tailnet = t->id;
    say(k, c, tags);
    d->of = t;
    api_key_add(d, k, r);
    return 0;
}

/* ---- Its tokens ---- */

static void remove_tokens(struct domain *d, api_key_id client)
{
    const struct api_key *k;
    size_t at = 0;

    /* Removing may merge chunks: begin anew after each. */
    while ((k = table_next(&d->api_keys, &at))) {
        if (k->client != client)
            continue;
        api_key_remove(d, k);
        at = 0;
    }
}

static bool has_all(const struct str_list *these, const struct str_list *of)
{
    for (size_t i = 0; i < of->len; i++)
        if (!str_list_has(these, of->items[i]))
            return false;
    return true;
}

int oauth_client_update(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    const struct api_key *k = NULL;
    struct str_list tags = {0};

    if (client_get(d, c, &k, err) < 0 || check_said(c, &tags, err) < 0)
        return -(int)err->code;

    struct api_key *with = api_key_clone(k);
    say(with, c, tags);
    if (!has_all(&with->scopes, &k->scopes) || !has_all(&with->tags, &k->tags))
        remove_tokens(d, k->id);
    d->of = domain_tailnet(d, k->tailnet);
    api_key_replace(d, with, 0, r);
    return 0;
}

int oauth_client_delete(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    const struct api_key *k = NULL;

    if (client_get(d, c, &k, err) < 0)
        return -(int)err->code;
    r->id = k->id;
    r->api_key = api_key_ref(k);
    d->of = domain_tailnet(d, k->tailnet);
    remove_tokens(d, k->id);
    api_key_remove(d, k);
    return 0;
}

int oauth_token_create(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err)
{
    const struct api_key *client = NULL;
    struct str_list tags = {0};

    if (client_get(d, c, &client, err) < 0 ||
        tailnet_check_open(domain_tailnet(d, client->tailnet), err) < 0 ||
        check_said(c, &tags, err) < 0)
        return -(int)err->code;
    if (d->n_api_keys[API_KEY_OAUTH_TOKEN] >= OAUTH_TOKENS_MAX) {
        str_list_free(&tags);
        return err_set(err, ERR_LIMIT, "too many access tokens are in use");
    }
    if (quota_check_share(d, domain_tailnet(d, client->tailnet), API_KEY_OAUTH_TOKEN,
                          OAUTH_TOKENS_MAX, err) < 0) {
        str_list_free(&tags);
        return -(int)err->code;
    }
    api_key_make_room(d, API_KEY_OAUTH_TOKEN, client->id, 0, OAUTH_TOKENS_OF_CLIENT_MAX);

    struct api_key *k = api_key_make(d, API_KEY_OAUTH_TOKEN, r);
    k->client = client->id;
    k->tailnet = client->tailnet;
    k->expiry_ms = d->now_ms + OAUTH_TOKEN_MS;
    say(k, c, tags);
    d->of = domain_tailnet(d, k->tailnet);
    api_key_add(d, k, r);
    return 0;
}

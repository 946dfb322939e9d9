/*
 * A token request from anybody: the header in the first line, the form behind it. Laws: what is
 * taken apart says the same when it is written anew; a refusal has a code and a reason; what a
 * narrowed token gets is never more than the client has.
 */

#include "auth/browser.h"
#include "auth/oauth.h"
#include "auth/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_words(struct buf *out, const char *name, const struct str_list *words)
{
    buf_printf(out, "&%s=", name);
    for (size_t i = 0; i < words->len; i++) {
        if (i > 0)
            buf_put_char(out, '+');
        oidc_put_encoded(out, words->items[i]);
    }
}

static void write_again(struct arena *arena, const struct oauth_request *r)
{
    AUTO_FINI(buf_fini) struct buf form = BUF(0);
    struct oauth_request again;
    struct oauth_error error;

    buf_put(&form, STR("grant_type=client_credentials&client_id="));
    oidc_put_encoded(&form, r->client_id);
    buf_put(&form, STR("&client_secret="));
    oidc_put_encoded(&form, r->secret);
    put_words(&form, "scope", &r->scopes);
    put_words(&form, "tags", &r->tags);
    if (r->secret.len == 0)
        return;
    ASSERT(oauth_request_parse(arena, STR_NONE, STR_NONE, buf_str(&form), &again, &error));
    ASSERT(str_eq(again.client_id, r->client_id) && str_eq(again.secret, r->secret));
    ASSERT(str_list_eq(&again.scopes, &r->scopes) && str_list_eq(&again.tags, &r->tags));
}

static void narrow(struct arena *arena, const struct oauth_request *r)
{
    struct str has[] = {STR("devices:core"), STR("policy_file:read"), STR("services")};
    struct str owns[] = {STR("tag:a"), STR("tag:b")};
    const struct str_list scopes = {has, 3}, tags = {owns, 2};
    struct permissions outer = permissions_of_scopes(&scopes);
    struct str_list out_scopes, out_tags;
    struct oauth_error error;

    if (!oauth_narrow(arena, r, &scopes, &tags, &out_scopes, &out_tags, &error)) {
        ASSERT(error.code && error.why);
        return;
    }
    ASSERT(out_scopes.len > 0);
    ASSERT(permissions_within(permissions_of_scopes(&out_scopes), outer));
    for (size_t i = 0; i < out_tags.len; i++)
        ASSERT(str_list_has(&tags, out_tags.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192)
        return 0;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str in = str_bytes(size ? (const char *)data : "", size), header, body;
    struct oauth_request r;
    struct oauth_error error;

    (void)str_split(in, '\n', &header, &body);
    if (!oauth_request_parse(arena, STR_NONE, header, body, &r, &error)) {
        ASSERT(error.code && error.why);
        return 0;
    }
    write_again(arena, &r);
    narrow(arena, &r);
    return 0;
}

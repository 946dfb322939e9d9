/* API keys as objects: made, copied, counted, freed; their text forms; sets of them. */

#include "tailnet/api_key.h"

#include "core/buf.h"
#include "crypto/secret.h"
#include "tailnet/api_key_internal.h"

struct api_key *api_key_new(void)
{
    struct api_key *k = NEW(struct api_key);

    ref_init(&k->ref);
    return k;
}

struct api_key *api_key_clone(const struct api_key *k)
{
    struct api_key *c = NEW(struct api_key);

    ref_copy(c, k, sizeof(*c));
    c->prefix = str_copy(k->prefix);
    c->legacy = str_copy(k->legacy);
    c->description = str_copy(k->description);
    str_list_copy(&c->scopes, &k->scopes);
    str_list_copy(&c->tags, &k->tags);
    return c;
}

struct api_key *api_key_ref(const struct api_key *k)
{
    struct api_key *m = MUTABLE(struct api_key, k);

    ref_take(&m->ref);
    return m;
}

void api_key_unref(const struct api_key *k)
{
    struct api_key *m = MUTABLE(struct api_key, k);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->prefix);
    if (m->legacy.len > 0)
        mem_wipe(MUTABLE(char, m->legacy.ptr), m->legacy.len);
    str_free(&m->legacy);
    str_free(&m->description);
    str_list_free(&m->scopes);
    str_list_free(&m->tags);
    mem_wipe(m->hash, sizeof(m->hash));
    mem_free(m);
}

/* ---- Text ---- */

struct str api_key_kind_text(enum api_key_kind kind)
{
    static const struct str texts[API_KEY_KINDS] = {
        [API_KEY_PLAIN] = STR_INIT("hskey-api-"),
        [API_KEY_OAUTH_CLIENT] = STR_INIT("hskey-client-"),
        [API_KEY_OAUTH_TOKEN] = STR_INIT("hskey-oauthtok-"),
        [API_KEY_SESSION] = STR_INIT("hskey-session-"),
    };

    return texts[kind];
}

void api_key_put_masked(struct buf *out, const struct api_key *k)
{
    bool is_new = k->prefix.len == SECRET_ID_CHARS;

    if (is_new)
        buf_put(out, api_key_kind_text(k->kind));
    buf_put(out, k->prefix);
    buf_put(out, is_new ? STR("-***") : STR("***"));
}

struct str api_key_prefix_of(struct str text)
{
    struct str prefix = str_trim(text), secret;

    if (api_key_split(prefix, &prefix, &secret))
        return prefix;
    if (str_ends(prefix, STR("***")))
        prefix = str_sub(prefix, 0, prefix.len - 3);
    if (!str_starts(prefix, API_KEY_KIND))
        return prefix;
    prefix = str_from_index(prefix, API_KEY_KIND.len);
    if (prefix.len == SECRET_ID_CHARS + 1 && prefix.ptr[SECRET_ID_CHARS] == '-')
        prefix = str_sub(prefix, 0, SECRET_ID_CHARS);
    return prefix;
}

bool api_key_split(struct str text, struct str *prefix, struct str *secret)
{
    struct str head, tail;

    if (text.len > API_KEY_TEXT_MAX)
        return false;
    if (secret_token_split(text, API_KEY_KIND, prefix, secret))
        return true;
    if (!str_split(text, '.', &head, &tail) || head.len == 0 || tail.len == 0 ||
        !str_is_ascii(text))
        return false;
    *prefix = head;
    *secret = tail;
    return true;
}

bool api_key_split_any(struct str text, enum api_key_kind *kind, struct str *prefix,
                       struct str *secret)
{
    if (text.len > API_KEY_TEXT_MAX)
        return false;
    for (int i = 0; i < API_KEY_KINDS; i++) {
        *kind = (enum api_key_kind)i;
        if (secret_token_split(text, api_key_kind_text(*kind), prefix, secret))
            return true;
    }
    *kind = API_KEY_PLAIN;
    return api_key_split(text, prefix, secret);
}

/* ---- Sets ---- */

struct api_key_set {
    struct ref ref;
    struct table keys;
};

struct api_key_set *api_key_set_new(const struct table *keys)
{
    struct api_key_set *s = NEW(struct api_key_set);

    ref_init(&s->ref);
    table_copy(&s->keys, keys);
    return s;
}

struct api_key_set *api_key_set_ref(const struct api_key_set *s)
{
    struct api_key_set *m = MUTABLE(struct api_key_set, s);

    ref_take(&m->ref);
    return m;
}

void api_key_set_unref(const struct api_key_set *s)
{
    struct api_key_set *m = MUTABLE(struct api_key_set, s);

    if (!m || !ref_drop(&m->ref))
        return;
    table_fini(&m->keys);
    mem_free(m);
}

size_t api_key_set_count(const struct api_key_set *s)
{
    return s->keys.count;
}

const struct api_key *api_key_set_find(const struct api_key_set *s, api_key_id id)
{
    return table_find(&s->keys, id);
}

const struct api_key *api_key_set_next(const struct api_key_set *s, size_t *at)
{
    return table_next(&s->keys, at);
}

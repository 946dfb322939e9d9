/*
 * What both kinds of invitations are, to shares and of people: links, found by their number or by
 * who shows their secret, that end by themselves.
 */

#include "crypto/secret.h"
#include "tailnet/domain_internal.h"

static struct str hash_key(const uint8_t hash[SECRET_HASH_BYTES])
{
    return str_bytes(hash, SECRET_HASH_BYTES);
}

void invitations_init(struct invitations *all)
{
    all->by_id = map_new();
    all->by_hash = map_new();
}

void invitations_fini(struct invitations *all)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(all->by_id, &at, &key, &value);)
        mem_free(value);
    map_free(all->by_id);
    map_free(all->by_hash);
}

void invitation_add(struct domain *d, struct invitations *all, struct invitation *i,
                    int64_t expiry_ms)
{
    (void)map_put_u64(all->by_id, i->id, i);
    (void)map_put(all->by_hash, hash_key(i->hash), i);
    if (expiry_ms != 0)
        schedule_set(&d->schedule, &i->end, expiry_ms);
}

void invitation_remove(struct domain *d, struct invitations *all, struct invitation *i)
{
    schedule_clear(&d->schedule, &i->end);
    (void)map_remove(all->by_hash, hash_key(i->hash));
    (void)map_remove_u64(all->by_id, i->id);
    mem_free(i);
}

bool invitation_is_there(const struct invitations *all, uint64_t id,
                         const uint8_t hash[SECRET_HASH_BYTES])
{
    return map_find_u64(all->by_id, id) || map_find(all->by_hash, hash_key(hash));
}

int invitation_get(struct domain *d, const struct invitations *all, const struct command *c,
                   struct invitation **out, struct err *err)
{
    struct invitation *i = map_find_u64(all->by_id, c->id);
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (!i || i->tailnet != t)
        return err_set(err, ERR_NOT_FOUND, "invitation not found");
    d->of = t;
    *out = i;
    return 0;
}

struct invitation *invitation_find(const struct invitations *all, struct str kind, struct str text)
{
    uint8_t hash[SECRET_HASH_BYTES];
    struct str id, secret;

    if (!secret_token_split(text, kind, &id, &secret))
        return NULL;
    secret_hash(secret, hash);
    struct invitation *i = map_find(all->by_hash, hash_key(hash));
    return i && secret_hash_matches(secret, i->hash) ? i : NULL;
}

struct str invitation_secret(struct str kind, uint8_t hash[SECRET_HASH_BYTES])
{
    struct secret_token token = {0};

    secret_token_make(&token, kind);
    struct str text = str_copy(buf_str(&token.text));
    memcpy(hash, token.hash, SECRET_HASH_BYTES);
    secret_token_fini(&token);
    return text;
}

/*
 * API keys: those that are still good, with their bcrypt hashes.
 *
 * headscale's API keys may do everything, so they become keys of the server. What they look like
 * has changed (headscale.md 3.5); the prefix tells the form.
 */

#include "crypto/secret.h"
#include "store/import_internal.h"

static const char *const columns_wanted[] = {"id",        "prefix",     "hash", "expiration",
                                             "last_seen", "created_at", NULL};

static bool is_prefix(struct str prefix)
{
    if (prefix.len != 7 && prefix.len != 10 && prefix.len != SECRET_ID_CHARS)
        return false;
    for (size_t i = 0; i < prefix.len; i++) {
        char c = prefix.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
            c != '-' && c != '_')
            return false;
    }
    return true;
}

bool import_api_key_is_present(struct import *im, enum import_what what, uint64_t id,
                               struct str prefix, struct str hash)
{
    const struct api_key *same = map_find(im->api_prefixes, prefix);

    if (!same)
        return false;
    if (str_eq(same->legacy, hash))
        import_note(im, IMPORT_PRESENT, what, id, prefix, "is key %llu, which is there already",
                    (unsigned long long)same->id);
    else
        import_note(im, IMPORT_LEFT, what, id, prefix, "another key has the same prefix");
    return true;
}

static int add(struct import *im, uint64_t id, struct api_key *key, struct err *err)
{
    key->id = import_take_id(im, 'a', id, &im->next.api_key);
    if (key->id == id)
        import_note(im, IMPORT_TAKEN, IMPORT_API_KEY, id, STR_NONE, NULL);
    else
        import_note(im, IMPORT_CHANGED, IMPORT_API_KEY, id, key->prefix,
                    "gets the number %llu: another key has %llu", (unsigned long long)key->id,
                    (unsigned long long)id);
    if (domain_load_api_key(im->domain, key, err) < 0)
        return -(int)err->code;
    (void)map_put(im->api_prefixes, key->prefix, key);
    change_list_add(&im->changes, (struct change){.kind = CHANGE_API_KEY, .id = key->id});
    return 0;
}

static int row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = columns_wanted, .v = columns, .n = n};
    uint64_t id = values_id(&r, "id");
    struct str prefix = values_text(&r, "prefix", IMPORT_NAME_MAX);
    struct str hash = values_hash(&r, "hash", im->arena);
    int64_t seen = values_ms(&r, "last_seen"), created = values_ms(&r, "created_at"), expiry = 0;
    enum import_time has_expiry = values_time(&r, "expiration", &expiry);

    if (id == 0)
        values_complain(&r, "id is none");
    else if (!is_prefix(prefix))
        values_complain(&r, "prefix is none of an API key");
    else if (!secret_is_bcrypt(hash))
        values_complain(&r, "hash is no bcrypt hash");
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_API_KEY, id, prefix, "%s", r.trouble);
        return 0;
    }
    if (has_expiry == IMPORT_TIME_ZERO || (expiry != 0 && expiry <= im->options->now_ms)) {
        import_note(im, IMPORT_LEFT, IMPORT_API_KEY, id, prefix, "it is expired");
        return 0;
    }
    if (import_api_key_is_present(im, IMPORT_API_KEY, id, prefix, hash))
        return 0;
    if (map_len(im->api_prefixes) >= API_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "a server has at most %d API keys", API_KEYS_MAX);

    struct api_key *key = api_key_new();

    key->prefix = str_copy(prefix);
    key->legacy = str_copy(hash);
    key->created_ms = created;
    key->expiry_ms = expiry;
    key->last_seen_ms = seen;
    return add(im, id, key, err);
}

int import_api_keys(struct import *im, struct err *err)
{
    if (!schema_has_column(&im->schema, "api_keys", "prefix"))
        return 0;
    return schema_select(&im->schema, "api_keys", columns_wanted, row, im, err);
}

#include "crypto/secret.h"

#include <crypt.h>

#include "core/mem.h"
#include "core/rand.h"
#include "crypto/hash.h"

#define BCRYPT_CHARS 60
#define BCRYPT_SECRET_MAX 72

void secret_put_hex(struct buf *out, size_t n)
{
    uint8_t chunk[32];

    while (n > 0) {
        size_t now = MIN(n, sizeof(chunk));

        rand_bytes(chunk, now);
        buf_put_hex(out, str_bytes(chunk, now));
        n -= now;
    }
    mem_wipe(chunk, sizeof(chunk));
}

void secret_token_make(struct secret_token *t, struct str kind)
{
    struct str id, secret;

    t->text = BUF(256);
    /* All at once, so that growing the buffer leaves no copy of the secret behind. */
    ASSERT(buf_reserve(&t->text, kind.len + SECRET_ID_CHARS + 1 + SECRET_CHARS));
    buf_put(&t->text, kind);
    secret_put_hex(&t->text, SECRET_ID_CHARS / 2);
    buf_put_char(&t->text, '-');
    secret_put_hex(&t->text, SECRET_CHARS / 2);
    ASSERT(secret_token_split(buf_str(&t->text), kind, &id, &secret));
    memcpy(t->id, id.ptr, sizeof(t->id));
    secret_hash(secret, t->hash);
}

void secret_token_fini(struct secret_token *t)
{
    if (t->text.ptr)
        mem_wipe(t->text.ptr, t->text.cap);
    buf_fini(&t->text);
}

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}

bool secret_token_split(struct str text, struct str kind, struct str *id, struct str *secret)
{
    if (!str_starts(text, kind))
        return false;
    struct str rest = str_from_index(text, kind.len);
    if (rest.len != SECRET_ID_CHARS + 1 + SECRET_CHARS || rest.ptr[SECRET_ID_CHARS] != '-')
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (!is_token_char(rest.ptr[i]))
            return false;
    *id = str_sub(rest, 0, SECRET_ID_CHARS);
    *secret = str_from_index(rest, SECRET_ID_CHARS + 1);
    return true;
}

void secret_hash(struct str secret, uint8_t hash[SECRET_HASH_BYTES])
{
    sha256(secret, hash);
}

bool secret_hash_matches(struct str secret, const uint8_t hash[SECRET_HASH_BYTES])
{
    uint8_t got[SECRET_HASH_BYTES];

    secret_hash(secret, got);
    return str_eq_secret(str_bytes(got, sizeof(got)), str_bytes(hash, SECRET_HASH_BYTES));
}

static bool is_bcrypt_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '/';
}

bool secret_is_bcrypt(struct str hash)
{
    uint64_t cost = 0;

    if (hash.len != BCRYPT_CHARS || hash.ptr[6] != '$' ||
        !(str_starts(hash, STR("$2a$")) || str_starts(hash, STR("$2b$")) ||
          str_starts(hash, STR("$2y$"))))
        return false;
    if (!str_parse_u64(str_sub(hash, 4, 2), &cost) || cost < 4 || cost > SECRET_BCRYPT_COST_MAX)
        return false;
    for (size_t i = 7; i < hash.len; i++)
        if (!is_bcrypt_char(hash.ptr[i]))
            return false;
    return true;
}

bool secret_bcrypt_matches(struct str secret, struct str hash)
{
    char phrase[BCRYPT_SECRET_MAX + 1] = {0};
    char setting[BCRYPT_CHARS + 1] = {0};

    if (!secret_is_bcrypt(hash) || secret.len > BCRYPT_SECRET_MAX ||
        str_find_char(secret, '\0') >= 0)
        return false;
    if (secret.len > 0)
        memcpy(phrase, secret.ptr, secret.len);
    memcpy(setting, hash.ptr, BCRYPT_CHARS);

    struct crypt_data *data = NEW(struct crypt_data);
    /* Not crypt_r: the address sanitizer has one of its own, and the linker then drops libcrypt. */
    const char *got = crypt_rn(phrase, setting, data, (int)sizeof(*data));
    bool matches = got && str_eq_secret(str_from(got), hash);
    mem_wipe(data, sizeof(*data));
    mem_free(data);
    mem_wipe(phrase, sizeof(phrase));
    return matches;
}

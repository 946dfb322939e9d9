#include "crypto/secret.h"

#include <crypt.h>
#include <sodium.h>

#include "core/mem.h"
#include "core/rand.h"
#include "crypto/crypto_internal.h"
#include "crypto/hash.h"

#define BCRYPT_CHARS 60
#define BCRYPT_SECRET_MAX 72
#define ARGON2_SALT_MIN 8 /* characters of base64; and of the hash the next */
#define ARGON2_HASH_MIN 22

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

/* ---- Argon2id ---- */

static bool is_base64(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

/* "m=19456": the number behind the letter and '='. */
static bool number_of(struct str s, char letter, uint64_t max, uint64_t *n)
{
    return s.len > 2 && s.ptr[0] == letter && s.ptr[1] == '=' && s.ptr[2] != '0' &&
           str_parse_u64(str_from_index(s, 2), n) && *n <= max;
}

bool secret_is_argon2id(struct str hash)
{
    struct str kind = STR("$argon2id$v=19$"), settings, rest, salt, digest, m, t, p;
    uint64_t kib = 0, passes = 0, lanes = 0;

    if (hash.len >= crypto_pwhash_STRBYTES || !str_starts(hash, kind) ||
        !str_split(str_from_index(hash, kind.len), '$', &settings, &rest) ||
        !str_split(rest, '$', &salt, &digest) || !str_split(settings, ',', &m, &rest) ||
        !str_split(rest, ',', &t, &p))
        return false;
    return number_of(m, 'm', SECRET_ARGON2_KIB, &kib) && kib >= 8 &&
           number_of(t, 't', SECRET_ARGON2_PASSES, &passes) && number_of(p, 'p', 1, &lanes) &&
           salt.len >= ARGON2_SALT_MIN && is_base64(salt) && digest.len >= ARGON2_HASH_MIN &&
           is_base64(digest);
}

bool secret_slow_matches(struct str secret, struct str hash)
{
    char text[crypto_pwhash_STRBYTES] = {0};

    if (!secret_is_argon2id(hash))
        return secret_bcrypt_matches(secret, hash);
    memcpy(text, hash.ptr, hash.len);
    crypto_sodium_ready();
    return crypto_pwhash_str_verify(text, secret.ptr ? secret.ptr : "", secret.len) == 0;
}

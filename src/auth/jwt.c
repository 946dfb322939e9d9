#include "auth/jwt.h"

#include <cjose/cjose.h>

#include "json/writer.h"

#define RSA_BYTES_MIN 256  /* 2048 bits */
#define RSA_BYTES_MAX 1024 /* 8192 bits: verifying takes under a millisecond */
#define RSA_E_BYTES_MAX 8
#define EC_BYTES_MAX 66 /* P-521 */
#define HEADER_MEMBERS_MAX 32

static const struct {
    struct str alg;
    struct str kty;
    struct str crv;
} algs[] = {
    {STR_INIT("RS256"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("RS384"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("RS512"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("PS256"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("PS384"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("PS512"), STR_INIT("RSA"), STR_INIT("")},
    {STR_INIT("ES256"), STR_INIT("EC"), STR_INIT("P-256")},
    {STR_INIT("ES384"), STR_INIT("EC"), STR_INIT("P-384")},
    {STR_INIT("ES512"), STR_INIT("EC"), STR_INIT("P-521")},
};

static ptrdiff_t alg_find(struct str alg)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        if (str_eq(algs[i].alg, alg))
            return (ptrdiff_t)i;
    return -1;
}

/* ---- Tokens ---- */

/* Without padding, of a length that some bytes have: what cjose may be given, which ends the
 * program at others. */
static bool is_base64url(struct str s)
{
    if (s.len % 4 == 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_'))
            return false;
    }
    return s.len > 0;
}

/* A part of the token as the object it must be. */
static const struct json_value *part_object(struct arena *arena, struct str part, size_t max_nodes)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(JWT_MAX);
    const struct json_options options = {.max_nodes = max_nodes, .max_bytes = JWT_MAX};
    struct json_value *v = NULL;

    if (!is_base64url(part) || !base64_decode(part, &text))
        return NULL;
    if (!json_parse(arena, arena_copy(arena, buf_str(&text)), &options, &v, NULL))
        return NULL;
    return json_is(v, JSON_OBJECT) ? v : NULL;
}

static bool says_something_twice(const struct json_value *object)
{
    JSON_EACH(a, object) {
        for (const struct json_value *b = a->next; b; b = b->next)
            if (str_eq(a->key, b->key))
                return true;
    }
    return false;
}

static int read_header(struct arena *arena, struct str part, struct jwt *t, struct err *err)
{
    const struct json_value *header = part_object(arena, part, 1000), *kid;

    if (!header || json_len(header) > HEADER_MEMBERS_MAX || says_something_twice(header))
        return err_set(err, ERR_INVALID, "the token's header cannot be read");
    if (json_get(header, "crit") || json_get(header, "b64"))
        return err_set(err, ERR_INVALID, "the token wants to be understood in a special way");
    t->alg = json_get_str(header, "alg");
    if (alg_find(t->alg) < 0)
        return err_set(err, ERR_INVALID, "the token is signed in a way that is not accepted: %.*s",
                       (int)MIN(t->alg.len, (size_t)16), t->alg.ptr ? t->alg.ptr : "");
    kid = json_get(header, "kid");
    if (kid && !json_is(kid, JSON_STRING))
        return err_set(err, ERR_INVALID, "the token's header cannot be read");
    t->kid = json_as_str(kid, STR_NONE);
    return 0;
}

int jwt_decode(struct arena *arena, struct str text, struct jwt *out, struct err *err)
{
    struct jwt t = {0};
    struct str header, rest, payload, signature;

    if (text.len > JWT_MAX)
        return err_set(err, ERR_LIMIT, "the token is longer than %zu bytes", JWT_MAX);
    t.text = arena_copy(arena, text);
    if (!str_split(t.text, '.', &header, &rest) || !str_split(rest, '.', &payload, &signature) ||
        !is_base64url(signature))
        return err_set(err, ERR_INVALID, "the token does not have three parts");
    if (read_header(arena, header, &t, err) < 0)
        return -(int)err->code;
    t.payload = part_object(arena, payload, 10000);
    if (!t.payload || says_something_twice(t.payload))
        return err_set(err, ERR_INVALID, "the token's claims cannot be read");
    *out = t;
    return 0;
}

/* ---- Keys ---- */

struct jwks_key {
    cjose_jwk_t *key;
    struct str kid; /* owned; empty: none */
    struct str alg; /* owned; empty: any of its kind */
    struct str kty;
    struct str crv;
};

struct jwks {
    struct ref ref;
    struct jwks_key *keys;
    size_t len;
};

/* Bytes that a number of a key has, leading zeros left out; 0 when it is none. */
static size_t number_bytes(const struct json_value *jwk, const char *name)
{
    AUTO_FINI(buf_fini) struct buf bytes = BUF(JWT_MAX);
    struct str text = json_get_str(jwk, name);
    size_t zeros = 0;

    if (!is_base64url(text) || !base64_decode(text, &bytes))
        return 0;
    while (zeros < bytes.len && bytes.ptr[zeros] == 0)
        zeros++;
    return bytes.len - zeros;
}

/* For a coordinate: zeros count. */
static bool is_bytes(struct str text)
{
    AUTO_FINI(buf_fini) struct buf bytes = BUF(EC_BYTES_MAX);

    return is_base64url(text) && base64_decode(text, &bytes);
}

static bool is_for_us(const struct json_value *jwk)
{
    struct str kty = json_get_str(jwk, "kty"), use = json_get_str(jwk, "use");
    struct str alg = json_get_str(jwk, "alg");

    if (says_something_twice(jwk) || (use.len > 0 && !str_eq(use, STR("sig"))))
        return false;
    if (alg.len > 0 && alg_find(alg) < 0)
        return false;
    if (str_eq(kty, STR("RSA"))) {
        size_t n = number_bytes(jwk, "n"), e = number_bytes(jwk, "e");

        return n >= RSA_BYTES_MIN && n <= RSA_BYTES_MAX && e > 0 && e <= RSA_E_BYTES_MAX;
    }
    return str_eq(kty, STR("EC")) && is_bytes(json_get_str(jwk, "x")) &&
           is_bytes(json_get_str(jwk, "y"));
}

/* The key's public numbers and nothing else of what the provider wrote. */
static void put_public(const struct json_value *jwk, struct buf *out)
{
    static const char *const rsa[] = {"kty", "n", "e"}, *const ec[] = {"kty", "crv", "x", "y"};
    bool is_rsa = str_eq(json_get_str(jwk, "kty"), STR("RSA"));
    const char *const *names = is_rsa ? rsa : ec;
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    for (size_t i = 0; i < (is_rsa ? ARRAY_LEN(rsa) : ARRAY_LEN(ec)); i++)
        json_field_str(&w, str_from(names[i]), json_get_str(jwk, names[i]));
    json_end_object(&w);
}

static bool key_read(const struct json_value *jwk, struct jwks_key *out)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(JWKS_MAX);
    cjose_jwk_t *key = NULL;
    cjose_err err = {0};

    if (!json_is(jwk, JSON_OBJECT) || !is_for_us(jwk))
        return false;
    put_public(jwk, &text);
    key = buf_is_full(&text) ? NULL : cjose_jwk_import(text.ptr, text.len, &err);
    if (!key)
        return false;
    *out = (struct jwks_key){.key = key,
                             .kid = str_copy(json_get_str(jwk, "kid")),
                             .alg = str_copy(json_get_str(jwk, "alg")),
                             .kty = str_copy(json_get_str(jwk, "kty")),
                             .crv = str_copy(json_get_str(jwk, "crv"))};
    return true;
}

int jwks_parse(struct str json, struct jwks **out, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_options options = {.max_nodes = 50000, .max_bytes = JWKS_MAX};
    struct json_value *root = NULL;
    const struct json_value *list;

    if (!json_parse(arena, json, &options, &root, NULL) || !(list = json_get_array(root, "keys")))
        return err_set(err, ERR_INVALID, "that is no set of keys");
    struct jwks *set = NEW(struct jwks);

    ref_init(&set->ref);
    set->keys = mem_alloc_array(JWKS_KEYS_MAX, sizeof(*set->keys));
    JSON_EACH(jwk, list) {
        if (set->len < JWKS_KEYS_MAX && key_read(jwk, &set->keys[set->len]))
            set->len++;
    }
    *out = set;
    return 0;
}

struct jwks *jwks_ref(struct jwks *set)
{
    if (set)
        ref_take(&set->ref);
    return set;
}

void jwks_unref(struct jwks *set)
{
    if (!set || !ref_drop(&set->ref))
        return;
    for (size_t i = 0; i < set->len; i++) {
        (void)cjose_jwk_release(set->keys[i].key);
        str_free(&set->keys[i].kid);
        str_free(&set->keys[i].alg);
        str_free(&set->keys[i].kty);
        str_free(&set->keys[i].crv);
    }
    mem_free(set->keys);
    mem_free(set);
}

size_t jwks_len(const struct jwks *set)
{
    return set ? set->len : 0;
}

/* ---- Both ---- */

static bool fits(const struct jwks_key *k, const struct jwt *t)
{
    ptrdiff_t alg = alg_find(t->alg);

    return alg >= 0 && str_eq(k->kty, algs[alg].kty) &&
           (algs[alg].crv.len == 0 || str_eq(k->crv, algs[alg].crv)) &&
           (k->alg.len == 0 || str_eq(k->alg, t->alg)) &&
           (t->kid.len == 0 || k->kid.len == 0 || str_eq(k->kid, t->kid));
}

static bool is_signed_by(const struct jwt *t, const cjose_jwk_t *key)
{
    cjose_err err = {0};
    cjose_jws_t *jws = cjose_jws_import(t->text.ptr, t->text.len, &err);
    bool good = jws && cjose_jws_verify(jws, key, &err);

    cjose_jws_release(jws);
    return good;
}

enum jwt_verdict jwks_verify(const struct jwks *set, const struct jwt *token)
{
    enum jwt_verdict verdict = JWT_UNKNOWN_KEY;

    for (size_t i = 0; set && i < set->len; i++) {
        const struct jwks_key *k = &set->keys[i];

        if (!fits(k, token))
            continue;
        if (is_signed_by(token, k->key))
            return JWT_GOOD;
        /* Without a name on both sides it may be another key that is meant. */
        if (token->kid.len > 0 && k->kid.len > 0)
            verdict = JWT_FORGED;
    }
    return verdict;
}

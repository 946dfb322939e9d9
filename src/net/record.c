/*
 * TLS 1.3 records: see record_internal.h.
 *
 *   secret --"key", "iv"--> key and iv          nonce of a record: iv xor its number
 *     |
 *     +--"traffic upd"--> the next secret, after records_per_key or when the peer asks
 *
 * Invariants
 *   1. A number is used once under a key: `seq` counts up with each sealed or opened record and
 *      begins anew with a key only.
 *   2. A record's content is given out only when its tag was right.
 *   3. AES-128-GCM goes past OpenSSL where it can (gcm_internal.h); there is no `ctx` then.
 */

#include "net/record_internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "core/mem.h"
#include "net/gcm_internal.h"

#define TAG_LEN 16
#define IV_LEN 12
#define KEY_LEN_MAX 32
#define RECORDS_PER_KEY ((uint64_t)1 << 24)
#define MESSAGE_TICKET 4
#define MESSAGE_KEY_UPDATE 24
#define MESSAGE_HEADER 4

/* One direction. */
struct way {
    struct gcm *gcm;     /* has the key; NULL: not for this cipher or processor, but: */
    EVP_CIPHER_CTX *ctx; /* has the key */
    uint8_t iv[IV_LEN];
    uint64_t seq;
    uint8_t secret[RECORD_SECRET_MAX];
};

struct suite {
    unsigned id;
    const EVP_CIPHER *(*cipher)(void);
    const char *hash;
    size_t hash_len, key_len;
};

struct record {
    const struct suite *suite;
    uint64_t records_per_key;
    struct way in, out;
};

static const struct suite suites[] = {
    {RECORD_AES_128_GCM_SHA256, EVP_aes_128_gcm, "SHA256", 32, 16},
    {RECORD_AES_256_GCM_SHA384, EVP_aes_256_gcm, "SHA384", 48, 32},
    {RECORD_CHACHA20_POLY1305_SHA256, EVP_chacha20_poly1305, "SHA256", 32, 32},
};

static int failed(struct err *err)
{
    return err_set(err, ERR_INTERNAL, "the TLS cipher failed");
}

/* ---- Keys ---- */

/* HKDF-Expand-Label with an empty context and no more than one block of the hash. */
static bool expand(const struct suite *s, const uint8_t *secret, struct str label, uint8_t *out,
                   size_t len)
{
    AUTO_FINI(buf_fini) struct buf info = BUF(64);
    uint8_t block[RECORD_SECRET_MAX];
    size_t n = 0;

    buf_put_be16(&info, (uint16_t)len);
    buf_put_char(&info, (char)(STR("tls13 ").len + label.len));
    buf_put(&info, STR("tls13 "));
    buf_put(&info, label);
    buf_put(&info, STR("\0\x01")); /* no context; HKDF's first block */
    bool ok = EVP_Q_mac(NULL, "HMAC", NULL, s->hash, NULL, secret, s->hash_len,
                        (const unsigned char *)info.ptr, info.len, block, sizeof(block), &n) &&
              n >= len;

    if (ok)
        memcpy(out, block, len);
    mem_wipe(block, sizeof(block));
    return ok;
}

/* Keys of both kinds; the former ones are gone. */
static bool take_key(const struct suite *s, struct way *w, const uint8_t *key, bool sealing)
{
    gcm_free(w->gcm);
    w->gcm = s->id == RECORD_AES_128_GCM_SHA256 && gcm_is_there() ? gcm_new(key) : NULL;
    if (w->gcm)
        return true;
    if (!w->ctx)
        w->ctx = EVP_CIPHER_CTX_new();
    return w->ctx && EVP_CipherInit_ex(w->ctx, s->cipher(), NULL, key, NULL, sealing ? 1 : 0) == 1;
}

static bool take_secret(const struct suite *s, struct way *w, const uint8_t *secret, bool sealing)
{
    uint8_t key[KEY_LEN_MAX];
    bool ok = expand(s, secret, STR("key"), key, s->key_len) &&
              expand(s, secret, STR("iv"), w->iv, sizeof(w->iv)) && take_key(s, w, key, sealing);

    mem_wipe(key, sizeof(key));
    if (w->secret != secret)
        memcpy(w->secret, secret, s->hash_len);
    w->seq = 0;
    return ok;
}

static bool next_secret(const struct suite *s, struct way *w, bool sealing)
{
    return expand(s, w->secret, STR("traffic upd"), w->secret, s->hash_len) &&
           take_secret(s, w, w->secret, sealing);
}

static void nonce(struct way *w, uint8_t out[IV_LEN])
{
    uint64_t low;
    uint64_t seq = __builtin_bswap64(w->seq++);

    memcpy(out, w->iv, IV_LEN);
    memcpy(&low, w->iv + IV_LEN - sizeof(low), sizeof(low)); /* not of what was just written */
    low ^= seq;
    memcpy(out + IV_LEN - sizeof(low), &low, sizeof(low));
}

/* ---- Life ---- */

static void way_fini(struct way *w)
{
    gcm_free(w->gcm);
    EVP_CIPHER_CTX_free(w->ctx); /* NULL is fine */
}

int record_new(const struct record_options *o, struct record **out, struct err *err)
{
    const struct suite *suite = NULL;

    for (size_t i = 0; i < ARRAY_LEN(suites); i++)
        if (suites[i].id == o->suite)
            suite = &suites[i];
    if (!suite || o->secret_len != suite->hash_len)
        return err_set(err, ERR_INVALID, "a TLS cipher that is not ours");

    struct record *r = NEW(struct record);

    r->suite = suite;
    r->records_per_key = o->records_per_key ? o->records_per_key : RECORDS_PER_KEY;
    if (!take_secret(suite, &r->in, o->in_secret, false) ||
        !take_secret(suite, &r->out, o->out_secret, true)) {
        record_free(r);
        return failed(err);
    }
    r->out.seq = o->out_seq;
    *out = r;
    return 0;
}

void record_free(struct record *r)
{
    if (!r)
        return;
    way_fini(&r->in);
    way_fini(&r->out);
    mem_wipe(r, sizeof(*r));
    mem_free(r);
}

/* ---- Sealing ---- */

/* EVP_CIPHER_CTX_ctrl is a slow way to say the same. */
static bool get_tag(EVP_CIPHER_CTX *ctx, uint8_t *tag)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG_LEN),
        OSSL_PARAM_construct_end()};

    return EVP_CIPHER_CTX_get_params(ctx, params) == 1;
}

static bool set_tag(EVP_CIPHER_CTX *ctx, uint8_t *tag)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG_LEN),
        OSSL_PARAM_construct_end()};

    return EVP_CIPHER_CTX_set_params(ctx, params) == 1;
}

static bool seal_by_openssl(EVP_CIPHER_CTX *ctx, const uint8_t *iv, const uint8_t *header,
                            struct str plain, uint8_t type, uint8_t *sealed)
{
    int n = 0, last = 0;

    return EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, header, RECORD_HEADER) == 1 &&
           EVP_EncryptUpdate(ctx, sealed, &n, (const uint8_t *)plain.ptr, (int)plain.len) == 1 &&
           EVP_EncryptUpdate(ctx, sealed + n, &last, &type, 1) == 1 &&
           EVP_EncryptFinal_ex(ctx, sealed + n + last, &n) == 1 &&
           get_tag(ctx, sealed + plain.len + 1);
}

static bool seal_one(struct record *r, uint8_t type, struct str plain, struct buf *out)
{
    struct way *w = &r->out;
    size_t len = plain.len + 1 + TAG_LEN;
    uint8_t *to = (uint8_t *)buf_reserve(out, RECORD_HEADER + len);
    uint8_t iv[IV_LEN];

    if (!to)
        return false;
    to[0] = RECORD_DATA;
    to[1] = to[2] = 3;
    to[3] = (uint8_t)(len >> 8);
    to[4] = (uint8_t)len;
    nonce(w, iv);
    if (w->gcm)
        gcm_seal(w->gcm, iv, str_bytes(to, RECORD_HEADER), (const uint8_t *)plain.ptr, plain.len,
                 type, to + RECORD_HEADER);
    else if (!seal_by_openssl(w->ctx, iv, to, plain, type, to + RECORD_HEADER))
        return false;
    buf_added(out, RECORD_HEADER + len);
    return true;
}

int record_update(struct record *r, struct buf *out, struct err *err)
{
    if (!seal_one(r, RECORD_HANDSHAKE, STR("\x18\0\0\x01\0"), out) ||
        !next_secret(r->suite, &r->out, true))
        return failed(err);
    return 0;
}

int record_seal(struct record *r, enum record_type type, struct str plain, struct buf *out,
                struct err *err)
{
    while (plain.len > 0) {
        struct str piece = str_sub(plain, 0, RECORD_PLAIN_MAX);

        plain = str_from_index(plain, piece.len);
        if (r->out.seq >= r->records_per_key && record_update(r, out, err) < 0)
            return -(int)err->code;
        if (!seal_one(r, (uint8_t)type, piece, out))
            return failed(err);
    }
    return 0;
}

/* ---- Opening ---- */

size_t record_wants(struct str in)
{
    return in.len < RECORD_HEADER ? RECORD_HEADER : RECORD_HEADER + (size_t)str_be16(in, 3);
}

/* The type is the last byte that is not padding. */
static bool strip(struct record_content *got, const char *plain, size_t len)
{
    while (len > 0 && plain[len - 1] == 0)
        len--;
    if (len == 0)
        return false;
    got->type = (uint8_t)plain[len - 1];
    got->len = len - 1;
    return true;
}

static bool open_one(struct way *w, struct str record, char *plain, size_t len)
{
    const uint8_t *header = (const uint8_t *)record.ptr, *sealed = header + RECORD_HEADER;
    uint8_t iv[IV_LEN], tag[TAG_LEN];
    int n = 0, last = 0;

    nonce(w, iv);
    if (w->gcm)
        return gcm_open(w->gcm, iv, str_sub(record, 0, RECORD_HEADER), sealed, len,
                        (uint8_t *)plain);
    memcpy(tag, sealed + len, sizeof(tag));
    return EVP_DecryptInit_ex(w->ctx, NULL, NULL, NULL, iv) == 1 &&
           EVP_DecryptUpdate(w->ctx, NULL, &n, header, RECORD_HEADER) == 1 &&
           EVP_DecryptUpdate(w->ctx, (uint8_t *)plain, &n, sealed, (int)len) == 1 &&
           set_tag(w->ctx, tag) && EVP_DecryptFinal_ex(w->ctx, (uint8_t *)plain + n, &last) == 1;
}

static enum record_opened broken(uint8_t *alert, enum record_alert why)
{
    *alert = (uint8_t)why;
    return RECORD_BROKEN;
}

enum record_opened record_open(struct record *r, struct str in, char *plain, size_t cap,
                               struct record_content *got, uint8_t *alert)
{
    struct record_content content = {0};
    size_t whole = record_wants(in);

    if (in.len > 0 && in.ptr[0] != RECORD_DATA)
        return broken(alert, RECORD_UNEXPECTED_MESSAGE);
    if (in.len < RECORD_HEADER)
        return RECORD_MORE;
    if (whole > RECORD_MAX)
        return broken(alert, RECORD_OVERFLOW);
    if (whole < RECORD_HEADER + 1 + TAG_LEN)
        return broken(alert, RECORD_BAD_MAC);
    if (in.len < whole)
        return RECORD_MORE;
    size_t len = whole - RECORD_HEADER - TAG_LEN;

    if (cap < len)
        return RECORD_FULL;
    if (!open_one(&r->in, str_sub(in, 0, whole), plain, len))
        return broken(alert, RECORD_BAD_MAC);
    if (len > RECORD_PLAIN_MAX + 1)
        return broken(alert, RECORD_OVERFLOW);
    if (!strip(&content, plain, len))
        return broken(alert, RECORD_UNEXPECTED_MESSAGE);
    if (content.type < RECORD_ALERT || content.type > RECORD_DATA)
        return broken(alert, RECORD_UNEXPECTED_MESSAGE);
    content.used = whole;
    *got = content;
    return RECORD_OK;
}

/* ---- Messages ---- */

static int unexpected(uint8_t *alert, enum record_alert why)
{
    *alert = (uint8_t)why;
    return -ERR_INVALID;
}

/* Whole messages only: nobody cuts five bytes in two, and tickets are far smaller than a record. */
int record_on_handshake(struct record *r, struct str content, bool is_client, bool *answer,
                        uint8_t *alert)
{
    *answer = false;
    if (content.len < MESSAGE_HEADER)
        return unexpected(alert, RECORD_UNEXPECTED_MESSAGE);
    while (content.len >= MESSAGE_HEADER) {
        uint8_t type = (uint8_t)content.ptr[0];
        size_t len = str_be32(content, 0) & 0xffffff;
        struct str body = str_sub(content, MESSAGE_HEADER, len);

        if (body.len < len)
            return unexpected(alert, RECORD_DECODE_ERROR);
        content = str_from_index(content, MESSAGE_HEADER + len);
        if (type == MESSAGE_TICKET && is_client)
            continue;
        /* Nothing may follow it under the key it ends. */
        if (type != MESSAGE_KEY_UPDATE || content.len > 0)
            return unexpected(alert, RECORD_UNEXPECTED_MESSAGE);
        if (len != 1 || (uint8_t)body.ptr[0] > 1)
            return unexpected(alert, RECORD_DECODE_ERROR);
        if (!next_secret(r->suite, &r->in, false))
            return unexpected(alert, RECORD_INTERNAL_ERROR);
        *answer = body.ptr[0] == 1;
    }
    return content.len == 0 ? 0 : unexpected(alert, RECORD_DECODE_ERROR);
}

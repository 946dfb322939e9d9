#include "acme/jws.h"

#include "core/mem.h"
#include "crypto/hash.h"
#include "json/writer.h"

#define TEXT_MAX ((size_t)256 << 10)

/* In the order, and without the spaces, that the thumbprint wants. */
static void put_jwk(struct buf *out, const struct p256_key *key)
{
    uint8_t x[P256_BYTES], y[P256_BYTES];

    p256_key_public(key, x, y);
    buf_put(out, STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\""));
    buf_put_base64url(out, str_bytes(x, sizeof(x)));
    buf_put(out, STR("\",\"y\":\""));
    buf_put_base64url(out, str_bytes(y, sizeof(y)));
    buf_put(out, STR("\"}"));
}

void acme_put_thumbprint(struct buf *out, const struct p256_key *key)
{
    AUTO_FINI(buf_fini) struct buf jwk = BUF(1024);
    uint8_t hash[HASH_BYTES];

    put_jwk(&jwk, key);
    sha256(buf_str(&jwk), hash);
    buf_put_base64url(out, str_bytes(hash, sizeof(hash)));
}

void acme_put_key_authorization(struct buf *out, const struct p256_key *key, struct str token)
{
    buf_put(out, token);
    buf_put_char(out, '.');
    acme_put_thumbprint(out, key);
}

/* base64url(protected) "." base64url(payload): what is signed. */
static void put_input(struct buf *out, struct str header, struct str payload)
{
    buf_put_base64url(out, header);
    buf_put_char(out, '.');
    buf_put_base64url(out, payload);
}

static void put_flat(struct buf *out, struct str input, struct str signature)
{
    struct json_writer w = JSON_WRITER(out);
    struct str header, payload;

    (void)str_split(input, '.', &header, &payload);
    json_begin_object(&w);
    json_field_str(&w, STR("protected"), header);
    json_field_str(&w, STR("payload"), payload);
    json_key(&w, STR("signature"));
    json_begin_plain(&w);
    buf_put_base64url(out, signature);
    json_end_plain(&w);
    json_end_object(&w);
}

void acme_put_jws(struct buf *out, const struct acme_jws *j, struct str payload)
{
    AUTO_FINI(buf_fini) struct buf header = BUF(TEXT_MAX), input = BUF(TEXT_MAX);
    struct json_writer w = JSON_WRITER(&header);
    uint8_t signature[P256_SIGNATURE_BYTES];

    json_begin_object(&w);
    json_field_str(&w, STR("alg"), STR("ES256"));
    if (j->kid.len > 0) {
        json_field_str(&w, STR("kid"), j->kid);
    } else {
        json_key(&w, STR("jwk"));
        json_value_follows(&w);
        put_jwk(&header, j->key);
    }
    json_field_str(&w, STR("nonce"), j->nonce);
    json_field_str(&w, STR("url"), j->url);
    json_end_object(&w);
    put_input(&input, buf_str(&header), payload);
    p256_sign(j->key, buf_str(&input), signature);
    put_flat(out, buf_str(&input), str_bytes(signature, sizeof(signature)));
}

void acme_put_binding(struct buf *out, const struct p256_key *key, struct str kid,
                      struct str mac_key, struct str url)
{
    AUTO_FINI(buf_fini) struct buf header = BUF(TEXT_MAX), input = BUF(TEXT_MAX), jwk = BUF(1024);
    struct json_writer w = JSON_WRITER(&header);
    uint8_t mac[HASH_BYTES];

    json_begin_object(&w);
    json_field_str(&w, STR("alg"), STR("HS256"));
    json_field_str(&w, STR("kid"), kid);
    json_field_str(&w, STR("url"), url);
    json_end_object(&w);
    put_jwk(&jwk, key);
    put_input(&input, buf_str(&header), buf_str(&jwk));
    sha256_hmac(mac_key, buf_str(&input), mac);
    put_flat(out, buf_str(&input), str_bytes(mac, sizeof(mac)));
}

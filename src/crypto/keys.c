#include "crypto/keys.h"

#include "core/mem.h"
#include "crypto/x25519.h"

_Static_assert(KEY_BYTES == X25519_BYTES, "private keys are X25519 keys");

bool key_parse(struct str text, struct str prefix, uint8_t out[KEY_BYTES])
{
    return str_starts(text, prefix) && hex_decode(str_from_index(text, prefix.len), out, KEY_BYTES);
}

void key_put(struct buf *out, struct str prefix, const uint8_t key[KEY_BYTES])
{
    buf_put(out, prefix);
    buf_put_hex(out, str_bytes(key, KEY_BYTES));
}

bool key_is_zero(const uint8_t key[KEY_BYTES])
{
    static const uint8_t zero[KEY_BYTES];

    return key_eq(key, zero);
}

bool key_eq(const uint8_t a[KEY_BYTES], const uint8_t b[KEY_BYTES])
{
    return memcmp(a, b, KEY_BYTES) == 0;
}

void key_put_short(struct buf *out, const uint8_t key[KEY_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = 0; /* the first 5 bytes; 5 digits are their upper 30 bits */

    for (size_t i = 0; i < 5; i++)
        bits = bits << 8 | key[i];
    buf_put_char(out, '[');
    for (unsigned shift = 34; shift >= 10; shift -= 6)
        buf_put_char(out, digits[bits >> shift & 63]);
    buf_put_char(out, ']');
}

void key_generate(uint8_t out[KEY_BYTES])
{
    struct x25519_private key;

    x25519_generate(&key);
    memcpy(out, key.b, KEY_BYTES);
    x25519_private_fini(&key);
}

void key_public(const uint8_t key[KEY_BYTES], uint8_t pub[KEY_BYTES])
{
    struct x25519_private scalar;

    memcpy(scalar.b, key, KEY_BYTES);
    x25519_public(&scalar, pub);
    x25519_private_fini(&scalar);
}

void key_wipe(uint8_t key[KEY_BYTES])
{
    mem_wipe(key, KEY_BYTES);
}

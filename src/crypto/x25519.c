#include "crypto/x25519.h"

#include <pthread.h>
#include <sodium.h>

#include "core/mem.h"
#include "core/rand.h"
#include "crypto/crypto_internal.h"

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;

static void sodium_start(void)
{
    ASSERT(sodium_init() >= 0);
}

void crypto_sodium_ready(void)
{
    ASSERT(pthread_once(&sodium_once, sodium_start) == 0);
}

void x25519_clamp(uint8_t key[X25519_BYTES])
{
    key[0] &= 248;
    key[31] = (uint8_t)((key[31] & 127) | 64);
}

void x25519_generate(struct x25519_private *out)
{
    rand_bytes(out->b, sizeof(out->b));
    x25519_clamp(out->b);
}

void x25519_public(const struct x25519_private *key, uint8_t pub[X25519_BYTES])
{
    crypto_sodium_ready();
    ASSERT(crypto_scalarmult_curve25519_base(pub, key->b) == 0);
}

bool x25519(const struct x25519_private *key, const uint8_t point[X25519_BYTES],
            uint8_t out[X25519_BYTES])
{
    crypto_sodium_ready();
    if (crypto_scalarmult_curve25519(out, key->b, point) == 0 && !sodium_is_zero(out, X25519_BYTES))
        return true;
    mem_wipe(out, X25519_BYTES);
    return false;
}

void x25519_private_fini(struct x25519_private *key)
{
    if (key)
        mem_wipe(key, sizeof(*key));
}

/* AES-128-GCM: see gcm_internal.h. */

#include "net/gcm_internal.h"

#include "core/mem.h"

#ifdef HATSIZE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

#define WANTED (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)
#define KEY_ALIGN ((size_t)64)

struct gcm {
    struct gcm_key_data *key; /* in the memory behind, where its alignment has it */
    uint8_t memory[sizeof(struct gcm_key_data) + KEY_ALIGN];
};

/* Only its table of functions is used, which nobody changes: for all threads. */
static IMB_MGR *functions;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    IMB_MGR *m = alloc_mb_mgr(0);

    if (!m)
        return;
    init_mb_mgr_auto(m, NULL);
    if (imb_get_errno(m) == 0 && (m->features & WANTED) == WANTED)
        functions = m;
    else
        free_mb_mgr(m);
}

bool gcm_is_there(void)
{
    (void)pthread_once(&once, choose);
    return functions != NULL;
}

struct gcm *gcm_new(const uint8_t key[GCM_KEY])
{
    struct gcm *g = NEW(struct gcm);
    size_t over = (uintptr_t)g->memory % KEY_ALIGN;

    ASSERT(gcm_is_there());
    g->key = (void *)(g->memory + (over ? KEY_ALIGN - over : 0));
    IMB_AES128_GCM_PRE(functions, key, g->key);
    return g;
}

void gcm_free(struct gcm *g)
{
    if (g)
        mem_wipe(g, sizeof(*g));
    mem_free(g);
}

void gcm_seal(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad, const uint8_t *in,
              size_t len, uint8_t last, uint8_t *out)
{
    struct gcm_context_data state;

    if (len > 0)
        memcpy(out, in, len);
    out[len] = last;
    IMB_AES128_GCM_ENC(functions, g->key, &state, out, out, len + 1, iv, (const uint8_t *)ad.ptr,
                       ad.len, out + len + 1, GCM_TAG);
}

bool gcm_open(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad, const uint8_t *in,
              size_t len, uint8_t *out)
{
    struct gcm_context_data state;
    uint8_t tag[GCM_TAG];

    IMB_AES128_GCM_DEC(functions, g->key, &state, out, in, len, iv, (const uint8_t *)ad.ptr, ad.len,
                       tag, GCM_TAG);
    return CRYPTO_memcmp(tag, in + len, GCM_TAG) == 0;
}

#else

bool gcm_is_there(void)
{
    return false;
}

struct gcm *gcm_new(const uint8_t key[GCM_KEY])
{
    (void)key;
    ASSERT(false);
    return NULL;
}

void gcm_free(struct gcm *g)
{
    (void)g;
}

void gcm_seal(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad, const uint8_t *in,
              size_t len, uint8_t last, uint8_t *out)
{
    (void)g, (void)iv, (void)ad, (void)in, (void)len, (void)last, (void)out;
    ASSERT(false);
}

bool gcm_open(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad, const uint8_t *in,
              size_t len, uint8_t *out)
{
    (void)g, (void)iv, (void)ad, (void)in, (void)len, (void)out;
    ASSERT(false);
    return false;
}

#endif

#include "crypto/box.h"

#include <sodium.h>

#include "core/mem.h"
#include "core/num.h"
#include "core/rand.h"
#include "crypto/crypto_internal.h"

_Static_assert(sizeof(((struct box_key *)NULL)->b) == crypto_box_BEFORENMBYTES, "shared key");
_Static_assert(BOX_NONCE_BYTES == crypto_box_NONCEBYTES && BOX_TAG_BYTES == crypto_box_MACBYTES,
               "sizes of NaCl's box");

bool box_key_init(struct box_key *k, const struct node_private *own, const struct node_key *peer)
{
    crypto_sodium_ready();
    if (crypto_box_beforenm(k->b, peer->b, own->b) == 0)
        return true;
    mem_wipe(k, sizeof(*k));
    return false;
}

void box_key_fini(struct box_key *k)
{
    if (k)
        mem_wipe(k, sizeof(*k));
}

void box_seal(const struct box_key *k, struct str plain, struct buf *out)
{
    uint8_t nonce[BOX_NONCE_BYTES];

    rand_bytes(nonce, sizeof(nonce));
    box_seal_with(k, nonce, plain, out);
}

void box_seal_with(const struct box_key *k, const uint8_t nonce[BOX_NONCE_BYTES], struct str plain,
                   struct buf *out)
{
    size_t len;

    ASSERT(!num_add_overflows(plain.len, (size_t)BOX_OVERHEAD, &len));
    char *to = buf_reserve(out, len);
    if (!to)
        return; /* `full` says so */
    memcpy(to, nonce, BOX_NONCE_BYTES);
    ASSERT(crypto_box_easy_afternm((unsigned char *)to + BOX_NONCE_BYTES,
                                   (const unsigned char *)plain.ptr, plain.len, nonce, k->b) == 0);
    buf_added(out, len);
}

bool box_open(const struct box_key *k, struct str sealed, struct buf *out)
{
    if (sealed.len < BOX_OVERHEAD)
        return false;
    size_t len = sealed.len - BOX_OVERHEAD;
    const unsigned char *nonce = (const unsigned char *)sealed.ptr;
    char *to = buf_reserve(out, len);

    if (!to || crypto_box_open_easy_afternm((unsigned char *)to, nonce + BOX_NONCE_BYTES,
                                            sealed.len - BOX_NONCE_BYTES, nonce, k->b) != 0)
        return false;
    buf_added(out, len);
    return true;
}

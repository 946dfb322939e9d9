#pragma once

/*
 * The keys of the protocol, each kind a type of its own, and their text forms.
 *
 * A public key's text is a prefix and 64 hexadecimal digits. Parsing takes the whole text, upper or
 * lower case digits, and sets its output on success only; putting writes lower case. The all-zero
 * key is how the protocol says "none": it parses, and X_is_zero tells.
 *
 * For each kind X below:
 *
 *   bool X_parse(struct str text, struct X *out)
 *   void X_put(struct buf *out, const struct X *key)
 *   bool X_is_zero(const struct X *key)
 *   bool X_eq(const struct X *a, const struct X *b)
 *   struct str X_str(const struct X *key)              the raw 32 bytes, borrowed; for map keys
 *
 * Source: docs/protocol.md, "Key encodings"; tailscale types/key.
 */

#include "core/buf.h"

#define KEY_BYTES 32

/* What the kinds are made of; callers use the typed functions. */
MUST_USE bool key_parse(struct str text, struct str prefix, uint8_t out[KEY_BYTES]);
void key_put(struct buf *out, struct str prefix, const uint8_t key[KEY_BYTES]);
bool key_is_zero(const uint8_t key[KEY_BYTES]);
bool key_eq(const uint8_t a[KEY_BYTES], const uint8_t b[KEY_BYTES]);

/* "[" and the first 5 characters of the key in base64 and "]": enough for logs and tables. */
void key_put_short(struct buf *out, const uint8_t key[KEY_BYTES]);

#define KEY_PUBLIC(name, prefix)                                             \
    struct name {                                                            \
        uint8_t b[KEY_BYTES];                                                \
    };                                                                       \
    static inline void name##_put(struct buf *out, const struct name *key)   \
    {                                                                        \
        key_put(out, STR(prefix), key->b);                                   \
    }                                                                        \
    static inline bool name##_is_zero(const struct name *key)                \
    {                                                                        \
        return key_is_zero(key->b);                                          \
    }                                                                        \
    static inline bool name##_eq(const struct name *a, const struct name *b) \
    {                                                                        \
        return key_eq(a->b, b->b);                                           \
    }                                                                        \
    static inline struct str name##_str(const struct name *key)              \
    {                                                                        \
        return str_bytes(key->b, KEY_BYTES);                                 \
    }                                                                        \
    MUST_USE static inline bool name##_parse(struct str text, struct name *out)

KEY_PUBLIC(node_key, "nodekey:") /* WireGuard's, X25519; a relay's public key has this type too */
{
    return key_parse(text, STR("nodekey:"), out->b);
}

KEY_PUBLIC(machine_key, "mkey:") /* who opens a control channel, X25519; also the server's own */
{
    return key_parse(text, STR("mkey:"), out->b);
}

KEY_PUBLIC(disco_key, "discokey:") /* path discovery, X25519, new with each client process */
{
    return key_parse(text, STR("discokey:"), out->b);
}

KEY_PUBLIC(nl_key, "nlpub:") /* tailnet lock, Ed25519; people type "tlpub:" */
{
    return key_parse(text, STR("nlpub:"), out->b) || key_parse(text, STR("tlpub:"), out->b);
}

KEY_PUBLIC(challenge_key, "chalpub:") /* what the early payload offers, X25519 */
{
    return key_parse(text, STR("chalpub:"), out->b);
}

/*
 * Private keys. Text form: "privkey:" and 64 digits, for every kind.
 *
 *   void X_generate(struct X *out)                      random, clamped
 *   void X_public(const struct X *key, struct … *pub)
 *   bool X_parse(struct str text, struct X *out)        the bytes as they are, not clamped
 *   void X_put(struct buf *out, const struct X *key)    wipe the buffer's memory when done with it
 *   void X_fini(struct X *key)                          wipes; for AUTO_FINI(X_fini) too
 */
void key_generate(uint8_t out[KEY_BYTES]);
void key_public(const uint8_t key[KEY_BYTES], uint8_t pub[KEY_BYTES]);
void key_wipe(uint8_t key[KEY_BYTES]);

#define KEY_PRIVATE(name, public_name)                                                \
    struct name {                                                                     \
        uint8_t b[KEY_BYTES];                                                         \
    };                                                                                \
    static inline void name##_generate(struct name *out)                              \
    {                                                                                 \
        key_generate(out->b);                                                         \
    }                                                                                 \
    static inline void name##_public(const struct name *key, struct public_name *pub) \
    {                                                                                 \
        key_public(key->b, pub->b);                                                   \
    }                                                                                 \
    MUST_USE static inline bool name##_parse(struct str text, struct name *out)       \
    {                                                                                 \
        return key_parse(text, STR("privkey:"), out->b);                              \
    }                                                                                 \
    static inline void name##_put(struct buf *out, const struct name *key)            \
    {                                                                                 \
        key_put(out, STR("privkey:"), key->b);                                        \
    }                                                                                 \
    static inline void name##_fini(struct name *key)                                  \
    {                                                                                 \
        key_wipe(key->b);                                                             \
    }                                                                                 \
    struct name##_needs_semicolon_

KEY_PRIVATE(node_private, node_key);
KEY_PRIVATE(machine_private, machine_key);

#pragma once

/*
 * AES-128-GCM by Intel's library for IPsec, where it is there.
 *
 * OpenSSL's way to the cipher costs a record of a hundred bytes three times what the cipher itself
 * does (parameters by name, and for longer ones a table of powers made anew each time), and a relay
 * opens a record a packet. That library makes its table once a key and has one call a message.
 */

#include "core/str.h"

#define GCM_KEY 16
#define GCM_IV 12
#define GCM_TAG 16

/* Whether it can be used: a build with the library, and a processor with AES and PCLMUL. */
bool gcm_is_there(void);

struct gcm;

/* Only where gcm_is_there(). */
struct gcm *gcm_new(const uint8_t key[GCM_KEY]);
void gcm_free(struct gcm *g); /* wipes; NULL is fine */

/*
 * Seals `len` bytes and the one byte `last` behind them (of a record that is its type): len + 1
 * bytes to `out`, which does not overlap `in`, and the tag behind them. An IV seals one message.
 */
void gcm_seal(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad, const uint8_t *in,
              size_t len, uint8_t last, uint8_t *out);
/*
 * Opens `len` bytes whose tag is behind them. False: the tag is wrong, and what has been written to
 * `out` means nothing.
 */
MUST_USE bool gcm_open(const struct gcm *g, const uint8_t iv[GCM_IV], struct str ad,
                       const uint8_t *in, size_t len, uint8_t *out);

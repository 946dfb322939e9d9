#pragma once

/*
 * TLS 1.3 records after the handshake: sealing what goes out, opening what comes.
 *
 * OpenSSL makes the handshake and hands over the two traffic secrets; from then on records are
 * sealed straight into the buffer that the kernel is given, and opened straight from the one that
 * it filled, each with one call of the cipher. That costs less than half per small record of what
 * going through a TLS library does, needs no copies, and the connection's part of that library,
 * some dozens of KiB, is freed.
 *
 * The codec does no I/O. A failure is the connection's end: `record_alert` is what to tell the
 * peer.
 *
 * Source: RFC 8446 4.6.3, 5, 6, 7.1 to 7.3.
 */

#include "core/buf.h"
#include "core/err.h"

#define RECORD_HEADER 5
#define RECORD_PLAIN_MAX ((size_t)16384)
/* A whole record: header, content, padding and tag. */
#define RECORD_MAX (RECORD_HEADER + RECORD_PLAIN_MAX + 256)
#define RECORD_SECRET_MAX 48

enum record_type { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };

enum record_alert {
    RECORD_CLOSE_NOTIFY = 0,
    RECORD_UNEXPECTED_MESSAGE = 10,
    RECORD_BAD_MAC = 20,
    RECORD_OVERFLOW = 22,
    RECORD_DECODE_ERROR = 50,
    RECORD_INTERNAL_ERROR = 80,
    RECORD_USER_CANCELED = 90,
};

/* By TLS's own number of the cipher suite. */
enum record_suite {
    RECORD_AES_128_GCM_SHA256 = 0x1301,
    RECORD_AES_256_GCM_SHA384 = 0x1302,
    RECORD_CHACHA20_POLY1305_SHA256 = 0x1303,
};

struct record_options {
    unsigned suite;                        /* enum record_suite; others are refused */
    uint8_t in_secret[RECORD_SECRET_MAX];  /* as many bytes as the suite's hash has */
    uint8_t out_secret[RECORD_SECRET_MAX]; /* the same */
    size_t secret_len;
    uint64_t out_seq; /* records sent under out_secret so far */
    /* Records under one key before the next is taken; 0: 2^24, RFC 8446 5.5. For tests. */
    uint64_t records_per_key;
};

struct record;
MUST_USE int record_new(const struct record_options *options, struct record **out, struct err *err);
void record_free(struct record *r); /* wipes; NULL is fine */

/*
 * Appends `plain`, in as many records as it needs, to `out`. Empty data is nothing. Negative: the
 * cipher or `out` failed, and the connection cannot go on.
 */
MUST_USE int record_seal(struct record *r, enum record_type type, struct str plain, struct buf *out,
                         struct err *err);

enum record_opened { RECORD_OK, RECORD_MORE, RECORD_FULL, RECORD_BROKEN };

struct record_content {
    uint8_t type; /* enum record_type; others are BROKEN */
    size_t len;   /* bytes of it in `plain` */
    size_t used;  /* bytes of `in`: the whole record */
};

/*
 * Opens the record at the front of `in`, which may hold any part of it or more.
 *
 *   plain  out, `cap` bytes: may be written to beyond `len`, and when the record is BROKEN
 *   got    out, set on OK only
 *
 * MORE: `record_wants` says how much the record is in all. FULL: it may need more room than `cap`;
 * RECORD_PLAIN_MAX + 256 always does. BROKEN: *alert says why.
 */
MUST_USE enum record_opened record_open(struct record *r, struct str in, char *plain, size_t cap,
                                        struct record_content *got, uint8_t *alert);
/* Bytes of the record at the front of `in`; of its header while that is not whole. At most
 * RECORD_MAX for one that record_open would not refuse. */
size_t record_wants(struct str in);

/*
 * A handshake message came: tickets are skipped (`is_client`), a key update is done. *answer: the
 * peer wants us to follow: seal our own with record_update. Negative: *alert says why.
 */
MUST_USE int record_on_handshake(struct record *r, struct str content, bool is_client, bool *answer,
                                 uint8_t *alert);
/* Appends a key update that asks for nothing, and takes the next key. */
MUST_USE int record_update(struct record *r, struct buf *out, struct err *err);

#pragma once

/*
 * Questions about certificates that somebody gave us, and what is needed to be given some. Texts
 * are PEM; of several certificates in one the first counts, and keys among them do not disturb.
 */

#include "core/buf.h"
#include "core/err.h"

/* Whether it is for this DNS name or IP literal. */
MUST_USE int cert_is_for_host(struct str cert_pem, struct str host, bool *yes, struct err *err);

struct cert_times {
    int64_t not_before_unix_ms;
    int64_t not_after_unix_ms;
};
MUST_USE int cert_times(struct str cert_pem, struct cert_times *out, struct err *err);
/*
 * By what its issuer knows it in questions about its renewal: appended. ERR_NOT_FOUND: it does not
 * say who issued it. Source: RFC 9773 section 4.1.
 */
MUST_USE int cert_renewal_id(struct str cert_pem, struct buf *out, struct err *err);

/* A new P-256 key, as "EC PRIVATE KEY", appended. */
MUST_USE int cert_key_new(struct buf *key_pem, struct err *err);
/* A request (PKCS #10, DER) for a certificate of the key for these DNS names and IP literals. */
MUST_USE int cert_request(struct str key_pem, const struct str *names, size_t n_names,
                          struct buf *der, struct err *err);
/*
 * The self-signed certificate, and its new key, that answer a tls-alpn-01 challenge for the name;
 * `sha256` is of the key authorization. Source: RFC 8737 section 3.
 */
MUST_USE int cert_challenge(struct str name, const uint8_t sha256[32], struct buf *cert_pem,
                            struct buf *key_pem, struct err *err);

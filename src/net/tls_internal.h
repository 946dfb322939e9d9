#pragma once

/* What streams (tls.c), contexts (tls_context.c) and certificates (cert.c) share. */

#include <openssl/ssl.h>

#include "net/tls.h"

/* ERR_IO with OpenSSL's newest complaint behind the text. */
MUST_USE int tls_fail(struct err *err, const char *doing);

/* A connection about to begin, to be freed by the caller; it still lacks its BIOs. */
SSL *tls_server_begin(struct tls_server *t);
MUST_USE int tls_client_begin(const struct tls_client_options *options, SSL **out, struct err *err);
/* The peer's certificate has this hash. */
bool tls_pin_is_right(const SSL *ssl, const uint8_t pin[32]);
/* Hears the secrets of every connection of a context; the connection's app data is its stream. */
void tls_on_secret(const SSL *ssl, const char *line);
/* The connection's own address. */
struct ip_addr tls_local(const SSL *ssl);
/* Of a server's connection: HTTP/2 may be agreed on. */
bool tls_may_h2(const SSL *ssl);

/* The first private key of a PEM text, to be freed, or NULL; never asks for a passphrase. */
EVP_PKEY *tls_read_key(struct str pem);

/* ---- tls_certs.c ---- */

struct tls_hello {
    struct str server_name; /* SNI, may be empty */
    bool is_challenge;      /* offers "acme-tls/1" only */
    struct ip_addr local;
};
/* Counted: for the caller to drop. NULL: refuse with *alert. */
MUST_USE struct tls_server *tls_certs_choose(struct tls_certs *c, const struct tls_hello *hello,
                                             int *alert);
/* Whether the SNI names the host. */
bool tls_name_is(struct str server_name, struct str host);
/* One that only answers a challenge. */
MUST_USE int tls_server_new_challenge(struct str cert_pem, struct str key_pem,
                                      struct tls_server **out, struct err *err);
/* After the handshake: it was one of those. */
bool tls_is_challenge(const SSL *ssl);

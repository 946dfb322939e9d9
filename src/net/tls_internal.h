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

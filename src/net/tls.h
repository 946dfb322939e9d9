#pragma once

/*
 * TLS over a stream (OpenSSL, memory BIOs). TLS 1.2 and 1.3; certificates can be replaced while
 * connections live: those keep the context they began with.
 */

#include "core/buf.h"
#include "net/stream.h"

struct tls_server; /* counted, any thread */
struct tls_certs;

struct tls_server_options {
    struct str cert_pem; /* leaf first, then its chain; a key among them does not disturb */
    struct str key_pem;
    struct str
        extra_der; /* one more certificate to append to the chain (the relay's meta certificate) */
    /* When there are any: who names (SNI) none of them, or nothing, is refused. */
    const struct str *names;
    size_t n_names;
    struct tls_certs *certs; /* not NULL: chooses from these instead of all the above */
};
MUST_USE int tls_server_new(const struct tls_server_options *options, struct tls_server **out,
                            struct err *err);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t);

/*
 * Certificates to choose from by what a client's hello asks for; counted, any thread. Replacing one
 * is for connections to come.
 *
 *   names a DNS name (SNI)                               that name's certificate
 *   names nothing, or the address it is connected to     that address's
 *                                                        else the default
 *   offers the protocol "acme-tls/1" and no other        the name's challenge certificate, and then
 *                                                        the connection is over
 *
 * Else it is refused: unrecognized_name for a name that is not there, internal_error for one whose
 * certificate is not there yet. DNS names are compared without case or a dot at the end.
 *
 * Source: RFC 6066 section 3, RFC 8737; tailscale cmd/derper (cert.go, ipcert.go).
 */
/* Somebody asked for the certificate of this address of ours, and there is none. On any loop. */
typedef void tls_certs_missing_fn(void *user, struct ip_addr local);
/* on_missing may be NULL. */
MUST_USE struct tls_certs *tls_certs_new(tls_certs_missing_fn *on_missing, void *user);
struct tls_certs *tls_certs_ref(struct tls_certs *c);
void tls_certs_unref(struct tls_certs *c);
/* `name` is a DNS name or an IP literal. NULL: the name is ours, the certificate is to come. */
void tls_certs_put(struct tls_certs *c, struct str name, struct tls_server *cert);
/* Whose certificate those get who name nothing and whose address has none, as behind NAT. */
void tls_certs_set_default(struct tls_certs *c, struct str name);
/* A challenge certificate (cert.h) for the name; with empty texts it is taken away. */
MUST_USE int tls_certs_put_challenge(struct tls_certs *c, struct str name, struct str cert_pem,
                                     struct str key_pem, struct err *err);

/* Takes `below`; the handshake runs as data comes (10 s at most, then aborted). */
MUST_USE struct stream *tls_accept(struct tls_server *t, struct stream *below);
/* The same where HTTP/2 may be agreed on (ALPN), which elsewhere it may not: upgrades need HTTP/1.1. */
MUST_USE struct stream *tls_accept_h2(struct tls_server *t, struct stream *below);

/*
 * What many outgoing connections may share, so that each costs less: counted, any thread. Its
 * connections offer ciphers in the order official clients do, AES-128-GCM first, and like a
 * server's go on without OpenSSL after a handshake of TLS 1.3 (unless they have a pin).
 */
struct tls_client;
MUST_USE int tls_client_new(struct tls_client **out, struct err *err);
void tls_client_unref(struct tls_client *t);

struct tls_client_options {
    struct tls_client *shared; /* borrowed for the call; NULL: the connection has its own */
    struct str server_name;    /* SNI and name to verify; empty for none */
    uint8_t pin_sha256[32];    /* of the leaf's DER, when has_pin */
    bool has_pin;
    bool insecure;                /* neither chain nor name: tests only */
    void (*on_ready)(void *user); /* handshake done; may be NULL */
    void *user;
};
/* Takes `below`. */
MUST_USE int tls_connect(const struct tls_client_options *options, struct stream *below,
                         struct stream **out, struct err *err);

/*
 * A self-signed ECDSA P-256 certificate for `names` (DNS names or IP literals, as SANs), valid ten
 * years from a day ago. PEM texts go to the buffers; sha256 is of the certificate's DER form.
 */
MUST_USE int tls_self_signed(const struct str *names, size_t n_names, struct buf *cert_pem,
                             struct buf *key_pem, uint8_t sha256[32], struct err *err);
/* SHA-256 of the first certificate in a PEM text. */
MUST_USE int tls_cert_sha256(struct str cert_pem, uint8_t sha256[32], struct err *err);
/*
 * The relay's meta certificate (protocol.md 16.2): self-signed Ed25519, CN `derpkey` + hex, serial
 * 2, valid 30 days to either side of now. DER form appended to `der`.
 */
MUST_USE int tls_derp_meta_cert(const uint8_t derp_public[32], struct buf *der, struct err *err);

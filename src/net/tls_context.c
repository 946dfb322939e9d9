/* What TLS connections are begun with: certificates, keys, which peer is the right one. */

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/mem.h"
#include "net/tls_internal.h"

struct tls_client {
    struct ref ref;
    SSL_CTX *ctx;
};

struct tls_server {
    struct ref ref;
    SSL_CTX *ctx;
};

int tls_fail(struct err *err, const char *doing)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return err_set(err, ERR_IO, "%s: %s", doing, reason ? reason : "failed");
}

/* ---- Server ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char http1[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    /* Upgrades need HTTP/1.1, so nothing else is ever agreed. */
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, http1, sizeof(http1) - 1,
                              in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static int use_cert(SSL_CTX *ctx, struct str pem, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int status = 0;

    if (!cert || SSL_CTX_use_certificate(ctx, cert) != 1)
        status = tls_fail(err, "reading the certificate");
    X509_free(cert);
    while (status == 0 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1)
            status = tls_fail(err, "reading the certificate's chain");
    ERR_clear_error(); /* the end of the text */
    BIO_free(bio);
    return status;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static int use_key(SSL_CTX *ctx, struct str pem, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int status = 0;

    if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1)
        status = tls_fail(err, "reading the certificate's key");
    else if (SSL_CTX_check_private_key(ctx) != 1)
        status = tls_fail(err, "the key is not the certificate's");
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}

static int use_extra(SSL_CTX *ctx, struct str der, struct err *err)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);

    if (cert && SSL_CTX_add0_chain_cert(ctx, cert) == 1)
        return 0;
    X509_free(cert);
    return tls_fail(err, "adding a certificate");
}

int tls_server_new(const struct tls_server_options *options, struct tls_server **out,
                   struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int status = ctx ? 0 : tls_fail(err, "setting up TLS");

    if (status == 0) {
        (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        /* Clients resume with tickets; remembering them here would be memory that strangers fill.
         */
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_security_level(ctx, 1); /* the meta certificate is not ours to judge */
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
        SSL_CTX_set_keylog_callback(ctx, tls_on_secret);
        status = use_cert(ctx, options->cert_pem, err);
    }
    if (status == 0)
        status = use_key(ctx, options->key_pem, err);
    if (status == 0 && options->extra_der.len > 0)
        status = use_extra(ctx, options->extra_der, err);
    if (status < 0) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = NEW(struct tls_server);
    ref_init(&(*out)->ref);
    (*out)->ctx = ctx;
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    ref_take(&t->ref);
    return t;
}

void tls_server_unref(struct tls_server *t)
{
    if (!t || !ref_drop(&t->ref))
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t);
}

SSL *tls_server_begin(struct tls_server *t)
{
    SSL *ssl = SSL_new(t->ctx);

    ASSERT(ssl);
    SSL_set_accept_state(ssl);
    return ssl;
}

/* ---- Client ---- */

bool tls_pin_is_right(const SSL *ssl, const uint8_t pin[32])
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    uint8_t hash[32];
    unsigned n = sizeof(hash);
    bool same = cert && X509_digest(cert, EVP_sha256(), hash, &n) == 1 && n == sizeof(hash) &&
                str_eq_secret(str_bytes(hash, sizeof(hash)), str_bytes(pin, sizeof(hash)));

    X509_free(cert);
    return same;
}

static int set_peer_name(SSL *ssl, const struct tls_client_options *o, struct err *err)
{
    struct ip_addr literal;
    char *name = str_dup(o->server_name);
    int ok = 1;

    if (ip_addr_parse(o->server_name, &literal))
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    else
        ok = SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
    mem_free(name);
    return ok == 1 ? 0 : tls_fail(err, "setting the server's name");
}

static SSL_CTX *client_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx)
        return NULL;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_default_verify_paths(ctx);
    return ctx;
}

int tls_client_new(struct tls_client **out, struct err *err)
{
    SSL_CTX *ctx = client_ctx();

    if (!ctx || SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                              "TLS_CHACHA20_POLY1305_SHA256") != 1) {
        SSL_CTX_free(ctx);
        return tls_fail(err, "setting up TLS");
    }
    SSL_CTX_set_keylog_callback(ctx, tls_on_secret);
    *out = NEW(struct tls_client);
    ref_init(&(*out)->ref);
    (*out)->ctx = ctx;
    return 0;
}

void tls_client_unref(struct tls_client *t)
{
    if (!t || !ref_drop(&t->ref))
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t);
}

int tls_client_begin(const struct tls_client_options *options, SSL **out, struct err *err)
{
    SSL_CTX *own = options->shared ? NULL : client_ctx();
    SSL_CTX *ctx = options->shared ? options->shared->ctx : own;
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    int status = ssl ? 0 : tls_fail(err, "setting up TLS");

    if (status == 0) {
        /* A pin stands for the chain. */
        SSL_set_verify(
            ssl, options->insecure || options->has_pin ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        SSL_set_connect_state(ssl);
        if (options->server_name.len > 0)
            status = set_peer_name(ssl, options, err);
    }
    SSL_CTX_free(own);
    if (status < 0)
        SSL_free(ssl);
    else
        *out = ssl;
    return status;
}

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
    struct str_list names;   /* empty: whatever a client asks for */
    struct tls_certs *certs; /* or NULL */
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
    static const unsigned char known[] = "\x02h2\x08http/1.1";
    const size_t h2 = 3; /* bytes of it */
    /* Upgrades need HTTP/1.1, so where there are any nothing else is agreed. */
    size_t skip = tls_may_h2(ssl) ? 0 : h2;

    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, known + skip,
                              (unsigned)(sizeof(known) - 1 - skip), in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

/* A challenge is for nobody who would speak HTTP. */
static int select_challenge(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                            const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char acme[] = "\x0a"
                                        "acme-tls/1";

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, acme, sizeof(acme) - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

bool tls_is_challenge(const SSL *ssl)
{
    const unsigned char *protocol = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(ssl, &protocol, &len);
    return str_eq(str_bytes(protocol, len), STR("acme-tls/1"));
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

EVP_PKEY *tls_read_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

    BIO_free(bio);
    return key;
}

static int use_key(SSL_CTX *ctx, struct str pem, struct err *err)
{
    EVP_PKEY *key = tls_read_key(pem);
    int status = 0;

    if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1)
        status = tls_fail(err, "reading the certificate's key");
    else if (SSL_CTX_check_private_key(ctx) != 1)
        status = tls_fail(err, "the key is not the certificate's");
    EVP_PKEY_free(key);
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

/* ---- What a client asks for ---- */

static struct str hello_ext(SSL *ssl, unsigned type)
{
    const unsigned char *at = NULL;
    size_t len = 0;

    return SSL_client_hello_get0_ext(ssl, type, &at, &len) == 1 ? str_bytes(at, len) : STR_NONE;
}

/* A list of one host name; OpenSSL judges the form later. */
static struct str hello_name(SSL *ssl)
{
    struct str ext = hello_ext(ssl, TLSEXT_TYPE_server_name);

    if (ext.len < 5 || ext.ptr[2] != TLSEXT_NAMETYPE_host_name)
        return STR_NONE;
    return str_sub(ext, 5, str_be16(ext, 3));
}

static bool hello_is_challenge(SSL *ssl)
{
    return str_eq(hello_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation),
                  STR("\x00\x0b\x0a"
                      "acme-tls/1"));
}

static int on_hello(SSL *ssl, int *alert, void *user)
{
    const struct tls_server *t = user;
    const struct tls_hello hello = {hello_name(ssl), hello_is_challenge(ssl), tls_local(ssl)};

    *alert = SSL_AD_UNRECOGNIZED_NAME;
    if (!t->certs) {
        for (size_t i = 0; i < t->names.len; i++)
            if (tls_name_is(hello.server_name, t->names.items[i]))
                return SSL_CLIENT_HELLO_SUCCESS;
        return SSL_CLIENT_HELLO_ERROR;
    }
    struct tls_server *cert = tls_certs_choose(t->certs, &hello, alert);
    bool ok = cert && SSL_set_SSL_CTX(ssl, cert->ctx) != NULL;

    tls_server_unref(cert); /* the connection keeps the context */
    return ok ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

static SSL_CTX *server_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx)
        return NULL;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Clients resume with tickets; remembering them here would be memory that strangers fill. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(ctx, 1); /* the meta certificate is not ours to judge */
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_keylog_callback(ctx, tls_on_secret);
    return ctx;
}

static int use_pair(SSL_CTX *ctx, const struct tls_server_options *options, struct err *err)
{
    if (use_cert(ctx, options->cert_pem, err) < 0 || use_key(ctx, options->key_pem, err) < 0)
        return -(int)err->code;
    return options->extra_der.len > 0 ? use_extra(ctx, options->extra_der, err) : 0;
}

int tls_server_new(const struct tls_server_options *options, struct tls_server **out,
                   struct err *err)
{
    SSL_CTX *ctx = server_ctx();
    int status = ctx ? 0 : tls_fail(err, "setting up TLS");

    if (status == 0 && !options->certs)
        status = use_pair(ctx, options, err);
    if (status < 0) {
        SSL_CTX_free(ctx);
        return status;
    }
    struct tls_server *t = NEW(struct tls_server);

    ref_init(&t->ref);
    t->ctx = ctx;
    if (options->certs)
        t->certs = tls_certs_ref(options->certs);
    for (size_t i = 0; i < options->n_names; i++)
        str_list_add(&t->names, options->names[i]);
    if (t->certs || t->names.len > 0)
        SSL_CTX_set_client_hello_cb(ctx, on_hello, t);
    *out = t;
    return 0;
}

int tls_server_new_challenge(struct str cert_pem, struct str key_pem, struct tls_server **out,
                             struct err *err)
{
    const struct tls_server_options options = {.cert_pem = cert_pem, .key_pem = key_pem};

    if (tls_server_new(&options, out, err) < 0)
        return -(int)err->code;
    SSL_CTX_set_alpn_select_cb((*out)->ctx, select_challenge, NULL);
    SSL_CTX_set_keylog_callback((*out)->ctx, NULL); /* it ends before it is taken over */
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
    str_list_free(&t->names);
    tls_certs_unref(t->certs);
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
        /* A pin stands for the chain. Else authorities would be looked for all the same, on disk.
         */
        bool has_chain = !options->insecure && !options->has_pin;

        SSL_set_verify(ssl, has_chain ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
        if (!has_chain)
            (void)SSL_set0_verify_cert_store(ssl, X509_STORE_new());
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

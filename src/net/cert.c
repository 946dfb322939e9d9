/* Certificates we make: the relay's own, and the meta certificate that carries its key. */

#include <openssl/asn1.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/rand.h"
#include "net/cert.h"
#include "net/tls_internal.h"

#define DAY ((long)24 * 3600)

/* The plain string type: the relay's name is longer than OpenSSL lets a CN be otherwise. */
static bool set_name(X509 *cert, const char *cn)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_UTF8STRING, (const unsigned char *)cn, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

/* A version 3 certificate without names, valid from `before` seconds ago for `after` seconds from
 * now. */
static X509 *cert_new(EVP_PKEY *key, uint64_t serial, long before, long after)
{
    X509 *cert = X509_new();

    if (cert && X509_set_version(cert, 2) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -before) &&
        X509_gmtime_adj(X509_getm_notAfter(cert), after) && X509_set_pubkey(cert, key) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

/* "DNS:name" or "IP:literal", joined by commas. */
static struct str alt_names(const struct str *names, size_t n)
{
    struct buf out = BUF(65536);
    struct ip_addr literal;

    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_char(&out, ',');
        buf_put(&out, ip_addr_parse(names[i], &literal) ? STR("IP:") : STR("DNS:"));
        buf_put(&out, names[i]);
    }
    buf_put_char(&out, 0);
    return buf_take(&out);
}

/* A name goes into OpenSSL's little configuration language: only what a host name may hold. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == ':' || c == '_';

        if (!ok)
            return false;
    }
    return s.len > 0 && s.len < 254;
}

static bool put_pem(X509 *cert, EVP_PKEY *key, struct buf *cert_pem, struct buf *key_pem)
{
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_secmem());
    bool ok = c && k && PEM_write_bio_X509(c, cert) == 1 &&
              PEM_write_bio_PKCS8PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1;
    char *data = NULL;
    long n;

    if (ok) {
        n = BIO_get_mem_data(c, &data);
        buf_put(cert_pem, str_bytes(data, (size_t)n));
        n = BIO_get_mem_data(k, &data);
        buf_put(key_pem, str_bytes(data, (size_t)n));
    }
    BIO_free(c);
    BIO_free(k);
    return ok;
}

int tls_self_signed(const struct str *names, size_t n_names, struct buf *cert_pem,
                    struct buf *key_pem, uint8_t sha256[32], struct err *err)
{
    unsigned n = 32;

    for (size_t i = 0; i < n_names; i++)
        if (!is_host(names[i]))
            return err_set(err, ERR_INVALID, "\"%.*s\" is not a host name", STR_ARG(names[i]));

    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? cert_new(key, rand_u64() >> 1, DAY, 3650 * DAY) : NULL;
    struct str sans = alt_names(names, n_names);
    bool ok = cert && set_name(cert, "hatsize") &&
              add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
              add_extension(cert, NID_ext_key_usage, "serverAuth") &&
              add_extension(cert, NID_subject_alt_name, sans.ptr) &&
              X509_sign(cert, key, EVP_sha256()) > 0 && put_pem(cert, key, cert_pem, key_pem) &&
              X509_digest(cert, EVP_sha256(), sha256, &n) == 1;

    str_free(&sans);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : tls_fail(err, "making a certificate");
}

int tls_cert_sha256(struct str cert_pem, uint8_t sha256[32], struct err *err)
{
    BIO *bio = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned n = 32;
    bool ok = cert && X509_digest(cert, EVP_sha256(), sha256, &n) == 1;

    X509_free(cert);
    BIO_free(bio);
    return ok ? 0 : tls_fail(err, "reading the certificate");
}

int cert_is_for_host(struct str cert_pem, struct str host, bool *yes, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    struct ip_addr literal;
    bool is_literal = ip_addr_parse(host, &literal);
    struct str ip = is_literal ? ip_addr_bytes(&literal) : STR_NONE;

    BIO_free(bio);
    if (!cert)
        return tls_fail(err, "reading the certificate");
    *yes = is_literal ? X509_check_ip(cert, (const unsigned char *)ip.ptr, ip.len, 0) == 1
                      : X509_check_host(cert, host.ptr, host.len, 0, NULL) == 1;
    X509_free(cert);
    return 0;
}

int tls_derp_meta_cert(const uint8_t derp_public[32], struct buf *der, struct err *err)
{
    struct buf cn = BUF(256);
    unsigned char *bytes = NULL;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *cert = key ? cert_new(key, 2, 30 * DAY, 30 * DAY) : NULL;

    buf_put(&cn, STR("derpkey"));
    buf_put_hex(&cn, str_bytes(derp_public, 32));
    buf_put_char(&cn, 0);
    bool ok = cert && set_name(cert, cn.ptr) &&
              add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
              X509_sign(cert, key, NULL) > 0;
    int n = ok ? i2d_X509(cert, &bytes) : -1;

    if (n > 0)
        buf_put(der, str_bytes(bytes, (size_t)n));
    OPENSSL_free(bytes);
    X509_free(cert);
    EVP_PKEY_free(key);
    buf_fini(&cn);
    return n > 0 ? 0 : tls_fail(err, "making the relay's meta certificate");
}

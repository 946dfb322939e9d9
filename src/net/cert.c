/*
 * Certificates we make: the relay's own, the meta certificate that carries its key, answers to
 * challenges; and requests for others.
 */

#include <openssl/asn1.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/rand.h"
#include "net/cert.h"
#include "net/tls_internal.h"

#define DAY ((long)24 * 3600)

/* The plain string type: the relay's name is longer than OpenSSL lets a CN be otherwise. */
static bool set_name(X509 *cert, const char *cn)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_UTF8STRING, (const unsigned char *)cn, -1,
                                      -1, 0) == 1 &&
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

static int check_hosts(const struct str *names, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!is_host(names[i]))
            return err_set(err, ERR_INVALID, "\"%.*s\" is not a host name", STR_ARG(names[i]));
    return 0;
}

static X509 *read_cert(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return cert;
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

    if (check_hosts(names, n_names, err) < 0)
        return -(int)err->code;
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
    X509 *cert = read_cert(cert_pem);
    unsigned n = 32;
    bool ok = cert && X509_digest(cert, EVP_sha256(), sha256, &n) == 1;

    X509_free(cert);
    return ok ? 0 : tls_fail(err, "reading the certificate");
}

int cert_is_for_host(struct str cert_pem, struct str host, bool *yes, struct err *err)
{
    X509 *cert = read_cert(cert_pem);
    struct ip_addr literal;
    bool is_literal = ip_addr_parse(host, &literal);
    struct str ip = is_literal ? ip_addr_bytes(&literal) : STR_NONE;

    if (!cert)
        return tls_fail(err, "reading the certificate");
    *yes = is_literal ? X509_check_ip(cert, (const unsigned char *)ip.ptr, ip.len, 0) == 1
                      : X509_check_host(cert, host.ptr, host.len, 0, NULL) == 1;
    X509_free(cert);
    return 0;
}

/* ---- For asking others ---- */

static bool unix_ms(const ASN1_TIME *t, int64_t *out)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

    ASN1_TIME_free(epoch);
    if (ok)
        *out = ((int64_t)days * DAY + seconds) * 1000;
    return ok;
}

int cert_times(struct str cert_pem, struct cert_times *out, struct err *err)
{
    X509 *cert = read_cert(cert_pem);
    bool ok = cert && unix_ms(X509_get0_notBefore(cert), &out->not_before_unix_ms) &&
              unix_ms(X509_get0_notAfter(cert), &out->not_after_unix_ms);

    X509_free(cert);
    return ok ? 0 : tls_fail(err, "reading the certificate's times");
}

int cert_renewal_id(struct str cert_pem, struct buf *out, struct err *err)
{
    X509 *cert = read_cert(cert_pem);
    unsigned char *der = NULL;

    if (!cert)
        return tls_fail(err, "reading the certificate");
    const ASN1_OCTET_STRING *issuer = X509_get0_authority_key_id(cert);
    int n = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert), &der);
    bool ok = issuer && n > 2 && n < 128; /* then tag and length are a byte each */

    if (ok) {
        buf_put_base64url(
            out, str_bytes(ASN1_STRING_get0_data(issuer), (size_t)ASN1_STRING_length(issuer)));
        buf_put_char(out, '.');
        buf_put_base64url(out, str_bytes(der + 2, (size_t)n - 2));
    }
    OPENSSL_free(der);
    X509_free(cert);
    return ok ? 0 : err_set(err, ERR_NOT_FOUND, "the certificate does not name its issuer's key");
}

int cert_key_new(struct buf *key_pem, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = key && bio &&
              PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    char *data = NULL;
    long n = ok ? BIO_get_mem_data(bio, &data) : 0;

    if (n > 0)
        buf_put(key_pem, str_bytes(data, (size_t)n));
    BIO_free(bio);
    EVP_PKEY_free(key);
    return n > 0 ? 0 : tls_fail(err, "making a key");
}

static bool request_names(X509_REQ *req, struct str sans)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, sans.ptr);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    bool ok = ext && exts && sk_X509_EXTENSION_push(exts, ext) > 0 &&
              X509_REQ_add_extensions(req, exts) == 1;

    sk_X509_EXTENSION_free(exts);
    X509_EXTENSION_free(ext);
    return ok;
}

int cert_request(struct str key_pem, const struct str *names, size_t n_names, struct buf *der,
                 struct err *err)
{
    if (check_hosts(names, n_names, err) < 0)
        return -(int)err->code;
    EVP_PKEY *key = tls_read_key(key_pem);
    X509_REQ *req = X509_REQ_new();
    struct str sans = alt_names(names, n_names);
    unsigned char *bytes = NULL;
    bool ok = key && req && X509_REQ_set_version(req, 0) == 1 &&
              X509_REQ_set_pubkey(req, key) == 1 && request_names(req, sans) &&
              X509_REQ_sign(req, key, EVP_sha256()) > 0;
    int n = ok ? i2d_X509_REQ(req, &bytes) : -1;

    if (n > 0)
        buf_put(der, str_bytes(bytes, (size_t)n));
    OPENSSL_free(bytes);
    str_free(&sans);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return n > 0 ? 0 : tls_fail(err, "asking for a certificate");
}

/* The hash as an octet string, in the extension's octet string. */
static bool add_acme_identifier(X509 *cert, const uint8_t sha256[32])
{
    uint8_t der[34] = {V_ASN1_OCTET_STRING, 32};
    ASN1_OBJECT *what = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    memcpy(der + 2, sha256, 32);
    X509_EXTENSION *ext = what && value && ASN1_OCTET_STRING_set(value, der, (int)sizeof(der)) == 1
                              ? X509_EXTENSION_create_by_OBJ(NULL, what, 1, value)
                              : NULL;
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(what);
    return ok;
}

int cert_challenge(struct str name, const uint8_t sha256[32], struct buf *cert_pem,
                   struct buf *key_pem, struct err *err)
{
    if (check_hosts(&name, 1, err) < 0)
        return -(int)err->code;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? cert_new(key, rand_u64() >> 1, DAY, DAY) : NULL;
    struct str sans = alt_names(&name, 1);
    bool ok = cert && set_name(cert, "ACME challenge") &&
              add_extension(cert, NID_subject_alt_name, sans.ptr) &&
              add_acme_identifier(cert, sha256) && X509_sign(cert, key, EVP_sha256()) > 0 &&
              put_pem(cert, key, cert_pem, key_pem);

    str_free(&sans);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : tls_fail(err, "making a challenge's certificate");
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

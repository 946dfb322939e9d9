#pragma once

/* ES256 from the other side, and by another road than the program's: verifying with a bare point.
 */

#include "../unit.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "core/buf.h"
#include "crypto/p256.h"

/* RFC 7515 appendix A.3, as SEC1. */
#define RFC7515_KEY                                                      \
    "-----BEGIN EC PRIVATE KEY-----\n"                                   \
    "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n" \
    "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n" \
    "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"                             \
    "-----END EC PRIVATE KEY-----\n"

static inline struct str es256_decode(struct str text, struct buf *out)
{
    buf_clear(out);
    assert_true(base64_decode(text, out));
    return buf_str(out);
}

static inline EVP_PKEY *es256_point(struct str x, struct str y)
{
    unsigned char point[65] = {4};
    EVP_PKEY *key = NULL;

    assert_true(x.len == 32 && y.len == 32);
    memcpy(point + 1, x.ptr, 32);
    memcpy(point + 33, y.ptr, 32);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){"P-256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    assert_true(EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static inline bool es256_verify(struct str x, struct str y, struct str data, struct str signature)
{
    EVP_PKEY *key = es256_point(x, y);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *der = NULL;

    if (!key || signature.len != 64)
        return false;
    const unsigned char *bytes = (const unsigned char *)signature.ptr;

    assert_true(ECDSA_SIG_set0(sig, BN_bin2bn(bytes, 32, NULL), BN_bin2bn(bytes + 32, 32, NULL)) ==
                1);
    int n = i2d_ECDSA_SIG(sig, &der);
    bool ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)n, (const unsigned char *)data.ptr, data.len) == 1;

    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG_free(sig);
    EVP_PKEY_free(key);
    return ok;
}

#pragma once

/* An identity provider's hand: keys made for the run, tokens signed with them. */

#include "../unit.h"

#include <cjose/cjose.h>

#include "auth/jwt.h"
#include "core/arena.h"
#include "core/buf.h"

struct signer {
    cjose_jwk_t *key;
    const char *kid;
    const char *alg;
};

static inline struct signer signer_new(const char *kid, const char *alg)
{
    struct signer s = {.kid = kid, .alg = alg};
    cjose_err err = {0};

    if (alg[0] == 'E')
        s.key = cjose_jwk_create_EC_random(strcmp(alg, "ES256") == 0   ? CJOSE_JWK_EC_P_256
                                           : strcmp(alg, "ES384") == 0 ? CJOSE_JWK_EC_P_384
                                                                       : CJOSE_JWK_EC_P_521,
                                           &err);
    else
        s.key = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &err);
    assert_non_null(s.key);
    if (kid)
        assert_true(cjose_jwk_set_kid(s.key, kid, strlen(kid), &err));
    return s;
}

static inline void signer_free(struct signer *s)
{
    (void)cjose_jwk_release(s->key);
}

/* The token in `arena`. alg NULL: the signer's. */
static inline struct str signer_sign(const struct signer *s, struct arena *arena, const char *alg,
                                     struct str payload)
{
    cjose_err err = {0};
    cjose_header_t *header = cjose_header_new(&err);
    const char *text = NULL;

    assert_true(cjose_header_set(header, "alg", alg ? alg : s->alg, &err));
    if (s->kid)
        assert_true(cjose_header_set(header, "kid", s->kid, &err));
    cjose_jws_t *jws =
        cjose_jws_sign(s->key, header, (const uint8_t *)payload.ptr, payload.len, &err);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &text, &err));
    struct str out = arena_copy(arena, str_from(text));
    cjose_jws_release(jws);
    cjose_header_release(header);
    return out;
}

/* {"keys": [...]} of the public halves; `more` is put into each key: "\"use\":\"sig\",". */
static inline struct str signers_jwks(const struct signer *signers, size_t n, struct arena *arena,
                                      const char *more)
{
    struct buf out = BUF(1 << 20);
    cjose_err err = {0};

    buf_put(&out, STR("{\"keys\":["));
    for (size_t i = 0; i < n; i++) {
        char *json = cjose_jwk_to_json(signers[i].key, false, &err);

        assert_non_null(json);
        buf_printf(&out, "%s{%s%s", i > 0 ? "," : "", more, json + 1);
        free(json);
    }
    buf_put(&out, STR("]}"));
    struct str text = arena_copy(arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

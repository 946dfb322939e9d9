#pragma once

/*
 * ID tokens of machines: who a node is, signed by this server, for whoever else is to believe it
 * (`tailscale id-token AUDIENCE`; a cloud's workload identity). And what such a party asks first:
 * the discovery document and the key.
 *
 * A token is an ES256 JWT of five minutes. Its issuer is the server's URL.
 *
 * Sources: tailcfg.TokenRequest, TokenResponse; protocol.md 4.1; RFC 7515, 7517, 7518, 7638; OpenID
 * Connect Discovery 1.0.
 */

#include "crypto/p256.h"
#include "tailnet/view.h"

#define ID_TOKEN_S 300
#define ID_TOKEN_AUDIENCE_MAX 1024 /* bytes */

/* The whole token. `issuer`: the server's URL; `now_ms` unix. */
void id_token_put(struct buf *out, const struct p256_key *key, struct str issuer,
                  const struct tailnet_view *view, const struct node *node, struct str audience,
                  int64_t now_ms);
/* The JSON of /.well-known/jwks.json and /.well-known/openid-configuration. */
void id_token_put_keys(struct buf *out, const struct p256_key *key);
void id_token_put_discovery(struct buf *out, struct str issuer);

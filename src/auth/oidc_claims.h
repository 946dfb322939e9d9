#pragma once

/*
 * What an identity provider says of a person: reading claims, checking that a token is meant for us
 * and now, and who may log in.
 *
 * Rules
 *   1. A token is good only if issuer, audience, authorised party, times and nonce all are
 *      (OpenID Connect Core 3.1.3.7). Clocks may differ by OIDC_LEEWAY_MS.
 *   2. A person is issuer and subject, never a mail address or a name.
 *   3. Every filter that is configured must let the person in; comparing is case-sensitive
 *      (headscale.md 4.5).
 */

#include "core/err.h"
#include "core/mem.h"
#include "json/value.h"

#define OIDC_LEEWAY_MS ((int64_t)60 * 1000)
#define OIDC_SUBJECT_MAX 255 /* bytes; OpenID Connect Core 2 */
#define OIDC_GROUPS_MAX 1000
#define OIDC_TEXT_MAX 1024 /* bytes of a name, a mail address, a group, a picture's URL */

/* All in the arena it was read with. */
struct oidc_claims {
    struct str subject;
    struct str name;
    struct str preferred_username;
    struct str email;
    bool email_verified;
    struct str picture;
    struct str *groups;
    size_t n_groups;
    bool has_groups;
    int64_t expiry_ms; /* unix */
};

struct oidc_expectation {
    struct str issuer;
    struct str client_id;
    struct str nonce;
    int64_t now_ms; /* unix */
};

/* The claims of an ID token that is signed as it should be. ERR_DENIED: not for us, not for now.
 */
MUST_USE int oidc_claims_check(const struct json_value *payload,
                               const struct oidc_expectation *expected, struct err *err);
/* Names and groups; what is of another kind than it must be, or too long, counts as absent.
 * ERR_INVALID without a usable subject. */
MUST_USE int oidc_claims_read(struct arena *arena, const struct json_value *payload,
                              struct oidc_claims *out, struct err *err);
/* What the user info endpoint says overrides, if it speaks of the same subject; false: it does
 * not, and nothing was taken over. */
bool oidc_claims_overlay(struct arena *arena, const struct json_value *userinfo,
                         struct oidc_claims *claims);

struct oidc_rules {
    const struct str *domains;
    size_t n_domains;
    const struct str *users;
    size_t n_users;
    const struct str *groups;
    size_t n_groups;
    bool email_verified_required;
};
/* NULL: let in. Otherwise why not, in headscale's words, for the log. */
const char *oidc_rules_refuse(const struct oidc_rules *rules, const struct oidc_claims *claims);

/*
 * Who may administer this server in a browser: whom any of the lists names, and nobody else. A mail
 * address counts only if the provider verified it, whatever the rules above say.
 */
struct oidc_admins {
    const struct str *users; /* mail addresses */
    size_t n_users;
    const struct str *groups;
    size_t n_groups;
    const struct str *subjects;
    size_t n_subjects;
};
bool oidc_admins_have(const struct oidc_admins *admins, const struct oidc_claims *claims);

/*
 * The one text that stands for issuer and subject, as headscale stores it: the issuer without
 * doubled slashes, '/', the subject percent-encoded as in a URL's path. For one issuer no two
 * subjects give the same.
 */
void oidc_identity_put(struct buf *out, struct str issuer, struct str subject);

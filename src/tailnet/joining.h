#pragma once

/*
 * How people come into tailnets. An *account* is a person at an identity provider, known by issuer
 * and subject (`provider_id`); as a member of a tailnet he is a user there, one a tailnet, with a
 * role and a status of its own. Nothing is kept of an account but its users.
 *
 *   logs in --joining rule of a tailnet--------------> user, active or waiting for approval
 *           --invitation to a tailnet (a link)-------> user, active
 *   user: PENDING --approve--> ACTIVE --suspend--> SUSPENDED --restore--> ACTIVE
 *
 * Machines of a user who is not active, and machines that nobody approved where that is asked, are
 * registered and have no access: see enum node_hold.
 *
 * A mail domain admits nobody by itself: it does so where a rule of the tailnet says it, for an
 * address that the provider verified, and an administrator approves unless the rule says otherwise.
 */

#include "core/err.h"
#include "core/mem.h"
#include "core/str.h"
#include "tailnet/types.h"

#define JOIN_RULES_MAX 64
#define TAILNET_USER_INVITES_MAX 10000
#define USER_INVITE_MS ((int64_t)7 * 24 * 3600 * 1000) /* unless told otherwise */
#define LOGIN_CHOICES_MAX 64 /* tailnets that a person who logs in is asked about */

enum join_by {
    JOIN_ANYONE, /* whoever the provider lets in */
    JOIN_GROUP,  /* value: a group, as policies name it: "oidc:engineering" */
    JOIN_DOMAIN, /* value: the domain of a verified mail address, whatever its case */
};
struct join_rule {
    enum join_by by;
    struct str provider; /* its issuer; empty: any. Owned */
    struct str value;    /* owned; empty for JOIN_ANYONE */
    bool needs_approval;
    enum user_role role; /* of who comes by it; ROLE_OWNER is no rule's to give */
};
MUST_USE struct join_rule *join_rules_copy(const struct join_rule *r, size_t n);
void join_rules_free(struct join_rule *r, size_t n);
MUST_USE int join_rules_check(const struct join_rule *r, size_t n, struct err *err);
bool join_rules_eq(const struct join_rule *a, size_t n_a, const struct join_rule *b, size_t n_b);
/* "anyone", "group", "domain". */
struct str join_by_name(enum join_by by);
MUST_USE bool join_by_find(struct str name, enum join_by *by);

/* Who logs in, as far as joining rules ask; the provider says it. Borrowed. */
struct identity {
    struct str issuer;
    struct str email;
    bool email_verified;
    struct str_list groups; /* as policies name them */
};
/* The first rule that admits him, NULL: none does. */
const struct join_rule *join_rules_admit(const struct join_rule *r, size_t n,
                                         const struct identity *who);
/* "acme" of "alice+acme@example.com", or of "alice+acme": the tailnet the login name asks for;
 * empty: none. */
struct str login_hint(struct str login);

/* A tailnet that somebody who logs in may be in. */
struct login_choice {
    tailnet_id tailnet;
    struct str name;         /* of the tailnet; owned by the result */
    user_id user;            /* 0: no member yet, a rule admits him */
    enum user_status status; /* which he has, or would have */
    enum user_role role;
    bool is_hinted; /* the login name asks for it; at most one is */
};

/* How the secret's text begins (crypto/secret.h). */
#define USER_INVITE_KIND STR("hskey-invite-")

/* A link that makes one person a member, once. Its secret is told once and kept as a hash. */
struct user_invite {
    struct ref ref;
    user_invite_id id;
    tailnet_id tailnet;
    user_id inviter; /* of that tailnet; 0: an operator */
    enum user_role role;
    struct str email; /* only who has this address, verified, may use it; empty: whoever has the
                         link */
    uint8_t hash[32]; /* SHA-256 of the secret */
    int64_t created_ms;
    int64_t expiry_ms; /* never 0 */
};
MUST_USE struct user_invite *user_invite_new(void);
MUST_USE struct user_invite *user_invite_clone(const struct user_invite *i);
struct user_invite *user_invite_ref(const struct user_invite *i);
void user_invite_unref(const struct user_invite *i);
DEFINE_AUTO(const struct user_invite, user_invite_unref);

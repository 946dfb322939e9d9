#pragma once

/*
 * What certificate authorities answer: JSON texts to plain structs, with nothing in them that has
 * not been looked at. Everything borrows from the text and the arena.
 *
 * Source: RFC 8555 sections 7.1 and 6.7; RFC 9773 section 4.2 (renewal information).
 */

#include "core/arena.h"
#include "core/str.h"

#define ACME_URL_MAX 2048
#define ACME_TOKEN_MAX 256
#define ACME_AUTHORIZATIONS_MAX 8 /* of an order; ours have one identifier each */
#define ACME_CHALLENGES_MAX 16

enum acme_status {
    ACME_PENDING,
    ACME_PROCESSING,
    ACME_READY,
    ACME_VALID,
    ACME_INVALID, /* also deactivated, expired, revoked */
    ACME_STATUS_COUNT
};

enum acme_problem_kind {
    ACME_PROBLEM_OTHER,
    ACME_PROBLEM_BAD_NONCE,
    ACME_PROBLEM_RATE_LIMITED,
    ACME_PROBLEM_NO_ACCOUNT, /* the authority does not know ours */
};

struct acme_problem {
    enum acme_problem_kind kind;
    struct str type;   /* without "urn:ietf:params:acme:error:" */
    struct str detail; /* its words: any text */
};

struct acme_directory {
    struct str new_nonce, new_account, new_order;
    struct str renewal_info; /* empty: none */
};

struct acme_order {
    enum acme_status status;
    struct str finalize;
    struct str certificate; /* empty until VALID */
    struct str authorizations[ACME_AUTHORIZATIONS_MAX];
    size_t n_authorizations;
    struct acme_problem problem; /* when INVALID; may be empty */
};

enum acme_challenge_kind { ACME_TLS_ALPN_01, ACME_HTTP_01, ACME_CHALLENGE_COUNT };

struct acme_challenge {
    struct str url; /* empty: not offered */
    struct str token;
};

struct acme_authorization {
    enum acme_status status;
    struct acme_challenge challenges[ACME_CHALLENGE_COUNT];
    struct acme_problem problem; /* of the challenge that failed; may be empty */
};

struct acme_window { /* when to renew */
    int64_t start_unix_ms, end_unix_ms;
};

/*
 * False: not such an answer, out untouched. `plain` allows http:// besides https:// (for
 * authorities that were themselves named so).
 */
MUST_USE bool acme_read_directory(struct arena *a, struct str text, bool plain,
                                  struct acme_directory *out);
MUST_USE bool acme_read_order(struct arena *a, struct str text, bool plain, struct acme_order *out);
MUST_USE bool acme_read_authorization(struct arena *a, struct str text, bool plain,
                                      struct acme_authorization *out);
MUST_USE bool acme_read_window(struct arena *a, struct str text, struct acme_window *out);
/* Any text at all: what is no problem document gives an empty one. */
struct acme_problem acme_read_problem(struct arena *a, struct str text);
/* A chain as it is to be: certificates, one at least, and nothing that is called otherwise. */
bool acme_is_chain(struct str text);

/* Retry-After: seconds or a date, as milliseconds from now, at most a week; -1 for neither. */
int64_t acme_read_retry_after(struct str value, int64_t now_unix_ms);

bool acme_is_url(struct str s, bool plain);
bool acme_is_token(struct str s);

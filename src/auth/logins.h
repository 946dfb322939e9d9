#pragma once

/*
 * Log-ins under way: sent to a provider and not yet back, or back and waiting for the person's yes.
 *
 *   start --state--> at the provider --take(state), once--> claims --ask--> page
 *                        |                                                   |
 *                        +-- 15 minutes, or pushed out --> gone              +-- answer(token),
 * once
 *
 * Strangers cause these, so there are at most LOGINS_MAX of each kind, few for one subject; the
 * oldest goes. What is taken or gone cannot be taken again. In memory on purpose: a restart costs
 * a person one click. One thread; the time comes with each call (monotonic).
 *
 * Sources: headscale.md 4.5 (state cache, confirmation).
 */

#include "auth/oidc.h"
#include "tailnet/types.h"

#define LOGINS_MAX 1024
#define LOGINS_PER_SUBJECT_MAX 16
#define LOGIN_MS ((int64_t)15 * 60 * 1000)
#define LOGIN_SUBJECT_MAX 64 /* bytes with the NUL: an auth id, an SSH check's id */

enum login_purpose { LOGIN_REGISTER, LOGIN_SSH_CHECK };

/* Sent to a provider. Wipe it when done (login_fini). */
struct login {
    struct oidc_secrets secrets;
    size_t provider; /* its index */
    enum login_purpose purpose;
    char subject[LOGIN_SUBJECT_MAX];
};
void login_fini(struct login *l);

/* Who logged in, and what they are asked to say yes to. */
struct login_question {
    char token[2 * OIDC_STATE_BYTES + 1]; /* made by logins_ask */
    enum login_purpose purpose;
    char subject[LOGIN_SUBJECT_MAX];
    tailnet_id tailnet;
    user_id user;
    int64_t expiry_ms;  /* unix: when what is approved ends; 0: by the usual rules */
    int64_t asked_unix; /* when the page was made */
};

struct logins;
MUST_USE struct logins *logins_new(void);
void logins_free(struct logins *l);
size_t logins_len(const struct logins *l); /* of both kinds */

/* False: the subject is no good. *out is a copy. */
MUST_USE bool logins_start(struct logins *l, enum login_purpose purpose, struct str subject,
                           size_t provider, int64_t now_ms, struct login *out);
/* False: never was, was taken, or is too old. */
MUST_USE bool logins_take(struct logins *l, struct str state, int64_t now_ms, struct login *out);

/* Keeps the question and puts its token into it. */
void logins_ask(struct logins *l, struct login_question *q, int64_t now_ms);
/* As logins_take; the question must be about this subject, else it stays. */
MUST_USE bool logins_answer(struct logins *l, enum login_purpose purpose, struct str subject,
                            struct str token, int64_t now_ms, struct login_question *out);

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
#include "tailnet/joining.h"

#define LOGINS_MAX 1024
#define LOGINS_PER_SUBJECT_MAX 16
#define LOGIN_MS ((int64_t)15 * 60 * 1000)
#define LOGIN_SUBJECT_MAX 64 /* bytes with the NUL: an auth id, an SSH check's id */
#define LOGIN_SECRET_MAX 128 /* likewise: an invitation's */

/* LOGIN_SESSION: to the API and the console; about nothing but the person, so that any number may
 * be under way. LOGIN_INVITE: by an invitation's link; its subject stands for the secret. */
enum login_purpose { LOGIN_REGISTER, LOGIN_SSH_CHECK, LOGIN_SESSION, LOGIN_INVITE };

/* Sent to a provider. Wipe it when done (login_fini). */
struct login {
    struct oidc_secrets secrets;
    size_t provider; /* its index */
    enum login_purpose purpose;
    char subject[LOGIN_SUBJECT_MAX];
    char secret[LOGIN_SECRET_MAX]; /* LOGIN_INVITE */
};
void login_fini(struct login *l);

/* Who logged in, as the provider says: COMMAND_USER_LOGIN has what the fields mean. */
struct login_person {
    struct str issuer;
    struct str provider_id;
    struct str name;
    struct str display;
    struct str email;
    bool email_verified;
    struct str picture_url;
    struct str_list groups;
};
MUST_USE struct login_person *login_person_copy(const struct login_person *p);
void login_person_free(struct login_person *p);

/* A tailnet that the answer may name. */
struct login_option {
    tailnet_id tailnet;
    user_id user; /* who the person is there; 0: nobody yet */
};

/* Who logged in, and what they are asked to say yes to. */
struct login_question {
    char token[2 * OIDC_STATE_BYTES + 1]; /* made by logins_ask */
    enum login_purpose purpose;
    char subject[LOGIN_SUBJECT_MAX];
    char secret[LOGIN_SECRET_MAX]; /* LOGIN_INVITE */
    struct login_option options[LOGIN_CHOICES_MAX];
    size_t n_options;
    struct login_person *person; /* owned; NULL: nobody is made or changed by the yes */
    int64_t expiry_ms;           /* unix: when what is approved ends; 0: by the usual rules */
    int64_t asked_unix;          /* when the page was made */
};
/* Also of a zeroed one. */
void login_question_fini(struct login_question *q);
/* The option that an answer names, which is a tailnet's id in decimal, or nothing where there is
 * one only. NULL: none of those. */
const struct login_option *login_option_find(const struct login_question *q, struct str answer);

struct logins;
MUST_USE struct logins *logins_new(void);
void logins_free(struct logins *l);
size_t logins_len(const struct logins *l); /* of both kinds */

/* False: the subject, or the secret, is no good. *out is a copy. */
MUST_USE bool logins_start(struct logins *l, enum login_purpose purpose, struct str subject,
                           struct str secret, size_t provider, int64_t now_ms, struct login *out);
/* False: never was, was taken, or is too old. */
MUST_USE bool logins_take(struct logins *l, struct str state, int64_t now_ms, struct login *out);

/* Keeps the question, takes its person, and puts its token into it. */
void logins_ask(struct logins *l, struct login_question *q, int64_t now_ms);
/* As logins_take; the question must be about this subject, else it stays. Empty: about any, the
 * token says which. login_question_fini is the caller's. */
MUST_USE bool logins_answer(struct logins *l, enum login_purpose purpose, struct str subject,
                            struct str token, int64_t now_ms, struct login_question *out);

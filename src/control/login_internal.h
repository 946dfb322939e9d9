#pragma once

/* One request at the desk, and the steps that several files take. */

#include <stdatomic.h>

#include "auth/browser.h"
#include "auth/pages.h"
#include "control/asked.h"
#include "control/login.h"

#define LOGIN_COOKIES_MAX 4
#define CONFIRM_COOKIE STR("hatsize_confirm")

struct login_source {
    const struct oidc_provider *provider;
    struct oidc_meta *meta; /* NULL: not known yet */
    int64_t asked_ms;       /* monotonic: when it was last asked; 0: never */
    struct list waiting;    /* requests, for the job under way */
    bool is_asking;
    /* The job. */
    struct login_desk *desk;
    struct worker_job job;
    struct oidc_meta *had, *got;
    struct err err;
};

struct login_desk {
    struct login_desk_options options;
    struct registrar *registrar;
    struct worker_pool *pool;
    struct logins *logins;
    struct login_source *sources;
    size_t n_jobs;
    struct str redirect_uri;
    bool is_tls;
    bool is_stopped;
    _Atomic(bool) cancelled;
};

/*
 * Goes to the desk's loop and back, with stays elsewhere; always one owner. `x` is touched on the
 * request's loop only.
 */
struct login_request {
    struct login_desk *desk;
    struct loop *loop;
    struct http_exchange *x; /* NULL: the client left */
    struct arena *arena;
    struct loop_message message;
    void (*next)(struct login_request *r); /* what a stay elsewhere ends with, on the desk's loop */
    struct str peer;

    /* As asked. */
    enum login_purpose purpose;
    struct str subject;
    struct str provider_name;
    struct str code, state, token;
    struct str issuer; /* the provider's word for itself (RFC 9207); empty: none */
    struct str state_cookie, nonce_cookie, token_cookie;
    bool is_refusal; /* the provider says error=… */

    /* Under way. */
    struct login login;
    struct oidc_exchange exchange;
    enum oidc_outcome outcome;
    bool has_waited; /* for new keys */
    struct worker_job job;
    struct list_node waiting_link;
    struct registrar_call call;
    struct registrar_query query;
    struct ssh_desk_query check_query;
    struct login_question question;
    struct str author;

    /* What the log-in is about, once looked up. */
    bool is_found;
    struct str hostname, os, machine; /* LOGIN_REGISTER */
    struct ssh_login check;           /* LOGIN_SSH_CHECK: strings in the arena */
    user_id check_user;
    int approve_status; /* of the check */

    /* The answer. */
    int status;
    struct buf page;
    struct str location; /* 302 */
    struct str cookies[LOGIN_COOKIES_MAX];
    size_t n_cookies;
};

/* The last word: goes back to its loop. The page is in r->page. */
void login_answer(struct login_request *r, int status);
/* An error page; `why` goes to the log. detail may be NULL, else it is shown. */
void login_fail(struct login_request *r, int status, const char *why, const char *detail);
void login_add_cookie(struct login_request *r, const struct cookie *c);
bool login_cookies_are_secure(const struct login_request *r);

/* Looks up what r->subject is, then r->next: r->is_found and what follows are set. */
void login_look_up(struct login_request *r, void (*next)(struct login_request *r));
/* Asks the provider about itself or its keys, then r->next, whether or not that gave anything. */
void login_ask_source(struct login_request *r, size_t source,
                      void (*next)(struct login_request *r));
/* Makes the exchange on a worker, then r->next. */
void login_run_exchange(struct login_request *r, void (*next)(struct login_request *r));

/* First steps on the desk's loop. */
void login_step_start(struct login_request *r);
void login_step_back(struct login_request *r);
void login_step_confirm(struct login_request *r);

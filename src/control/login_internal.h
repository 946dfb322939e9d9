#pragma once

/*
 * One request at the desk, and the steps that several files take:
 *
 *   login.c          requests on their way there and back, stays elsewhere
 *   login_steps.c    to a provider, back, the question and the answer; SSH checks
 *   login_machine.c  a machine: which tailnet, who, in
 *   login_session.c  a session of the API and the console
 *   login_invite.c   a link that makes somebody a member
 */

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
    struct str code, state, token, choice; /* choice: which tailnet; empty: not said */
    struct str secret;                     /* LOGIN_INVITE */
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
    struct login_person person; /* who is back; strings in the arena */
    const struct user *user; /* counted: who the person is in the tailnet meant; NULL: not known */

    /* What the log-in is about, once looked up. */
    bool is_found;
    struct str hostname, os, machine; /* LOGIN_REGISTER */
    tailnet_id home;                  /* where the machine has been, and whose it was; 0: new */
    user_id home_user;
    tailnet_id invite_tailnet; /* LOGIN_INVITE */
    struct str invite_name, invite_email;
    enum user_role invite_role;
    struct ssh_login check; /* LOGIN_SSH_CHECK: strings in the arena */
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

/* The request to the registrar about a person; the rest of the command is the caller's. */
struct command *login_command(struct login_request *r, enum command_type type,
                              const struct login_person *p,
                              void (*done)(struct registrar_call *call));
/* True: the desk has stopped, or the registrar refused, and that was answered. */
bool login_refused(struct login_request *r);
/*
 * Those of r->call.result's choices that this log-in may be about, first: the provider's tailnet,
 * the one a machine comes back to, the one the login name asks for, if any of these is said. How
 * many there are.
 */
size_t login_narrow_choices(struct login_request *r);
/* How a person is to be named who may be no user yet. */
struct str login_name_of(const struct login_person *p);
/* What to do with the answer: the option it means; NULL: answered. */
const struct login_option *login_chosen(struct login_request *r);
/* Keeps the question: its options, and the person if the yes is to make or change somebody.
 * r->question is set. */
void login_keep_question(struct login_request *r, const struct login_choice *choices, size_t n,
                         const struct login_person *person);
/* The page about it, and its cookie. page->action and page->token are set here. */
void login_put_question(struct login_request *r, struct page_question *page);
void login_forget_state_cookies(struct login_request *r);
void login_forget_confirm_cookie(struct login_request *r);
bool login_is_admin(const struct login_request *r, tailnet_id tailnet);

/* The person is back and r->call.result has the choices. */
void login_machine_choices(struct login_request *r);
void login_session_choices(struct login_request *r);
void login_invite_choices(struct login_request *r);
/* The answer came, to r->question. */
void login_machine_answered(struct login_request *r);
void login_session_answered(struct login_request *r);
void login_invite_answered(struct login_request *r);
/* 410, the same whatever is wrong with it. */
void login_invite_is_gone(struct login_request *r);

/* First steps on the desk's loop. */
void login_step_start(struct login_request *r);
void login_step_back(struct login_request *r);
void login_step_confirm(struct login_request *r);

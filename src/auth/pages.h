#pragma once

/*
 * The few pages that people see in a browser: small, plain, in one piece.
 *
 * Rules
 *   1. Everything that is not ours (names of machines, people, systems) is escaped.
 *   2. No scripts, nothing loaded from anywhere; one style sheet, which PAGE_CSP names by its hash.
 *   3. A page about something that failed says what to do next, and nothing of why to strangers.
 *
 * Source: headscale.md 4.1, 4.5, 9.1.
 */

#include "auth/oidc.h"
#include "core/buf.h"

/* The header content-security-policy for every page. */
#define PAGE_CSP                                                                                 \
    "default-src 'none'; style-src 'sha256-" PAGE_STYLE_SHA256 "'; img-src 'self'; form-action " \
    "'self'; base-uri 'none'; frame-ancestors 'none'"
#define PAGE_STYLE_SHA256 "f+5Bepvn8Ny5ng12HUPNP2BQntQVtKLw2CYFurFJS7g="
#define PAGE_TYPE "text/html; charset=utf-8"
#define PAGE_MAX ((size_t)64 << 10) /* bytes of any page here */

/* Text between tags or in a quoted attribute; what is not UTF-8 becomes U+FFFD, control characters
 * a blank. */
void page_put_escaped(struct buf *out, struct str text);
struct str page_style(void); /* for the test of the hash */

/* `id` is checked by then, and escaped all the same. */
void page_register(struct buf *out, struct str id);
void page_ssh_check(struct buf *out, struct str id);
/* Behind a link that an older headscale gave out: how to get a new one. `url` is server_url. */
void page_old_link(struct buf *out, struct str url);

/* Which provider to log in with: links to `path`?provider=<name>. */
void page_pick(struct buf *out, struct str path, const struct oidc_provider *providers, size_t n);

struct page_row {
    const char *label;
    struct str value;
    bool is_code;
};
struct page_option {
    uint64_t value; /* of the field "tailnet" */
    struct str label;
    const char *note; /* beside it; NULL: nothing */
};
struct page_question {
    const char *title;
    const char *heading;
    const char *text;
    const struct page_row *rows;
    size_t n_rows;
    struct str action; /* where the answer is posted to */
    struct str token;  /* in the hidden field "token" */
    const char *button;
    const char *note;                  /* NULL: none */
    const struct page_option *options; /* a button each, in place of the one */
    size_t n_options;
};
void page_ask(struct buf *out, const struct page_question *q);
/* What there is to say, with a line to type if there is one. */
void page_tell(struct buf *out, const char *title, const struct page_row *rows, size_t n,
               const char *text, struct str command);
/* "Registered as X. You can now close this window." */
void page_done(struct buf *out, const char *title, const char *verb, struct str who);
/* By the class of the status; `detail` may be NULL, and is for people who have logged in. */
void page_error(struct buf *out, int status, const char *detail);

/* How to point a client at this server; `url` is server_url. */
void page_apple(struct buf *out, struct str url);
void page_windows(struct buf *out, struct str url);
/* A configuration profile; false: there is no such platform. */
#define PROFILE_TYPE "application/x-apple-aspen-config; charset=utf-8"
MUST_USE bool page_apple_profile(struct buf *out, struct str platform, struct str url);

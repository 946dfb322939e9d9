#pragma once

/*
 * What comes to the token endpoint, taken apart and held against what the client has: the client
 * credentials grant of OAuth 2.0. No I/O.
 *
 * Sources: RFC 6749 2.3.1, 4.4, 5; headscale.md 3.6; what golang.org/x/oauth2 and Tailscale's own
 * clients send.
 */

#include "auth/caller.h"
#include "core/arena.h"

/* A refusal: RFC 6749 5.2. `code` NULL: none. Both live as long as the program or the arena. */
struct oauth_error {
    const char *code; /* "invalid_client" */
    const char *why;  /* for people */
};

struct oauth_request {
    struct str client_id; /* empty: none that means anything, the secret says whose it is */
    struct str secret;    /* the whole of it */
    struct str_list scopes;
    struct str_list tags; /* empty lists: all that the client has */
    bool by_header;       /* the credentials stood in Authorization */
};

/*
 * The secret comes in the form or as HTTP Basic's password, not both. Of client ids only those that
 * look like ours count: Tailscale's clients send any word in its place. What stands behind a '?' in
 * the secret is for whoever uses it as an auth key. Everything is in the arena.
 */
MUST_USE bool oauth_request_parse(struct arena *arena, struct str content_type, struct str header,
                                  struct str body, struct oauth_request *out,
                                  struct oauth_error *error);

/*
 * What a token gets that asks for these scopes and tags of a client with those: all there is when
 * it asks for none. `granted` are the client's, and so is `may`. Outputs borrow.
 */
MUST_USE bool oauth_narrow(struct arena *arena, const struct oauth_request *req,
                           const struct str_list *scopes, const struct str_list *tags,
                           struct str_list *out_scopes, struct str_list *out_tags,
                           struct oauth_error *error);

/* Whether there is such a scope, here or at Tailscale: some give nothing on this server. */
bool oauth_scope_is_known(struct str scope);
/* Whether all that the scope gives is among what `of` gives; of those that give nothing here: it is
 * in `of`, or "all" is. */
bool oauth_scope_within(struct str scope, const struct str_list *of);
/* Clients with these make machines, which are their tags' (headscale.md 3.6). */
bool oauth_scopes_want_tags(const struct str_list *scopes);

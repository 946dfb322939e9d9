#pragma once

/*
 * API keys: what programs, remote command lines and browsers show to be let in. Four kinds, alike
 * but for what they are good for:
 *
 *   API_KEY_PLAIN    hskey-api-<12>-<64>       may do what its scopes say; tailnet 0: the server's,
 *                    <7 or 10>.<secret>        then it may name any tailnet (old form: imported)
 *   OAUTH_CLIENT     hskey-client-<12>-<64>    gets access tokens, and may do nothing else; the 12
 *                                              are its client id; of one tailnet, of no user
 *   OAUTH_TOKEN      hskey-oauthtok-<12>-<64>  a client's for an hour; goes with it
 *   SESSION          hskey-session-<12>-<64>   a user's web log-in, in a cookie
 *
 * The secret is shown once and kept as a hash; the prefix is what lists show, commands name and
 * look-ups use. Prefixes are unique over the server, whatever the kind and form.
 *
 * Source: headscale.md 3.5, 3.6.
 */

#include "core/mem.h"
#include "core/str.h"
#include "tailnet/types.h"

#define API_KEY_KIND STR("hskey-api-")
#define API_KEYS_MAX 10000 /* over the server; so the next ones */
#define OAUTH_CLIENTS_MAX 1000
#define OAUTH_TOKENS_MAX 10000
#define SESSIONS_MAX 1000
#define OAUTH_TOKENS_OF_CLIENT_MAX 500 /* then its oldest goes */
#define SESSIONS_OF_USER_MAX 20        /* likewise */
#define OAUTH_TOKEN_MS ((int64_t)3600 * 1000)
#define API_KEY_SCOPES_MAX 64 /* of one key */
#define API_KEY_TEXT_MAX 256  /* bytes of the whole text a stranger may show */
#define API_KEY_SEEN_MS 60000 /* a key's last use is noted at most so often */
#define API_KEY_NOTE_MAX 255  /* bytes of its description */

enum api_key_kind {
    API_KEY_PLAIN,
    API_KEY_OAUTH_CLIENT,
    API_KEY_OAUTH_TOKEN,
    API_KEY_SESSION,
    API_KEY_KINDS
};
/* "hskey-client-" and so on. */
struct str api_key_kind_text(enum api_key_kind kind);

/* Immutable, counted. */
struct api_key {
    struct ref ref;
    api_key_id id;
    enum api_key_kind kind;
    api_key_id client;    /* OAUTH_TOKEN: whose it is */
    struct str_list tags; /* OAUTH_*: the only ones it may give; sorted */
    tailnet_id tailnet;   /* 0: the server's */
    user_id user;         /* who made it, a user of `tailnet`; 0: nobody in particular */
    struct str prefix;    /* 12 characters of our own, 7 or 10 of the old ones */
    uint8_t hash[32];     /* SHA-256 of the secret; zero when `legacy` is set */
    struct str legacy;    /* bcrypt or Argon2id hash of an imported one's secret; empty for ours */
    struct str description;
    struct str_list scopes; /* what it may do; empty: everything (auth/caller.h) */
    int64_t created_ms;
    int64_t expiry_ms;    /* 0: never */
    int64_t last_seen_ms; /* within API_KEY_SEEN_MS; 0: never */
    bool is_asleep;       /* `user` is not active: it opens nothing as long. Never stored */
};
MUST_USE struct api_key *api_key_new(void);
MUST_USE struct api_key *api_key_clone(const struct api_key *k);
struct api_key *api_key_ref(const struct api_key *k);
void api_key_unref(const struct api_key *k);
DEFINE_AUTO(const struct api_key, api_key_unref);

/* "hskey-api-f6840197145f-***", or "abcdefg***" for the old forms: how lists show it. */
struct buf;
void api_key_put_masked(struct buf *out, const struct api_key *k);
/*
 * The prefix in what people paste for one: bare, masked as above, or with the kind in front.
 * Borrows from `text`.
 */
struct str api_key_prefix_of(struct str text);
/*
 * Splits a whole key into prefix and secret, which borrow from it; false when it has no key's form.
 * One of the kind API_KEY_PLAIN, or of any, which it then says.
 */
MUST_USE bool api_key_split(struct str text, struct str *prefix, struct str *secret);
MUST_USE bool api_key_split_any(struct str text, enum api_key_kind *kind, struct str *prefix,
                                struct str *secret);

/* All keys of the server as they stood at one time. Immutable, counted, for any thread. */
struct api_key_set;
struct api_key_set *api_key_set_ref(const struct api_key_set *s);
void api_key_set_unref(const struct api_key_set *s);
DEFINE_AUTO(const struct api_key_set, api_key_set_unref);
size_t api_key_set_count(const struct api_key_set *s);
/* NULL when there is none. */
const struct api_key *api_key_set_find(const struct api_key_set *s, api_key_id id);
/* All by rising id; start with *at = 0; NULL at the end. */
const struct api_key *api_key_set_next(const struct api_key_set *s, size_t *at);

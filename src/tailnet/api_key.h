#pragma once

/*
 * API keys: what programs and remote command lines show to be let in.
 *
 * A key is of one tailnet, or of the server: then it may name any tailnet. The secret is shown once
 * and kept as a hash; the prefix is what lists show, commands name and look-ups use. Prefixes are
 * unique over the server, whatever the key's form.
 *
 *   ours, and headscale's since 0.28   hskey-api-<12>-<64>
 *   headscale's before                 <7 or 10>.<secret>      imported only
 *
 * Source: headscale.md 3.5.
 */

#include "core/mem.h"
#include "core/str.h"
#include "tailnet/types.h"

#define API_KEY_KIND STR("hskey-api-")
#define API_KEYS_MAX 10000    /* over the server */
#define API_KEY_SCOPES_MAX 64 /* of one key */
#define API_KEY_TEXT_MAX 256  /* bytes of the whole text a stranger may show */
#define API_KEY_SEEN_MS 60000 /* a key's last use is noted at most so often */
#define API_KEY_NOTE_MAX 255  /* bytes of its description */

/* Immutable, counted. */
struct api_key {
    struct ref ref;
    api_key_id id;
    tailnet_id tailnet; /* 0: the server's */
    user_id user;       /* who made it, a user of `tailnet`; 0: nobody in particular */
    struct str prefix;  /* 12 characters of our own, 7 or 10 of the old ones */
    uint8_t hash[32];   /* SHA-256 of the secret; zero when `legacy` is set */
    struct str legacy;  /* bcrypt hash of an imported key's secret; empty for ours */
    struct str description;
    struct str_list scopes; /* what it may do; empty: everything (auth/caller.h) */
    int64_t created_ms;
    int64_t expiry_ms;    /* 0: never */
    int64_t last_seen_ms; /* within API_KEY_SEEN_MS; 0: never */
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
 */
MUST_USE bool api_key_split(struct str text, struct str *prefix, struct str *secret);

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

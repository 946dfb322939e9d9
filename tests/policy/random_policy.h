#pragma once

/*
 * Random policy texts that use the whole language: every selector, protocol and port form, self,
 * internet, via, app, ssh with all forms of users, nodeAttrs, autoApprovers, postures, hosts,
 * ipsets. Names are those of random_tailnet.h; literal addresses are near those of its nodes.
 * Nearly all of them are valid.
 */

#include "random_tailnet.h"

/* What is left out of a text, to find out what matters. */
struct random_policy_options {
    size_t max_rules;   /* of each kind; 0: 5 */
    bool plain;         /* no comments, no trailing commas */
    struct str choices; /* bytes that decide as long as they last, for fuzzing */
};
/* Appends a text. The same generator state gives the same text. */
void random_policy_put(struct rand_seeded *r, struct random_policy_options o, struct buf *out);

/* Names the texts use, for asking about. */
extern const char *const random_logins[];
extern const size_t random_n_logins;
extern const char *const random_caps[]; /* those they bring along too */
extern const size_t random_n_caps;
extern const char *const random_attrs[];
extern const size_t random_n_attrs;

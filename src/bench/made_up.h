#pragma once

/*
 * A made-up tailnet for benches: people in groups, tags, rules between them. The same numbers give
 * the same policy.
 *
 *   people     in one to three groups each; "p1@example.com" and so on
 *   machines   six in ten are people's, the others have one tag
 *   rules      a group, tag, person or everyone, to tags, groups, networks and the internet, on
 *              ports
 */

#include "core/buf.h"
#include "core/rand.h"

#define MADE_UP_GROUPS 40
#define MADE_UP_TAGS 40
#define MADE_UP_RULES 200
#define MADE_UP_DEVICES 4 /* per person */

struct made_up {
    struct rand_seeded rand;
    size_t people;
    size_t rules;
    bool self;            /* also autogroup:self */
    struct str last_rule; /* JSON object put behind the others; empty: none */
};

/* How many people own so many machines. */
size_t made_up_people(size_t nodes);
/* Whose machine number i (from 0) is: a person from 1, or 0 when it is tagged. */
size_t made_up_owner(size_t i, size_t people);
/* The tag's number of a machine that is tagged. */
size_t made_up_tag(size_t i);
void made_up_put_policy(struct made_up *m, struct buf *out);

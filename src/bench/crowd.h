#pragma once

/*
 * Whose the simulated nodes are, and the policy they live under: users, keys and policy are made
 * through the server's REST API (headscale's v1), over its Unix socket or with an API key.
 *
 * Without rules everybody comes by one key, the one that was given or a user's made for it, and
 * sees everybody; with several tailnets so in each of them, and nobody sees another's.
 */

#include "bench/bench.h"
#include "core/buf.h"

struct crowd;

/* Blocks. A key for each person and tag, then the policy; so that it rules before anybody joins. */
MUST_USE int crowd_new(const struct bench_options *o, struct crowd **out, struct err *err);
void crowd_free(struct crowd *c);
struct str crowd_key(const struct crowd *c, size_t node);
size_t crowd_people(const struct crowd *c); /* 0: no rules */
/* The policy with a port of everybody's opened on top, 0: none. */
void crowd_put_policy(const struct crowd *c, unsigned port, struct buf *out);
/* Puts a policy in force. Blocks; from any thread. */
MUST_USE int crowd_set_policy(const struct bench_options *o, struct str text, struct err *err);

#pragma once

/*
 * Two processes of one relay: while the old one sends its clients to the new one, packets between
 * those that have moved and those that have not must go from process to process.
 *
 *   LOOKING --the name is free--> HOLDING it: whoever comes is linked with
 *     |  ^
 *     |  +-- the link ends ------+
 *     +--somebody holds it--> LINKED, both ways (link.h)
 *
 * They find each other by an abstract Unix socket whose name is made from the relay's private key
 * and address, on the same machine and in the same network namespace. Who comes must be of the same
 * user, and then prove over DERP's own handshake that it has the relay's private key; so must who
 * holds the name. Two at a time: a third is linked with one of them when the other has gone.
 */

#include "derp/server.h"

struct derp_sibling;

/* `loop` is one of the server's and does not run yet; `at`: where the relay listens. */
MUST_USE struct derp_sibling *derp_sibling_new(struct derp_server *server, struct loop *loop,
                                               struct ip_addrport at);
/* Looks for nobody any more; from any thread, before the loop is freed. NULL is fine. */
void derp_sibling_stop(struct derp_sibling *s);
/* After the loop has been freed. NULL is fine. */
void derp_sibling_free(struct derp_sibling *s);

#pragma once

/*
 * The STUN responder: tells a client from which address and port it is seen. Answers official
 * clients only, is silent to anything else, keeps nothing.
 */

#include "core/err.h"
#include "ip/addrport.h"
#include "net/loop.h"

struct stun_responder;

/*
 * One on each of the loops, on one address that the kernel spreads clients over; `out` has n
 * places. Family 6 with the zero address serves IPv4 too, or is 0.0.0.0 where there is no IPv6.
 * Port 0: any.
 */
MUST_USE int stun_responder_open_each(struct loop *const *loops, size_t n, struct ip_addrport addr,
                                      struct stun_responder **out, struct err *err);
/* The same on bound sockets, borrowed and shared out; some may be open after an error. */
MUST_USE int stun_responder_open_given(struct loop *const *loops, size_t n, const int *fds,
                                       size_t n_fds, struct stun_responder **out, struct err *err);
int stun_responder_fd(const struct stun_responder *r);
struct ip_addrport stun_responder_addr(const struct stun_responder *r);
/* From the loop's thread or while the loop does not run. NULL is fine. */
void stun_responder_close(struct stun_responder *r);

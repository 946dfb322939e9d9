#pragma once

/* UDP sockets for request and answer (STUN). */

#include "core/err.h"
#include "ip/addrport.h"
#include "net/loop.h"

struct udp;

typedef void udp_receive_fn(void *user, struct udp *udp, struct ip_addrport from, struct str data);

/* Family 6 with the zero address takes IPv4 too (peers then come as IPv4, not mapped). Port 0: any.
 */
MUST_USE int udp_open(struct loop *loop, struct ip_addrport addr, udp_receive_fn *on_receive,
                      void *user, struct udp **out, struct err *err);
/* The same, and others opened so may have the address too (SO_REUSEPORT): the kernel spreads peers
 * over them. Look for somebody else's first (bind.h). */
MUST_USE int udp_open_shared(struct loop *loop, struct ip_addrport addr, udp_receive_fn *on_receive,
                             void *user, struct udp **out, struct err *err);
/* The same on a bound socket, borrowed. */
MUST_USE int udp_open_given(struct loop *loop, int fd, udp_receive_fn *on_receive, void *user,
                            struct udp **out, struct err *err);
int udp_fd(const struct udp *udp);
struct ip_addrport udp_addr(const struct udp *udp);
/*
 * Best effort: what the kernel does not take is dropped and counted, nothing waits. From inside
 * `on_receive`: from the address that the datagram came to, together with other answers when all
 * that came at once has been received.
 */
void udp_send(struct udp *udp, struct ip_addrport to, struct str data);
void udp_close(struct udp *udp);

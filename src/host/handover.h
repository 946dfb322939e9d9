#pragma once

/*
 * Sockets that outlive a process, so that a restart refuses nobody: whoever starts the relay
 * (systemd, or another supervisor) holds them and hands them over.
 *
 *   LISTEN_FDS --handover_take--> given --handover_pick--> used by listeners
 *                                   |
 *                                   +-- nobody's: closed, and forgotten by the service manager
 *   sockets of our own --handover_keep--> the service manager's store, for the next process
 *
 * Source: systemd's sd_listen_fds(3) and sd_notify(3); the protocols are stable and need no
 * library.
 */

#include "core/err.h"
#include "ip/addrport.h"

struct handover;

/* Reads and clears the environment. Before threads; once. */
MUST_USE struct handover *handover_take(void);
/* NULL is fine. */
void handover_free(struct handover *h);
/*
 * The sockets of this type (SOCK_STREAM, SOCK_DGRAM) that are bound to the address; they stay the
 * handover's. 0: none.
 */
size_t handover_pick(struct handover *h, int type, struct ip_addrport addr, const int **fds);
/* Closes what nobody has picked, and tells the service manager. */
void handover_settle(struct handover *h);
/* Whether all that listens would still be there after this process. */
bool handover_outlives(const struct handover *h);
/* The service manager, if there is one, is to hold the socket; `name` without colons. */
void handover_keep(struct handover *h, const char *name, int fd);
/* Tells the service manager, if there is one: "READY=1". */
void handover_say(const struct handover *h, const char *state);

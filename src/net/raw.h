#pragma once

/* Plain blocking sockets, for who plays a stranger or a fool: benches and tests. */

#include "core/buf.h"
#include "ip/addrport.h"

/* Connects over TCP; -1: it could not be. A send that takes longer than `patience_ms` fails. */
int raw_connect(struct ip_addrport to, int64_t patience_ms);
/* False: the peer takes no more, or is gone. */
bool raw_send(int fd, struct str data);
/*
 * Reads until `enough` bytes are there, the peer ends it or `ms` have passed. True: the peer ended
 * it. What came is in `got`.
 */
bool raw_read(int fd, struct buf *got, size_t enough, int64_t ms);

#pragma once

/* Before listening: what address this machine can take, and whether somebody else has the port. */

#include "core/err.h"
#include "ip/addrport.h"

/* [::] serves both families; on a machine without IPv6 what was meant is 0.0.0.0. */
struct ip_addrport bind_usable(struct ip_addrport wanted);
/*
 * Our listeners share a port among themselves (SO_REUSEPORT), so that somebody else's must be
 * looked for first. ERR_IO when the port cannot be had; port 0 always can.
 */
MUST_USE int bind_check_tcp(struct ip_addrport addr, struct err *err);
MUST_USE int bind_check_udp(struct ip_addrport addr, struct err *err);

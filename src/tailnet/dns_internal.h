#pragma once

/* The plain DNS members of tailnet_info as one thing; what the files about DNS share. */

#include "tailnet/dns.h"

/* Out of the info, which has none afterwards. */
MUST_USE struct dns_settings *info_take_dns(struct tailnet_info *i);
/*
 * The plain members, one's own and the configured ones; what pointers `to` has are not freed.
 */
void info_copy_dns(struct tailnet_info *to, const struct tailnet_info *from);
/* What clients are told, borrowed. */
struct dns_settings dns_plain(const struct tailnet_info *i);
/* Of `parts`, what `from` has, in place of what is there. */
void dns_assign(struct dns_settings *to, const struct dns_settings *from, unsigned parts);
/* Those parts say nothing any more. */
void dns_clear(struct dns_settings *s, unsigned parts);

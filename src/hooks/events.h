#pragma once

/*
 * From a command to what webhooks are told of it. Around the command, on the domain's thread:
 *
 *   hook_events_begin(e, d, &c);
 *   status = domain_apply(d, &c, &changes, …);
 *   hook_events_end(e, d, &c, status == 0 ? &result : NULL, changes…, each, user);
 *
 * Costs nothing while no tailnet has a webhook, and nothing for what machines say all day long.
 *
 * Source: tailscale.com/kb/1213 (the events and their data; all values are strings).
 */

#include "tailnet/domain.h"

struct hook_events;
/*
 * `server_url`: what links begin with; copied. `has_login`: machines that wait do so for their own
 * people's log-in, not for an administrator, so nobody is told of them.
 */
MUST_USE struct hook_events *hook_events_new(struct str server_url, bool has_login);
void hook_events_free(struct hook_events *e);

void hook_events_begin(struct hook_events *e, struct domain *d, const struct command *c);
/* Each delivery is borrowed for the call, to be stored with the changes, in this order. */
void hook_events_end(struct hook_events *e, struct domain *d, const struct command *c,
                     const struct command_result *r, const struct change *changes, size_t n,
                     void (*each)(void *user, const struct delivery *delivery), void *user);

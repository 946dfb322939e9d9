#pragma once

/* DNS settings as JSON, for v1's and v2's calls about them. */

#include "api/api_internal.h"
#include "tailnet/dns.h"

/* {"address": …} or, if `brief`, the text alone where there is no more to say. */
void api_put_resolvers(struct json_writer *w, struct str key, const struct dns_resolver *r,
                       size_t n);
/* Of a list: texts, or objects with `address` and `useWithExitNode`. False: it is something else.
 */
MUST_USE bool api_read_resolver(const struct json_value *v, struct str *addr, bool *with_exit_node);
MUST_USE bool api_read_resolvers(const struct json_value *list, struct dns_settings *dns);
MUST_USE bool api_read_split(const struct json_value *list, struct str suffix,
                             struct dns_settings *dns);
MUST_USE bool api_read_search(const struct json_value *list, struct dns_settings *dns);
MUST_USE bool api_read_records(const struct json_value *list, struct dns_settings *dns);
/* 400 or 422, as the version has it: the member is of a wrong kind. */
void api_wrong_kind(struct api_call *c, const char *member);

/* Takes `dns`; `done` must call api_dns_refused first, which lets go of it. */
void api_dns_submit(struct api_call *c, struct dns_settings *dns, enum dns_how how,
                    void (*done)(struct registrar_call *call));
bool api_dns_refused(struct api_call *c);

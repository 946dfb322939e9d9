#pragma once

/*
 * Guests, as simple as can be (policy.h says what rules have to do with them). x is a node of the
 * tailnet, g a guest; nothing of the compiler's is looked at.
 */

#include "naive.h"

bool naive_guest_sees(const struct node *x, const struct node *g);
/* Whether the filter of x lets the packet from the guest's address in. */
bool naive_guest_in(const struct policy_document *d, const struct tailnet_view *v,
                    const struct node *x, const struct node *g, struct ip_addr src,
                    struct ip_addr dst, int proto, uint16_t port);
/* Whether x may send it to an address of the guest, as far as this tailnet says. */
bool naive_guest_out(const struct policy_document *d, const struct tailnet_view *v,
                     const struct node *x, const struct node *g, struct ip_addr src,
                     struct ip_addr dst, int proto, uint16_t port);
bool naive_guest_has_cap(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *x, const struct node *g, struct ip_addr src,
                         struct ip_addr dst, struct str cap);
/* What x is shown of the guest's routes; sorted, exit routes last. */
size_t naive_guest_routes(const struct policy_document *d, const struct tailnet_view *v,
                          const struct node *x, const struct node *g, struct ip_prefix *out,
                          size_t max);
enum naive_ssh naive_guest_ssh(const struct policy_document *d, const struct tailnet_view *v,
                               const struct node *x, const struct node *g, struct str login);
/* One of them is a guest. */
bool naive_would_reach(const struct policy_document *d, const struct tailnet_view *v,
                       const struct node *src, const struct node *dst);

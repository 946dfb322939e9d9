#pragma once

/*
 * What a client makes of the texts it is sent: its packet filter and SSH policy, read from their
 * JSON and applied as the official client does (protocol.md 9 and 11.1).
 *
 * A text that a client would drop, in whole or in part, is a failure here: model_filter_parse says
 * why.
 */

#include "core/arena.h"
#include "ip/ports.h"
#include "ip/prefix.h"
#include "ip/set.h"

struct model_dst {
    struct ip_set set;
    struct ip_ports ports;
};
struct model_filter_rule {
    struct ip_set src;
    struct str_list caps; /* "cap:NAME" in SrcIPs, without "cap:" */
    bool has_proto;
    int *protos; /* has_proto */
    size_t n_protos;
    struct model_dst *dst;
    size_t n_dst;
    /* CapGrant. */
    struct ip_prefix *cap_dst;
    size_t n_cap_dst;
    struct str_list cap_names;
};
struct model_filter {
    struct model_filter_rule *items;
    size_t len;
    char complaint[256]; /* empty: a good filter */
};
void model_filter_parse(struct model_filter *f, struct str json);
void model_filter_fini(struct model_filter *f);

/* The sender, as the receiver knows it. */
struct model_peer {
    struct ip_addr addr;
    struct str_list caps; /* of the peer whose own address it is; none for others */
};
bool model_filter_allows(const struct model_filter *f, const struct model_peer *src,
                         struct ip_addr dst, int proto, uint16_t port);
bool model_filter_has_cap(const struct model_filter *f, const struct model_peer *src,
                          struct ip_addr dst, struct str cap);

enum model_ssh { MODEL_SSH_NONE, MODEL_SSH_ACCEPT, MODEL_SSH_CHECK, MODEL_SSH_BROKEN };
/* What a log-in from the address as the user comes to. */
enum model_ssh model_ssh(struct str json, struct ip_addr src, struct str login);

/* The members' names of a JSON object; nothing for the empty text. str_list_free. */
void model_cap_names(struct str json, struct str_list *out);

#pragma once

/*
 * A client's netmap as the rules of protocol.md 6.4 to 6.6 make it, and nothing cleverer: what the
 * real one drops or overlooks, this one drops and overlooks too ("patchify").
 *
 * It also complains: of members no client knows, of peers without a profile, of patches for peers
 * it does not hold, of its own node among its peers, of lists out of order.
 */

#include "core/arena.h"
#include "core/str.h"
#include "json/value.h"

#define MODEL_FIELDS_MAX 64

/* A value under a name, as canonical JSON text. Both owned by the model. */
struct model_field {
    struct str name;
    struct str value;
};
/* A node, a profile or the rest of the netmap: the fields that are set, by name. */
struct model_record {
    uint64_t id;
    struct model_field fields[MODEL_FIELDS_MAX];
    size_t n_fields;
};
struct model_client {
    bool started;
    struct model_record self;
    struct model_record rest; /* DERPMap, DNSConfig, Domain, PacketFilter, SSHPolicy, Health … */
    struct model_record *peers; /* by rising id */
    size_t n_peers;
    struct model_record *profiles; /* by rising id */
    size_t n_profiles;
    uint64_t messages;
    uint64_t cards; /* received in PeersChanged */
    uint64_t patches;
    char complaint[512]; /* the first; empty when there is none */
};

void model_client_fini(struct model_client *m);
/* One MapResponse. Complaints pile up in m->complaint. */
void model_client_apply(struct model_client *m, struct str json);
/*
 * Whether `m`, which applied deltas, holds what `fresh` does; false: `why` says what differs. Not
 * compared: when a peer that is online was last seen; of self what the client itself said; profiles
 * of users that `fresh` has none of.
 */
bool model_client_same(const struct model_client *m, const struct model_client *fresh, char *why,
                       size_t why_len);

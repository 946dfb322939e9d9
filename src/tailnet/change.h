#pragma once

/*
 * What a command did, in the order it did it. The same list tells the store what to write and the
 * map streams what to send; whoever is told looks the object up in the view made with it.
 */

#include "tailnet/types.h"

enum change_kind {
    CHANGE_NODE,         /* id: node, new or changed; mask says what of it */
    CHANGE_NODE_REMOVED, /* id: node */
    CHANGE_USER,         /* id: user, new or changed */
    CHANGE_USER_REMOVED,
    CHANGE_AUTH_KEY,
    CHANGE_AUTH_KEY_REMOVED,
    CHANGE_API_KEY, /* id: API key, new or changed; of no tailnet (0), see domain_api_keys */
    CHANGE_API_KEY_REMOVED,
    CHANGE_WEBHOOK, /* id: webhook, new or changed */
    CHANGE_WEBHOOK_REMOVED,
    CHANGE_SHARE, /* id: share, new or changed; told in both its tailnets */
    CHANGE_SHARE_REMOVED,
    CHANGE_SHARE_INVITE,
    CHANGE_SHARE_INVITE_REMOVED,
    CHANGE_USER_INVITE,
    CHANGE_USER_INVITE_REMOVED,
    CHANGE_GUEST, /* id: node of another tailnet, new or changed here; mask as of CHANGE_NODE. Never
                     stored */
    CHANGE_GUEST_REMOVED,
    CHANGE_GUEST_USER, /* id: user of another tailnet, who has or lent guests here. Never stored */
    CHANGE_INFO,       /* the tailnet itself: settings, DNS, relay map, policy */
    CHANGE_TAILNET_REMOVED,
    CHANGE_STREAM_END,    /* id: node, arg: generation; that map stream must end (a newer one took
                             over) */
    CHANGE_NODE_EXPIRING, /* id: node, whose key expires in a day; only told where there are
                             webhooks */
    CHANGE_PENDING,       /* a registration that waited is decided; auth_id in `text` */
};

/* CHANGE_NODE: which parts. Anything not named here is NODE_CARD. */
enum node_mask {
    NODE_NEW = 1u << 0,
    NODE_CARD = 1u << 1, /* name, addresses, tags, user, routes, machine key…: no patch says it */
    NODE_FACTS = 1u << 2, /* Hostinfo, as far as peers see it */
    NODE_KEY = 1u << 3,
    NODE_DISCO = 1u << 4,
    NODE_ENDPOINTS = 1u << 5,
    NODE_DERP = 1u << 6,
    NODE_ONLINE = 1u << 7, /* and last seen */
    NODE_EXPIRY = 1u << 8, /* key expiry, and expired */
    NODE_CAPVER = 1u << 9,
    NODE_PRIVATE = 1u << 10,       /* nothing a client is told of, for the store only */
    NODE_ACCESS = 1u << 13,        /* `holds`; others see it come or go, itself a whole new self */
    NODE_ABROAD = 1u << 12,        /* `abroad`; for policy and maps, never stored */
    NODE_FACTS_PRIVATE = 1u << 11, /* the same, written behind: Hostinfo that peers do not see */
};

/* A node's changes that a client may be told in a patch. */
#define NODE_PATCHABLE \
    (NODE_KEY | NODE_DISCO | NODE_ENDPOINTS | NODE_DERP | NODE_ONLINE | NODE_EXPIRY | NODE_CAPVER)
/* What no client is told of. */
#define NODE_UNTOLD (NODE_PRIVATE | NODE_FACTS_PRIVATE)
/* Changes that must be on disk before anyone is told; the others are written behind. */
#define NODE_DURABLE (NODE_NEW | NODE_CARD | NODE_KEY | NODE_EXPIRY | NODE_PRIVATE | NODE_ACCESS)

/* CHANGE_API_KEY: only its last use was noted, which is written behind. */
#define API_KEY_SEEN (1u << 0)

struct change {
    enum change_kind kind;
    tailnet_id tailnet;
    uint64_t id;
    uint64_t arg;
    unsigned mask;
    uint64_t revision; /* the tailnet's, after this change */
    char text[64];
};

struct change_list {
    struct change *items;
    size_t len;
    size_t cap;
};
void change_list_add(struct change_list *l, struct change c);
void change_list_clear(struct change_list *l); /* keeps the memory */
void change_list_fini(struct change_list *l);
bool change_is_durable(const struct change *c);

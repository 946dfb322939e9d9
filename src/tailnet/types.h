#pragma once

/*
 * Words every other header of the domain uses: ids, limits, small enumerations.
 *
 * Ids are below 2^53, unique over the whole server within their kind, and never used again.
 */

#include "core/defs.h"

typedef uint64_t tailnet_id;
typedef uint64_t user_id;
typedef uint64_t node_id;
typedef uint64_t auth_key_id;
typedef uint64_t api_key_id;
typedef uint64_t share_id;
typedef uint64_t share_invite_id;
typedef uint64_t user_invite_id;

/* Tagged nodes belong to nobody; clients and headscale's tools know this user in their place. */
#define USER_TAGGED_DEVICES ((user_id)2147455555)

/* Ceilings on what one tailnet or one request may hold. */
#define TAILNET_NODES_MAX 100000
#define TAILNET_USERS_MAX 100000
#define TAILNET_AUTH_KEYS_MAX 100000
#define TAILNET_POLICY_MAX ((size_t)4 << 20) /* bytes of text */
#define NODE_ENDPOINTS_MAX 64
#define NODE_ROUTES_MAX 1024
#define NODE_TAGS_MAX 128
#define NODE_HOSTINFO_MAX ((size_t)128 << 10) /* bytes of JSON */
#define USER_GROUPS_MAX 256                   /* that a provider may say of a user */
/* Registrations waiting for approval, over the server; how long they do. Unless told otherwise. */
#define PENDING_MAX 1024
#define PENDING_MS ((int64_t)15 * 60 * 1000)
#define AUTH_KEY_NOTE_MAX 255 /* bytes of an auth key's description */
#define REVOKED_RETENTION_MS                                             \
    ((int64_t)168 * 3600 * 1000) /* unless the configuration has another \
                                  */
#define OFFLINE_GRACE_MS ((int64_t)10 * 1000)

enum register_method { REGISTER_UNSPECIFIED, REGISTER_AUTH_KEY, REGISTER_CLI, REGISTER_OIDC };
enum user_role {
    ROLE_MEMBER,
    ROLE_ADMIN,
    ROLE_OWNER,
    ROLE_NETWORK_ADMIN,
    ROLE_IT_ADMIN,
    ROLE_BILLING_ADMIN,
    ROLE_AUDITOR
};
#define ROLES (ROLE_AUDITOR + 1)
/* Stored as they are. PENDING: waits for an administrator's approval (joining.h). */
enum user_status { USER_ACTIVE, USER_PENDING, USER_SUSPENDED };
/* Why a node that is registered has no access: its client is told that it is not authorized, it
 * sees nobody, and nobody sees it. */
enum node_hold {
    HOLD_DEVICE = 1u << 0, /* nobody approved the machine yet */
    HOLD_USER = 1u << 1,   /* its user is not active */
};

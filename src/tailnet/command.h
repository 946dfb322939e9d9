#pragma once

/*
 * Commands: the one way to change anything. Each names its tailnet, its author and where it came
 * from.
 */

#include "core/err.h"
#include "tailnet/api_key.h"
#include "tailnet/change.h"
#include "tailnet/info.h"
#include "tailnet/view.h"

enum command_origin { ORIGIN_CLIENT, ORIGIN_SOCKET, ORIGIN_API, ORIGIN_SERVER };

enum command_type {
    COMMAND_TAILNET_CREATE,
    COMMAND_TAILNET_UPDATE, /* settings, DNS, relay map: replaces the info but for the policy */
    COMMAND_TAILNET_DELETE,
    COMMAND_POLICY_SET, /* text, as the author wrote it; empty: none. What it means is judged before
                         */
    COMMAND_USER_CREATE,
    COMMAND_USER_RENAME, /* of id, or of user_name if id is 0; so the next ones */
    COMMAND_USER_UPDATE, /* `fields` of id: text is the display name */
    COMMAND_USER_LOGIN, /* somebody proved to be (provider, provider_id): found or made, and brought
                           up to name, text, email, picture_url; empty ones leave what there is;
                           groups are replaced */
    COMMAND_USER_DELETE,
    COMMAND_AUTH_KEY_CREATE,
    COMMAND_AUTH_KEY_EXPIRE,
    COMMAND_AUTH_KEY_REVOKE, /* good for nothing from now on, gone after the retention */
    COMMAND_AUTH_KEY_DELETE,
    COMMAND_API_KEY_CREATE, /* of `tailnet`, 0: of the server; text: its description */
    COMMAND_API_KEY_EXPIRE, /* by id, or by name: its prefix in any form people paste. In `tailnet`
                               only, 0: any */
    COMMAND_API_KEY_DELETE, /* likewise */
    COMMAND_API_KEY_SEEN,   /* it was used; noted at most every API_KEY_SEEN_MS */
    COMMAND_REGISTER,       /* a client's register request: result.reg says what to answer */
    COMMAND_REGISTER_APPROVE, /* an administrator or a log-in completes a pending registration */
    COMMAND_REGISTER_REJECT,
    COMMAND_REGISTER_FABRICATE, /* for debugging: a pending registration that no machine asked for.
                                   name: its auth id, user: whose it may become, facts: what it
                                   says. result.node is what it would be, with id 0 */
    COMMAND_NODE_UPDATE,        /* a client's map request: facts, endpoints, keys */
    COMMAND_STREAM_OPEN,        /* a map stream began: result.generation, and the node is online */
    COMMAND_STREAM_CLOSE,
    COMMAND_NODE_RENAME,
    COMMAND_NODE_DELETE,
    COMMAND_NODE_EXPIRE, /* expiry_ms 0: never; what has passed: now */
    COMMAND_NODE_MOVE,   /* an untagged node becomes the user's */
    COMMAND_NODE_TAG,
    COMMAND_NODE_APPROVE_ROUTES,
    COMMAND_NODES_BACKFILL, /* every node gets the addresses its tailnet gives now, and loses
                               others: result.lines says which */
    COMMAND_TICK, /* time passed: expiries, offline grace, ephemeral nodes, stale registrations */
};

/* COMMAND_USER_UPDATE: what is to be set. */
enum user_field {
    USER_FIELD_DISPLAY = 1u << 0,
    USER_FIELD_EMAIL = 1u << 1,
    USER_FIELD_PICTURE = 1u << 2,
    USER_FIELD_ROLE = 1u << 3,
    USER_FIELD_PROVIDER = 1u << 4, /* provider and provider_id, which nobody else may have */
};

/* What a client's register request says, decoded; borrowed for the call. */
struct register_request {
    struct machine_key machine; /* from the channel, never from the body */
    struct node_key key;
    struct node_key old_key; /* zero: none */
    struct nl_key nl;
    uint32_t capver;
    bool has_expiry;
    int64_t expiry_ms;
    struct str auth_key; /* the whole text; empty: none */
    auth_key_id proven;  /* the caller checked its bcrypt hash: see REGISTER_PROVE; 0: no */
    struct str followup; /* auth id out of the Followup URL; empty: none */
    bool ephemeral;
    struct node_facts *facts; /* referenced by whoever keeps it */
};

enum register_outcome {
    REGISTER_DONE,    /* node and user are set */
    REGISTER_PENDING, /* auth_id is set: answer with the URL, or hold the follow-up until
                         CHANGE_PENDING */
    REGISTER_EXPIRED, /* NodeKeyExpired */
    REGISTER_LOGGED_OUT,
    REGISTER_FAILED, /* `text` is for the client's user, as RegisterResponse.Error */
    REGISTER_PROVE,  /* the key is an imported one with a slow hash, result.auth_key: check it on a
                        worker (auth_prove) and ask again with `proven`. Nothing changed */
};

struct command {
    enum command_type type;
    enum command_origin origin;
    struct str author;  /* for the audit: "socket", "key:<prefix>", "user:<login>"; borrowed */
    struct str from;    /* for the audit: the address it came from; may be empty */
    tailnet_id tailnet; /* 0: the first one (for commands of clients: found by the keys) */
    int64_t now_ms;     /* unix; the domain asks no clock */

    /* The object; 0 where none is needed. */
    uint64_t id;
    struct str name; /* user name, node name, tailnet name, auth id */
    struct str text; /* display name; a policy */
    struct str email;
    struct str picture_url;
    struct str provider; /* COMMAND_USER_LOGIN, _UPDATE: "oidc" */
    struct str provider_id;
    struct str_list groups; /* COMMAND_USER_LOGIN: all that the user is in now; borrowed */
    enum user_role role;    /* COMMAND_USER_UPDATE */
    unsigned fields;        /* COMMAND_USER_UPDATE: enum user_field */
    user_id user;           /* owner */
    struct str
        user_name; /* alternative to `user` for COMMAND_REGISTER_APPROVE: "name", unique match */

    struct str_list scopes; /* COMMAND_API_KEY_CREATE; borrowed, empty: everything */

    /* Auth keys; `text` is the description. */
    bool reusable;
    bool ephemeral;
    struct str_list tags; /* borrowed; also COMMAND_NODE_TAG */
    int64_t expiry_ms;    /* unix; 0: never. Also COMMAND_NODE_EXPIRE and API keys */
    bool is_oidc;         /* COMMAND_REGISTER_APPROVE */

    /* Routes, COMMAND_NODE_APPROVE_ROUTES; borrowed. */
    const struct ip_prefix *routes;
    size_t n_routes;

    const struct register_request *reg;

    /* COMMAND_NODE_UPDATE, COMMAND_STREAM_OPEN: who (both checked), and what it says. */
    struct machine_key machine;
    struct node_key key;
    bool is_update; /* false: STREAM_OPEN that only reads (facts and endpoints are to be ignored) */
    uint32_t capver;
    struct disco_key disco;
    struct node_facts *facts; /* NULL: unchanged */
    const struct ip_addrport *endpoints;
    const uint8_t *endpoint_types;
    size_t n_endpoints;
    bool has_endpoints;
    uint32_t home_derp;  /* 0: keep */
    uint64_t generation; /* COMMAND_STREAM_CLOSE */

    struct tailnet_info *info; /* COMMAND_TAILNET_CREATE, _UPDATE: borrowed */
};

/* Fill with {0}; command_result_fini when done. */
struct command_result {
    enum register_outcome outcome;
    char auth_id[64];  /* REGISTER_PENDING */
    char text[256];    /* REGISTER_FAILED */
    struct str secret; /* COMMAND_…_KEY_CREATE: the key, shown this once; wiped by fini */
    uint64_t id;
    uint64_t generation;     /* COMMAND_STREAM_OPEN */
    const struct node *node; /* counted */
    const struct user *user; /* counted; NULL for tagged nodes */
    const struct auth_key *auth_key;
    const struct api_key *api_key;   /* counted */
    struct str_list lines;           /* COMMAND_NODES_BACKFILL: what was done, for people; owned */
    const struct tailnet_view *view; /* counted: the tailnet with this command applied */
};
void command_result_fini(struct command_result *r);

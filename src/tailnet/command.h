#pragma once

/*
 * Commands: the one way to change anything. Each names its tailnet, its author and where it came
 * from.
 */

#include "core/err.h"
#include "tailnet/api_key.h"
#include "tailnet/change.h"
#include "tailnet/dns.h"
#include "tailnet/info.h"
#include "tailnet/joining.h"
#include "tailnet/view.h"
#include "tailnet/webhook.h"

/* Who gives a command must say which: what is left out is nobody's, and the registrar asserts that
 * it never is. Stored less one. */
enum command_origin { ORIGIN_NONE, ORIGIN_CLIENT, ORIGIN_SOCKET, ORIGIN_API, ORIGIN_SERVER };

enum command_type {
    COMMAND_TAILNET_CREATE, /* `info`; or without: as the first is configured, but for its name,
                               text: the base domain (empty: a label in the first's), routes: ranges
                               of its own, one a family, `settings` */
    COMMAND_TAILNET_UPDATE, /* settings, configured DNS, relay map: replaces the info but for the
                               policy and what COMMAND_DNS_SET set */
    /*
     * By the operator: name, text (the base domain), empty ones stay; `settings` over what is set,
     * `unset` of them (enum setting) no more. A further tailnet's machines are renamed with their
     * base domain.
     */
    COMMAND_TAILNET_SET,
    COMMAND_TAILNET_SUSPEND, /* its machines lose access: no stream, no registration, no log-in */
    COMMAND_TAILNET_RESUME,
    COMMAND_TAILNET_DELETE, /* with all that is in it; not the first */
    COMMAND_POLICY_SET, /* text, as the author wrote it; empty: none. What it means is judged before
                         */
    COMMAND_DNS_SET,    /* `dns`, as dns_how says (dns.h) */
    COMMAND_SETTINGS_SET, /* what `settings` sets; the rest stays */
    COMMAND_USER_CREATE,
    COMMAND_USER_RENAME, /* of id, or of user_name if id is 0; so the next ones */
    COMMAND_USER_UPDATE, /* `fields` of id: text is the display name */
    COMMAND_USER_LOGIN,  /* somebody proved to be (provider, provider_id), who wants into `tailnet`:
                            the member is found, or made where a joining rule admits him (issuer,
                            email_verified), and brought up to name, text, email, picture_url; empty
                            ones leave what there is; groups are replaced. ERR_DENIED: no rule
                            does, or he is suspended */
    COMMAND_LOGIN_CHOICES, /* changes nothing: where such a person may log in: result.choices, those
                              he is a member of first. Suspended tailnets are left out */
    COMMAND_USER_APPROVE,  /* id: PENDING -> ACTIVE; so the next ones. ERR_CONFLICT: he is not */
    COMMAND_USER_SUSPEND,  /* ACTIVE, PENDING -> SUSPENDED; not the tailnet's last active owner */
    COMMAND_USER_RESTORE,  /* SUSPENDED -> ACTIVE */
    COMMAND_USER_INVITE_CREATE, /* `role`, `email`, expiry_ms (0: USER_INVITE_MS from now), `user`:
                                   the inviter; result.secret, result.user_invite */
    COMMAND_USER_INVITE_REVOKE, /* id */
    COMMAND_USER_INVITE_ACCEPT, /* `secret`, and who as COMMAND_USER_LOGIN has it: he is a member
                                   from now on, active, with the invitation's role unless he was
                                   one before; result.user, result.view */
    COMMAND_USER_DELETE, /* ERR_CONFLICT: he owns machines, unless with_nodes: these go, too, and
                            result.lines are their names, of the first USER_DELETE_LINES_MAX */
    COMMAND_AUTH_KEY_CREATE,
    COMMAND_AUTH_KEY_EXPIRE,
    COMMAND_AUTH_KEY_REVOKE, /* good for nothing from now on, gone after the retention */
    COMMAND_AUTH_KEY_DELETE,
    COMMAND_API_KEY_CREATE, /* of `tailnet`, 0: of the server; text: its description */
    COMMAND_API_KEY_EXPIRE, /* by id, or by name: its prefix in any form people paste. In `tailnet`
                               only, 0: any */
    COMMAND_API_KEY_DELETE, /* likewise */
    COMMAND_API_KEY_SEEN,   /* it was used; noted at most every API_KEY_SEEN_MS. Of any kind */
    /* Of `tailnet`, with text, scopes (at least one) and tags; one that is there by id, or by name:
     * its client id. An update that takes away scopes or tags ends its tokens. */
    COMMAND_OAUTH_CLIENT_CREATE,
    COMMAND_OAUTH_CLIENT_UPDATE,
    COMMAND_OAUTH_CLIENT_DELETE,
    COMMAND_OAUTH_TOKEN_CREATE, /* of the client `id`, for OAUTH_TOKEN_MS; scopes and tags: what
                                   was asked for, checked by who knows what they mean */
    COMMAND_SESSION_CREATE, /* of `user` in `tailnet`, with scopes, until expiry_ms; text: what the
                               log is to call the user */
    COMMAND_SESSION_DELETE, /* id, in `tailnet` */
    COMMAND_REGISTER,       /* a client's register request: result.reg says what to answer */
    COMMAND_REGISTER_APPROVE, /* an administrator or a log-in completes a pending registration */
    COMMAND_REGISTER_REJECT,
    COMMAND_REGISTER_FABRICATE, /* for debugging: a pending registration that no machine asked for.
                                   name: its auth id, user: whose it may become, facts: what it
                                   says. result.node is what it would be, with id 0 */
    COMMAND_NODE_UPDATE,        /* a client's map request: facts, endpoints, keys */
    COMMAND_STREAM_OPEN,        /* a map stream began: result.generation, and the node is online */
    COMMAND_STREAM_CLOSE,
    COMMAND_NODE_PROBED, /* the node of `id` was asked whether it is there, on the stream of
                            `generation`, and `answers` or not; another stream: no matter */
    COMMAND_NODE_RENAME,
    COMMAND_NODE_DELETE,
    COMMAND_NODE_EXPIRE, /* expiry_ms 0: never; what has passed: now */
    COMMAND_NODE_MOVE,   /* an untagged node becomes the user's */
    COMMAND_NODE_TAG,
    COMMAND_NODE_APPROVE, /* the machine of id may come, or `revokes`: it may no more */
    COMMAND_NODE_APPROVE_ROUTES,
    COMMAND_NODE_ADDRESS,       /* addr, a free one of the tailnet's, in place of that family's */
    COMMAND_NODE_ATTRIBUTE_SET, /* `attribute` of the node */
    COMMAND_NODE_ATTRIBUTE_DELETE, /* name: which */
    COMMAND_NODES_BACKFILL,        /* every node gets the addresses its tailnet gives now, and loses
                                      others: result.lines says which */
    /*
     * `share` says which node of `tailnet` (its owner) is lent to whom, how far and until when; in
     * force at once if `is_accepted`, which only who speaks for both may say. ERR_CONFLICT: lent to
     * them already.
     */
    COMMAND_SHARE_CREATE,
    COMMAND_SHARE_ACCEPT, /* id, by the guest: `tailnet` */
    COMMAND_SHARE_UPDATE, /* id, by the owner: `tailnet`; terms and expiry of `share`. Terms that
                             go further make a share with a guest's say wait again if two_way is
                             new */
    COMMAND_SHARE_REVOKE, /* id, by either: `tailnet` */
    COMMAND_SHARE_INVITE_CREATE, /* `invite` of `tailnet`: node, terms, uses_left, expiries;
                                    result.secret */
    COMMAND_SHARE_INVITE_REVOKE, /* id */
    COMMAND_SHARE_INVITE_ACCEPT, /* text: the secret; `user` of `tailnet`, 0: for all of it. A share
                                    in force; result.share */
    COMMAND_NODE_ABROAD, /* by the server itself: the node of `id` has `abroad` from now on; checked
                            against the shares in force, what they do not cover is left out */
    COMMAND_WEBHOOK_CREATE, /* text: URL, provider: whose form, scopes: subscriptions, name: who
                               makes it, as people know them */
    COMMAND_WEBHOOK_UPDATE, /* scopes: all its subscriptions */
    COMMAND_WEBHOOK_ROTATE, /* another secret; the old one signs no more */
    COMMAND_WEBHOOK_TEST,   /* changes nothing; a test event is sent to it */
    COMMAND_WEBHOOK_DELETE,
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

#define USER_DELETE_LINES_MAX ((size_t)50)

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
    /* COMMAND_POLICY_SET: only if the policy is still the one of that time, else ERR_CONFLICT. */
    bool is_guarded;
    int64_t policy_seen_ms;
    struct str email;
    struct str picture_url;
    struct str provider; /* COMMAND_USER_LOGIN, _UPDATE: "oidc" */
    struct str provider_id;
    struct str_list groups; /* COMMAND_USER_LOGIN: all that the user is in now; borrowed */
    struct str issuer;      /* COMMAND_USER_LOGIN, _LOGIN_CHOICES, _USER_INVITE_ACCEPT */
    bool email_verified;    /* the same; and for JOIN_DOMAIN only what is, counts */
    struct str secret;      /* COMMAND_USER_INVITE_ACCEPT */
    bool revokes;           /* COMMAND_NODE_APPROVE */
    enum user_role role;    /* COMMAND_USER_UPDATE, _USER_INVITE_CREATE */
    unsigned fields;        /* COMMAND_USER_UPDATE: enum user_field */
    bool with_nodes;        /* COMMAND_USER_DELETE */
    user_id user;           /* owner */
    struct str
        user_name; /* alternative to `user` for COMMAND_REGISTER_APPROVE: "name", unique match */

    struct str_list scopes; /* COMMAND_API_KEY_CREATE, where none means everything, COMMAND_OAUTH_…,
                               COMMAND_SESSION_CREATE, webhooks: subscriptions; borrowed */

    /* Auth keys; `text` is the description. */
    bool reusable;
    bool ephemeral;
    bool preauthorized;
    struct str_list tags; /* borrowed; also COMMAND_NODE_TAG, COMMAND_OAUTH_… */
    int64_t expiry_ms;    /* unix; 0: never. Also COMMAND_NODE_EXPIRE and API keys */
    int64_t lifetime_ms;  /* COMMAND_AUTH_KEY_CREATE: from now, in place of expiry_ms; 0: that */
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
    bool forwarding_off; /* a router says that its system forwards nothing; for webhooks */
    uint32_t home_derp;  /* 0: keep */
    uint64_t generation; /* COMMAND_STREAM_CLOSE, _NODE_PROBED */
    bool answers;        /* COMMAND_NODE_PROBED */

    struct tailnet_info *info;               /* COMMAND_TAILNET_CREATE, _UPDATE: borrowed */
    /* COMMAND_TAILNET_UPDATE of the first: what tailnets made from then on begin with; or NULL */
    const struct quotas *new_quotas;
    const struct dns_settings *dns;          /* COMMAND_DNS_SET: borrowed */
    const struct tailnet_settings *settings; /* COMMAND_SETTINGS_SET, _TAILNET_…: borrowed */
    unsigned unset;                          /* COMMAND_TAILNET_SET: enum setting */
    const struct node_attribute *attribute;  /* COMMAND_NODE_ATTRIBUTE_SET: borrowed */
    const struct share *share;               /* COMMAND_SHARE_…: borrowed */
    const struct share_invite *invite;       /* COMMAND_SHARE_INVITE_CREATE: borrowed */
    bool is_accepted;                        /* COMMAND_SHARE_CREATE */
    const struct abroad *abroad;             /* COMMAND_NODE_ABROAD: counted, taken as it is */
    struct ip_addr addr;                     /* COMMAND_NODE_ADDRESS */
    enum dns_how dns_how;
};

/* A share that ended, with both its tailnets as they stood just before; counted. */
struct share_end {
    const struct share *share;
    const struct tailnet_view *owner;
    const struct tailnet_view *guest;
};

/* Fill with {0}; command_result_fini when done. */
struct command_result {
    enum register_outcome outcome;
    char auth_id[64]; /* REGISTER_PENDING */
    char text[256];   /* REGISTER_FAILED; COMMAND_LOGIN_CHOICES with none: why, for who asks */
    struct str secret; /* COMMAND_…_KEY_CREATE, OAUTH_…, SESSION_…: shown this once; wiped by fini
                        */
    uint64_t id;
    uint64_t generation;     /* COMMAND_STREAM_OPEN */
    const struct node *node; /* counted */
    const struct user *user; /* counted; NULL for tagged nodes */
    const struct auth_key *auth_key;
    const struct api_key *api_key;         /* counted */
    const struct webhook *webhook;         /* counted */
    const struct share *share;             /* counted */
    const struct share_invite *invite;     /* counted */
    const struct user_invite *user_invite; /* counted */
    struct login_choice *choices;          /* owned, at most LOGIN_CHOICES_MAX */
    size_t n_choices;
    struct share_end *ended; /* shares that the command ended, also one that it revoked; owned */
    size_t n_ended;
    struct str_list lines;           /* COMMAND_NODES_BACKFILL: what was done, for people;
                                        COMMAND_USER_DELETE: see there; owned */
    const struct tailnet_view *view; /* counted: the tailnet with this command applied */
};
void command_result_fini(struct command_result *r);

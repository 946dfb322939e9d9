#pragma once

/*
 * What administrators set of a tailnet as a whole, in place of what is configured, and what nobody
 * configures: whom to write to, where the policy is kept. Part of the tailnet's info.
 */

#include "core/err.h"
#include "core/str.h"

struct derp_region;
struct join_rule;

enum setting {
    SETTING_KEY_DURATION = 1u << 0,
    SETTING_AUTO_UPDATE = 1u << 1,
    SETTING_POLICY_ELSEWHERE = 1u << 2,
    SETTING_POLICY_LINK = 1u << 3,
    SETTING_CONTACT_ACCOUNT = 1u << 4,
    SETTING_CONTACT_SUPPORT = 1u << 5,
    SETTING_CONTACT_SECURITY = 1u << 6,
    /* By the operator only, each by commands of tailnets.c. */
    SETTING_SUSPENDED = 1u << 7, /* set: it is */
    SETTING_MAX_NODES = 1u << 8,
    SETTING_MAX_USERS = 1u << 9,
    SETTING_MAX_KEYS = 1u << 10,
    SETTING_ADDRESSES_APART = 1u << 11, /* set: they are; from its making on */
    SETTING_RELAYS = 1u << 12,
    /* By the tailnet's administrators again. */
    SETTING_JOINING = 1u << 13,
    SETTING_USER_APPROVAL = 1u << 14,
    SETTING_DEVICE_APPROVAL = 1u << 15,
};
#define SETTINGS_ALL ((1u << 16) - 1)

enum quota { QUOTA_NODES, QUOTA_USERS, QUOTA_KEYS, QUOTAS };
struct quotas {
    uint32_t max[QUOTAS]; /* 0: none */
};
#define TAILNET_RELAYS_MAX 64 /* regions of its own, each of at most so many nodes */

enum contact { CONTACT_ACCOUNT, CONTACT_SUPPORT, CONTACT_SECURITY, CONTACTS };
#define KEY_DURATION_DAYS_MAX 36500
#define SETTING_TEXT_MAX 2048 /* bytes of a link or an address */

struct tailnet_settings {
    unsigned set;                  /* enum setting: what of the following counts */
    int64_t key_duration_ms;       /* of node keys; 0: they do not end */
    bool auto_update;              /* of clients, unless they are told otherwise */
    bool policy_elsewhere;         /* the policy is kept in another place: a hint for people */
    struct str policy_link;        /* where; owned */
    struct str contacts[CONTACTS]; /* mail addresses; owned */
    uint32_t max[QUOTAS];          /* nodes, users, keys (auth keys, API keys and OAuth clients
                                      together); 0: no more than the ceilings of types.h */
    struct derp_region *relays;    /* beside those configured, or in place of those of their id;
                                      owned */
    size_t n_relays;
    /* Who becomes a member by logging in (joining.h); owned. Not set: of the first tailnet whoever
     * a provider lets in, with no approval; of others nobody. */
    struct join_rule *joining;
    size_t n_joining;
    bool user_approval;   /* whoever joins by a rule waits for approval, whatever the rule says */
    bool device_approval; /* new machines do, unless their auth key is preauthorized */
    /* Of what is set: the configured values, which the info shows otherwise. */
    int64_t configured_key_duration_ms;
    bool configured_auto_update;
    struct derp_region *configured_regions; /* owned */
    size_t n_configured_regions;
};
void tailnet_settings_copy(struct tailnet_settings *to, const struct tailnet_settings *from);
void tailnet_settings_fini(struct tailnet_settings *s);
/* What `more` sets, over what is there; copied. */
void tailnet_settings_put_over(struct tailnet_settings *s, const struct tailnet_settings *more);
/* `what` (enum setting) is not set any more. */
void tailnet_settings_unset(struct tailnet_settings *s, unsigned what);
/* Whether what is set can mean something. */
MUST_USE int tailnet_settings_check(const struct tailnet_settings *s, struct err *err);

struct tailnet_info;
/* Gives the info these settings in place of those it has, which takes them back to what is
 * configured; NULL: none. Copies. */
void tailnet_info_settle_settings(struct tailnet_info *i, const struct tailnet_settings *s);

#pragma once

/*
 * Webhook endpoints: addresses of a tailnet that are told what happens in it.
 *
 * Their secrets sign what is sent, so they cannot be kept as hashes; they are shown when they are
 * made and never again, wiped when they are freed, and in no log. What is sent to whom is the
 * business of the room `hooks`.
 *
 * Source: Tailscale's REST API v2, "webhooks"; tailscale.com/kb/1213.
 */

#include "core/mem.h"
#include "core/str.h"
#include "tailnet/types.h"

typedef uint64_t webhook_id;

#define WEBHOOK_KIND STR("hskey-webhook-")
#define WEBHOOKS_MAX 64      /* of one tailnet */
#define WEBHOOK_URL_MAX 2048 /* bytes */

/* Whose form the messages have. */
enum webhook_provider {
    WEBHOOK_GENERIC, /* a signed JSON array of events */
    WEBHOOK_SLACK,
    WEBHOOK_MATTERMOST,
    WEBHOOK_GOOGLECHAT,
    WEBHOOK_DISCORD,
    WEBHOOK_PROVIDERS
};

/* What can be subscribed to; the last two stand for many. */
enum webhook_event {
    EVENT_NODE_CREATED,
    EVENT_NODE_NEEDS_APPROVAL,
    EVENT_NODE_APPROVED,
    EVENT_NODE_KEY_EXPIRING,
    EVENT_NODE_KEY_EXPIRED,
    EVENT_NODE_DELETED,
    EVENT_NODE_SIGNED,
    EVENT_NODE_NEEDS_SIGNATURE,
    EVENT_POLICY_UPDATE,
    EVENT_USER_CREATED,
    EVENT_USER_NEEDS_APPROVAL,
    EVENT_USER_SUSPENDED,
    EVENT_USER_RESTORED,
    EVENT_USER_DELETED,
    EVENT_USER_APPROVED,
    EVENT_USER_ROLE_UPDATED,
    EVENT_SUBNET_FORWARDING_OFF,
    EVENT_EXIT_FORWARDING_OFF,
    EVENT_SHARE_CREATED, /* of this server's own, told to both sides; the rest is Tailscale's */
    EVENT_SHARE_ACCEPTED,
    EVENT_SHARE_REVOKED,
    EVENT_CATEGORY_MANAGEMENT,
    EVENT_CATEGORY_MISCONFIGURATIONS,
    EVENT_TEST, /* sent when asked for; nobody subscribes to it */
    EVENT_COUNT
};

/* Immutable, counted. Begins as table_internal.h wants it. */
struct webhook {
    struct ref ref;
    webhook_id id;
    tailnet_id tailnet;
    struct str url;
    enum webhook_provider provider;
    uint32_t subscriptions; /* BIT(enum webhook_event), as its author said them */
    struct str secret;      /* the whole text signs */
    struct str creator;     /* who made it, as people know them; may be empty */
    int64_t created_ms;
    int64_t modified_ms;
};
MUST_USE struct webhook *webhook_new(void);
MUST_USE struct webhook *webhook_clone(const struct webhook *h);
struct webhook *webhook_ref(const struct webhook *h);
void webhook_unref(const struct webhook *h); /* wipes the secret */
DEFINE_AUTO(const struct webhook, webhook_unref);

/*
 * One event for one endpoint, on its way: stored with the change that caused it and deleted when
 * the endpoint took it, so it is sent at least once. Immutable, counted.
 */
struct delivery {
    struct ref ref;
    uint64_t id; /* rises; never used again */
    webhook_id webhook;
    tailnet_id tailnet;
    enum webhook_event event;
    int64_t created_ms;
    struct str body; /* the event as a JSON object */
};
MUST_USE struct delivery *delivery_new(void);
struct delivery *delivery_ref(const struct delivery *d);
void delivery_unref(const struct delivery *d);
DEFINE_AUTO(const struct delivery, delivery_unref);

/* Whether the endpoint wants to hear of it, by itself or by its category. */
bool webhook_wants(const struct webhook *h, enum webhook_event event);
/* What of the secret may be shown: it changes when that does. Borrowed. */
struct str webhook_secret_id(const struct webhook *h);
/* Scheme and host, for logs and lists that others read; borrowed. */
struct str webhook_origin(struct str url);

/* "nodeCreated"; never NULL. */
const char *webhook_event_name(enum webhook_event event);
MUST_USE bool webhook_event_find(struct str name, enum webhook_event *out);
/* "" is the generic one. */
const char *webhook_provider_name(enum webhook_provider provider);
MUST_USE bool webhook_provider_find(struct str name, enum webhook_provider *out);
/* Whether it can be an endpoint's address: http or https, a host, no user and no password. */
bool webhook_url_is_valid(struct str url);

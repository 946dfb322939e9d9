/* Webhook endpoints as objects: made, copied, counted, freed; their words. */

#include "tailnet/webhook.h"

struct webhook *webhook_new(void)
{
    struct webhook *h = NEW(struct webhook);

    ref_init(&h->ref);
    return h;
}

struct webhook *webhook_clone(const struct webhook *h)
{
    struct webhook *c = NEW(struct webhook);

    ref_copy(c, h, sizeof(*c));
    c->url = str_copy(h->url);
    c->secret = str_copy(h->secret);
    c->creator = str_copy(h->creator);
    return c;
}

struct webhook *webhook_ref(const struct webhook *h)
{
    struct webhook *m = MUTABLE(struct webhook, h);

    ref_take(&m->ref);
    return m;
}

void webhook_unref(const struct webhook *h)
{
    struct webhook *m = MUTABLE(struct webhook, h);

    if (!m || !ref_drop(&m->ref))
        return;
    if (m->secret.len > 0)
        mem_wipe(MUTABLE(char, m->secret.ptr), m->secret.len);
    str_free(&m->secret);
    str_free(&m->url);
    str_free(&m->creator);
    mem_free(m);
}

struct delivery *delivery_new(void)
{
    struct delivery *d = NEW(struct delivery);

    ref_init(&d->ref);
    return d;
}

struct delivery *delivery_ref(const struct delivery *d)
{
    struct delivery *m = MUTABLE(struct delivery, d);

    ref_take(&m->ref);
    return m;
}

void delivery_unref(const struct delivery *d)
{
    struct delivery *m = MUTABLE(struct delivery, d);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->body);
    mem_free(m);
}

/* ---- Words ---- */

static const char *const events[EVENT_COUNT] = {
    [EVENT_NODE_CREATED] = "nodeCreated",
    [EVENT_NODE_NEEDS_APPROVAL] = "nodeNeedsApproval",
    [EVENT_NODE_APPROVED] = "nodeApproved",
    [EVENT_NODE_KEY_EXPIRING] = "nodeKeyExpiringInOneDay",
    [EVENT_NODE_KEY_EXPIRED] = "nodeKeyExpired",
    [EVENT_NODE_DELETED] = "nodeDeleted",
    [EVENT_NODE_SIGNED] = "nodeSigned",
    [EVENT_NODE_NEEDS_SIGNATURE] = "nodeNeedsSignature",
    [EVENT_POLICY_UPDATE] = "policyUpdate",
    [EVENT_USER_CREATED] = "userCreated",
    [EVENT_USER_NEEDS_APPROVAL] = "userNeedsApproval",
    [EVENT_USER_SUSPENDED] = "userSuspended",
    [EVENT_USER_RESTORED] = "userRestored",
    [EVENT_USER_DELETED] = "userDeleted",
    [EVENT_USER_APPROVED] = "userApproved",
    [EVENT_USER_ROLE_UPDATED] = "userRoleUpdated",
    [EVENT_SUBNET_FORWARDING_OFF] = "subnetIPForwardingNotEnabled",
    [EVENT_EXIT_FORWARDING_OFF] = "exitNodeIPForwardingNotEnabled",
    [EVENT_SHARE_CREATED] = "shareCreated",
    [EVENT_SHARE_ACCEPTED] = "shareAccepted",
    [EVENT_SHARE_REVOKED] = "shareRevoked",
    [EVENT_CATEGORY_MANAGEMENT] = "categoryTailnetManagement",
    [EVENT_CATEGORY_MISCONFIGURATIONS] = "categoryDeviceMisconfigurations",
    [EVENT_TEST] = "test",
};

static const char *const providers[WEBHOOK_PROVIDERS] = {
    [WEBHOOK_GENERIC] = "",
    [WEBHOOK_SLACK] = "slack",
    [WEBHOOK_MATTERMOST] = "mattermost",
    [WEBHOOK_GOOGLECHAT] = "googlechat",
    [WEBHOOK_DISCORD] = "discord",
};

const char *webhook_event_name(enum webhook_event event)
{
    return events[event];
}

bool webhook_event_find(struct str name, enum webhook_event *out)
{
    for (size_t i = 0; i < EVENT_TEST; i++) {
        if (!str_eq(name, str_from(events[i])))
            continue;
        *out = (enum webhook_event)i;
        return true;
    }
    return false;
}

const char *webhook_provider_name(enum webhook_provider provider)
{
    return providers[provider];
}

bool webhook_provider_find(struct str name, enum webhook_provider *out)
{
    for (size_t i = 0; i < WEBHOOK_PROVIDERS; i++) {
        if (!str_eq(name, str_from(providers[i])))
            continue;
        *out = (enum webhook_provider)i;
        return true;
    }
    return false;
}

bool webhook_wants(const struct webhook *h, enum webhook_event event)
{
    enum webhook_event category =
        event == EVENT_SUBNET_FORWARDING_OFF || event == EVENT_EXIT_FORWARDING_OFF
            ? EVENT_CATEGORY_MISCONFIGURATIONS
            : EVENT_CATEGORY_MANAGEMENT;

    return event == EVENT_TEST || (h->subscriptions & (BIT(event) | BIT(category))) != 0;
}

struct str webhook_secret_id(const struct webhook *h)
{
    return str_sub(h->secret, WEBHOOK_KIND.len, 12);
}

/* ---- Addresses ---- */

/* The host and what comes before it. False: it is no address of the web. */
static bool split_url(struct str url, struct str *origin, struct str *host)
{
    size_t scheme = str_starts(url, STR("https://")) ? 8 : str_starts(url, STR("http://")) ? 7 : 0;
    size_t end = scheme;

    if (scheme == 0)
        return false;
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?' && url.ptr[end] != '#')
        end++;
    *origin = str_sub(url, 0, end);
    *host = str_sub(url, scheme, end - scheme);
    return true;
}

bool webhook_url_is_valid(struct str url)
{
    struct str origin, host;

    if (url.len > WEBHOOK_URL_MAX || !split_url(url, &origin, &host) || host.len == 0 ||
        host.ptr[0] == ':' || str_find_char(host, '@') >= 0 || str_find_char(url, '#') >= 0)
        return false;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= 0x20 || url.ptr[i] >= 0x7f || url.ptr[i] == '\\' || url.ptr[i] == '"')
            return false;
    return true;
}

struct str webhook_origin(struct str url)
{
    struct str origin, host;

    return split_url(url, &origin, &host) ? origin : STR_NONE;
}

/* One table of roles. */

#include "auth/roles.h"

#include "tailnet/info.h"

#define OF_TAILNET (PERMISSIONS_ALL.read & ~BIT(AREA_SERVER))

struct permissions permissions_of_role(enum user_role role)
{
    static const uint32_t network = BIT(AREA_POLICY) | BIT(AREA_DNS) | BIT(AREA_ROUTES);
    static const uint32_t it = BIT(AREA_USERS) | BIT(AREA_DEVICES) | BIT(AREA_POSTURE) |
                               BIT(AREA_AUTH_KEYS) | BIT(AREA_API_KEYS) | BIT(AREA_OAUTH_KEYS) |
                               BIT(AREA_SETTINGS);
    static const uint32_t billing = BIT(AREA_ACCOUNT);

    switch (role) {
    case ROLE_OWNER:
    case ROLE_ADMIN:
        return (struct permissions){OF_TAILNET, OF_TAILNET};
    case ROLE_NETWORK_ADMIN:
        return (struct permissions){OF_TAILNET, network};
    case ROLE_IT_ADMIN:
        return (struct permissions){OF_TAILNET, it};
    case ROLE_BILLING_ADMIN:
        return (struct permissions){billing | BIT(AREA_USERS) | BIT(AREA_SETTINGS), billing};
    case ROLE_AUDITOR:
        return (struct permissions){OF_TAILNET, 0};
    case ROLE_MEMBER:
        break;
    }
    return (struct permissions){0};
}

struct permissions permissions_both(struct permissions a, struct permissions b)
{
    return (struct permissions){a.read & b.read, a.write & b.write};
}

struct permissions permissions_of_user(const struct user *u)
{
    if (!u || u->status != USER_ACTIVE)
        return (struct permissions){0};
    return permissions_of_role(u->role);
}

bool role_may_give(enum user_role giver, enum user_role given)
{
    if (giver == ROLE_OWNER)
        return true;
    if (giver == ROLE_ADMIN)
        return given != ROLE_OWNER;
    return given == ROLE_MEMBER && (permissions_of_role(giver).write & BIT(AREA_USERS)) != 0;
}

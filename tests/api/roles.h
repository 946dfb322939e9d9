#pragma once

/*
 * Who may what, by role: written apart from the code, for the tests of both APIs and of gRPC.
 */

#include "harness.h"

#include "tailnet/info.h"

/* In the order of `roles`: w reads and writes, r reads, - neither. */
static const struct {
    const char *area;
    const char *may;
} table[] = {
    /*                              owner admin network it billing auditor member */
    {"devices:core", "wwrw-r-"},
    {"devices:routes", "wwwr-r-"},
    {"auth_keys", "wwrw-r-"},
    {"oauth_keys", "wwrw-r-"},
    {"policy_file", "wwwr-r-"},
    {"feature_settings", "wwrwrr-"},
    {"users", "wwrwrr-"},
    {"dns", "wwwr-r-"},
    {"api_access_tokens", "wwrw-r-"},
    {"logs:configuration", "wwrr-r-"},
    {"webhooks", "wwrr-r-"},
    {"devices:posture_attributes", "wwrw-r-"},
    {"account_settings", "wwrrwr-"},
    {"server", "-------"},
};

static const enum user_role roles[ROLES] = {
    ROLE_OWNER,         ROLE_ADMIN,   ROLE_NETWORK_ADMIN, ROLE_IT_ADMIN,
    ROLE_BILLING_ADMIN, ROLE_AUDITOR, ROLE_MEMBER,
};

static inline char may_of(struct str area, size_t role)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(str_from(table[i].area), area))
            return table[i].may[role];
    fail_msg("there is no area %.*s", STR_ARG(area));
    return '-';
}

/* As the operator does it. */
static inline void give_role(struct harness *h, user_id user, enum user_role role)
{
    char path[64], body[64];

    (void)snprintf(path, sizeof(path), "/api/v1/user/%llu/role", (unsigned long long)user);
    (void)snprintf(body, sizeof(body), "{\"role\":\"%.*s\"}", STR_ARG(user_role_name(role)));
    want(h, 200, "POST", path, body);
}

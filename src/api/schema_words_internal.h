#pragma once

/* Short words for the rows of schemas.c and v2_schemas.c. */

#include "api/api_internal.h"

#define S(member)                           \
    {                                       \
        .name = member, .kind = KIND_STRING \
    }
#define ID(member)                      \
    {                                   \
        .name = member, .kind = KIND_ID \
    }
#define ID_OR_NAME(member)                      \
    {                                           \
        .name = member, .kind = KIND_ID_OR_NAME \
    }
#define TIME(member)                      \
    {                                     \
        .name = member, .kind = KIND_TIME \
    }
#define TIME_OR_NULL(member)                                \
    {                                                       \
        .name = member, .kind = KIND_TIME, .nullable = true \
    }
#define B(member)                         \
    {                                     \
        .name = member, .kind = KIND_BOOL \
    }
#define N(member)                           \
    {                                       \
        .name = member, .kind = KIND_NUMBER \
    }
#define STRINGS(member)                      \
    {                                        \
        .name = member, .kind = KIND_STRINGS \
    }
#define OBJECT(member, what)                            \
    {                                                   \
        .name = member, .kind = KIND_OBJECT, .of = what \
    }
#define OBJECT_OR_NULL(member, what)                                      \
    {                                                                     \
        .name = member, .kind = KIND_OBJECT, .of = what, .nullable = true \
    }
#define OBJECTS(member, what)                            \
    {                                                    \
        .name = member, .kind = KIND_OBJECTS, .of = what \
    }
/* A member that is not always there. */
#define MAYBE(member, its_kind)                            \
    {                                                      \
        .name = member, .kind = its_kind, .optional = true \
    }

#define SCHEMA(its_name, its_members, words)                                                  \
    {                                                                                         \
        .name = its_name, .about = words, .members = its_members, .n = ARRAY_LEN(its_members) \
    }

/* shares.c */
extern const struct api_member api_share_members[17], api_shares_members[1],
    api_create_share_members[9], api_update_share_members[6], api_share_invite_members[16],
    api_share_invites_members[1], api_create_share_invite_members[10],
    api_accept_share_invite_members[2];

/* joining.c */
extern const struct api_member api_join_rule_members[5];
/* user_invites.c */
extern const struct api_member api_user_invite_members[7], api_user_invites_members[1],
    api_create_user_invite_members[3], api_v2_user_invite_members[6];
/* users.c: of both versions. */
extern const struct api_member api_user_role_members[1];

/* webhooks.c: the same objects in both versions. */
extern const struct api_member api_webhook_members[8], api_webhooks_members[1],
    api_create_webhook_members[3], api_update_webhook_members[1];

/*
 * Every object that the API writes or reads, by its members in the order they are written.
 *
 * What shapes.c and the handlers write is compared with these rows by tests, and bodies are checked
 * against them as they come. Source: headscale.md 3.2; console.md 6.4 for forcedTags, validTags,
 * invalidTags, code, message and details, which older clients read.
 */

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

/* ---- What is written ---- */

static const struct api_member user[] = {
    ID("id"),   S("name"),       TIME("createdAt"), S("displayName"),
    S("email"), S("providerId"), S("provider"),     S("profilePicUrl"),
};
static const struct api_member node[] = {
    ID("id"),
    S("machineKey"),
    S("nodeKey"),
    S("discoKey"),
    STRINGS("ipAddresses"),
    S("name"),
    OBJECT("user", "User"),
    TIME_OR_NULL("lastSeen"),
    TIME_OR_NULL("expiry"),
    OBJECT_OR_NULL("preAuthKey", "PreAuthKey"),
    TIME("createdAt"),
    S("registerMethod"),
    S("givenName"),
    B("online"),
    STRINGS("approvedRoutes"),
    STRINGS("availableRoutes"),
    STRINGS("subnetRoutes"),
    STRINGS("tags"),
    STRINGS("forcedTags"),
    STRINGS("validTags"),
    STRINGS("invalidTags"),
    B("ephemeral"),
    B("expired"),
};
static const struct api_member pre_auth_key[] = {
    OBJECT_OR_NULL("user", "User"),
    ID("id"),
    S("key"),
    B("reusable"),
    B("ephemeral"),
    B("used"),
    TIME_OR_NULL("expiration"),
    TIME("createdAt"),
    STRINGS("aclTags"),
};
static const struct api_member api_key[] = {
    ID("id"),
    S("prefix"),
    TIME("expiration"),
    TIME("createdAt"),
    TIME_OR_NULL("lastSeen"),
    S("description"),
    STRINGS("scopes"),
    {.name = "tailnetId", .kind = KIND_ID, .about = "0: of the whole server"},
};
static const struct api_member ssh_check_node[] = {ID("id"), S("name"), S("user"), STRINGS("tags")};
static const struct api_member ssh_check[] = {
    S("id"),
    S("state"),
    OBJECT("source", "SSHCheckNode"),
    OBJECT("destination", "SSHCheckNode"),
    S("localUser"),
    S("sshUser"),
    N("periodSeconds"),
    TIME("askedAt"),
    TIME("endsAt"),
};
static const struct api_member tailnet[] = {
    ID("id"), S("name"), S("baseDomain"), TIME("createdAt"), N("users"), N("nodes"),
};
static const struct api_member audit_entry[] = {
    ID("id"),
    ID("tailnetId"),
    TIME("createdAt"),
    S("origin"),
    S("author"),
    S("from"),
    S("action"),
    S("object"),
    ID("objectId"),
    S("objectName"),
    {.name = "before", .kind = KIND_ANY, .about = "the object as it was, or null"},
    {.name = "after", .kind = KIND_ANY, .about = "the object as it is, or null"},
};
static const struct api_member policy_finding[] = {N("line"), N("column"), S("text")};
static const struct api_member policy_trouble[] = {S("tailnet"), S("source"), S("text")};
static const struct api_member problem_error[] = {
    S("message"),
    {.name = "location", .kind = KIND_STRING, .optional = true, .about = "body.member"},
    {.name = "value", .kind = KIND_ANY, .optional = true},
    {.name = "text", .kind = KIND_STRING, .optional = true, .about = "of a policy: the complaint"},
    {.name = "line", .kind = KIND_NUMBER, .optional = true},
    {.name = "column", .kind = KIND_NUMBER, .optional = true},
    {.name = "hint", .kind = KIND_STRING, .optional = true},
    {.name = "details", .kind = KIND_STRING, .optional = true},
};
/* A 401 has the first three only. */
static const struct api_member problem[] = {
    S("title"),
    N("status"),
    S("detail"),
    {.name = "errors", .kind = KIND_OBJECTS, .of = "ProblemError", .optional = true},
    {.name = "code", .kind = KIND_NUMBER, .optional = true, .about = "gRPC's status"},
    {.name = "message", .kind = KIND_STRING, .optional = true},
    {.name = "details", .kind = KIND_OBJECTS, .of = "Empty", .optional = true},
};
static const struct api_member go_version[] = {S("version"), S("os"), S("arch")};

/* ---- Answers ---- */

static const struct api_member users[] = {OBJECTS("users", "User")};
static const struct api_member user_answer[] = {OBJECT("user", "User")};
static const struct api_member nodes[] = {OBJECTS("nodes", "Node")};
static const struct api_member node_answer[] = {OBJECT("node", "Node")};
static const struct api_member pre_auth_keys[] = {OBJECTS("preAuthKeys", "PreAuthKey")};
static const struct api_member pre_auth_key_answer[] = {OBJECT("preAuthKey", "PreAuthKey")};
static const struct api_member api_keys[] = {OBJECTS("apiKeys", "ApiKey")};
static const struct api_member api_key_answer[] = {S("apiKey")};
static const struct api_member changes[] = {STRINGS("changes")};
static const struct api_member ssh_checks[] = {OBJECTS("checks", "SSHCheck")};
static const struct api_member ssh_check_answer[] = {OBJECT("check", "SSHCheck")};
static const struct api_member tailnets[] = {OBJECTS("tailnets", "Tailnet")};
static const struct api_member tailnet_answer[] = {OBJECT("tailnet", "Tailnet")};
static const struct api_member policy_answer[] = {S("policy"), TIME_OR_NULL("updatedAt")};
static const struct api_member policy_findings[] = {OBJECTS("findings", "PolicyFinding")};
static const struct api_member policy_difference[] = {S("diff")};
static const struct api_member policy_explanation[] = {S("explanation")};
static const struct api_member audit[] = {
    OBJECTS("entries", "AuditEntry"),
    {.name = "next", .kind = KIND_ID, .nullable = true, .about = "`before` of the next page"},
};
static const struct api_member health[] = {
    B("databaseConnectivity"),
    S("policy"),
    OBJECTS("policyTroubles", "PolicyTrouble"),
};
static const struct api_member version[] = {
    S("version"), S("commit"), S("buildTime"),      OBJECT("go", "GoVersion"),
    B("dirty"),   S("server"), S("hatsizeVersion"),
};

/* ---- Bodies and queries ---- */

static const struct api_member users_filter[] = {S("name"), S("email"), ID("id")};
static const struct api_member create_user[] = {
    S("name"),
    S("displayName"),
    S("email"),
    S("pictureUrl"),
};
static const struct api_member nodes_filter[] = {ID_OR_NAME("user")};
static const struct api_member register_node[] = {
    ID_OR_NAME("user"),
    {.name = "key",
     .kind = KIND_STRING,
     .about = "the id on the machine's log-in page, or its URL"},
};
static const struct api_member backfill[] = {
    {.name = "confirmed", .kind = KIND_BOOL, .about = "must be true"},
};
static const struct api_member expire_node[] = {TIME("expiry"), B("disableExpiry")};
static const struct api_member set_tags[] = {STRINGS("tags")};
static const struct api_member set_approved_routes[] = {STRINGS("routes")};
static const struct api_member move_node[] = {ID_OR_NAME("user")};
static const struct api_member debug_node[] = {
    ID_OR_NAME("user"),
    S("key"),
    S("name"),
    STRINGS("routes"),
};
static const struct api_member auth_keys_filter[] = {ID_OR_NAME("user")};
static const struct api_member create_pre_auth_key[] = {
    ID_OR_NAME("user"),
    B("reusable"),
    B("ephemeral"),
    {.name = "expiration", .kind = KIND_TIME, .about = "an hour from now if there is none"},
    STRINGS("aclTags"),
};
static const struct api_member auth_key_choice[] = {
    ID("id"),
    {.name = "key", .kind = KIND_STRING, .about = "instead of the id: whole, masked or its prefix"},
    ID_OR_NAME("user"),
};
static const struct api_member create_api_key[] = {
    {.name = "expiration", .kind = KIND_TIME, .about = "90 days from now if there is none"},
    S("description"),
    {.name = "scopes", .kind = KIND_STRINGS, .about = "what it may do; none: all the caller may"},
};
static const struct api_member api_key_choice[] = {
    ID("id"),
    {.name = "prefix", .kind = KIND_STRING, .about = "instead of the id: bare, masked or the key"},
};
static const struct api_member api_key_id_only[] = {ID("id")};
static const struct api_member auth_register[] = {ID_OR_NAME("user"), S("authId")};
static const struct api_member auth_choice[] = {S("authId")};
static const struct api_member policy_text[] = {S("policy")};
static const struct api_member explain_query[] = {
    {.name = "src", .kind = KIND_STRING, .about = "a user, a tag, a node's name or an address"},
    {.name = "dst", .kind = KIND_STRING, .about = "the same, with :PORT or :PORT/PROTO"},
};
static const struct api_member audit_filter[] = {
    {.name = "before", .kind = KIND_ID, .about = "entries older than this one"},
    ID("limit"),
    TIME("since"),
    TIME("until"),
    {.name = "clients", .kind = KIND_BOOL, .about = "false: without what machines did"},
};
static const struct api_member create_tailnet[] = {S("name")};
/* Every call takes these. */
static const struct api_member common[] = {
    {.name = "tailnet",
     .kind = KIND_STRING,
     .about = "whose; the caller's own or the first if none"},
};

#define SCHEMA(its_name, its_members, words)                                                  \
    {                                                                                         \
        .name = its_name, .about = words, .members = its_members, .n = ARRAY_LEN(its_members) \
    }

static const struct api_schema schemas[] = {
    SCHEMA("User", user, "A user of the tailnet"),
    SCHEMA("Node", node, "A machine of the tailnet"),
    SCHEMA("PreAuthKey", pre_auth_key, "A key that lets machines in"),
    SCHEMA("ApiKey", api_key, "A key for this API"),
    SCHEMA("SSHCheck", ssh_check, "An SSH log-in that waits, or an approval"),
    SCHEMA("SSHCheckNode", ssh_check_node, "One end of it"),
    SCHEMA("Tailnet", tailnet, "A tailnet"),
    SCHEMA("AuditEntry", audit_entry, "One change"),
    SCHEMA("PolicyFinding", policy_finding, "What is odd in a policy, and where"),
    SCHEMA("PolicyTrouble", policy_trouble, "What is wrong with a policy"),
    SCHEMA("Problem", problem, "Why a call was refused"),
    SCHEMA("ProblemError", problem_error, "One reason"),
    SCHEMA("GoVersion", go_version, "There for clients that look for it"),
    {.name = "Empty", .about = "Nothing to say"},

    SCHEMA("Users", users, NULL),
    SCHEMA("UserAnswer", user_answer, NULL),
    SCHEMA("Nodes", nodes, NULL),
    SCHEMA("NodeAnswer", node_answer, NULL),
    SCHEMA("PreAuthKeys", pre_auth_keys, NULL),
    SCHEMA("PreAuthKeyAnswer", pre_auth_key_answer, NULL),
    SCHEMA("ApiKeys", api_keys, NULL),
    SCHEMA("ApiKeyAnswer", api_key_answer, NULL),
    SCHEMA("Changes", changes, NULL),
    SCHEMA("SSHChecks", ssh_checks, NULL),
    SCHEMA("SSHCheckAnswer", ssh_check_answer, NULL),
    SCHEMA("Tailnets", tailnets, NULL),
    SCHEMA("TailnetAnswer", tailnet_answer, NULL),
    SCHEMA("PolicyAnswer", policy_answer, NULL),
    SCHEMA("PolicyFindings", policy_findings, NULL),
    SCHEMA("PolicyDiff", policy_difference, NULL),
    SCHEMA("PolicyExplanation", policy_explanation, NULL),
    SCHEMA("Audit", audit, NULL),
    SCHEMA("Health", health, NULL),
    SCHEMA("Version", version, NULL),

    SCHEMA("UsersFilter", users_filter, NULL),
    SCHEMA("CreateUser", create_user, NULL),
    SCHEMA("NodesFilter", nodes_filter, NULL),
    SCHEMA("RegisterNode", register_node, NULL),
    SCHEMA("Backfill", backfill, NULL),
    SCHEMA("ExpireNode", expire_node, NULL),
    SCHEMA("SetTags", set_tags, NULL),
    SCHEMA("SetApprovedRoutes", set_approved_routes, NULL),
    SCHEMA("MoveNode", move_node, NULL),
    SCHEMA("DebugNode", debug_node, NULL),
    SCHEMA("AuthKeysFilter", auth_keys_filter, NULL),
    SCHEMA("CreatePreAuthKey", create_pre_auth_key, NULL),
    SCHEMA("AuthKeyChoice", auth_key_choice, NULL),
    SCHEMA("CreateApiKey", create_api_key, NULL),
    SCHEMA("ApiKeyChoice", api_key_choice, NULL),
    SCHEMA("ApiKeyId", api_key_id_only, NULL),
    SCHEMA("AuthRegister", auth_register, NULL),
    SCHEMA("AuthChoice", auth_choice, NULL),
    SCHEMA("PolicyText", policy_text, NULL),
    SCHEMA("ExplainQuery", explain_query, NULL),
    SCHEMA("AuditFilter", audit_filter, NULL),
    SCHEMA("CreateTailnet", create_tailnet, NULL),
    SCHEMA("Common", common, NULL),
};

const struct api_schema *api_schemas(size_t *n)
{
    *n = ARRAY_LEN(schemas);
    return schemas;
}

const struct api_schema *api_schema_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++)
        if (str_eq(str_from(schemas[i].name), str_from(name)))
            return &schemas[i];
    return NULL;
}

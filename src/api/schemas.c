/*
 * Every object that the API writes or reads, by its members in the order they are written.
 *
 * What shapes.c and the handlers write is compared with these rows by tests, and bodies are checked
 * against them as they come. Source: headscale.md 3.2; console.md 6.4 for forcedTags, validTags,
 * invalidTags, code, message and details, which older clients read.
 */

#include "api/api_internal.h"
#include "api/schema_words_internal.h"

/* ---- What is written ---- */

static const struct api_member user[] = {
    ID("id"),
    S("name"),
    TIME("createdAt"),
    S("displayName"),
    S("email"),
    S("providerId"),
    S("provider"),
    S("profilePicUrl"),
    {.name = "role", .kind = KIND_STRING, .about = "owner, admin, network-admin, it-admin, ..."},
    {.name = "status", .kind = KIND_STRING, .about = "active, needs-approval, suspended"},
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
    {.name = "approved", .kind = KIND_BOOL, .about = "false: device approval waits for somebody"},
    {.name = "holds",
     .kind = KIND_STRINGS,
     .about = "why it has no access: device-needs-approval, user-needs-approval, user-suspended"},
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
    {.name = "preauthorized", .kind = KIND_BOOL, .about = "its machines need nobody's approval"},
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
    ID("id"),
    S("name"),
    S("baseDomain"),
    TIME("createdAt"),
    N("users"),
    N("nodes"),
    {.name = "suspended", .kind = KIND_BOOL, .about = "no machine of it has access"},
    STRINGS("prefixes"),
    {.name = "mayOverlap", .kind = KIND_BOOL, .about = "others may have the same addresses"},
    {.name = "maxNodes", .kind = KIND_NUMBER, .about = "0: no quota"},
    {.name = "maxUsers", .kind = KIND_NUMBER, .about = "0: no quota"},
    {.name = "maxKeys", .kind = KIND_NUMBER, .about = "auth, API and OAuth; 0: no quota"},
    {.name = "keyExpirySeconds", .kind = KIND_NUMBER, .about = "of node keys; 0: never"},
    {.name = "relays", .kind = KIND_ANY, .about = "relay regions of its own"},
    {.name = "joining",
     .kind = KIND_OBJECTS,
     .of = "JoinRule",
     .nullable = true,
     .about = "who becomes a member by logging in; null: of the first tailnet whoever a provider "
              "lets in, of others nobody"},
    {.name = "userApproval", .kind = KIND_BOOL, .about = "who joins by a rule waits for approval"},
    {.name = "deviceApproval", .kind = KIND_BOOL, .about = "new machines wait for approval"},
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
static const struct api_member dns_resolver[] = {S("address"), B("useWithExitNode")};
static const struct api_member dns_split[] = {
    S("domain"),
    OBJECTS("nameservers", "DNSResolver"),
};
static const struct api_member dns_record[] = {
    S("name"),
    S("type"),
    S("value"),
    {.name = "source", .kind = KIND_STRING, .about = "set, or configuration"},
};
static const struct api_member dns[] = {
    B("magicDns"),
    S("baseDomain"),
    B("overrideLocalDns"),
    OBJECTS("nameservers", "DNSResolver"),
    OBJECTS("splitDns", "DNSSplit"),
    STRINGS("searchPaths"),
    OBJECTS("records", "DNSRecord"),
    {.name = "set",
     .kind = KIND_STRINGS,
     .about = "the parts that were set here; others are as configured"},
};
static const struct api_member dns_settings[] = {
    B("magicDns"),
    B("overrideLocalDns"),
    {.name = "nameservers",
     .kind = KIND_ANY,
     .about = "addresses, https:// URLs, or {address, useWithExitNode}"},
    {.name = "splitDns", .kind = KIND_ANY, .about = "[{domain, nameservers}]"},
    STRINGS("searchPaths"),
    {.name = "records", .kind = KIND_ANY, .about = "[{name, type, value}]"},
};
static const struct api_member dns_parts[] = {STRINGS("parts")};
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
static const struct api_member session[] = {
    OBJECT("user", "User"),
    S("login"),
    TIME("expiration"),
    STRINGS("scopes"),
};
static const struct api_member web_session[] = {
    ID("id"),
    OBJECT("user", "User"),
    S("login"),
    STRINGS("scopes"),
    TIME("createdAt"),
    {.name = "lastSeen", .kind = KIND_TIME, .optional = true, .about = "to the minute"},
    TIME("expiration"),
    {.name = "isCurrent", .kind = KIND_BOOL, .about = "the one that asks"},
};
static const struct api_member web_sessions[] = {OBJECTS("sessions", "WebSession")};
static const struct api_member nodes[] = {OBJECTS("nodes", "Node")};
static const struct api_member route[] = {
    ID("id"),          OBJECT("node", "Node"), S("prefix"),
    B("advertised"),   B("enabled"),           B("isPrimary"),
    TIME("createdAt"), TIME("updatedAt"),      TIME_OR_NULL("deletedAt"),
};
static const struct api_member routes[] = {OBJECTS("routes", "Route")};
static const struct api_member machines[] = {OBJECTS("machines", "Node")};
static const struct api_member machine_answer[] = {OBJECT("machine", "Node")};
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
static const struct api_member dns_answer[] = {OBJECT("dns", "DNS")};
static const struct api_member health_trouble[] = {S("part"), S("text")};
static const struct api_member health[] = {
    B("databaseConnectivity"),
    S("policy"),
    OBJECTS("policyTroubles", "PolicyTrouble"),
    OBJECTS("troubles", "HealthTrouble"),
};
static const struct api_member server_version[] = {
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
static const struct api_member approve_node[] = {
    {.name = "approved", .kind = KIND_BOOL, .about = "false: takes an approval back"},
};
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
    {.name = "preauthorized", .kind = KIND_BOOL, .about = "its machines need nobody's approval"},
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
#define TAILNET_SETTINGS                                                                       \
    {.name = "baseDomain", .kind = KIND_STRING, .about = "its machines' names end in it"},     \
        {.name = "maxNodes", .kind = KIND_NUMBER, .about = "0: no quota"},                     \
        {.name = "maxUsers", .kind = KIND_NUMBER, .about = "0: no quota"},                     \
        {.name = "maxKeys", .kind = KIND_NUMBER, .about = "auth, API and OAuth; 0: no quota"}, \
        {.name = "keyExpirySeconds", .kind = KIND_NUMBER, .about = "of node keys; 0: never"},  \
        {.name = "joining",                                                                    \
         .kind = KIND_OBJECTS,                                                                 \
         .of = "JoinRule",                                                                     \
         .about = "none: by invitation"},                                                      \
        {.name = "userApproval", .kind = KIND_BOOL, .about = "of all who join by a rule"},     \
        {.name = "deviceApproval", .kind = KIND_BOOL, .about = "of new machines"},             \
    {                                                                                          \
        .name = "relays", .kind = KIND_ANY, .about = "regions beside the server's, by id"      \
    }
static const struct api_member create_tailnet[] = {
    S("name"),
    TAILNET_SETTINGS,
    {.name = "prefixes", .kind = KIND_STRINGS, .about = "ranges of its own, one a family"},
    {.name = "mayOverlap", .kind = KIND_BOOL, .about = "the ranges may be others', too"},
};
static const struct api_member update_tailnet[] = {
    S("name"),
    TAILNET_SETTINGS,
    {.name = "reset", .kind = KIND_STRINGS, .about = "keyExpirySeconds, relays, joining: unset"},
};
static const struct api_member tailnet_export[] = {
    N("hatsize_export"),
    N("schema"),
    {.name = "tables", .kind = KIND_ANY, .about = "rows by table"},
};
/* Every call takes these. */
static const struct api_member common[] = {
    {.name = "tailnet",
     .kind = KIND_STRING,
     .about = "whose; the caller's own or the first if none"},
};

static const struct api_member events_since[] = {
    {.name = "since", .kind = KIND_STRING, .about = "as Last-Event-ID: the id of the last event"},
};

static const struct api_schema schemas[] = {
    SCHEMA("EventsSince", events_since, NULL),
    SCHEMA("Share", api_share_members, "A machine lent to another tailnet"),
    SCHEMA("Shares", api_shares_members, NULL),
    SCHEMA("CreateShare", api_create_share_members, NULL),
    SCHEMA("UpdateShare", api_update_share_members, NULL),
    SCHEMA("ShareInvite", api_share_invite_members, "What a machine may be borrowed with"),
    SCHEMA("ShareInvites", api_share_invites_members, NULL),
    SCHEMA("CreateShareInvite", api_create_share_invite_members, NULL),
    SCHEMA("AcceptShareInvite", api_accept_share_invite_members, NULL),
    SCHEMA("JoinRule", api_join_rule_members, "Who becomes a member by logging in"),
    SCHEMA("UserInvite", api_user_invite_members, "A link that makes one person a member"),
    SCHEMA("UserInvites", api_user_invites_members, NULL),
    SCHEMA("CreateUserInvite", api_create_user_invite_members, NULL),
    SCHEMA("UserRole", api_user_role_members, NULL),
    SCHEMA("ApproveNode", approve_node, NULL),
    SCHEMA("Webhook", api_webhook_members, "Who is told of what happens"),
    SCHEMA("Webhooks", api_webhooks_members, NULL),
    SCHEMA("CreateWebhook", api_create_webhook_members, NULL),
    SCHEMA("UpdateWebhook", api_update_webhook_members, NULL),
    SCHEMA("User", user, "A user of the tailnet"),
    SCHEMA("Node", node, "A machine of the tailnet"),
    SCHEMA("PreAuthKey", pre_auth_key, "A key that lets machines in"),
    SCHEMA("ApiKey", api_key, "A key for this API"),
    SCHEMA("SSHCheck", ssh_check, "An SSH log-in that waits, or an approval"),
    SCHEMA("SSHCheckNode", ssh_check_node, "One end of it"),
    SCHEMA("Tailnet", tailnet, "A tailnet"),
    SCHEMA("AuditEntry", audit_entry, "One change"),
    SCHEMA("DNS", dns, "What machines are told about names"),
    SCHEMA("DNSResolver", dns_resolver, "A nameserver"),
    SCHEMA("DNSSplit", dns_split, "Who is asked about a domain"),
    SCHEMA("DNSRecord", dns_record, "A name and its address"),
    SCHEMA("DNSAnswer", dns_answer, NULL),
    SCHEMA("DNSSettings", dns_settings, NULL),
    SCHEMA("DNSParts", dns_parts, NULL),
    SCHEMA("PolicyFinding", policy_finding, "What is odd in a policy, and where"),
    SCHEMA("PolicyTrouble", policy_trouble, "What is wrong with a policy"),
    SCHEMA("Problem", problem, "Why a call was refused"),
    SCHEMA("ProblemError", problem_error, "One reason"),
    SCHEMA("GoVersion", go_version, "There for clients that look for it"),
    {.name = "Empty", .about = "Nothing to say"},

    SCHEMA("Users", users, NULL),
    SCHEMA("UserAnswer", user_answer, NULL),
    SCHEMA("Session", session, "A web log-in"),
    SCHEMA("WebSession", web_session, "A web log-in among others"),
    SCHEMA("WebSessions", web_sessions, NULL),
    SCHEMA("Nodes", nodes, NULL),
    SCHEMA("NodeAnswer", node_answer, NULL),
    SCHEMA("Route", route, "A route of a node, by number"),
    SCHEMA("Routes", routes, NULL),
    SCHEMA("Machines", machines, NULL),
    SCHEMA("MachineAnswer", machine_answer, NULL),
    SCHEMA("PreAuthKeys", pre_auth_keys, NULL),
    SCHEMA("PreAuthKeyAnswer", pre_auth_key_answer, NULL),
    SCHEMA("ApiKeys", api_keys, NULL),
    SCHEMA("ApiKeyAnswer", api_key_answer, NULL),
    SCHEMA("Changes", changes, NULL),
    SCHEMA("SSHChecks", ssh_checks, NULL),
    SCHEMA("SSHCheckAnswer", ssh_check_answer, NULL),
    SCHEMA("Tailnets", tailnets, NULL),
    SCHEMA("TailnetAnswer", tailnet_answer, NULL),
    SCHEMA("TailnetExport", tailnet_export, "What is stored of a tailnet"),
    SCHEMA("PolicyAnswer", policy_answer, NULL),
    SCHEMA("PolicyFindings", policy_findings, NULL),
    SCHEMA("PolicyDiff", policy_difference, NULL),
    SCHEMA("PolicyExplanation", policy_explanation, NULL),
    SCHEMA("Audit", audit, NULL),
    SCHEMA("Health", health, NULL),
    SCHEMA("HealthTrouble", health_trouble, NULL),
    SCHEMA("Version", server_version, NULL),

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
    SCHEMA("UpdateTailnet", update_tailnet, NULL),
    SCHEMA("Common", common, NULL),
};

const struct api_schema *api_schemas(enum api_version version, size_t *n)
{
    if (version == API_V2)
        return api_v2_schemas(n);
    *n = ARRAY_LEN(schemas);
    return schemas;
}

const struct api_schema *api_schema_find(enum api_version version, const char *name)
{
    size_t n = 0;
    const struct api_schema *all = api_schemas(version, &n);

    for (size_t i = 0; i < n; i++)
        if (str_eq(str_from(all[i].name), str_from(name)))
            return &all[i];
    return NULL;
}

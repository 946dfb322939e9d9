/*
 * Every object that v2 writes or reads, by its members in the order they are written; used as
 * schemas.c is. Bodies name only what is read: the rest of what Tailscale's clients send passes.
 */

#include "api/schema_words_internal.h"
#include "api/v2_internal.h"

/* ---- What is written ---- */

static const struct api_member device[] = {
    STRINGS("addresses"),
    {.name = "name", .kind = KIND_STRING, .about = "its name in MagicDNS, whole"},
    ID("id"),
    {.name = "nodeId", .kind = KIND_STRING, .about = "opaque, never changes"},
    B("authorized"),
    S("user"),
    STRINGS("tags"),
    B("keyExpiryDisabled"),
    B("blocksIncomingConnections"),
    S("clientVersion"),
    TIME("created"),
    MAYBE("expires", KIND_TIME),
    S("hostname"),
    B("isEphemeral"),
    B("isExternal"),
    B("connectedToControl"),
    {.name = "lastSeen", .kind = KIND_TIME, .optional = true, .about = "of one that is offline"},
    S("machineKey"),
    S("nodeKey"),
    S("os"),
    S("tailnetLockKey"),
    S("tailnetLockError"),
    B("updateAvailable"),
    MAYBE("sshEnabled", KIND_BOOL),
    MAYBE("advertisedRoutes", KIND_STRINGS),
    MAYBE("enabledRoutes", KIND_STRINGS),
    MAYBE("clientConnectivity", KIND_ANY),
    MAYBE("distro", KIND_ANY),
};
static const struct api_member user[] = {
    ID("id"),
    S("displayName"),
    S("loginName"),
    S("profilePicUrl"),
    ID("tailnetId"),
    TIME("created"),
    S("type"),
    S("role"),
    S("status"),
    N("deviceCount"),
    {.name = "lastSeen", .kind = KIND_TIME, .optional = true, .about = "of the last device"},
    B("currentlyConnected"),
};
static const struct api_member nameservers[] = {
    STRINGS("dns"),
    {.name = "magicDNS", .kind = KIND_BOOL, .optional = true, .about = "when they are set"},
};
static const struct api_member set_nameservers[] = {
    {.name = "dns", .kind = KIND_ANY, .about = "a list of addresses and https:// URLs"},
};
static const struct api_member dns_preferences[] = {B("magicDNS")};
static const struct api_member search_paths[] = {STRINGS("searchPaths")};
static const struct api_member dns_resolver[] = {S("address"), B("useWithExitNode")};
static const struct api_member dns_both_preferences[] = {B("overrideLocalDNS"), B("magicDNS")};
static const struct api_member dns_configuration[] = {
    OBJECTS("nameservers", "DNSResolver"),
    {.name = "splitDNS", .kind = KIND_ANY, .about = "lists of DNSResolver by domain"},
    STRINGS("searchPaths"),
    OBJECT("preferences", "DNSBothPreferences"),
};
static const struct api_member dns_record[] = {S("name"), S("type"), S("value")};
static const struct api_member dns_records[] = {OBJECTS("records", "DNSRecord")};
static const struct api_member problem[] = {
    S("message"),
    {.name = "data",
     .kind = KIND_OBJECTS,
     .of = "ProblemData",
     .optional = true,
     .about = "of a policy: what is wrong with it"},
    N("status"),
};
static const struct api_member problem_data[] = {
    MAYBE("user", KIND_STRING),
    STRINGS("errors"),
};

static const struct api_member key[] = {
    {.name = "id", .kind = KIND_STRING, .about = "an auth key's number, or the prefix"},
    {.name = "keyType", .kind = KIND_STRING, .about = "auth, client, api"},
    {.name = "key", .kind = KIND_STRING, .optional = true, .about = "the secret, once"},
    MAYBE("description", KIND_STRING),
    MAYBE("expirySeconds", KIND_NUMBER),
    TIME("created"),
    MAYBE("expires", KIND_TIME),
    MAYBE("revoked", KIND_TIME),
    B("invalid"),
    {.name = "capabilities", .kind = KIND_ANY, .about = "devices.create: reusable, ephemeral, ..."},
    MAYBE("scopes", KIND_STRINGS),
    MAYBE("tags", KIND_STRINGS),
    MAYBE("userId", KIND_ID),
};
static const struct api_member oauth_token[] = {
    S("access_token"),
    S("token_type"),
    {.name = "expires_in", .kind = KIND_NUMBER, .about = "seconds"},
    S("scope"),
};
static const struct api_member oauth_error[] = {
    {.name = "error", .kind = KIND_STRING, .about = "invalid_client, invalid_scope, ..."},
    S("error_description"),
    {.name = "message", .kind = KIND_STRING, .about = "the same"},
    N("status"),
};

/* ---- Answers ---- */

static const struct api_member keys[] = {OBJECTS("keys", "Key")};

static const struct api_member devices[] = {OBJECTS("devices", "Device")};

static const struct api_member device_routes[] = {
    STRINGS("advertisedRoutes"),
    STRINGS("enabledRoutes"),
};
static const struct api_member users[] = {OBJECTS("users", "User")};

static const struct api_member tailnet_settings[] = {
    B("aclsExternallyManagedOn"),
    S("aclsExternalLink"),
    B("devicesApprovalOn"),
    B("devicesAutoUpdatesOn"),
    {.name = "devicesKeyDurationDays", .kind = KIND_NUMBER, .about = "0: keys do not end"},
    B("usersApprovalOn"),
    S("usersRoleAllowedToJoinExternalTailnets"),
    B("networkFlowLoggingOn"),
    B("regionalRoutingOn"),
    B("postureIdentityCollectionOn"),
    B("httpsEnabled"),
};
static const struct api_member posture_attributes[] = {
    {.name = "attributes", .kind = KIND_ANY, .about = "values by name: texts, numbers, booleans"},
    {.name = "expiries", .kind = KIND_ANY, .about = "times by name, of those that end"},
};
static const struct api_member contact[] = {S("email"), B("needsVerification")};
static const struct api_member contacts[] = {
    OBJECT("account", "Contact"),
    OBJECT("support", "Contact"),
    OBJECT("security", "Contact"),
};
static const struct api_member log_actor[] = {
    S("id"),
    S("type"),
    S("loginName"),
    S("displayName"),
};
static const struct api_member log_target[] = {ID("id"), S("name"), S("type"), S("property")};
static const struct api_member log_entry[] = {
    TIME("eventTime"),
    S("type"),
    TIME("deferredAt"),
    ID("eventGroupID"),
    S("origin"),
    OBJECT("actor", "LogActor"),
    OBJECT("target", "LogTarget"),
    S("action"),
    {.name = "old", .kind = KIND_ANY, .about = "the object as it was, or null"},
    {.name = "new", .kind = KIND_ANY, .about = "the object as it is, or null"},
};
static const struct api_member configuration_log[] = {
    S("version"),
    S("tailnet"),
    OBJECTS("logs", "LogEntry"),
};
static const struct api_member validation[] = {
    {.name = "message", .kind = KIND_STRING, .optional = true, .about = "what is wrong, if any is"},
    {.name = "data", .kind = KIND_OBJECTS, .of = "ProblemData", .optional = true},
};

/* ---- Bodies and queries ---- */

static const struct api_member create_key[] = {
    {.name = "keyType", .kind = KIND_STRING, .about = "auth, or client for an OAuth client"},
    {.name = "capabilities",
     .kind = KIND_ANY,
     .about = "of an auth key: devices.create with reusable, ephemeral, preauthorized, tags"},
    {.name = "expirySeconds", .kind = KIND_NUMBER, .about = "of an auth key; 90 days"},
    {.name = "description", .kind = KIND_STRING, .about = "at most 50 characters"},
    {.name = "scopes", .kind = KIND_STRINGS, .about = "of an OAuth client"},
    {.name = "tags", .kind = KIND_STRINGS, .about = "of an OAuth client: those it may give"},
};
static const struct api_member keys_filter[] = {
    {.name = "all", .kind = KIND_STRING, .about = "nothing: all are shown anyway"},
};

static const struct api_member update_tailnet_settings[] = {
    B("aclsExternallyManagedOn"),
    S("aclsExternalLink"),
    B("devicesApprovalOn"),
    B("devicesAutoUpdatesOn"),
    N("devicesKeyDurationDays"),
    B("usersApprovalOn"),
    S("usersRoleAllowedToJoinExternalTailnets"),
    B("networkFlowLoggingOn"),
    B("regionalRoutingOn"),
    B("postureIdentityCollectionOn"),
    B("httpsEnabled"),
};
static const struct api_member set_device_ip[] = {S("ipv4")};
static const struct api_member set_posture_attribute[] = {
    {.name = "value", .kind = KIND_ANY, .about = "a text, a number, true or false"},
    {.name = "expiry", .kind = KIND_STRING, .about = "when it goes, RFC 3339; it stays if none"},
    S("comment"),
};
static const struct api_member update_contact[] = {S("email")};
static const struct api_member log_times[] = {TIME("start"), TIME("end")};
static const struct api_member policy_details[] = {
    {.name = "details", .kind = KIND_BOOL, .about = "1: an object, with warnings"},
};

static const struct api_member authorize_device[] = {B("authorized")};
static const struct api_member set_device_name[] = {
    {.name = "name", .kind = KIND_STRING, .about = "its first label, or its whole name"},
};
static const struct api_member set_device_tags[] = {STRINGS("tags")};
static const struct api_member update_device_key[] = {B("keyExpiryDisabled")};
static const struct api_member set_device_routes[] = {STRINGS("routes")};
static const struct api_member users_filter[] = {
    {.name = "type", .kind = KIND_STRING, .about = "member, shared"},
    {.name = "role", .kind = KIND_STRING, .about = "owner, member, admin, it-admin, ..., all"},
};
static const struct api_member preview_for[] = {
    {.name = "type", .kind = KIND_STRING, .about = "user, ipport"},
    {.name = "previewFor", .kind = KIND_STRING, .about = "a mail address or name; 100.64.0.1:22"},
};
static const struct api_member preview_match[] = {
    STRINGS("users"),
    STRINGS("ports"),
    {.name = "lineNumber", .kind = KIND_NUMBER, .about = "0: a policy without rules"},
    MAYBE("via", KIND_STRINGS),
    STRINGS("postures"),
};
static const struct api_member preview[] = {
    OBJECTS("matches", "PreviewMatch"),
    {.name = "postures", .kind = KIND_ANY, .optional = true, .about = "what those named ask for"},
    S("type"),
    S("previewFor"),
};
static const struct api_member devices_filter[] = {
    {.name = "fields", .kind = KIND_STRING, .about = "all, default"},
    {.name = "addresses", .kind = KIND_STRINGS, .about = "each: one of them"},
    STRINGS("name"),
    STRINGS("id"),
    STRINGS("nodeId"),
    STRINGS("user"),
    STRINGS("tags"),
    STRINGS("hostname"),
    STRINGS("os"),
    STRINGS("clientVersion"),
    STRINGS("advertisedRoutes"),
    STRINGS("enabledRoutes"),
    B("authorized"),
    B("keyExpiryDisabled"),
    B("blocksIncomingConnections"),
    B("isEphemeral"),
    B("isExternal"),
    B("connectedToControl"),
    B("updateAvailable"),
};
static const struct api_member device_fields[] = {
    {.name = "fields", .kind = KIND_STRING, .about = "all, or default"},
};

static const struct api_schema schemas[] = {
    SCHEMA("Webhook", api_webhook_members, "Who is told of what happens"),
    SCHEMA("Webhooks", api_webhooks_members, NULL),
    SCHEMA("CreateWebhook", api_create_webhook_members, NULL),
    SCHEMA("UpdateWebhook", api_update_webhook_members, NULL),
    SCHEMA("Device", device, "A machine of the tailnet"),
    SCHEMA("Nameservers", nameservers, "Global nameservers"),
    SCHEMA("SetNameservers", set_nameservers, NULL),
    SCHEMA("DNSPreferences", dns_preferences, NULL),
    SCHEMA("SearchPaths", search_paths, NULL),
    {.name = "SplitDNS", .about = "Lists of nameservers by domain", .is_map = true},
    SCHEMA("DNSResolver", dns_resolver, "A nameserver"),
    SCHEMA("DNSBothPreferences", dns_both_preferences, NULL),
    SCHEMA("DNSConfiguration", dns_configuration, "All of DNS but the records"),
    SCHEMA("SetDNSConfiguration", dns_configuration, NULL),
    SCHEMA("DNSRecord", dns_record, "A name and its address"),
    SCHEMA("DNSRecords", dns_records, NULL),
    SCHEMA("SetDNSRecords", dns_records, NULL),
    SCHEMA("Problem", problem, "Why a call was refused"),
    SCHEMA("ProblemData", problem_data, "Reasons"),
    {.name = "Empty", .about = "Nothing to say"},

    SCHEMA("User", user, "A user of the tailnet"),
    SCHEMA("UserInvite", api_v2_user_invite_members, "A link that makes one person a member"),
    SCHEMA("Devices", devices, NULL),
    SCHEMA("DeviceRoutes", device_routes, NULL),
    SCHEMA("Users", users, NULL),
    SCHEMA("Validation", validation, NULL),
    SCHEMA("PreviewMatch", preview_match, "A rule"),
    SCHEMA("Preview", preview, NULL),
    SCHEMA("TailnetSettings", tailnet_settings, "What is set of the tailnet as a whole"),
    SCHEMA("PostureAttributes", posture_attributes, NULL),
    SCHEMA("Contact", contact, "A mail address"),
    SCHEMA("Contacts", contacts, NULL),
    SCHEMA("LogActor", log_actor, "Who"),
    SCHEMA("LogTarget", log_target, "What was changed"),
    SCHEMA("LogEntry", log_entry, "One change"),
    SCHEMA("ConfigurationLog", configuration_log, NULL),

    SCHEMA("Key", key, "An auth key, an OAuth client or an API key"),
    SCHEMA("Keys", keys, NULL),
    SCHEMA("OAuthToken", oauth_token, "An access token (RFC 6749 5.1)"),
    SCHEMA("OAuthError", oauth_error, "Why there is none (RFC 6749 5.2)"),
    SCHEMA("CreateKey", create_key, NULL),
    SCHEMA("KeysFilter", keys_filter, NULL),

    SCHEMA("DevicesFilter", devices_filter, NULL),
    SCHEMA("DeviceFields", device_fields, NULL),
    SCHEMA("AuthorizeDevice", authorize_device, NULL),
    SCHEMA("SetDeviceName", set_device_name, NULL),
    SCHEMA("SetDeviceTags", set_device_tags, NULL),
    SCHEMA("UpdateDeviceKey", update_device_key, NULL),
    SCHEMA("SetDeviceRoutes", set_device_routes, NULL),
    SCHEMA("UsersFilter", users_filter, NULL),
    SCHEMA("PolicyDetails", policy_details, NULL),
    SCHEMA("PreviewFor", preview_for, NULL),
    SCHEMA("UpdateTailnetSettings", update_tailnet_settings, NULL),
    SCHEMA("SetDeviceIP", set_device_ip, NULL),
    SCHEMA("SetPostureAttribute", set_posture_attribute, NULL),
    SCHEMA("UpdateContact", update_contact, NULL),
    SCHEMA("LogTimes", log_times, NULL),
    SCHEMA("UpdateUserRole", api_user_role_members, NULL),
};

const struct api_schema *api_v2_schemas(size_t *n)
{
    *n = ARRAY_LEN(schemas);
    return schemas;
}

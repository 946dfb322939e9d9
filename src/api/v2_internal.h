#pragma once

/*
 * What the files of REST v2 share: Tailscale's own API, for its Terraform provider, its Go client,
 * the Kubernetes operator and the GitOps action.
 *
 * The gate is that of v1 (api_internal.h): calls, bodies and answers are handled by the same
 * functions, and api_problem answers in v2's shape when the call is one of v2.
 *
 * Source: headscale.md 3.6; Tailscale's API reference; what tailscale-client-go-v2 sends and reads.
 */

#include "api/api_internal.h"

/* ---- Which object ---- */

/*
 * The node in the path's {deviceId}, by its id in decimal or its stable one, in whichever tailnet
 * the caller may name; the call is then about that tailnet. NULL: answered.
 */
const struct node *api_v2_device(struct api_call *c);

/*
 * The query's filters of devices, like "os=linux&tags=tag:a&tags=tag:b": of each name that is there
 * one of the values must fit. NULL: answered 400. In the call's arena.
 */
struct api_v2_filter;
const struct api_v2_filter *api_v2_device_filter(struct api_call *c);
bool api_v2_device_passes(const struct api_v2_filter *f, const struct tailnet_view *view,
                          const struct node *n);

/* The user in the path's {userId}, likewise. */
const struct user *api_v2_user(struct api_call *c);

/* ---- Questions that take long ---- */

struct api_v2_job {
    struct worker_job job;
    struct api_call *call; /* its arena holds this */
    const struct tailnet_view *view;
    const struct policy *policy; /* in force with the view */
    struct str text;             /* what the body says */
    enum policy_preview preview; /* of whom, for a preview */
    struct str preview_for;
    /* On a worker: writes the members of the answer's object, or sets `problem` for a 400. */
    void (*answer)(struct api_v2_job *j, struct json_writer *w);
    char problem[256];
    struct buf body;
};
/* `made` says what is asked and who answers; its texts must live as long as the call. */
void api_v2_job_start(struct api_call *c, const struct api_v2_job *made);

/* ---- What access tokens may give ---- */

/* Only access tokens are bound to theirs. False: too many, or one that who asks may not give;
 * answered. */
MUST_USE bool api_v2_may_give(struct api_call *c, const struct str_list *tags);

/* ---- Handlers, by file ---- */

api_handler_fn api_v2_oauth_token, api_v2_keys_list, api_v2_key_create, api_v2_key_get,
    api_v2_key_set, api_v2_key_delete;

/* What Tailscale has and this server has not: 501, with what to do instead. */
api_handler_fn api_v2_not_here;

api_handler_fn api_v2_dns_nameservers_get, api_v2_dns_nameservers_set, api_v2_dns_preferences_get,
    api_v2_dns_preferences_set, api_v2_dns_searchpaths_get, api_v2_dns_searchpaths_set,
    api_v2_dns_split_get, api_v2_dns_split_update, api_v2_dns_split_set,
    api_v2_dns_configuration_get, api_v2_dns_configuration_set, api_v2_dns_records_get,
    api_v2_dns_records_set;
api_handler_fn api_v2_devices_list, api_v2_device_get, api_v2_device_delete,
    api_v2_device_authorize, api_v2_device_expire, api_v2_device_name, api_v2_device_tags,
    api_v2_device_key, api_v2_device_routes_get, api_v2_device_routes_set;
api_handler_fn api_v2_attributes_get, api_v2_attribute_set, api_v2_attribute_delete,
    api_v2_device_ip;
api_handler_fn api_v2_settings_get, api_v2_settings_set, api_v2_contacts_get, api_v2_contact_set,
    api_v2_contact_resend;
api_handler_fn api_v2_log_configuration;
api_handler_fn api_v2_acl_get, api_v2_acl_set, api_v2_acl_validate, api_v2_acl_preview;
api_handler_fn api_v2_user_invites_list, api_v2_user_invites_create, api_v2_user_invite_get;
api_handler_fn api_v2_users_list, api_v2_user_get, api_v2_user_delete, api_v2_user_role,
    api_v2_user_approve, api_v2_user_suspend, api_v2_user_restore;

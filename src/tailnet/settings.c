/* Settings of a tailnet: copied, checked, put over what is configured, and the command. */

#include "tailnet/settings.h"

#include "tailnet/domain_internal.h"
#include "tailnet/joining.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

void tailnet_settings_copy(struct tailnet_settings *to, const struct tailnet_settings *from)
{
    *to = *from;
    to->policy_link = str_copy(from->policy_link);
    for (size_t i = 0; i < CONTACTS; i++)
        to->contacts[i] = str_copy(from->contacts[i]);
    to->relays = derp_regions_copy(from->relays, from->n_relays);
    to->joining = join_rules_copy(from->joining, from->n_joining);
    to->configured_regions =
        derp_regions_copy(from->configured_regions, from->n_configured_regions);
}

void tailnet_settings_fini(struct tailnet_settings *s)
{
    str_free(&s->policy_link);
    for (size_t i = 0; i < CONTACTS; i++)
        str_free(&s->contacts[i]);
    derp_regions_free(s->relays, s->n_relays);
    derp_regions_free(s->configured_regions, s->n_configured_regions);
    join_rules_free(s->joining, s->n_joining);
    *s = (struct tailnet_settings){0};
}

static bool is_line(struct str s)
{
    return s.len <= SETTING_TEXT_MAX && str_is_utf8(s) && !str_has_control(s);
}

static int check_contact(struct str address, struct err *err)
{
    ptrdiff_t at = str_find(address, STR("@"));

    if (!is_line(address) || str_find(address, STR(" ")) >= 0)
        return err_set(err, ERR_INVALID, "a contact is a mail address");
    if (address.len > 0 && (at <= 0 || (size_t)at + 1 == address.len))
        return err_set(err, ERR_INVALID, "a contact is a mail address");
    return 0;
}

static bool is_relay_name(struct str s)
{
    return s.len > 0 && s.len <= 255 && str_is_utf8(s) && !str_has_control(s);
}

static int check_relay(const struct derp_region *r, struct err *err)
{
    if (r->id == 0)
        return err_set(err, ERR_INVALID, "a relay region has a number above 0");
    if (!is_relay_name(r->code))
        return err_set(err, ERR_INVALID, "relay region %u has no code", (unsigned)r->id);
    if (r->n_nodes > TAILNET_RELAYS_MAX)
        return err_set(err, ERR_LIMIT, "a relay region has at most %d nodes", TAILNET_RELAYS_MAX);
    for (size_t i = 0; i < r->n_nodes; i++)
        if (!is_relay_name(r->nodes[i].name) || !is_relay_name(r->nodes[i].host_name))
            return err_set(err, ERR_INVALID, "a node of relay region %u has no name or host name",
                           (unsigned)r->id);
    return 0;
}

static int check_relays(const struct tailnet_settings *s, struct err *err)
{
    if (s->n_relays > TAILNET_RELAYS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d relay regions of its own",
                       TAILNET_RELAYS_MAX);
    for (size_t i = 0; i < s->n_relays; i++) {
        if (check_relay(&s->relays[i], err) < 0)
            return -(int)err->code;
        for (size_t k = 0; k < i; k++)
            if (s->relays[k].id == s->relays[i].id)
                return err_set(err, ERR_INVALID, "relay region %u comes twice",
                               (unsigned)s->relays[i].id);
    }
    return 0;
}

int tailnet_settings_check(const struct tailnet_settings *s, struct err *err)
{
    if ((s->set & SETTING_KEY_DURATION) &&
        (s->key_duration_ms < 0 || s->key_duration_ms > KEY_DURATION_DAYS_MAX * DAY_MS))
        return err_set(err, ERR_INVALID, "node keys last 0 (for ever) to %d days",
                       KEY_DURATION_DAYS_MAX);
    if ((s->set & SETTING_POLICY_LINK) && !is_line(s->policy_link))
        return err_set(err, ERR_INVALID, "the link to the policy is no line of text");
    for (unsigned i = 0; i < CONTACTS; i++)
        if ((s->set & ((unsigned)SETTING_CONTACT_ACCOUNT << i)) &&
            check_contact(s->contacts[i], err) < 0)
            return -(int)err->code;
    if ((s->set & SETTING_JOINING) && join_rules_check(s->joining, s->n_joining, err) < 0)
        return -(int)err->code;
    return s->set & SETTING_RELAYS ? check_relays(s, err) : 0;
}

static bool has_region(const struct tailnet_settings *s, uint32_t id)
{
    for (size_t i = 0; i < s->n_relays; i++)
        if (s->relays[i].id == id)
            return true;
    return false;
}

/* By id: the tailnet's own, and those configured whose id it does not have. Takes the configured
 * ones away from the info. */
static void put_relays(struct tailnet_info *i)
{
    struct tailnet_settings *s = &i->settings;
    size_t n = 0;

    s->configured_regions = i->regions;
    s->n_configured_regions = i->n_regions;
    i->regions = mem_alloc_array(s->n_relays + s->n_configured_regions + 1, sizeof(*i->regions));
    for (size_t k = 0; k < s->n_configured_regions; k++) {
        struct derp_region *one;

        if (has_region(s, s->configured_regions[k].id))
            continue;
        one = derp_regions_copy(&s->configured_regions[k], 1);
        i->regions[n++] = *one;
        mem_free(one);
    }
    for (size_t k = 0; k < s->n_relays; k++) {
        struct derp_region *one = derp_regions_copy(&s->relays[k], 1);

        i->regions[n++] = *one;
        mem_free(one);
    }
    i->n_regions = n;
}

void tailnet_info_settle_settings(struct tailnet_info *i, const struct tailnet_settings *s)
{
    struct tailnet_settings was = i->settings;

    if (was.set & SETTING_KEY_DURATION)
        i->node_expiry_ms = was.configured_key_duration_ms;
    if (was.set & SETTING_AUTO_UPDATE)
        i->auto_update = was.configured_auto_update;
    if (was.set & SETTING_RELAYS) {
        derp_regions_free(i->regions, i->n_regions);
        i->regions = was.configured_regions;
        i->n_regions = was.n_configured_regions;
        was.configured_regions = NULL;
        was.n_configured_regions = 0;
    }
    i->settings = (struct tailnet_settings){0};
    if (s)
        tailnet_settings_copy(&i->settings, s);
    tailnet_settings_fini(&was);
    if (i->settings.set & SETTING_KEY_DURATION) {
        i->settings.configured_key_duration_ms = i->node_expiry_ms;
        i->node_expiry_ms = i->settings.key_duration_ms;
    }
    if (i->settings.set & SETTING_AUTO_UPDATE) {
        i->settings.configured_auto_update = i->auto_update;
        i->auto_update = i->settings.auto_update;
    }
    derp_regions_free(i->settings.configured_regions, i->settings.n_configured_regions);
    i->settings.configured_regions = NULL;
    i->settings.n_configured_regions = 0;
    if (i->settings.set & SETTING_RELAYS)
        put_relays(i);
    i->suspended = (i->settings.set & SETTING_SUSPENDED) != 0;
}

static void take_text(struct str *to, struct str from)
{
    str_free(to);
    *to = str_copy(from);
}

void tailnet_settings_put_over(struct tailnet_settings *s, const struct tailnet_settings *more)
{
    s->set |= more->set & SETTINGS_ALL;
    if (more->set & SETTING_KEY_DURATION)
        s->key_duration_ms = more->key_duration_ms;
    if (more->set & SETTING_AUTO_UPDATE)
        s->auto_update = more->auto_update;
    if (more->set & SETTING_POLICY_ELSEWHERE)
        s->policy_elsewhere = more->policy_elsewhere;
    if (more->set & SETTING_POLICY_LINK)
        take_text(&s->policy_link, more->policy_link);
    for (unsigned i = 0; i < CONTACTS; i++)
        if (more->set & ((unsigned)SETTING_CONTACT_ACCOUNT << i))
            take_text(&s->contacts[i], more->contacts[i]);
    for (unsigned i = 0; i < QUOTAS; i++)
        if (more->set & ((unsigned)SETTING_MAX_NODES << i))
            s->max[i] = more->max[i];
    if (more->set & SETTING_RELAYS) {
        derp_regions_free(s->relays, s->n_relays);
        s->relays = derp_regions_copy(more->relays, more->n_relays);
        s->n_relays = more->n_relays;
    }
    if (more->set & SETTING_JOINING) {
        join_rules_free(s->joining, s->n_joining);
        s->joining = join_rules_copy(more->joining, more->n_joining);
        s->n_joining = more->n_joining;
    }
    if (more->set & SETTING_USER_APPROVAL)
        s->user_approval = more->user_approval;
    if (more->set & SETTING_DEVICE_APPROVAL)
        s->device_approval = more->device_approval;
}

void tailnet_settings_unset(struct tailnet_settings *s, unsigned what)
{
    s->set &= ~what;
    if (what & SETTING_POLICY_LINK)
        str_free(&s->policy_link);
    for (unsigned i = 0; i < CONTACTS; i++)
        if (what & ((unsigned)SETTING_CONTACT_ACCOUNT << i))
            str_free(&s->contacts[i]);
    for (unsigned i = 0; i < QUOTAS; i++)
        if (what & ((unsigned)SETTING_MAX_NODES << i))
            s->max[i] = 0;
    if (what & SETTING_RELAYS) {
        derp_regions_free(s->relays, s->n_relays);
        s->relays = NULL;
        s->n_relays = 0;
    }
    if (what & SETTING_JOINING) {
        join_rules_free(s->joining, s->n_joining);
        s->joining = NULL;
        s->n_joining = 0;
    }
    if (what & SETTING_USER_APPROVAL)
        s->user_approval = false;
    if (what & SETTING_DEVICE_APPROVAL)
        s->device_approval = false;
}

int settings_set(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct tailnet_settings settings = {0};
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (tailnet_settings_check(c->settings, err) < 0)
        return -(int)err->code;
    d->of = t;
    r->id = t->id;
    tailnet_settings_copy(&settings, &t->info->settings);
    tailnet_settings_put_over(&settings, c->settings);
    struct tailnet_info *info = tailnet_info_clone(t->info);
    tailnet_info_settle_settings(info, &settings);
    tailnet_settings_fini(&settings);
    tailnet_info_unref(t->info);
    t->info = info;
    domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    return 0;
}

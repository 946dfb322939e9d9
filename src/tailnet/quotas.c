/* How much a tailnet may hold, where its operator said so (settings.h). */

#include "tailnet/domain_internal.h"

static const char *const names[QUOTAS] = {
    [QUOTA_NODES] = "nodes",
    [QUOTA_USERS] = "users",
    [QUOTA_KEYS] = "keys",
};

void domain_set_new_quotas(struct domain *d, struct quotas quotas)
{
    d->new_quotas = quotas;
}

struct quotas domain_new_quotas(const struct domain *d)
{
    return d->new_quotas;
}

void quotas_begin(const struct domain *d, struct tailnet_settings *out)
{
    for (size_t i = 0; i < QUOTAS; i++) {
        out->max[i] = d->new_quotas.max[i];
        if (out->max[i] > 0)
            out->set |= (unsigned)SETTING_MAX_NODES << i;
    }
}

int quota_check(const struct tailnet *t, enum quota quota, size_t have, struct err *err)
{
    uint32_t max = t->info->settings.max[quota];

    if (!(t->info->settings.set & ((unsigned)SETTING_MAX_NODES << quota)) || max == 0 || have < max)
        return 0;
    return err_set(err, ERR_LIMIT, "this tailnet may have %u %s, and has as many", (unsigned)max,
                   names[quota]);
}

/* A server's ceiling must not be one tailnet's to reach: a further one has a tenth of it. */
int quota_check_share(const struct domain *d, const struct tailnet *t, enum api_key_kind kind,
                      size_t ceiling, struct err *err)
{
    const struct api_key *k;
    size_t n = 0;

    if (!t || t == domain_tailnet(d, 0))
        return 0;
    for (size_t at = 0; (k = table_next(&d->api_keys, &at));)
        n += k->tailnet == t->id && k->kind == kind;
    if (n < ceiling / QUOTA_SHARE)
        return 0;
    return err_set(err, ERR_LIMIT, "this tailnet has %zu of these, the most it may have", n);
}

/* Access tokens and sessions end by themselves and have ceilings of their own. */
size_t keys_count(const struct domain *d, const struct tailnet *t)
{
    const struct api_key *k;
    size_t n = t->auth_keys.count;

    for (size_t at = 0; (k = table_next(&d->api_keys, &at));)
        n += k->tailnet == t->id && (k->kind == API_KEY_PLAIN || k->kind == API_KEY_OAUTH_CLIENT);
    return n;
}

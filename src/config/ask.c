/* What a configuration names on other machines, asked as the server asks it at its start. */

#include "config/config_internal.h"

int config_ask_providers(const struct config *c, struct err *err)
{
    const struct config_oidc *o = &c->oidc;

    for (size_t i = 0; i < o->n_providers && o->only_start_if_available; i++) {
        AUTO(oidc_meta_unref) struct oidc_meta *meta = NULL;

        if (oidc_discover(&o->providers[i], NULL, &meta, err) < 0)
            return err_wrap(err, "asking the log-in provider (oidc.issuer)");
    }
    return 0;
}

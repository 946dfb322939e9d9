/* Identity providers: asked about themselves before anybody can come. */

#include "core/health.h"
#include "core/log.h"
#include "daemon/daemon_internal.h"

/* One that does not answer ends the start, unless the configuration can wait for it. */
int server_find_providers(struct server *s, struct err *err)
{
    const struct config_oidc *o = &s->config->oidc;

    for (size_t i = 0; i < o->n_providers; i++) {
        struct err why = {0};

        if (oidc_discover(&o->providers[i], NULL, &s->provider_metas[i], &why) == 0)
            continue;
        if (o->only_start_if_available)
            return err_set(err, why.code,
                           "%s (oidc.only_start_if_oidc_is_available: false starts without)",
                           why.text);
        log_event(LOG_WARN, "a log-in provider does not answer: it is asked again when needed",
                  LOG_STR("issuer", o->providers[i].issuer), LOG_ERR(&why));
        health_note(HEALTH_LOGIN, str_from(why.text));
    }
    return 0;
}

void server_forget_providers(struct server *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->provider_metas); i++)
        oidc_meta_unref(TAKE(s->provider_metas[i]));
}

/*
 * The first tailnet, as the configuration wants it: made at the first start, brought up to the
 * configuration at every later one. Runs before the registrar has the domain.
 */

#include "daemon/daemon_internal.h"

#include "core/clock.h"
#include "core/log.h"
#include "daemon/files.h"
#include "store/audit_note.h"

/* The region of the relay in this process. */
void server_add_region(const struct server *s, struct tailnet_info *info)
{
    const struct config *c = s->config;
    struct buf pin = BUF(256);
    struct ip_addr literal;
    struct derp_node *node = NEW(struct derp_node);

    node->name = str_printf("%ua", c->derp.region_id);
    node->host_name = str_copy(c->server_host);
    if (s->relay_cert_is_pinned && !c->server_is_tls) {
        buf_put(&pin, STR("sha256-raw:"));
        buf_put_hex(&pin, str_bytes(s->relay_cert_sha256, sizeof(s->relay_cert_sha256)));
        node->cert_name = buf_take(&pin);
    }
    node->ipv4 = str_copy(c->derp.ipv4);
    node->ipv6 = str_copy(c->derp.ipv6);
    if (ip_addr_parse(c->server_host, &literal)) {
        struct str *mine = literal.family == IP_V4 ? &node->ipv4 : &node->ipv6;
        struct str *other = literal.family == IP_V4 ? &node->ipv6 : &node->ipv4;

        if (mine->len == 0)
            *mine = str_copy(c->server_host);
        if (other->len == 0)
            *other = str_copy(STR("none"));
    }
    node->stun_port = c->derp.stun_listen.port;
    node->derp_port = c->server_port;

    struct derp_region region = {.id = c->derp.region_id,
                                 .code = str_copy(c->derp.region_code),
                                 .name = str_copy(c->derp.region_name),
                                 .nodes = node,
                                 .n_nodes = 1};
    info->regions = mem_realloc_array(info->regions, info->n_regions + 1, sizeof(region));
    info->regions[info->n_regions++] = region;
    buf_fini(&pin);
}

/* Applies one command and commits what it did; nothing else touches the domain yet. */
static int apply_and_commit(struct server *s, const struct command *c, struct err *err)
{
    struct change_list changes = {0};
    struct command_result result = {0};
    bool durable = false;
    struct audit_note note;

    audit_note_begin(&note, s->domain, c);
    int status = domain_apply(s->domain, c, &changes, &result, err);
    const struct audit_entry *entry =
        audit_note_end(&note, s->domain, c, status == 0 ? &result : NULL);
    if (status == 0 && changes.len > 0) {
        struct store_batch *batch = store_batch_new();
        struct domain_counters next = domain_counters(s->domain);

        /* The first tailnet's, and those of the others that follow it. */
        for (size_t i = 0; i < changes.len; i++) {
            AUTO(view_unref)
            const struct tailnet_view *view = domain_view(s->domain, changes.items[i].tailnet);

            store_batch_add(batch, view, &changes.items[i], 1, &durable);
        }
        if (entry)
            store_batch_add_audit(batch, audit_entry_ref(entry));
        store_batch_set_counters(batch, &next);
        status = store_commit(s->store, batch, err);
        store_batch_free(batch);
    }
    audit_entry_unref(entry);
    command_result_fini(&result);
    change_list_fini(&changes);
    return status;
}

static int apply_config(struct server *s, struct err *err)
{
    AUTO(view_unref) const struct tailnet_view *first = domain_view(s->domain, 0);
    struct str name = first ? view_info(first)->name : STR("default");
    struct tailnet_info *info = settings_info(s->settings, name);

    const struct command c = {.type = first ? COMMAND_TAILNET_UPDATE : COMMAND_TAILNET_CREATE,
                              .origin = ORIGIN_SERVER,
                              .author = STR("configuration"),
                              .tailnet = first ? view_info(first)->id : 0,
                              .now_ms = clock_unix_ms(),
                              .name = name,
                              .info = info};
    int status = apply_and_commit(s, &c, err);

    tailnet_info_unref(info);
    if (status == 0) {
        AUTO(view_unref) const struct tailnet_view *made = domain_view(s->domain, 0);

        s->first_tailnet = view_info(made)->id;
    }
    return status;
}

int server_load_domain(struct server *s, struct err *err)
{
    s->domain = domain_new();
    if (store_load(s->store, s->domain, err) < 0)
        return err_wrap(err, "reading the database");
    if (apply_config(s, err) < 0)
        return err_wrap(err, "applying the configuration to the first tailnet");
    domain_set_revoked_retention(s->domain, s->config->revoked_retention_ms);
    domain_set_pending_limits(s->domain, s->config->pending);
    domain_set_new_quotas(s->domain, s->config->new_quotas);
    domain_load_done(s->domain, clock_unix_ms());

    size_t users = 0, n = 0;
    tailnet_id *ids = domain_all_tailnets(s->domain, &n);
    AUTO(view_unref) const struct tailnet_view *first = domain_view(s->domain, 0);

    mem_free(ids);
    (void)view_users(first, &users);
    log_event(LOG_INFO, "database read", LOG_U64("tailnets", n), LOG_U64("users", users),
              LOG_U64("nodes", view_node_count(first)));
    return 0;
}

/*
 * What is read while the server runs, by the same rules as the configuration: records, relay maps.
 */

#include "config/config_internal.h"

/* A loader of its own, whose config is there for one section only. */
struct reading {
    struct loader l;
    struct config_request req;
    struct config_remarks remarks;
    struct yaml_node *root;
};

static void begin(struct reading *r, struct str file)
{
    *r = (struct reading){0};
    r->l.c = NEW(struct config);
    r->l.c->arena = r->l.arena = arena_new();
    r->l.req = &r->req;
    r->l.remarks = &r->remarks;
    r->l.file = arena_copy(r->l.arena, file);
    r->l.base_dir = STR("/");
}

/* Whether there was no error; the first one goes to err. The arena is the caller's then. */
static int end(struct reading *r, struct arena **arena, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf line = BUF(4096);
    int status = 0;

    for (size_t i = 0; i < r->remarks.len && status == 0; i++)
        if (r->remarks.items[i].is_error) {
            config_remark_put(&line, &r->remarks.items[i]);
            status = err_set(err, ERR_INVALID, "%.*s", STR_ARG(buf_str(&line)));
        }
    config_remarks_fini(&r->remarks);
    if (status == 0)
        *arena = r->l.arena;
    else
        arena_free(r->l.arena);
    mem_free(r->l.c);
    return status;
}

int config_records_parse(struct str file, struct str text, struct config_records *out,
                         struct err *err)
{
    struct reading r;
    struct yaml_error why = {0};
    struct arena *arena = NULL;

    begin(&r, file);
    if (yaml_parse(r.l.arena, text, &r.root, &why))
        records_read(&r.l, r.root);
    else
        remark(&r.l, true, (struct place){r.l.file, why.line, why.col}, "%s", why.text);
    struct config_dns dns = r.l.c->dns;

    if (end(&r, &arena, err) < 0)
        return -(int)err->code;
    *out = (struct config_records){arena, dns.records, dns.n_records};
    return 0;
}

void config_records_fini(struct config_records *r)
{
    if (r->arena)
        arena_free(r->arena);
    *r = (struct config_records){0};
}

int config_regions_parse(struct str file, struct str text, struct config_regions *out,
                         struct err *err)
{
    struct reading r;
    struct arena *arena = NULL;

    begin(&r, file);
    derp_map_merge(&r.l, r.l.file, text);
    struct config_derp derp = r.l.c->derp;

    if (end(&r, &arena, err) < 0)
        return -(int)err->code;
    *out = (struct config_regions){arena, derp.regions, derp.n_regions};
    return 0;
}

void config_regions_fini(struct config_regions *r)
{
    if (r->arena)
        arena_free(r->arena);
    *r = (struct config_regions){0};
}

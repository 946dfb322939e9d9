/* /api/v1/health: the database, and what is wrong with policies. */

#include "api/api_internal.h"

#include "core/clock.h"
#include "core/health.h"

struct health_call {
    struct registrar_query query;
    struct api_call *call;
    struct domain *domain; /* while the query runs */
    struct buf troubles;   /* JSON array */
    struct json_writer w;
    bool is_in_force;   /* every policy is the one its author wrote last */
    struct err storage; /* what the last commit failed with; code 0: it did not */
    size_t n;
};

/* What is wrong elsewhere is none of a tailnet's business. */
static void put_trouble(void *user, const struct policy_trouble *t)
{
    struct health_call *call = user;
    AUTO(view_unref) const struct tailnet_view *view = domain_view(call->domain, t->tailnet);

    if (!view || !caller_may_name(&call->call->caller, view_info(view)->id))
        return;
    json_begin_object(&call->w);
    json_field_str(&call->w, STR("tailnet"), view_info(view)->name);
    json_field_str(&call->w, STR("source"), t->source);
    json_field_str(&call->w, STR("text"), t->text);
    json_end_object(&call->w);
    call->is_in_force = call->is_in_force && str_eq(t->source, STR("tests"));
    call->n++;
}

static void run(struct registrar_query *q, struct domain *d)
{
    struct health_call *call = CONTAINER_OF(q, struct health_call, query);

    call->domain = d;
    call->storage = (struct err){0};
    if (registrar_storage_trouble(q->registrar)[0] != '\0')
        IGNORE(err_set(&call->storage, ERR_IO, "%s", registrar_storage_trouble(q->registrar)));
    json_begin_array(&call->w);
    registrar_policy_troubles(q->registrar, put_trouble, call);
    json_end_array(&call->w);
}

/* What else is ill is the server's business. */
static void put_parts(struct json_writer *w, bool of_server)
{
    json_field_array(w, STR("troubles"));
    for (enum health_part part = 0; of_server && part < HEALTH_PARTS; part++) {
        AUTO_FINI(buf_fini) struct buf why = BUF(65536);

        if (!health_is_ill(part, clock_unix_ms(), &why))
            continue;
        json_begin_object(w);
        json_field_str(w, STR("part"), str_from(health_part_name(part)));
        json_field_str(w, STR("text"), buf_str(&why));
        json_end_object(w);
    }
    json_end_array(w);
}

static void done(struct registrar_query *q)
{
    struct health_call *call = CONTAINER_OF(q, struct health_call, query);
    struct buf body = BUF((size_t)8 << 20);
    struct json_writer w = JSON_WRITER(&body);

    if (call->storage.code != 0) {
        struct err storage = call->storage;

        buf_fini(&call->troubles);
        api_problem(call->call, 500, "the database cannot be written", storage.text);
        return;
    }
    json_begin_object(&w);
    json_field_bool(&w, STR("databaseConnectivity"), true);
    json_field_str(&w, STR("policy"),
                   call->n == 0        ? STR("pass")
                   : call->is_in_force ? STR("warn")
                                       : STR("fail"));
    json_field_raw(&w, STR("policyTroubles"),
                   call->troubles.len > 0 ? buf_str(&call->troubles) : STR("[]"));
    put_parts(&w, call->call->caller.tailnet == 0);
    json_end_object(&w);
    buf_fini(&call->troubles);
    api_respond(call->call, &body);
}

void api_health(struct api_call *c)
{
    struct registrar *registrar = control_registrar(c->api->control);
    struct health_call *call = arena_alloc(api_arena(c), sizeof(*call));

    *call = (struct health_call){.call = c, .troubles = BUF((size_t)4 << 20), .is_in_force = true};
    call->w = JSON_WRITER(&call->troubles);
    call->query.run = run;
    call->query.done = done;
    call->query.loop = c->a->loop;
    registrar_ask(registrar, &call->query);
}

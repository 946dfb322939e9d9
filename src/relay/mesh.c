/* The mesh of -mesh-with: names are looked up by the pool. */

#include "relay/relay_internal.h"

#include <stdatomic.h>

#include "core/log.h"
#include "core/mem.h"
#include "derp/mesh.h"
#include "relay/resolve.h"

struct asked {
    struct worker_job job;
    struct relay *relay;
    struct derp_mesh_lookup *lookup;
    struct str name; /* owned */
    struct ip_addr addrs[RESOLVE_MAX];
    size_t n;
};

static void on_work(struct worker_job *job)
{
    struct asked *a = CONTAINER_OF(job, struct asked, job);
    struct err err = {0};

    if (atomic_load(&a->relay->is_stopped))
        return;
    if (resolve_name(a->name, a->addrs, &a->n, &err) < 0) {
        a->n = 0;
        log_event(LOG_DEBUG, "looking up a relay of the mesh", LOG_ERR(&err));
    }
}

static void on_done(struct worker_job *job)
{
    struct asked *a = CONTAINER_OF(job, struct asked, job);

    if (!atomic_load(&a->relay->is_stopped))
        derp_mesh_found(a->lookup, a->addrs, a->n);
    str_free(&a->name);
    mem_free(a);
}

static void look_up(void *user, struct str name, struct derp_mesh_lookup *lookup)
{
    struct asked *a = NEW(struct asked);

    a->relay = user;
    a->lookup = lookup;
    a->name = str_copy(name);
    a->job = (struct worker_job){.work = on_work, .done = on_done, .loop = a->relay->loops[0]};
    worker_submit(a->relay->pool, &a->job);
}

int relay_open_mesh(struct relay *r, struct err *err)
{
    struct derp_mesh_relay relays[MESH_RELAYS_MAX];
    size_t n = 0;

    if (derp_mesh_parse(r->o->mesh_with, r->o->mesh_pins, relays, &n, err) < 0)
        return err_wrap(err, "-mesh-with");
    if (n == 0)
        return 0;
    if (!r->has_mesh_key)
        return err_set(err, ERR_INVALID, "-mesh-with needs a mesh key");
    const struct derp_mesh_options options = {.server = r->derp,
                                              .loops = r->loops,
                                              .n_loops = r->n_loops,
                                              .relays = relays,
                                              .n_relays = n,
                                              .look_up = look_up,
                                              .user = r};

    return derp_mesh_new(&options, &r->mesh, err);
}

#pragma once

/*
 * Figures under headscale's names, so that its dashboards and alerts go on (headscale.md 9.3), and
 * what Prometheus's client libraries say of a process.
 *
 * Most are our own figures by another name, looked up when somebody asks; what has no figure of
 * ours is observed here.
 */

#include "core/buf.h"
#include "tailnet/command.h"

/* The registrar did one; how long it took. On its thread. */
void headscale_note_command(enum command_type type, uint64_t took_ns);
/* So many shared a round, which took so long. */
void headscale_note_round(size_t calls, uint64_t took_ns);
/* A view was made; what a policy says of it was. */
void headscale_note_view(uint64_t took_ns);
void headscale_note_peers(uint64_t took_ns);
/* A machine told of its endpoints. */
void headscale_note_endpoints(void);
/* Before metric_put_all and metric_family_put_all; `nodes` of all tailnets. */
void headscale_metrics_update(size_t nodes);
/* process_…, whole. */
void process_metrics_put(struct buf *out);

/*
 * Counting without sharing: each loop adds to numbers of its own, which go to the metrics a few
 * times a second while there is something to tell.
 */

#include "core/metric.h"
#include "derp/server_internal.h"

#define TALLY_MS 200

static struct metric metrics[TALLY_COUNT] = {
    [TALLY_CLIENTS] = METRIC_GAUGE("hatsize_derp_clients", "Connections logged in to the relay."),
    [TALLY_HOME_CLIENTS] =
        METRIC_GAUGE("hatsize_derp_home_clients", "Of them, those whose home relay this is."),
    [TALLY_ACCEPTS] = METRIC_COUNTER("hatsize_derp_accepts_total", "Connections to the relay."),
    [TALLY_REFUSED] =
        METRIC_COUNTER("hatsize_derp_refused_total", "Connections that were not admitted."),
    [TALLY_BROKEN] = METRIC_COUNTER("hatsize_derp_broken_total",
                                    "Connections closed for breaking the protocol."),
    [TALLY_STALLED] =
        METRIC_COUNTER("hatsize_derp_stalled_total", "Connections closed for taking nothing."),
    [TALLY_DUPLICATES_CLOSED] =
        METRIC_COUNTER("hatsize_derp_duplicates_closed_total",
                       "Connections closed because their key had too many."),
    [TALLY_LOGINS_CLOSED] =
        METRIC_COUNTER("hatsize_derp_logins_closed_total",
                       "Connections closed because too many had not logged in yet."),
    [TALLY_FIGHTS] =
        METRIC_COUNTER("hatsize_derp_fights_total",
                       "Keys that two connections used by turns, as cloned machines do."),
    [TALLY_PACKETS_IN] =
        METRIC_COUNTER("hatsize_derp_packets_received_total", "Packets from clients."),
    [TALLY_BYTES_IN] =
        METRIC_COUNTER("hatsize_derp_bytes_received_total", "Bytes of packets from clients."),
    [TALLY_PACKETS_OUT] = METRIC_COUNTER("hatsize_derp_packets_sent_total", "Packets to clients."),
    [TALLY_BYTES_OUT] =
        METRIC_COUNTER("hatsize_derp_bytes_sent_total", "Bytes of packets to clients."),
    [TALLY_DROPPED_UNKNOWN] = METRIC_COUNTER("hatsize_derp_packets_dropped_unknown_total",
                                             "Packets for keys that were not connected."),
    [TALLY_DROPPED_QUEUE] = METRIC_COUNTER("hatsize_derp_packets_dropped_queue_total",
                                           "Packets whose receiver was too slow."),
    [TALLY_DROPPED_MAILBOX] =
        METRIC_COUNTER("hatsize_derp_packets_dropped_mailbox_total",
                       "Packets that another of the relay's loops was too busy for."),
    [TALLY_DROPPED_GONE] = METRIC_COUNTER("hatsize_derp_packets_dropped_gone_total",
                                          "Packets whose receiver left while they were under way."),
    [TALLY_PEER_GONE] =
        METRIC_COUNTER("hatsize_derp_peer_gone_total", "Notices that a peer is gone or not here."),
    [TALLY_PINGS] = METRIC_COUNTER("hatsize_derp_pings_total", "Pings from clients."),
    [TALLY_LIMITED] =
        METRIC_COUNTER("hatsize_derp_limited_total", "Pauses of clients that sent too much."),
    [TALLY_LIMITED_TOTAL] = METRIC_COUNTER("hatsize_derp_limited_total_rate_total",
                                           "Pauses of clients because all together sent too much."),
    [TALLY_FORWARDED_OUT] = METRIC_COUNTER("hatsize_derp_packets_forwarded_out_total",
                                           "Packets handed to other relays of the mesh."),
    [TALLY_FORWARDED_IN] = METRIC_COUNTER("hatsize_derp_packets_forwarded_in_total",
                                          "Packets that other relays of the mesh handed over."),
    [TALLY_WATCHERS] =
        METRIC_GAUGE("hatsize_derp_watchers", "Relays of the mesh that hear who is here."),
    [TALLY_REMOTE_CLIENTS] = METRIC_GAUGE("hatsize_derp_remote_clients",
                                          "Clients that other relays of the mesh have told of."),
};

static void on_tally(void *user)
{
    struct relay_loop *l = user;

    for (size_t i = 0; i < TALLY_COUNT; i++) {
        if (l->tally[i] != 0)
            metric_add(&metrics[i], l->tally[i]);
        l->tally[i] = 0;
    }
}

void tally_init(struct relay_loop *l)
{
    timer_init(&l->tally_timer, l->loop, on_tally, l);
}

void tally_fini(struct relay_loop *l)
{
    on_tally(l); /* the timer went with its loop */
}

void tally_add(struct relay_loop *l, enum tally what, int64_t n)
{
    l->tally[what] += n;
    if (!timer_is_started(&l->tally_timer))
        timer_start(&l->tally_timer, TALLY_MS);
}

/*
 * What dashboards made for the official relay look for: derpserver's expvars, as its /debug/varz
 * shows them ("gauge_" and "counter_" become the type). Those without a meaning here are left out.
 */
void derp_put_metrics(struct buf *out)
{
    static const struct {
        const char *name;
        bool is_gauge;
        enum tally tally[3];
        size_t n;
    } rows[] = {
        {"derp_accepts", false, {TALLY_ACCEPTS}, 1},
        {"derp_bytes_received", false, {TALLY_BYTES_IN}, 1},
        {"derp_bytes_sent", false, {TALLY_BYTES_OUT}, 1},
        {"derp_packets_received", false, {TALLY_PACKETS_IN}, 1},
        {"derp_packets_sent", false, {TALLY_PACKETS_OUT}, 1},
        {"derp_packets_dropped{reason=\"unknown_dest\"}", false, {TALLY_DROPPED_UNKNOWN}, 1},
        {"derp_packets_dropped{reason=\"gone_disconnected\"}", false, {TALLY_DROPPED_GONE}, 1},
        {"derp_packets_dropped{reason=\"queue_head\"}", false, {TALLY_DROPPED_QUEUE}, 1},
        {"derp_packets_dropped{reason=\"queue_tail\"}", false, {TALLY_DROPPED_MAILBOX}, 1},
        {"derp_current_connections", true, {TALLY_CLIENTS}, 1},
        {"derp_current_home_connections", true, {TALLY_HOME_CLIENTS}, 1},
        {"derp_watchers", true, {TALLY_WATCHERS}, 1},
        {"derp_clients_local", true, {TALLY_CLIENTS}, 1},
        {"derp_clients_remote", true, {TALLY_REMOTE_CLIENTS}, 1},
        {"derp_clients_total", true, {TALLY_CLIENTS, TALLY_REMOTE_CLIENTS}, 2},
        {"derp_packets_forwarded_out", false, {TALLY_FORWARDED_OUT}, 1},
        {"derp_packets_forwarded_in", false, {TALLY_FORWARDED_IN}, 1},
        {"derp_got_ping", false, {TALLY_PINGS}, 1},
        {"derp_sclient_write_timeouts", false, {TALLY_STALLED}, 1},
        {"derp_rate_limit_per_client_waited", false, {TALLY_LIMITED}, 1},
    };
    struct str before = STR_NONE;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str family, labels;
        int64_t sum = 0;

        for (size_t j = 0; j < rows[i].n; j++)
            sum += metric_get(&metrics[rows[i].tally[j]]);
        str_split(str_from(rows[i].name), '{', &family, &labels);
        if (!str_eq(family, before))
            buf_printf(out, "# TYPE %.*s %s\n", STR_ARG(family),
                       rows[i].is_gauge ? "gauge" : "counter");
        before = family;
        buf_printf(out, "%s %lld\n", rows[i].name, (long long)sum);
    }
}

/*
 * Pairs that send: how much, how late, at what cost.
 *
 *   connect --all ready--> warm up --> measure for run_ms --> stop sending, drain --> end
 *
 * Each write is `burst` packets, one TLS record and one system call, as if every sender were a
 * program of its own that sends packet after packet. Saturating, a pair has up to `window` packets
 * on their way; when half of them have come it fills the window again, writing in a row, and then
 * the loop takes a turn and what has come is delivered. So the server always has work, and little
 * is dropped: what is measured is forwarding. With a rate, packets leave when they are due and are
 * lost where the server drops them.
 *
 * Latency is from before the write to the receiver's callback, on one clock of one process; so it
 * has in it the time the generator itself takes for a turn.
 */

#include <stdio.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"

#define STALL_NS ((uint64_t)250 * 1000000)  /* without a packet, what was on its way is lost */
#define BEHIND_NS ((uint64_t)100 * 1000000) /* later than this, packets are not made up for */
#define PENDING_MAX ((size_t)256 << 10)     /* bytes the kernel has not taken of a sender */
#define DRAIN_MS 2000

struct pair {
    struct load *load;
    uint32_t index;
    struct derp_peer sender, receiver;
    struct packet_seen seen;
    uint64_t sent; /* and the next number */
    uint64_t got;
    uint64_t late;
    uint64_t given_up; /* numbers below are not on their way any more */
    uint64_t progress_ns;
    uint64_t due_ns;
    bool is_filling; /* its window, which was half empty or more */
    bool owes_slow;  /* the next packet is for a receiver that never reads */
    uint64_t sent_slow;
};

struct load {
    struct derp_run *run;
    const struct derp_load *what;
    struct pair *pairs;
    struct derp_peer *slow;
    char *packets; /* room for a burst */
    uint64_t interval_ns;
    bool is_measuring;
    uint64_t got; /* of all pairs */
    struct histogram latency;
};

/* ---- Receiving ---- */

static void on_packet(void *user, const struct node_key *src, struct str packet)
{
    struct pair *p = user;
    struct load *l = p->load;
    uint64_t number = 0, sent_ns = 0, now = clock_mono_ns();

    if (!node_key_eq(src, &p->sender.key)) {
        derp_run_complain(l->run, "pair %u got a packet of somebody else's", p->index);
        return;
    }
    if (!packet_check(&l->run->kit, p->index, packet, &number, &sent_ns) || number >= p->sent) {
        derp_run_complain(l->run, "pair %u got %zu bytes that nobody sent it", p->index,
                          packet.len);
        return;
    }
    switch (packet_seen_add(&p->seen, number)) {
    case PACKET_TWICE:
        derp_run_complain(l->run, "pair %u got packet %llu again", p->index,
                          (unsigned long long)number);
        return;
    case PACKET_LATE:
        p->late++;
        break;
    case PACKET_NEWEST:
        break;
    }
    p->got++;
    l->got++;
    p->progress_ns = now;
    if (l->is_measuring)
        histogram_add(&l->latency, now - sent_ns);
}

static void on_stray(void *user, const struct node_key *src, struct str packet)
{
    struct pair *p = user;

    (void)src;
    (void)packet;
    derp_run_complain(p->load->run, "a sender of pair %u got a packet", p->index);
}

static const struct derp_peer_events receiver_events = {.on_packet = on_packet};
static const struct derp_peer_events sender_events = {.on_packet = on_stray};
static const struct derp_peer_events slow_events = {0};

/* ---- Sending ---- */

static uint64_t on_the_way(const struct pair *p)
{
    return p->sent - MAX(p->seen.next, p->given_up);
}

static void send_burst(struct pair *p, size_t n, uint64_t now)
{
    struct load *l = p->load;

    for (size_t i = 0; i < n; i++)
        packet_make(&l->run->kit, p->index, p->sent++, now, l->packets + i * l->what->size,
                    l->what->size);
    derp_peer_send(&p->sender, &p->receiver, l->packets, l->what->size, n);
    p->owes_slow = l->what->slow > 0;
}

static void send_slow(struct pair *p, uint64_t now)
{
    struct load *l = p->load;

    packet_make(&l->run->kit, (uint32_t)l->what->pairs + p->index, p->sent_slow++, now, l->packets,
                l->what->size);
    derp_peer_send(&p->sender, &l->slow[p->index % l->what->slow], l->packets, l->what->size, 1);
    p->owes_slow = false;
}

/* Whether a packet is to go out now. */
static bool is_due(struct pair *p, uint64_t now)
{
    size_t window = p->load->run->o->window, burst = p->load->run->o->burst;
    uint64_t under_way = on_the_way(p);

    if (p->load->interval_ns > 0) {
        if (now < p->due_ns)
            return false;
        if (now - p->due_ns > BEHIND_NS)
            p->due_ns = now;
        p->due_ns += p->load->interval_ns * burst;
        return true;
    }
    if (under_way > 0 && now - p->progress_ns > STALL_NS) {
        p->given_up = p->sent;
        under_way = 0;
    }
    if (under_way == 0)
        p->progress_ns = now;
    p->is_filling = under_way == 0 ||
                    (under_way + burst <= window && (p->is_filling || 2 * under_way <= window));
    return p->is_filling;
}

/* One sender's writes in a row; whether there were any. */
static bool pump(struct pair *p)
{
    struct load *l = p->load;
    size_t writes = 0;

    while (writes < l->run->o->window && p->sender.is_ready &&
           derp_peer_pending(&p->sender) <= PENDING_MAX) {
        uint64_t now = clock_mono_ns();

        if (p->owes_slow)
            send_slow(p, now);
        else if (is_due(p, now))
            send_burst(p, l->run->o->burst, now);
        else
            break;
        if (!l->run->o->gather)
            loop_flush(l->run->loop);
        writes++;
    }
    if (writes > 0 && l->run->o->gather)
        loop_flush(l->run->loop);
    return writes > 0;
}

/* False: the run ended early. */
static bool pump_for(struct load *l, int64_t ms)
{
    uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000;

    while (clock_mono_ns() < until) {
        bool any = false;

        for (size_t i = 0; i < l->what->pairs; i++) {
            if (!pump(&l->pairs[i]))
                continue;
            any = true;
            if (!derp_run_turn(l->run, 0))
                return false;
        }
        if ((!any && !derp_run_turn(l->run, 1)) || (l->run->closed > 0 && l->what->slow == 0))
            return false;
    }
    return true;
}

static void drain(struct load *l)
{
    int64_t until = clock_mono_ms() + DRAIN_MS;
    uint64_t before = UINT64_MAX;
    int64_t quiet = clock_mono_ms();

    while (clock_mono_ms() < until && clock_mono_ms() - quiet < 300) {
        uint64_t sent = 0;

        for (size_t i = 0; i < l->what->pairs; i++)
            sent += l->pairs[i].sent;
        if (sent == l->got)
            return;
        if (l->got != before)
            quiet = clock_mono_ms();
        before = l->got;
        IGNORE(derp_run_turn(l->run, 10));
    }
}

/* ---- A case ---- */

static void begin(struct load *l)
{
    uint64_t now = clock_mono_ns();

    for (size_t i = 0; i < l->what->pairs; i++) {
        struct pair *p = &l->pairs[i];

        p->load = l;
        p->index = (uint32_t)i;
        derp_peer_init(&p->receiver, l->run, p->index, false, &receiver_events, p);
        derp_peer_init(&p->sender, l->run, p->index, true, &sender_events, p);
    }
    for (size_t i = 0; i < l->what->slow; i++) {
        derp_peer_init(&l->slow[i], l->run, 0, false, &slow_events, NULL);
        l->slow[i].may_close = true;
    }
    if (l->what->rate > 0)
        l->interval_ns = MAX((uint64_t)1, 1000000000u * l->what->pairs / l->what->rate);
    for (size_t i = 0; i < l->what->pairs; i++)
        l->pairs[i].due_ns = now + l->interval_ns * i / l->what->pairs;
}

static void end(struct load *l)
{
    derp_run_fini(l->run);
    for (size_t i = 0; i < l->what->pairs; i++) {
        derp_peer_fini(&l->pairs[i].sender);
        derp_peer_fini(&l->pairs[i].receiver);
    }
    for (size_t i = 0; i < l->what->slow; i++)
        derp_peer_fini(&l->slow[i]);
    mem_free(l->pairs);
    mem_free(l->slow);
    mem_free(l->packets);
    mem_free(l);
}

static bool measure(struct load *l, struct derp_load_figures *out)
{
    const struct derp_bench_options *o = l->run->o;
    long pid = l->run->target->pid;

    for (size_t i = 0; i < l->what->slow; i++)
        derp_peer_stop_reading(&l->slow[i]);
    if (!pump_for(l, o->warm_ms))
        return false;
    struct bench_usage server = bench_usage_of(pid), own = bench_usage_of(getpid());
    uint64_t start = clock_mono_ns(), got = l->got;

    l->is_measuring = true;
    bool whole = pump_for(l, o->run_ms);

    l->is_measuring = false;
    out->seconds = (double)(clock_mono_ns() - start) / 1e9;
    out->server_cpu = bench_usage_of(pid).cpu_seconds - server.cpu_seconds;
    out->own_cpu = bench_usage_of(getpid()).cpu_seconds - own.cpu_seconds;
    got = l->got - got;
    out->received = (double)got / out->seconds;
    out->server_us = got > 0 ? out->server_cpu * 1e6 / (double)got : 0;
    drain(l);
    return whole && got > 0;
}

bool derp_load_run(struct derp_run *r, const struct derp_load *what, struct derp_load_figures *out)
{
    struct load *l = NEW(struct load);

    l->run = r;
    l->what = what;
    l->pairs = mem_alloc_array(what->pairs, sizeof(*l->pairs));
    l->slow = mem_alloc_array(what->slow, sizeof(*l->slow));
    l->packets = mem_alloc_array(r->o->burst, what->size);
    *out = (struct derp_load_figures){.offered = (double)what->rate};
    begin(l);
    bool ok = derp_run_until_ready(r) && measure(l, out);

    for (size_t i = 0; i < what->pairs; i++) {
        out->sent += l->pairs[i].sent;
        out->got += l->pairs[i].got;
        out->late += l->pairs[i].late;
    }
    out->lost = out->sent - out->got;
    out->p50_ms = (double)histogram_quantile(&l->latency, 0.5) / 1e6;
    out->p99_ms = (double)histogram_quantile(&l->latency, 0.99) / 1e6;
    out->max_ms = (double)l->latency.max / 1e6;
    if (!ok)
        (void)fprintf(stderr, "%.*s: %zu pairs of %zu bytes: not measured to the end\n",
                      STR_ARG(r->target->name), what->pairs, what->size);
    end(l);
    return ok;
}

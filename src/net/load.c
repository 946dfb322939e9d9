/*
 * When a loop rests, so that reads bring more.
 *
 * Under load a loop that polls as soon as it can finds one small packet on each of many streams,
 * and pays the system calls of a read and of a write for each. So after many small reads a loop
 * rests after each round, and what comes meanwhile is read, sealed and written together.
 *
 *   awake --a window of many small reads--> resting --reads do not bring more, or few come--> awake
 *
 * Whether it helps is measured: one who asks and waits for each answer gains nothing, is soon left
 * alone, and not tried again for RETRY_US. A loop with little to do never rests.
 *
 * Falling asleep and waking costs some 20 us of CPU, so rests grow with the number of streams that
 * share them, up to REST_MAX_US: that much later is a packet at most on each loop it passes.
 */

#include "net/net_internal.h"

#define WINDOW_US 4000
#define MANY_READS 60                 /* in a window: 15,000 a second */
#define FEW_READS 4                   /* the same, while resting */
#define MANY_STREAMS 8                /* reads of a round: one poll for all of them helps too */
#define SMALL_READ ((size_t)32 << 10) /* bytes; reads that bring more are worth their call */
#define RETRY_US 100000
#define REST_US 100 /* and for each stream that was read of late: */
#define REST_STREAM_US 50
#define REST_MAX_US 700

void load_add(struct load *l, size_t bytes, unsigned *window)
{
    l->reads++;
    l->bytes += bytes;
    if (*window == l->window + 1)
        return;
    *window = l->window + 1;
    l->window_streams++;
}

static void judge_load(struct load *l, int64_t now)
{
    size_t mean = l->window_bytes / l->window_reads;
    bool is_old = now - l->since_us >= 4 * WINDOW_US; /* there was silence: it says nothing */

    if (!l->is_resting) {
        l->mean = mean;
        l->is_resting =
            !is_old && l->window_reads >= MANY_READS && mean < SMALL_READ && now >= l->retry_us;
    } else if (is_old || l->window_reads < FEW_READS) {
        l->is_resting = false;
    } else if (2 * mean < 3 * l->mean && l->window_reads < MANY_STREAMS * l->window_rounds) {
        l->is_resting = false;
        l->retry_us = now + RETRY_US;
    }
    l->streams = l->window_streams;
    l->window++;
    l->window_reads = l->window_bytes = l->window_rounds = l->window_streams = 0;
    l->since_us = now;
}

int64_t load_rest_us(struct load *l, int64_t now)
{
    size_t reads = l->reads;

    if (reads == 0) {
        /* Other loops brought something: not a reason to look again sooner. */
        l->is_resting = l->is_resting && now - l->since_us < 4 * WINDOW_US;
        return l->is_resting ? l->rest_us : 0;
    }
    bool is_small = l->bytes / reads < SMALL_READ;

    l->window_rounds++;
    l->window_reads += reads;
    l->window_bytes += l->bytes;
    l->reads = l->bytes = 0;
    if (now - l->since_us >= WINDOW_US)
        judge_load(l, now);
    if (!l->is_resting || !is_small)
        return 0;
    l->rest_us = (int64_t)MIN(REST_US + l->streams * REST_STREAM_US, (size_t)REST_MAX_US);
    return l->rest_us;
}

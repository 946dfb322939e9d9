/* See health.h. */

#include "core/health.h"

#include <pthread.h>
#include <stdio.h>

#include "core/clock.h"

#define WHY_MAX 512

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char reasons[HEALTH_PARTS][WHY_MAX]; /* these two under the lock */
static int64_t certificate_end_ms;

const char *health_part_name(enum health_part part)
{
    static const char *const names[HEALTH_PARTS] = {
        [HEALTH_CERTIFICATE] = "certificate",
        [HEALTH_CONFIGURATION] = "configuration",
        [HEALTH_DNS_RECORDS] = "dns-records",
        [HEALTH_RELAY_MAP] = "relay-map",
        [HEALTH_LOGIN] = "log-in",
    };

    return names[part];
}

void health_note(enum health_part part, struct str why)
{
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(reasons[part], WHY_MAX, "%.*s", STR_ARG(str_sub(why, 0, WHY_MAX - 1)));
    (void)pthread_mutex_unlock(&lock);
}

void health_note_certificate_end(int64_t unix_ms)
{
    (void)pthread_mutex_lock(&lock);
    certificate_end_ms = unix_ms;
    (void)pthread_mutex_unlock(&lock);
}

bool health_is_ill(enum health_part part, int64_t now_ms, struct buf *why)
{
    bool is_ill;

    (void)pthread_mutex_lock(&lock);
    is_ill = reasons[part][0] != '\0';
    buf_put(why, str_from(reasons[part]));
    if (part == HEALTH_CERTIFICATE && certificate_end_ms != 0 &&
        certificate_end_ms - now_ms < HEALTH_CERTIFICATE_MS) {
        buf_put(why, is_ill ? STR("; ") : STR_NONE);
        buf_put(why, certificate_end_ms <= now_ms ? STR("it ended at ") : STR("it ends at "));
        clock_put_rfc3339(why, certificate_end_ms);
        is_ill = true;
    }
    (void)pthread_mutex_unlock(&lock);
    return is_ill;
}

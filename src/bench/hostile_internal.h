#pragma once

/*
 * What the hostile cases share: plain sockets, so that nothing corrects what is wrong on purpose.
 */

#include "bench/bench.h"
#include "core/buf.h"
#include "crypto/keys.h"
#include "net/raw.h"
#include "noise/handshake.h"

#define ANSWER_MS 5000

struct hostile {
    const struct bench_options *o;
    struct machine_key server;
    size_t passed, failed;
};

/* One line about a case; `detail` (what came instead) is shown when it is not ok. */
void verdict(struct hostile *h, const char *name, bool ok, struct str detail);

/* A connected socket, or -1. Sending on it gives up after a while. */
int raw_open(const struct hostile *h);
/* Sends once; the answer must begin with `want`, or, if that is NULL, the server must close. */
void one_shot(struct hostile *h, const char *name, struct str data, const char *want);

/* A Noise channel on a plain socket. */
struct shaken {
    int fd;
    struct noise_session session;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct machine_private machine;
    struct buf in; /* received and not deciphered yet */
};
/* False: not made; shaken_end in any case. */
bool shake(const struct hostile *h, struct shaken *s);
void shaken_end(struct shaken *s);

/* Cases: on bare connections, and with HTTP/2 in a channel. */
void hostile_strangers(struct hostile *h);
void hostile_h2(struct hostile *h);

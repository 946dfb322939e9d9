#pragma once

/*
 * A Noise channel as a client: from a stream on which the upgrade has been answered to a stream of
 * plain bytes, early payload skipped.
 */

#include "net/stream.h"
#include "noise/handshake.h"

/*
 * Takes `raw` and what is in `handshake` (finished with it in any case). on_done is called once,
 * not from inside: the channel, or an error.
 */
void noise_stream_finish(struct stream *raw, struct noise_client *handshake,
                         void (*on_done)(void *user, struct stream *s, const struct err *err),
                         void *user);

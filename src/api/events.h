#pragma once

/*
 * The event stream: what changes in a tailnet, as it changes, for consoles and command lines.
 *
 *   GET /api/v1/events[?tailnet=…]     text/event-stream (HTML Living Standard, 9.2)
 *
 *   id: <revision>-<epoch>
 *   event: hello | reset | node | user | key | policy | settings | webhook
 *   data: {"op":"put","id":"7","node":{…}}
 *
 *   publication --> events_publish --> ring of the tailnet, on each loop --> streams pull
 *
 * Rules
 *   1. A stream holds no queue: it remembers what it was sent last, and writes what it lacks when
 *      its connection has room. What an object has become is looked up then, so a slow reader gets
 *      the newest.
 *   2. The ring keeps the last EVENTS_KEPT changes. Who falls off its end was too slow: the stream
 *      ends, and the client comes back.
 *   3. `Last-Event-ID` goes on where it was if the ring still has it, else there is one `reset`:
 *      what the client knows is old, and it reads everything again. The epoch is another after each
 *      start: revisions that were only written behind may come twice.
 *   4. Of what the caller may not read there is no event. A key that is gone or has expired ends
 * its streams within EVENTS_BEAT_MS.
 *   5. At most EVENTS_STREAMS_MAX streams, EVENTS_OF_ONE_MAX of one author, EVENTS_OF_TAILNET_MAX
 *      of one tailnet.
 */

#include "api/api.h"

#define EVENTS_KEPT 4096
#define EVENTS_BEAT_MS 15000
#define EVENTS_STREAMS_MAX 256
#define EVENTS_OF_ONE_MAX 32
#define EVENTS_OF_TAILNET_MAX 64 /* by a tailnet's own keys, on a loop */

struct events;
MUST_USE struct events *events_new(struct control *control);
/* After the loops are freed. */
void events_free(struct events *e);
/* Tests: rings keep so many, at most EVENTS_KEPT. Before any has more. */
void events_set_kept(struct events *e, size_t n);
/* On the loop, for each publication, after the hub knows of it. */
void events_publish(void *events, struct loop *loop, const struct publication *p);

/*
 * Law: whatever an HTTP/2 peer sends, never more than max_streams handlers are owed an end, every
 * exchange ends exactly once when the connection does, and what we send back stays in proportion.
 */

#include "harness.h"

#define STREAMS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;

    if (!quiet) {
        log_init(LOG_OFF, LOG_TEXT, -1);
        quiet = true;
    }
    if (size < 1 || size > 8192)
        return 0;
    struct rig *rig =
        rig_new((struct http_server_options){.max_streams = STREAMS, .h2_only = true});
    struct str in = {(const char *)data + 1, size - 1};
    size_t step = 16 + (size_t)data[0] * 16;

    /* /later is left open on purpose; its client hears something now and then. */
    rig_send(rig, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
    for (size_t at = 0; at < in.len && rig->peer; at += step) {
        stream_write(rig->peer, str_sub(in, at, step));
        loop_run_once(rig->loop, 0);
        if (rig->later) {
            http_stream_start(rig->later, 200, NULL);
            http_stream_write(rig->later, STR("news"));
            http_stream_flush(rig->later);
        }
        loop_run_once(rig->loop, 0);
        ASSERT(rig->alive <= STREAMS);
    }
    rig_run(rig);
    ASSERT(rig->most_alive <= STREAMS);
    if (rig->peer)
        stream_abort(rig->peer);
    rig_run(rig);
    ASSERT(rig->conn_closed);
    ASSERT(rig->alive == 0);
    rig_free(rig);
    return 0;
}

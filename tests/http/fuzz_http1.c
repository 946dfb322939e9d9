/*
 * Law: cutting the input of an HTTP/1 connection differently changes neither what handlers see nor
 * what is answered, as long as each part is taken before the next comes. The first byte of the
 * input says where to cut.
 *
 * What comes behind a refusal is thrown away or not depending on the cut, so the bytes answered are
 * compared, and the peer's end is not.
 */

#include "harness.h"

static struct rig *play(struct str in, size_t step)
{
    struct rig *rig = rig_new((struct http_server_options){.max_header_bytes = 300});

    for (size_t at = 0; at < in.len && rig->peer; at += step) {
        stream_write(rig->peer, str_sub(in, at, step));
        for (int i = 0; i < 4; i++)
            loop_run_once(rig->loop, 0);
        for (int i = 0; i < 200 && rig->later; i++) {
            http_respond_text(rig->later, 200, "late");
            loop_run_once(rig->loop, 0);
            loop_run_once(rig->loop, 0);
        }
    }
    rig_run(rig);
    return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;

    if (!quiet) {
        log_init(LOG_OFF, LOG_TEXT, -1);
        quiet = true;
    }
    if (size < 1 || size > 4096)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    /* HTTP/2 and TLS have their own targets; /big, /flow only cost time. */
    if (in.len == 0 || in.ptr[0] == 0x16 || str_find(in, STR("PRI * ")) >= 0 ||
        str_find(in, STR("/big")) >= 0 || str_find(in, STR("/flow")) >= 0)
        return 0;
    struct rig *whole = play(in, in.len);
    struct rig *cut = play(in, MAX((size_t)1, (size_t)data[0] / 4));

    ASSERT(str_eq(buf_str(&whole->log), buf_str(&cut->log)));
    if (str_find(in, STR("/socket")) < 0) {
        /* Giving up a connection loses the answers that are still queued on it. */
        if (str_find(in, STR("/abort")) < 0)
            ASSERT(str_eq(buf_str(&whole->got), buf_str(&cut->got)));
        ASSERT(str_eq(buf_str(&whole->upgraded_got), buf_str(&cut->upgraded_got)));
    } else {
        /* Echoes follow the cut, and a broken frame takes along what came with it. */
        ASSERT(str_starts(buf_str(&cut->upgraded_got), buf_str(&whole->upgraded_got)));
    }
    ASSERT(whole->most_alive <= 1 && cut->most_alive <= 1);
    rig_free(whole);
    rig_free(cut);
    return 0;
}

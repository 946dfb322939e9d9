/*
 * A session of nghttp2's in a slot: how much of it is ever written while a client asks a few things
 * and then listens.
 */

#include "../unit.h"

#include <sys/mman.h>

#include "core/buf.h"
#include "http/http2_memory.h"

#define PAGES (HTTP2_SLOT_BYTES / SLOTS_PAGE)
#define PAGES_MAX 2

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    (void)session;
    (void)flags;
    buf_put(user, str_bytes(data, len));
    return (ssize_t)len;
}

static ssize_t nothing_yet(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)stream_id, (void)buf, (void)length, (void)flags, (void)source, (void)user;
    return NGHTTP2_ERR_DEFERRED;
}

static size_t pages_of(const struct http2_memory *m)
{
    unsigned char in[PAGES];
    size_t n = 0;

    assert_int_equal(mincore(m->slot, HTTP2_SLOT_BYTES, in), 0);
    for (size_t i = 0; i < PAGES; i++)
        n += in[i] & 1;
    return n;
}

static void feed(nghttp2_session *session, struct str bytes)
{
    assert_int_equal(nghttp2_session_mem_recv(session, (const uint8_t *)bytes.ptr, bytes.len),
                     bytes.len);
    assert_int_equal(nghttp2_session_send(session), 0);
}

static nghttp2_session *session_new(struct http2_memory *m, struct slots *slots, struct buf *out)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;

    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 0);
    http2_memory_init(m, slots);
    assert_int_equal(nghttp2_session_server_new3(&session, callbacks, out, option, &m->mem), 0);
    http2_memory_close(m);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

static void an_idle_session_is_few_pages(void **state)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}};
    static uint8_t name[] = ":status", value[] = "200";
    const nghttp2_nv nv = {name, value, sizeof(name) - 1, sizeof(value) - 1, 0};
    const nghttp2_data_provider later = {.read_callback = nothing_yet};
    struct slots *slots = slots_new(HTTP2_SLOT_BYTES);
    struct http2_memory m;
    struct buf out = BUF(0);
    nghttp2_session *session = session_new(&m, slots, &out);

    (void)state;
    assert_int_equal(nghttp2_submit_settings(session, 0, settings, 1), 0);
    feed(session, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
    feed(session, STR("\0\0\0\4\1\0\0\0\0"));
    for (char id = 1; id < 20; id = (char)(id + 2)) {
        /* The table's new size first, as clients say it. */
        char request[] = "\0\0\x0c\1\5\0\0\0\0\x20\x82\x87\x04\x04/map\x41\x01"
                         "a";

        request[8] = id;
        feed(session, str_bytes(request, sizeof(request) - 1));
        assert_int_equal(nghttp2_submit_response(session, id, &nv, 1, &later), 0);
        assert_int_equal(nghttp2_session_send(session), 0);
    }
    print_message("%zu bytes sent, %zu pages\n", out.len, pages_of(&m));
    assert_true(out.len > 100);
    assert_true(pages_of(&m) <= PAGES_MAX);
    nghttp2_session_del(session);
    http2_memory_fini(&m);
    assert_int_equal(slots_used(slots), 0);
    slots_free(slots);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_idle_session_is_few_pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

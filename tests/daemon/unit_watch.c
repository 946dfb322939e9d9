/* The operators' listener: who is refused what. What needs a whole server is tested end to end. */

#include "../unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/daemon_internal.h"

struct rig {
    struct config config;
    struct server server;
};

static void rig_open(struct rig *rig)
{
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    *rig = (struct rig){.config.metrics_listen = {.addr = IP_ADDR_V4(127, 0, 0, 1)}};
    rig->server = (struct server){.config = &rig->config, .n_loops = 1};
    assert_int_equal(loop_new("test", &rig->server.loops[0], &err), 0);
    assert_int_equal(server_open_watch(&rig->server, &err), 0);
    assert_int_equal(loop_thread_start(rig->server.loops[0], &err), 0);
}

static void rig_close(struct rig *rig)
{
    loop_stop(rig->server.loops[0]);
    loop_thread_join(rig->server.loops[0]);
    listener_close(rig->server.watch_listener);
    loop_free(rig->server.loops[0]);
    http_server_free(rig->server.watch);
}

/* The status of a request with one more header line, and the answer's text. */
static int ask(struct rig *rig, const char *path, const char *header, struct buf *answer)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port =
                                       htons(listener_addr(rig->server.watch_listener).port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct str request =
        str_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path, header);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char bytes[4096];
    uint64_t status;
    ssize_t got;

    buf_clear(answer);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, request.ptr, request.len, 0), (ssize_t)request.len);
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        buf_put(answer, (struct str){bytes, (size_t)got});
    (void)close(fd);
    str_free(&request);
    assert_true(str_parse_u64(str_sub(buf_str(answer), 9, 3), &status));
    return (int)status;
}

static void refuses_what_a_proxy_brings(void **state)
{
    static const struct {
        const char *path;
        const char *header;
        int status;
    } cases[] = {
        {"/debug", "", 200},
        {"/debug/", "", 200},
        {"/debug/", "X-Forwarded-For: 127.0.0.1\r\n", 403},
        {"/debug/", "x-real-ip: 127.0.0.1\r\n", 403},
        {"/debug/", "True-Client-IP: 127.0.0.1\r\n", 403},
        {"/debug/", "Forwarded: for=127.0.0.1\r\n", 403},
        {"/debug/", "Via: 1.1 proxy\r\n", 403},
        {"/debug/netmap", "Via: 1.1 proxy\r\n", 403},
        {"/debug/config", "Via: 1.1 proxy\r\n", 403},
        {"/debug/overview", "Via: 1.1 proxy\r\n", 403},
        {"/debug/policy", "X-Forwarded-For: ::1\r\n", 403},
        {"/debug/nodestore", "Via: 1.1 proxy\r\n", 403},
        {"/debug/varz", "Via: 1.1 proxy\r\n", 403},
        {"/debug/nothing", "Via: 1.1 proxy\r\n", 403},
        {"/debug/nothing", "", 404},
        {"/", "", 404},
        {"/api/v1/node", "", 404},
    };
    struct buf answer = BUF(0);
    struct rig rig;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s %s\n", cases[i].path, cases[i].header);
        assert_int_equal(ask(&rig, cases[i].path, cases[i].header, &answer), cases[i].status);
        assert_int_equal(str_find(buf_str(&answer), STR("/debug/netmap")) > 0,
                         cases[i].status == 200);
    }
    buf_fini(&answer);
    rig_close(&rig);
}

static void says_which_address_cannot_be_had(void **state)
{
    struct server second = {.n_loops = 1};
    struct config config = {0};
    struct err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig);
    config.metrics_listen = listener_addr(rig.server.watch_listener);
    second.config = &config;
    assert_int_equal(loop_new("second", &second.loops[0], &err), 0);
    assert_true(server_open_watch(&second, &err) < 0);
    assert_true(str_find(str_from(err.text), STR("metrics_listen_addr")) >= 0);
    loop_free(second.loops[0]);
    http_server_free(second.watch);
    rig_close(&rig);
}

static void is_off_when_empty(void **state)
{
    struct config config = {0};
    struct server s = {.config = &config};
    struct err err = {0};

    (void)state;
    assert_int_equal(server_open_watch(&s, &err), 0);
    assert_null(s.watch);
    assert_null(s.watch_listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_a_proxy_brings),
        cmocka_unit_test(says_which_address_cannot_be_had),
        cmocka_unit_test(is_off_when_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

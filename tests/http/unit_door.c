/* The door: who must go when too many sit in it. */

#include "../unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/door.h"

#define MAX_GUESTS 6

static struct rig {
    struct loop *loop;
    struct door *door;
    struct http_server *server;
    struct listener *listener;
    struct stream *upgraded;
    double pace;
    bool is_shut;
} rig;

static void on_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static void on_close(void *user, const struct err *why)
{
    (void)user;
    (void)why;
    rig.upgraded = NULL;
}

static void on_derp(void *user, struct http_exchange *x, const struct http_request *req)
{
    static const struct stream_events events = {.on_data = on_data, .on_close = on_close};

    (void)user;
    (void)req;
    rig.upgraded = http_upgrade(x, "DERP", false);
    stream_set_events(rig.upgraded, &events, NULL);
}

static void on_accept(void *user, struct stream *stream)
{
    (void)user;
    if (isinf(rig.pace))
        assert_true(door_enter(rig.door, rig.server, stream) || rig.is_shut);
    else
        IGNORE(door_enter_paced(rig.door, rig.server, stream));
}

static void run(void)
{
    for (int i = 0; i < 30; i++)
        loop_run_once(rig.loop, 1);
}

static int start_at(double pace)
{
    static const struct http_route routes[] = {{"GET", "/derp", on_derp, 0}};
    const struct listener_options options = {.addr = {.addr = IP_ADDR_V4(127, 0, 0, 1)},
                                             .on_accept = on_accept};
    struct err err = {0};

    rig.pace = pace;
    rig.is_shut = false;
    log_init(LOG_OFF, LOG_TEXT, -1);
    assert_int_equal(loop_new("test", &rig.loop, &err), 0);
    rig.server = http_server_new(&(struct http_server_options){.routes = routes, .n_routes = 1});
    rig.door = door_new(&(struct door_options){.loops = &rig.loop,
                                               .n_loops = 1,
                                               .max_guests = MAX_GUESTS,
                                               .accepts_per_second = rig.pace,
                                               .accept_burst = 3});
    assert_int_equal(listener_open(rig.loop, &options, &rig.listener, &err), 0);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_at(INFINITY);
}

static int start_paced(void **state)
{
    (void)state;
    return start_at(0.001);
}

static int stop(void **state)
{
    (void)state;
    loop_free(rig.loop);
    assert_int_equal(door_guests(rig.door, 0), 0);
    door_free(rig.door);
    http_server_free(rig.server);
    return 0;
}

/* Somebody from 127.0.0.`host`. */
static int come(uint8_t host)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_addr(rig.listener).port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | host)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    run();
    return fd;
}

static bool is_out(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void leave(int *fd, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)close(fd[i]);
    run();
}

static void the_oldest_goes(void **state)
{
    int fd[MAX_GUESTS + 2];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        fd[i] = come((uint8_t)(10 + i));
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        assert_int_equal(is_out(fd[i]), i < 2);
    assert_int_equal(door_guests(rig.door, 0), MAX_GUESTS);
    leave(fd, ARRAY_LEN(fd));
    assert_int_equal(door_guests(rig.door, 0), 0);
}

/* Of a dozen, one after the other. */
static size_t who_stay(size_t max)
{
    int fd[2 * MAX_GUESTS];
    size_t n;

    door_set_max_guests(rig.door, rig.loop, max);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        fd[i] = come((uint8_t)(10 + i));
    n = door_guests(rig.door, 0);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        assert_int_equal(is_out(fd[i]), i < ARRAY_LEN(fd) - n);
    leave(fd, ARRAY_LEN(fd));
    return n;
}

static void there_may_be_more_and_fewer(void **state)
{
    (void)state;
    assert_int_equal(who_stay(MAX_GUESTS + 3), MAX_GUESTS + 3);
    assert_int_equal(who_stay(3), 3);
    assert_int_equal(who_stay(2), 2);
}

static void a_crowd_from_one_place_makes_room_itself(void **state)
{
    int quiet[2] = {come(10), come(11)}, crowd[20];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        crowd[i] = come(99);
    assert_false(is_out(quiet[0]) || is_out(quiet[1]));
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        assert_int_equal(is_out(crowd[i]), i < ARRAY_LEN(crowd) - (MAX_GUESTS - 2));
    leave(crowd, ARRAY_LEN(crowd));
    leave(quiet, ARRAY_LEN(quiet));
    assert_int_equal(door_guests(rig.door, 0), 0);
}

static void clients_are_no_guests(void **state)
{
    const char request[] =
        "GET /derp HTTP/1.1\r\nHost: a\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    int client = come(10), others[MAX_GUESTS + 4];

    (void)state;
    assert_true(send(client, request, sizeof(request) - 1, 0) > 0);
    run();
    assert_non_null(rig.upgraded);
    assert_int_equal(door_guests(rig.door, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = come((uint8_t)(20 + i));
    assert_non_null(rig.upgraded);
    leave(others, ARRAY_LEN(others));
    leave(&client, 1);
    assert_null(rig.upgraded);
}

/* Three at once, then one in a thousand seconds. */
static void who_comes_too_fast_is_refused(void **state)
{
    int fd[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        fd[i] = come((uint8_t)(10 + i));
        assert_int_equal(is_out(fd[i]), i >= 3);
    }
    clock_test_advance_ms(1000001);
    int next[2] = {come(30), come(31)};

    assert_false(is_out(next[0]));
    assert_true(is_out(next[1]));
    leave(fd, ARRAY_LEN(fd));
    leave(next, ARRAY_LEN(next));
}

static void a_shut_door_keeps_who_is_in(void **state)
{
    int before = come(10);

    (void)state;
    door_shut(rig.door);
    rig.is_shut = true;
    int after = come(11);

    assert_false(is_out(before));
    assert_true(is_out(after));
    assert_int_equal(door_guests(rig.door, 0), 1);
    leave(&before, 1);
    leave(&after, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_goes, start, stop),
        cmocka_unit_test_setup_teardown(there_may_be_more_and_fewer, start, stop),
        cmocka_unit_test_setup_teardown(a_crowd_from_one_place_makes_room_itself, start, stop),
        cmocka_unit_test_setup_teardown(clients_are_no_guests, start, stop),
        cmocka_unit_test_setup_teardown(who_comes_too_fast_is_refused, start_paced, stop),
        cmocka_unit_test_setup_teardown(a_shut_door_keeps_who_is_in, start, stop),
    };

    clock_test_stop();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

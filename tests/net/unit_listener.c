/* Listening and connecting: limits, Unix sockets, refusals, and peers that are not ours. */

#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MANY 104

/* Takes every stream a listener gives. */
struct host {
    struct loop *loop;
    struct listener *listener;
    struct end ends[MANY];
    size_t n;
};

static void on_accept(void *user, struct stream *s)
{
    struct host *h = user;

    assert_true(h->n < MANY);
    end_take(&h->ends[h->n++], s);
}

static struct host *host_new(struct listener_options options)
{
    struct host *h = NEW(struct host);
    struct err err = {0};

    h->loop = new_loop();
    options.on_accept = on_accept;
    options.user = h;
    if (options.unix_path.len == 0 && !ip_addr_is_set(options.addr.addr))
        options.addr = addrport("127.0.0.1:0");
    if (listener_open(h->loop, &options, &h->listener, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < MANY; i++)
        h->ends[i].got = BUF((size_t)1 << 30);
    return h;
}

static void host_free(struct host *h)
{
    loop_free(h->loop);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(h->ends[i].n_close, (size_t)i < h->n);
        buf_fini(&h->ends[i].got);
    }
    mem_free(h);
}

static struct ip_addrport loopback_of(const struct host *h)
{
    struct ip_addrport to = listener_addr(h->listener);

    to.addr = IP_ADDR_V4(127, 0, 0, 1);
    return to;
}

/* A plain socket, connected from `from`. */
static int dial(struct host *h, const char *from)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(loopback_of(h).port)};
    struct sockaddr_in local = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET, from, &local.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* The other side has ended it. */
static bool is_over(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void limits_streams(void **state)
{
    struct host *h = host_new((struct listener_options){.max_streams = 2});
    int fd[4];

    (void)state;
    for (int i = 0; i < 3; i++)
        fd[i] = dial(h, "127.0.0.1");
    RUN_UNTIL(h->loop, h->n == 2 && is_over(fd[2]));
    RUN_ROUNDS(h->loop, 5);
    assert_false(is_over(fd[0]) || is_over(fd[1]));
    /* One goes, one may come. */
    end_abort(&h->ends[0]);
    RUN_UNTIL(h->loop, h->ends[0].n_close);
    fd[3] = dial(h, "127.0.0.1");
    RUN_UNTIL(h->loop, h->n == 3);
    RUN_ROUNDS(h->loop, 5);
    assert_false(is_over(fd[3]));
    for (int i = 0; i < 4; i++)
        (void)close(fd[i]);
    host_free(h);
}

static void limits_streams_of_an_address(void **state)
{
    struct host *h =
        host_new((struct listener_options){.addr = addrport("[::]:0"), .max_per_address = 1});
    int fd[4] = {dial(h, "127.0.0.1"), dial(h, "127.0.0.2"), dial(h, "127.0.0.2")};

    (void)state;
    RUN_UNTIL(h->loop, h->n == 2 && is_over(fd[2]));
    /* IPv4 comes as IPv4, also on a socket for both. */
    assert_int_equal(stream_peer(h->ends[0].s).addr.family, IP_V4);
    assert_true(ip_addr_eq(stream_peer(h->ends[1].s).addr, IP_ADDR_V4(127, 0, 0, 2)));
    assert_int_equal(stream_local(h->ends[0].s).port, listener_addr(h->listener).port);
    assert_false(stream_is_unix(h->ends[0].s) || stream_is_tls(h->ends[0].s));
    /* Counts are given back, also when the listener has gone meanwhile. */
    (void)close(fd[1]);
    RUN_UNTIL(h->loop, h->ends[1].n_close);
    fd[3] = dial(h, "127.0.0.2");
    RUN_UNTIL(h->loop, h->n == 3);
    listener_close(h->listener);
    RUN_ROUNDS(h->loop, 5);
    assert_false(is_over(fd[0]) || is_over(fd[3]));
    for (int i = 0; i < 4; i++)
        if (i != 1)
            (void)close(fd[i]);
    RUN_UNTIL(h->loop, h->ends[0].n_close && h->ends[2].n_close);
    host_free(h);
}

/* Two listeners, each on its loop, whose streams are counted together. */
static void limits_streams_of_several_loops(void **state)
{
    struct host *one = host_new((struct listener_options){.max_streams = 3, .max_per_address = 2});
    struct host *two = host_new(
        (struct listener_options){.max_streams = 3, .max_per_address = 2, .like = one->listener});
    int fd[6];

    (void)state;
    fd[0] = dial(one, "127.0.0.1");
    fd[1] = dial(two, "127.0.0.1");
    RUN_UNTIL(one->loop, one->n == 1);
    RUN_UNTIL(two->loop, two->n == 1);
    fd[2] = dial(two, "127.0.0.1"); /* the third of its address */
    RUN_UNTIL(two->loop, is_over(fd[2]));
    fd[3] = dial(one, "127.0.0.2");
    RUN_UNTIL(one->loop, one->n == 2);
    fd[4] = dial(two, "127.0.0.3"); /* the fourth */
    RUN_UNTIL(two->loop, is_over(fd[4]));
    /* The first listener's going changes nothing; its stream's makes room. */
    listener_close(one->listener);
    RUN_ROUNDS(one->loop, 5);
    end_abort(&one->ends[0]);
    RUN_UNTIL(one->loop, one->ends[0].n_close);
    fd[5] = dial(two, "127.0.0.1");
    RUN_UNTIL(two->loop, two->n == 2);
    RUN_ROUNDS(two->loop, 5);
    assert_false(is_over(fd[5]) || is_over(fd[1]) || is_over(fd[3]));
    host_free(one);
    host_free(two);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        (void)close(fd[i]);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Whom a proxy brings is named by its header, counted by that, and nobody else is believed. */
static void reads_proxy_headers(void **state)
{
    struct ip_prefix proxy = ip_prefix_single(IP_ADDR_V4(127, 0, 0, 9));
    struct host *h = host_new((struct listener_options){
        .max_per_address = 1, .proxies = &proxy, .n_proxies = 1, .proxy_header = true});
    int fd[6];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        fd[i] = dial(h, "127.0.0.9");
    say(fd[0], "PROXY TCP4 192.0.2.1 192.0.2.9 5 6\r");
    RUN_ROUNDS(h->loop, 5);
    assert_int_equal(h->n, 0);
    say(fd[0], "\nhello");
    RUN_UNTIL(h->loop, h->n == 1 && h->ends[0].got.len == 5);
    assert_true(ip_addr_eq(stream_peer(h->ends[0].s).addr, IP_ADDR_V4(192, 0, 2, 1)));
    assert_int_equal(stream_peer(h->ends[0].s).port, 5);
    say(fd[1], "PROXY TCP4 192.0.2.2 192.0.2.9 5 6\r\n");
    RUN_UNTIL(h->loop, h->n == 2);
    say(fd[2], "PROXY TCP4 192.0.2.1 192.0.2.9 7 6\r\n"); /* the second of its address */
    RUN_UNTIL(h->loop, is_over(fd[2]));
    say(fd[3], "GET / HTTP/1.1\r\n");
    RUN_UNTIL(h->loop, is_over(fd[3]));
    fd[4] = dial(h, "127.0.0.1");
    say(fd[4], "PROXY UNKNOWN\r\n");
    RUN_UNTIL(h->loop, h->n == 3 && h->ends[2].got.len == 15);
    assert_true(ip_addr_is_loopback(stream_peer(h->ends[2].s).addr));
    /* Counts are given back. */
    (void)close(fd[0]);
    RUN_UNTIL(h->loop, h->ends[0].n_close);
    fd[5] = dial(h, "127.0.0.9");
    say(fd[5], "PROXY TCP4 192.0.2.1 192.0.2.9 8 6\r\n");
    RUN_UNTIL(h->loop, h->n == 4);
    host_free(h);
    for (size_t i = 1; i < ARRAY_LEN(fd); i++)
        (void)close(fd[i]);
}

/* Without a word about headers a proxy is only not counted by its own address. */
static void does_not_count_proxies(void **state)
{
    struct ip_prefix proxy = ip_prefix_single(IP_ADDR_V4(127, 0, 0, 9));
    struct host *h = host_new(
        (struct listener_options){.max_per_address = 1, .proxies = &proxy, .n_proxies = 1});
    int fd[4] = {dial(h, "127.0.0.9"), dial(h, "127.0.0.9"), dial(h, "127.0.0.1"),
                 dial(h, "127.0.0.1")};

    (void)state;
    RUN_UNTIL(h->loop, h->n == 3 && is_over(fd[3]));
    host_free(h);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        (void)close(fd[i]);
}

/* A crowd at the door: 16 come in, then those that are here are served, then the next 16. */
static void accepts_by_turns(void **state)
{
    struct host *h = host_new((struct listener_options){0});
    int fd[MANY], first = dial(h, "127.0.0.1");
    size_t rounds = 0;

    (void)state;
    RUN_UNTIL(h->loop, h->n == 1);
    for (size_t i = 1; i < MANY; i++)
        fd[i] = dial(h, "127.0.0.1");
    assert_int_equal(send(first, "x", 1, 0), 1);
    while (h->n < MANY && rounds < 200) {
        size_t before = h->n;

        loop_run_once(h->loop, 0);
        rounds++;
        /* Work that waits for the end of a round is done twice in it. */
        assert_true(h->n - before <= 2 * 16);
        assert_true(rounds > 1 || h->n < MANY);
        assert_true(rounds < 3 || h->ends[0].got.len == 1);
    }
    assert_int_equal(h->n, MANY);
    assert_true(rounds >= MANY / 32);
    host_free(h);
    (void)close(first);
    for (size_t i = 1; i < MANY; i++)
        (void)close(fd[i]);
}

/* Freed while closing towards a peer that will never read. */
static void frees_what_is_still_closing(void **state)
{
    struct host *h = host_new((struct listener_options){0});
    struct str data = noise(1, (size_t)16 << 20);
    int fd = dial(h, "127.0.0.1");

    (void)state;
    RUN_UNTIL(h->loop, h->n == 1);
    end_write(&h->ends[0], data);
    end_close(&h->ends[0]);
    RUN_ROUNDS(h->loop, 5);
    assert_true(stream_pending(h->ends[0].s) > 0);
    host_free(h);
    (void)close(fd);
    str_free(&data);
}

static void tells_why_a_connection_broke(void **state)
{
    struct host *h = host_new((struct listener_options){0});
    struct linger now = {.l_onoff = 1};
    int fd = dial(h, "127.0.0.1");

    (void)state;
    RUN_UNTIL(h->loop, h->n == 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(fd); /* a reset */
    RUN_UNTIL(h->loop, h->ends[0].n_close);
    assert_true(h->ends[0].has_why);
    assert_int_equal(h->ends[0].why.code, ERR_IO);
    host_free(h);
}

/* ---- Connecting ---- */

static void tells_of_a_refusal(void **state)
{
    struct host *h = host_new((struct listener_options){0});
    struct ip_addrport to = loopback_of(h);
    struct joint j = {0};

    (void)state;
    listener_close(h->listener);
    RUN_ROUNDS(h->loop, 2);
    stream_connect_tcp(h->loop, to, 5000, joint_on_connect, &j);
    assert_false(j.is_done); /* never from inside */
    RUN_UNTIL(h->loop, j.is_done);
    assert_null(j.connected);
    assert_int_equal(j.err.code, ERR_IO);
    host_free(h);
}

/* A socket that listens and whose queue is full answers nobody. */
static void gives_up_in_time(void **state)
{
    struct loop *loop = new_loop();
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct joint j[4] = {0};
    size_t done = 0, failed = 0;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    struct ip_addrport to = {.addr = IP_ADDR_V4(127, 0, 0, 1), .port = ntohs(sa.sin_port)};

    for (size_t i = 0; i < ARRAY_LEN(j); i++)
        stream_connect_tcp(loop, to, 60000, joint_on_connect, &j[i]);
    RUN_ROUNDS(loop, 50);
    for (size_t i = 0; i < ARRAY_LEN(j); i++)
        done += j[i].is_done;
    assert_true(done < ARRAY_LEN(j));
    clock_test_advance_ms(61000);
    RUN_ROUNDS(loop, 50);
    for (size_t i = 0; i < ARRAY_LEN(j); i++) {
        assert_true(j[i].is_done);
        failed += !j[i].connected;
    }
    assert_int_equal(failed, ARRAY_LEN(j) - done);
    /* And one that is still at it when the loop goes. */
    struct joint last = {0};

    stream_connect_tcp(loop, to, 60000, joint_on_connect, &last);
    loop_free(loop);
    assert_true(last.is_done);
    assert_null(last.connected);
    (void)close(fd);
}

/* ---- Unix sockets ---- */

static char folder[64];
static char path[128];

static struct str socket_path(void)
{
    return str_from(path);
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/unit_net_XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static mode_t mode_of_socket(void)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    return st.st_mode & 0777;
}

static void talks_over_a_unix_socket(void **state)
{
    struct host *h = host_new((struct listener_options){.unix_path = socket_path()});
    struct joint j = {0};
    struct end client = {.got = BUF(1000)};

    (void)state;
    assert_int_equal(mode_of_socket(), 0700);
    stream_connect_unix(h->loop, socket_path(), joint_on_connect, &j);
    assert_false(j.is_done);
    RUN_UNTIL(h->loop, j.is_done && h->n == 1);
    end_take(&client, j.connected);
    assert_true(stream_is_unix(client.s) && stream_is_unix(h->ends[0].s));
    assert_int_equal(stream_peer(h->ends[0].s).addr.family, IP_NONE);
    end_write(&client, STR("ping"));
    end_write(&h->ends[0], STR("pong"));
    end_close(&client);
    RUN_UNTIL(h->loop, client.n_close && h->ends[0].n_close);
    /* Also when our own answer met a closed door. */
    assert_str(buf_str(&h->ends[0].got), STR("ping"));
    listener_close(h->listener);
    RUN_ROUNDS(h->loop, 2);
    assert_int_equal(access(path, F_OK), -1); /* closing removes the file */
    buf_fini(&client.got);
    host_free(h);
}

/* An abstract name: nothing on disk, one holder at a time, free again when that has closed it. */
static void talks_over_an_abstract_name(void **state)
{
    char text[64];
    struct joint j = {0}, late = {0};
    struct end client = {.got = BUF(1000)};
    struct listener *second = NULL;
    struct err err = {0};

    (void)state;
    (void)snprintf(text, sizeof(text), "@hatsize-test-%d", getpid());
    const struct str name = str_from(text);
    struct host *h = host_new((struct listener_options){.unix_path = name});
    const struct listener_options options = {.unix_path = name, .on_accept = on_accept};

    assert_true(listener_open(h->loop, &options, &second, &err) < 0);
    stream_connect_unix(h->loop, name, joint_on_connect, &j);
    assert_false(j.is_done);
    RUN_UNTIL(h->loop, j.is_done && h->n == 1);
    end_take(&client, j.connected);
    assert_true(stream_is_own_user(client.s) && stream_is_own_user(h->ends[0].s));
    end_write(&client, STR("ping"));
    end_close(&client);
    RUN_UNTIL(h->loop, client.n_close && h->ends[0].n_close);
    assert_str(buf_str(&h->ends[0].got), STR("ping"));
    listener_close(h->listener);
    RUN_ROUNDS(h->loop, 2);
    stream_connect_unix(h->loop, name, joint_on_connect, &late);
    assert_false(late.is_done);
    RUN_UNTIL(h->loop, late.is_done);
    assert_null(late.connected);
    buf_fini(&client.got);
    host_free(h);
}

static void gives_the_socket_its_mode(void **state)
{
    mode_t before = umask(0077);
    struct host *h =
        host_new((struct listener_options){.unix_path = socket_path(), .unix_mode = 0666});

    (void)state;
    assert_int_equal(mode_of_socket(), 0666);
    host_free(h);
    assert_int_equal(umask(before), 0077); /* ours is back */
}

static int try_to_open(struct err *err)
{
    struct loop *loop = new_loop();
    struct listener_options options = {.unix_path = socket_path(), .on_accept = on_accept};
    struct listener *l;
    int status = listener_open(loop, &options, &l, err);

    loop_free(loop);
    return status;
}

static void replaces_only_a_dead_socket(void **state)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct err err = {0};

    (void)state;
    memcpy(sun.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(try_to_open(&err), -ERR_CONFLICT);
    /* One try is waiting in its queue now: busy is as alive. */
    assert_int_equal(try_to_open(&err), -ERR_CONFLICT);
    assert_int_equal(try_to_open(&err), -ERR_CONFLICT);
    assert_int_equal(access(path, F_OK), 0);
    (void)close(fd); /* left over */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(try_to_open(&err), 0);
}

static void leaves_other_files_alone(void **state)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    struct err err = {0};

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_true(try_to_open(&err) < 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);

    struct str longest = str_printf("%s/%0200d", folder, 0);
    struct loop *loop = new_loop();
    struct listener_options options = {.unix_path = longest, .on_accept = on_accept};
    struct listener *l;

    assert_int_equal(listener_open(loop, &options, &l, &err), -ERR_INVALID);
    loop_free(loop);
    str_free(&longest);
}

static void tells_of_no_unix_socket(void **state)
{
    struct loop *loop = new_loop();
    struct joint j = {0};

    (void)state;
    stream_connect_unix(loop, socket_path(), joint_on_connect, &j);
    RUN_UNTIL(loop, j.is_done);
    assert_null(j.connected);
    assert_int_equal(j.err.code, ERR_IO);
    loop_free(loop);
}

static void refuses_an_address_of_others(void **state)
{
    struct loop *loop = new_loop();
    struct listener_options options = {.addr = addrport("192.0.2.1:1"), .on_accept = on_accept};
    struct listener *l;
    struct err err = {0};

    (void)state;
    assert_int_equal(listener_open(loop, &options, &l, &err), -ERR_IO); /* not ours */
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_streams),
        cmocka_unit_test(limits_streams_of_an_address),
        cmocka_unit_test(limits_streams_of_several_loops),
        cmocka_unit_test(reads_proxy_headers),
        cmocka_unit_test(does_not_count_proxies),
        cmocka_unit_test(accepts_by_turns),
        cmocka_unit_test(frees_what_is_still_closing),
        cmocka_unit_test(tells_why_a_connection_broke),
        cmocka_unit_test(tells_of_a_refusal),
        cmocka_unit_test(gives_up_in_time),
        cmocka_unit_test(talks_over_a_unix_socket),
        cmocka_unit_test(talks_over_an_abstract_name),
        cmocka_unit_test(gives_the_socket_its_mode),
        cmocka_unit_test(replaces_only_a_dead_socket),
        cmocka_unit_test(leaves_other_files_alone),
        cmocka_unit_test(tells_of_no_unix_socket),
        cmocka_unit_test(refuses_an_address_of_others),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

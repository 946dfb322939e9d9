/* See send_floor.h. */

#include "bench/send_floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rand.h"
#include "noise/record.h"

#define VIEWERS_MAX 4000
#define ROUNDS 20
#define SPARE_FILES 64

struct viewer {
    int near, far;
    struct noise_session session;
};

static double cpu_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int listen_any(struct sockaddr_in *at, struct err *err)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*at);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) < 0) {
        IGNORE(err_sys(err, errno, "listening"));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return fd;
}

static int connect_one(struct viewer *v, int listener, const struct sockaddr_in *at,
                       struct err *err)
{
    uint8_t key[AEAD_KEY_BYTES];
    int one = 1;

    v->far = -1;
    v->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (v->near < 0 || connect(v->near, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
        (v->far = accept(listener, NULL, NULL)) < 0)
        return err_sys(err, errno, "connecting to ourselves");
    (void)setsockopt(v->near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    rand_bytes(key, sizeof(key));
    noise_session_init(&v->session, key, key);
    return 0;
}

static void viewer_fini(struct viewer *v)
{
    if (v->near >= 0)
        (void)close(v->near);
    if (v->far >= 0)
        (void)close(v->far);
    noise_session_fini(&v->session);
}

static void drain(const struct viewer *all, size_t n)
{
    char waste[65536];

    for (size_t i = 0; i < n; i++)
        while (recv(all[i].far, waste, sizeof(waste), MSG_DONTWAIT) > 0)
            ;
}

static int one_round(struct viewer *all, size_t n, struct str plain, struct buf *sealed,
                     struct send_floor *sum, struct err *err)
{
    double begun = cpu_us(), ciphered;
    size_t each = noise_sealed_len(plain.len);

    buf_clear(sealed);
    for (size_t i = 0; i < n; i++)
        if (noise_seal(&all[i].session, plain, sealed, err) < 0)
            return -(int)err->code;
    ciphered = cpu_us();
    for (size_t i = 0; i < n; i++)
        if (send(all[i].near, sealed->ptr + i * each, each, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            return err_sys(err, errno, "sending to ourselves");
    sum->cipher_us += ciphered - begun;
    sum->send_us += cpu_us() - ciphered;
    drain(all, n);
    return 0;
}

static size_t room_for(size_t viewers)
{
    struct rlimit limit = {.rlim_cur = 1024};
    int used = dup(0); /* about as many as are open */
    size_t free_files;

    if (used >= 0)
        (void)close(used);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    free_files = limit.rlim_cur > (size_t)used + SPARE_FILES
                     ? (size_t)limit.rlim_cur - (size_t)used - SPARE_FILES
                     : 2;
    return MAX(MIN(MIN(viewers, (size_t)VIEWERS_MAX), free_files / 2), (size_t)1);
}

int send_floor_measure(size_t viewers, size_t bytes, struct send_floor *out, struct err *err)
{
    size_t n = room_for(viewers), made = 0;
    struct viewer *all = mem_alloc_array(n, sizeof(*all));
    struct buf plain = BUF((size_t)1 << 30), sealed = BUF((size_t)1 << 30);
    struct send_floor sum = {0};
    struct sockaddr_in at;
    int listener = listen_any(&at, err), status = listener < 0 ? -(int)err->code : 0;
    char *room = buf_reserve(&plain, bytes);

    ASSERT(room);
    rand_bytes(room, bytes);
    buf_added(&plain, bytes);
    while (status == 0 && made < n)
        status = connect_one(&all[made++], listener, &at, err);
    for (size_t i = 0; i <= ROUNDS && status == 0; i++) {
        if (i == 1)
            sum = (struct send_floor){0}; /* the first one warms up */
        status = one_round(all, n, buf_str(&plain), &sealed, &sum, err);
    }
    out->cipher_us = sum.cipher_us / (double)(n * ROUNDS);
    out->send_us = sum.send_us / (double)(n * ROUNDS);
    for (size_t i = 0; i < made; i++)
        viewer_fini(&all[i]);
    if (listener >= 0)
        (void)close(listener);
    buf_fini(&plain);
    buf_fini(&sealed);
    mem_free(all);
    return status;
}

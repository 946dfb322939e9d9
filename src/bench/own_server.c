/* See own_server.h. */

#include "bench/own_server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/control_client.h"
#include "core/clock.h"
#include "core/mem.h"

#define START_MS 60000
#define END_MS 60000
#define WORDS_MAX 64

static void nap(long ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&ts, NULL);
}

int own_server_start(const char *command, long *pid, struct err *err)
{
    char *words[WORDS_MAX + 1] = {NULL};
    struct str rest = str_from(command), word;
    size_t n = 0;

    while (n < WORDS_MAX && str_next(&rest, ' ', &word))
        if (word.len > 0)
            words[n++] = str_dup(word);
    pid_t child = n > 0 ? fork() : -1;

    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execvp(words[0], words);
        _exit(127);
    }
    for (size_t i = 0; i < n; i++)
        mem_free(words[i]);
    if (child < 0)
        return err_sys(err, errno, "starting the server");
    *pid = child;
    return 0;
}

int own_server_wait(const char *url, long pid, struct err *err)
{
    int64_t end = clock_mono_ms() + START_MS;
    struct machine_key key;

    while (control_fetch_key(url, &key, err) < 0) {
        if (waitpid((pid_t)pid, NULL, WNOHANG) == pid)
            return err_set(err, ERR_IO, "the server ended while it started");
        if (clock_mono_ms() > end)
            return err_wrap(err, "waiting for the server");
        nap(5);
    }
    return 0;
}

void own_server_kill(long pid)
{
    (void)kill((pid_t)pid, SIGKILL);
    (void)waitpid((pid_t)pid, NULL, 0);
}

bool own_server_end(long pid)
{
    int64_t end = clock_mono_ms() + END_MS;
    int status = 0;

    (void)kill((pid_t)pid, SIGTERM);
    while (waitpid((pid_t)pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > end)
            (void)kill((pid_t)pid, SIGKILL);
        nap(5);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/*
 * How many may sit at the main port's door.
 *
 * After a restart every machine comes back at once, with one connection to control and one to the
 * relay. Where there is no room for all of them they push each other out, come again, and again,
 * while the server spends its time on accepting them. So there is room for those who are known;
 * strangers cannot make the number larger.
 *
 * Half of the places, and of the open files, are kept for who is through; half of these for who has
 * logged in to the relay, too. A guest costs 1 KiB if it only sits there, 21 if it stops in the
 * middle of TLS, 32 with headers that do not end. So a crowd of strangers costs 256 MiB at most
 * where few machines are, 64 KiB a machine where more than 4,096 are, 1 GiB with all places as they
 * are by default, for as long as it comes.
 */

#include <math.h>

#include "daemon/daemon_internal.h"
#include "host/limits.h"
#include "http/door.h"

#define GUESTS_A_MACHINE 2

size_t server_max_guests(const struct config_limits *limits, size_t open_files, size_t machines)
{
    size_t of_machines = MIN(GUESTS_A_MACHINE * machines, limits->max_connections / 2);

    return MIN(MAX(limits->max_handshakes, of_machines), open_files / 2);
}

void server_make_door(struct server *s)
{
    const struct config_limits *limits = &s->config->derp.limits;
    double pace = limits->accepts_per_second > 0 ? limits->accepts_per_second : (double)INFINITY;

    s->open_files = limits_open_files();
    s->door =
        door_new(&(struct door_options){.loops = s->loops,
                                        .n_loops = s->n_loops,
                                        .max_guests = server_max_guests(limits, s->open_files, 0),
                                        .accepts_per_second = pace,
                                        .accept_burst = limits->accept_burst});
}

/* Through the door a machine has one connection that logs in to the relay. */
size_t server_max_logins(size_t max_guests)
{
    return MAX(max_guests / GUESTS_A_MACHINE, (size_t)1);
}

void server_on_nodes(void *user, struct loop *loop, size_t n)
{
    struct server *s = user;
    size_t max = server_max_guests(&s->config->derp.limits, s->open_files, n);

    door_set_max_guests(s->door, loop, max);
    if (s->derp && loop == s->loops[0])
        derp_server_set_max_logins(s->derp, server_max_logins(max));
}

#include "cluster.h"

#include <libpq-fe.h>

#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS 60000 /* a machine under load takes its time */

static struct {
    char bin[128]; /* the newest installed version's programs */
    char dir[64];  /* holds everything; its owner is who runs the server */
    char data[96];
    uid_t uid;
    gid_t gid;
    pid_t server;
    unsigned databases;
} cluster;

static bool find_programs(void)
{
    glob_t found = {0};
    int newest = 0;

    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int version = (int)strtol(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"), NULL, 10);

            if (version <= newest)
                continue;
            newest = version;
            snprintf(cluster.bin, sizeof(cluster.bin), "/usr/lib/postgresql/%d/bin", version);
        }
    globfree(&found);
    return newest > 0;
}

/* Does not return. */
static void become_and_run(const char *program, char *const argv[])
{
    char path[256];

    if (getuid() == 0 &&
        (setgroups(0, NULL) < 0 || setgid(cluster.gid) < 0 || setuid(cluster.uid) < 0))
        _exit(126);
    /* SIGINT is PostgreSQL's fast shutdown. */
    (void)prctl(PR_SET_PDEATHSIG, SIGINT);
    if (chdir(cluster.dir) < 0)
        _exit(126);
    snprintf(path, sizeof(path), "%s/%s", cluster.bin, program);
    execv(path, argv);
    _exit(127);
}

static pid_t spawn(const char *program, char *const argv[])
{
    pid_t pid = fork();

    if (pid == 0)
        become_and_run(program, argv);
    assert_true(pid > 0);
    return pid;
}

static bool ends_well(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static PGconn *dial(const char *name)
{
    char text[256];

    snprintf(text, sizeof(text), "host='%s' dbname='%s' user='hatsize' connect_timeout=10",
             cluster.dir, name);
    return PQconnectdb(text);
}

void cluster_start(void)
{
    char *argv[] = {(char[]){"postgres"},
                    (char[]){"-D"},
                    cluster.data,
                    (char[]){"-k"},
                    cluster.dir,
                    (char[]){"-c"},
                    (char[]){"listen_addresses="},
                    (char[]){"-c"},
                    (char[]){"fsync=off"},
                    (char[]){"-c"},
                    (char[]){"log_min_messages=fatal"},
                    (char[]){"-c"},
                    (char[]){"shared_buffers=16MB"},
                    (char[]){"-c"},
                    (char[]){"max_connections=20"},
                    NULL};
    bool ready = false;

    cluster.server = spawn("postgres", argv);
    for (int waited = 0; !ready && waited < READY_MS; waited += 20) {
        PGconn *conn = dial("postgres");

        ready = PQstatus(conn) == CONNECTION_OK;
        PQfinish(conn);
        if (!ready)
            (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    if (!ready)
        fail_msg("PostgreSQL does not start");
}

void cluster_stop(bool crash)
{
    int status;

    if (cluster.server <= 0)
        return;
    /* SIGQUIT ends it at once and leaves recovery to the next start. */
    (void)kill(cluster.server, crash ? SIGQUIT : SIGINT);
    (void)waitpid(cluster.server, &status, 0);
    cluster.server = 0;
}

static bool choose_user(void)
{
    const char *const names[] = {"postgres", "nobody"};

    cluster.uid = getuid();
    cluster.gid = getgid();
    for (size_t i = 0; cluster.uid == 0 && i < ARRAY_LEN(names); i++) {
        const struct passwd *user = getpwnam(names[i]);

        if (!user)
            continue;
        cluster.uid = user->pw_uid;
        cluster.gid = user->pw_gid;
    }
    return cluster.uid != 0;
}

bool cluster_make(void)
{
    char *argv[] = {(char[]){"initdb"},     (char[]){"-D"},        cluster.data,
                    (char[]){"-U"},         (char[]){"hatsize"},   (char[]){"-A"},
                    (char[]){"trust"},      (char[]){"-E"},        (char[]){"UTF8"},
                    (char[]){"--locale=C"}, (char[]){"--no-sync"}, NULL};
    pid_t pid;

    if (!find_programs() || !choose_user()) {
        printf("PostgreSQL is not here (Debian: postgresql); its half of the tests is skipped\n");
        return false;
    }
    snprintf(cluster.dir, sizeof(cluster.dir), "/tmp/store-pg-XXXXXX");
    assert_non_null(mkdtemp(cluster.dir));
    snprintf(cluster.data, sizeof(cluster.data), "%s/data", cluster.dir);
    assert_int_equal(chown(cluster.dir, cluster.uid, cluster.gid), 0);
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        become_and_run("initdb", argv);
    }
    if (pid <= 0 || !ends_well(pid))
        fail_msg("initdb failed");
    cluster_start();
    return true;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
    (void)st;
    (void)what;
    (void)ftw;
    return remove(path);
}

void cluster_remove(void)
{
    if (cluster.dir[0] == '\0')
        return;
    cluster_stop(true);
    (void)nftw(cluster.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cluster.dir[0] = '\0';
}

/* ---- databases ---- */

int64_t cluster_sql(const char *name, const char *sql)
{
    PGconn *conn = dial(name);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int64_t got = 0;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    if (status == PGRES_TUPLES_OK && PQntuples(result) > 0)
        got = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    PQfinish(conn);
    return got;
}

void cluster_database(char name[64])
{
    char sql[128];

    snprintf(name, 64, "t%u", ++cluster.databases);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    (void)cluster_sql("postgres", sql);
}

void cluster_drop(const char *name)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
    (void)cluster_sql("postgres", sql);
}

struct store_postgres cluster_where(const char *name)
{
    return (struct store_postgres){.host = str_from(cluster.dir),
                                   .name = str_from(name),
                                   .user = STR("hatsize"),
                                   .patience_ms = READY_MS,
                                   .lock_patience_ms = READY_MS};
}

/*
 * Runs a fuzz target over every file of its corpus folder, so that an input once found stays a
 * regression test. An absent folder counts as empty; the empty input is always run.
 */

#include <dirent.h>
#include <errno.h>

#include "core/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path)
{
    struct buf data = BUF((size_t)1 << 24);
    FILE *file = fopen(path, "rb");

    if (!file)
        return;
    for (;;) {
        char *at = buf_reserve(&data, 4096);
        size_t n = at ? fread(at, 1, 4096, file) : 0;

        if (n == 0)
            break;
        buf_added(&data, n);
    }
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)data.ptr, data.len);
    buf_fini(&data);
}

int main(int argc, char **argv)
{
    size_t n = 0;

    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);

        if (!dir && errno == ENOTDIR) {
            replay_file(argv[i]);
            n++;
            continue;
        }
        for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            replay_file(path);
            n++;
        }
        if (dir)
            (void)closedir(dir);
    }
    printf("replayed %zu inputs\n", n);
    return 0;
}

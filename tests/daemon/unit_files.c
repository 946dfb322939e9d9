#include "../unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/files.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/hatsize-files-XXXXXX");
    log_init(LOG_OFF, LOG_TEXT, -1);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static unsigned mode_of(struct str path)
{
    char *text = str_dup(path);
    struct stat st;

    assert_int_equal(stat(text, &st), 0);
    mem_free(text);
    return st.st_mode & 0777;
}

static void keys_are_made_once(void **state)
{
    struct str path = str_printf("%s/deep/er/noise.key", folder);
    struct machine_private first, again;
    struct err err = {0};

    (void)state;
    assert_int_equal(key_file_machine(path, &first, &err), 0);
    assert_int_equal(key_file_machine(path, &again, &err), 0);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(mode_of(path), 0600);
    str_free(&path);
}

static void a_readable_key_is_refused(void **state)
{
    struct str path = str_printf("%s/open.key", folder);
    char *text = str_dup(path);
    struct machine_private key;
    struct err err = {0};

    (void)state;
    assert_int_equal(key_file_machine(path, &key, &err), 0);
    assert_int_equal(chmod(text, 0644), 0);
    assert_int_equal(key_file_machine(path, &key, &err), -ERR_DENIED);
    assert_non_null(strstr(err.text, "chmod 600"));
    mem_free(text);
    str_free(&path);
}

static void a_damaged_key_is_not_replaced(void **state)
{
    struct str path = str_printf("%s/bad.key", folder);
    struct buf after = BUF((size_t)64 << 10);
    struct machine_private key;
    struct err err = {0};
    bool found = false;

    (void)state;
    assert_int_equal(file_write_secret(path, STR("privkey:12"), &err), 0);
    assert_int_equal(key_file_machine(path, &key, &err), -ERR_INVALID);
    assert_int_equal(file_read(path, &after, &found, &err), 0);
    assert_true(found);
    assert_str(buf_str(&after), STR("privkey:12"));
    buf_fini(&after);
    str_free(&path);
}

/* Beside the server's key; what is there and is no key is not replaced. */
static void the_id_tokens_key_is_made_once(void **state)
{
    struct str beside = str_printf("%s/noise.key", folder);
    struct str path = str_printf("%s/" KEY_FILE_ID_TOKEN, folder);
    struct p256_key *first = NULL, *again = NULL;
    uint8_t x[P256_BYTES], y[P256_BYTES], x2[P256_BYTES], y2[P256_BYTES];
    struct err err = {0};

    (void)state;
    assert_int_equal(key_file_id_token(beside, &first, &err), 0);
    assert_int_equal(key_file_id_token(beside, &again, &err), 0);
    p256_key_public(first, x, y);
    p256_key_public(again, x2, y2);
    assert_memory_equal(x, x2, sizeof(x));
    assert_memory_equal(y, y2, sizeof(y));
    assert_int_equal(mode_of(path), 0600);
    p256_key_free(again);
    assert_int_equal(file_write_secret(path, STR("no key"), &err), 0);
    assert_int_equal(key_file_id_token(beside, &again, &err), -ERR_INVALID);
    assert_null(again);
    p256_key_free(first);
    str_free(&path);
    str_free(&beside);
}

static void writing_replaces_whole(void **state)
{
    struct str path = str_printf("%s/file", folder);
    struct buf got = BUF((size_t)64 << 10);
    struct err err = {0};
    bool found = true;

    (void)state;
    assert_int_equal(file_read(path, &got, &found, &err), 0);
    assert_false(found);
    assert_int_equal(file_write_secret(path, STR("long text"), &err), 0);
    assert_int_equal(file_write_secret(path, STR("short"), &err), 0);
    assert_int_equal(file_read(path, &got, &found, &err), 0);
    assert_str(buf_str(&got), STR("short"));
    assert_int_equal(mode_of(path), 0600);
    buf_fini(&got);
    str_free(&path);
}

static void a_folder_that_is_a_file_is_an_error(void **state)
{
    struct str file = str_printf("%s/notafolder", folder);
    struct str below = str_printf("%s/notafolder/key", folder);
    struct machine_private key;
    struct err err = {0};

    (void)state;
    assert_int_equal(file_write_secret(file, STR("x"), &err), 0);
    assert_true(key_file_machine(below, &key, &err) < 0);
    str_free(&file);
    str_free(&below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_once),
        cmocka_unit_test(a_readable_key_is_refused),
        cmocka_unit_test(a_damaged_key_is_not_replaced),
        cmocka_unit_test(the_id_tokens_key_is_made_once),
        cmocka_unit_test(writing_replaces_whole),
        cmocka_unit_test(a_folder_that_is_a_file_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

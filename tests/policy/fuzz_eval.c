/* Any bytes as a case: refused, or answered with one JSON object of a status, the same each time.
 */

#include "policy/eval.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ANSWER_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_bytes(data, size);
    struct buf a = BUF(ANSWER_MAX), b = BUF(ANSWER_MAX);
    struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct err err = {0};
    int first = policy_eval_case(text, &a, &err);

    ASSERT(policy_eval_case(text, &b, &err) == first);
    ASSERT(str_eq(buf_str(&a), buf_str(&b)));
    if (first == 0) {
        ASSERT(
            json_parse(arena, buf_str(&a), &(struct json_options){.max_nodes = 4000000}, &v, NULL));
        uint64_t status = json_get_u64(v, "status", 0);
        ASSERT(status == 200
                   ? json_get_array(v, "nodes") != NULL
                   : (status == 400 || status == 500) && json_get_str(v, "message").len > 0);
    } else {
        ASSERT(first == -ERR_INVALID || first == -ERR_LIMIT);
    }
    arena_free(arena);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}

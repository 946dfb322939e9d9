#pragma once

/* libfyaml 0.7 loses the tokens it had queued when some texts cannot be parsed: not ours to mend,
 * and one text a start. Included once a program. */

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

#pragma once

/*
 * What a server that has started has no more need of, given up for good: writing elsewhere than in
 * its own folders, running other programs, and the system calls that only administrators use.
 * Whoever finds a hole in it then stands in a small room.
 *
 * Kernels that lack a step are told of in the log, and we go on (docs/install.md).
 */

#include "core/str.h"

/*
 * From now on the calling thread, and each that it starts, writes only beneath these folders (and
 * in /tmp and /var/tmp), and executes no program. Folders that are not there are left out. What is
 * open stays open; reading is as before. Landlock, Linux 5.13.
 */
void sandbox_files(const struct str *folders, size_t n);
/*
 * From now on no thread of the process can trace, mount, load into the kernel, change its
 * namespaces or start programs: such calls fail with EPERM. For threads that run already, too.
 */
void sandbox_calls(void);

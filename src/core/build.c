/* Of programs that the build tells nothing; theirs is a strong symbol. */

#include "core/build.h"

__attribute__((weak)) const struct build_info build_info = {"unknown", "unknown", false};

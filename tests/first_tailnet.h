#pragma once

/* The first tailnet, as a configuration that says little makes it. */

#include "unit.h"

#include "core/str.h"
#include "tailnet/info.h"

static inline struct tailnet_info *first_tailnet(void)
{
    struct tailnet_info *info = tailnet_info_new();

    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.internal"));
    info->domain = str_copy(STR("example"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    info->magic_dns = true;
    info->ephemeral_timeout_ms = 120000;
    return info;
}

/* Files of records and relay maps: what is taken is well-formed and in order, and the same bytes
 * are taken or refused alike each time. */

#include "config/leaks.h"
#include "config/options.h"
#include "core/defs.h"
#include "ip/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int records(struct str text)
{
    struct config_records r = {0};
    struct err err = {0};
    struct ip_addr addr;
    int status = config_records_parse(STR("f"), text, &r, &err);

    ASSERT(status == 0 || err.text[0] != '\0');
    for (size_t i = 0; i < r.len; i++)
        ASSERT(r.items[i].name.len > 0 && ip_addr_parse(r.items[i].value, &addr) &&
               str_eq(r.items[i].type, addr.family == IP_V4 ? STR("A") : STR("AAAA")));
    config_records_fini(&r);
    return status;
}

static int regions(struct str text)
{
    struct config_regions r = {0};
    struct err err = {0};
    int status = config_regions_parse(STR("f"), text, &r, &err);

    ASSERT(status == 0 || err.text[0] != '\0');
    for (size_t i = 0; i < r.len; i++) {
        ASSERT(r.items[i].id > 0 && (i == 0 || r.items[i - 1].id < r.items[i].id));
        for (size_t k = 0; k < r.items[i].n_nodes; k++)
            ASSERT(r.items[i].nodes[k].host_name.len > 0);
    }
    config_regions_fini(&r);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};

    ASSERT(records(text) == records(text));
    ASSERT(regions(text) == regions(text));
    return 0;
}

/* Memory that a device may be told of by one address: zones of DPDK's, and the guest's own pool. */
#ifndef DPDK_CONTIG_ZONE_H
#define DPDK_CONTIG_ZONE_H

#include <stdbool.h>
#include <stdint.h>

struct zone {
    uint8_t *at;
    uint64_t iova;
    uint64_t len;
};

/* A zone of LEN bytes whose bus addresses follow each other; false: there is none. */
bool zone_get(struct zone *z, uint64_t len);
void zone_put(const struct zone *z);

/* All but a little of the pool that the device tree reserves for this guest, as memory of DPDK's
 * own heap "pool"; false: the guest has none. */
bool zone_of_pool(struct zone *z);

#endif

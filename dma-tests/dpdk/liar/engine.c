/*
 * A DMA engine that does not do what it is told, so that who checks it must say so: loaded before
 * DPDK (LD_PRELOAD), it changes what LIE says of each engine that starts.
 *   short   copies end a byte early       long    ... a byte late
 *   none    copies bring nothing          stuck   nothing is ever done
 */
#include <dlfcn.h>
#include <rte_dmadev.h>
#include <stdlib.h>
#include <string.h>

static rte_dma_copy_t honest_copy;
static const char *lie;

static bool lies(const char *what)
{
    return strcmp(lie, what) == 0;
}

static int copy(void *device, uint16_t channel, rte_iova_t from, rte_iova_t to, uint32_t len,
                uint64_t flags)
{
    if (lies("none")) {
        from = to;
    }
    return honest_copy(device, channel, from, to, len + lies("long") - lies("short"), flags);
}

static uint16_t never(void *device, uint16_t channel, const uint16_t most, uint16_t *last,
                      enum rte_dma_status_code *status)
{
    (void)device, (void)channel, (void)most, (void)last, (void)status;
    return 0;
}

int rte_dma_start(int16_t id)
{
    int (*start)(int16_t) = (int (*)(int16_t))dlsym(RTLD_NEXT, "rte_dma_start");
    int status = start(id);

    lie = getenv("LIE");
    honest_copy = rte_dma_fp_objs[id].copy;
    rte_dma_fp_objs[id].copy = copy;
    if (lies("stuck")) {
        rte_dma_fp_objs[id].completed_status = never;
    }
    return status;
}

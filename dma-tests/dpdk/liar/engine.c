/*
 * A DMA engine in place of DPDK's own software, loaded before DPDK (LD_PRELOAD): it gathers,
 * scatters and fills, and does not do what it is told, so that who checks it must say so.
 *
 * LIE is one of: honest, it does it; short, the last byte is left out; long, one more is written;
 * none, nothing comes; turned, pieces come in wrong order; error, it reports one; stuck, nothing is
 * ever done; twice, more is done than was asked for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <rte_dmadev.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 40u
#define ROOM 31u     /* of its ring */
#define BYTES 16384u /* of a block */

static uint16_t given, told;

static bool lies(const char *what)
{
    const char *lie = getenv("LIE");

    return lie != NULL && strcmp(lie, what) == 0;
}

static void write_to(const uint8_t *bytes, const struct rte_dma_sge *to, uint16_t count)
{
    for (uint16_t i = 0; i < count && !lies("none"); i++) {
        uint8_t *at = (uint8_t *)(uintptr_t)to[i].addr; // NOLINT(performance-no-int-to-ptr)
        bool last = i == count - 1;

        memcpy(at, bytes, to[i].length - (last && lies("short")));
        bytes += to[i].length;
        if (last && lies("long")) {
            at[to[i].length] = 0;
        }
    }
}

static int copy_sg(void *device, uint16_t channel, const struct rte_dma_sge *from,
                   const struct rte_dma_sge *to, uint16_t from_count, uint16_t to_count,
                   uint64_t flags)
{
    uint8_t bytes[BYTES];
    size_t len = 0;

    (void)device, (void)channel, (void)flags;
    if ((uint16_t)(given - told) == ROOM) {
        return -ENOSPC;
    }
    for (uint16_t i = 0; i < from_count; i++) {
        const struct rte_dma_sge *piece = &from[lies("turned") ? from_count - 1 - i : i];

        memcpy(bytes + len, (const void *)(uintptr_t)piece->addr, piece->length);
        len += piece->length;
    }
    write_to(bytes, to, to_count);
    return given++;
}

static int copy(void *device, uint16_t channel, rte_iova_t from, rte_iova_t to, uint32_t len,
                uint64_t flags)
{
    const struct rte_dma_sge source = {from, len}, place = {to, len};

    return copy_sg(device, channel, &source, &place, 1, 1, flags);
}

static int fill(void *device, uint16_t channel, uint64_t pattern, rte_iova_t to, uint32_t len,
                uint64_t flags)
{
    uint8_t bytes[BYTES];
    bool turned = lies("turned");

    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(pattern >> (i + turned) % 8 * 8);
    }
    return copy(device, channel, (uintptr_t)bytes, to, len, flags);
}

static int submit(void *device, uint16_t channel)
{
    (void)device, (void)channel;
    return 0;
}

static uint16_t completed(void *device, uint16_t channel, const uint16_t most, uint16_t *last,
                          enum rte_dma_status_code *status)
{
    uint16_t count = (uint16_t)(given - told);

    (void)device, (void)channel;
    if (lies("stuck") || count == 0) {
        return 0;
    }
    count = count < most ? count : most;
    told = (uint16_t)(told + count);
    *last = (uint16_t)(told - 1);
    for (uint16_t i = 0; i < most; i++) {
        status[i] = lies("error") ? RTE_DMA_STATUS_BUS_ERROR : RTE_DMA_STATUS_SUCCESSFUL;
    }
    return lies("twice") ? (uint16_t)(most + 1) : count;
}

int rte_dma_info_get(int16_t id, struct rte_dma_info *info)
{
    int (*get)(int16_t, struct rte_dma_info *) =
        (int (*)(int16_t, struct rte_dma_info *))dlsym(RTLD_NEXT, "rte_dma_info_get");
    int status = get(id, info);

    info->dev_capa |= RTE_DMA_CAPA_OPS_COPY_SG | RTE_DMA_CAPA_OPS_FILL;
    info->max_sges = PIECES;
    return status;
}

int rte_dma_start(int16_t id)
{
    int (*start)(int16_t) = (int (*)(int16_t))dlsym(RTLD_NEXT, "rte_dma_start");
    struct rte_dma_fp_object *calls = &rte_dma_fp_objs[id];
    int status = start(id);

    calls->copy = copy;
    calls->copy_sg = copy_sg;
    calls->fill = fill;
    calls->submit = submit;
    calls->completed_status = completed;
    return status;
}

/* An engine: see engine.h. */
#include "copy/engine.h"
#include "lib/shape.h"
#include "lib/tool.h"
#include <errno.h>
#include <rte_dmadev.h>
#include <stdio.h>
#include <string.h>

#define CHANNEL 0u

/* A call of DPDK's that must not fail. */
static int must(const struct engine *e, int status, const char *what)
{
    if (status < 0) {
        tool_cannot("engine %s: %s: %s", e->name, what, strerror(-status));
    }
    return status;
}

static int16_t find(const char *name)
{
    int id = name == NULL ? rte_dma_next_dev(0) : rte_dma_get_dev_id_by_name(name);

    if (id < 0 && name != NULL) {
        tool_cannot("there is no DMA engine '%s': EAL's own words for what there is come with "
                    "-- --log-level=lib.eal:debug",
                    name);
    }
    if (id < 0) {
        tool_cannot("no DMA engine found: give the guest one and bind it, or have DPDK copy in "
                    "software with -- --vdev=dma_skeleton --iova-mode=va --no-pci");
    }
    return (int16_t)id;
}

static uint16_t within(uint16_t value, uint16_t least, uint16_t most)
{
    return value < least ? least : value > most ? most : value;
}

static void take_info(struct engine *e, uint16_t ring)
{
    struct rte_dma_info info;

    must(e, rte_dma_info_get(e->id, &info), "it does not say what it can");
    e->name = info.dev_name;
    if ((~info.dev_capa & (RTE_DMA_CAPA_MEM_TO_MEM | RTE_DMA_CAPA_OPS_COPY)) != 0) {
        tool_cannot("engine %s copies no memory", e->name);
    }
    e->ring = within(ring, info.min_desc, info.max_desc);
    e->pieces = 1;
    if ((info.dev_capa & RTE_DMA_CAPA_OPS_COPY_SG) != 0) {
        e->pieces = within(info.max_sges, 1, SHAPE_SEGMENTS_MAX);
    }
    e->fills = (info.dev_capa & RTE_DMA_CAPA_OPS_FILL) != 0;
    e->takes_pointers = (info.dev_capa & RTE_DMA_CAPA_SVA) != 0;
}

void engine_open(struct engine *e, const char *name, uint16_t ring)
{
    const struct rte_dma_conf device = {.nb_vchans = 1};
    struct rte_dma_vchan_conf channel = {.direction = RTE_DMA_DIR_MEM_TO_MEM};

    *e = (struct engine){.id = find(name), .name = name != NULL ? name : "(the first)"};
    take_info(e, ring);
    channel.nb_desc = e->ring;
    must(e, rte_dma_configure(e->id, &device), "it takes no configuration");
    if (rte_dma_vchan_setup(e->id, CHANNEL, &channel) != 0) {
        tool_cannot("engine %s: it takes no ring of %u descriptors; often it has to be a power of "
                    "two",
                    e->name, e->ring);
    }
    must(e, rte_dma_start(e->id), "it does not start");
}

void engine_close(const struct engine *e)
{
    if (rte_dma_stop(e->id) != 0 || rte_dma_close(e->id) != 0) {
        fprintf(stderr, "%s: engine %s does not stop\n", tool_name(), e->name);
    }
}

static rte_iova_t address(const struct engine *e, const struct piece *p)
{
    return e->takes_pointers ? (rte_iova_t)(uintptr_t)p->at : p->iova;
}

static void list(const struct engine *e, const struct piece *pieces, unsigned count,
                 struct rte_dma_sge *out)
{
    for (unsigned i = 0; i < count; i++) {
        out[i] = (struct rte_dma_sge){.addr = address(e, &pieces[i]), .length = pieces[i].len};
    }
}

/* What the device makes of a copy or a fill. */
static bool taken(struct engine *e, int index)
{
    if (index == -ENOSPC) {
        e->refused++;
        return false;
    }
    must(e, index, "it takes no work");
    return true;
}

bool engine_copy(struct engine *e, const struct piece *from, unsigned from_count,
                 const struct piece *to, unsigned to_count)
{
    struct rte_dma_sge sources[SHAPE_SEGMENTS_MAX], places[SHAPE_SEGMENTS_MAX];

    if (from_count == 1 && to_count == 1) {
        return taken(e,
                     rte_dma_copy(e->id, CHANNEL, address(e, from), address(e, to), from->len, 0));
    }
    list(e, from, from_count, sources);
    list(e, to, to_count, places);
    return taken(e, rte_dma_copy_sg(e->id, CHANNEL, sources, places, (uint16_t)from_count,
                                    (uint16_t)to_count, 0));
}

bool engine_fill(struct engine *e, uint64_t pattern, const struct piece *to)
{
    return taken(e, rte_dma_fill(e->id, CHANNEL, pattern, address(e, to), to->len, 0));
}

void engine_go(const struct engine *e)
{
    must(e, rte_dma_submit(e->id, CHANNEL), "it does not begin");
}

unsigned engine_done(const struct engine *e, bool right[ENGINE_BURST])
{
    enum rte_dma_status_code status[ENGINE_BURST];
    uint16_t last;
    uint16_t count = rte_dma_completed_status(e->id, CHANNEL, ENGINE_BURST, &last, status);

    for (unsigned i = 0; i < count && i < ENGINE_BURST; i++) { /* it may say too much */
        right[i] = status[i] == RTE_DMA_STATUS_SUCCESSFUL;
    }
    return count;
}

/* See port.h. */
#include "port.h"

#include <stdio.h>

#include <rte_malloc.h>
#include <rte_mbuf.h>

static void open_ring(struct port *p)
{
    size_t bytes = RING_SIZE * sizeof(*p->ring);

    /* Aligned to its size, it crosses no border of a large page. */
    p->ring = rte_malloc_socket("ring", bytes, (unsigned)bytes, p->g->large.socket);
    must(p->ring != NULL, "no room for a ring", 0);
    p->ring_iova = iova_of(p->ring);
}

void port_open(struct port *p, struct guest *g, uint32_t id, const char *name, uint32_t drain)
{
    const struct cordon_sg_config scfg = {
        .size = sizeof(scfg), .device_id = id, .buffer_len = WIRE_BYTES};
    struct cordon_device_config cfg = {.size = sizeof(cfg), .device_id = id, .drain = drain};
    int err;

    *p = (struct port){.g = g, .id = id};
    (void)snprintf(cfg.name, sizeof(cfg.name), "%s", name);
    err = cordon_device_add(g->m->iommu, &cfg, &p->dev);
    must(err == 0, "no device", err);
    err = cordon_device_attach(g->d, p->dev, CORDON_ATTACH_OWN_VIEW);
    must(err == 0, "a device is not attached", err);
    must(cordon_sg_create(g->m->model, &scfg, &p->sg) == 0, "no engine", 0);
    p->wire = cordon_sg_buffer(p->sg);
    open_ring(p);
}

void port_reset(struct port *p)
{
    int err;

    cordon_sg_reset(p->sg, false);
    p->used = 0;
    err = cordon_device_drained(p->dev);
    must(err == 0, "a device that was reset is awaited still", err);
}

void port_close(struct port *p)
{
    int err = cordon_device_detach(p->dev);

    must(err == 0 || err == -CORDON_EPENDING, "a device stays in its guest", err);
    port_reset(p);
    err = cordon_device_remove(p->dev);
    must(err == 0, "a device is not forgotten", err);
    rte_free(p->ring);
    cordon_sg_destroy(p->sg);
}

uint32_t port_put(struct port *p, uint64_t iova, uint32_t len, bool write, uint64_t offset)
{
    uint32_t first = p->used;

    while (len != 0) {
        uint32_t room = (uint32_t)(PAGE_4K - (iova & (PAGE_4K - 1)));
        uint32_t part = len < room ? len : room;

        must(p->used < RING_SIZE, "a ring is full", 0);
        p->ring[p->used++] = (struct cordon_sg_descriptor){
            .iova = iova, .len = part, .write = write, .offset = offset};
        iova += part;
        offset += part;
        len -= part;
    }
    return first;
}

uint64_t port_put_chain(struct port *p, const struct rte_mbuf *m, bool write, uint64_t offset)
{
    for (; m != NULL; m = m->next) {
        (void)port_put(p, rte_mbuf_data_iova(m), m->data_len, write, offset);
        offset += m->data_len;
    }
    return offset;
}

int port_kick(struct port *p, uint32_t *done)
{
    uint32_t count = p->used;

    p->used = 0;
    return count != 0 ? cordon_sg_run(p->sg, p->ring_iova, count, done) : 0;
}

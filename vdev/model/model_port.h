/*
 * A software IOMMU under the host's port, for programs that have both. Its registers fill a page of
 * 4 KiB, wherever that stands.
 */
#ifndef MODEL_PORT_H
#define MODEL_PORT_H

#include <cordon/port.h>

#include "cordon_model.h"

static inline uint64_t model_port_read(void *user, uint64_t hpa, uint32_t width)
{
    return cordon_model_read(user, hpa & 0xfff, width);
}

static inline void model_port_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    cordon_model_write(user, hpa & 0xfff, width, value);
}

/* Whoever wants fences or time of his own adds them. */
static inline struct cordon_port_ops model_port(cordon_model *model)
{
    return (struct cordon_port_ops){.size = sizeof(struct cordon_port_ops),
                                    .user = model,
                                    .mmio_read = model_port_read,
                                    .mmio_write = model_port_write};
}

#endif

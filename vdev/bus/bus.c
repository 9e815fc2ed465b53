/* The bus of one guest: a short list of ranges, searched in order. */
#include "bus/bus.h"

#include <cordon/error.h>

/* Both ranges are known not to wrap. */
static bool vbus_overlaps(const struct vbus_device *a, const struct vbus_device *b)
{
    return a->gpa.v < b->gpa.v + b->len && b->gpa.v < a->gpa.v + a->len;
}

int vbus_add(struct vbus *bus, const struct vbus_device *dev)
{
    if (dev->len == 0 || dev->gpa.v + dev->len < dev->gpa.v) {
        return -CORDON_ERANGE;
    }
    if (bus->count >= VBUS_MAX_DEVICES) {
        return -CORDON_ELIMIT;
    }
    for (uint32_t i = 0; i < bus->count; i++) {
        if (vbus_overlaps(&bus->device[i], dev)) {
            return -CORDON_EEXIST;
        }
    }
    bus->device[bus->count++] = *dev;
    return 0;
}

const struct vbus_device *vbus_find(const struct vbus *bus, cordon_gpa gpa, unsigned width)
{
    bool whole = width == 1 || width == 2 || width == 4 || width == 8;

    if (!whole || (gpa.v & (width - 1)) != 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < bus->count; i++) {
        const struct vbus_device *dev = &bus->device[i];
        uint64_t offset = gpa.v - dev->gpa.v;

        if (gpa.v >= dev->gpa.v && offset < dev->len) {
            return dev->len - offset >= width ? dev : NULL;
        }
    }
    return NULL;
}

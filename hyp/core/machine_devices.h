/* Part of machine_read: interrupt files, IOMMUs, virtio, what firmware chose. */
#ifndef HYP_CORE_MACHINE_DEVICES_H
#define HYP_CORE_MACHINE_DEVICES_H

#include "core/machine.h"

/* As machine_read, once harts are known. */
CORDON_MUST_CHECK int machine_read_devices(const void *fdt, const char **what);

#endif

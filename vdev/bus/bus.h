/*
 * The bus of one guest: which emulated device answers at a guest physical address.
 *
 * A device registers one range and two functions. Accesses come decoded and checked: 1, 2, 4 or 8
 * bytes, naturally aligned, wholly inside the range. A device never blocks, never fails: what it
 * does not know reads as zero and ignores writes. Ranges are few and fixed once the guest runs.
 */
#ifndef VDEV_BUS_BUS_H
#define VDEV_BUS_BUS_H

#include <cordon/types.h>

#define VBUS_MAX_DEVICES 16u

struct vbus_device {
    cordon_gpa gpa;
    uint64_t len;
    void *state;
    uint64_t (*read)(void *state, uint64_t offset, unsigned width);
    void (*write)(void *state, uint64_t offset, unsigned width, uint64_t value);
    bool window; /* parts of it come to be mapped straight through the G-stage */
};

struct vbus {
    uint32_t count;
    struct vbus_device device[VBUS_MAX_DEVICES];
};

/* EEXIST (ranges overlap), ELIMIT, ERANGE. */
CORDON_MUST_CHECK int vbus_add(struct vbus *bus, const struct vbus_device *dev);

/* The device that holds [gpa, gpa+width), or null (none, misaligned, or sticking out). */
const struct vbus_device *vbus_find(const struct vbus *bus, cordon_gpa gpa, unsigned width);

/* How models reach what stands around them: a line into the guest's interrupt controller, a message
 * to a vCPU's interrupt file, a byte to its console. Each is safe from any hart. */
struct vdev_wire {
    void *arg;
    void (*set)(void *arg, uint32_t source, bool level);
};
struct vdev_msi {
    void *arg;
    void (*send)(void *arg, uint32_t vcpu, uint32_t identity);
};
struct vdev_sink {
    void *arg;
    void (*put)(void *arg, uint8_t byte);
};

#endif

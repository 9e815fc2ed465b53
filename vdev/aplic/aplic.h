/*
 * An APLIC: one supervisor-level domain without children, in MSI delivery mode only [AIA 4].
 *
 * 31 sources. A pending and enabled source becomes a message to a vCPU's interrupt file at once, so
 * no state waits for a vCPU. There are no interrupt delivery structures (direct mode is absent), no
 * guest index (the guest's harts lack H), no MSI address registers (machine level has them).
 */
#ifndef VDEV_APLIC_APLIC_H
#define VDEV_APLIC_APLIC_H

#include <cordon/lock.h>

#include "bus/bus.h"

#define APLIC_LEN UINT64_C(0x8000) /* bytes of address space */
#define APLIC_SOURCES 31u

struct aplic {
    struct cordon_lock lock;
    struct vdev_msi msi;
    uint32_t vcpus;
    bool enabled; /* domaincfg.IE */
    /* A bit a source; bit 0 is no source and stays 0. */
    uint32_t wire;                   /* levels of the incoming wires, as they are */
    uint32_t pending;                /* of active sources only */
    uint32_t enable;                 /* of active sources only */
    uint8_t mode[APLIC_SOURCES + 1]; /* sourcecfg.SM */
    uint32_t target[APLIC_SOURCES + 1];
    uint32_t genmsi; /* last written; never busy, for it is sent at once */
};

/* An APLIC after reset, for a guest with VCPUS vCPUs; all wires low. MSI's send gets vCPU numbers
 * below VCPUS and identities 1..2047, with the APLIC's lock held; it must not call back. */
void aplic_init(struct aplic *a, uint32_t vcpus, const struct vdev_msi *msi);

/* Drive a wire: the function of a struct vdev_wire whose ARG is the struct aplic. SOURCE 1..31;
 * another is ignored. From any hart. */
void aplic_wire_set(void *arg, uint32_t source, bool level);

/* The two functions of struct vbus_device; STATE is the struct aplic. Only naturally aligned
 * accesses of 32 bits have an effect. */
uint64_t aplic_read(void *state, uint64_t offset, unsigned width);
void aplic_write(void *state, uint64_t offset, unsigned width, uint64_t value);

#endif

/*
 * A virtio console over virtio-mmio, driven by the hypervisor itself [virtio 1.2: 2.7, 4.2, 5.3].
 *
 * Two split queues of VQ_SIZE buffers of one page each, polled. The device belongs to the
 * hypervisor and is never given to a guest; what it writes is masked or checked all the same.
 */
#ifndef HYP_CHANNEL_VIRTIO_MMIO_H
#define HYP_CHANNEL_VIRTIO_MMIO_H

#include <cordon/cordon.h>

#define VQ_SIZE 8u
#define VQ_BUFFER_BYTES 4096u

struct vq_desc {
    uint64_t address;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

struct vq_avail {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[VQ_SIZE];
    uint16_t used_event;
};

struct vq_used_elem {
    uint32_t id;
    uint32_t len;
};

struct vq_used {
    uint16_t flags;
    uint16_t index;
    struct vq_used_elem ring[VQ_SIZE];
    uint16_t avail_event;
};

/* One queue as it lies in memory: rings in the first page, buffers behind it. */
struct vq_memory {
    _Alignas(4096) struct vq_desc desc[VQ_SIZE];
    struct vq_avail avail;
    _Alignas(64) struct vq_used used;
    _Alignas(4096) uint8_t buffer[VQ_SIZE][VQ_BUFFER_BYTES];
};

struct vq {
    struct vq_memory *mem;
    cordon_hpa hpa;
    uint16_t sent;  /* buffers made available so far */
    uint16_t taken; /* used entries consumed so far */
};

struct virtio_console {
    void *cookie;
    cordon_hpa regs;
    struct vq rx, tx;
    uint8_t rx_slot; /* buffer being read */
    uint32_t rx_at, rx_len;
};

/* Bytes of zeroed, page-aligned memory that virtio_console_open wants. */
#define VIRTIO_CONSOLE_MEMORY (2 * sizeof(struct vq_memory))

/* Reset and start the device at REGS. MEM lies at HPA. Errors: ENOENT (no virtio console there),
 * ENOTSUP (a legacy one, or one that refuses our features or queue size). */
CORDON_MUST_CHECK int virtio_console_open(struct virtio_console *c, void *cookie, cordon_hpa regs,
                                          void *mem, cordon_hpa hpa);

/* Send all of DATA; waits, bounded by TIMEOUT_US a buffer, while the device is slow. ETIMEOUT: the
 * rest was not sent. */
CORDON_MUST_CHECK int virtio_console_send(struct virtio_console *c, const void *data, size_t len,
                                          uint64_t timeout_us);

/* Take what has arrived, at most LEN bytes, without waiting. */
size_t virtio_console_receive(struct virtio_console *c, void *data, size_t len);

#endif

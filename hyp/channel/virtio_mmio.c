/* A virtio console over virtio-mmio: see virtio_mmio.h. */
#include "channel/virtio_mmio.h"

#include <stdatomic.h>
#include <string.h>

/* [virtio 4.2.2] */
#define REG_MAGIC 0x000u
#define REG_VERSION 0x004u
#define REG_DEVICE_ID 0x008u
#define REG_DEVICE_FEATURES 0x010u
#define REG_DEVICE_FEATURES_SEL 0x014u
#define REG_DRIVER_FEATURES 0x020u
#define REG_DRIVER_FEATURES_SEL 0x024u
#define REG_QUEUE_SEL 0x030u
#define REG_QUEUE_NUM_MAX 0x034u
#define REG_QUEUE_NUM 0x038u
#define REG_QUEUE_READY 0x044u
#define REG_QUEUE_NOTIFY 0x050u
#define REG_STATUS 0x070u
#define REG_QUEUE_DESC 0x080u
#define REG_QUEUE_DRIVER 0x090u
#define REG_QUEUE_DEVICE 0x0a0u

#define MAGIC 0x74726976u
#define DEVICE_CONSOLE 3u
#define FEATURE_VERSION_1 (1u << 0) /* bit 32: bit 0 of the second word */

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u

#define DESC_WRITE 2u
#define QUEUE_RX 0u
#define QUEUE_TX 1u

static uint32_t reg_read(const struct virtio_console *c, uint32_t reg)
{
    return cordon_port_read32(c->cookie, cordon_hpa_add(c->regs, reg));
}

static void reg_write(const struct virtio_console *c, uint32_t reg, uint32_t value)
{
    cordon_port_write32(c->cookie, cordon_hpa_add(c->regs, reg), value);
}

static void reg_write_address(const struct virtio_console *c, uint32_t reg, uint64_t address)
{
    reg_write(c, reg, (uint32_t)address);
    reg_write(c, reg + 4, (uint32_t)(address >> 32));
}

static uint64_t vq_address(const struct vq *q, const void *member)
{
    return q->hpa.v + (uint64_t)((const uint8_t *)member - (const uint8_t *)q->mem);
}

static int vq_start(struct virtio_console *c, uint32_t number, struct vq *q)
{
    reg_write(c, REG_QUEUE_SEL, number);
    if (reg_read(c, REG_QUEUE_READY) != 0 || reg_read(c, REG_QUEUE_NUM_MAX) < VQ_SIZE) {
        return -CORDON_ENOTSUP;
    }
    for (uint32_t i = 0; i < VQ_SIZE; i++) {
        q->mem->desc[i] = (struct vq_desc){
            .address = vq_address(q, q->mem->buffer[i]),
            .len = VQ_BUFFER_BYTES,
            .flags = number == QUEUE_RX ? DESC_WRITE : 0,
        };
    }
    reg_write(c, REG_QUEUE_NUM, VQ_SIZE);
    reg_write_address(c, REG_QUEUE_DESC, vq_address(q, q->mem->desc));
    reg_write_address(c, REG_QUEUE_DRIVER, vq_address(q, &q->mem->avail));
    reg_write_address(c, REG_QUEUE_DEVICE, vq_address(q, &q->mem->used));
    reg_write(c, REG_QUEUE_READY, 1);
    return 0;
}

/* Hand buffer SLOT to the device: ring entry before index, index before notification. */
static void vq_give(struct virtio_console *c, uint32_t number, struct vq *q, uint16_t slot)
{
    q->mem->avail.ring[q->sent % VQ_SIZE] = slot;
    atomic_thread_fence(memory_order_seq_cst);
    *(volatile uint16_t *)&q->mem->avail.index = ++q->sent;
    atomic_thread_fence(memory_order_seq_cst);
    reg_write(c, REG_QUEUE_NOTIFY, number);
}

/* True when the device has finished another buffer; then *SLOT and *LEN, forced into bounds. */
static bool vq_take(struct vq *q, uint8_t *slot, uint32_t *len)
{
    if (*(volatile uint16_t *)&q->mem->used.index == q->taken) {
        return false;
    }
    atomic_thread_fence(memory_order_seq_cst);

    struct vq_used_elem used =
        *(volatile struct vq_used_elem *)&q->mem->used.ring[q->taken % VQ_SIZE];

    q->taken++;
    *slot = (uint8_t)(used.id % VQ_SIZE);
    *len = used.len <= VQ_BUFFER_BYTES ? used.len : VQ_BUFFER_BYTES;
    return true;
}

static int negotiate(struct virtio_console *c)
{
    reg_write(c, REG_STATUS, 0);
    reg_write(c, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    reg_write(c, REG_DEVICE_FEATURES_SEL, 1);
    if ((reg_read(c, REG_DEVICE_FEATURES) & FEATURE_VERSION_1) == 0) {
        return -CORDON_ENOTSUP;
    }
    reg_write(c, REG_DRIVER_FEATURES_SEL, 0);
    reg_write(c, REG_DRIVER_FEATURES, 0);
    reg_write(c, REG_DRIVER_FEATURES_SEL, 1);
    reg_write(c, REG_DRIVER_FEATURES, FEATURE_VERSION_1);
    reg_write(c, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return (reg_read(c, REG_STATUS) & STATUS_FEATURES_OK) != 0 ? 0 : -CORDON_ENOTSUP;
}

int virtio_console_open(struct virtio_console *c, void *cookie, cordon_hpa regs, void *mem,
                        cordon_hpa hpa)
{
    struct vq_memory *queues = mem;
    int err;

    *c = (struct virtio_console){
        .cookie = cookie,
        .regs = regs,
        .rx = {.mem = &queues[0], .hpa = hpa},
        .tx = {.mem = &queues[1], .hpa = cordon_hpa_add(hpa, sizeof(struct vq_memory))},
    };
    if (reg_read(c, REG_MAGIC) != MAGIC || reg_read(c, REG_DEVICE_ID) != DEVICE_CONSOLE) {
        return -CORDON_ENOENT;
    }
    if (reg_read(c, REG_VERSION) != 2) {
        return -CORDON_ENOTSUP;
    }
    err = negotiate(c);
    if (err == 0) {
        err = vq_start(c, QUEUE_RX, &c->rx);
    }
    if (err == 0) {
        err = vq_start(c, QUEUE_TX, &c->tx);
    }
    if (err != 0) {
        reg_write(c, REG_STATUS, 0);
        return err;
    }
    reg_write(c, REG_STATUS,
              STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    for (uint16_t i = 0; i < VQ_SIZE; i++) {
        vq_give(c, QUEUE_RX, &c->rx, i);
    }
    return 0;
}

/* Wait until fewer than VQ_SIZE buffers are with the device. Buffers come back in order, since the
 * device writes them out in order; the ids are not needed. */
static int tx_wait(struct virtio_console *c, uint64_t timeout_us)
{
    uint64_t start = cordon_port_time_us(c->cookie);
    uint8_t slot;
    uint32_t len;

    for (;;) {
        while ((uint16_t)(c->tx.sent - c->tx.taken) > 0 && vq_take(&c->tx, &slot, &len)) {
        }
        if ((uint16_t)(c->tx.sent - c->tx.taken) < VQ_SIZE) {
            return 0;
        }
        if (cordon_port_time_us(c->cookie) - start > timeout_us) {
            return -CORDON_ETIMEOUT;
        }
        cordon_port_relax(c->cookie);
    }
}

int virtio_console_send(struct virtio_console *c, const void *data, size_t len, uint64_t timeout_us)
{
    const uint8_t *from = data;

    while (len > 0) {
        uint32_t part = len < VQ_BUFFER_BYTES ? (uint32_t)len : VQ_BUFFER_BYTES;
        int err = tx_wait(c, timeout_us);

        if (err != 0) {
            return err;
        }

        uint16_t slot = c->tx.sent % VQ_SIZE;

        memcpy(c->tx.mem->buffer[slot], from, part);
        c->tx.mem->desc[slot].len = part;
        vq_give(c, QUEUE_TX, &c->tx, slot);
        from += part;
        len -= part;
    }
    return 0;
}

size_t virtio_console_receive(struct virtio_console *c, void *data, size_t len)
{
    uint8_t *to = data;
    size_t got = 0;

    while (got < len) {
        if (c->rx_at == c->rx_len) {
            if (c->rx_len != 0) {
                vq_give(c, QUEUE_RX, &c->rx, c->rx_slot);
                c->rx_len = 0;
            }
            c->rx_at = 0;
            if (!vq_take(&c->rx, &c->rx_slot, &c->rx_len)) {
                break;
            }
            continue;
        }

        size_t part = c->rx_len - c->rx_at < len - got ? c->rx_len - c->rx_at : len - got;

        memcpy(to + got, c->rx.mem->buffer[c->rx_slot] + c->rx_at, part);
        c->rx_at += (uint32_t)part;
        got += part;
    }
    return got;
}

/*
 * The host channel: frames of JSON or bytes between the hypervisor and a program on the host,
 * beside the console that people read.
 *
 * Frame: "CRDN", type (1 byte: 'J' JSON text, 'B' bytes), stream (1 byte), number (16 bits: one
 * more each time, also for a frame that could not be sent, so that its reader sees a gap), length
 * (32 bits, both little-endian), then that many bytes. A machine without a channel works alike;
 * frames then go nowhere.
 */
#ifndef HYP_CHANNEL_CHANNEL_H
#define HYP_CHANNEL_CHANNEL_H

#include <cordon/lock.h>

#include "channel/json.h"
#include "channel/virtio_mmio.h"

#define CHANNEL_FRAME_MAX 65536u
#define CHANNEL_TIMEOUT_US 2000000u

struct channel_header {
    char magic[4];
    uint8_t type;
    uint8_t stream;
    uint16_t number;
    uint32_t len;
};

struct channel {
    struct cordon_lock lock; /* one frame at a time */
    struct virtio_console device;
    bool open;
    uint16_t number; /* of the next frame */
};

/* A channel that is closed until channel_open succeeds. */
void channel_init(struct channel *c);
CORDON_MUST_CHECK int channel_open(struct channel *c, void *cookie, cordon_hpa regs, void *mem,
                                   cordon_hpa hpa);

/* Send one frame, whole, from any hart. A frame that times out closes the channel, since what
 * follows it could not be read; it and all later ones are lost. */
void channel_send(struct channel *c, char type, uint8_t stream, const void *data, uint32_t len);

/* End the object J and send it, as a frame of stream 0; one that did not fit counts as lost. */
void channel_send_json(struct channel *c, struct json *j);

/* Take what has come, at most LEN bytes, without waiting. For one hart at a time. */
size_t channel_receive(struct channel *c, void *data, size_t len);

/* Send and receive no more. */
void channel_close(struct channel *c);
bool channel_is_open(const struct channel *c);

#endif

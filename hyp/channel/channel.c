/* The host channel: see channel.h. */
#include "channel/channel.h"

void channel_init(struct channel *c)
{
    *c = (struct channel){0};
    cordon_lock_init(&c->lock);
}

int channel_open(struct channel *c, void *cookie, cordon_hpa regs, void *mem, cordon_hpa hpa)
{
    int err = virtio_console_open(&c->device, cookie, regs, mem, hpa);

    if (err == 0) {
        c->open = true;
    }
    return err;
}

static int send_frame(struct channel *c, const struct channel_header *head, const void *data)
{
    int err = virtio_console_send(&c->device, head, sizeof(*head), CHANNEL_TIMEOUT_US);

    return err != 0 ? err : virtio_console_send(&c->device, data, head->len, CHANNEL_TIMEOUT_US);
}

void channel_send(struct channel *c, char type, uint8_t stream, const void *data, uint32_t len)
{
    struct channel_header head = {
        .magic = {'C', 'R', 'D', 'N'}, .type = (uint8_t)type, .stream = stream, .len = len};

    cordon_assert(len <= CHANNEL_FRAME_MAX);
    cordon_lock_take(&c->lock);
    head.number = c->number++;
    if (c->open && send_frame(c, &head, data) != 0) {
        c->open = false;
    }
    cordon_lock_give(&c->lock);
}

/* The reader of the next frame sees by its number that one is missing. */
static void lose(struct channel *c)
{
    cordon_lock_take(&c->lock);
    c->number++;
    cordon_lock_give(&c->lock);
}

void channel_send_json(struct channel *c, struct json *j)
{
    json_object_end(j);
    if (j->overflow) {
        lose(c);
    } else {
        channel_send(c, 'J', 0, j->text, (uint32_t)j->len);
    }
}

size_t channel_receive(struct channel *c, void *data, size_t len)
{
    return c->open ? virtio_console_receive(&c->device, data, len) : 0;
}

void channel_close(struct channel *c)
{
    cordon_lock_take(&c->lock);
    c->open = false;
    cordon_lock_give(&c->lock);
}

bool channel_is_open(const struct channel *c)
{
    return c->open;
}

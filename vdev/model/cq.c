/* The command queue [IOMMU 4.1]. */
#include "internal.h"

#include <string.h>

/* Bits that a command may have, by word. */
#define INVAL_D0 (BITS(6, 0) | BITS(10, 7) | BITS(33, 12) | BITS(59, 44))
#define INVAL_D1 BITS(61, 10)
#define FENCE_D0 (BITS(13, 0) | BITS(63, 32))
#define FENCE_D1 BITS(61, 0)
#define DIR_D0 (BITS(9, 0) | BIT(33) | BITS(63, 40))

/* What became of a command. */
enum outcome { DONE, ILLEGAL, TIMED_OUT, FAULTED };

static void inval_first(struct cordon_model *m, const uint64_t d[2])
{
    struct cache_match match = {.by_page = (d[0] & BIT(10)) != 0,
                                .page = FIELD(d[1], 61, 10),
                                .by_pscid = (d[0] & BIT(32)) != 0,
                                .pscid = (uint32_t)FIELD(d[0], 31, 12),
                                .by_space = true,
                                .space = HOST_SPACE};

    if ((d[0] & BIT(33)) != 0) {
        match.space = (uint32_t)FIELD(d[0], 59, 44);
    }
    if (!match.by_page && !match.by_pscid) {
        cache_flush_space(&m->stage1, match.space);
    } else {
        cache_drop(&m->stage1, &match);
    }
}

static void inval_second(struct cordon_model *m, const uint64_t d[2])
{
    uint32_t space = (uint32_t)FIELD(d[0], 59, 44);

    if ((d[0] & BIT(33)) == 0) {
        cache_flush(&m->stage2);
        cache_flush(&m->tables2);
        cache_flush(&m->msi_cache);
    } else if ((d[0] & BIT(10)) == 0) {
        cache_flush_space(&m->stage2, space);
        cache_flush_space(&m->tables2, space);
        cache_flush_space(&m->msi_cache, space);
    } else {
        cache_drop_page(&m->stage2, space, FIELD(d[1], 61, 10));
        cache_drop_page(&m->msi_cache, space, FIELD(d[1], 61, 10));
    }
}

static enum outcome iotinval(struct cordon_model *m, const uint64_t d[2])
{
    bool guest = FIELD(d[0], 9, 7) == 1;

    if (FIELD(d[0], 9, 7) > 1 || (d[0] & ~INVAL_D0) != 0 || (d[1] & ~INVAL_D1) != 0 ||
        (guest && (d[0] & BIT(32)) != 0)) {
        return ILLEGAL;
    }
    if (guest) {
        inval_second(m, d);
    } else {
        inval_first(m, d);
    }
    return DONE;
}

static enum outcome iofence(struct cordon_model *m, const uint64_t d[2])
{
    uint32_t data = (uint32_t)FIELD(d[0], 63, 32);

    if (FIELD(d[0], 9, 7) != 0 || (d[0] & ~FENCE_D0) != 0 || (d[1] & ~FENCE_D1) != 0 ||
        ((d[0] & BIT(11)) != 0 && (m->fctl & FCTL_WSI) == 0)) {
        return ILLEGAL;
    }
    if (m->fail_fences != 0) {
        m->fail_fences--;
        return TIMED_OUT;
    }
    dma_fence(m, (d[0] & BIT(12)) != 0, (d[0] & BIT(13)) != 0);
    if ((d[0] & BIT(10)) != 0 && !mem_move(m, FIELD(d[1], 61, 0) << 2, &data, 4, true)) {
        return FAULTED;
    }
    if ((d[0] & BIT(11)) != 0) {
        m->cq.csr |= CSR_FENCE_W_IP;
    }
    m->stats.fences++;
    return DONE;
}

static enum outcome iodir(struct cordon_model *m, const uint64_t d[2])
{
    uint32_t device_id = (uint32_t)FIELD(d[0], 63, 40);

    /* INVAL_PDT is there to be used with process directories, which are not */
    if (FIELD(d[0], 9, 7) != 0 || (d[0] & ~DIR_D0) != 0 || d[1] != 0) {
        return ILLEGAL;
    }
    if ((d[0] & BIT(33)) == 0) {
        ddt_forget_all(m);
        return DONE;
    }
    if (FIELD(m->ddtp, 3, 0) >= MODE_1LVL && ddt_is_wide(m, device_id)) {
        return ILLEGAL;
    }
    ddt_forget(m, device_id);
    return DONE;
}

static enum outcome execute(struct cordon_model *m, const uint64_t d[2])
{
    m->stats.commands++;
    switch (FIELD(d[0], 6, 0)) {
    case 1:
        return iotinval(m, d);
    case 2:
        return iofence(m, d);
    case 3:
        return iodir(m, d);
    default:
        return ILLEGAL;
    }
}

static enum outcome fetch_and_execute(struct cordon_model *m)
{
    uint64_t d[2];
    const void *at = mem_at(m, queue_hpa(&m->cq) + 16ull * m->cq.head, 16);

    if (m->fail_fetches != 0 || at == NULL) {
        m->fail_fetches -= m->fail_fetches != 0;
        return FAULTED;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    memcpy(d, at, sizeof(d));
    return execute(m, d);
}

uint32_t cq_run(struct cordon_model *m, uint32_t count)
{
    static const uint64_t errors[] = {0, CSR_CMD_ILL, CSR_CMD_TO, CSR_MF};
    uint32_t mask = queue_entries(&m->cq) - 1;
    uint32_t done = 0;

    while (done < count && (m->cq.csr & CSR_ON) != 0 && (m->cq.csr & CQ_ERRORS) == 0 &&
           m->cq.head != m->cq.tail) {
        enum outcome outcome = fetch_and_execute(m);

        m->cq.csr |= (uint32_t)errors[outcome];
        if (outcome == DONE) {
            m->cq.head = (m->cq.head + 1) & mask;
            done++;
        }
    }
    irq_update(m, 0);
    return done;
}

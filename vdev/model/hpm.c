/* Performance counters [IOMMU 5.19 to 5.23]: few and narrow, so that software meets their ends. A
 * walk is counted for each word that it reads; what debug registers ask is not counted. */
#include "internal.h"

#define COUNTER BITS(HPM_WIDTH - 1, 0)
/* Events that a GSCID or PSCID can select; the others are not counted with IDT. */
#define BY_SPACE (BIT(HPM_TLB_MISS) | BIT(HPM_FIRST_WALK) | BIT(HPM_SECOND_WALK))
#define KNOWN (BY_SPACE | BIT(HPM_UNTRANSLATED) | BIT(HPM_DDT_WALK))

uint64_t hpm_read(const struct cordon_model *m, uint32_t start)
{
    const struct hpm *h = &m->hpm;
    uint64_t overflows = h->cycles >> 63;

    if ((m->cap & CAP_HPM) == 0) {
        return 0;
    }
    if (start == R_IOCOUNTINH) {
        return h->inhibit;
    }
    if (start == R_IOHPMCYCLES) {
        return h->cycles;
    }
    if (start == R_IOCOUNTOVF) {
        for (uint32_t i = 0; i < HPM_NUMBER; i++) {
            overflows |= (h->event[i] >> 63) << (i + 1);
        }
        return overflows;
    }
    if (start >= R_IOHPMEVT) {
        return start < R_IOHPMEVT + 8 * HPM_NUMBER ? h->event[(start - R_IOHPMEVT) / 8] : 0;
    }
    return start < R_IOHPMCTR + 8 * HPM_NUMBER ? h->counter[(start - R_IOHPMCTR) / 8] : 0;
}

void hpm_write(struct cordon_model *m, uint32_t start, uint64_t value)
{
    struct hpm *h = &m->hpm;

    if ((m->cap & CAP_HPM) == 0) {
        return;
    }
    if (start == R_IOCOUNTINH) {
        h->inhibit = (uint32_t)(value & BITS(HPM_NUMBER, 0));
    } else if (start == R_IOHPMCYCLES) {
        h->cycles = value;
    } else if (start >= R_IOHPMEVT && start < R_IOHPMEVT + 8 * HPM_NUMBER) {
        uint64_t event = FIELD(value, 14, 0);

        if (event > HPM_SECOND_WALK || (KNOWN >> event & 1) == 0) {
            value &= ~BITS(14, 0); /* WARL */
        }
        h->event[(start - R_IOHPMEVT) / 8] = value;
    } else if (start >= R_IOHPMCTR && start < R_IOHPMCTR + 8 * HPM_NUMBER) {
        h->counter[(start - R_IOHPMCTR) / 8] = value & COUNTER;
    }
}

/* Does the selector SELECT mean this event, of this device and context? Requests with process ids
 * are not known here. */
static bool is_meant(const struct cordon_model *m, uint64_t select, uint32_t event,
                     const struct dc *dc)
{
    bool by_space = (select & EVT_IDT) != 0;
    uint64_t want = FIELD(select, 59, 36);
    uint64_t any = (select & EVT_DMASK) != 0 ? want ^ (want + 1) : 0;

    if (FIELD(select, 14, 0) != event || (by_space && (BY_SPACE >> event & 1) == 0)) {
        return false;
    }
    if ((select & EVT_PV_PSCV) != 0 &&
        (!by_space || dc->s_levels == 0 || dc->pscid != FIELD(select, 35, 16))) {
        return false;
    }
    if ((select & EVT_DV_GSCV) == 0) {
        return true;
    }
    if (by_space && dc->space == HOST_SPACE) {
        return false;
    }
    return (((by_space ? dc->space : m->hpm.device_id) ^ want) & ~any) == 0;
}

void hpm_count(struct cordon_model *m, uint32_t event, const struct dc *dc)
{
    struct hpm *h = &m->hpm;
    uint32_t left = h->quiet ? 0 : ~h->inhibit & (uint32_t)BITS(HPM_NUMBER, 1);

    h->cycles += (h->inhibit & 1) == 0;
    for (; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left) - 1;

        if (!is_meant(m, h->event[i], event, dc)) {
            continue;
        }
        h->counter[i] = (h->counter[i] + 1) & COUNTER;
        if (h->counter[i] == 0 && (h->event[i] & EVT_OF) == 0) {
            h->event[i] |= EVT_OF;
            irq_update(m, IPSR_PMIP);
        }
    }
}

/* The harts: what each can do, found out by asking it. */
#include "core/hart.h"

#include <cordon/cordon.h>

#include "aia/imsic.h"
#include "config/isa.h"
#include "core/cbo.h"
#include "core/console.h"
#include "core/hart_init.h"
#include "core/machine.h"
#include "core/trap.h"

_Static_assert(offsetof(struct hart, vcpu) == HART_VCPU, "hart_offsets.h");
_Static_assert(offsetof(struct hart, emergency) == HART_EMERGENCY, "hart_offsets.h");

/* A guest's cbo.inval works as cbo.flush: to drop a line would let memory show what it held
 * before it was scrubbed. So would a page that is not cached: PBMTE comes only with what cbo.h
 * asks for. */
#define HENVCFG_WANTED                                                                 \
    (HENVCFG_STCE | HENVCFG_CBIE_FLUSH | HENVCFG_CBCFE | HENVCFG_CBZE | HENVCFG_ADUE | \
     HENVCFG_PBMTE)
#define COUNTERS_WANTED UINT64_C(7) /* cycle, time, instret */
#define HSTATEEN0_WANTED                                                                     \
    (HSTATEEN0_SE0 | HSTATEEN0_ENVCFG | HSTATEEN0_CSRIND | HSTATEEN0_AIA | HSTATEEN0_IMSIC | \
     HSTATEEN0_CONTEXT)

struct hart harts[HART_MAX];
uint32_t hart_count;

/* Which modes and how many VMID bits hgatp takes [Priv 18.2.10]. */
static void probe_hgatp(struct hart *hart)
{
    static const struct {
        uint64_t mode;
        uint32_t bit;
    } modes[] = {{HGATP_MODE_SV39X4, CORDON_MODE_SV39X4},
                 {HGATP_MODE_SV48X4, CORDON_MODE_SV48X4},
                 {HGATP_MODE_SV57X4, CORDON_MODE_SV57X4}};

    for (unsigned i = 0; i < 3; i++) {
        csr_write(CSR_HGATP, modes[i].mode | HGATP_VMID_MASK << HGATP_VMID_SHIFT);
        if ((csr_read(CSR_HGATP) & SATP_MODE) == modes[i].mode) {
            uint64_t vmid = csr_read(CSR_HGATP) >> HGATP_VMID_SHIFT & HGATP_VMID_MASK;

            hart->gstage_modes |= modes[i].bit;
            hart->vmid_bits = (uint32_t)__builtin_popcountll(vmid);
        }
    }
    csr_write(CSR_HGATP, 0);
    hart_fence_gstage();
}

/* Guest interrupt files: as many as hgeie has bits for, and as the pages of the hart hold. */
static void probe_guest_files(struct hart *hart)
{
    uint64_t bits;
    uint32_t pages = (1u << machine.imsic.guest_bits) - 1;

    csr_write(CSR_HGEIE, UINT64_MAX);
    bits = csr_swap(CSR_HGEIE, 0);
    hart->guest_files = (uint32_t)__builtin_popcountll(bits & ~UINT64_C(1));
    if (hart->guest_files > pages) {
        hart->guest_files = pages;
    }
}

/* Bits that can be set, of those that guests may get. */
static void probe_enables(struct hart *hart)
{
    uint64_t ignored;

    csr_write(CSR_HENVCFG, HENVCFG_WANTED);
    hart->henvcfg = csr_swap(CSR_HENVCFG, 0);
    hart->counters = COUNTEREN_TIME;
    if (csr_try_read(CSR_CYCLE, &ignored) && csr_try_read(CSR_INSTRET, &ignored)) {
        hart->counters = COUNTERS_WANTED;
    }
    if (csr_try_write(CSR_HSTATEEN0, HSTATEEN0_WANTED)) {
        (void)csr_try_read(CSR_HSTATEEN0, &hart->hstateen0);
        (void)csr_try_write(CSR_HSTATEEN0, 0);
    }
}

/* What guests need and this hart lacks, in words; null if it has all. */
static const char *missing(const struct hart *hart)
{
    uint64_t ignored;

    if (!csr_try_read(CSR_HGATP, &ignored)) {
        return "the hypervisor extension (H)";
    }
    if (!machine_isa_has("sstc") || !csr_try_read(CSR_VSTIMECMP, &ignored)) {
        return "supervisor timer compare (Sstc)";
    }
    if (!csr_try_read(CSR_VSISELECT, &ignored)) {
        return "the advanced interrupt architecture (AIA) with an IMSIC";
    }
    return hart->imsic_page == NULL ? "an IMSIC interrupt file" : NULL;
}

void hart_common(struct hart_abilities *out)
{
    *out = (struct hart_abilities){UINT32_MAX, UINT32_MAX, UINT64_MAX, COUNTERS_WANTED, 0, 0};
    for (uint32_t i = 0; i < hart_count; i++) {
        const struct hart *h = &harts[i];

        if (atomic_load(&h->online) != HART_READY) {
            continue;
        }
        out->harts++;
        out->gstage_modes &= h->gstage_modes;
        out->vmid_bits = h->vmid_bits < out->vmid_bits ? h->vmid_bits : out->vmid_bits;
        out->henvcfg &= h->henvcfg;
        out->counters &= h->counters;
    }
    out->henvcfg &= flush_block != 0 ? UINT64_MAX : ~HENVCFG_PBMTE;
    out->needs = ISA_NEED_FP | ISA_NEED_VECTOR | ISA_NEED_AIA |
                 (out->counters == COUNTERS_WANTED ? ISA_NEED_COUNTERS : 0) |
                 ((out->henvcfg & HENVCFG_STCE) ? ISA_NEED_STCE : 0) |
                 ((out->henvcfg & HENVCFG_CBCFE) ? ISA_NEED_CBCFE : 0) |
                 ((out->henvcfg & HENVCFG_CBIE_FLUSH) ? ISA_NEED_CBI_FLUSH : 0) |
                 ((out->henvcfg & HENVCFG_CBZE) ? ISA_NEED_CBZE : 0) |
                 ((out->henvcfg & HENVCFG_ADUE) ? ISA_NEED_ADUE : 0) |
                 ((out->henvcfg & HENVCFG_PBMTE) ? ISA_NEED_PBMTE : 0);
}

bool hart_init_here(struct hart *hart)
{
    const char *lacks;

    csr_write(CSR_SIE, 0);
    (void)csr_try_write(CSR_STIMECMP, UINT64_MAX);
    if (imsic_init_here(hart) == 0) {
        csr_write(CSR_SIE, IRQ_SEI | IRQ_STI);
    }
    cbo_probe_here(hart);
    lacks = zero_block > hart->zero_bytes     ? "cbo.zero, which the others use"
            : flush_block > hart->flush_bytes ? "cbo.flush, which the others use"
                                              : missing(hart);
    if (lacks != NULL) {
        log_line("hart %lu: lacks %s: no guest can run on it", hart->id, lacks);
        return false;
    }
    probe_hgatp(hart);
    probe_guest_files(hart);
    probe_enables(hart);
    lacks = hart->gstage_modes == 0           ? "a G-stage mode that we know"
            : hart->guest_files == 0          ? "guest interrupt files (QEMU: -M virt,aia-guests=4)"
            : !(hart->henvcfg & HENVCFG_STCE) ? "Sstc for guests (henvcfg.STCE)"
                                              : NULL;
    if (lacks != NULL) {
        log_line("hart %lu: lacks %s: no guest can run on it", hart->id, lacks);
    }
    return lacks == NULL;
}

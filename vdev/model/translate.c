/* A request, from its IOVA to where it goes or why not [IOMMU 2.3]. */
#include "internal.h"

uint32_t cause_of(enum walk_end end, uint32_t access, bool guest)
{
    uint32_t kind = 1; /* read; 0 exec and 3 write, as the causes are spaced */

    if ((access & CORDON_MODEL_WRITE) != 0) {
        kind = 3;
    } else if ((access & CORDON_MODEL_EXEC) != 0) {
        kind = 0;
    }
    if (end == WALK_ACCESS) {
        static const uint32_t causes[] = {CAUSE_INSN_ACCESS, CAUSE_READ_ACCESS, 0,
                                          CAUSE_WRITE_ACCESS};
        return causes[kind];
    }
    return (guest ? CAUSE_INSN_GUEST : CAUSE_INSN_PAGE) + kind;
}

static uint32_t ttyp_of(uint32_t access)
{
    if ((access & CORDON_MODEL_WRITE) != 0) {
        return 3;
    }
    return (access & CORDON_MODEL_EXEC) != 0 ? 1 : 2;
}

static void target_fill(struct cordon_model_target *t, uint64_t address, const struct leaf *leaf,
                        uint32_t shift, bool is_msi)
{
    uint64_t within = BIT(12 + leaf->shift) - 1;

    *t = (struct cordon_model_target){
        .hpa = ((leaf->ppn << 12) & ~within) | (address & within),
        .page_shift = 12 + shift,
        .is_msi = is_msi,
        .pbmt = leaf->pbmt,
    };
}

/* Both stages; F tells what stopped it. */
static void stages(struct cordon_model *m, const struct dc *dc,
                   const struct cordon_model_request *r, bool quiet,
                   struct cordon_model_target *out, struct fault *f)
{
    struct leaf first = {.shift = 52}, leaf;
    uint64_t gpa = r->iova;
    enum walk_end end;

    if (dc->s_levels != 0) {
        uint64_t within;

        end = walk_first(m, dc, r->iova, r->access, !quiet, &first, f);
        if (end != WALK_OK) {
            f->cause = cause_of(end, r->access, f->iotval2 != 0);
            return;
        }
        within = BIT(12 + first.shift) - 1;
        gpa = ((first.ppn << 12) & ~within) | (r->iova & within);
    }
    if (msi_matches(dc, gpa)) {
        f->cause = msi_translate(m, dc, gpa, r->access, !quiet, &leaf);
        if (f->cause == 0) {
            leaf.pbmt = first.pbmt;
            target_fill(out, gpa, &leaf, 0, true);
        }
        return;
    }
    end = walk_second(m, dc, gpa, r->access, !quiet, &leaf);
    if (end != WALK_OK) {
        f->cause = cause_of(end, r->access, true);
        f->iotval2 = end == WALK_PAGE ? gpa & ~3ull : 0;
        return;
    }
    if (dc->g_levels == 0 && dc->s_levels != 0) {
        leaf.pbmt = first.pbmt;
        target_fill(out, gpa, &leaf, first.shift, false);
        return;
    }
    target_fill(out, gpa, &leaf, first.shift < leaf.shift ? first.shift : leaf.shift, false);
    out->pbmt = first.pbmt != 0 ? first.pbmt : leaf.pbmt;
}

/* With DTF set, these alone are told. */
static bool is_always_told(uint32_t cause)
{
    return (cause >= CAUSE_ALL_INBOUND && cause <= CAUSE_DDT_MISCONFIGURED) ||
           cause == CAUSE_DDT_CORRUPT || cause == CAUSE_INTERNAL || cause == CAUSE_MSI_WRITE;
}

/* The context's part: false if F says why not, or OUT is already written (Bare). */
static bool context_of(struct cordon_model *m, const struct cordon_model_request *r, bool quiet,
                       struct dc *spare, const struct dc **dc, struct fault *f)
{
    if (ddt_is_wide(m, r->device_id)) {
        f->cause = CAUSE_TYPE_DISALLOWED;
        return false;
    }
    f->cause = ddt_find(m, r->device_id, !quiet, spare, dc);
    if (f->cause == 0 && r->has_process != 0 && ((*dc)->tc & TC_PDTV) == 0) {
        f->cause = CAUSE_TYPE_DISALLOWED;
    }
    return f->cause == 0;
}

static void tell(struct cordon_model *m, const struct cordon_model_request *r, const struct dc *dc,
                 const struct fault *f)
{
    m->stats.faults++;
    if (dc != NULL && (dc->tc & TC_DTF) != 0 && !is_always_told(f->cause)) {
        m->stats.suppressed++;
    } else {
        fq_report(m, r, ttyp_of(r->access), f);
    }
}

uint32_t access_refused(struct cordon_model *m, const struct cordon_model_request *r)
{
    struct fault f = {cause_of(WALK_ACCESS, r->access, false), 0};
    const struct dc *dc = NULL;
    struct dc spare;

    if (FIELD(m->ddtp, 3, 0) >= MODE_1LVL && ddt_find(m, r->device_id, false, &spare, &dc) != 0) {
        dc = NULL;
    }
    tell(m, r, dc, &f);
    return f.cause;
}

uint32_t translate(struct cordon_model *m, const struct cordon_model_request *r, bool quiet,
                   struct cordon_model_target *out)
{
    uint64_t mode = FIELD(m->ddtp, 3, 0);
    const struct dc *dc = NULL;
    struct fault f = {0, 0};
    struct dc spare;

    m->stats.translations++;
    m->hpm.device_id = r->device_id;
    m->hpm.quiet = quiet;
    hpm_count(m, HPM_UNTRANSLATED, NULL);
    if (mode == MODE_BARE) {
        struct leaf leaf = {.ppn = r->iova >> 12};

        target_fill(out, r->iova, &leaf, 0, false);
        return 0;
    }
    if (mode == MODE_OFF) {
        f.cause = CAUSE_ALL_INBOUND;
    } else if (context_of(m, r, quiet, &spare, &dc, &f)) {
        uint64_t walks = m->stats.walks;

        stages(m, dc, r, quiet, out, &f);
        if (m->stats.walks != walks) {
            hpm_count(m, HPM_TLB_MISS, dc);
        }
    }
    if (f.cause != 0 && !quiet) {
        tell(m, r, dc, &f);
    }
    return f.cause;
}

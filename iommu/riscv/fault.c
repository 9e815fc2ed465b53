/* Faults decoded and made reports: see fault.h. */
#include "riscv/fault.h"

/* [IOMMU 3.2, table of TTYP] */
enum fault_ttyp {
    TTYP_EXEC = 1,
    TTYP_READ = 2,
    TTYP_WRITE = 3,
    TTYP_TRANSLATED_EXEC = 5,
    TTYP_TRANSLATED_READ = 6,
    TTYP_TRANSLATED_WRITE = 7
};

struct fault_cause {
    uint32_t cause;
    uint32_t access; /* what the cause says of the access, 0: nothing */
    const char *name;
};

/* [IOMMU 3.2, table of causes] */
static const struct fault_cause causes[] = {
    {1, CORDON_EXEC, "instruction access fault"},
    {4, CORDON_READ, "load address misaligned"},
    {5, CORDON_READ, "load access fault"},
    {6, CORDON_WRITE, "store address misaligned"},
    {7, CORDON_WRITE, "store access fault"},
    {12, CORDON_EXEC, "instruction page fault"},
    {13, CORDON_READ, "load page fault"},
    {15, CORDON_WRITE, "store page fault"},
    {20, CORDON_EXEC, "instruction guest-page fault"},
    {21, CORDON_READ, "load guest-page fault"},
    {23, CORDON_WRITE, "store guest-page fault"},
    {256, 0, "all inbound transactions disallowed"},
    {257, 0, "device directory not readable"},
    {258, 0, "no valid device context"},
    {259, 0, "device context misconfigured"},
    {260, 0, "transaction type disallowed"},
    {261, 0, "MSI table not readable"},
    {262, 0, "no valid MSI table entry"},
    {263, 0, "MSI table entry misconfigured"},
    {264, 0, "interrupt file in memory not accessible"},
    {265, 0, "process directory not readable"},
    {266, 0, "no valid process context"},
    {267, 0, "process context misconfigured"},
    {268, 0, "device directory corrupted"},
    {269, 0, "process directory corrupted"},
    {270, 0, "MSI table corrupted"},
    {271, 0, "interrupt file in memory corrupted"},
    {272, 0, "internal error of the data path"},
    {273, 0, "the IOMMU's own MSI could not be written"},
    {274, 0, "page table corrupted"},
};

static const struct fault_cause *fault_cause_find(uint32_t cause)
{
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (causes[i].cause == cause) {
            return &causes[i];
        }
    }
    return NULL;
}

const char *cordon_cause_name(uint32_t cause)
{
    const struct fault_cause *found = fault_cause_find(cause);

    return found != NULL ? found->name : "unknown cause";
}

static uint32_t fault_access(uint32_t cause, uint64_t ttyp)
{
    const struct fault_cause *found = fault_cause_find(cause);

    if (found != NULL && found->access != 0) {
        return found->access;
    }
    switch (ttyp) {
    case TTYP_EXEC:
    case TTYP_TRANSLATED_EXEC:
        return CORDON_EXEC;
    case TTYP_READ:
    case TTYP_TRANSLATED_READ:
        return CORDON_READ;
    case TTYP_WRITE:
    case TTYP_TRANSLATED_WRITE:
        return CORDON_WRITE;
    default:
        return 0;
    }
}

struct fault_report fault_decode(const uint64_t record[FR_WORDS])
{
    uint64_t head = record[FR_WORD_HEAD];
    uint64_t iova = record[FR_WORD_IOTVAL];
    uint32_t cause = (uint32_t)field_get(FR_CAUSE, head);

    return (struct fault_report){
        .device_id = (uint32_t)field_get(FR_DID, head),
        .cause = cause,
        .access = fault_access(cause, field_get(FR_TTYP, head)),
        .first = iova,
        .low = iova,
        .high = iova,
        .count = 1,
    };
}

static struct fault_report *fault_log_at(struct fault_log *log, uint32_t age)
{
    return &log->report[(log->first + age) % FAULT_REPORTS];
}

static bool fault_same_kind(const struct fault_report *a, const struct fault_report *b)
{
    return a->device_id == b->device_id && a->cause == b->cause && a->access == b->access &&
           a->domain == b->domain;
}

/* The page of ONE is in REPORT's span of pages, or next to it. */
static bool fault_touches(const struct fault_report *report, const struct fault_report *one)
{
    uint64_t page = one->first >> CORDON_PAGE_SHIFT;

    return page + 1 >= report->low >> CORDON_PAGE_SHIFT &&
           page <= (report->high >> CORDON_PAGE_SHIFT) + 1;
}

static void fault_merge(struct fault_report *report, const struct fault_report *one)
{
    if (one->low < report->low) {
        report->low = one->low;
    }
    if (one->high > report->high) {
        report->high = one->high;
    }
    report->count += one->count;
}

bool fault_log_add(struct fault_log *log, const struct fault_report *one)
{
    struct fault_report *same_kind = NULL;
    uint32_t of_device = 0;

    for (uint32_t age = log->used; age-- > 0;) { /* newest first */
        struct fault_report *report = fault_log_at(log, age);

        if (fault_same_kind(report, one)) {
            if (fault_touches(report, one)) {
                fault_merge(report, one);
                return true;
            }
            same_kind = same_kind != NULL ? same_kind : report;
        }
        of_device += report->device_id == one->device_id;
    }
    if (of_device < FAULT_REPORTS_PER_DEVICE && log->used < FAULT_REPORTS) {
        *fault_log_at(log, log->used) = *one;
        log->used++;
        return true;
    }
    if (same_kind == NULL) {
        return false;
    }
    fault_merge(same_kind, one);
    return true;
}

bool fault_log_take(struct fault_log *log, struct fault_report *out)
{
    if (log->used == 0) {
        return false;
    }
    *out = *fault_log_at(log, 0);
    log->first = (log->first + 1) % FAULT_REPORTS;
    log->used--;
    return true;
}

/*
 * Faults as people ask for them: records decoded, and equal or neighbouring ones made one report.
 *
 * A report stands for records of one device, domain, cause and kind of access whose pages touch
 * each other. A device that floods has at most FAULT_REPORTS_PER_DEVICE of them; then its records
 * go into one it has, with a wider span, or are counted as suppressed, so that the next one's are
 * still kept.
 */
#ifndef CORDON_RISCV_FAULT_H
#define CORDON_RISCV_FAULT_H

#include "core/bits.h"
#include <cordon/device.h>

#define FAULT_REPORTS 64u
#define FAULT_REPORTS_PER_DEVICE 8u

/* [IOMMU 3.2] fault record: four words */
#define FR_CAUSE GENMASK64(11, 0)
#define FR_TTYP GENMASK64(39, 34)
#define FR_DID GENMASK64(63, 40)
enum fault_word { FR_WORD_HEAD = 0, FR_WORD_CUSTOM = 1, FR_WORD_IOTVAL = 2, FR_WORD_IOTVAL2 = 3 };
#define FR_WORDS 4u

struct fault_report {
    uint32_t device_id;
    uint32_t domain; /* the device's at the time, 0: none */
    uint32_t cause;
    uint32_t access;
    uint64_t first; /* IOVA of the first record */
    uint64_t low, high;
    uint64_t count;
};

/* Oldest first: used entries from FIRST on, around the end. */
struct fault_log {
    uint32_t first;
    uint32_t used;
    struct fault_report report[FAULT_REPORTS];
};

/* What a record says. DOMAIN stays 0. */
struct fault_report fault_decode(const uint64_t record[FR_WORDS]);

/* Keep a record; false: there was no room. */
bool fault_log_add(struct fault_log *log, const struct fault_report *one);
/* Remove the oldest report; false: there is none. */
bool fault_log_take(struct fault_log *log, struct fault_report *out);

#endif

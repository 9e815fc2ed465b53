/*
 * Work on cache blocks [Unprivileged, CMO]: zeroing whole pages (cbo.zero), and flushing memory out
 * of the caches (cbo.flush). Tried on each hart, not believed: menvcfg.CBZE and CBCFE are the
 * firmware's [Priv 3.1.18].
 */
#ifndef HYP_CORE_CBO_H
#define HYP_CORE_CBO_H

#include <stdint.h>

struct hart;

/* Try them on this hart, on memory of ours: HART's zero_bytes is the size of the block that one
 * cbo.zero cleared, its flush_bytes that of the block on which cbo.flush works by the device tree;
 * 0 where it has none or no use. */
void cbo_probe_here(struct hart *hart);

/* All harts that will come have been probed: from now on it is done as all of them can. */
void cbo_choose(void);

/* What was chosen: bytes that one cbo.zero clears, 0: pages are zeroed by stores. memset looks. */
extern uint64_t zero_block;

/* The same of cbo.flush. 0: no guest may read past the caches (henvcfg.PBMTE), for what it must not
 * find in memory would not have been flushed. */
extern uint32_t flush_block;

/* LEN bytes from AT on, whole blocks, are in no cache and in memory before all that comes later. */
void flush_memory(const void *at, uint64_t len);

#endif

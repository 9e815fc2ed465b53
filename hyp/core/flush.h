/*
 * Flushing memory out of the caches, by block (cbo.flush) [Unprivileged, CMO; Priv 3.1.18:
 * menvcfg.CBCFE is the firmware's]. Where harts have Svpbmt and every one can flush, guests may
 * read past the caches (henvcfg.PBMTE): what they must not find there is flushed first, as the
 * layer asks.
 */
#ifndef HYP_CORE_FLUSH_H
#define HYP_CORE_FLUSH_H

#include <stdint.h>

struct hart;

/* Try cbo.flush on this hart: HART's flush_bytes is the size of the block that the device tree
 * says, or 0 where it has no use or is illegal. */
void flush_probe_here(struct hart *hart);

/* All harts that will come have been probed. */
void flush_choose(void);

/* What was chosen: bytes that one cbo.flush works on, 0: no guest may read past the caches. */
extern uint32_t flush_block;

/* LEN bytes from AT on, whole blocks, are in no cache and in memory before all that comes later. */
void flush_memory(const void *at, uint64_t len);

#endif

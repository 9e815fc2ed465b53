/* Pages given back to Cordon and taken again, with DMA going on. */
#ifndef GUEST_HOLES_H
#define GUEST_HOLES_H

#include "lib/own.h"
#include "lib/waves.h"

/* Each prints one line, CORDON-ROGUE and its own name. */

/* Give the page of our own that stands at GPA back: one that the kernel was told to leave alone, or
 * one that we can obtain. A hole is there afterwards. */
void hole_make(const struct own *own, const char *name, uint64_t gpa);

/* Give a page back while every worker's DMA to it is on its way, then try again. The line says by
 * pending=MASK whose transfer had provably not happened when the page was gone: nothing of LATE of
 * theirs may ever be seen in what was its frame. Worker n writes the n-th 256 bytes. */
void hole_giveback(const struct own *own, struct worker *w, size_t workers, const char *name);

/* Take the page back that stood there: it must be zeros, and ours for DMA. */
void hole_take(const struct own *own, struct worker *w, uint64_t gpa);

/* Take all back: the kernel gets its pages again whole. */
void hole_take_all(const struct own *own);

#endif

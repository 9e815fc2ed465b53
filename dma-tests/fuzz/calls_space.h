/* The public calls of spaces: trees, slots, and questions to them. */
#ifndef DMA_TESTS_FUZZ_CALLS_SPACE_H
#define DMA_TESTS_FUZZ_CALLS_SPACE_H

#include "fuzz.h"

/* One of them, as the input says. */
void call_space(struct input *in);

#endif

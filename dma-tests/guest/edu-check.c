/*
 * edu-check: honest DMA. Every edu function of this guest copies a page of ours to its buffer and
 * back to another page; the bytes must be the same. Prints one line; exit status 0 when all is
 * well.
 */
#include "lib/edu.h"
#include "lib/memory.h"

#include <stdio.h>
#include <string.h>

static void fill(uint8_t *at, unsigned salt)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        at[i] = (uint8_t)(i * 31 + (i >> 8) + salt);
    }
}

int main(void)
{
    struct edu edu[EDU_MAX];
    struct page from[EDU_MAX], to[EDU_MAX];
    size_t count = edu_open(edu, EDU_MAX), good = 0;

    for (size_t i = 0; i < count; i++) {
        from[i] = page_get();
        to[i] = page_get();
        fill(from[i].at, (unsigned)i);
        edu_fetch(&edu[i], from[i].gpa, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        edu_store(&edu[i], to[i].gpa, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        edu_wait(&edu[i]);
        good += memcmp(from[i].at, to[i].at, PAGE_BYTES) == 0;
    }
    printf("CORDON-EDU devices=%zu good=%zu\n", count, good);
    return good == count ? 0 : 1;
}

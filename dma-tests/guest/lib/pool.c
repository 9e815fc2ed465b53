/* The contiguous pool, sampled by DMA both ways: see pool.h. */
#include "lib/pool.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP 128u /* pages between samples */
#define SALT_OUT 0x11u
#define SALT_IN 0x5bu

struct pool {
    volatile uint8_t *at;
    uint64_t gpa;
    uint64_t pages;
};

static uint8_t pool_byte(uint64_t page, unsigned i, unsigned salt)
{
    return (uint8_t)(i * 31 + (i >> 8) + page * 7 + salt);
}

/* Word by word: what /dev/mem maps need not be ordinary memory. */
static void put_page(volatile uint8_t *at, uint64_t page, unsigned salt)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        at[i] = pool_byte(page, i, salt);
    }
}

static bool is_page(const volatile uint8_t *at, uint64_t page, unsigned salt)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        if (at[i] != pool_byte(page, i, salt)) {
            return false;
        }
    }
    return true;
}

/* The n-th page that is sampled; the last one closes the list. */
static uint64_t sample(const struct pool *p, uint64_t n)
{
    return n * STEP < p->pages ? n * STEP : p->pages - 1;
}

/* Out of the pool, through the device, to a page of our own. */
static unsigned copy_out(struct worker *w, size_t count, const struct pool *p, uint64_t first)
{
    unsigned good = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t page = sample(p, first + i);

        put_page(p->at + page * PAGE_BYTES, page, SALT_OUT);
        edu_fetch(&w[i].edu, p->gpa + page * PAGE_BYTES, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        memset(w[i].to.at, 0, PAGE_BYTES);
        edu_store(&w[i].edu, w[i].to.gpa, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        edu_wait(&w[i].edu);
        good += is_page(w[i].to.at, sample(p, first + i), SALT_OUT);
    }
    return good;
}

/* From a page of our own, through the device, into the pool. */
static unsigned copy_in(struct worker *w, size_t count, const struct pool *p, uint64_t first)
{
    unsigned good = 0;

    for (size_t i = 0; i < count; i++) {
        put_page(w[i].from.at, sample(p, first + i), SALT_IN);
        edu_fetch(&w[i].edu, w[i].from.gpa, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        edu_store(&w[i].edu, p->gpa + sample(p, first + i) * PAGE_BYTES, PAGE_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t page = sample(p, first + i);

        edu_wait(&w[i].edu);
        good += is_page(p->at + page * PAGE_BYTES, page, SALT_IN);
    }
    return good;
}

void pool_sample(const struct own *own, struct worker *w, size_t workers, uint64_t gpa,
                 uint64_t len)
{
    struct pool p = {.gpa = gpa, .pages = len / PAGE_BYTES};
    struct own_answer runs = own_query(own, gpa, len);
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    uint64_t samples = (p.pages + STEP - 1) / STEP + 1;
    unsigned out = 0, in = 0;
    void *at = fd < 0 || len == 0
                   ? MAP_FAILED
                   : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)gpa);

    if (at == MAP_FAILED) {
        printf("CORDON-ROGUE pool %#" PRIx64 " cannot be mapped: %m.\n", gpa);
        return;
    }
    p.at = at;
    for (uint64_t first = 0; first < samples; first += workers) {
        size_t count = samples - first < workers ? (size_t)(samples - first) : workers;

        out += copy_out(w, count, &p, first);
        in += copy_in(w, count, &p, first);
    }
    munmap(at, len);
    close(fd);
    printf("CORDON-ROGUE pool %#" PRIx64 " pages=%" PRIu64 " out=%u in=%u runs=%" PRIu64
           " error=%u.\n",
           gpa, samples, out, in, runs.result, runs.error);
}

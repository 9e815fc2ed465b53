/* Locked pages and their guest physical addresses: see memory.h. */
#include "lib/memory.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN ((UINT64_C(1) << 55) - 1)

/* page_find takes memory by the chunk, and leaves the kernel some. */
#define CHUNK_PAGES 256u
#define CHUNK_BYTES (CHUNK_PAGES * PAGE_BYTES)
#define CHUNKS_MAX 1024u
#define LEFT_KIB (8u * 1024u)

uint64_t page_gpa(const void *at)
{
    uint64_t entry = 0;
    off_t offset = (off_t)((uintptr_t)at / PAGE_BYTES * sizeof(entry));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, &entry, sizeof(entry), offset) != (ssize_t)sizeof(entry)) {
        err(2, "/proc/self/pagemap");
    }
    close(fd);
    if ((entry & PAGEMAP_PRESENT) == 0 || (entry & PAGEMAP_PFN) == 0) {
        errx(2, "/proc/self/pagemap does not tell where %p is: run as root", at);
    }
    return (entry & PAGEMAP_PFN) * PAGE_BYTES;
}

struct page page_get(void)
{
    uint8_t *at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

    if (at == MAP_FAILED || mlock(at, PAGE_BYTES) != 0) {
        err(2, "a locked page");
    }
    memset(at, 0, PAGE_BYTES);
    return (struct page){.at = at, .gpa = page_gpa(at)};
}

static size_t available_chunks(void)
{
    unsigned long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "MemAvailable: %lu", &kib) == 1) {
            break;
        }
    }
    if (f == NULL) {
        err(2, "/proc/meminfo");
    }
    fclose(f);
    kib = kib > LEFT_KIB ? (kib - LEFT_KIB) * 1024 / CHUNK_BYTES : 0;
    return kib < CHUNKS_MAX ? kib : CHUNKS_MAX;
}

static uint8_t *chunk_get(void)
{
    uint8_t *at =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED || madvise(at, CHUNK_BYTES, MADV_NOHUGEPAGE) != 0) {
        err(2, "memory to look through");
    }
    for (size_t i = 0; i < CHUNK_PAGES; i++) {
        at[i * PAGE_BYTES] = 1;
    }
    return at;
}

/* The number of the page in the chunk at AT that stands at GPA; CHUNK_PAGES: none. */
static size_t chunk_find(int pagemap, const uint8_t *at, uint64_t gpa)
{
    uint64_t entry[CHUNK_PAGES];
    off_t offset = (off_t)((uintptr_t)at / PAGE_BYTES * sizeof(entry[0]));
    size_t i = 0;

    if (pread(pagemap, entry, sizeof(entry), offset) != (ssize_t)sizeof(entry)) {
        err(2, "/proc/self/pagemap");
    }
    while (i < CHUNK_PAGES && (entry[i] & PAGEMAP_PFN) != gpa / PAGE_BYTES) {
        i++;
    }
    return i;
}

/* Keep page I of the chunk alone, locked and zeroed. */
static struct page chunk_keep(uint8_t *chunk, size_t i, uint64_t gpa)
{
    uint8_t *at = chunk + i * PAGE_BYTES;

    if ((i > 0 && munmap(chunk, i * PAGE_BYTES) != 0) ||
        (i + 1 < CHUNK_PAGES && munmap(at + PAGE_BYTES, (CHUNK_PAGES - i - 1) * PAGE_BYTES) != 0) ||
        mlock(at, PAGE_BYTES) != 0) {
        err(2, "keeping one page");
    }
    memset(at, 0, PAGE_BYTES);
    return (struct page){.at = at, .gpa = gpa};
}

struct page page_find(uint64_t gpa)
{
    static uint8_t *chunk[CHUNKS_MAX];
    struct page found = {.gpa = gpa};
    size_t limit = available_chunks(), count = 0;
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (pagemap < 0) {
        err(2, "/proc/self/pagemap");
    }
    while (count < limit && found.at == NULL) {
        size_t i;

        chunk[count] = chunk_get();
        i = chunk_find(pagemap, chunk[count], gpa);
        if (i < CHUNK_PAGES) {
            found = chunk_keep(chunk[count], i, gpa);
        } else {
            count++;
        }
    }
    while (count > 0) {
        munmap(chunk[--count], CHUNK_BYTES);
    }
    close(pagemap);
    return found;
}

bool page_is_left_alone(uint64_t gpa)
{
    uint64_t first, last;
    char line[128];
    bool found = false;
    FILE *f = fopen("/proc/iomem", "re");

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        found = strstr(line, "Crash kernel") != NULL &&
                sscanf(line, " %" SCNx64 "-%" SCNx64, &first, &last) == 2 && gpa >= first &&
                gpa <= last;
    }
    if (f == NULL) {
        err(2, "/proc/iomem");
    }
    fclose(f);
    return found;
}

uint64_t page_flags(uint64_t gpa)
{
    uint64_t flags = 0;
    int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (pread(fd, &flags, sizeof(flags), (off_t)(gpa / PAGE_BYTES * sizeof(flags))) !=
            (ssize_t)sizeof(flags)) {
            flags = 0;
        }
        close(fd);
    }
    return flags;
}

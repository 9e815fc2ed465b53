/* Zones: see zone.h. */
#include "contig/zone.h"
#include "lib/tool.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memzone.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define POOL_NODE "/proc/device-tree/reserved-memory/pool@*/reg"
#define POOL_PAGES_MAX 65536u
#define HEAP "pool"
#define HEAP_KEEPS (64u << 10) /* of the pool, for what the heap writes into it */
#define NAME "zone"

bool zone_get(struct zone *z, uint64_t len)
{
    const struct rte_memzone *mz =
        rte_memzone_reserve_aligned(NAME, len, SOCKET_ID_ANY, RTE_MEMZONE_IOVA_CONTIG, PAGE);

    if (mz == NULL) {
        return false;
    }
    *z = (struct zone){.at = mz->addr, .iova = mz->iova, .len = len};
    return true;
}

void zone_put(const struct zone *z)
{
    (void)z;
    (void)rte_memzone_free(rte_memzone_lookup(NAME));
}

/* Address and length of the pool, as the device tree has them. */
static bool pool_find(uint64_t reg[2])
{
    glob_t found;
    FILE *f = NULL;
    bool right;

    if (glob(POOL_NODE, 0, NULL, &found) == 0) {
        f = fopen(found.gl_pathv[0], "re");
        globfree(&found);
    }
    right = f != NULL && fread(reg, sizeof(*reg), 2, f) == 2;
    if (f != NULL) {
        fclose(f);
    }
    reg[0] = be64toh(reg[0]);
    reg[1] = be64toh(reg[1]);
    return right && reg[1] != 0 && reg[1] / PAGE <= POOL_PAGES_MAX;
}

static void *pool_map(uint64_t gpa, uint64_t len)
{
    int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    void *at =
        fd < 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)gpa);

    if (at == MAP_FAILED) {
        tool_cannot("the pool at %#lx cannot be mapped: %s", gpa, strerror(errno));
    }
    close(fd);
    return at;
}

bool zone_of_pool(struct zone *z)
{
    static rte_iova_t iova[POOL_PAGES_MAX];
    uint64_t reg[2] = {0};
    void *at;

    if (!pool_find(reg)) {
        return false;
    }
    at = pool_map(reg[0], reg[1]);
    for (uint64_t i = 0; i < reg[1] / PAGE; i++) {
        iova[i] = reg[0] + i * PAGE;
    }
    if (rte_malloc_heap_create(HEAP) != 0 ||
        rte_malloc_heap_memory_add(HEAP, at, reg[1], iova, (unsigned)(reg[1] / PAGE), PAGE) != 0) {
        tool_cannot("the pool makes no heap: %s", rte_strerror(rte_errno));
    }
    z->len = reg[1] - HEAP_KEEPS;
    z->at = rte_malloc_socket(NULL, z->len, PAGE, rte_malloc_heap_get_socket(HEAP));
    if (z->at == NULL) {
        tool_cannot("the pool's heap gives no %lu bytes", z->len);
    }
    z->iova = rte_malloc_virt2iova(z->at);
    return true;
}

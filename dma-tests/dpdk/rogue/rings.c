/* Rings by registers: see rings.h. [82574 10.2, 82576 8] */
#include "rogue/rings.h"
#include "lib/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOW 0x00u
#define HIGH 0x04u
#define HEAD 0x10u
#define TAIL 0x18u
#define DESCRIPTORS 8u /* that a receive ring elsewhere offers */

static const struct kind {
    const char *driver;
    uint32_t at[2];
} kinds[] = {
    {.driver = "net_e1000_em", .at = {0x2800, 0x3800}},
    {.driver = "net_e1000_igb", .at = {0xc000, 0xe000}},
};

static uint32_t get(const struct rings *r, bool send, uint32_t reg)
{
    return *(volatile uint32_t *)(r->bar + r->at[send] + reg);
}

static void put(const struct rings *r, bool send, uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(r->bar + r->at[send] + reg) = value;
}

static void map_bar(struct rings *r, const struct port *p)
{
    char path[128];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", p->name);
    fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &st) != 0) {
        tool_cannot("%s: %s", path, strerror(errno));
    }
    r->len = (uint64_t)st.st_size;
    r->bar = mmap(NULL, r->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (r->bar == MAP_FAILED) {
        tool_cannot("%s cannot be mapped: %s", path, strerror(errno));
    }
}

struct rings rings_open(const struct port *p)
{
    struct rings r = {0};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(p->driver, kinds[i].driver) == 0) {
            memcpy(r.at, kinds[i].at, sizeof(r.at));
        }
    }
    if (r.at[0] == 0) {
        tool_cannot("port %u (%s) has no rings that registers could move", p->id, p->driver);
    }
    map_bar(&r, p);
    for (unsigned send = 0; send < 2; send++) {
        r.base[send] = get(&r, send, LOW) | (uint64_t)get(&r, send, HIGH) << 32;
        r.head[send] = get(&r, send, HEAD);
        r.tail[send] = get(&r, send, TAIL);
    }
    return r;
}

void rings_close(struct rings *r)
{
    munmap((void *)(uintptr_t)r->bar, r->len);
}

static void place(struct rings *r, bool send, uint64_t iova, uint32_t head, uint32_t tail)
{
    put(r, send, LOW, (uint32_t)iova);
    put(r, send, HIGH, (uint32_t)(iova >> 32));
    put(r, send, HEAD, head);
    put(r, send, TAIL, tail);
}

void rings_move(struct rings *r, bool send, uint64_t iova)
{
    place(r, send, iova, 0, send ? 0 : DESCRIPTORS);
}

void rings_send_one(struct rings *r)
{
    put(r, true, TAIL, 1);
}

void rings_restore(struct rings *r, bool send)
{
    place(r, send, r->base[send], r->head[send], r->tail[send]);
}

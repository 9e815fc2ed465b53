/* Cards by registers: see card.h. [82574 10.2, 82576 8] */
#include "rogue/card.h"
#include "lib/tool.h"
#include <rte_cycles.h>
#include <rte_memory.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of a ring. */
#define LOW 0x00u
#define HIGH 0x04u
#define LENGTH 0x08u
#define HEAD 0x10u
#define TAIL 0x18u
#define REPORT 0x38u /* LOW and HIGH of where the head of a ring that sends is written */
#define REPORT_ON 0x1u
#define SENT 0x1u      /* a descriptor's status */
#define DESCRIPTORS 8u /* that a receive ring elsewhere offers */

/* Of interrupts: causes that are raised (cleared by reading), the time between messages, causes to
 * raise, to unmask, to mask. */
#define ICR 0xc0u
#define ITR 0xc4u
#define ICS 0xc8u
#define IMS 0xd0u
#define IMC 0xd8u
#define LINK 0x4u       /* a cause: the link has changed */
#define MESSAGE_US 200u /* of those within 128, QEMU's e1000e makes one */

struct card_kind {
    const char *driver;
    uint32_t ring[2];
    bool reports; /* has REPORT */
};

struct descriptor {
    uint64_t iova;
    uint32_t command;
    uint32_t status;
};

static const struct card_kind kinds[] = {
    {"net_e1000_em", {0x2800, 0x3800}, false},
    {"net_e1000_igb", {0xc000, 0xe000}, true},
};

static uint32_t get(const struct card *c, uint32_t reg)
{
    return *(volatile uint32_t *)(c->bar + reg);
}

static void put(const struct card *c, uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(c->bar + reg) = value;
}

struct card card_open(const struct port *p)
{
    struct card c = {.kind = NULL};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(p->driver, kinds[i].driver) == 0) {
            c.kind = &kinds[i];
        }
    }
    if (c.kind == NULL) {
        tool_cannot("port %u (%s) has no registers that are known here", p->id, p->driver);
    }
    c.pci = pci_named(p->name);
    c.bar = pci_map(&c.pci, 0, &c.len);
    for (unsigned send = 0; send < 2; send++) {
        uint32_t ring = c.kind->ring[send];

        c.base[send] = get(&c, ring + LOW) | (uint64_t)get(&c, ring + HIGH) << 32;
        c.head[send] = get(&c, ring + HEAD);
        c.tail[send] = get(&c, ring + TAIL);
    }
    return c;
}

void card_close(struct card *c)
{
    munmap((void *)(uintptr_t)c->bar, c->len);
    close(c->pci.config);
}

static void place(struct card *c, bool send, uint64_t iova, uint32_t head, uint32_t tail)
{
    uint32_t ring = c->kind->ring[send];

    put(c, ring + LOW, (uint32_t)iova);
    put(c, ring + HIGH, (uint32_t)(iova >> 32));
    put(c, ring + HEAD, head);
    put(c, ring + TAIL, tail);
}

void card_ring_move(struct card *c, bool send, uint64_t iova)
{
    place(c, send, iova, 0, send ? 0 : DESCRIPTORS);
}

void card_ring_send_one(struct card *c)
{
    put(c, c->kind->ring[true] + TAIL, 1);
}

void card_ring_restore(struct card *c, bool send)
{
    place(c, send, c->base[send], c->head[send], c->tail[send]);
}

void card_report_to(struct card *c, uint64_t iova)
{
    uint32_t report = c->kind->ring[true] + REPORT;

    if (!c->kind->reports) {
        tool_cannot("a card of %s writes nowhere how far it has sent", c->kind->driver);
    }
    put(c, report + HIGH, (uint32_t)(iova >> 32));
    put(c, report + LOW, (uint32_t)iova | REPORT_ON);
}

uint32_t card_report_end(struct card *c)
{
    uint32_t ring = c->kind->ring[true];
    uint32_t count = get(c, ring + LENGTH) / sizeof(struct descriptor);
    uint32_t head = get(c, ring + HEAD);
    struct descriptor *at = rte_mem_iova2virt(c->base[true]);

    put(c, ring + REPORT + LOW, 0);
    if (at == NULL) {
        tool_cannot("the ring of %s stands in no memory of DPDK's", c->kind->driver);
    }
    for (uint32_t i = c->head[true]; i != head; i = (i + 1) % count) {
        at[i].status |= SENT;
    }
    return head;
}

void card_message(struct card *c, uint64_t iova, uint16_t data, uint32_t times)
{
    put(c, IMC, UINT32_MAX);
    put(c, ITR, 0);
    (void)get(c, ICR); /* with all masked, a look clears what was raised */
    pci_message_on(&c->pci, iova, data);
    put(c, IMS, LINK);
    for (uint32_t i = 0; i < times; i++) {
        put(c, ICS, LINK);
        (void)get(c, ICR);
        rte_delay_us_block(MESSAGE_US);
    }
    put(c, IMC, UINT32_MAX);
    pci_message_off(&c->pci);
}

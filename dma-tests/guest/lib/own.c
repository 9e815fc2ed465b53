/* Cordon's own PCI function: see own.h. */
#include "lib/own.h"

#include "lib/pci.h"

#include <err.h>

#define VENDOR 0xc04du
#define DEVICE 0x0001u
#define MAGIC 0x4e445243u
#define REG_MAGIC 0x000u
#define REG_GPA 0x010u
#define REG_LEN 0x018u
#define REG_COMMAND 0x040u
#define REG_STATUS 0x044u
#define REG_ERROR 0x048u
#define REG_RESULT 0x050u
#define STATUS_BUSY 1u
#define GIVE 1u
#define TAKE 2u
#define QUERY 5u

static uint32_t get32(const struct own *o, unsigned reg)
{
    return *(volatile uint32_t *)(o->bar + reg);
}

struct own own_open(void)
{
    struct own o;
    struct pci function;
    size_t len;

    if (pci_open(VENDOR, DEVICE, &function, 1) != 1) {
        errx(2, "this guest has no function of Cordon's");
    }
    o.bar = pci_map(&function, 0, &len);
    if (get32(&o, REG_MAGIC) != MAGIC) {
        errx(2, "%s is no function of Cordon's", function.name);
    }
    return o;
}

static struct own_answer ask(const struct own *o, uint32_t command, uint64_t gpa, uint64_t len)
{
    *(volatile uint64_t *)(o->bar + REG_GPA) = gpa;
    *(volatile uint64_t *)(o->bar + REG_LEN) = len;
    *(volatile uint32_t *)(o->bar + REG_COMMAND) = command;
    if (get32(o, REG_STATUS) == STATUS_BUSY) {
        errx(2, "somebody else uses Cordon's function");
    }
    return (struct own_answer){.error = get32(o, REG_ERROR),
                               .result = *(volatile uint64_t *)(o->bar + REG_RESULT)};
}

struct own_answer own_give(const struct own *o, uint64_t gpa, uint64_t len)
{
    return ask(o, GIVE, gpa, len);
}

struct own_answer own_take(const struct own *o, uint64_t gpa, uint64_t len)
{
    return ask(o, TAKE, gpa, len);
}

struct own_answer own_query(const struct own *o, uint64_t gpa, uint64_t len)
{
    return ask(o, QUERY, gpa, len);
}

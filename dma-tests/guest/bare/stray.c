/* Has edu fetch from where nothing is, or from its own memory, once it has been told to; then says
 * so and waits again. */
#include "bare.h"
#include "pci.h"

#define UART UINT64_C(0x10000) /* of a guest whose RAM begins at 2 GiB */
#define UART_DATA 0u
#define UART_LSR 5u
#define LSR_READY 1u
#define NOWHERE UINT64_C(0x5500000000)
#define OWN UINT64_C(0x80000000)

static volatile uint8_t *uart(uint32_t offset)
{
    return (volatile uint8_t *)(UART + offset);
}

/* The first byte of a line that was typed. */
static char typed_line(void)
{
    char first = 0;

    for (char byte = 0; byte != '\n';) {
        if ((*uart(UART_LSR) & LSR_READY) != 0) {
            byte = (char)*uart(UART_DATA);
            first = first != 0 ? first : byte;
        }
    }
    return first;
}

void main(uint64_t hart, uint64_t opaque)
{
    char order;

    (void)hart;
    (void)opaque;
    pci_place(1, BARS);
    say("ready");
    while ((order = typed_line()) != 'q') {
        if (order == 'f' || order == 'o') {
            edu_fetch(BARS, order == 'f' ? NOWHERE : OWN, 4);
        }
        say("done");
    }
    finish();
}

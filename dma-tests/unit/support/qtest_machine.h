/*
 * A real emulator as the machine: QEMU's virt board, stopped, its registers over the qtest
 * protocol, its RAM a file that is mapped here. No guest runs; devices do what is asked of them.
 */
#ifndef UNIT_SUPPORT_QTEST_MACHINE_H
#define UNIT_SUPPORT_QTEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <cordon/port.h>

#define QTEST_RAM UINT64_C(0x80000000)
#define QTEST_RAM_LEN UINT64_C(0x4000000)
#define QTEST_IOMMU UINT64_C(0x03010000)
#define QTEST_ECAM UINT64_C(0x30000000)
#define QTEST_LOW UINT64_C(0x40000000)
#define QTEST_LOW_LEN UINT64_C(0x40000000)
#define QTEST_HIGH UINT64_C(0x400000000)
#define QTEST_HIGH_LEN UINT64_C(0x400000000)

struct qtest_machine {
    struct cordon_port_ops ops; /* first: the port's cookie */
    pid_t pid;
    FILE *to, *from;
    uint8_t *ram;
    uint64_t accesses;
};

/* Start QEMU with these further arguments (null-terminated). False if there is none on this
 * machine; anything else that goes wrong fails the test. */
bool qtest_open(struct qtest_machine *q, const char *const *args);
void qtest_close(struct qtest_machine *q);

#endif

/* Enumeration of a host bridge. */
#ifndef VDEV_PCI_SCAN_H
#define VDEV_PCI_SCAN_H

#include "pci/host.h"

#define PCI_MAX_DEPTH 16u /* buses behind each other */

/* What a scan found, for the boot report. */
struct pci_scan_report {
    uint32_t functions;    /* in the table */
    uint32_t bridges;      /* of these */
    uint32_t buses;        /* reached */
    uint32_t masters;      /* functions that firmware had left mastering the bus */
    uint32_t first_master; /* bdf of the first of them */
    uint32_t renumbered;   /* bridges whose buses were numbered here */
    uint32_t dropped;      /* functions that the table had no room for: off, and unusable */
};

/*
 * Find every function of every bus of H. Numbers the buses behind bridges where firmware did not
 * (all bridges of a bus are numbered anew as soon as one is not, or two disagree). On return no
 * function and no bridge masters the bus, those that the table cannot hold included. The table
 * lists parents before children. The report is written in every case.
 * Errors: those of pci_host_check; ELIMIT (table full; what it holds is valid).
 */
CORDON_MUST_CHECK int pci_scan(struct pci_host *h, struct pci_scan_report *report);

#endif

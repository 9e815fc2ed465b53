/* Steps that are no stores, of which the recording build is told: the same names in each build. */
#ifndef CORDON_PORT_NOTE_H
#define CORDON_PORT_NOTE_H

/*
 * Each with what port_note's A and B are:
 *   CLAIM    frames got a state that is not FREE: a = HPA | pages - 1 (at most 512), b = first word
 *   FREE     frames become FREE or HELD again:    a = HPA | pages - 1, b = state or word before
 *   DRAIN    an IOMMU has confirmed all commands before, or a reset has ended a device's DMA:
 *            a = domain number, b = 0
 *   COMMAND  an IOMMU was given a command:        a, b = its two words
 *   LEND     frames are lent to a domain:         a = HPA | pages - 1, b = the borrower's word
 *   RECALL   its leaves for them are about to go: the same
 *   RETURN   nothing of its can reach them more:  the same
 *   COPY     frames are about to be copied:       a = HPA | pages - 1, b = HPA of the copy
 *   SCRUB    frames hold zeroes:                  a = HPA | pages - 1, b = 0; or 1: they hold what
 *            they held, and whoever asked for that answers for it
 *   ENTER    a hart runs a domain from here on:   a = domain | hart << 16 | VMID << 32, b = HPA of
 *            the G-stage's root
 *   LEAVE    and no more:                         a = domain | hart << 16
 */
enum port_note {
    PORT_NOTE_CLAIM,
    PORT_NOTE_FREE,
    PORT_NOTE_DRAIN,
    PORT_NOTE_COMMAND,
    PORT_NOTE_LEND,
    PORT_NOTE_RECALL,
    PORT_NOTE_RETURN,
    PORT_NOTE_COPY,
    PORT_NOTE_SCRUB,
    PORT_NOTE_ENTER,
    PORT_NOTE_LEAVE
};

#endif

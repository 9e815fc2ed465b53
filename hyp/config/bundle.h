/*
 * A bundle of guests: a Flattened Image Tree, handed over as the initrd.
 *
 *   /images/NAME   data, or data-position and data-size (bytes outside the tree, from the bundle's
 *                  first byte); hash-1 { algo = "sha256"; value = 32 bytes }
 *   /vms/NAME      one VM: vcpus, memory, kernel and more (bundle_vm.c has the list)
 *   /              what holds for the machine: vmid-bits
 *
 * Nothing in it is trusted. A property or node that is not known is an error, as is a known one
 * given twice or with a wrong length. What is wrong in one VM refuses that VM; what is wrong around
 * the VMs refuses the bundle. Hashes are not computed here: the caller does it once for each image.
 */
#ifndef HYP_CONFIG_BUNDLE_H
#define HYP_CONFIG_BUNDLE_H

#include "config/vm_config.h"

/*
 * Read the LEN bytes at BASE (8-byte aligned) into OUT. OUT is overwritten in any case; what it
 * points at stays the caller's, and must not change while OUT is in use. On success each VM in
 * OUT->vm may be started and each in OUT->refused may not.
 * Errors: EINVAL (WHY says what; OUT has no VM, but refused may name why none is left).
 */
CORDON_MUST_CHECK int bundle_parse(const void *base, uint64_t len, struct bundle *out,
                                   struct config_error *why);

#endif

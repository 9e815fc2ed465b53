/* The parts of the bundle's parser: images, devices, VMs. */
#ifndef HYP_CONFIG_BUNDLE_PARTS_H
#define HYP_CONFIG_BUNDLE_PARTS_H

#include "config/bundle.h"

/* Names of an object in sentences: VM "...", image "...". */
#define WHO_BYTES 96u

/*
 * Find the image NAME, read it unless a VM before has used it, and add it to the bundle's list. WHO
 * is the VM. Errors: EINVAL.
 */
CORDON_MUST_CHECK int bundle_image_use(struct bundle *b, const char *name, const char *who,
                                       struct vm_blob *out, struct config_error *why);

/* Read the devices of the VM at NODE, if it has any. Errors: EINVAL. */
CORDON_MUST_CHECK int bundle_devices_read(const struct bundle *b, int node, const char *who,
                                          struct vm_config *vm, struct config_error *why);

/* Read the VM at NODE; images that it uses are added to the bundle's list. VM is scratch until 0 is
 * returned. Errors: EINVAL. */
CORDON_MUST_CHECK int bundle_vm_read(struct bundle *b, int node, struct vm_config *vm,
                                     struct config_error *why);

#endif

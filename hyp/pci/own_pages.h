/* Pages of a guest whose memory comes at first touch, as our own PCI function does them: see
 * own_calls in vdev/pci/own.h for what each is asked with, docs/own-function.md for what it means.
 */
#ifndef HYP_PCI_OWN_PAGES_H
#define HYP_PCI_OWN_PAGES_H

#include <cordon/types.h>

/* Errors: EPERM (not all of it is RAM that comes at first touch; pinned). */
CORDON_MUST_CHECK int own_pages_discard(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *freed);

/* Errors: EPERM (not all of it is RAM that comes at first touch), ENOMEM (what was filled stays).
 */
CORDON_MUST_CHECK int own_pages_fill(void *arg, cordon_gpa gpa, uint64_t len);

/* Errors, nothing changed: EPERM (not all of it is RAM of its own; to let go of what devices hold),
 * ENOMEM (a page that is absent has no frame), ELIMIT (more than 32 regions). */
CORDON_MUST_CHECK int own_pages_pin(void *arg, cordon_gpa gpa, uint64_t len, bool pinned);

#endif

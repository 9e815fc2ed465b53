/* Error codes. Functions return 0 or one of these, negated. Out-pointers are written on success
 * only. A handle that was closed is told where that can be seen: its memory lies in the context's
 * RAM, and may have become the same kind again. Functions without a code then answer 0 or zeroes.
 */
#ifndef CORDON_ERROR_H
#define CORDON_ERROR_H

#include <cordon/types.h>

#define CORDON_EINVAL 1    /* an argument makes no sense: unknown flag, bad size, null pointer */
#define CORDON_EALIGN 2    /* an address or length is no multiple of the page (or what is asked) */
#define CORDON_ERANGE 3    /* beyond the address width, wraps around, or is empty */
#define CORDON_EEXIST 4    /* something stands there already: overlap, device id taken */
#define CORDON_ENOENT 5    /* nothing stands there: no such region, domain, device */
#define CORDON_EPERM 6     /* not the caller's: another owner's, the hypervisor's, firmware's */
#define CORDON_ENOMEM 7    /* the pool of frames is empty, or no run satisfies the constraints */
#define CORDON_ELIMIT 8    /* a named limit is reached (CORDON_MAX_...) */
#define CORDON_EBUSY 9     /* in use: device attached, domain not empty */
#define CORDON_ETIMEOUT 10 /* hardware did not answer in time; nothing was started */
#define CORDON_ENOTSUP 11  /* the hardware lacks what is needed, or the mode is not offered */
#define CORDON_EHW 12      /* the hardware reported an error */
#define CORDON_ECORRUPT 13 /* a table or structure in memory is not what we left there */
#define CORDON_EPENDING 14 /* the map has changed; frames stay REVOKING until hardware is quiet */
#define CORDON_EFAULT 15   /* a translation stops: not present or not permitted */
#define CORDON_EHANDLE 16  /* a handle that was closed, or is of another kind or context */
#define CORDON_ERROR_LAST CORDON_EHANDLE

/* A short English sentence for a code (0, or negative as returned). Never null; static storage. */
CORDON_API const char *cordon_strerror(int code);

#endif

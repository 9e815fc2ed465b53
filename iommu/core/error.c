/* The sentences behind the error codes. */
#include <cordon/error.h>

static const char *const sentences[CORDON_ERROR_LAST + 1] = {
    [0] = "success",
    [CORDON_EINVAL] = "an argument makes no sense",
    [CORDON_EALIGN] = "an address or length is not aligned",
    [CORDON_ERANGE] = "a range is empty, wraps, or lies beyond what can be addressed",
    [CORDON_EEXIST] = "something stands there already",
    [CORDON_ENOENT] = "nothing stands there",
    [CORDON_EPERM] = "it belongs to another owner",
    [CORDON_ENOMEM] = "no memory that satisfies the request is left",
    [CORDON_ELIMIT] = "a fixed limit is reached",
    [CORDON_EBUSY] = "it is in use",
    [CORDON_ETIMEOUT] = "the hardware did not answer in time",
    [CORDON_ENOTSUP] = "the hardware or mode does not offer it",
    [CORDON_EHW] = "the hardware reported an error",
    [CORDON_ECORRUPT] = "a table or structure is not what was left there",
    [CORDON_EPENDING] = "the map has changed; the frames wait until hardware is proven quiet",
    [CORDON_EFAULT] = "the translation stops: not present or not permitted",
    [CORDON_EHANDLE] = "a handle was closed, or is of another context",
};

const char *cordon_strerror(int code)
{
    if (code > 0 || code < -CORDON_ERROR_LAST) {
        return "no code of this library";
    }
    return sentences[-code];
}

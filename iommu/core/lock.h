/* Short names of the public lock, for use inside the layer. */
#ifndef CORDON_CORE_LOCK_H
#define CORDON_CORE_LOCK_H

#include <cordon/lock.h>

#define lock cordon_lock
#define lock_init cordon_lock_init
#define lock_take cordon_lock_take
#define lock_give cordon_lock_give

#endif

/* libcordon: one map a guest, and every table that hardware walks derived from it. */
#ifndef CORDON_CORDON_H
#define CORDON_CORDON_H

#include <cordon/ctx.h>
#include <cordon/device.h>
#include <cordon/error.h>
#include <cordon/gva.h>
#include <cordon/harts.h>
#include <cordon/hpm.h>
#include <cordon/listen.h>
#include <cordon/log.h>
#include <cordon/map.h>
#include <cordon/move.h>
#include <cordon/port.h>
#include <cordon/shape.h>
#include <cordon/space.h>
#include <cordon/touch.h>
#include <cordon/types.h>
#include <cordon/walk.h>

#endif

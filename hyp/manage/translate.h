/*
 * Where an address of a guest leads, asked of a vCPU while it runs: GVA, GPA, HVA, HPA.
 *
 * What decides (vsatp, vsstatus, the mode) stands in CSRs of the vCPU's hart, so that hart answers:
 * it is asked by a request and a kick, which makes it leave the guest, and it walks and tells on
 * its way back. Nobody waits for it. A vCPU that is stopped has no tables; whoever finds it so
 * answers for it. One question a vCPU at a time; who takes VCPU_REQUEST_TELL away answers it.
 */
#ifndef HYP_MANAGE_TRANSLATE_H
#define HYP_MANAGE_TRANSLATE_H

#include "vm/vm.h"

/* The command: VM VCPU GVA [r|w|x|- [user|supervisor]]. Answered by an event "translated", or by an
 * error. */
void manage_translate(char *rest);

/* On the vCPU's hart, in the handler of an exit: answer what VCPU was asked. */
void manage_tell_running(struct vcpu *vcpu);

/* The same for a vCPU that has stopped, if it was asked. Any hart; no lock is held. */
void manage_tell_stopped(struct vcpu *vcpu);

#endif

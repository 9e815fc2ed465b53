# Cordon. `make help` is the index; the rules are in tools/mk/.
#   V=1       full command lines          WERROR=1  warnings are errors (CI)
#   PYTHON=   the python with Debian's packages       T=  one test only
MAKEFLAGS += --no-builtin-rules --no-print-directory
ifeq ($(MAKELEVEL)$(filter -j% j,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
SHELL := /bin/bash
PYTHON ?= /usr/bin/python3
OUT := out
V ?= 0
WERROR ?= 0
quiet = $(if $(filter 1,$(V)),,@)
note = $(if $(filter 1,$(V)),@:,@printf '  %-8s %s\n')

.DEFAULT_GOAL := all

# A misspelt variable would be a run of something else.
KNOWN := V WERROR PYTHON T OUT CC CONTROL INTERACTIVE JSON QUICK BENCH FUZZ_SECONDS SECONDS SEED BACKEND \
	PREFIX DESTDIR LIBDIR INCLUDEDIR MANDIR MAKE CORDON_SETUP CORDON_CACHE CORDON_QEMU
UNKNOWN := $(filter-out $(KNOWN),$(foreach o,$(subst \ ,_,$(MAKEOVERRIDES)),$(firstword $(subst =, ,$(o)))))
$(if $(UNKNOWN),$(error no makefile looks at $(UNKNOWN): there are $(KNOWN)))

include tools/mk/layout.mk
include tools/mk/flags.mk
include tools/mk/setup.mk
include tools/mk/host.mk
include tools/mk/hyp.mk
include tools/mk/guest.mk
include tools/mk/dpdk.mk
include tools/mk/test.mk
include tools/mk/config.mk
include tools/mk/sanitized.mk
include tools/mk/dpdk-host.mk
include tools/mk/check.mk
include tools/mk/man.mk
include tools/mk/install.mk

.PHONY: help all clean
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(filter-out %.d,$(MAKEFILE_LIST))

all: host hyp guest ## the library, the hypervisor, the guests' images

clean: ## remove everything that was built (the package cache stays)
	rm -rf $(OUT)

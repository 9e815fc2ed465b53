# Sanitizers of gcc before 14 and clang before 18 hang or die where addresses have more than 28 random
# bits, so everything runs without randomization, wherever that is allowed.
LAYOUT_BITS = $(shell cat /proc/sys/vm/mmap_rnd_bits)
LAYOUT_HELP := sanitizers of this compiler need at most 28, and randomization cannot be turned off here: \
	"sysctl vm.mmap_rnd_bits=28" as root of the host helps, or "docker run --security-opt seccomp=unconfined"

ifeq ($(shell setarch -R true 2>&1),)
SHELL := $(shell command -v setarch)
.SHELLFLAGS := -R /bin/bash -c
LAYOUT_BITS := 0
endif

.PHONY: layout
layout: # before whatever runs programs with sanitizers
	@if [ $(LAYOUT_BITS) -gt 28 ] && [ "$$($(CC) -dumpversion | cut -d. -f1)" -lt 14 ]; then \
		echo 'make: vm.mmap_rnd_bits is $(LAYOUT_BITS): $(LAYOUT_HELP)' >&2; exit 1; fi

check-unit check-config check-fuzz check-sanitized check-threads check-teeth test-dpdk-host: | layout

# Guests with DPDK: Debian's riscv64 packages of it, our programs over it, and the initramfs that
# holds both. Nothing else needs this, so only `make dpdk` and what tests it fetch and build it.
DPDK := $(OUT)/dpdk
DPDK_SYSROOT := $(DPDK)/sysroot
DPDK_LIBS := $(DPDK_SYSROOT)/usr/lib/riscv64-linux-gnu
DPDK_MAIN := $(sort $(wildcard dma-tests/dpdk/*/main.c))
DPDK_PROG := $(DPDK_MAIN:dma-tests/dpdk/%/main.c=$(DPDK)/bin/%)
DPDK_INCLUDE := -DALLOW_EXPERIMENTAL_API -include rte_config.h \
	$(addprefix -isystem $(abspath $(DPDK_SYSROOT))/usr/include/,dpdk riscv64-linux-gnu/dpdk riscv64-linux-gnu)
DPDK_CFLAGS := -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE $(DPDK_INCLUDE) -Idma-tests/dpdk -Idma-tests/guest
# The C library is the compiler's own, at most as new as the guests'; libraries find each other in the guest.
DPDK_LDFLAGS := -L$(abspath $(DPDK_LIBS)) -Wl,--allow-shlib-undefined -l:librte_eal.so.25 -l:librte_ethdev.so.25 \
	-l:librte_mbuf.so.25 -l:librte_mempool.so.25 -l:librte_dmadev.so.25 -l:librte_log.so.25 -l:libatomic.a

.PHONY: dpdk check-dpdk test-dpdk soak
dpdk: $(DPDK)/initramfs.cpio.zst $(DPDK)/flags guest ## guests with DPDK: Debian's, and our programs over it (docs/dpdk.md)

# What a failed test leaves stays until the same is run again, and others may run beside it; pytest's own folders go with
# anybody's third run of anything. The name is short: there are sockets below.
DPDK_KEPT = $(DPDK)/tests/$(firstword $(shell echo '$@ $(T)' | cksum))
DPDK_PYTEST = mkdir -p $(DPDK)/tests && $(PYTEST) dma-tests/dpdk --basetemp='$(DPDK_KEPT)'

test-dpdk: dpdk host hyp ## real drivers in guests: each network card, alone, in pairs and between guests
	@$(DPDK_PYTEST) $(if $(T),$(PYTEST_PICK),-n 2 --dist loadgroup)

check-dpdk: dpdk host hyp ## the same in short: one model of card a machine
	@$(DPDK_PYTEST) $(if $(T),$(PYTEST_PICK),--quick -n 2 --dist loadgroup)

soak: dpdk host hyp ## DMA, attacks, resets, deaths and restarts, all at once (SECONDS=600 SEED=7 JSON=FILE)
	@$(PYTHON) tools/soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json '$(JSON)')

DPDK_HEADERS := libdpdk-dev libbsd-dev
DPDK_NAMES = $$(awk '/^[^\#]/ { print $$1 }' tools/riscv64-dpdk.txt)
$(DPDK)/sysroot.stamp: tools/riscv64-dpdk.txt tools/riscv64-packages | $(OUT)/setup.stamp
	$(note) UNPACK $(DPDK_SYSROOT)
	$(quiet)rm -rf $(DPDK_SYSROOT) && tools/riscv64-packages fetch --libraries $(DPDK_NAMES) && \
		tools/riscv64-packages fetch $(DPDK_HEADERS) && \
		tools/riscv64-packages unpack --libraries $(DPDK_NAMES) $(DPDK_SYSROOT) && \
		for name in $(DPDK_HEADERS); do dpkg-deb --fsys-tarfile "$$(tools/riscv64-packages path $$name)" | \
			tar -x -C $(DPDK_SYSROOT) ./usr/include || exit; done && touch $@

$(eval $(call flags_stamp,$(DPDK)/bin,$(GUEST_CROSS)gcc $(DPDK_CFLAGS) $(DPDK_LDFLAGS)))

# For a program of the user's own: gcc ... @out/dpdk/flags
$(DPDK)/flags: $(DPDK)/bin/flags $(DPDK)/sysroot.stamp
	@printf '%s\n' $(DPDK_INCLUDE) $(DPDK_LDFLAGS) > $@

$(DPDK)/obj/%.o: dma-tests/dpdk/%.c $(DPDK)/bin/flags $(DPDK)/sysroot.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(GUEST_CROSS)gcc $(DPDK_CFLAGS) -MMD -MP -c $< -o $@

# Cordon's own PCI function, as programs without DPDK reach it.
$(DPDK)/obj/guest/%.o: dma-tests/guest/%.c $(DPDK)/bin/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(GUEST_CROSS)gcc $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

dpdk_objects = $(patsubst dma-tests/dpdk/%.c,$(DPDK)/obj/%.o,$(sort $(wildcard dma-tests/dpdk/$1/*.c)))
define dpdk_program
$(DPDK)/bin/$1: $(call dpdk_objects,$1) $(call dpdk_objects,lib)
endef
$(foreach p,$(notdir $(DPDK_PROG)),$(eval $(call dpdk_program,$(p))))

$(DPDK_PROG):
	$(note) LD $@
	$(quiet)$(GUEST_CROSS)gcc -o $@ $^ $(DPDK_LDFLAGS)

$(DPDK)/bin/churn: $(DPDK)/obj/guest/lib/own.o
$(DPDK)/bin/churn $(DPDK)/bin/rogue: $(DPDK)/obj/guest/lib/pci.o

-include $(patsubst dma-tests/dpdk/%.c,$(DPDK)/obj/%.d,$(wildcard dma-tests/dpdk/*/*.c))

# Two archives behind each other: what changes rarely is made and compressed once.
$(DPDK)/base.cpio.zst: $(DPDK)/sysroot.stamp $(GUEST)/busybox $(GUEST)/kernel.stamp tools/guest/make-initramfs \
		tools/guest/init tools/guest/initramfs.list dma-tests/dpdk/initramfs.list dma-tests/dpdk/modules.txt
	$(note) CPIO $@
	$(quiet)$(PYTHON) tools/guest/make-initramfs --list tools/guest/initramfs.list \
		--list dma-tests/dpdk/initramfs.list --sysroot $(DPDK_SYSROOT) --cross $(GUEST_CROSS) --output $@ \
		--modules $(GUEST)/kernel/usr/lib/modules/* --module-list dma-tests/dpdk/modules.txt \
		--add /bin/busybox=$(GUEST)/busybox

DPDK_ETC := $(sort $(wildcard dma-tests/dpdk/etc/*))
$(DPDK)/initramfs.cpio.zst: $(DPDK)/base.cpio.zst $(DPDK_PROG) $(DPDK_ETC)
	$(note) CPIO $@
	$(quiet)$(PYTHON) tools/guest/make-initramfs --cross $(GUEST_CROSS) --output $(DPDK)/programs.cpio.zst \
		$(foreach f,$(DPDK_ETC),--add /etc/cordon/$(notdir $f)=$f) \
		$(foreach f,$(DPDK_PROG),--add /bin/$(notdir $f)=$f)
	$(quiet)cat $(DPDK)/base.cpio.zst $(DPDK)/programs.cpio.zst > $@

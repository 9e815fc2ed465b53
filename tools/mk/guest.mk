# The guests' images, from Debian's riscv64 packages (tools/riscv64-packages), and the
# libfdt that the hypervisor links.
GUEST := $(OUT)/guest
GUEST_ETC := $(sort $(wildcard tools/guest/etc/*))
GUEST_PROG := $(patsubst dma-tests/guest/%.c,$(GUEST)/bin/%,$(sort $(wildcard dma-tests/guest/*.c)))
GUEST_LIB := $(sort $(wildcard dma-tests/guest/lib/*.c))
GUEST_CFLAGS := -Idma-tests/guest -std=gnu11 -O2 -g $(WARN) -Wno-missing-prototypes -static

.PHONY: guest
guest: $(GUEST)/Image $(GUEST)/initramfs.cpio.gz ## the guests' kernel and initramfs, from Debian's riscv64 packages

# Fetched packages: one stamp, older than everything that is unpacked from them.
$(OUT)/riscv64.stamp: tools/riscv64-packages.txt | $(OUT)/setup.stamp
	@tools/riscv64-packages fetch && touch $@

$(LIBFDT): $(OUT)/riscv64.stamp
	$(note) UNPACK $@
	$(quiet)rm -rf $(SYSROOT) && tools/riscv64-packages unpack libfdt-dev $(SYSROOT) && touch $@

# The kernel's package is unpacked once; depmod then says what its modules need.
$(GUEST)/kernel.stamp: $(OUT)/riscv64.stamp
	$(note) UNPACK $(GUEST)/kernel
	$(quiet)rm -rf $(GUEST)/kernel && \
		tools/riscv64-packages unpack linux-image-riscv64 $(GUEST)/kernel && \
		depmod -b $(GUEST)/kernel/usr "$$(ls $(GUEST)/kernel/usr/lib/modules)" && touch $@

$(GUEST)/Image: $(GUEST)/kernel.stamp
	$(note) COPY $@
	$(quiet)cp $(GUEST)/kernel/boot/vmlinux-* $@

$(GUEST)/busybox: $(OUT)/riscv64.stamp
	$(note) UNPACK $@
	$(quiet)rm -rf $(GUEST)/unpack && \
		tools/riscv64-packages unpack busybox-static $(GUEST)/unpack && \
		cp $(GUEST)/unpack/usr/bin/busybox $@ && rm -rf $(GUEST)/unpack

$(eval $(call flags_stamp,$(GUEST)/bin,$(GUEST_CROSS)gcc $(GUEST_CFLAGS)))

$(GUEST)/bin/%: dma-tests/guest/%.c $(GUEST_LIB) $(wildcard dma-tests/guest/lib/*.h) $(GUEST)/bin/flags | $(OUT)/setup.stamp
	$(note) CC $@
	$(quiet)$(GUEST_CROSS)gcc $(GUEST_CFLAGS) $< $(GUEST_LIB) -o $@

$(GUEST)/initramfs.cpio.gz: $(GUEST)/busybox $(GUEST)/kernel.stamp $(GUEST_ETC) $(GUEST_PROG) \
		tools/guest/make-initramfs tools/guest/init tools/guest/initramfs.list tools/guest/modules.txt
	$(note) CPIO $@
	$(quiet)$(PYTHON) tools/guest/make-initramfs --list tools/guest/initramfs.list --output $@ \
		--modules $(GUEST)/kernel/usr/lib/modules/* --module-list tools/guest/modules.txt \
		--add /bin/busybox=$(GUEST)/busybox \
		$(foreach f,$(GUEST_ETC),--add /etc/cordon/$(notdir $f)=$f) \
		$(foreach f,$(GUEST_PROG),--add /bin/$(notdir $f)=$f)

# The hypervisor: hyp/, the freestanding port, the core and vdev/ without its host models.
HYP_SRC := $(sort $(wildcard hyp/*.c hyp/*.S hyp/*/*.c hyp/*/*.S)) $(CORE_SRC) $(VDEV_SRC) \
	$(sort $(wildcard iommu/port/free/*.c))
HYP_OBJ := $(addprefix $(OUT)/hyp/obj/,$(addsuffix .o,$(HYP_SRC)))
SYSROOT := $(OUT)/riscv64-sysroot
LIBFDT := $(SYSROOT)/usr/lib/riscv64-linux-gnu/libfdt.a

HYP_ARCH := -march=rv64gc -mabi=lp64d -mcmodel=medany -fno-pic
HYP_CFLAGS := $(BASE_CFLAGS) --specs=picolibc.specs $(HYP_ARCH) -O2 -ffreestanding \
	-ffunction-sections -fdata-sections -fno-common -fomit-frame-pointer \
	-DPICOLIBC_INTEGER_PRINTF_SCANF \
	-isystem $(SYSROOT)/usr/include $(INCLUDE) -Iiommu/port/free
LD_FATAL := -Wl,--fatal-warnings
HYP_LDFLAGS := --specs=picolibc.specs -DPICOLIBC_INTEGER_PRINTF_SCANF $(HYP_ARCH) -nostartfiles -static \
	-Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	$(if $(filter 1,$(WERROR)),$(LD_FATAL))
# What runs at boot, on request or rarely is built small; the rest fast.
HYP_COLD := hyp/boot/% hyp/channel/% hyp/config/% hyp/manage/% hyp/pci/% vdev/pci/% \
	iommu/audit/% iommu/core/% iommu/gva/% iommu/riscv/% iommu/space/% \
	$(addprefix iommu/,frames/layout% frames/loan% frames/scatter% log/log% \
	map/domain% map/remap% map/shape% map/share% map/tell% map/update% map/walk_told% \
	move/isolate% move/make% move/place% move/relocate% move/survey% touch/promise%)

.PHONY: hyp
hyp: $(LIBFDT) $(if $(wildcard hyp/cordon.lds),$(OUT)/hyp/cordon.bin) ## the hypervisor: out/hyp/cordon.{elf,bin,map}

$(eval $(call flags_stamp,$(OUT)/hyp,$(CROSS)gcc $(HYP_CFLAGS) -Os: $(subst %,*,$(HYP_COLD))))

$(OUT)/hyp/obj/%.o: % $(OUT)/hyp/flags $(LIBFDT) | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CROSS)gcc $(HYP_CFLAGS) $(call room_include,$<) \
		$(if $(filter $(HYP_COLD),$<),-Os) -c $< -o $@

$(OUT)/hyp/cordon.elf: $(HYP_OBJ) $(LIBFDT) hyp/cordon.lds
	$(note) LD $@
	$(quiet)$(CROSS)gcc $(HYP_LDFLAGS) -T hyp/cordon.lds -Wl,-Map=$(@:.elf=.map) \
		-o $@ $(HYP_OBJ) $(LIBFDT)

$(OUT)/hyp/cordon.bin: $(OUT)/hyp/cordon.elf
	$(note) OBJCOPY $@
	$(quiet)$(CROSS)objcopy -O binary $< $@

-include $(HYP_OBJ:.o=.d)

# The hypervisor: hyp/, the freestanding port, the core and vdev/ without its host models.
HYP_SRC := $(sort $(wildcard hyp/*.c hyp/*.S hyp/*/*.c hyp/*/*.S)) $(CORE_SRC) $(VDEV_SRC) \
	$(sort $(wildcard iommu/port/free/*.c))
HYP_OBJ := $(addprefix $(OUT)/hyp/obj/,$(addsuffix .o,$(HYP_SRC)))
SYSROOT := $(OUT)/riscv64-sysroot
LIBFDT := $(SYSROOT)/usr/lib/riscv64-linux-gnu/libfdt.a

HYP_ARCH := -march=rv64gc -mabi=lp64d -mcmodel=medany -fno-pic
HYP_CFLAGS := $(BASE_CFLAGS) --specs=picolibc.specs $(HYP_ARCH) -O2 -ffreestanding \
	-ffunction-sections -fdata-sections -fno-common -fomit-frame-pointer -malign-data=natural \
	-DPICOLIBC_INTEGER_PRINTF_SCANF \
	-isystem $(SYSROOT)/usr/include $(INCLUDE) -Iiommu/port/free
LD_FATAL := -Wl,--fatal-warnings
HYP_LDFLAGS := --specs=picolibc.specs -DPICOLIBC_INTEGER_PRINTF_SCANF $(HYP_ARCH) -nostartfiles -static \
	-Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	$(if $(filter 1,$(WERROR)),$(LD_FATAL))
# What an exit of a guest runs, and the loops over its pages and tables, is built fast; all else small.
HYP_HOT := hyp/aia/% hyp/port/% hyp/sbi/ecall% hyp/sbi/harts% hyp/vcpu/% vdev/aplic/% vdev/bus/% vdev/uart/% \
	$(addprefix hyp/core/,sha256% string% tick% trap% work%) \
	iommu/harts/% iommu/pt/% $(addprefix iommu/,log/harvest% touch/touch%) \
	$(addprefix iommu/frames/,buddy% meta% owner% run.c stock%)
HYP_SMALL := -Os -msave-restore

.PHONY: hyp
hyp: $(LIBFDT) $(if $(wildcard hyp/cordon.lds),$(OUT)/hyp/cordon.bin) ## the hypervisor: out/hyp/cordon.{elf,bin,map}

$(eval $(call flags_stamp,$(OUT)/hyp,$(CROSS)gcc $(HYP_CFLAGS) $(HYP_SMALL) but: $(subst %,*,$(HYP_HOT))))

$(OUT)/hyp/obj/%.o: % $(OUT)/hyp/flags $(LIBFDT) | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CROSS)gcc $(HYP_CFLAGS) $(call room_include,$<) \
		$(if $(filter $(HYP_HOT),$<),,$(HYP_SMALL)) -c $< -o $@

$(OUT)/hyp/cordon.elf: $(HYP_OBJ) $(LIBFDT) hyp/cordon.lds
	$(note) LD $@
	$(quiet)$(CROSS)gcc $(HYP_LDFLAGS) -T hyp/cordon.lds -Wl,-Map=$(@:.elf=.map) \
		-o $@ $(HYP_OBJ) $(LIBFDT)

$(OUT)/hyp/cordon.bin: $(OUT)/hyp/cordon.elf
	$(note) OBJCOPY $@
	$(quiet)$(CROSS)objcopy -O binary $< $@

-include $(HYP_OBJ:.o=.d)

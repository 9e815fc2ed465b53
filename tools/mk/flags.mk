# Flags, and a stamp a build configuration: changed flags rebuild what they touch.
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	$(if $(filter 1,$(WERROR)),-Werror)
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
CROSS ?= riscv64-unknown-elf-
GUEST_CROSS ?= riscv64-linux-gnu-

BASE_CFLAGS := -std=c11 -g $(WARN) -MMD -MP
INCLUDE := -Iiommu/include -Iiommu

# The room a file is in decides which rooms' headers it can see.
room_include = $(if $(filter hyp/%,$1),-Ihyp -Ivdev,$(if $(filter vdev/%,$1),-Ivdev))

# The core: the same files in every build; a port folder is added by each build.
CORE_SRC := $(sort $(wildcard iommu/*/*.c))
VDEV_SRC := $(sort $(filter-out vdev/model/%,$(wildcard vdev/*/*.c)))
MODEL_SRC := $(sort $(wildcard vdev/model/*.c))

# $(call flags_stamp,FOLDER,FLAGS): FOLDER/flags is touched only when FLAGS change. WERROR is none of them: it
# changes no object, and what has been compiled has shown its warnings.
define flags_stamp
$1/flags: FORCE
	@mkdir -p $$(@D); printf '%s\n' '$(filter-out -Werror,$2)' | cmp -s - $$@ || \
		printf '%s\n' '$(filter-out -Werror,$2)' > $$@
endef
.PHONY: FORCE
FORCE:

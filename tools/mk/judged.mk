# The judged property suite: every rule of cordon.judged, all judges compared after each step, over a
# library whose recording port checks the order of what it does.
RECORD_SRC := $(CORE_SRC) $(VDEV_SRC) $(sort $(wildcard iommu/port/record/*.c))
RECORD_OBJ := $(RECORD_SRC:%.c=$(OUT)/record/obj/%.o)
RECORD_CFLAGS := $(BASE_CFLAGS) -O2 -fPIC $(INCLUDE) -Iiommu/port/record
SECONDS ?= 20
BACKEND ?= model,qemu

$(eval $(call flags_stamp,$(OUT)/record,$(CC) $(RECORD_CFLAGS)))

$(OUT)/record/obj/%.o: %.c $(OUT)/record/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(RECORD_CFLAGS) $(call room_include,$<) -c $< -o $@

$(OUT)/record/libcordon.so: $(RECORD_OBJ)
	$(note) LD $@
	$(quiet)$(CC) -shared -Wl,-z,defs -o $@ $^

.PHONY: check-judged
check-judged: host $(OUT)/record/libcordon.so ## the property suite under every judge (SECONDS=600 SEED=7 BACKEND=model)
	@CORDON_LIB=$(OUT)/record/libcordon.so PYTHONPATH=bindings/python PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) -m cordon.judged --seconds $(SECONDS) --backend $(BACKEND) $(if $(SEED),--seed $(SEED))

-include $(RECORD_OBJ:.o=.d)

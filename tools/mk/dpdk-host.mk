# DPDK in a process of this machine: programs over libcordon and the software IOMMU, with sanitizers
# for the tests and without for figures. Its packages are asked for by these targets alone.
DPDK_HOST := $(OUT)/dpdk-host
DPDK_HOST_TESTS := sg rogue churn
DPDK_HOST_SRC := $(sort $(wildcard dma-tests/dpdk/host/*.c)) $(addprefix dma-tests/dpdk/lib/,json.c pattern.c tool.c)
DPDK_HOST_SHARED := $(filter-out $(patsubst %,dma-tests/dpdk/host/%.c,$(DPDK_HOST_TESTS) bench),$(DPDK_HOST_SRC))
DPDK_HOST_CFLAGS := -std=gnu11 -g -O2 $(WARN) -MMD -MP -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -Iiommu/include -Ivdev -Idma-tests/dpdk
DPDK_HOST_PLAIN := $(OUT)/host/libcordon.a $(OUT)/host/libcordon-model.a
DPDK_HOST_SANITIZED := $(sort $(HOST_SRC:%.c=$(SANITIZED)/obj/%.o) $(MODEL_SRC:%.c=$(SANITIZED)/obj/%.o))

$(OUT)/setup-dpdk.stamp: $(OUT)/setup.stamp
	@tools/setup dpdk && touch $@

# $(call dpdk_host,KIND,FLAGS,LIBRARY,NAMES): programs in $(DPDK_HOST)/KIND.
define dpdk_host
$(DPDK_HOST)/$1/obj/%.o: %.c $(DPDK_HOST)/$1/flags | $(OUT)/setup-dpdk.stamp
	$$(note) CC $$@
	@mkdir -p $$(@D)
	$$(quiet)$$(CC) $$(DPDK_HOST_CFLAGS) $2 `pkg-config --cflags libdpdk | sed 's/-I/-isystem /g'` -c $$< -o $$@

$(patsubst %,$(DPDK_HOST)/$1/%,$4): $(DPDK_HOST)/$1/%: $(DPDK_HOST)/$1/obj/dma-tests/dpdk/host/%.o \
		$(DPDK_HOST_SHARED:%.c=$(DPDK_HOST)/$1/obj/%.o) $3
	$$(note) LD $$@
	$$(quiet)$$(CC) $2 -o $$@ $$^ -Wl,--as-needed `pkg-config --libs libdpdk` -Wl,--no-as-needed -lrte_mempool_ring

-include $(DPDK_HOST_SRC:%.c=$(DPDK_HOST)/$1/obj/%.d)
endef

$(eval $(call flags_stamp,$(DPDK_HOST)/plain,$(CC) $(DPDK_HOST_CFLAGS)))
$(eval $(call flags_stamp,$(DPDK_HOST)/sanitized,$(CC) $(DPDK_HOST_CFLAGS) $(SANITIZE)))
$(eval $(call dpdk_host,plain,,$(DPDK_HOST_PLAIN),bench))
$(eval $(call dpdk_host,sanitized,$(SANITIZE),$(DPDK_HOST_SANITIZED),$(DPDK_HOST_TESTS)))

# The guests' programs, over ports and an engine that this machine has in software.
DPDK_SOFT := $(DPDK_HOST)/ports/sg $(DPDK_HOST)/ports/copy
dpdk_soft_obj = $(patsubst %.c,$(DPDK_HOST)/sanitized/obj/%.o,$(wildcard dma-tests/dpdk/$1/*.c dma-tests/dpdk/lib/*.c))
$(DPDK_HOST)/ports/sg: $(call dpdk_soft_obj,sg)
$(DPDK_HOST)/ports/copy: $(call dpdk_soft_obj,copy)
$(DPDK_SOFT):
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(SANITIZE) -o $@ $^ -Wl,--as-needed `pkg-config --libs libdpdk` -Wl,--no-as-needed -lrte_mempool_ring \
		-lrte_net_memif -lrte_dma_skeleton
-include $(patsubst %.o,%.d,$(sort $(call dpdk_soft_obj,sg) $(call dpdk_soft_obj,copy)))

$(DPDK_HOST)/ports/liar.so: dma-tests/dpdk/liar/engine.c $(DPDK_HOST)/plain/flags | $(OUT)/setup-dpdk.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(filter-out -MMD -MP,$(DPDK_HOST_CFLAGS)) `pkg-config --cflags libdpdk | sed 's/-I/-isystem /g'` -fPIC -shared -o $@ $<

.PHONY: dpdk-host test-dpdk-host bench-dpdk
dpdk-host: $(DPDK_HOST_TESTS:%=$(DPDK_HOST)/sanitized/%) $(DPDK_SOFT) $(DPDK_HOST)/ports/liar.so $(DPDK_HOST)/plain/bench

test-dpdk-host: dpdk-host ## DPDK in this process: scatter-gather chains through the software IOMMU (T=)
	@$(PYTEST) dma-tests/dpdk/host $(PYTEST_PICK)

bench-dpdk: $(DPDK_HOST)/plain/bench dpdk bench-parts ## benchmarks with DPDK (BENCH=nics)
	@$(PYTHON) tools/bench --dpdk $(WITH) $(BENCH)

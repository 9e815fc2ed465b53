# Debian's packages: this machine's, and the guests' (riscv64).
.PHONY: setup
setup: $(OUT)/setup.stamp ## install what is missing (says what and why; needs root only then)
	@tools/setup

# Everything that needs tools comes after this one; it runs once, and when the list changes.
$(OUT)/setup.stamp: tools/setup tools/packages.txt
	@tools/setup && mkdir -p $(OUT) && touch $@

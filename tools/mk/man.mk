# Manual pages: cordon(1), cordon(7), and section 3 from the comments of the public headers.
MAN_FROM := tools/man-pages tools/gen-abi docs/man/cordon.7 docs/man/cordon.1 $(wildcard iommu/include/cordon/*.h)

.PHONY: man
man: $(OUT)/man.stamp ## manual pages in out/man (read with: man -M out/man cordon)

$(OUT)/man.stamp: $(MAN_FROM) | $(OUT)/setup.stamp
	$(note) MAN $(OUT)/man
	$(quiet)rm -rf $(OUT)/man && $(PYTHON) tools/man-pages --output $(OUT)/man && touch $@

.PHONY: guest
guest: ## the guests' kernel and initramfs, from Debian's riscv64 packages

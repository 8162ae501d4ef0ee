# A thin front: everything is built by Meson. `make help` lists the targets.
BUILD ?= build
.PHONY: help all
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
$(BUILD)/build.ninja:
	meson setup $(BUILD)
help:
	@echo "make            build into $(BUILD)/"

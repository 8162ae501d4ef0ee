# A thin front: everything is built by Meson and checked by the scripts it calls. `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
.PHONY: all help deps deps-ci build demo test lint seeds speed mutants model bench fuzz sanitize soak coverage install docs clean

all: build

help:
	@sed -n 's/^## //p' Makefile

## make demo       install what is missing, build, and tour the main job on real processes
demo: build
	@tools/demo $(BUILD)

## make test       the same set-up, then all tests (under 15 minutes on two cores)
test: build lint
	@tests/run $(BUILD)

## make deps       install what is missing to build, test and run (says what; sudo only when not root)
deps:
	@tools/deps build

deps-ci: deps
	@tools/deps ci

## make build      build into build/
build: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix $(PREFIX) >/dev/null
	@ninja -C $(BUILD) | tail -n 1

## make lint       layering, exported names, forbidden calls, dead files, documentation: needs no compiler
lint:
	@tools/lint

## make seeds      simulated networks, SEEDS=A..B (default 1..20000)
SEEDS ?= 1..20000
seeds: build
	@$(BUILD)/src/lab-seeds --seeds $(SEEDS) --jobs 2

## make mutants    planted bugs: which of them do the unit tests let pass, and which does the simulated world find? MUTANTS="--only NAME"
mutants: deps
	@tools/mutants $(MUTANTS)

## make model      the Spin model of the ring (installs spin)
model: deps-ci
	@model/run

## make speed      the simulated world: frames a second, memory per node (NODES=1000; 100000: many minutes, 8 GB)
NODES ?= 1000
speed: build
	@$(BUILD)/src/lab-speed --nodes $(NODES)

## make bench      side by side with other systems (installs them on demand)
bench: build
	@bench/run --p2ps $(BUILD)/bench $(BENCH)

## make fuzz       every decoder under libFuzzer, FUZZ_S seconds each (default 60)
FUZZ_S ?= 60
fuzz: deps-ci
	@tools/fuzz $(FUZZ_S)

## make sanitize   unit, lab and network tests under AddressSanitizer and UndefinedBehaviorSanitizer
sanitize: deps-ci
	@tools/sanitize

## make soak       rounds of kill, stop, partition, full disk, clock steps on 16 daemons (ROUNDS=200, SEED=1; resumes; needs root)
ROUNDS ?= 200
SEED ?= 1
soak: build
	@tools/soak --build $(BUILD) --rounds $(ROUNDS) --seed $(SEED)

## make coverage   line and branch coverage of the unit and lab tests
coverage: deps-ci
	@tools/coverage

## make docs       generate docs/OPERATIONS.md and docs/LIMITS.md from the tables
docs: build
	@$(BUILD)/src/gen-docs > docs/OPERATIONS.md
	@$(BUILD)/src/gen-docs limits > docs/LIMITS.md

## make install    into DESTDIR and PREFIX (default /usr/local)
install: build
	@meson configure $(BUILD) --prefix $(PREFIX) && ninja -C $(BUILD) >/dev/null
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

clean:
	rm -rf $(BUILD)

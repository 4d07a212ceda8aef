# Every target works as the only command on a machine with Python 3.11, g++, make and perl.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
MINUTES ?= 5
BIN := .venv/bin
READY := .venv/.ready
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

.PHONY: demo test check bench bench-fpga sat train-rtl render-rtl fuzz formal scenes docs lint clean

demo: $(READY)
	$(BIN)/python -m gossamer.demo

# Linters run beside the tests and are heard behind them; either makes the target fail.
beside_lint = @said=$$(mktemp); $(MAKE) --no-print-directory lint >$$said 2>&1 & lint=$$!; \
	$(1); tests=$$?; wait $$lint; lint=$$?; cat $$said; rm $$said; exit $$((tests ? tests : lint))

test: $(READY)
	$(call beside_lint,$(PYTEST))

check: $(READY)
	$(call beside_lint,$(PYTEST) -m "not slow")

bench: $(READY)
	$(BIN)/python -m gossamer.bench $(PARTS)

bench-fpga: $(READY)
	$(BIN)/python -m gossamer.bench_fpga

# Networks of workloads/sat by every method: docs/sat.md and, at 2:16 on words of 16 elements, docs/sat-g16.md.
sat: $(READY)
	$(BIN)/python -m gossamer.sat
	$(BIN)/python -m gossamer.sat --arch vcu1525-32x32-g16 --name sat-g16

train-rtl: $(READY)
	$(BIN)/python -m gossamer.train_rtl

render-rtl: $(READY)
	$(BIN)/python -m gossamer.render_rtl $(FIELDS)

fuzz: $(READY)
	$(BIN)/python -m tests.system.fuzz $(MINUTES)

# Fields of the procedural scenes, minutes each; PyTorch is installed if it is missing, for CPUs if an index has that.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
scenes: $(READY)
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) 'torch==2.13.0+cpu' 2>/dev/null || $(PIP) -e '.[torch]'
	$(BIN)/python -m gossamer.scenes solid cluttered $(FIT)
	$(BIN)/python -m gossamer.scenes glossy --network 2:8 2:4 --both $(FIT)
	$(BIN)/python -m gossamer.scenes thin --side 144 --size 200 --effort 1.5 $(FIT)

# Each proof is a process of its own: they may share the workers, unlike other slow tests.
formal: $(READY)
	$(PYTEST) --dist load $(wildcard tests/hw/*/test_formal*.py)

docs: $(READY)
	$(BIN)/python -m gossamer.pictures
	$(BIN)/python -c 'from gossamer_models.isa.reference import isa_reference; print(isa_reference(), end="")' > docs/isa.md
	$(BIN)/python -c 'from gossamer_models.registers import register_reference; print(register_reference(), end="")' > docs/registers.md

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[rtl,onnx,study,dev]'
	@touch $@

clean:
	rm -rf build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Sets up, demonstrates and tests SlicerVAE on Linux and macOS; `make` alone lists the targets. Windows: see README.md.

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
PYTEST_ARGS ?= -n 2 --dist loadfile
DEMO ?= demo
OPEN_MS ?= ../shared/data/open_ms

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
APT := apt-get install -y --no-install-recommends
TEST_PACKAGES := procps libglib2.0-0 libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libfreetype6 libx11-6

# $(call debian-packages,NAMES,WHAT FOR): install them as root, otherwise say in one sentence what to run.
define debian-packages
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update && DEBIAN_FRONTEND=noninteractive $(APT) $(1); \
else \
	echo "$(2): on Debian or Ubuntu run 'sudo $(APT) $(1)', then make again." >&2; exit 1; \
fi
endef

.PHONY: help
help:
	@echo "make demo      set up, then the whole job on phantom patients: open $(DEMO)/report.html afterwards"
	@echo "make test      set up, then format, lint, types and tests"
	@echo "make install   set up only: a virtual environment in $(VENV)"
	@echo "make lint      format, lint and types without the tests"
	@echo "make format    write the code as the formatter wants it"
	@echo "make results   train and measure on the open MS data in OPEN_MS, into runs/"
	@echo "make demonstration-model  train the model that comes with the module anew, into SlicerVAE/Resources"
	@echo "make pictures  draw the slice views of README.md and docs/ anew, into docs/pictures"
	@echo "make clean     remove $(VENV), demo and everything else that make made but runs/"
	@echo
	@echo "PYTHON       Python 3.11 to 3.13 to make $(VENV) with: $(PYTHON)"
	@echo "TORCH        the PyTorch to install: $(TORCH)"
	@echo "TORCH_INDEX  more words for pip about it, such as TORCH_INDEX='--index-url URL' for a CUDA or CPU build"
	@echo "             (these three count when $(VENV) is made; 'make clean' first to change them)"
	@echo "PYTEST_ARGS  words for pytest, such as PYTEST_ARGS='-k geometry': $(PYTEST_ARGS)"

.PHONY: install
install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or newer: install one and name it, as in 'make PYTHON=python3.11'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		venv="$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
		$(call debian-packages,$$venv,$(PYTHON) can't make virtual environments); }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install '$(TORCH)' $(TORCH_INDEX)
	$(BIN)/python -m pip install --editable '.[test,scene]'
	@touch $@

# The tests look at the panel through Qt, which needs libraries of the system, and at processes; nothing else does.
.PHONY: test-system
test-system: $(INSTALLED)
	@{ command -v ps && $(BIN)/python -c 'import PySide6.QtWidgets'; } >/dev/null 2>&1 || { \
		$(call debian-packages,$(TEST_PACKAGES),The tests need ps and libraries for Qt); }

.PHONY: demo
demo: $(INSTALLED)
	$(BIN)/slicervae demo --out $(DEMO)

.PHONY: lint
lint: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

.PHONY: test
test: lint test-system
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: format
format: $(INSTALLED)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: results
results: $(INSTALLED)
	$(BIN)/slicervae fit vae50 --data $(OPEN_MS) --out runs/flair --seed 0 --set size=128 --max-epochs 40 \
		--set 'data.include=*FLAIR*' --set data.exclude_patients=cross_sectional/patient19
	$(BIN)/slicervae export runs/flair --out runs/flair-bundle
	$(BIN)/slicervae evaluate runs/flair-bundle --data $(OPEN_MS) --include '*patient19*FLAIR*' --out runs/flair-quality
	$(BIN)/slicervae reconstruct runs/flair-bundle $(OPEN_MS)/cross_sectional/patient19/FLAIR.nii.gz --modality MR \
		--out runs/flair-patient19
	$(BIN)/slicervae benchmark engine

# Needs no data; about 15 minutes of one core. An interrupted one goes on with the same command.
.PHONY: demonstration-model
demonstration-model: $(INSTALLED)
	$(BIN)/python -m slicervae.builtin --resources SlicerVAE/Resources --work build/demonstration

# Off-screen, from the demonstration patient and its model.
.PHONY: pictures
pictures: test-system
	cd SlicerVAE && ../$(BIN)/python -m Testing.headless.slice_pictures_docs --out ../docs/pictures

.PHONY: clean
clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find SlicerVAE trainer -type d -name __pycache__ -prune -exec rm -rf {} +

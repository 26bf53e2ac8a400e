# Each target sets up what it needs and is quick the second time: a stamp in .setup/ is named for the hash of what it was made of.
#
#   make demo    two gateways, a tunnel, traffic through it (root)
#   make test    all tests (root)          make lint    ruff, formatting, mypy
#   make bench   all benchmarks (root)     make soak    ten minutes at full speed (root); TIME=60 for a try
#   make docs    what is drawn and listed from the source: docs/ike-states.md, docs/swanctl-conf.md
#   make build   the extensions and the BPF object, in place
#   make clean   forget what was built; the virtual environment too

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test lint docs bench soak build clean

SYSTEM_PYTHON := /usr/bin/python3
PYTHON := .venv/bin/python
TIME ?= 600
BENCH ?=

hash = $(shell cat $(1) 2>/dev/null | sha256sum | cut -c1-16)
packages = .setup/packages-$(1)-$(call hash,ci/packages-$(1).txt)

BASE := $(call packages,base)
PEERS := $(call packages,peers)
VM := $(call packages,vm)
RIVALS := $(call packages,bench)
VENV := .setup/venv-$(call hash,pyproject.toml ci/requirements.py)
SOURCES := $(shell find fastesp bpf -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' -path 'bpf/*') setup.py
BUILD := .setup/build-$(call hash,$(sort $(SOURCES)) pyproject.toml)

build: $(BUILD)

demo: $(BUILD)
	$(PYTHON) -m fastesp.lab.demo

test: $(BUILD) $(PEERS) $(VM)
	ci/test

lint: $(VENV)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

docs: $(VENV)
	$(PYTHON) -m ike.sa.diagram
	$(PYTHON) -m fastesp.config.reference

bench: $(BUILD) $(RIVALS)
	ci/bench $(BENCH)

soak: $(BUILD)
	$(PYTHON) -m fastesp.lab.soak --seconds $(TIME)

clean:
	rm -rf .setup .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find fastesp -name '*.so' -delete -o -name '*.bpf.o' -delete
	find fastesp -name '*.pyx' | sed 's/pyx$$/c/' | xargs -r rm -f

.setup/packages-%:
	@mkdir -p .setup
	ci/setup-machine.sh $(firstword $(subst -, ,$*))
	@rm -f .setup/packages-$(firstword $(subst -, ,$*))-* && touch $@

# The interpreter is Debian's own, and its packages are seen: those that pip does not have come from there.
# What runs is this checkout: the environment has a path to it, and a command that leads into it.
$(VENV): | $(BASE)
	test -x $(PYTHON) || $(SYSTEM_PYTHON) -m venv --system-site-packages .venv
	ci/requirements.py >.setup/requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement .setup/requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --retries 1 --timeout 30 $$(ci/requirements.py mlkem512) \
		|| echo 'ML-KEM-512 is left out: its package is not to be had for this machine'
	echo '$(CURDIR)' >"$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/fastesp-checkout.pth"
	printf '#!%s\nfrom fastesp.cli import main\n\nmain()\n' '$(CURDIR)/$(PYTHON)' >.venv/bin/fastesp
	chmod +x .venv/bin/fastesp
	@rm -f .setup/venv-* && touch $@

$(BUILD): $(VENV) | $(BASE)
	$(PYTHON) setup.py --quiet build_ext --inplace --parallel $(shell nproc)
	@rm -f .setup/build-* && touch $@

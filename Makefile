# trade_canvas needs only Python 3.11 or newer: `make run` starts it, `make test` tests it. `up` reads
# PORT, DATA_DIR, EXCHANGE and every TRADE_CANVAS_ switch from the environment.

VENV := .venv
BIN := $(VENV)/bin
ifndef PYTHON
PYTHON := $(shell for each in python3 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	&& echo $$each && break; done)
endif

# They share PostgreSQL and Valkey, and have databases of their own; 0 runs the tests in pytest's own.
TEST_PROCESSES := 4
# Without cached bytecode each of them would compile every test file anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) \
	--dist loadfile --no-loadscope-reorder

# A step is skipped while its inputs are unchanged: their checksum is in the name of its stamp file.
checksum = $(shell cat $(1) 2> /dev/null | cksum | tr ' ' -)
FRONTEND_FILES := $(shell find frontend clients/typescript -type d \( -name node_modules -o -name dist \) -prune \
	-o -type f ! -name '.built-*' -print 2> /dev/null | LC_ALL=C sort)
RUN_READY := $(VENV)/.run-$(call checksum,requirements.lock)
DEV_READY := $(VENV)/.dev-$(call checksum,requirements-dev.lock)
NODE_READY := frontend/node_modules/.ready-$(call checksum,frontend/package-lock.json)
PAGE_READY := frontend/dist/.built-$(call checksum,$(FRONTEND_FILES))
CLIENT_READY := clients/typescript/.built-$(call checksum,$(FRONTEND_FILES))

PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes
NPM := cd frontend && PATH="$(CURDIR)/$(BIN):$$PATH" npm --no-fund --no-audit --no-update-notifier

.PHONY: run test check lint types format frontend screenshots lock bench capacity profile drill clean

run: $(RUN_READY) $(PAGE_READY)
	@$(BIN)/python manage.py up

test: $(DEV_READY) $(PAGE_READY) $(CLIENT_READY)
	$(PYTEST) $(PYTEST_OPTIONS)
	$(NPM) test

# The long proof: many examples of every property, and the tests that `make test` leaves out.
.PHONY: prove
prove: $(DEV_READY) $(PAGE_READY) $(CLIENT_READY)
	TEST_PROFILE=thorough $(PYTEST) --timeout 3600 $(PYTEST_OPTIONS)

# The same tests of factors, drawings and the page with a factor of another package, and instances.
.PHONY: test-foreign
test-foreign: $(DEV_READY) $(PAGE_READY)
	TEST_FOREIGN_FACTORS=1 $(PYTEST) $(PYTEST_OPTIONS) factors overlays market/live \
		tests/test_rollback_mode.py tests/test_factor_drawings.py tests/test_foreign_factors.py \
		tests/browser/test_drawings.py

# The tests on a server that has TimescaleDB, with candles in a hypertable: TEST_DATABASE_URL names it.
# Fails where another `make test` would skip. TESTS names some of them.
TESTS := market factors overlays trade_canvas tests
.PHONY: test-timescale
test-timescale: $(DEV_READY) $(PAGE_READY) $(CLIENT_READY)
	TEST_REQUIRES_TIMESCALE=1 $(PYTEST) -m "not browser" $(PYTEST_OPTIONS) $(TESTS)

check: lint types test

lint: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(DEV_READY) $(NODE_READY)
	$(BIN)/mypy
	$(NPM) run typecheck

# Fails for a package with a known vulnerability, and when the databases of them did not answer;
# with OFFLINE=1 the latter is only reported.
.PHONY: audit
audit: $(DEV_READY)
	@OFFLINE=$(OFFLINE) $(BIN)/python .ci/audit.py

# CycloneDX bills of materials of what is installed and served, from the lock files.
SBOM := output/sbom
.PHONY: sbom
sbom: $(DEV_READY)
	@mkdir -p $(SBOM)
	@cat requirements.lock requirements-arrow.lock \
		| $(BIN)/cyclonedx-py requirements - --pyproject pyproject.toml \
		--mc-type application --output-reproducible --output-format JSON \
		--output-file $(SBOM)/python.cdx.json
	@$(NPM) sbom --package-lock-only --omit dev --sbom-format cyclonedx --sbom-type application \
		> ../$(SBOM)/npm.cdx.json
	@echo "written: $(SBOM)/python.cdx.json, $(SBOM)/npm.cdx.json"

# The catalogs of locale/: every text of the code, and their compiled form.
.PHONY: translations
translations: $(DEV_READY)
	$(BIN)/python -m lab.translations

format: $(DEV_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

frontend: $(PAGE_READY)

# The TypeScript client as other programs install it: clients/typescript/dist.
.PHONY: client
client: $(CLIENT_READY)

# Renews the pictures of page and admin in README and docs; PICTURES=admin only those.
screenshots: $(DEV_READY) $(PAGE_READY)
	SCREENSHOT_DIR=docs/images $(BIN)/python -m pytest -n0 tests/browser/pictures.py \
		$(if $(PICTURES),-k $(PICTURES))

bench: $(DEV_READY)
	$(BIN)/python -m lab.benchmarks

# Both write into output/capacity; docs/capacity.md explains the figures. PAGES measures so many pages.
capacity: $(DEV_READY) $(if $(PAGES),$(PAGE_READY))
	$(BIN)/python manage.py capacity $(if $(PAGES),--pages $(PAGES))

profile: $(DEV_READY)
	$(BIN)/python manage.py capacity --minutes 1 --profile --no-bare

# DRILLS names some of them (manage.py drill --list), REPORT a page for the figures.
drill: $(DEV_READY)
	$(BIN)/python manage.py drill $(DRILLS) $(if $(REPORT),--report $(REPORT))

# Starts what docker/ describes with podman, as root on Debian. PARTS: compose, kubernetes.
.PHONY: containers
containers: $(DEV_READY)
	$(BIN)/python manage.py containers $(PARTS) $(if $(REPORT),--report $(REPORT))

# Follows docs/bare-machine.md on a fresh Debian system of its own: as root, on Debian, ten minutes.
.PHONY: bare-machine
bare-machine: $(DEV_READY)
	$(BIN)/python -m lab.bare_machine

# The lock files name versions and hashes for every platform and Python from 3.11; the package index is
# a setting of the machine. KEEP=1 keeps the versions, and adds or removes packages only.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header $(if $(KEEP),,--upgrade)
lock: $(DEV_READY)
	$(LOCK) --output-file requirements.lock requirements.txt
	$(LOCK) --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.txt
	$(LOCK) --constraint requirements-dev.lock --output-file requirements-bench.lock \
		requirements-bench.txt
	$(LOCK) --constraint requirements-dev.lock --output-file requirements-arrow.lock \
		requirements-arrow.txt

# Keeps the data; `rm -r .data` deletes it.
clean:
	rm -rf $(VENV) frontend/node_modules frontend/dist staticfiles .mypy_cache .ruff_cache \
		clients/typescript/dist clients/typescript/.built-*

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "trade_canvas needs Python 3.11 or newer"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_READY): | $(BIN)/python
	@echo "installing requirements.lock"
	@$(PIP) -r requirements.lock
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_READY): | $(BIN)/python
	@echo "installing requirements-dev.lock"
	@$(PIP) -r requirements-dev.lock
	@rm -f $(VENV)/.dev-* && touch $@

# npm is in both lock files; either installation suffices.
$(NODE_READY): | $(BIN)/npm
	@echo "installing the frontend's packages"
	@$(NPM) ci --loglevel=error
	@rm -f frontend/node_modules/.ready-* && touch $@

$(BIN)/npm:
	@$(MAKE) --no-print-directory $(RUN_READY)

$(PAGE_READY): $(NODE_READY)
	@echo "building the page"
	@$(NPM) exec -- vite build --logLevel warn
	@rm -f frontend/dist/.built-* && touch $@

$(CLIENT_READY): $(NODE_READY)
	@echo "building the TypeScript client"
	@$(NPM) run --silent client
	@rm -f clients/typescript/.built-* && touch $@

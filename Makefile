# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What a developer runs. It sets up what it needs below .venv and .cache, and touches nothing else on the machine.

PYTHON ?= python3
# Only a small part of all that is installed is ever imported, and compiled then.
PIP = -m pip --disable-pip-version-check install --quiet --no-compile
DEMO = .venv/demo
TEST = .venv/test
DEBEZIUM = .venv/debezium
BENCH = .venv/bench
# The versions of ansible-core that something is tested with.
CORES = 2.16 2.18 2.19 2.21

# Two servers at a time; all tests of one version run on the same one.
JOBS ?= 2
comma = ,
SELECTION = $(if $(PG),--postgres "$(PG)") $(if $(K),-k "$(K)")

.PHONY: help demo test unit integration api ssh robustness matrix debezium debezium-with-java molecule lint docs bench clean
.NOTPARALLEL:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO)/.stamp ## Show the collection at work on a PostgreSQL of its own, or on DSN=postgresql://...
	@$(DEMO)/bin/python demo/run.py

test: unit integration api ssh robustness matrix debezium molecule lint ## Run all tests

unit: $(TEST)/.stamp ## Test what needs no server (K=expression selects)
	@echo "Unit tests"
	@$(TEST)/bin/python -m pytest tests/unit $(if $(K),-k "$(K)")

integration: $(TEST)/.stamp ## Test on real servers, 14 to 18 (PG=17 or PG=16,17 and K=expression select)
	@echo "Integration tests on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python tests/support/binaries.py $(subst $(comma), ,$(PG))
	@$(TEST)/bin/python -m pytest tests/integration -n $(JOBS) --dist loadgroup $(SELECTION)

api: $(TEST)/.stamp ## Test against fakes of Neon's and Streamkap's API, the former validated by Neon's own description (needs npm; PG= and K= select)
	@echo "APIs of Neon and Streamkap on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python tests/support/binaries.py $(subst $(comma), ,$(PG))
	@$(TEST)/bin/python -m pytest tests/api -n $(JOBS) --dist loadgroup $(SELECTION)

# To the tunnel one version is like the other.
ssh: $(TEST)/.stamp ## Test the tunnel on a real sshd (needs root, openssh-server and openssh-client; PG= and K= select)
	@echo "The bastion, with PostgreSQL $(or $(PG),17) behind it"
	@$(TEST)/bin/python tests/support/binaries.py $(or $(subst $(comma), ,$(PG)),17)
	@$(TEST)/bin/python -m pytest tests/ssh -n $(JOBS) --dist loadgroup --postgres "$(or $(PG),17)" $(if $(K),-k "$(K)")

# The page is of a whole run.
robustness: $(TEST)/.stamp ## Try to break it, 14 to 18, and write docs/robustness.md (PG= and K= select, and write nothing)
	@echo "Faults, attacks and crowds on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python tests/support/binaries.py $(subst $(comma), ,$(PG))
	@$(TEST)/bin/python -m pytest tests/robustness -n $(JOBS) --dist loadgroup $(if $(strip $(SELECTION)),$(SELECTION),--write-figures)

matrix: ## Test on the oldest and newest ansible-core, modules in Ansible's process and in their own (PG= and K= select)
	@echo "Unit, integration and API tests in both ways, on two versions of ansible-core"
	@MAKE="$(MAKE)" PYTHON="$(PYTHON)" PYTHON_NEWEST="$(PYTHON_NEWEST)" JOBS="$(JOBS)" tests/matrix.sh $(SELECTION)

# Nothing is downloaded where it could not run.
debezium: ## Test with the real Debezium as the connector (needs Java 17; PG= and K= select)
	@if $(PYTHON) tests/debezium/java.py; then \
		$(MAKE) --no-print-directory debezium-with-java; \
	else \
		[ "$${CI:-}" != true ]; \
	fi

debezium-with-java: $(DEBEZIUM)/.stamp
	@echo "Debezium on PostgreSQL $(or $(PG),14 to 18)"
	@$(DEBEZIUM)/bin/python tests/support/binaries.py $(subst $(comma), ,$(PG))
	@$(DEBEZIUM)/bin/python -m pytest tests/debezium -n $(JOBS) --dist loadgroup $(SELECTION)

molecule: $(TEST)/.stamp ## Run the role against a PostgreSQL container (needs podman or docker)
	@echo "Molecule"
	@tests/molecule.sh

lint: $(TEST)/.stamp ## Run ansible-test sanity and all linters, on ansible-core 2.16 and 2.21, with FULL=1 on 2.18 and 2.19 too (CORE=2.19 selects)
	@echo "ansible-test sanity and the linters"
	@MAKE="$(MAKE)" PYTHON="$(PYTHON)" PYTHON_NEWEST="$(PYTHON_NEWEST)" JOBS="$(JOBS)" FULL="$(FULL)" tests/lint.sh $(CORE)

docs: $(TEST)/.stamp ## Write the pages that are generated from the code
	@$(TEST)/bin/python tests/support/checks_page.py

bench: $(BENCH)/.stamp ## Measure beside community.postgresql, and write docs/benchmarks (QUICK=1 for a look, MINUTES=60 for more runs)
	@$(BENCH)/bin/python tests/support/binaries.py 17
	@PYTHONPATH=tests $(BENCH)/bin/python -m bench.run $(if $(QUICK),--quick) $(if $(MINUTES),--minutes $(MINUTES))

clean: ## Remove what this Makefile has set up
	rm -rf .venv .cache tests/output

$(DEMO)/.stamp: demo/requirements.txt requirements.txt
$(TEST)/.stamp: tests/requirements.txt tests/requirements-pytest.txt tests/requirements-lint.txt requirements.txt
$(DEBEZIUM)/.stamp: tests/requirements-debezium.txt tests/requirements-pytest.txt requirements.txt
$(CORES:%=.venv/core-%/.stamp): .venv/core-%/.stamp: tests/requirements-core-%.txt tests/requirements-pytest.txt requirements.txt
$(CORES:%=.venv/core-%/.lint-stamp): .venv/core-%/.lint-stamp: .venv/core-%/.stamp tests/requirements-lint.txt
	@.venv/core-$*/bin/python $(PIP) -r tests/requirements-core-$*.txt -r tests/requirements-lint.txt
	@touch $@

$(BENCH)/.stamp: bench/requirements.txt requirements.txt

.venv/%/.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not a Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv/$* with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python $(PIP) -r $(firstword $^)
	@touch $@

# The doors of the checkout; README.md says what each prints. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
PYTEST_WORKERS ?= 2

.PHONY: help demo ui test lint docs bench up down release clean
help:
	@echo 'make demo   move the sample warehouse from SQL Server (a stand-in) to Postgres, without Docker'
	@echo 'make ui     the same systems, with the Dagster UI on http://127.0.0.1:3000'
	@echo 'make up     the whole stack in Docker; STANDIN=1 without Microsoft'"'"'s image'
	@echo 'make down   stop it; volumes stay'
	@echo 'make test   every test this machine can run; FAST=1 those that need no server'
	@echo 'make lint   ruff, basedpyright, import rules, shellcheck, hadolint, dg check'
	@echo 'make docs   the documentation as a site, in build/site'
	@echo 'make bench  measurements against peers; BENCH_OPTIONS=--help lists what it takes'
	@echo 'make release VERSION=1.2.3   wheel, images, lists of what is inside, tag; RELEASE_OPTIONS=--dry-run'
	@echo 'make clean  remove .venv, .demo and .bench'

.venv/.complete: requirements/dev.lock requirements/uv.lock user_code/pyproject.toml localstack/pyproject.toml scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh

demo: .venv/.complete
	@.venv/bin/python -m demo run $(DEMO_OPTIONS)

ui: .venv/.complete
	@.venv/bin/python -m demo ui $(DEMO_OPTIONS)

# Workers take tests from each other at the end, where one would still have minutes of them and the other none.
# The stack's tests come last and alone: they start a dozen containers and time what happens in them.
test: .venv/.complete
ifdef PYTEST_OPTIONS
	.venv/bin/python -m pytest $(PYTEST_OPTIONS)
else ifdef FAST
	.venv/bin/python -m pytest -n $(PYTEST_WORKERS) tests/unit
else
	.venv/bin/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal --ignore=tests/stack --ignore=tests/installed --durations=20
	.venv/bin/python -m pytest tests/installed -o faulthandler_timeout=2400
	.venv/bin/python -m pytest tests/stack -o faulthandler_timeout=1200
endif

lint: .venv/.complete
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	.venv/bin/shellcheck stack deploy/vm/lib/*.sh scripts/*.sh docker/*.sh docker/*/*.sh .ci/run
	.venv/bin/hadolint docker/*/Dockerfile docker/airgap/*.Dockerfile localstack/Dockerfile tests/stack/probes/Dockerfile
	.venv/bin/tranship check user_code/src
	cd user_code && ../.venv/bin/dg check defs
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

# STANDIN=1: our stand-in instead of Microsoft's SQL Server.
COMPOSE = docker compose -f docker-compose.yml $(if $(STANDIN),-f docker-compose.standin.yml)

up:
	@docker/airgap/engine.sh
	@docker/airgap/images.sh
	$(COMPOSE) up --build --wait --wait-timeout 600
	@docker image prune --force --filter label=com.docker.compose.project=$${COMPOSE_PROJECT_NAME:-tranship} >/dev/null
	@echo "Dagster: http://127.0.0.1:$${TRANSHIP_WEBSERVER_HOST_PORT:-3000}"

down:
	$(COMPOSE) --profile bundled down --remove-orphans

docs: .venv/.complete
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	@echo 'The site is in build/site.'

bench: .venv/.complete
	@.venv/bin/python -m bench $(BENCH_OPTIONS)

release: .venv/.complete
	@.venv/bin/python scripts/release.py $(VERSION) $(RELEASE_OPTIONS)

clean:
	rm -rf .venv .demo .bench

# make demo      train and evaluate on the built-in data set
# make test      run the tests
# make long      run the tests that take minutes
# make docs      build the documentation as a site, in site/
# make check     check format, lint and types, and run the tests with coverage, as CI does
# make campaign  run the robustness tests of docs/explanation/reliability.md (about half an hour)
# make release   check the release, audit the dependencies, write the SBOM and build the wheel
# make format    format the code and fix lint errors
# make clean     delete what these commands create
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
INSTALL := $(RUN)/python -m pip install --quiet --disable-pip-version-check

PYTEST := $(RUN)/pytest -n 2 --dist loadfile

.PHONY: demo test long docs check campaign release format clean

demo: $(VENV)/ready
	$(RUN)/ssim-ae demo

test: $(VENV)/ready
	$(PYTEST)

long: $(VENV)/ready
	$(INSTALL) --no-build-isolation --constraint constraints.txt --editable '.[mindspore,ray]'
	$(RUN)/pytest -m long

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build

check: $(VENV)/ready
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/mypy --package campaign
	$(RUN)/mypy bench
	$(PYTEST) --cov

campaign: $(VENV)/ready
	OMP_NUM_THREADS=1 $(RUN)/python -m campaign

release: $(VENV)/ready
	$(INSTALL) --group release
	$(RUN)/pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip
	$(RUN)/cyclonedx-py requirements requirements.lock --output-file dist/sbom.json
	$(RUN)/python scripts/check_release.py
	$(RUN)/python -m hatchling build -d dist

format: $(VENV)/ready
	$(RUN)/ruff format
	$(RUN)/ruff check --fix

clean:
	rm -rf $(VENV) demo site bench/.venv-*

$(VENV)/ready: pyproject.toml constraints.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python: 3.11, 3.12 or 3.13 is required; run: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --no-deps --require-hashes --requirement requirements.lock
	$(INSTALL) --no-build-isolation --constraint constraints.txt --editable '.[train,int8,buckets,serve,line,postgresql,parquet,camera,mqtt,opcua]'
	@touch $@

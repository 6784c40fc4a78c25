# make demo: see it work.  make test: the tests.  make check: lint, types and tests.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: demo test long check format clean

demo: $(VENV)/ready
	$(RUN)/ssim-ae demo

test: $(VENV)/ready
	$(RUN)/pytest

long: $(VENV)/ready
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mindspore]'
	$(RUN)/pytest -m long

check: $(VENV)/ready
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/pytest

format: $(VENV)/ready
	$(RUN)/ruff format
	$(RUN)/ruff check --fix

clean:
	rm -rf $(VENV) demo bench/.venv-*

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[train,int8,buckets,serve]' --group dev
	@touch $@

# Every target sets up what it needs in .venv, from a bare clone and any Python >= 3.11.
# An activated environment is not used and not changed.

PYTHON ?= python3
PIP_FLAGS ?=
DEMO_FLAGS ?=
DEMO_TRAIN_FLAGS ?=
DEMO_MLP_FLAGS ?=
TEST_FLAGS ?=
BENCH_FLAGS ?=

PY := .venv/bin/python
READY := .venv/ready
DOCS_READY := .venv/docs-ready

unexport PYTHONPATH
.PHONY: help demo test quick lint lint-format lint-check lint-types docs dist bench clean

help:
	@echo "make demo   train the field planes for a minute on the bundled flower, then render the"
	@echo "            pretrained MLP; images and videos of both"
	@echo "make test   run the tests and doctests (NERF_DATA_DIR=... also those on photographs)"
	@echo "make quick  run the tests without the slow ones: while you work"
	@echo "make lint   check format, code and types"
	@echo "make docs   build the pages and the API reference into site/"
	@echo "make dist   build wheel and source distribution into dist/"
	@echo "make bench  measure training speed on this machine"
	@echo "make clean  remove .venv, caches and the demo's output"
	@echo "Options: PYTHON=python3.12, DEMO_FLAGS (both runs), DEMO_TRAIN_FLAGS, DEMO_MLP_FLAGS,"
	@echo "         TEST_FLAGS, BENCH_FLAGS, PIP_FLAGS"

demo: $(READY)
	@$(PY) -m nerf.main --field=planes --scene=procedural:flower --offline --mode=train \
		--train_seconds=60 --video_frames=60 --run_dir=demo/flower-planes \
		$(DEMO_FLAGS) $(DEMO_TRAIN_FLAGS)
	@$(PY) -m nerf.main --backend=haiku --scene=procedural:flower --offline \
		--eval_views=1 --video_frames=12 --run_dir=demo/flower $(DEMO_FLAGS) $(DEMO_MLP_FLAGS)
	@test ! -f demo/flower-planes/video.mp4 || $(PY) -m tools.side_by_side_videos \
		--out=demo/beside.mp4 "planes, trained for a minute=demo/flower-planes/video.mp4" \
		"MLP, pretrained=demo/flower/video.mp4"

test: $(READY)
	@$(PY) -m pytest -n 2 --dist loadfile $(TEST_FLAGS)

quick: $(READY)
	@$(PY) -m pytest -n 2 --dist loadfile -m "not slow" nerf tests $(TEST_FLAGS)

lint: lint-format lint-check lint-types

lint-format: $(READY)
	@$(PY) -m ruff format --check .

lint-check: $(READY)
	@$(PY) -m ruff check .

lint-types: $(READY)
	@$(PY) -m mypy

# Pages, links, anchors and references are checked; the variable silences an advertisement.
docs: $(DOCS_READY)
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build
	@echo "The pages are in site/index.html"

# Without egg-info, whose list of files may be an old one.
dist: $(READY)
	@rm -rf dist *.egg-info
	@$(PY) -m build

bench: $(READY)
	@$(PY) -m benchmarks.step_throughput $(BENCH_FLAGS)

clean:
	rm -rf .venv build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache demo

# The version is read from the interpreter that is about to be used; `ensurepip` is what a Debian
# python3 without python3-venv lacks. Two --quiet leave pip its errors.
$(READY): setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed, which '$(PYTHON)' is not: try make PYTHON=python3.11"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot make virtual environments: install its venv package (python3-venv on Debian)"; exit 1; } >&2
	@echo "Setting up .venv (about 2 minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check $(PIP_FLAGS) --editable '.[dev]'
	@touch $@

$(DOCS_READY): $(READY)
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check $(PIP_FLAGS) --editable '.[docs]'
	@touch $@

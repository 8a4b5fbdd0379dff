# Every job by one name; `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# In the versions that were tested together.
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
PERF_ANALYZER := .perf_analyzer
# The image that serves plans builds them: a plan loads in no other TensorRT. This is the one place that names it.
TRITON_IMAGE ?= nvcr.io/nvidia/tritonserver:25.09-py3
SHM_SIZE ?= 1g
# With a terminal, where there is one, for progress bars and Ctrl-C, which is passed on by --init.
DOCKER_RUN = --rm --init --gpus all $$([ -t 0 ] && [ -t 1 ] && echo --interactive --tty)
HOST ?= 127.0.0.1
POOL ?= pools/digits.yaml
# What tests expect of the runtime torch they expect of a CPU; those of a GPU have a marker: pytest -m gpu.
ON_CPU := CUDA_VISIBLE_DEVICES=
# Workers of one thread each (how many: tests/plugins/workers.py): threads that share a core spin, waiting for each other.
WORKERS ?= --numprocesses auto
IN_PARALLEL = $(ON_CPU) OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest $(WORKERS) --durations 20
ORDINARY := not gpu and not soak and not large
CHECKED := build_engines build_cascade embedded_server examples client/cascade_client deploy/constraints.py \
  $(addprefix model_repository/cascade/1/,cascade_core cascade_serving) \
  benchmarks/gpu.py benchmarks/gpu_bench benchmarks/contenders/repository.py benchmarks/imagenet_pool benchmarks/imagenet_served.py \
  $(addprefix benchmarks/,coverage.py encoded.py imagenet.py interval_coverage.py preprocessing_check.py search.py)

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install constraints demo demo-digits serve perf-analyzer engines serve-gpu bindings docs test test-quick large soak lint format clean

help: ## List the jobs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with everything in it

$(INSTALLED): pyproject.toml client/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Python 3.11 or 3.12 is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(INSTALL) --editable '.[test,lint,datasets,heif]' --editable client
	@touch $@

constraints: install ## Resolve the newest releases of all dependencies into constraints.txt; test with them before committing it
	$(BIN)/python deploy/constraints.py '.[test,lint,docs,polygraphy,datasets,heif,demo]' ./client

demo: $(VENV)/.demo ## Serve a cascade of pretrained ImageNet classifiers, classify photographs, compare with single networks
	$(BIN)/python -m examples.imagenet

$(VENV)/.demo: $(INSTALLED)
	PYTHONWARNINGS=ignore $(INSTALL) --editable '.[demo]'
	@touch $@

demo-digits: install ## Train a small pool on handwritten digits, choose a cascade with labels, serve it, report
	$(BIN)/python -m examples.digits

serve: install ## Serve model_repository on this machine until Ctrl-C
	$(BIN)/serve-repository $(SERVE_OPTIONS)

perf-analyzer: $(BIN)/perf_analyzer ## Fetch NVIDIA's perf_analyzer, for cascade bench

# Installed into a separate folder: the environment keeps its newer tritonclient. libb64 comes with nvidia-pytriton.
$(BIN)/perf_analyzer: $(INSTALLED)
	$(BIN)/pip install --quiet --no-deps --upgrade --target $(PERF_ANALYZER) tritonclient==2.51.0 nvidia-cuda-runtime-cu12
	ln -sf $(CURDIR)/$(VENV)/lib/python3.*/site-packages/nvidia_pytriton.libs/libb64-*.so.0d $(PERF_ANALYZER)/libb64.so.0d
	@printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$$@"\n' \
	  '$(CURDIR)/$(PERF_ANALYZER):$(CURDIR)/$(PERF_ANALYZER)/nvidia/cuda_runtime/lib' \
	  '$(CURDIR)/$(PERF_ANALYZER)/bin/perf_analyzer' > $@
	@chmod +x $@ && $@ --version || { rm -f $@; exit 1; }

engines: ## Build the TensorRT plans of POOL on this GPU, in the container that will serve them (TRITON_IMAGE)
	docker run $(DOCKER_RUN) --volume '$(CURDIR)':/work --workdir /work --user $$(id -u):$$(id -g) --env HOME=/tmp \
	  $(TRITON_IMAGE) deploy/engines $(POOL) $(PLAN_OPTIONS)

serve-gpu: ## Serve model_repository on this machine's GPUs, in that same container, until Ctrl-C; HOST=0.0.0.0 for others
	docker run $(DOCKER_RUN) --shm-size $(SHM_SIZE) --publish $(HOST):8000-8002:8000-8002 \
	  --volume '$(CURDIR)'/model_repository:/models:ro --volume '$(CURDIR)'/deploy:/deploy:ro \
	  $(TRITON_IMAGE) /deploy/serve $(TRITON_OPTIONS)

bindings: install ## Fetch TensorRT's Python bindings of two majors, and polygraphy, to test the plan builder against
	PYTHON=$(BIN)/python deploy/bindings
	$(INSTALL) --editable '.[polygraphy]'

docs: $(BIN)/mkdocs ## Build the documentation as a site that needs no network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@! grep -rnE '<(script|link|img)[^>]* (src|href)="?(https?:)?//' site --include='*.html'

$(BIN)/mkdocs: $(INSTALLED)
	PYTHONWARNINGS=ignore $(INSTALL) --editable '.[docs]'
	@touch $@

test: install ## Run every test against the real embedded server
	$(IN_PARALLEL) -m '$(ORDINARY)' $(TEST_OPTIONS)

test-quick: install ## Run the tests that need no server
	$(IN_PARALLEL) -m '$(ORDINARY) and not server' $(TEST_OPTIONS)

large: install ## Export the largest backbone of every ImageNet pool, random weights, in FP32 and FP16
	$(ON_CPU) $(BIN)/pytest -m large -s $(TEST_OPTIONS)

soak: install ## Ten minutes of mixed load on the served cascade, for each `reach`: no crash, no wrong answer, flat memory
	$(ON_CPU) $(BIN)/pytest -m soak -s $(TEST_OPTIONS)

lint: install ## Check style, types, and which package imports which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports

format: install ## Put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what was built; the environment stays
	rm -rf build site
	find model_repository -mindepth 1 -maxdepth 1 ! -name cascade -exec rm -rf {} +
	rm -f model_repository/cascade/cascade.json

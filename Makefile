# Everything a person types; `make help` lists it.
#
# The commands work on the folder they are started in: solvers/, models/, data/ and runs/ there.
# demo/ is a second such folder (`make -C demo -f ../Makefile train-nin`).
#
# The experiment reaches Caffe only through the command CAFFE and the `import caffe` of PYTHON. By
# default both are our engine's, in .venv; real Caffe's can be given:
#   make train-nin1 CAFFE=/usr/bin/caffe GPU=        make ensemble PYTHON=/usr/bin/python3 GPU=

# Values of the command line stay as typed: make would expand what looks like $(a reference) in them.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
$(if $(word 2,$(MAKEFILE_LIST)),$(error the path$(MAKEFILE_LIST) has a space: go to the folder with cd and start make there))
# A shell word, and the same for within double quotes
quoted = '$(subst ','\'',$(1))'
inside = $(subst `,\`,$(subst $$,\$$,$(subst ",\",$(subst \,\\,$(1)))))

# ROOT is relative, as make takes a space in a target for its end. HERE is the same folder, from / on.
ROOT   := $(dir $(lastword $(MAKEFILE_LIST)))
HERE   := $(shell cd $(call quoted,$(ROOT)) && pwd)
FOUND  := $(basename $(notdir $(wildcard solvers/*.prototxt)))
CHECK  := $(shell python3 -I $(call quoted,$(ROOT)harness/makefile_check.py) $(call quoted,$(MAKEFILE_LIST)) $(call quoted,$(FOUND)) \
  $(foreach goal,$(MAKECMDGOALS),$(call quoted,$(goal))) $(foreach name,$(GIVEN),$(call quoted,$(name)=$(value $(name)))))
$(if $(filter-out ok,$(firstword $(CHECK))),$(error $(CHECK)))
# What is given goes into recipes within double quotes, but for what only the environment passes on.
$(foreach name,$(filter-out ok PYTHON PRECISION TINY_IMAGENET,$(CHECK)),\
  $(if $(filter override environment,$(firstword $(origin $(name)))),$(eval override $(name) := $$(call inside,$$(value $(name))))))

VENV   := $(ROOT).venv
PYTHON ?= $(VENV)/bin/python
CAFFE  ?= $(call inside,$(HERE))/.venv/bin/caffe
# A recipe's shell becomes its command: dash would die of a Ctrl-C that the command takes, and make call that an error.
override PYTHON := exec $(PYTHON)
# The GPU to use. Without one our engine says so and runs on the CPU; an empty GPU= asks for the CPU.
GPU    ?= 0
# fp32 as real Caffe, or bf16 (tf32 on a GPU): faster, with fewer digits
PRECISION ?=
MODELS ?= $(FOUND)
# With ZOO=1, `make resume-MODEL`, `make scores-MODEL` and `make ensemble` start from zoo/MODEL where runs/MODEL is missing.
ZOO    ?=
IN_ZOO := $(if $(filter-out 0,$(ZOO)),$(filter $(MODELS),$(notdir $(patsubst %/,%,$(dir $(wildcard zoo/*/readme.md))))))
# `make ensemble` takes the trained ones of them, or exactly those that MODELS="nin1 nin2" names.
TRAINED  := $(strip $(foreach model,$(MODELS),$(if $(wildcard runs/$(model)/$(model)_iter_*.caffemodel)$(filter $(model),$(IN_ZOO)),$(model))))
ENSEMBLE := $(if $(filter file,$(origin MODELS)),$(TRAINED),$(MODELS))
LEFT_OUT := $(filter-out $(ENSEMBLE),$(MODELS))

# Options of `make train-MODEL`, `make resume-MODEL` and `make lr-MODEL`
KEEP          ?=
DETERMINISTIC ?=
TRAINING       = --caffe "$(CAFFE)" --gpu "$(GPU)" --keep "$(KEEP)"$(if $(filter-out 0,$(DETERMINISTIC)), --deterministic)

# Options of `make scores-MODEL`, `make ensemble` and `make submission`: 10crop, dense, whole or another view
VIEW ?=
VIEWS    = center+mirror 10crop dense
LABELLED = val $(if $(wildcard data/lmdb/holdout_lmdb),holdout)

# Options of `make data` and `make lmdb`
TINY_IMAGENET ?=
HOLDOUT       ?=
SEED          ?=
ENCODED       ?=

# Options of `make kmeans`, which takes several of each; SEED is its option too
CLUSTERS      ?= 200

# Options of `make explore`, which takes several of each; MODELS, GPU and JOBS too
EPOCHS   ?= 3
RATES    ?= 0.01 0.003 0.001
DROPOUTS ?=
EXPLORED := $(if $(filter file,$(origin MODELS)),alexnet1 nin1,$(MODELS))

# Options of `make reproduce`
LENGTH  ?=
JOBS    ?=
MINUTES ?=
WORK    ?=
DATA    ?=
RUNS    ?=
LEAVE_OUT ?=
PRICE   ?=
GPU_PRICE ?=
REPLACE ?=
ALLOW   ?=
PARTIAL ?=
REPRODUCTION = $(TRAINING) --length "$(LENGTH)" --jobs "$(JOBS)" --minutes "$(MINUTES)" --holdout "$(HOLDOUT)" \
  --seed "$(SEED)" --partial "$(PARTIAL)"$(if $(WORK), --work "$(WORK)")$(if $(DATA), --data "$(DATA)") --leave-out "$(LEAVE_OUT)"

export TINY_IMAGENET
ifneq ($(PRECISION),)
export CAFFE_PRECISION := $(PRECISION)
endif
export PYTHONPATH := $(HERE)$(if $(value PYTHONPATH),:$(value PYTHONPATH))

.DEFAULT_GOAL := help
.PHONY: bench bench-gpu help setup data lmdb kmeans explore models status board ensemble methods submission report reproduce reproduce-status cost results report-table demo
.PHONY: test test-quick torture conformance conformance-gpu record bvlc-tests bvlc-nets reference-caffe supported proto
.PHONY: from-zoo $(foreach verb,train resume lr reset journal zoo scores views gap train-accuracy,$(MODELS:%=$(verb)-%))

help: ## this list
	@awk '/## / && /^[a-z$$]/ { text = name = $$0; sub(/.*## /, "", text); \
	  if (sub(/^\$$\(MODELS:%=/, "", name)) sub(/-%\).*/, "-MODEL", name); else sub(/:.*/, "", name); \
	  printf "  make %-22s %s\n", name, text }' $(ROOT)Makefile
	@echo "  with every target: GPU=1 PRECISION=bf16 CAFFE=path PYTHON=path MODELS=\"nin1 nin2\""
	@echo "  models: $(MODELS)"

setup: $(VENV)/ready ## .venv with the pinned dependencies and the engine with its caffe command

$(VENV)/ready: $(ROOT)requirements.txt $(ROOT)engine/pyproject.toml
	@echo "Setting up .venv: PyTorch and a few small packages (minutes, the first time)"
	@python3 -m venv $(VENV) || { echo "python3 cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(ROOT)requirements.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable $(ROOT)engine
	@touch $@

# ---- the experiment, in its order --------------------------------------------------------------

data: setup ## Tiny ImageNet: TINY_IMAGENET=zip or folder, else downloaded and verified
	@$(PYTHON) -m data_prep.dataset --out data/tiny-imagenet-200.zip

lmdb: setup ## images to LMDBs, mean and labels in data/lmdb [HOLDOUT=50 SEED=0 ENCODED=1 REPLACE=1 TINY_IMAGENET=zip or folder]
	@$(PYTHON) -m data_prep.build_lmdb --out data/lmdb --holdout "$(HOLDOUT)" --seed "$(SEED)" --encoded "$(ENCODED)" \
	  --replace "$(REPLACE)"

kmeans: setup ## the report's K-means, from pixels: error on val [CLUSTERS="200 1000" SEED="0 1"]
	@$(PYTHON) -m first_pass.kmeans --clusters "$(CLUSTERS)" --seed "$(or $(SEED),0)"

models: setup ## the nets' prototxts, from models/*.j2 and models/variants.toml
	@$(PYTHON) -m models.render

explore: setup ## a few epochs of each architecture at each rate, and which goes on [EPOCHS=3 RATES="0.01 0.001" DROPOUTS=0.3 GPU=0,1 JOBS=n]
	@$(PYTHON) -m first_pass.explore --epochs "$(EPOCHS)" --models "$(EXPLORED)" --rates "$(RATES)" --dropouts "$(DROPOUTS)" \
	  --caffe "$(CAFFE)" --gpu "$(GPU)" --jobs "$(JOBS)"

$(MODELS:%=train-%): train-%: setup ## caffe train with solvers/MODEL.prototxt; Ctrl-C stops with a snapshot [KEEP=n DETERMINISTIC=1]
	@$(PYTHON) -m training.run train $* $(TRAINING)

$(MODELS:%=resume-%): resume-%: setup ## go on from the newest whole snapshot, with the solver as edited by hand [ZOO=1] [as train-MODEL]
	@$(if $(filter-out 0,$(ZOO)),$(PYTHON) -m training.zoo resume $*)
	@$(PYTHON) -m training.run resume $* $(TRAINING)

$(MODELS:%=lr-%): lr-%: setup ## LR=0.001 drops the rate: stop with a snapshot if it runs, edit base_lr in the solver, resume [as train-MODEL]
	@$(PYTHON) -m training.set_rate $* --lr="$(LR)" $(TRAINING)

$(MODELS:%=reset-%): reset-%: setup ## the solver as committed, base_lr above all; the edited one is kept in runs/edited
	@$(PYTHON) -m training.reset $*

$(MODELS:%=journal-%): journal-%: setup ## which solver text was in force from which iteration
	@$(PYTHON) -m training.run journal $*

$(MODELS:%=zoo-%): zoo-%: setup ## the newest snapshot, its journal and its tests into zoo/MODEL, which is committed
	@$(PYTHON) -m training.zoo keep $*

from-zoo: setup
	@$(if $(IN_ZOO),$(VENV)/bin/python -m training.zoo start $(IN_ZOO))

$(MODELS:%=scores-%): scores-%: setup $(if $(IN_ZOO),from-zoo) ## class scores of the model's newest snapshot [VIEW=10crop ZOO=1]
	@$(PYTHON) -m ensemble.scoring.scores $* $(if $(VIEW),--view $(VIEW)) --gpu "$(GPU)"

$(MODELS:%=views-%): views-%: setup ## what 10 crops and a dense grid gain over the centre [VIEW="10crop dense:2"]
	@$(PYTHON) -m ensemble.scoring.scores $* --split $(LABELLED) --view $(or $(VIEW),$(VIEWS)) --gpu "$(GPU)"
	@$(PYTHON) -m ensemble.scoring.view_gain $* $(or $(VIEW),$(VIEWS)) --gpu "$(GPU)"

$(MODELS:%=gap-%): gap-%: setup ## one snapshot on train, val and held-out images, with and without crop and mirror
	@$(PYTHON) -m ensemble.scoring.gap $* --gpu "$(GPU)"

$(MODELS:%=train-accuracy-%): train-accuracy-%: setup ## accuracy of every snapshot on train images, for the curves of the report page
	@$(PYTHON) -m ensemble.scoring.train_accuracy $* --gpu "$(GPU)"

ensemble: $(ENSEMBLE:%=scores-%) ## scores of all trained models, and every combination [MODELS="nin1 nin2" VIEW=10crop ZOO=1]
	$(if $(ENSEMBLE),,@echo "make ensemble: no model is trained yet; make train-nin1 trains one" >&2; exit 1)
	$(if $(LEFT_OUT),@echo "Left out (no snapshot in runs/): $(LEFT_OUT)" >&2)
	@$(PYTHON) -m ensemble.combine $(ENSEMBLE) $(if $(VIEW),--view $(VIEW))

status: setup ## every run: iteration, best val accuracy, newest snapshot, and whether its loss still falls
	@$(PYTHON) -m training.status

board: setup ## TensorBoard on this machine's own address: loss, accuracy, rate and speed of every run
	@$(PYTHON) -m tensorboard.main --logdir runs --host 127.0.0.1 --reload_interval 5

methods: $(ENSEMBLE:%=scores-%) ## ways to ensemble beyond the report's, cross-fitted, tested against it [MODELS="nin1 nin2" VIEW=10crop ZOO=1]
	$(if $(ENSEMBLE),,@echo "make methods: no model is trained yet; make train-nin1 trains one" >&2; exit 1)
	@$(PYTHON) -m ensemble.methods $(ENSEMBLE) $(if $(VIEW),--view $(VIEW))

submission: setup ## the judge's file: a class for every test image [METHOD=stacking BALANCE=1 VIEW=10crop]
	@$(PYTHON) -m ensemble.submission $(if $(VIEW),--view $(VIEW)) $(if $(METHOD),--method "$(METHOD)") $(if $(BALANCE),--balance "$(BALANCE)")

report: setup ## runs/report.html: the curves, the ensembles and the report's numbers beside ours
	@$(PYTHON) -m report

reproduce: setup ## the whole report, from where the last call stopped [LENGTH=0.1 JOBS=n MINUTES=m WORK=folder DATA=lmdb LEAVE_OUT=explore PARTIAL=1] [as lmdb] [as train-MODEL]
	@$(PYTHON) -m reproduce $(REPRODUCTION)

reproduce-status: setup ## what of it is done, what runs, what comes, and how long it will take [as reproduce]
	@$(PYTHON) -m reproduce --status $(REPRODUCTION)

cost: setup ## time of the five trainings by calculation from measured throughput [PRICE=, GPU_PRICE=dollars an hour]
	@$(PYTHON) -m reproduce.cost --price "$(PRICE)" --gpu-price "$(GPU_PRICE)"

results: setup ## what full runs in RUNS=runs gave, into results/, which is committed; says why of what is not [REPLACE=1 ALLOW="short changes" PRICE=dollars an hour]
	@$(PYTHON) -m report.save_results $(if $(RUNS),--runs "$(RUNS)")$(if $(PRICE), --price "$(PRICE)")$(if $(filter-out 0,$(REPLACE)), --replace)$(if $(ALLOW), --allow "$(ALLOW)")

report-table: setup ## write README's table of the report's numbers beside ours
	@$(PYTHON) -m report.table $(ROOT)README.md

# ---- the same, small -----------------------------------------------------------------------------

demo: setup ## the whole way, small, in demo/: minutes on two cores [TINY_IMAGENET=zip or folder]
	@$(PYTHON) -m demo --caffe "$(CAFFE)" --gpu "$(GPU)"

# ---- trust ---------------------------------------------------------------------------------------

test: setup ## all tests (real Caffe takes part where it is installed)
	@cd $(ROOT) && .venv/bin/ruff check . && .venv/bin/ruff format --check --quiet .
	@cd $(ROOT) && export OMP_NUM_THREADS=1 && exec .venv/bin/python -m tests -q -n 2 --dist worksteal

test-quick: setup ## the tests that take less than a minute, for after every change
	@cd $(ROOT) && .venv/bin/ruff check . && .venv/bin/ruff format --check --quiet .
	@cd $(ROOT) && export OMP_NUM_THREADS=1 && exec .venv/bin/python -m tests -q -n 2 --dist worksteal -m quick tests/engine tests/training

torture: setup ## kill it everywhere, fill its disks: what is lost (must be nothing), in one table; 10 minutes
	@cd $(ROOT) && OMP_NUM_THREADS=1 .venv/bin/python -m tests.torture

reference-caffe: ## Debian 11's real Caffe, in tests/reference/root (needs root; 2 minutes, 1 GB)
	@$(ROOT)tests/reference/install.sh

conformance: setup ## our engine against real Caffe, through the door
	@cd $(ROOT) && exec .venv/bin/python -m tests -q tests/conformance

conformance-gpu: setup ## our engine on the GPU against real Caffe's recorded numbers, a line a layer type; 2 minutes
	@cd $(ROOT) && .venv/bin/python -m tests.conformance.gpu $(if $(GPU),--gpu "$(GPU)")

bench: setup ## real Caffe and ours by turns: training, make lmdb, scores; a quarter of an hour
	@$(PYTHON) -m bench

bench-gpu: setup ## iteration and epoch times on the GPU, in fp32, tf32 and bf16; 5 minutes
	@$(PYTHON) -m bench.gpu

record: setup ## run real Caffe and keep its numbers for where it cannot be installed
	@cd $(ROOT) && .venv/bin/python -m tests.conformance.record

bvlc-tests: setup ## BVLC's own Python tests from a checkout of BVLC/caffe: BVLC=path (Python 3.11)
	@folder=$$(mktemp -d) && bvlc=$$(realpath -- "$(BVLC)") && cd $$folder && PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 "$(call inside,$(HERE))/.venv/bin/python" -m pytest -q -c /dev/null -p no:cacheprovider "$$bvlc/python/caffe/test"; status=$$?; rm -r $$folder; exit $$status

bvlc-nets: setup ## BVLC's own nets beside real Caffe, blob by blob: BVLC=path
	@bvlc=$$(realpath -- "$(BVLC)") && cd $(ROOT) && OMP_NUM_THREADS=1 .venv/bin/python -m tests.conformance.bvlc_nets "$$bvlc"

supported: setup ## write README's table of layers, solvers, policies and fillers
	@cd $(ROOT)engine && ../.venv/bin/python supported.py ../README.md

proto: setup ## compile engine/caffe/proto/caffe.proto, and the types of its messages
	@cd $(ROOT)engine/caffe/proto && ../../../.venv/bin/python -m grpc_tools.protoc -I. --descriptor_set_out=caffe.desc --pyi_out=. caffe.proto

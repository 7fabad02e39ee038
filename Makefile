# One line a habit. Everything works from a fresh clone: .venv is made on the way, nothing is installed elsewhere but what
# the system package manager must bring (a C compiler and Python headers), and that only where it is missing and we are root.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
VENV := .venv
BIN := $(VENV)/bin
MATCHMARK_CFLAGS ?= -O3 -march=native
export MATCHMARK_CFLAGS
SECONDS ?= 600
SEEDS ?= 10000
SOURCES := pyproject.toml setup.py $(shell git ls-files -co --exclude-standard -- native reference conformance chaos load reports 2>/dev/null | sort)

.PHONY: help build certify certify-full test test-kafka wire wire-orders check format bench fuzz selftest simulate soak chaos chaos-long chaos-readers chaos-readers-short load load-quickfix load-soak third-party docs proto wheel test-wheel flow clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

build: $(VENV)/.installed  ## the virtual environment with matchmark installed for work, C core built

$(VENV)/.installed: .ci/system-packages $(SOURCES)
	@PYTHON="$(PYTHON)" bash .ci/system-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing matchmark into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --config-settings editable_mode=strict -e '.[dev]'
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps ob-analytics==0.1.0  # its data alone: see load/bitstamp.py
	@$(MAKE) -s -C native/so PYTHON=$(CURDIR)/$(BIN)/python
	@touch $@

certify: build   ## certify the engine natively, then the exchange over FIX in both durability modes; prints the certificates
	@failed=; for target in native exchange exchange-fsync; do \
	    $(BIN)/matchmark certify --target $$target --out out/$$target || failed="$$failed $$target"; done; \
	for target in native exchange exchange-fsync; do echo "out/$$target/certificate.html"; done; \
	test -z "$$failed" || { echo "not certified:$$failed"; exit 1; }

wire: build      ## level wire on every kind of port that this machine has: af_packet, af_xdp, memif; as root
	$(BIN)/python .ci/wire $(BIN)

wire-orders: build  ## the suites of order entry over the poll-mode port, in a network of its own; as root
	unshare -n $(BIN)/matchmark certify --target exchange-dpdk --level order-entry --out out/exchange-dpdk

certify-full: build  ## market data and the ledger of the exchange through three real brokers of Kafka and PostgreSQL
	$(BIN)/matchmark certify --target exchange-full --level market-data --out out/exchange-full

test: build      ## all tests, on 2 cores in 30 minutes or less
	@bash .ci/test $(BIN)

test-kafka: build  ## the publisher and those who read from it, on three real brokers that it brings and starts
	$(BIN)/python -m pytest -q -m "soak or not soak" reference/tests/test_kafka*.py

check: build     ## ruff, mypy, clang-format, generated docs fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build && ../$(BIN)/mypy -p matchmark.conformance -p matchmark.reference -p matchmark.reports -p matchmark.native -p matchmark.chaos -p matchmark.load --config-file ../pyproject.toml
	git ls-files '*.c' '*.h' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/python -m matchmark.conformance.commands.spec_docs --check
	$(BIN)/python -m matchmark.reference.capacity --check docs/capacity.md

format: build    ## rewrite sources as `make check` wants them
	$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .
	git ls-files '*.c' '*.h' | xargs $(BIN)/clang-format -i

bench: build     ## every figure of speed beside its floor, and one table at the end
	$(BIN)/python -m matchmark.reference.bench
	$(MAKE) -s -C native/so bench
	$(BIN)/python native/bench/summary.py --out out/bench.json

fuzz: build      ## libFuzzer with ASan and UBSan on the native core; SECONDS=600
	for parser in engine fix audit direct; do sh native/fuzz/run.sh $$parser $(SECONDS) || exit 1; done
	! pkg-config --exists libdpdk lwip || sh native/fuzz/run.sh frame $(SECONDS)

selftest: build  ## every mutant killed by its clause, no false alarm over 20 seeds
	$(BIN)/matchmark selftest --out out/selftest
	$(BIN)/matchmark selftest --wires ports --wires-alone --out out/selftest-ports

simulate: build  ## the control plane in a simulated world: SEEDS=10000 seeds, then every planted bug found and replayed
	$(BIN)/matchmark simulate --seeds $(SEEDS) --planted

soak: build     ## kill -9 of engine, writer and gateway under load, again and again
	$(BIN)/python -m pytest -q -m soak

chaos: build    ## a game day of ten minutes: kills and power cuts under load, nothing lost, nothing twice
	$(BIN)/matchmark chaos run --target exchange --kills 25 --cuts 25 --seed 1 --out out/chaos

chaos-long: build  ## the long one: 200 kills and 200 power cuts
	$(BIN)/matchmark chaos run --target exchange --kills 200 --cuts 200 --seed 1 --out out/chaos-long

chaos-readers: build  ## 200 kills of publisher, market data, ledger, brokers and PostgreSQL under load: all say what the log says
	$(BIN)/matchmark chaos run --target exchange --scenario readers --kills 200 --seed 1 --out out/chaos-readers

chaos-readers-short: build  ## ten of them
	$(BIN)/matchmark chaos run --target exchange --scenario readers --kills 10 --seed 1 --out out/chaos-readers-short

load: build     ## a short load on the reference exchange: 10,000 orders/s for 10 s, every answer judged
	$(BIN)/matchmark load run --target exchange --rate 10000 --seconds 10 --seed 1 --out out/load

load-quickfix: build  ## the same on QuickFIX's ordermatch, an exchange that this project did not write; it fails, and says of what
	$(BIN)/matchmark load run --target docs/load-examples/quickfix-ordermatch/target.toml --rate 300 --seconds 10 --seed 1 --out out/load-quickfix

RATE ?= 5000
load-soak: build  ## half an hour at RATE=5000, to be half of what `find-knee` found: memory and descriptors flat, every answer right
	$(BIN)/matchmark load run --target exchange --rate $(RATE) --seconds 30 --repeat $(or $(REPEAT),60) --seed 1 --out out/load-soak

third-party: build  ## certify the example engines and write docs/third-party.md
	$(BIN)/matchmark third-party

docs: build      ## write docs/spec from the register, and the tables of docs/capacity.md from its model
	$(BIN)/python -m matchmark.conformance.commands.spec_docs
	$(BIN)/python -m matchmark.reference.capacity --write docs/capacity.md

proto: build     ## the module of market data's schema, made from it
	cd reference/market_data && $(CURDIR)/$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. market_data.proto

wheel: build     ## dist/*.whl
	$(BIN)/python -m build -q --wheel

clean:           ## everything that was built or written by a run
	rm -rf $(VENV) build dist out *.egg-info native/_native*.so

# Every target is a command anyone can type; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-tools build demo test attack screenshots train-smoke lint fmt docs train-data evaluate fixtures fixtures-emoji fixtures-samplers bench-reference bench-invariance clean

PROMPT ?= a red heart
BUNDLE ?= models/emoji
OUT    ?= out/demo.png
PROGRAM ?= target/debug/unclip

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 28

setup: ## Fetch the native libraries (libtorch, ONNX Runtime) into .native/; needs python3 with pip
	@scripts/need.sh c++ g++
	@PIP_DISABLE_PIP_VERSION_CHECK=1 python3 scripts/setup_native.py

setup-tests: setup ## What the tests need besides: a Redis server, clients in Python (gRPC, OpenAI's) and Node.js, a browser
	@scripts/need.sh redis-server redis-server
	@scripts/need.sh strace strace
	@scripts/pip_target.sh tests/clients/requirements.txt .python/clients
	@scripts/pip_target.sh tests/clients/sdks-requirements.txt .python/sdks --no-deps --no-compile
	@scripts/need.sh curl curl
	@scripts/need.sh chromium chromium
	@scripts/need.sh npm npm
	@scripts/npm_ci.sh tests/page
	@scripts/npm_ci.sh tests/clients/node
	@scripts/npm_ci.sh tests/grpc-web

setup-tools: ## What `make lint` needs besides: buf, from the npm registry
	@scripts/need.sh npm npm
	@scripts/npm_ci.sh tools

build: setup ## Build target/release/unclip and the servers
	cargo build --release --bins

demo: setup ## Draw a picture: make demo PROMPT="a red heart" [BUNDLE=DIR]
	cargo build --release --package unclip
	target/release/unclip generate --bundle "$(BUNDLE)" --prompt "$(PROMPT)" --output "$(OUT)" --overwrite

test: setup-tests ## Run every test
	cargo build --workspace --bins
	cargo test --workspace

screenshots: setup-tests ## Take docs/images/page-*.jpg anew, of the page with models/emoji
	cargo test --package unclip-tests --test page -- --ignored --exact screenshots

attack: setup ## Attack a server of this build as a hostile network would, and print what it cost: make attack [PROGRAM=FILE]
	cargo build --package unclip
	rm -rf out/attack && target/debug/unclip import tests/fixtures/tiny/bundle -o out/attack/bundle
	python3 bench/attack/attack.py --program "$(PROGRAM)" --bundle out/attack/bundle --json out/attack/figures.json

train-smoke: setup ## A few steps of every trainer, resumed and exported (part of `make test`)
	cargo test --package unclip-training --test smoke

lint: setup setup-tools ## Formatting, clippy, buf, and generated files that drifted
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	tools/node_modules/.bin/buf lint
	tools/node_modules/.bin/buf format --diff --exit-code
	cargo run --quiet --package unclip-proto --example reference | diff - docs/grpc.md

fmt: setup-tools ## Format Rust and protobuf files
	cargo fmt --all
	tools/node_modules/.bin/buf format --write

docs: ## Write docs/grpc.md from the contracts
	cargo run --quiet --package unclip-proto --example reference > docs/grpc.md

train-data: setup ## Fetch the emoji sets from the npm registry and draw them: out/data/emoji-64.unclipds
	@scripts/need.sh npm npm
	@scripts/npm_ci.sh training/data
	cargo build --release --package unclip
	target/release/unclip train data --names training/configs/names.txt --out out/data/emoji-64.unclipds

JUDGE       ?= out/train/judge
STORE       ?= out/data/emoji-64.unclipds
STORE_LARGE ?= out/data/emoji-128.unclipds
THINGS      ?= training/configs/drawn.txt
STYLES      ?= twemoji,fluent-emoji-flat
REPORT      ?= out/eval

evaluate: setup ## Measure a bundle: make evaluate BUNDLE=DIR [JUDGE=RUN] [STORE=FILE] [STORE_LARGE=FILE] [REPORT=DIR]
	cargo build --release --package unclip
	target/release/unclip eval --bundle "$(BUNDLE)" --judge "$(JUDGE)" --store "$(STORE)" --store-large "$(STORE_LARGE)" \
	  --things "$(THINGS)" --styles "$(STYLES)" --out "$(REPORT)"

fixtures: ## Make tests/fixtures anew with Python's diffusers (about 3 GB of packages into .python/reference) [ONLY=tiny|varied]
	@scripts/pip_target.sh tests/reference/requirements.txt .python/reference
	PYTHONPATH=.python/reference python3 tests/reference/make_fixtures.py $(if $(ONLY),--only $(ONLY))

fixtures-emoji: ## Make tests/fixtures/emoji anew with Python's diffusers, after models/emoji has changed
	@scripts/pip_target.sh tests/reference/requirements.txt .python/reference
	PYTHONPATH=.python/reference python3 tests/reference/make_fixtures.py --trained models/emoji

fixtures-samplers: ## Make the samplers' goldens anew with Python's diffusers (crates/diffusion/tests/goldens)
	@scripts/pip_target.sh tests/reference/requirements.txt .python/reference
	PYTHONPATH=.python/reference python3 crates/diffusion/tests/goldens/make.py

bench-reference: setup ## Time the decoder's U-Net against diffusers, same weights, dtype and threads, alternating
	@scripts/pip_target.sh tests/reference/requirements.txt .python/reference
	cargo build --release --package unclip-models --example bench_unet
	PYTHONPATH=.python/reference python3 bench/reference/compare.py

bench-invariance: setup ## Time what it costs that a picture has the same bits in any batch, on BUNDLE
	cargo build --release --package unclip-models --example bench_invariance
	OMP_WAIT_POLICY=PASSIVE target/release/examples/bench_invariance "$(BUNDLE)"

clean: ## Remove what was built; keeps what was fetched
	cargo clean
	rm -rf out

# Every step of CI is one target. `make help` lists them.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
T       ?= 10s
M       ?= testnet/manifests/ci.toml
RUN     ?=
SEED    ?= 1
RUNS    ?= 50
N       ?= 8,32
NODES   ?= 100
ARGS    ?=
TOOLS    = $(GO) tool -modfile=.ci/tools.mod
RACE     = ./node/... ./engine/kernel ./engine/train/data ./engine/train/graph ./protocol/frame
export CGO_ENABLED ?= 0

.PHONY: help build demo testnet harm churn train-faults lab lab-all lab-ci idle attacks quality sim test accept race fuzz vet lint fmt fmt-check arch gen gen-check tidy-check cross bench check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build bin/covey
	@test -x bin/covey || echo "compiling; the first time with downloads, two to five minutes"
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/covey

demo: build ## a swarm of four peers on this machine: import, fetch, chat, kill a peer, chat again
	$(GO) run -trimpath ./testnet/cmd/demo -covey bin/covey

testnet: build ## run a manifest of real processes (default M=testnet/manifests/ci.toml)
	$(GO) run -trimpath ./testnet/cmd/testnet -covey bin/covey $(M)

harm: build ## let hostile peers and clients loose on swarms of processes; prints each figure with its limit (ten minutes; RUN=name for some)
	$(GO) run -trimpath ./testnet/cmd/harm -covey bin/covey -seed $(SEED) -run '$(RUN)'

churn: ## 4 nodes, 8 streams, a random node killed every 10 s for 3 minutes (SEED=n)
	@$(MAKE) harm RUN=churn

train-faults: build ## members of a training are killed at random moments, come back, come late and leave (RUNS=50 trainings, half an hour; SEED=n)
	$(GO) run -trimpath ./testnet/cmd/harm -covey bin/covey -seed $(SEED) -run training -runs $(RUNS)

lab: build ## homes behind routers in network namespaces: who reaches whom (Linux, root, nftables)
	$(GO) build -trimpath -o bin/ ./testnet/cmd/lab
	bin/lab -covey bin/covey

lab-all: build ## the pairs of all kinds of homes, with one public node and with two, in about twenty minutes
	$(GO) build -trimpath -o bin/ ./testnet/cmd/lab
	bin/lab -covey bin/covey -kinds all
	bin/lab -covey bin/covey -kinds all -publics 2

lab-ci: build ## a small lab, in about a minute: a pair of homes, and nodes on local networks; says why where none can be built
	$(GO) build -trimpath -o bin/ ./testnet/cmd/lab
	bin/lab -covey bin/covey ci

idle: build ## what swarms of processes cost that have nothing to do: traffic, CPU, connections (Linux; N=8,32)
	$(GO) build -trimpath -o bin/ ./testnet/cmd/idle
	bin/idle -covey bin/covey -nodes $(N)

attacks: ## what liars among the senders of updates can do under each rule: tables, in about ten minutes (SEED=n; RUN=name for some rules)
	$(GO) run -trimpath ./testnet/cmd/attacks -seed $(SEED) -run '$(RUN)'

quality: build ## eight nodes train with data of their own beside one process that has all: losses and bytes, in an hour or two (RUN=digits for one task; SEED=n; ARGS='-data DIR')
	$(GO) build -trimpath -tags lossy -o bin/covey-lossy ./cmd/covey
	$(GO) run -trimpath ./testnet/cmd/quality -covey bin/covey -lossy bin/covey-lossy -seed $(SEED) -run '$(RUN)' $(ARGS)

sim: ## many members that train together, in virtual time (NODES=n; SEED=n replays a run; ARGS='-churn 0.5 -loss 0.1')
	$(GO) run -trimpath ./testnet/cmd/sim -seed $(SEED) -nodes $(NODES) $(ARGS)

test: ## run all tests
	$(GO) test -shuffle=on ./...

accept: ## check against external fixtures: make accept FIXTURES=dir (see docs/testing.md)
	COVEY_FIXTURES=$(abspath $(FIXTURES)) $(GO) test -tags accept -count=1 -v -run 'Accept' ./engine/... ./testnet/...

race: ## run the tests of the concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(RACE)

fuzz: ## run every fuzz target for T (default 10s), two at a time
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ {name[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, name[i], "$(T)"; n = 0}' \
	  | GO=$(GO) xargs -P 2 -L 1 .ci/fuzz

vet: ## go vet
	$(GO) vet ./...

lint: ## staticcheck, at the version pinned in .ci/tools.mod
	$(TOOLS) staticcheck ./...

fmt: ## format all code
	$(TOOLS) gofumpt -l -w .

fmt-check: ## fail if code is not formatted
	@out=$$($(TOOLS) gofumpt -l .); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }

arch: ## check the import arrows, package comments and sizes
	$(GO) test .

gen: ## regenerate the assembly from engine/kernel/asm and consensus/vec/asm
	cd engine/kernel/asm && $(GO) generate ./...
	cd consensus/vec/asm && $(GO) generate ./...

gen-check: gen ## fail if generated files are not what their generators write
	git diff --exit-code -- 'engine/kernel/gen_*' 'consensus/vec/gen_*' 'consensus/digest/gen_*'

tidy-check: ## fail if go.mod or go.sum is not tidy
	$(GO) mod tidy -diff

cross: ## compile for linux, darwin and windows on amd64 and arm64
	@set -e; for os in linux darwin windows; do for arch in amd64 arm64; do \
	  echo "$$os/$$arch"; GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/... ; done; done

bench: ## run the benchmarks of the engine, of consensus and of the store
	$(GO) test -run '^$$' -bench . ./engine/... ./consensus/... ./node/...

check: fmt-check vet lint arch gen-check tidy-check test ## what to run before a commit

clean: ## remove what was built
	rm -rf bin

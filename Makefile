# Everything here needs Go and nothing else, but for conformance, tokenizer-fuzz, tokenizer-speed and clients, which need node and npm.

GO ?= go

# Modules of their own, so that nobody who uses tti needs what they need.
MODULES := kernels/asm cmd/tti/recording

# What the demo begins with, and which of many stories it tells; of tokenizer-fuzz, which of many texts.
BEGINNING ?= Once upon a time
QUESTION ?= Tell me a story about a king and his three sons.
SEED ?= 3

.PHONY: build
build: ## bin/tti, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/tti ./cmd/tti

.PHONY: demo
demo: build ## pack two small models into int4; one tells a story, the other answers
	bin/tti convert testdata/fable --mode int4 -o bin/fable-int4.tti
	@printf '\n%s' "$(BEGINNING)"
	@bin/tti run bin/fable-int4.tti --prompt "$(BEGINNING)" -n 200 --temp 0.7 --top-p 0.9 --seed $(SEED) && echo
	bin/tti convert testdata/fable-llama --mode int4 -o bin/fable-llama-int4.tti
	@printf '\n> %s\n' "$(QUESTION)"
	@bin/tti run bin/fable-llama-int4.tti --prompt "$(QUESTION)" --temp 0.6 --seed $(SEED) && echo

.PHONY: test
test: ## all tests
	$(GO) test ./...
	@for module in $(MODULES); do $(GO) test -C $$module ./... || exit 1; done

.PHONY: trials
trials: ## what only chance finds, many times: kills, files that change, models that close
	TTI_TRIALS=60 $(GO) test ./convert ./format/... ./cmd/tti -run 'Killed$$|KilledAnyTime' -v -count 1
	TTI_TRIALS=50 $(GO) test ./cmd/tti -run TestChangingFile -v -count 1 -timeout 1h
	TTI_TRIALS=1000 $(GO) test ./runtime ./spec -run TestCloseAtAnyTime -v -count 1

.PHONY: ci
ci: ## everything a change must pass
	.ci/run

.PHONY: lint
lint: ## formatting, go.mod, go vet and staticcheck, of the other modules too; the workflows
	@unformatted=$$(gofmt -l .) && { [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }; }
	@for module in . $(MODULES); do (cd $$module && $(GO) mod tidy -diff && $(GO) vet ./... && \
		$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...) || exit 1; done
	@$(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= -pyflakes= .github/workflows/*.yml

FUZZ ?= .
# How long, or with an x behind it how often. By number is steadier: a limit of time sometimes ends a run as if it had failed.
FUZZ_TIME ?= 1m

.PHONY: fuzz
fuzz: ## every fuzz target whose name matches FUZZ, for FUZZ_TIME each
	@grep -roHE '^func Fuzz[A-Za-z0-9]+' --include='*_test.go' . | sed -E 's|:func | |' | grep -E '$(FUZZ)' | while read -r file target; do \
		$(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 10x || exit 1; done

# What a change is compared with.
BASE ?= main

APIDIFF := $(GO) run golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4
# Not empty: what breaks programs that compile today is meant, and no error.
INTENDED ?=

.PHONY: api-diff
api-diff: ## what became of the exported API since BASE; what breaks callers is an error unless INTENDED=yes
	@base=$$(mktemp -d) && trap 'git worktree remove --force '$$base EXIT && git worktree add --quiet --force $$base $(BASE) && \
	for package in runtime runtime/chat runtime/tokenizer spec spec/engine convert format; do \
		(cd $$base && $(APIDIFF) -w $$base/api ./$$package) && echo "== $$package" && $(APIDIFF) $$base/api ./$$package || exit 1; \
	done | tee $$base/changes && \
	if [ -z "$(INTENDED)" ] && grep -q '^Incompatible changes:' $$base/changes; then echo 'incompatible changes: INTENDED=yes if they are meant' >&2; exit 1; fi

# Slower than this share of the base is an error. How often each build measures each mode, and a model of which size.
LEAST ?= 0.95
ROUNDS ?= 10
SIZE ?= gpt2

.PHONY: bench-diff
bench-diff: build ## decoding, prefill and batches of BASE and of this tree in turns: medians of the ratios
	@base=$$(mktemp -d) && trap 'git worktree remove --force '$$base EXIT && git worktree add --quiet --force $$base $(BASE) && \
	(cd $$base && CGO_ENABLED=0 $(GO) build -o bin/tti ./cmd/tti) && $(GO) run ./runtime/bench/compare -least $(LEAST) -rounds $(ROUNDS) -model $(SIZE) $$base/bin/tti bin/tti

.PHONY: vulnerabilities
vulnerabilities: ## known ones in what is used here
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

.PHONY: coverage
coverage: ## which statements the short tests run, in coverage.txt; by function in coverage.func.txt
	$(GO) test -short -coverpkg ./... -coverprofile coverage.txt ./...
	$(GO) tool cover -func coverage.txt > coverage.func.txt
	@tail -1 coverage.func.txt

GORELEASER := $(GO) run github.com/goreleaser/goreleaser/v2@v2.15.1

.PHONY: release-dry
release-dry: ## what a release would hold, in dist/
	$(GORELEASER) check
	$(GORELEASER) release --snapshot --clean

.PHONY: release
release: ## publishes the tag of this commit
	$(GORELEASER) release --clean

.PHONY: page
page: ## the page of tti serve in Chromium, which must be installed; TTI_SCREENSHOTS names a folder for pictures
	TTI_BROWSER=1 $(GO) test ./cmd/tti/serve -run TestPage -v -count 1

.PHONY: spec-grid
spec-grid: ## texts with every kind of draft against plain decoding, all combinations
	TTI_SPEC_GRID=1 $(GO) test ./spec -run TestSameTokens -v -count 1 -timeout 2h

.PHONY: serve-grid
serve-grid: ## texts run together against the same alone: models, encodings, kernels, threads and troubles, all combinations
	TTI_SERVE_GRID=1 $(GO) test ./spec/engine -run 'TestGrid|TestManyCancellations' -v -count 1 -timeout 6h

# How long soak lets requests come and go.
SOAK ?= 1h

.PHONY: soak
soak: ## texts come and go for an hour: memory stays as it is
	TTI_SERVE_SOAK=$(SOAK) $(GO) test ./spec/engine -run TestSoak -v -count 1 -timeout 25h

# How long serve-load streams.
LOAD ?= 5m

.PHONY: serve-load
serve-load: ## tti serve streams to 32 clients: no errors, memory at the beginning and the end, how fast health is told
	TTI_LOAD=$(LOAD) $(GO) test ./cmd/tti -run TestServeLoad -v -count 1 -timeout 25h

.PHONY: quality
quality: ## what every mode keeps of the fable model, calibrated or not
	TTI_QUALITY=1 $(GO) test ./runtime -run TestQuality -v -count 1 -timeout 1h

# Where HuggingFace's tokenizers and the vocabularies of some models are kept. They are not ours to ship.
PACKAGES ?= $(HOME)/.cache/tti-conformance
REFERENCE := $(GO) test ./runtime/tokenizer/conformance -packages $(abspath $(PACKAGES)) -v -count 1 -timeout 4h -run

# What is compared: names in vocabularies_test.go, as a pattern; and how many texts of each.
TOKENIZERS ?= .
TEXTS ?= 200000

$(PACKAGES)/package.json: runtime/tokenizer/conformance/package.json
	mkdir -p $(PACKAGES)
	cp $< $@
	cd $(PACKAGES) && npm install --ignore-scripts --no-package-lock || { rm package.json; false; }

.PHONY: conformance
conformance: $(PACKAGES)/package.json ## stored cases of the tokenizers of models in use, which are fetched; what export writes; random steps
	$(REFERENCE) 'Test(Cases|Oracle|Export|ExportForOracle)/$(TOKENIZERS)|TestRandomTokenizers' -seed $(SEED)

.PHONY: tokenizer-fuzz
tokenizer-fuzz: $(PACKAGES)/package.json ## random texts by tti and by HuggingFace's tokenizers, which are fetched
	$(REFERENCE) 'TestRandomTexts/$(TOKENIZERS)' -texts $(TEXTS) -seed $(SEED)

.PHONY: tokenizer-speed
tokenizer-speed: $(PACKAGES)/package.json ## speed of encoding beside that of HuggingFace's tokenizers; long texts
	$(REFERENCE) 'Test(Speed|LongTexts)/$(TOKENIZERS)' -speed

# Where clients of the server are kept.
CLIENTS ?= $(HOME)/.cache/tti-clients

.PHONY: clients
clients: ## clients in use against the server, with their own tests where they have some; they are fetched
	mkdir -p $(CLIENTS)
	cp cmd/tti/serve/clients/package.json $(CLIENTS)
	cd $(CLIENTS) && npm install --no-package-lock
	TTI_CLIENTS=$(abspath $(CLIENTS)) $(GO) test ./cmd/tti/serve -run Client -v -count 1

.PHONY: generate
generate: ## the assembly kernels, from kernels/asm
	$(GO) generate ./kernels

.PHONY: bench
bench: build ## speed of a full-size model with random weights on this machine
	bin/tti bench --synthetic gpt2 --mode int8
	bin/tti bench --synthetic gpt2 --mode int4

.PHONY: spec-bench
spec-bench: ## what drafts gain, beside what is aimed at; a hopeless one; the curve of gain against acceptance
	$(GO) run ./spec/bench/aims

REPORT ?= report
# A trial of the reports: make reports ROUNDS="--repeats 1" TEXTS_AT_ONCE=1,4
ROUNDS ?=
TEXTS_AT_ONCE ?= 1,4,16,32
MEASURE := bin/tti bench --quick $(ROUNDS)
SCORE := --text testdata/golden/fable-eval.txt

.PHONY: report
report: build ## tables and charts of the fable model in every mode, in report/
	$(MEASURE) $(SCORE) --report $(REPORT) --draft testdata/fable-draft testdata/fable

.PHONY: report-llama
report-llama: build ## the same of a model of Llama's architecture, in report-llama/
	$(MEASURE) $(SCORE) --report $(REPORT)-llama testdata/fable-llama

CALIBRATE := bin/tti convert testdata/fable --calibrate testdata/golden/fable-calib.txt --mode

.PHONY: report-calibrated
report-calibrated: build ## the same of modes that a text has calibrated, in report-calibrated/
	bin/tti convert testdata/fable --mode f32 -o bin/f32.tti
	$(CALIBRATE) int8 -o bin/int8-calibrated.tti
	$(CALIBRATE) int4 -o bin/int4-calibrated.tti
	$(CALIBRATE) int4 --int4 blocks -o bin/int4-blocks-calibrated.tti
	$(CALIBRATE) int4 --int4 all -o bin/int4-all-calibrated.tti
	$(MEASURE) $(SCORE) --report $(REPORT)-calibrated \
		bin/f32.tti bin/int8-calibrated.tti bin/int4-calibrated.tti bin/int4-blocks-calibrated.tti bin/int4-all-calibrated.tti

.PHONY: report-gpt2
report-gpt2: build ## speeds of GPT-2's size, in report-gpt2/; 1.5 GB of disk while it runs, as the next one
	$(MEASURE) --concurrency $(TEXTS_AT_ONCE) --report $(REPORT)-gpt2 --synthetic gpt2

.PHONY: report-smollm2
report-smollm2: build ## speeds of SmolLM2's size, in report-smollm2/
	$(MEASURE) --concurrency $(TEXTS_AT_ONCE) --report $(REPORT)-smollm2 --synthetic smollm2-135m

.PHONY: reports
reports: ## all reports that are committed, their charts, the gallery and the tables of the documents, measured here
	$(MAKE) report report-llama report-calibrated report-gpt2 report-smollm2 REPORT=testdata/report
	$(MAKE) readme

.PHONY: readme
readme: ## the committed reports' charts, the gallery and the tables of the documents, from the figures in testdata
	$(GO) test ./cmd/tti/report -run "TestREADME|TestGallery|TestComparison" -update

.PHONY: recording
recording: build ## the terminal that README.md shows: a session of half a minute, in real time
	folder=$$(mktemp -d) && trap 'rm -r '$$folder EXIT && ln -s $(CURDIR)/testdata $$folder/testdata && \
	$(GO) run -C cmd/tti/recording . -program $(CURDIR)/bin -folder $$folder -o recording.svg

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

# Everything here needs Go and nothing else.

GO ?= go

.PHONY: build
build: ## bin/tti, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/tti ./cmd/tti

.PHONY: demo
demo: build ## pack the fable model into int4 and let it tell a story
	bin/tti convert testdata/fable --mode int4 -o bin/fable-int4.tti
	bin/tti run bin/fable-int4.tti --prompt "Once upon a time" -n 200 --temp 0.8 --top-p 0.9 --repeat-penalty 1.1 --seed 7 --stats

.PHONY: test
test: ## all tests
	$(GO) test ./...

.PHONY: generate
generate: ## the assembly kernels, from kernels/asm
	$(GO) generate ./kernels

.PHONY: bench
bench: build ## speed of a full-size model with random weights on this machine
	bin/tti bench --synthetic gpt2 --mode int8
	bin/tti bench --synthetic gpt2 --mode int4

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

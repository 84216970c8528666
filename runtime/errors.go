package runtime

import (
	"errors"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime/generation"
	"github.com/tti-llm/tti/runtime/kv"
)

// What callers may want to tell apart when they use a model.
var (
	// ErrToken is returned for a token that the model does not have.
	ErrToken = errors.New("no such token")
	// ErrMismatch is returned for models, or sessions of models, that do not go together.
	ErrMismatch = errors.New("models do not match")

	ErrClosed         = format.ErrClosed             // what is used, or its model, was closed
	ErrContextFull    = generation.ErrContextFull    // tokens do not fit into the positions that are left
	ErrEmpty          = generation.ErrEmpty          // no tokens where at least one is needed
	ErrOption         = generation.ErrOption         // an option that makes no sense
	ErrNotANumber     = generation.ErrNotANumber     // logits are no numbers: weights or file are bad
	ErrNothingAllowed = generation.ErrNothingAllowed // a constraint forbids every token
	ErrKVLimit        = kv.ErrLimit                  // sessions would need more memory than WithKVLimit allows
	ErrNoKernels      = kernels.ErrNoPath            // kernels that do not exist or that this CPU cannot run
)

// What callers may want to tell apart when a file is refused, or fails while it is in use.
var (
	ErrNotTTI      = format.ErrNotTTI
	ErrPacked      = format.ErrPacked // unpack it first
	ErrTruncated   = format.ErrTruncated
	ErrChecksum    = format.ErrChecksum
	ErrUnsupported = format.ErrUnsupported
	ErrCorrupt     = format.ErrCorrupt
)

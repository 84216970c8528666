package runtime

import (
	"fmt"

	"github.com/tti-llm/tti/kernels"
)

// Option changes how Open opens a model.
type Option func(*settings)

type settings struct {
	threads    *Threads
	skipVerify bool
	kv         *KV
	kvLimit    int64
	kvPage     int // positions of a page, 0: as many as are best
	kernels    string
	context    int // positions of a session, 0: as many as the model is for
}

// KV says how keys and values of past positions are kept.
type KV = kernels.KVEncoding

const (
	F32  KV = kernels.KVF32
	F16  KV = kernels.KVF16
	Int8 KV = kernels.KVInt8
)

// WithThreads runs the model on these threads. By default it has threads of its own, as many as Go may use processors.
func WithThreads(t *Threads) Option { return func(s *settings) { s.threads = t } }

// WithoutVerify skips the checksums of the sections' contents. Header and index are always checked.
func WithoutVerify() Option { return func(s *settings) { s.skipVerify = true } }

// WithKV sets how sessions keep keys and values: F32, F16 or Int8. The default is F32 for a file whose weights are all
// float32 and F16 for others.
func WithKV(encoding KV) Option { return func(s *settings) { s.kv = &encoding } }

// WithKVLimit bounds the memory that the keys and values of all sessions together may take, in bytes; 0, the default,
// means no bound. A call that would need more fails with ErrKVLimit and leaves its sessions as they were.
func WithKVLimit(bytes int64) Option { return func(s *settings) { s.kvLimit = bytes } }

// WithContext bounds how many positions a session may use. By default they are those of the model. A model that is for short
// contexts and for long ones, by LongRoPE, is for its short ones unless more positions than these are asked for here: then it
// computes with other rotations, from the first token on. It fails with ErrOption where the model has fewer positions.
func WithContext(positions int) Option { return func(s *settings) { s.context = positions } }

// WithKernels chooses an implementation of the kernels by name, such as go, avx2 or dotprod, instead of what
// the environment variable TTI_KERNELS says. Results never depend on it.
func WithKernels(name string) Option { return func(s *settings) { s.kernels = name } }

func newSettings(options []Option) (settings, error) {
	var chosen settings
	for _, option := range options {
		if option != nil {
			option(&chosen)
		}
	}
	if e := chosen.kv; e != nil && (*e < F32 || *e > Int8) {
		return chosen, fmt.Errorf("%w: KV encoding %d", ErrOption, int(*e))
	}
	if chosen.kvLimit < 0 {
		return chosen, fmt.Errorf("%w: KV limit of %d bytes", ErrOption, chosen.kvLimit)
	}
	if chosen.context < 0 {
		return chosen, fmt.Errorf("%w: a context of %d positions", ErrOption, chosen.context)
	}
	return chosen, nil
}

func (s settings) selectKernels() (*kernels.Set, error) {
	if s.kernels == "" {
		return kernels.FromEnvironment()
	}
	return kernels.Select(s.kernels)
}

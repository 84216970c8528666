package runtime

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// ErrOption is returned for an option that makes no sense.
var ErrOption = errors.New("invalid option")

// Model is an open .tti file, ready to run. It is safe for concurrent use: passes of concurrent
// sessions take turns on its threads.
type Model struct {
	file      *format.File
	meta      format.Meta
	arch      architecture
	shape     Shape
	tokenizer *tokenizer.Tokenizer
	cache     kernels.CacheEncoding
	pool      *pool.Pool
	shared    bool // the pool is another model's

	turn    sync.Mutex // guards pass
	pass    pass
	forward func(*pool.Worker) // bound once, so that a pass allocates nothing
}

// Option changes how Open opens a model.
type Option func(*settings)

type settings struct {
	threads  int
	pool     *pool.Pool
	verify   bool
	cache    kernels.CacheEncoding
	hasCache bool
	kernels  string
}

// Encodings of the KV cache, for WithKV.
const (
	F32  = kernels.CacheF32
	F16  = kernels.CacheF16
	Int8 = kernels.CacheInt8
)

// WithThreads sets the number of threads; 0, the default, means as many as Go may use processors.
// More than there are processors work, slowly. Results never depend on it.
func WithThreads(n int) Option { return func(s *settings) { s.threads = n } }

// WithThreadsOf runs the model on the threads of another one, which must be closed after it. Two
// models that run in turns on the same processors need this: threads that wait for their model's
// next pass would stand in the way of the other model's.
func WithThreadsOf(other *Model) Option { return func(s *settings) { s.pool = other.pool } }

// WithoutVerify skips the checksums of the sections' contents. Header and index are always checked.
func WithoutVerify() Option { return func(s *settings) { s.verify = false } }

// WithKV sets how keys and values of past positions are kept: F32, F16 or Int8. The default is F32
// for a file whose weights are all float32 and F16 for others.
func WithKV(encoding kernels.CacheEncoding) Option {
	return func(s *settings) { s.cache, s.hasCache = encoding, true }
}

// WithKernels chooses an implementation of the kernels by name, go, avx2 or avx512, instead of what
// the environment variable TTI_KERNELS says. Results never depend on it.
func WithKernels(name string) Option { return func(s *settings) { s.kernels = name } }

// Open maps a .tti file, verifies it and starts the model's threads. Nothing is copied from the
// weights.
func Open(path string, options ...Option) (*Model, error) {
	chosen := settings{verify: true}
	for _, option := range options {
		option(&chosen)
	}
	if chosen.threads < 0 {
		return nil, fmt.Errorf("%w: %d threads", ErrOption, chosen.threads)
	}
	if chosen.pool != nil {
		chosen.threads = chosen.pool.Threads()
	} else if chosen.threads == 0 {
		chosen.threads = goruntime.GOMAXPROCS(0)
	}
	file, err := format.Open(path)
	if err != nil {
		return nil, err
	}
	m := &Model{file: file}
	if err := m.open(chosen); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.pool, m.shared = chosen.pool, chosen.pool != nil; !m.shared {
		m.pool = pool.New(chosen.threads)
	}
	m.forward = func(w *pool.Worker) { m.arch.forward(w, &m.pass) }
	return m, nil
}

func (m *Model) open(chosen settings) (err error) {
	if chosen.verify {
		if err := m.file.Verify(context.Background(), nil); err != nil {
			return err
		}
	}
	if m.meta, err = m.file.Meta(); err != nil {
		return err
	}
	open, ok := architectures[m.meta.Architecture]
	if !ok {
		return fmt.Errorf("%w: architecture %.60q", format.ErrUnsupported, m.meta.Architecture)
	}
	if m.arch, err = open(m.file, m.meta.Hyperparameters); err != nil {
		return err
	}
	m.shape = m.arch.shape()
	if m.tokenizer, err = openTokenizer(m.file); err != nil {
		return err
	}
	if m.tokenizer.Size() < m.shape.Vocabulary {
		return fmt.Errorf("section tokenizer: %d tokens for a vocabulary of %d", m.tokenizer.Size(), m.shape.Vocabulary)
	}
	m.cache = chosen.cache
	if !chosen.hasCache {
		m.cache = defaultCache(m.file)
	}
	if err := m.checkCache(); err != nil {
		return err
	}
	if m.pass.kernels, err = selectKernels(chosen.kernels); err != nil {
		return err
	}
	m.pass.workspace = newWorkspace(m.shape, chosen.threads)
	return nil
}

func selectKernels(name string) (*kernels.Set, error) {
	if name == "" {
		return kernels.FromEnvironment()
	}
	return kernels.Select(name)
}

func openTokenizer(file *format.File) (*tokenizer.Tokenizer, error) {
	section, ok := file.Section(format.TokenizerName)
	if !ok || section.Kind != format.KindTokenizer {
		return nil, errors.New("section tokenizer is missing")
	}
	t, err := tokenizer.New(file.Bytes(section))
	if err != nil {
		return nil, fmt.Errorf("section tokenizer: %w", err)
	}
	return t, nil
}

func defaultCache(file *format.File) kernels.CacheEncoding {
	for _, s := range file.Sections() {
		if s.Encoding.IsPanel() && s.Encoding != format.PanelF32 {
			return F16
		}
	}
	return F32
}

// Close ends the model's threads, if they are its own, and unmaps the file. Neither the model, its sessions nor its
// tokenizer may be used afterwards.
func (m *Model) Close() error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if !m.shared {
		m.pool.Close()
	}
	return m.file.Close()
}

// Tokenizer returns the model's tokenizer.
func (m *Model) Tokenizer() *tokenizer.Tokenizer { return m.tokenizer }

// Shape returns the model's sizes and special tokens.
func (m *Model) Shape() Shape { return m.shape }

// Meta returns what the file says of itself.
func (m *Model) Meta() format.Meta { return m.meta }

// File returns the open container.
func (m *Model) File() *format.File { return m.file }

// Threads returns the number of threads a pass runs on.
func (m *Model) Threads() int { return m.pool.Threads() }

// Kernels returns the name of the kernels in use.
func (m *Model) Kernels() string { return m.pass.kernels.Name() }

// KV returns how sessions keep keys and values.
func (m *Model) KV() kernels.CacheEncoding { return m.cache }

// Weights returns the mapped sections of every matrix that the pass of one token reads from one end
// to the other: nearly all that decoding reads, the cache apart. They must not be written to.
func (m *Model) Weights() [][]byte {
	var all [][]byte
	for _, name := range m.arch.matrices() {
		section, _ := m.file.Section(name) // opening the architecture has found it
		all = append(all, m.file.Bytes(section))
	}
	return all
}

// run sends a chunk of tokens through the model.
func (m *Model) run(tokens []int32, first int, heads []kernels.Head, logits []float32, all, wanted bool) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.pass.tokens, m.pass.first, m.pass.heads = tokens, first, heads
	m.pass.logits, m.pass.all, m.pass.wanted = logits, all, wanted
	if err := m.pool.Run(m.forward); err != nil {
		return fmt.Errorf("%s: %w", m.file.Path(), err)
	}
	return nil
}

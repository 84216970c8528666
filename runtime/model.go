package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime/forward"
	"github.com/tti-llm/tti/runtime/kv"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// Shape is what there is to know of a model's size, and its special tokens.
type Shape struct {
	forward.Shape
	EOS int32 // the first of the tokens that end a text, -1 if there is none
	BOS int32 // the token to begin a text with where there is no prompt, -1 if there is none
}

// Model is an open .tti file, ready to run. It is safe for concurrent use: passes of concurrent sessions take turns on
// its threads, and Close may come at any time. A model that is not needed any more should be closed; one that is forgotten,
// with its sessions and its tokenizer, is closed by the garbage collector.
type Model struct {
	file       *format.File
	meta       format.Meta
	parameters architecture.Hyperparameters
	network    *forward.Network
	shape      Shape
	ends       []int32 // tokens that end a text
	tokenizer  *tokenizer.Tokenizer
	kernels    *kernels.Set
	pages      *kv.Pool
	window     int // of evaluation, in tokens

	turn    sync.Mutex // guards what follows
	held    *held
	cleanup goruntime.Cleanup
	pass    *forward.Pass
	forward func() error // takes the pass through the network; bound once, so that a pass allocates nothing
}

// held is what a model must give back: it is apart from the model so that this can be done when the model has been
// forgotten.
type held struct {
	file    *format.File
	threads *Threads
}

func (h *held) release() error {
	h.threads.release()
	return h.file.Close()
}

// Open maps a .tti file, verifies it and readies it to run. Errors name the path once.
func Open(path string, options ...Option) (*Model, error) {
	return OpenContext(context.Background(), path, options...)
}

// OpenContext is Open that gives up when the context is done: verifying a large file takes its time.
func OpenContext(ctx context.Context, path string, options ...Option) (*Model, error) {
	chosen, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	file, err := format.Open(path)
	if err != nil {
		return nil, err
	}
	m := &Model{file: file}
	if !chosen.skipVerify {
		err = file.Verify(ctx, nil)
	}
	if err == nil {
		m.meta, err = file.Meta()
	}
	if err == nil { // the errors before name the path
		if err = m.open(chosen); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return m, nil
}

// open readies a model whose file and meta are there.
func (m *Model) open(chosen settings) (err error) {
	if m.parameters, err = architecture.Parse(m.meta.Architecture, m.meta.Hyperparameters); err != nil {
		return err
	}
	if _, longest := m.parameters.Contexts(); chosen.context > longest {
		return fmt.Errorf("%w: a context of %d positions, the model has %d", ErrOption, chosen.context, longest)
	}
	if m.network, err = forward.Load(m.parameters, chosen.context, fileWeights{m.file}); err != nil {
		return err
	}
	if err := m.openTokenizer(!chosen.skipVerify); err != nil {
		return err
	}
	m.shape = Shape{Shape: m.network.Shape}
	m.window = cmp.Or(chosen.context, min(m.shape.Context, EvaluationWindow))
	m.shape.EOS, m.shape.BOS = m.parameters.SpecialTokens()
	m.ends = m.tokenizer.Ends()
	if m.tokenizer.Version() == 1 { // files of that time say it in the hyper-parameters
		m.ends = nil
		if m.shape.EOS >= 0 {
			m.ends = []int32{m.shape.EOS}
		}
	}
	if m.shape.EOS = -1; len(m.ends) > 0 {
		m.shape.EOS = m.ends[0]
	}
	if m.tokenizer.Size() < m.shape.Vocabulary {
		return fmt.Errorf("section tokenizer: %d tokens for a vocabulary of %d", m.tokenizer.Size(), m.shape.Vocabulary)
	}
	set, err := chosen.selectKernels()
	if err != nil {
		return err
	}
	m.kernels = set.ForWeights(m.file.Size())
	encoding := defaultKV(m.file)
	if chosen.kv != nil {
		encoding = *chosen.kv
	}
	page := cmp.Or(chosen.kvPage, kv.PagePositions(encoding, m.shape.HeadWidth))
	layout := kernels.NewKVLayout(encoding, m.shape.Layers, m.shape.KVHeads, m.shape.HeadWidth, page)
	if m.pages, err = kv.NewPool(layout, chosen.kvLimit); err != nil {
		return err
	}
	threads := chosen.threads
	if threads == nil {
		threads = NewThreads(0)
		defer threads.Close() // the model alone holds them then
	}
	if err := threads.use(); err != nil {
		return err
	}
	m.held = &held{m.file, threads}
	m.cleanup = goruntime.AddCleanup(m, func(h *held) { h.release() }, m.held)
	m.prepare()
	return nil
}

// prepare makes the pass for the model's threads.
func (m *Model) prepare() {
	pass, network, team := forward.NewPass(m.network, m.pages.Layout(), m.kernels, m.held.threads.Count()), m.network, m.held.threads.pool
	part := func(w *pool.Worker) { network.Forward(w, pass) }
	m.pass, m.forward = pass, func() error { return team.Run(part) }
}

func (m *Model) openTokenizer(check bool) error {
	section, ok := m.file.Section(format.TokenizerName)
	if !ok || section.Kind != format.KindTokenizer {
		return errors.New("section tokenizer is missing")
	}
	err := format.GuardFault(func() (err error) {
		m.tokenizer, err = tokenizer.NewGuarded(m.file.Bytes(section), m.guard)
		return err
	})
	if err == nil && check {
		err = m.tokenizer.Check()
	}
	if err != nil {
		return fmt.Errorf("section tokenizer: %w", err)
	}
	return nil
}

// guard calls a function that reads the mapped file. It fails with ErrClosed, or with what has become of the file.
func (m *Model) guard(read func() error) error {
	if err := m.file.Guard(read); err != nil {
		return fmt.Errorf("%s: %w", m.file.Path(), err)
	}
	return nil
}

// closed returns ErrClosed once the model is closed.
func (m *Model) closed() error { return m.guard(func() error { return nil }) }

func defaultKV(file *format.File) KV {
	for _, s := range file.Sections() {
		if s.Encoding.IsPanel() && s.Encoding != format.PanelF32 {
			return F16
		}
	}
	return F32
}

// Close unmaps the file. It may be called at any time, also within the loop over a text that is being generated: calls
// that run on other goroutines end with ErrClosed, and Close waits for them. So does whatever is called afterwards and
// needs the model, on its sessions, batches and tokenizer too. Views of the file, as File().Bytes returns them, must not
// be touched any more.
func (m *Model) Close() error {
	// First the file: once Close waits for it, no further pass or step of a tokenizer begins.
	err := m.file.Close()
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.held != nil {
		m.cleanup.Stop()
		m.held.threads.release()
		m.held = nil
	}
	return err
}

// Tokenizer returns the model's tokenizer.
func (m *Model) Tokenizer() *tokenizer.Tokenizer { return m.tokenizer }

// Ends returns the tokens that end a text, the one that is meant most first. They must not be changed.
func (m *Model) Ends() []int32 { return m.ends }

// Beginning returns the prompt of a text that begins with nothing: what the tokenizer puts before texts, or the token that
// begins one. It is empty if the model has neither.
func (m *Model) Beginning() []int32 {
	if prefix := m.tokenizer.WithPrefix(nil); len(prefix) > 0 || m.shape.BOS < 0 {
		return prefix
	}
	return []int32{m.shape.BOS}
}

// Shape returns the model's sizes and special tokens.
func (m *Model) Shape() Shape { return m.shape }

// Meta returns what the file says of itself.
func (m *Model) Meta() format.Meta { return m.meta }

// File returns the open container, which Close closes.
func (m *Model) File() *format.File { return m.file }

// Kernels returns the name of the kernels in use.
func (m *Model) Kernels() string { return m.kernels.Name() }

// KV returns how sessions keep keys and values.
func (m *Model) KV() KV { return m.pages.Layout().Encoding }

// KVBytes returns how much memory keys and values of that many positions take.
func (m *Model) KVBytes(positions int) int64 {
	return int64(m.pages.Layout().PositionBytes()) * int64(positions)
}

// KVRead returns how much of the keys and values of that many positions attention reads for one token, the last of them: layers
// with a window read no more than that.
func (m *Model) KVRead(positions int) int64 {
	return int64(m.pages.Layout().PositionBytes()/m.shape.Layers) * m.network.PositionsRead(positions)
}

// KVTaken returns how much memory the keys and values of all sessions take, in bytes.
func (m *Model) KVTaken() int64 { return m.pages.Taken() }

// KVLimit returns how much memory the keys and values of all sessions may take, in whole pages, 0 where nothing bounds it.
func (m *Model) KVLimit() int64 { return m.pages.Limit() }

// KVPage returns how many positions a page of keys and values has. Sessions take whole pages.
func (m *Model) KVPage() int { return m.pages.Layout().Positions }

// Threads returns the threads that the model runs on, nil if it is closed.
func (m *Model) Threads() *Threads {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.held == nil {
		return nil
	}
	return m.held.threads
}

// UseThreads makes the model run on other threads from its next pass on.
func (m *Model) UseThreads(t *Threads) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	switch {
	case m.held == nil:
		return fmt.Errorf("%s: %w", m.file.Path(), ErrClosed)
	case t == m.held.threads:
		return nil
	case t == nil: // as a closed model has them
		return fmt.Errorf("threads: %w", ErrClosed)
	}
	if err := t.use(); err != nil {
		return err
	}
	m.held.threads.release()
	m.held.threads = t
	m.prepare()
	return nil
}

// run takes segments through the model in one pass.
func (m *Model) run(segments []forward.Segment, logits []float32) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.pass.Begin(segments, logits)
	return m.guard(m.forward)
}

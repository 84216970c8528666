package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// ErrBusy is returned where as many requests wait as may: the client should come back later.
var ErrBusy = errors.New("too many requests are waiting")

// Options are the choices of an Engine. The zero value is a good start.
type Options struct {
	// Texts is how many texts may run at once; every choice of a request is one. 0: 32.
	Texts int
	// Queue is how many requests may wait; more are refused with ErrBusy. 0: 256.
	Queue int
	// Stretch bounds how long pieces of prompts may make a step, as a multiple of what it takes without them. At least one
	// token of a prompt goes along with each step all the same. 0: 2.
	Stretch float64
	// Prefixes is how many bytes of keys and values may be kept of texts that have been run, for those that begin alike. They
	// give way when the pool of runtime.WithKVLimit is full. 0: 1 GiB; negative: none.
	Prefixes int64
	// Draft is a model that guesses tokens for all texts, and NGram lets what followed in a text before be guessed: where that
	// makes texts faster, and only there. A draft model runs on the target's threads from then on; see spec.NewModel for what
	// it must be like.
	Draft *runtime.Model
	NGram bool

	// interfere, if not nil, is called by the scheduler before each step: tests make trouble there.
	interfere func(*Engine)
	eager     bool // has everything checked that can be guessed
}

// validate returns an ErrOption for what makes no sense.
func (o Options) validate() error {
	for _, check := range []struct {
		name  string
		value float64
		valid bool
	}{
		{"texts", float64(o.Texts), o.Texts >= 0},
		{"queue", float64(o.Queue), o.Queue >= 0},
		{"stretch", o.Stretch, o.Stretch == 0 || o.Stretch >= 1},
	} {
		if !check.valid {
			return fmt.Errorf("%w: %s %v", runtime.ErrOption, check.name, check.value)
		}
	}
	return nil
}

// withDefaults fills in what was left to the engine.
func (o Options) withDefaults() Options {
	o.Texts = cmp.Or(o.Texts, 32)
	o.Queue = cmp.Or(o.Queue, 256)
	o.Stretch = cmp.Or(o.Stretch, 2)
	o.Prefixes = cmp.Or(o.Prefixes, 1<<30)
	return o
}

// Engine runs the texts of many requests on one model. It is safe for concurrent use. The model may be used by others
// meanwhile; it must not be closed before the Engine is.
type Engine struct {
	model   *runtime.Model
	options Options
	ended   chan struct{} // closed when the scheduler has ended

	mutex      sync.Mutex // guards what follows
	changed    *sync.Cond // something to do, or closed
	waiting    queue
	closed     bool
	statistics Statistics

	scheduler
}

// New returns an Engine that is ready for requests. Close ends it. It fails with ErrOption, and with
// spec.ErrVocabulary for a draft model that does not go with the model.
func New(model *runtime.Model, options Options) (*Engine, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	if options.Draft != nil {
		if err := spec.Pair(options.Draft, model); err != nil {
			return nil, err
		}
	}
	e := &Engine{model: model, options: options.withDefaults(), ended: make(chan struct{})}
	e.changed = sync.NewCond(&e.mutex)
	e.scheduler = newScheduler(model, e.options)
	go e.run()
	return e, nil
}

// Submit hands a request in. Its texts come through the Stream while they are written. When ctx is done, or the Stream is
// closed, the request ends at the next step, wherever it is. Submit fails with what runtime.Model.Generate would fail with
// at once, ErrBusy if too many requests wait, and ErrClosed.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	job, err := e.newJob(ctx, r)
	if err != nil {
		return nil, err
	}
	if job.finished() { // nothing was asked for
		job.stream.end(nil)
		return job.stream, nil
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	switch {
	case e.closed:
		return nil, fmt.Errorf("engine: %w", runtime.ErrClosed)
	case len(e.waiting) >= e.options.Queue:
		e.statistics.Refused++
		return nil, fmt.Errorf("%w: %d", ErrBusy, len(e.waiting))
	}
	e.waiting = append(e.waiting, job)
	e.statistics.Submitted++
	e.changed.Signal()
	return job.stream, nil
}

// Close ends all requests with ErrClosed, and returns when nothing runs any more. The model stays open.
func (e *Engine) Close() {
	e.mutex.Lock()
	e.closed = true
	e.changed.Signal()
	e.mutex.Unlock()
	<-e.ended
}

// run is the scheduler's goroutine.
func (e *Engine) run() {
	defer close(e.ended)
	for e.wait() {
		if e.options.interfere != nil {
			e.options.interfere(e)
		}
		e.step()
	}
	e.failAll(fmt.Errorf("engine: %w", runtime.ErrClosed))
	e.prefixes.clear()
}

// wait returns true when there is something to do, and false once the engine is closed.
func (e *Engine) wait() bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for !e.closed && len(e.texts) == 0 && len(e.waiting) == 0 {
		e.changed.Wait()
	}
	return !e.closed
}

// failAll ends all requests, running or waiting.
func (e *Engine) failAll(err error) {
	for len(e.texts) > 0 {
		e.fail(e.texts[0].job, err)
	}
	e.mutex.Lock()
	waiting := e.waiting
	e.waiting = nil
	e.mutex.Unlock()
	for _, job := range waiting {
		job.fail(err)
	}
}

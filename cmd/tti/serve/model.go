package serve

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/spec/engine"
)

// defaultTexts is how many texts of a model are written at once.
const defaultTexts = 32

// model is an open file with the engine that runs its texts.
type model struct {
	*runtime.Model
	draft       *runtime.Model // that guesses for it, nil if none does
	engine      *engine.Engine
	texts       int            // that run at once
	template    *chat.Template // nil if there is none
	fingerprint string
}

// NGram is the draft that needs no file: what followed the same words before in a text.
const NGram = "ngram"

// openModel opens a file, and what drafts for it, and readies it for requests.
func (s *Server) openModel(name, path string) (*model, error) {
	o := s.options
	opened, err := runtime.Open(path, slices.Concat(o.Model, []runtime.Option{runtime.WithContext(o.Context), runtime.WithThreads(s.threads)})...)
	if err != nil {
		return nil, err
	}
	m := &model{Model: opened}
	drafts, named := o.Drafts[name]
	if !named {
		drafts = o.Drafts[""]
	}
	if err = m.openDrafts(drafts, &o.Engine); err == nil {
		err = m.prepare(o.Context, o.Engine)
	}
	if err != nil {
		m.closeModels()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m *model) openDrafts(drafts []string, options *engine.Options) (err error) {
	for _, draft := range drafts {
		if draft == NGram {
			options.NGram = true
			continue
		}
		if m.draft != nil {
			return fmt.Errorf("%s and %s are to guess for one model", m.draft.File().Path(), draft)
		}
		if m.draft, err = runtime.Open(draft, runtime.WithThreads(m.Threads())); err != nil {
			return err
		}
		options.Draft = m.draft
	}
	return nil
}

func (m *model) prepare(context int, options engine.Options) (err error) {
	if m.template, err = chat.FromTokenizer(m.Tokenizer()); err != nil && !errors.Is(err, chat.ErrNoTemplate) {
		return err
	}
	if m.fingerprint, err = fingerprint(m.Model, context); err != nil {
		return err
	}
	options.Texts = cmp.Or(options.Texts, defaultTexts)
	m.texts = options.Texts
	m.engine, err = engine.New(m.Model, options)
	return err
}

// close ends all texts of the model.
func (m *model) close() {
	m.engine.Close()
	m.closeModels()
}

func (m *model) closeModels() {
	if m.draft != nil {
		m.draft.Close()
	}
	m.Model.Close()
}

// size is how many bytes of memory the model takes, those of its draft with it.
func (m *model) size() int64 {
	size := m.File().Size() + m.KVTaken()
	if m.draft != nil {
		size += m.draft.File().Size() + m.draft.KVTaken()
	}
	return size
}

// fingerprint names all that an answer depends on beside the request and its seed: the bytes of the file, by the checksum of
// the index that holds the checksums of all sections; the version of the arithmetic; how keys and values are kept; and whether
// the context asked for makes the model compute for long texts.
func fingerprint(m *runtime.Model, context int) (string, error) {
	meta := m.Meta()
	parameters, err := architecture.Parse(meta.Architecture, meta.Hyperparameters)
	if err != nil {
		return "", err
	}
	usual, _ := parameters.Contexts()
	long := byte(0)
	if context > usual {
		long = 1
	}
	said := binary.LittleEndian.AppendUint64(nil, m.File().IndexChecksum())
	said = append(said, kernels.Numerics, byte(len(m.KV().String())))
	said = append(append(said, m.KV().String()...), long)
	return fmt.Sprintf("tti_%016x", xxhash.Sum64(said)), nil
}

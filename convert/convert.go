package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// Tool stands in the files as what wrote them. The number is not that of a release: it is raised when the same source and
// options give other bytes, so that files and caches of before can be told apart.
const Tool = "tti 0.1.0"

// Options are the choices of Convert. The zero value converts to int8 on all cores, as the command line does.
type Options struct {
	Mode Mode  // empty: Int8
	Int4 Scope // which matrices mode Int4 is for; empty: MLP

	// Calibrate rounds the weights of modes Int8 and Int4 by a text, if not nil.
	Calibrate *Calibration

	Workers  int                     // sections encoded at the same time, beside the hashing of the source; 0: all cores
	NoSync   bool                    // leave it to the system when the target reaches the disk
	Progress func(done, total int64) // told of bytes of the target written, if not nil; its calls never overlap
	Notice   func(text string)       // told in a line, if not nil, of what parts of the source are left out
}

// DraftOptions are those for a model that only drafts: the fastest mode, as what it guesses is checked.
func DraftOptions() Options { return Options{Mode: Int4, Int4: All} }

// Convert writes the model that source names, see Resolve, to the file target. The same source and
// mode give the same bytes, whatever else is chosen; with a calibration the same text gives them, on
// processors of one architecture. On an error, or when ctx is done, nothing is
// left behind and an existing target is as it was.
func Convert(ctx context.Context, source, target string, o Options) error {
	found, err := Resolve(ctx, source, Download{})
	if err != nil {
		return fmt.Errorf("convert %s: %w", source, err)
	}
	return found.Convert(ctx, target, o)
}

// Convert is [Convert] of a source that has been resolved.
func (s Source) Convert(ctx context.Context, target string, o Options) error {
	if err := s.convert(ctx, target, o); err != nil {
		return fmt.Errorf("convert %s: %w", s.Name, err)
	}
	return nil
}

func (s Source) convert(ctx context.Context, target string, o Options) error {
	mode, err := o.ModeName()
	if err != nil {
		return err
	}
	m, err := openModel(s.Directory)
	if err != nil {
		return err
	}
	defer m.close()
	var p plan
	err = format.GuardFault(func() (err error) {
		p, err = m.plan()
		return err
	})
	if err != nil {
		return err
	}
	tokenizer, err := m.tokenizer(p.tokenizer)
	if err != nil {
		return err
	}
	if text := p.leftOut(); text != "" && o.Notice != nil {
		o.Notice(text)
	}
	if err := m.keepFrom(target); err != nil {
		return err
	}

	var hashing sync.WaitGroup
	defer hashing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	digests := sync.OnceValues(func() (map[string]string, error) { return m.digests(ctx) })
	hashing.Go(func() { digests() })
	return p.write(ctx, target, mode, tokenizer, m.noDigests(), digests, o)
}

// ModeName returns the name of the options' mode and scope, as files have it: "int8", "int4-all". It fails if they do not go together.
func (o Options) ModeName() (string, error) {
	mode, err := modeName(o.Mode, o.Int4)
	if err == nil && o.Calibrate != nil && !slices.Contains([]Mode{"", Int8, Int4}, o.Mode) {
		err = fmt.Errorf("mode %s rounds nothing that a calibration could help", mode)
	}
	return mode, err
}

// write writes the file of a plan. The digests of the sources are asked for when they are needed; placeholders are as long as they are.
func (p plan) write(ctx context.Context, target, mode string, tokenizer []byte, placeholders map[string]string, digests func() (map[string]string, error), o Options) error {
	var calibrated map[string][]byte
	if o.Calibrate != nil {
		var err error
		if calibrated, err = calibrate(ctx, p, encodings[mode], tokenizer, o); err != nil {
			return err
		}
	}
	// The length of meta is known before the digests are: they all have one length.
	meta, err := p.meta(mode, placeholders, o.Calibrate)
	if err != nil {
		return err
	}
	sections := []format.Section{
		{Name: format.MetaName, Kind: format.KindMeta, Shape: []int{len(meta)}},
		{Name: format.TokenizerName, Kind: format.KindTokenizer, Shape: []int{len(tokenizer)}},
	}
	first := len(sections)
	for _, w := range p.weights {
		sections = append(sections, w.section(mode))
	}
	fill := func(ctx context.Context, i int, out io.Writer) error {
		switch sections[i].Kind {
		case format.KindMeta:
			digests, err := digests()
			if err != nil {
				return err
			}
			meta, err := p.meta(mode, digests, o.Calibrate)
			if err != nil {
				return err
			}
			_, err = out.Write(meta)
			return err
		case format.KindTokenizer:
			_, err := out.Write(tokenizer)
			return err
		}
		if section, ok := calibrated[sections[i].Name]; ok {
			_, err := out.Write(section)
			return err
		}
		return format.GuardFault(func() error { return p.weights[i-first].encode(ctx, sections[i].Encoding, out) })
	}
	return format.Write(ctx, target, sections, fill, format.WriteOptions{Workers: o.Workers, NoSync: o.NoSync, Progress: o.Progress})
}

// leftOut says which parts of the source are no part of the target, empty if there are none.
func (p plan) leftOut() string {
	var parts []string
	for _, beginning := range slices.Sorted(maps.Keys(p.skipped)) {
		switch count := p.skipped[beginning]; count {
		case 0:
		case 1:
			parts = append(parts, fmt.Sprintf("1 tensor of %s", strings.TrimSuffix(beginning, ".")))
		default:
			parts = append(parts, fmt.Sprintf("%d tensors of %s", count, strings.TrimSuffix(beginning, ".")))
		}
	}
	if parts == nil {
		return ""
	}
	return "only the text model is converted, without " + strings.Join(parts, " and ")
}

// meta returns the meta section.
func (p plan) meta(mode string, digests map[string]string, calibration *Calibration) ([]byte, error) {
	if calibration != nil {
		mode += "-calibrated"
		digests = maps.Clone(digests)
		digests[calibrationSource] = calibration.digest()
	}
	hyperparameters, err := json.Marshal(p.hyperparameters)
	if err != nil {
		return nil, err
	}
	meta := format.Meta{
		Architecture:    p.hyperparameters.Architecture(),
		Hyperparameters: hyperparameters,
		Mode:            mode,
		Tool:            Tool,
		Specification:   format.Specification,
		Sources:         digests,
		Generation:      p.generation,
	}
	return meta.Encode()
}

// tokenizer returns the tokenizer section of the model, and counts its files among the sources.
func (m *model) tokenizer(o bpe.Options) ([]byte, error) {
	definition, files, err := bpe.Load(os.DirFS(m.directory), o)
	if err != nil {
		return nil, clipped(err) // it may quote a token of megabytes
	}
	for _, name := range files {
		if !slices.ContainsFunc(m.files, func(f sourceFile) bool { return f.name == name }) {
			if _, err := m.mapFile(name); err != nil {
				return nil, err
			}
		}
	}
	return vocabulary.Build(definition)
}

// keepFrom refuses a target that is one of the model's own files.
func (m *model) keepFrom(target string) error {
	info, err := os.Stat(target)
	if err != nil {
		return nil // there is no such file yet; whatever else is wrong with it, writing it will say
	}
	for _, f := range m.files {
		if os.SameFile(f.info, info) {
			return fmt.Errorf("target %s is the model's own %s", target, f.name)
		}
	}
	return nil
}

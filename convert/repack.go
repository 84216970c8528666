package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
)

// f16Source is the name, among the sources of a file, of the .tti file of mode f16 that it was made from: such a file may have lost something
// of the sources it was made from itself. No file of a model is called so.
const f16Source = "(f16 tti file)"

// ErrRounded is wrapped where the weights of a .tti file have been rounded to codes, of which no other codes are made.
var ErrRounded = errors.New("its weights have been rounded to few bits already")

// Repack writes the model of a .tti file of mode f32 or f16 to another .tti file in another mode. From f32 that is the file which the model's
// source gives, to the last byte; it may be calibrated too. The file is checked first and must not change in the meantime. It fails with ErrRounded
// for files of other modes. What else there is to say of the target, Convert does.
func Repack(ctx context.Context, path, target string, o Options) error {
	return named("convert", path, repack(ctx, path, target, o))
}

func repack(ctx context.Context, path, target string, o Options) error {
	mode, err := o.ModeName()
	if err != nil {
		return err
	}
	file, err := format.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := keepApart(path, target); err != nil {
		return err
	}
	if err := file.Verify(ctx, nil); err != nil {
		return err
	}
	meta, err := file.Meta()
	if err != nil {
		return err
	}
	section, ok := file.Section(format.TokenizerName)
	if !ok {
		return fmt.Errorf("%w: section %s is missing", format.ErrCorrupt, format.TokenizerName)
	}
	tokenizer, err := file.Copy(section)
	if err != nil {
		return err
	}
	p, err := repackPlan(file, meta)
	if err != nil {
		return err
	}
	sources, err := sourcesOf(path, meta)
	if err != nil {
		return err
	}
	return p.write(ctx, target, mode, tokenizer, sources, func() (map[string]string, error) { return sources, nil }, o)
}

// keepApart refuses a target that is the file itself.
func keepApart(path, target string) error {
	from, err := os.Stat(path)
	if err != nil {
		return err
	}
	if to, err := os.Stat(target); err == nil && os.SameFile(from, to) {
		return fmt.Errorf("target %s is the file itself", target)
	}
	return nil
}

// repackPlan is the plan of a model whose tensors are those of a file, as views.
func repackPlan(file *format.File, meta format.Meta) (plan, error) {
	h, err := architecture.Parse(meta.Architecture, meta.Hyperparameters)
	if err != nil {
		return plan{}, err
	}
	p := newPlanner(nil)
	for t := range h.Tensors() {
		s, err := sectionOf(file, t)
		if err != nil {
			return plan{}, err
		}
		w := weight{Tensor: t}
		switch s.Encoding {
		case format.Float32:
			w.computed = format.Float32s(file.Bytes(s))
		case format.PanelF32, format.PanelF16:
			matrix, err := panel.View(s.Encoding, t.Shape[0], t.Shape[1], file.Bytes(s))
			if err != nil {
				return plan{}, fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			w.packed = &matrix
		default:
			return plan{}, fmt.Errorf("%w (tensor %s is %v); convert its source, or a file of mode f32 or f16", ErrRounded, t.Name, s.Encoding)
		}
		p.weights = append(p.weights, w)
	}
	p.weigh(h)
	return plan{hyperparameters: h, weights: p.weights, generation: meta.Generation}, nil
}

// sourcesOf returns what a file was made from, and the file itself unless it has lost nothing.
func sourcesOf(path string, meta format.Meta) (map[string]string, error) {
	if meta.Mode == string(F32) {
		return meta.Sources, nil
	}
	file, _, err := format.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return nil, err
	}
	sources := maps.Clone(meta.Sources)
	sources[f16Source] = hex.EncodeToString(digest.Sum(nil))
	return sources, nil
}

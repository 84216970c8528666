package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
)

// ExportOptions are the choices of Export. The zero value exports float32 on all cores.
type ExportOptions struct {
	DType DType

	Workers  int                     // tensors decoded at the same time; 0: all cores
	Progress func(done, total int64) // told of bytes of weights written, if not nil; its calls never overlap
}

// ErrExists is wrapped by the error about a target where anything but an empty directory is.
var ErrExists = format.ErrExists

// Export writes the model in a .tti file as a HuggingFace model directory: the weights as numbers,
// codes multiplied with their scales, and the configuration and tokenizer files that transformers
// wants beside them. Converted to f32, a file of mode f32 or f16 gives the same weights and tokens
// again, bit for bit.
//
// The directory appears whole or not at all, see format.CreateDirectory; it must not exist or be
// empty. What is written is what the file's checksums are of, though the file should change in the meantime. Beside the
// file's own pages, Export holds at most one tensor for each worker, as the file has it and as numbers.
func Export(ctx context.Context, file, directory string, o ExportOptions) error {
	return named("export", file, export(ctx, file, directory, o))
}

// named says what has failed with a file, whose path an error of package format names already.
func named(what, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), path+": "):
		return fmt.Errorf("%s %w", what, err)
	}
	return fmt.Errorf("%s %s: %w", what, path, err)
}

func export(ctx context.Context, path, directory string, o ExportOptions) error {
	if o.DType == "" {
		o.DType = DTypeF32
	}
	if _, ok := dtypes[o.DType]; !ok {
		return fmt.Errorf("unknown element type %q (types: f32, f16, bf16)", o.DType)
	}
	file, err := format.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return format.CreateDirectory(directory, func(directory string) error {
		if err := file.Verify(ctx, nil); err != nil {
			return err
		}
		e := &exporter{file: file, directory: directory, options: o}
		return e.run(ctx)
	})
}

// exporter writes one model directory.
type exporter struct {
	file      *format.File
	directory string
	options   ExportOptions
}

func (e *exporter) run(ctx context.Context) error {
	meta, err := e.file.Meta()
	if err != nil {
		return err
	}
	h, err := architecture.Parse(meta.Architecture, meta.Hyperparameters)
	if err != nil {
		return err
	}
	index := slices.IndexFunc(families, func(f family) bool { return f.modelType() == familyOf(h) })
	if index < 0 {
		return fmt.Errorf("%w: no way back for family %.60q", format.ErrUnsupported, familyOf(h))
	}
	model, err := families[index].export(h, dtypes[e.options.DType].torch)
	if err != nil {
		return err
	}
	config, err := json.MarshalIndent(model.config, "", "  ")
	if err != nil {
		return err
	}
	if err := e.write(configurationFile, append(config, '\n')); err != nil {
		return err
	}
	if err := e.tokenizer(model); err != nil {
		return err
	}
	return e.weights(ctx, h, model)
}

// familyOf returns the model type of the family that a model came from.
func familyOf(h architecture.Hyperparameters) string {
	if decoder, ok := h.(*architecture.Decoder); ok {
		return decoder.Family
	}
	return h.Architecture()
}

// write writes a small file.
func (e *exporter) write(name string, contents []byte) error {
	file, err := os.Create(filepath.Join(e.directory, name))
	if err != nil {
		return err
	}
	_, err = file.Write(contents)
	return errors.Join(err, file.Sync(), file.Close())
}

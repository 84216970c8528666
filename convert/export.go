package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
	"github.com/tti-llm/tti/format/vocabulary"
)

// ExportOptions are the choices of Export. The zero value exports float32 on all cores.
type ExportOptions struct {
	Elements Elements

	Workers  int                     // tensors decoded at the same time; 0: all cores
	Progress func(done, total int64) // told of bytes of weights written, if not nil; its calls never overlap
}

// Elements is the type of the numbers in a model directory.
type Elements string

const (
	ElementsF32 Elements = "f32" // exact, whatever the mode of the file
	ElementsF16 Elements = "f16" // exact where the weights are binary16 already, else rounded to nearest even
)

// elementTypes are the types of numbers as safetensors and as config.json name them.
var elementTypes = map[Elements]struct {
	safetensors.Type
	torch string
}{
	ElementsF32: {safetensors.F32, "float32"},
	ElementsF16: {safetensors.F16, "float16"},
}

// ErrExists is wrapped by the error about a target where anything but an empty directory is.
var ErrExists = format.ErrExists

// Export writes the model in a .tti file as a HuggingFace model directory: the weights as numbers,
// codes multiplied with their scales, and the configuration and tokenizer files that transformers
// wants beside them. Converted to f32, a file of mode f32 or f16 gives the same weights and tokens
// again, bit for bit.
//
// The directory appears whole or not at all, see format.CreateDirectory; it must not exist or be
// empty. Beside the file's own pages, Export holds at most one tensor for each worker.
func Export(ctx context.Context, file, directory string, o ExportOptions) error {
	err := export(ctx, file, directory, o)
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), file+": "): // as package format names it
		return fmt.Errorf("export %w", err)
	}
	return fmt.Errorf("export %s: %w", file, err)
}

func export(ctx context.Context, path, directory string, o ExportOptions) error {
	if o.Elements == "" {
		o.Elements = ElementsF32
	}
	if _, ok := elementTypes[o.Elements]; !ok {
		return fmt.Errorf("unknown element type %q (types: f32, f16)", o.Elements)
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
	index := slices.IndexFunc(families, func(f family) bool { return f.modelType() == meta.Architecture })
	if index < 0 {
		return fmt.Errorf("%w: no way back for architecture %s", format.ErrUnsupported, meta.Architecture)
	}
	model := families[index].export(h, elementTypes[e.options.Elements].torch)
	configuration, err := json.MarshalIndent(model.configuration, "", "  ")
	if err != nil {
		return err
	}
	if err := e.write(configurationFile, append(configuration, '\n')); err != nil {
		return err
	}
	if err := e.tokenizer(model); err != nil {
		return err
	}
	return e.weights(ctx, h, model)
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

// tokenizer writes the tokenizer's files, and makes sure that they say what the section says.
func (e *exporter) tokenizer(model exported) error {
	s, ok := e.file.Section(format.TokenizerName)
	if !ok {
		return nil
	}
	section := e.file.Bytes(s)
	return format.GuardFault(func() error {
		view, err := vocabulary.Open(section)
		if err != nil {
			return err
		}
		options := tokenizerOptions(view.Tokens(), model.eos, model.bos)
		files, err := bpe.Export(view.Definition(), options, model.context)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := e.write(name, files[name]); err != nil {
				return err
			}
		}
		definition, _, err := bpe.Load(os.DirFS(e.directory), options)
		if err != nil {
			return fmt.Errorf("the tokenizer cannot be expressed in HuggingFace's files: %w", err)
		}
		if again, err := vocabulary.Build(definition); err != nil || string(again) != string(section) {
			return errors.Join(errors.New("the tokenizer cannot be expressed in HuggingFace's files"), err)
		}
		return nil
	})
}

// exportedTensor is a tensor section and the weight that it holds.
type exportedTensor struct {
	architecture.Tensor
	place   huggingface.Place
	section format.Section
}

// weights writes model.safetensors.
func (e *exporter) weights(ctx context.Context, h architecture.Hyperparameters, model exported) error {
	var tensors []exportedTensor
	var targets []safetensors.Tensor
	for t := range h.Tensors() {
		s, ok := e.file.Section(t.Name)
		switch {
		case !ok:
			return fmt.Errorf("%w: tensor %s is missing", format.ErrCorrupt, t.Name)
		case !slices.Equal(s.Shape, t.Shape) || s.Kind != format.KindTensor || s.Encoding.IsPanel() != t.IsMatrix():
			return fmt.Errorf("%w: tensor %s is %v of shape %v, want shape %v", format.ErrCorrupt, t.Name, s.Encoding, s.Shape, t.Shape)
		}
		place := model.place(t)
		tensors = append(tensors, exportedTensor{t, place, s})
		targets = append(targets, safetensors.Tensor{Name: place.Name, Shape: place.Shape(t)})
	}
	layout, err := safetensors.NewLayout(elementTypes[e.options.Elements].Type, targets)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(e.directory, weightsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(layout.Size); err != nil {
		return err
	}
	if _, err := file.WriteAt(layout.Header, 0); err != nil {
		return err
	}
	meter := progress.NewMeter(layout.Size-int64(len(layout.Header)), e.options.Progress)

	err = parallel.Each(ctx, e.options.Workers, len(tensors), func(ctx context.Context, i int) error {
		out := &tensorWriter{ctx, io.NewOffsetWriter(file, layout.Offsets[i]), meter}
		if err := format.GuardFault(func() error { return e.decode(tensors[i], out) }); err != nil {
			return fmt.Errorf("tensor %s: %w", tensors[i].Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// tensorWriter writes a tensor to its place. It ends when its context does.
type tensorWriter struct {
	ctx   context.Context
	out   io.Writer
	meter *progress.Meter
}

func (w *tensorWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.out.Write(p)
	w.meter.Add(n)
	return n, err
}

// decode writes the values of a tensor in the order of the source.
func (e *exporter) decode(t exportedTensor, out io.Writer) error {
	section := e.file.Bytes(t.section)
	if !t.IsMatrix() {
		values := format.Float32s(section)
		return e.put(out, values, func(i int) []int { return tensor{shape: t.Shape}.index(i) })
	}
	m, err := panel.View(t.section.Encoding, t.Shape[0], t.Shape[1], section)
	if err != nil {
		return err
	}
	if t.place.Transposed {
		return e.put(out, turned(m), func(i int) []int { return []int{i / m.Rows, i % m.Rows} })
	}
	chunk := max(1, chunkBytes/4/m.Columns)
	values := make([]float32, chunk*m.Columns)
	for first := 0; first < m.Rows; first += chunk {
		count := min(chunk, m.Rows-first)
		for r := range count {
			m.Row(first+r, values[r*m.Columns:(r+1)*m.Columns])
		}
		err := e.put(out, values[:count*m.Columns], func(i int) []int { return []int{first + i/m.Columns, i % m.Columns} })
		if err != nil {
			return err
		}
	}
	return nil
}

// turned returns the values of a matrix as [columns, rows].
func turned(m panel.Matrix) []float32 {
	values := make([]float32, m.Rows*m.Columns)
	panel := make([]float32, format.PanelRows*m.Columns)
	for first := 0; first < m.Rows; first += format.PanelRows {
		count := min(format.PanelRows, m.Rows-first)
		for r := range count {
			m.Row(first+r, panel[r*m.Columns:(r+1)*m.Columns])
		}
		for k := range m.Columns {
			line := values[k*m.Rows+first:][:count]
			for r := range line {
				line[r] = panel[r*m.Columns+k]
			}
		}
	}
	return values
}

// put writes values. index says where in the tensor one of them is, for an error.
func (e *exporter) put(out io.Writer, values []float32, index func(i int) []int) error {
	elements := elementTypes[e.options.Elements]
	size := elements.Size()
	buffer := make([]byte, min(len(values)*size, chunkBytes))
	for first := 0; first < len(values); {
		part := values[first:min(len(values), first+len(buffer)/size)]
		if n := elements.Encode(buffer, part); n < len(part) {
			return fmt.Errorf("value %v at %v is too large for %s", part[n], index(first+n), e.options.Elements)
		}
		if _, err := out.Write(buffer[:len(part)*size]); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}

package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format"
)

// architecture is all the converter knows about a family of models. To add one, write a file like
// gpt2.go and add a line to the table below.
type architecture interface {
	// modelType is the family's "model_type" in config.json, and its name in the .tti file.
	modelType() string
	// classes are the "architectures" of config.json whose weights plan understands.
	classes() []string
	// plan reads the configuration, asks p for every weight in the order the weights will have in
	// the file, and returns the hyperparameters for the file, to be written as JSON. An error is
	// about the configuration; p keeps those about tensors. A tensor that is not asked for is refused.
	plan(c *configuration, p *planner) (hyperparameters any, err error)
	// export is the way back from a file's hyperparameters to a model directory of the given
	// element type.
	export(hyperparameters json.RawMessage, elements string) (exported, error)
}

// exported is what a model directory says about a model, besides its tokenizer.
type exported struct {
	configuration any              // of config.json
	weights       iter.Seq[weight] // in the order of the .tti file
	sourceName    func(name string) string
	positions     int
	endOfText     *int // as in config.json, nil for none
	beginOfText   *int
}

var architectures = []architecture{
	gpt2{},
}

// findArchitecture returns the architecture a configuration names.
func findArchitecture(c *configuration) (architecture, error) {
	var names []string
	modelType, classes := c.text("model_type", ""), c.texts("architectures")
	if c.err != nil {
		return nil, c.err
	}
	for _, a := range architectures {
		names = append(names, a.modelType())
		if modelType != a.modelType() && (modelType != "" || len(classes) == 0 || !slices.Contains(a.classes(), classes[0])) {
			continue
		}
		for _, class := range classes {
			if !slices.Contains(a.classes(), class) {
				return nil, fmt.Errorf("architecture %.60q is not supported (of %s: %s)", class, a.modelType(), strings.Join(a.classes(), ", "))
			}
		}
		return a, nil
	}
	if modelType == "" && len(classes) > 0 {
		return nil, fmt.Errorf("architecture %.60q is not supported (supported: %s)", classes[0], strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("model_type %.60q is not supported (supported: %s)", modelType, strings.Join(names, ", "))
}

// plan is what a target will hold besides its tokenizer: complete, and checked against the source.
type plan struct {
	architecture    string
	hyperparameters json.RawMessage
	tokenizer       bpe.Options
	weights         []weight // in file order
	calibrate       func(ctx context.Context, c *calibration) error
}

// plan makes the plan of a model. Errors name the configuration's field or the tensor.
func (m *model) plan() (plan, error) {
	p := &planner{tensors: m.tensors, prefixes: []string{""}, used: map[string]bool{}}
	architecture, hyperparameters, err := m.ask(p)
	if err != nil {
		return plan{}, err
	}
	if err := p.finish(); err != nil {
		return plan{}, err
	}
	text, err := json.Marshal(hyperparameters)
	if err != nil {
		return plan{}, err
	}
	return plan{architecture.modelType(), text, p.tokenizer, p.weights, p.calibrate}, nil
}

// ask finds the architecture that the configuration names and has it ask the planner for every weight.
func (m *model) ask(p *planner) (a architecture, hyperparameters any, err error) {
	c := m.configuration
	if m.generation != nil {
		for _, name := range []string{"eos_token_id", "bos_token_id"} { // generation stops by this file, where there is one
			if m.generation.has(name) {
				c.fields[name] = m.generation.fields[name]
			}
		}
	}
	if a, err = findArchitecture(c); err == nil {
		hyperparameters, err = a.plan(c, p)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", configurationFile, err)
	}
	return a, hyperparameters, err
}

// weight is one tensor section of the target and where it comes from.
type weight struct {
	name       string // in the .tti file
	role       role
	shape      []int // in the .tti file
	source     tensor
	transposed bool // the source is [columns, rows] of the target
	// importance returns a factor for the squared errors of each column, nil for none.
	importance func() []float32
}

// vectorWeight is a weight of any shape that is kept as plain float32.
func vectorWeight(name string, shape ...int) weight {
	return weight{name: name, role: vector, shape: shape}
}

// matrixWeight is a weight matrix that the source keeps as [out, in].
func matrixWeight(name string, role role, out, in int) weight {
	return weight{name: name, role: role, shape: []int{out, in}}
}

// transposedWeight is a weight matrix that the source keeps as [in, out].
func transposedWeight(name string, role role, out, in int) weight {
	return weight{name: name, role: role, shape: []int{out, in}, transposed: true}
}

// sourceShape returns the shape that the source has.
func (w weight) sourceShape() []int {
	if w.transposed {
		return []int{w.shape[1], w.shape[0]}
	}
	return w.shape
}

// planner collects the weights of a plan and checks each against the source.
type planner struct {
	tensors   map[string]tensor
	prefixes  []string // that a source may put before a name; tried in this order
	used      map[string]bool
	tokenizer bpe.Options // for the architecture to fill in, as is what runs the model over a text and rounds its matrices
	calibrate func(ctx context.Context, c *calibration) error
	weights   []weight
	err       error // the first one sticks
}

// find returns the source tensor of a name, whatever its prefix.
func (p *planner) find(name string) (tensor, bool) {
	for _, prefix := range p.prefixes {
		if t, ok := p.tensors[prefix+name]; ok {
			return t, true
		}
	}
	return tensor{}, false
}

// add plans a weight. Its source must have the shape that the configuration asks for.
func (p *planner) add(w weight) {
	if p.err != nil {
		return
	}
	source, ok := p.find(w.name)
	want := w.sourceShape()
	switch {
	case !ok:
		p.err = fmt.Errorf("tensor %s: missing, the configuration asks for it with shape %v", w.name, want)
	case !slices.Equal(source.shape, want):
		p.err = fmt.Errorf("tensor %s: shape %v, the configuration asks for %v", source.name, source.shape, want)
	case decoders[source.dtype] == nil:
		p.err = fmt.Errorf("tensor %s: type %v is not supported (supported: %s)", source.name, source.dtype, supportedTypes())
	}
	p.used[source.name] = true
	w.source = source
	p.weights = append(p.weights, w)
}

// ignore allows tensors that are not needed.
func (p *planner) ignore(names ...string) {
	for _, name := range names {
		if t, ok := p.find(name); ok {
			p.used[t.name] = true
		}
	}
}

// finish returns the first error, or the first tensor that nobody asked for.
func (p *planner) finish() error {
	if p.err != nil {
		return p.err
	}
	for _, name := range slices.Sorted(maps.Keys(p.tensors)) {
		if !p.used[name] {
			return fmt.Errorf("tensor %s: unknown, or more than the configuration asks for", name)
		}
	}
	return nil
}

func supportedTypes() string {
	var names []string
	for _, t := range slices.SortedFunc(maps.Keys(decoders), func(a, b safetensors.DType) int { return int(b) - int(a) }) {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// section returns the section of the weight under a mode.
func (w weight) section(mode string) format.Section {
	return format.Section{Name: w.name, Kind: format.KindTensor, Encoding: encodings[mode][w.role], Shape: w.shape}
}

package convert

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
)

// family is all the converter knows about a family of models: HuggingFace's names and the meaning of config.json. What
// the model consists of says package architecture. FAMILIES.md says how to add one.
type family interface {
	// modelType is the family's "model_type" in config.json, by which a .tti file knows it too.
	modelType() string
	// classes are the "architectures" of config.json whose weights plan understands.
	classes() []string
	// plan reads the configuration, asks p for every tensor of the model, and returns the hyper-parameters of the file. An
	// error is about the configuration; p keeps those about tensors. A tensor that is not asked for is refused.
	plan(c *config, p *planner) (architecture.Hyperparameters, error)
	// export is the way back from a file's hyper-parameters to a model directory of the given element type.
	export(h architecture.Hyperparameters, dtype string) (exported, error)
}

// tiesHead reports whether the token embedding is the output head too. The weights decide, for that is what was trained: a head
// of its own is stored even where the configuration, which says tie, would replace it by the embedding.
func (p *planner) tiesHead(head, embedding string, tie bool) bool {
	stored, ok := p.find(head)
	if !ok {
		if !tie && p.err == nil {
			p.err = fmt.Errorf("%s: tie_word_embeddings is false, but tensor %s is missing", configurationFile, head)
		}
		return true
	}
	tokens, _ := p.find(embedding)
	if stored.dtype != tokens.dtype || !bytes.Equal(stored.data, tokens.data) {
		return false
	}
	p.ignore(head)
	return true
}

// exported is what a model directory says about a model, besides its tokenizer.
type exported struct {
	config   any // of config.json
	place    func(architecture.Tensor) huggingface.Place
	context  int
	eos, bos *int32 // as in config.json, nil for none
}

var families = []family{
	gpt2{}, llama, mistral, qwen2, qwen3, phi3, smollm3, gemma2, gemma3Text, gemma3{}, granite, olmo2,
}

// findFamily returns the family that a configuration names.
func findFamily(c *config) (family, error) {
	var names []string
	modelType, classes := c.text("model_type", ""), c.texts("architectures")
	if c.err != nil {
		return nil, c.err
	}
	for _, a := range families {
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
	hyperparameters architecture.Hyperparameters
	tokenizer       bpe.Options
	weights         []weight       // in file order
	skipped         map[string]int // how many tensors of other parts of the model are left out, by the beginnings of their names
	generation      *format.Generation
}

// plan makes the plan of a model. Errors name the configuration's field or the tensor.
func (m *model) plan() (plan, error) {
	p := newPlanner(m.tensors)
	_, hyperparameters, err := m.ask(p)
	if err != nil {
		return plan{}, err
	}
	if err := p.finish(); err != nil {
		return plan{}, err
	}
	generation, err := m.wishes()
	if err != nil {
		return plan{}, err
	}
	return plan{hyperparameters, p.tokenizer, p.weights, p.skipped, generation}, nil
}

// ask finds the family that the configuration names and has it ask the planner for every tensor.
func (m *model) ask(p *planner) (f family, h architecture.Hyperparameters, err error) {
	c := m.config
	if m.generation != nil {
		for _, name := range []string{"eos_token_id", "bos_token_id"} { // generation stops by this file, where there is one
			if m.generation.has(name) {
				c.fields[name] = m.generation.fields[name]
			}
		}
	}
	if f, err = findFamily(c); err == nil {
		h, err = f.plan(c, p)
	}
	if ends := c.tokens("eos_token_id"); len(ends) > 1 {
		p.tokenizer.EOS = slices.DeleteFunc(ends, func(id int) bool { return id < 0 || id >= p.tokenizer.Size })
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", configurationFile, err)
	}
	return f, h, err
}

// planner collects the weights of a plan and checks each against the source.
type planner struct {
	tensors   map[string]tensor
	prefixes  []string // that a source may put before a name; tried in this order
	used      map[string]bool
	skipped   map[string]int // beginnings of names that are left out, and how many tensors have them
	tokenizer bpe.Options    // for the family to fill in
	weights   []weight
	err       error // the first one sticks
}

func newPlanner(tensors map[string]tensor) *planner {
	return &planner{tensors: tensors, prefixes: []string{""}, used: map[string]bool{}, skipped: map[string]int{}}
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

// add plans a weight. Its sources must have the shapes that the configuration asks for.
func (p *planner) add(w weight) {
	if p.err != nil {
		return
	}
	for _, part := range w.place.Parts {
		source, ok := p.find(part.Name)
		want := w.place.Shape(w.Tensor, part)
		switch {
		case !ok:
			p.err = fmt.Errorf("tensor %s: missing, the configuration asks for it with shape %v", part.Name, want)
		case !slices.Equal(source.shape, want):
			p.err = fmt.Errorf("tensor %s: shape %v, the configuration asks for %v", source.name, source.shape, want)
		case decoders[source.dtype] == nil:
			p.err = fmt.Errorf("tensor %s: type %v is not supported (supported: %s)", source.name, source.dtype, supportedTypes())
		}
		if p.err != nil {
			return
		}
		p.used[source.name] = true
		w.sources = append(w.sources, source)
	}
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
		if !p.used[name] && !p.skips(name) {
			return fmt.Errorf("tensor %s: unknown, or more than the configuration asks for", name)
		}
	}
	return nil
}

// skips counts a tensor of a part of the model that is left out.
func (p *planner) skips(name string) bool {
	for beginning := range p.skipped {
		if strings.HasPrefix(name, beginning) {
			p.skipped[beginning]++
			return true
		}
	}
	return false
}

func supportedTypes() string {
	var names []string
	for _, t := range slices.SortedFunc(maps.Keys(decoders), func(a, b safetensors.DType) int { return int(b) - int(a) }) {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// knownToken returns the id of a special token. A token outside of the vocabulary, as left over by many that train their
// own, can never be produced: it is none.
func knownToken(id *int, vocabulary int) *int32 {
	if id == nil || *id < 0 || *id >= vocabulary {
		return nil
	}
	known := int32(*id)
	return &known
}

// tokenizerOptions are what the tokenizer's files are read with.
func tokenizerOptions(vocabulary int, eos, bos *int32) bpe.Options {
	o := bpe.Options{Size: vocabulary}
	if eos != nil {
		o.EOS = []int{int(*eos)}
	}
	if bos != nil {
		begin := int(*bos)
		o.BOS = &begin
	}
	return o
}

package convert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tti-llm/tti/convert/rotary"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/strictjson"
)

// rope is what a configuration says of a rotary embedding, as version 5 of transformers writes it: rope_type, rope_theta and
// the fields of the type. It is kept in the file, for the way back.
type rope map[string]json.RawMessage

// ropeFields are the fields of each type beside rope_type, rope_theta and partial_rotary_factor.
var ropeFields = map[rotary.Type][]string{
	rotary.Default:  {},
	rotary.Linear:   {"factor"},
	rotary.Llama3:   {"factor", "low_freq_factor", "high_freq_factor", originalContext},
	rotary.YaRN:     {"factor", originalContext, "attention_factor", "beta_fast", "beta_slow", "truncate", "mscale", "mscale_all_dim"},
	rotary.LongRoPE: {"factor", originalContext, "attention_factor", "short_factor", "long_factor"},
}

// ropeUsual is what a configuration means that lacks fields.
type ropeUsual struct {
	base            float64
	originalContext int                    // 0: the model's context
	aliases         map[string]rotary.Type // other names, in quotes, of types
}

// readRope collects what a configuration says, for one kind of layers if they differ: in rope_parameters, of some families one object for each kind of layer, or, as
// version 4 has it, in rope_theta, rope_scaling and fields beside these.
func readRope(c *config, h *architecture.Decoder, kind string, usual ropeUsual) (r rope, name string) {
	name = "rope_parameters"
	parameters := c.object(name)
	if parameters == nil {
		name = "rope_scaling"
		parameters = c.object(name)
	} else if !c.empty("rope_scaling") {
		c.fail("rope_scaling", "given beside rope_parameters")
	}
	r = rope{}
	if parameters != nil {
		if inner := parameters.object(kind); inner != nil {
			name, parameters = name+"."+kind, inner
		}
		for field := range parameters.fields {
			if parameters.has(field) {
				r[field] = parameters.fields[field]
			}
		}
	}
	if _, ok := r["rope_type"]; !ok {
		if r["rope_type"], ok = r["type"]; !ok {
			r["rope_type"] = mustMarshal(rotary.Default)
		}
	}
	delete(r, "type")
	if alias := usual.aliases[string(r["rope_type"])]; alias != "" {
		r["rope_type"] = mustMarshal(alias)
	}
	r.complete(c, "rope_theta", usual.base)
	r.complete(c, "partial_rotary_factor", nil)
	if slices.Contains(ropeFields[r.kind()], originalContext) {
		r.complete(c, originalContext, cmp.Or(usual.originalContext, h.Context))
	}
	return r, name
}

// originalContext is the field for how many positions a model was trained before its context became longer.
const originalContext = "original_max_position_embeddings"

// complete sets a missing field to what the configuration says beside the object, or else to what is usual, nil for nothing.
func (r rope) complete(c *config, field string, usual any) {
	switch _, ok := r[field]; {
	case ok:
	case c.has(field):
		r[field] = c.fields[field]
	case usual != nil:
		r[field] = mustMarshal(usual)
	}
}

// kind returns the type of the rotary embedding, empty for no text.
func (r rope) kind() (kind rotary.Type) {
	json.Unmarshal(r["rope_type"], &kind)
	return kind
}

// readRotary reads a rotary embedding, see readRope. Errors stay in c.
func readRotary(c *config, h *architecture.Decoder, kind string, usual ropeUsual) architecture.Rotary {
	source, name := readRope(c, h, kind, usual)
	p := source.parameters(&config{fields: source, path: name + ".", parent: c}, h)
	result := architecture.Rotary{Width: p.Width, Scale: 1, Source: mustMarshal(source)}
	if c.failed() {
		return result
	}
	result.Scale = p.Scale()
	if p.Type == rotary.LongRoPE && p.OriginalContext < h.Context {
		result.ShortContext = p.OriginalContext
	}
	return result
}

// parameters reads the fields, checks them and refuses others. c has the fields and keeps the errors.
func (r rope) parameters(c *config, h *architecture.Decoder) rotary.Parameters {
	p := rotary.Parameters{Type: r.kind(), Base: c.positive("rope_theta", 1)}
	known, ok := ropeFields[p.Type]
	if !ok {
		c.fail("rope_type", "%.60q is not supported (supported: default, linear, llama3, yarn, longrope)", string(c.fields["rope_type"]))
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if !slices.Contains(known, name) && !slices.Contains([]string{"rope_type", "rope_theta", "partial_rotary_factor"}, name) {
			c.fail(name, "is not supported with rope_type %s", p.Type)
		}
	}
	share := c.positive("partial_rotary_factor", 1)
	if p.Width = int(float64(h.HeadWidth) * min(share, 1)); p.Width < 2 || p.Width%2 != 0 || share > 1 {
		c.fail("partial_rotary_factor", "%v of head_dim %d makes no even number of dimensions", share, h.HeadWidth)
	}
	if !(p.Base > 1) {
		c.refuse("rope_theta", "a number above 1")
	}
	p.OriginalContext = c.size(originalContext, h.Context)
	p.Factor = c.positive("factor", float64(h.Context)/float64(p.OriginalContext))
	p.Attention = c.positive("attention_factor", 0)
	switch p.Type {
	case rotary.Linear:
		c.want("factor")
	case rotary.Llama3:
		c.want("factor", "low_freq_factor", "high_freq_factor")
		p.LowFactor, p.HighFactor = c.positive("low_freq_factor", 1), c.positive("high_freq_factor", 2)
		if p.LowFactor >= p.HighFactor {
			c.fail("low_freq_factor", "%v is not below high_freq_factor %v", p.LowFactor, p.HighFactor)
		}
	case rotary.YaRN:
		p.BetaFast, p.BetaSlow = c.positive("beta_fast", 32), c.positive("beta_slow", 1)
		p.Truncate = c.boolean("truncate", true)
		p.MScale, p.MScaleAllDim = c.positive("mscale", 0), c.positive("mscale_all_dim", 0)
		if p.BetaFast < p.BetaSlow {
			c.fail("beta_fast", "%v is below beta_slow %v", p.BetaFast, p.BetaSlow)
		}
	case rotary.LongRoPE:
		c.want("short_factor", "long_factor")
		p.Short, p.Long = c.factors("short_factor", p.Width/2), c.factors("long_factor", p.Width/2)
	}
	return p
}

// want refuses fields that are missing.
func (c *config) want(names ...string) {
	for _, name := range names {
		if !c.has(name) {
			c.fail(name, "missing")
		}
	}
}

// factors reads a list of that many positive numbers.
func (c *config) factors(name string, count int) []float64 {
	values := c.positives(name)
	if len(values) != count {
		c.fail(name, "has %d entries, want one for each of %d pairs of dimensions", len(values), count)
		return make([]float64, count)
	}
	return values
}

// frequencies computes the tensors of rotary embeddings, by name.
func frequencies(h *architecture.Decoder) (map[string][]float32, error) {
	values := map[string][]float32{}
	for t := range h.Tensors() {
		if t.Role != architecture.Frequencies && t.Role != architecture.LongFrequencies {
			continue
		}
		source, err := ropeSource(h.Rotary[t.Number])
		if err != nil {
			return nil, err
		}
		c := &config{fields: source}
		p := source.parameters(c, h)
		if c.err != nil {
			return nil, c.err
		}
		short, long := p.Frequencies()
		if values[t.Name] = short; t.Role == architecture.LongFrequencies {
			values[t.Name] = long
		}
		if slices.ContainsFunc(values[t.Name], func(x float32) bool { return !(x >= 0) || math.IsInf(float64(x), 0) }) {
			return nil, fmt.Errorf("rope_theta: the frequencies of the rotary embedding are no numbers")
		}
	}
	return values, nil
}

// ropeSource returns what the file keeps of the configuration.
func ropeSource(r architecture.Rotary) (source rope, err error) {
	return source, strictjson.Unmarshal(r.Source, &source)
}

// write sets the fields of version 4.
func (r rope) write(fields map[string]any) {
	scaling := maps.Clone(r)
	for _, name := range []string{"rope_theta", "partial_rotary_factor"} {
		if value, ok := r[name]; ok {
			fields[name] = value
		}
		delete(scaling, name)
	}
	if fields["rope_scaling"] = nil; r.kind() != rotary.Default {
		fields["rope_scaling"] = scaling
	}
}

package forward

import "github.com/tti-llm/tti/kernels"

// rotary is a rotary embedding: queries and keys are turned by angles in proportion to their positions.
type rotary struct {
	frequencies []float32 // of the pairs of a head
	scale       float32   // of cosines and sines
	long        bool      // the frequencies are those for long contexts
}

// turns are the cosines and sines of a rotary embedding for the rows of a pass, [rows, pairs].
type turns struct {
	pairs    int
	cos, sin []float32
}

func newTurns(all []rotary) []turns {
	list := make([]turns, len(all))
	for i, r := range all {
		list[i] = turns{len(r.frequencies), make([]float32, MaxRows*len(r.frequencies)), make([]float32, MaxRows*len(r.frequencies))}
	}
	return list
}

// row returns the cosines and sines of a row.
func (t *turns) row(row int) (cos, sin []float32) {
	return t.cos[row*t.pairs:][:t.pairs], t.sin[row*t.pairs:][:t.pairs]
}

// turn computes the turns of rows first <= row < last of the pass. An angle is rounded to float32 before its cosine and
// sine are taken, as in the models' training.
func (p *Pass) turn(first, last int) {
	for i, r := range p.network.rotary {
		row := 0
		for _, s := range p.segments {
			for j := range s.Tokens {
				if row >= first && row < last {
					cos, sin := p.turns[i].row(row)
					for k, frequency := range r.frequencies {
						s, c := kernels.SinCos(float32(s.Position+j) * frequency)
						cos[k], sin[k] = float32(c*r.scale), float32(s*r.scale)
					}
				}
				row++
			}
		}
	}
}

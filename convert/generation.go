package convert

import (
	"encoding/json"
	"fmt"

	"github.com/tti-llm/tti/format"
)

// wishes returns how generation_config.json wants texts drawn, nil if it says nothing about it.
func (m *model) wishes() (*format.Generation, error) {
	c := m.generation
	if c == nil {
		return nil, nil
	}
	g := &format.Generation{}
	read(c, "do_sample", &g.Sample, "true or false")
	read(c, "temperature", &g.Temperature, "a number")
	read(c, "top_k", &g.TopK, "a whole number")
	read(c, "top_p", &g.TopP, "a number")
	read(c, "min_p", &g.MinP, "a number")
	read(c, "repetition_penalty", &g.RepetitionPenalty, "a number")
	err := c.err
	if err == nil {
		err = g.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", generationFile, err)
	}
	if *g == (format.Generation{}) {
		return nil, nil
	}
	return g, nil
}

// read stores a field that is there.
func read[T any](c *config, name string, field **T, want string) {
	if !c.has(name) {
		return
	}
	var value T
	if json.Unmarshal(c.fields[name], &value) != nil {
		c.refuse(name, want)
		return
	}
	*field = &value
}

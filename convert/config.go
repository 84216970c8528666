package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/tti-llm/tti/format/strictjson"
)

// config is a config.json read field by field, case-sensitively and with the defaults of
// the tool that wrote it. A field that is absent has its fallback; so has one that is null. The
// first error sticks, so that an architecture can read all fields and then look at err once.
type config struct {
	fields map[string]json.RawMessage
	err    error
}

func parseConfig(text []byte) (*config, error) {
	c := &config{}
	if err := strictjson.Unmarshal(text, &c.fields); err != nil {
		return nil, err
	}
	if c.fields == nil {
		return nil, errors.New("null, want an object")
	}
	return c, nil
}

func (c *config) has(name string) bool {
	value, ok := c.fields[name]
	return ok && string(value) != "null"
}

func (c *config) refuse(name, want string) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: found %.60q, want %s", name, c.fields[name], want)
	}
}

// size reads a dimension or count: an integer from 1 to 2^31-1.
func (c *config) size(name string, fallback int) int {
	if !c.has(name) {
		return fallback
	}
	n, err := strconv.ParseInt(string(c.fields[name]), 10, 32)
	if err != nil || n < 1 {
		c.refuse(name, "an integer from 1 to 2147483647")
		return fallback
	}
	return int(n)
}

// positive reads a number above zero that float32 can hold.
func (c *config) positive(name string, fallback float64) float64 {
	if !c.has(name) {
		return fallback
	}
	x, err := strconv.ParseFloat(string(c.fields[name]), 64)
	if err != nil || !(float32(x) > 0) || x > math.MaxFloat32 {
		c.refuse(name, "a positive number")
		return fallback
	}
	return x
}

func (c *config) boolean(name string, fallback bool) bool {
	if !c.has(name) {
		return fallback
	}
	var value bool
	if err := json.Unmarshal(c.fields[name], &value); err != nil {
		c.refuse(name, "true or false")
		return fallback
	}
	return value
}

func (c *config) text(name, fallback string) string {
	if !c.has(name) {
		return fallback
	}
	var value string
	if err := json.Unmarshal(c.fields[name], &value); err != nil {
		c.refuse(name, "a string")
		return fallback
	}
	return value
}

func (c *config) texts(name string) []string {
	if !c.has(name) {
		return nil
	}
	var values []string
	if err := json.Unmarshal(c.fields[name], &values); err != nil {
		c.refuse(name, "a list of strings")
	}
	return values
}

// tokens reads ids of tokens: one or a list, none where that is absent or null.
func (c *config) tokens(name string) (ids []int) {
	value := c.fields[name]
	var id int
	switch {
	case !c.has(name):
		return nil
	case json.Unmarshal(value, &id) == nil:
		return []int{id}
	case json.Unmarshal(value, &ids) == nil:
		return ids
	}
	return nil
}

// token reads the id of a token: an integer, a list of which the first counts, or null for none.
func (c *config) token(name string, fallback *int) *int {
	value, ok := c.fields[name]
	if !ok {
		return fallback
	}
	if string(value) == "null" {
		return nil
	}
	ids := c.tokens(name)
	if len(ids) == 0 {
		c.refuse(name, "a token id")
		return fallback
	}
	return &ids[0]
}

// empty reports whether a field is absent or holds nothing: null, false, {} or [].
func (c *config) empty(name string) bool {
	var value any
	if !c.has(name) || json.Unmarshal(c.fields[name], &value) != nil {
		return true
	}
	switch value := value.(type) {
	case bool:
		return !value
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	}
	return false
}

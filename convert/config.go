package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/tti-llm/tti/format/strictjson"
)

// config is a config.json read field by field, case-sensitively and with the defaults of
// the tool that wrote it. A field that is absent has its fallback; so has one that is null. The
// first error sticks, so that an architecture can read all fields and then look at err once.
type config struct {
	fields map[string]json.RawMessage
	err    error

	path   string  // of an object within another: what comes before the names of its fields
	parent *config // to which its errors go
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

// null reports whether a field is there and null.
func (c *config) null(name string) bool { return string(c.fields[name]) == "null" }

func (c *config) refuse(name, want string) {
	c.fail(name, "found %.60q, want %s", c.fields[name], want)
}

// fail notes what is wrong with a field.
func (c *config) fail(name, message string, arguments ...any) {
	if c.parent != nil {
		c.parent.fail(c.path+name, message, arguments...)
	} else if c.err == nil {
		c.err = fmt.Errorf("%s: %s", name, fmt.Sprintf(message, arguments...))
	}
}

// failed reports whether there has been an error.
func (c *config) failed() bool {
	if c.parent != nil {
		return c.parent.failed()
	}
	return c.err != nil
}

// object returns a field that is an object, and nil where it is absent or null. Errors about its fields name both.
func (c *config) object(name string) *config {
	if !c.has(name) {
		return nil
	}
	object := &config{path: name + ".", parent: c}
	if err := json.Unmarshal(c.fields[name], &object.fields); err != nil {
		c.refuse(name, "an object")
		return nil
	}
	return object
}

// absent refuses fields that ask for what is not implemented: all that hold something.
func (c *config) absent(names ...string) {
	for _, name := range names {
		if !c.empty(name) {
			c.fail(name, "%.60q is not supported", c.fields[name])
		}
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

// count reads an integer from 0 to 2^31-1.
func (c *config) count(name string, fallback int) int {
	if string(c.fields[name]) == "0" {
		return 0
	}
	return c.size(name, fallback)
}

// counts reads a list of integers.
func (c *config) counts(name string) (values []int) {
	if !c.has(name) {
		return nil
	}
	if err := json.Unmarshal(c.fields[name], &values); err != nil {
		c.refuse(name, "a list of integers")
		return nil
	}
	return values
}

// number reads a number that float32 can hold, other than zero.
func (c *config) number(name string, fallback float64) float64 {
	if !c.has(name) {
		return fallback
	}
	x, err := strconv.ParseFloat(string(c.fields[name]), 64)
	if err != nil || float32(x) == 0 || math.Abs(x) > math.MaxFloat32 {
		c.refuse(name, "a number other than 0")
		return fallback
	}
	return x
}

// positives reads a list of numbers above zero.
func (c *config) positives(name string) (values []float64) {
	if !c.has(name) {
		return nil
	}
	err := json.Unmarshal(c.fields[name], &values)
	if err != nil || slices.ContainsFunc(values, func(x float64) bool { return !(float32(x) > 0) || x > math.MaxFloat32 }) {
		c.refuse(name, "a list of positive numbers")
		return nil
	}
	return values
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

package convert

import "github.com/tti-llm/tti/format/architecture"

// What layer_types says of a layer.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// layerTypes reads which layers have a window: those of which layer_types says so or, where it is absent, usual.
func (c *config) layerTypes(layers int, usual func(i int) bool) (sliding []bool) {
	types := c.texts("layer_types")
	if types != nil && len(types) != layers {
		c.fail("layer_types", "has %d entries, num_hidden_layers is %d", len(types), layers)
		types = nil
	}
	for i := range layers {
		sliding = append(sliding, usual(i))
		if types == nil {
			continue
		}
		if sliding[i] = types[i] == slidingAttention; !sliding[i] && types[i] != fullAttention {
			c.fail("layer_types", "%.60q is not supported (supported: %s, %s)", types[i], fullAttention, slidingAttention)
		}
	}
	return sliding
}

// setWindows gives layers a window, see layerTypes.
func (c *config) setWindows(h *architecture.Decoder, window int, usual func(i int) bool) {
	for i, sliding := range c.layerTypes(len(h.Layers), usual) {
		switch {
		case sliding && window > 0:
			h.Layers[i].Window = window
		case sliding && c.has("layer_types"):
			c.fail("layer_types", "asks for a window in layer %d, and no sliding_window is given", i)
			return
		}
	}
}

// windowEverywhere reads the window of a family that has it in all layers or in none.
func (c *config) windowEverywhere(h *architecture.Decoder, usual int) {
	window := c.window(usual)
	for i := range h.Layers {
		h.Layers[i].Window = window
	}
	c.noLayerTypes(h)
}

// noLayerTypes refuses layer_types of a family that does not read it, unless it says what is so anyway.
func (c *config) noLayerTypes(h *architecture.Decoder) {
	for i, sliding := range c.layerTypes(len(h.Layers), func(i int) bool { return h.Layers[i].Window > 0 }) {
		if sliding != (h.Layers[i].Window > 0) {
			c.fail("layer_types", "layer %d contradicts sliding_window", i)
			return
		}
	}
}

// window reads sliding_window: 0 where it is null.
func (c *config) window(usual int) int {
	if c.null("sliding_window") {
		return 0
	}
	return c.size("sliding_window", usual)
}

// windowOf returns the window of the layers that have one, nil if none has.
func windowOf(h *architecture.Decoder) any {
	for _, l := range h.Layers {
		if l.Window > 0 {
			return l.Window
		}
	}
	return nil
}

// layerTypesOf returns layer_types for a configuration.
func layerTypesOf(h *architecture.Decoder) (types []string) {
	for _, l := range h.Layers {
		kind := fullAttention
		if l.Window > 0 {
			kind = slidingAttention
		}
		types = append(types, kind)
	}
	return types
}

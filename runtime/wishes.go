package runtime

import "github.com/tti-llm/tti/format"

// Wished returns the sampling that the makers of a model want, see Model.Meta; otherwise is where they are silent. wish may
// be nil.
func Wished(wish *format.Generation, otherwise Sampling) Sampling {
	if wish == nil {
		return otherwise
	}
	s := otherwise
	for _, number := range []struct {
		wanted *float64
		value  *float64
	}{
		{wish.Temperature, &s.Temperature}, {wish.TopP, &s.TopP}, {wish.MinP, &s.MinP}, {wish.RepetitionPenalty, &s.RepetitionPenalty},
	} {
		if number.wanted != nil {
			*number.value = *number.wanted
		}
	}
	if wish.TopK != nil {
		s.TopK = *wish.TopK
	}
	if wish.Sample != nil && !*wish.Sample {
		s.Temperature = 0
	}
	return s
}

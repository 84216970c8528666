package modelfiles

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tti-llm/tti/format/strictjson"
)

// Limits of an index. The largest models have 92,000 tensors in 200 files.
const (
	MaxTensors = 200_000
	MaxShards  = 2_000
)

// ParseIndex reads the contents of [Index]: it returns the name of the file that each tensor is in, by the tensor's name, and
// the names of all those files, sorted. What the names may be is for the caller to check.
func ParseIndex(text []byte) (weightMap map[string]string, files []string, err error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := (strictjson.Limits{Entries: MaxTensors}).Unmarshal(text, &index); err != nil {
		return nil, nil, err
	}
	if len(index.WeightMap) == 0 {
		return nil, nil, errors.New("weight_map is missing or empty")
	}
	files = slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	if len(files) > MaxShards {
		return nil, nil, fmt.Errorf("weights in %d files, want at most %d", len(files), MaxShards)
	}
	return index.WeightMap, files, nil
}

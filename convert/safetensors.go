package convert

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/format/strictjson"
)

// tensor is a view of one tensor in a mapped source file.
type tensor struct {
	name  string // as the file has it
	file  string
	dtype safetensors.DType
	shape []int
	data  []byte // row-major, little-endian; not necessarily aligned
}

// Limits of a safetensors header. GPT-2 XL has 580 tensors and a header of 70 KB.
const (
	maxHeader       = 8 << 20
	maxHeaderValues = 200_000
	maxHeaderDepth  = 3 // {name: {"shape": [...]}}
	maxRank         = 8
	maxTensorName   = 128
)

// readSafetensors checks the header of a safetensors file completely and returns its tensors,
// sorted by offset, as views into data. The tensors cover the data exactly, without overlap or hole.
//
// The library parses the header; what surrounds the call is there because the library decodes
// the header into maps of interfaces, which takes up to 50 times the memory of the text and lets
// the last of two equal names win, and because its complaints about offsets name no tensor (or
// quote a value in full, megabytes if need be). checkHeader bounds the first, the checks here
// replace the second.
func readSafetensors(data []byte) ([]tensor, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a safetensors file", len(data))
	}
	length := binary.LittleEndian.Uint64(data)
	if length > maxHeader {
		return nil, fmt.Errorf("safetensors header of %d bytes, at most %d are supported", length, maxHeader)
	}
	if length > uint64(len(data)-8) {
		return nil, fmt.Errorf("safetensors header of %d bytes in a file of %d", length, len(data))
	}
	// A copy, for the file may change between the check and the parser.
	header, data := bytes.Clone(data[8:8+length]), data[8+length:]
	if err := checkHeader(header); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	var metadata safetensors.Metadata
	if err := json.Unmarshal(header, &metadata); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", clipped(err))
	}

	type named struct {
		name string
		*safetensors.TensorInfo
	}
	var infos []named
	for name, info := range metadata.Tensors() {
		infos = append(infos, named{name, info})
	}
	slices.SortFunc(infos, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.DataOffsets[0], b.DataOffsets[0]), cmp.Compare(a.DataOffsets[1], b.DataOffsets[1]), cmp.Compare(a.name, b.name))
	})

	tensors := make([]tensor, 0, len(infos))
	previous, end := "", uint64(0)
	for _, t := range infos {
		first, last := t.DataOffsets[0], t.DataOffsets[1]
		size, ok := byteSize(t.Shape, t.DType.Size())
		switch {
		case !printable(t.name):
			return nil, fmt.Errorf("tensor name %.60q is not a plain name", t.name)
		case len(t.Shape) > maxRank:
			return nil, fmt.Errorf("tensor %s: %d dimensions, at most %d are supported", t.name, len(t.Shape), maxRank)
		case last < first:
			return nil, fmt.Errorf("tensor %s: bytes %d to %d", t.name, first, last)
		case last > uint64(len(data)):
			return nil, fmt.Errorf("tensor %s: bytes %d to %d of %d", t.name, first, last, len(data))
		case first < end:
			return nil, fmt.Errorf("tensor %s: begins at byte %d, where tensor %s ends only at %d", t.name, first, previous, end)
		case first > end:
			return nil, fmt.Errorf("tensor %s: begins at byte %d, leaving a hole from %d", t.name, first, end)
		case !ok || size != last-first:
			return nil, fmt.Errorf("tensor %s: %d bytes do not hold %v of shape %v", t.name, last-first, t.DType, t.Shape)
		}
		shape := make([]int, len(t.Shape))
		for i, n := range t.Shape {
			shape[i] = int(n)
			if shape[i] < 0 || uint64(shape[i]) != n { // possible beside a dimension of 0
				return nil, fmt.Errorf("tensor %s: shape %v is out of range", t.name, t.Shape)
			}
		}
		tensors = append(tensors, tensor{name: t.name, dtype: t.DType, shape: shape, data: data[first:last:last]})
		previous, end = t.name, last
	}
	if end != uint64(len(data)) {
		return nil, fmt.Errorf("%d bytes after the last tensor", uint64(len(data))-end)
	}
	return tensors, nil
}

// byteSize returns the product of the dimensions and the element size, false if it overflows.
func byteSize(shape []uint64, element uint64) (uint64, bool) {
	size := element
	for _, n := range shape {
		high, low := bits.Mul64(size, n)
		if high != 0 {
			return 0, false
		}
		size = low
	}
	return size, true
}

// checkHeader bounds what parsing a header can cost, and refuses what two parsers could see two things in.
// Inside, names match exactly because the library looks them up in maps.
func checkHeader(header []byte) error {
	if len(header) == 0 || header[0] != '{' {
		return errors.New("not a JSON object")
	}
	return strictjson.Limits{Depth: maxHeaderDepth, Values: maxHeaderValues}.Check(header)
}

// printable reports whether a name can be shown in an error as it is.
func printable(name string) bool {
	return len(name) <= maxTensorName && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) < 0
}

// clipped returns an error whose message fits on a line, since err may quote whatever a file holds.
func clipped(err error) error {
	const most = 200
	message := strings.Join(strings.Fields(err.Error()), " ")
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "..."
	}
	return errors.New(message)
}

package convert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// safetensorsLayout is where every tensor of a file to be written lies.
type safetensorsLayout struct {
	header  []byte  // the length before it included
	offsets []int64 // of each tensor, from the start of the file
	size    int64   // of the file
}

// safetensorsAlignment is what the header is filled up to with spaces, so that every tensor is
// aligned; the format's own library does the same.
const safetensorsAlignment = 8

// layOut puts tensors one after the other. The library that reads these files can write them too, but
// only from values that are all in memory.
func layOut(dtype string, size int64, names []string, shapes [][]int) (safetensorsLayout, error) {
	var header bytes.Buffer
	header.WriteString(`{"__metadata__":{"format":"pt"}`) // without which transformers refuses the file
	ends := int64(0)
	var l safetensorsLayout
	for i, name := range names {
		bytes := size
		for _, n := range shapes[i] {
			bytes *= int64(n)
		}
		entry, err := json.Marshal(struct {
			Type    string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{dtype, shapes[i], [2]int64{ends, ends + bytes}})
		if err != nil {
			return l, err
		}
		fmt.Fprintf(&header, ",%q:%s", name, entry)
		l.offsets = append(l.offsets, ends)
		ends += bytes
	}
	header.WriteByte('}')
	for header.Len()%safetensorsAlignment != 0 {
		header.WriteByte(' ')
	}
	l.header = append(binary.LittleEndian.AppendUint64(nil, uint64(header.Len())), header.Bytes()...)
	for i := range l.offsets {
		l.offsets[i] += int64(len(l.header))
	}
	l.size = int64(len(l.header)) + ends
	return l, nil
}

package format

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// forge changes header and records of a file and then makes its checksums right again, so that
// nothing but the validation of what they say stands in the way.
func forge(t testing.TB, data []byte, change func(h *header, records []record)) []byte {
	t.Helper()
	h := decodeHeader(data)
	records := make([]record, h.IndexLength/recordSize)
	if _, err := binary.Decode(data[headerSize:], binary.LittleEndian, records); err != nil {
		t.Fatal(err)
	}
	change(&h, records)
	index, err := binary.Append(nil, binary.LittleEndian, records)
	if err != nil {
		t.Fatal(err)
	}
	h.IndexChecksum = xxhash.Sum64(index)
	h.Checksum = h.sum()
	forged := append(h.encode(), index...)
	return append(forged, data[len(forged):]...)
}

// TestHostileIndex lies in every field, with checksums that are right.
func TestHostileIndex(t *testing.T) {
	sample := newSample(t)
	data := sample.bytes(t)
	position := func(name string) int {
		for i, s := range sample.sections {
			if s.Name == name {
				return i
			}
		}
		t.Fatalf("no section %q", name)
		return 0
	}
	meta, tensor, q4, unknown := position(MetaName), position("ln_f.weight"), position("q4"), position("später")
	last := len(sample.sections) - 1
	name := func(s string) (n [MaxNameLength]byte) { copy(n[:], s); return n }

	tests := map[string]struct {
		want   error
		change func(h *header, r []record)
	}{
		"major version":             {ErrUnsupported, func(h *header, r []record) { h.Major = 2 }},
		"major version 0":           {ErrUnsupported, func(h *header, r []record) { h.Major = 0 }},
		"reserved header bytes":     {ErrCorrupt, func(h *header, r []record) { h.Reserved = 1 << 63 }},
		"file size short":           {ErrCorrupt, func(h *header, r []record) { h.FileSize-- }},
		"file size long":            {ErrTruncated, func(h *header, r []record) { h.FileSize++ }},
		"file size huge":            {ErrTruncated, func(h *header, r []record) { h.FileSize = math.MaxUint64 }},
		"index offset":              {ErrCorrupt, func(h *header, r []record) { h.IndexOffset += 64 }},
		"index offset huge":         {ErrCorrupt, func(h *header, r []record) { h.IndexOffset = math.MaxUint64 - 63 }},
		"index empty":               {ErrCorrupt, func(h *header, r []record) { h.IndexLength = 0 }},
		"index ragged":              {ErrCorrupt, func(h *header, r []record) { h.IndexLength-- }},
		"index beyond the file":     {ErrCorrupt, func(h *header, r []record) { h.IndexLength = 1000 * recordSize }},
		"index count huge":          {ErrCorrupt, func(h *header, r []record) { h.IndexLength = (MaxSections + 1) * recordSize }},
		"index length overflows":    {ErrCorrupt, func(h *header, r []record) { h.IndexLength = math.MaxUint64 / recordSize * recordSize }},
		"overlap":                   {ErrCorrupt, func(h *header, r []record) { r[3].Offset = r[2].Offset }},
		"gap too wide":              {ErrCorrupt, func(h *header, r []record) { r[last].Offset += 64 }},
		"misaligned":                {ErrCorrupt, func(h *header, r []record) { r[3].Offset -= 4 }},
		"unsorted":                  {ErrCorrupt, func(h *header, r []record) { r[2], r[3] = r[3], r[2] }},
		"in the index":              {ErrCorrupt, func(h *header, r []record) { r[0].Offset = headerSize }},
		"in the header":             {ErrCorrupt, func(h *header, r []record) { r[0].Offset = 0 }},
		"offset beyond the file":    {ErrCorrupt, func(h *header, r []record) { r[last].Offset = 1 << 40 }},
		"offset overflows":          {ErrCorrupt, func(h *header, r []record) { r[last].Offset = math.MaxUint64 - 63 }},
		"length overflows":          {ErrCorrupt, func(h *header, r []record) { r[last].Length = math.MaxUint64 }},
		"length near the limit":     {ErrCorrupt, func(h *header, r []record) { r[last].Length = math.MaxInt64 }},
		"length 0":                  {ErrCorrupt, func(h *header, r []record) { r[last].Length = 0 }},
		"length against shape":      {ErrCorrupt, func(h *header, r []record) { r[tensor].Length += 4 }},
		"shape against length":      {ErrCorrupt, func(h *header, r []record) { r[tensor].Shape[0]++ }},
		"shape of 0":                {ErrCorrupt, func(h *header, r []record) { r[tensor].Shape[0] = 0 }},
		"shape beyond int64":        {ErrCorrupt, func(h *header, r []record) { r[tensor].Shape[0] = 1 << 63 }},
		"shape overflows to length": {ErrCorrupt, func(h *header, r []record) { r[tensor].Shape[0] = 1<<62 + 5 }},
		"shape product overflows": {ErrCorrupt, func(h *header, r []record) {
			r[tensor].Rank, r[tensor].Shape = 4, [4]uint64{1 << 16, 1 << 16, 1 << 16, 1 << 16}
		}},
		"panel padding overflows": {ErrCorrupt, func(h *header, r []record) { r[q4].Shape = [4]uint64{math.MaxInt64, math.MaxInt64} }},
		"rank 0":                  {ErrCorrupt, func(h *header, r []record) { r[tensor].Rank, r[tensor].Shape = 0, [4]uint64{} }},
		"rank 5":                  {ErrCorrupt, func(h *header, r []record) { r[tensor].Rank, r[tensor].Shape = 5, [4]uint64{1, 1, 1, 5} }},
		"rank huge":               {ErrCorrupt, func(h *header, r []record) { r[tensor].Rank = math.MaxUint32 }},
		"rank of a panel":         {ErrCorrupt, func(h *header, r []record) { r[q4].Rank, r[q4].Shape = 1, [4]uint64{1} }},
		"unused dimension":        {ErrCorrupt, func(h *header, r []record) { r[tensor].Shape[3] = 1 }},
		"reserved flags":          {ErrCorrupt, func(h *header, r []record) { r[tensor].Flags |= 2 }},
		"unknown encoding":        {ErrUnsupported, func(h *header, r []record) { r[tensor].Encoding = 20 }},
		"unknown required kind":   {ErrUnsupported, func(h *header, r []record) { r[unknown].Flags = flagRequired }},
		"tensor of bytes":         {ErrCorrupt, func(h *header, r []record) { r[tensor].Encoding, r[tensor].Shape = 0, [4]uint64{20} }},
		"meta of float32":         {ErrCorrupt, func(h *header, r []record) { r[meta].Encoding = 1 }},
		"meta missing":            {ErrCorrupt, func(h *header, r []record) { r[meta].Kind = 78; r[meta].Flags = 0; r[meta].Name = name("x") }},
		"meta by another name":    {ErrCorrupt, func(h *header, r []record) { r[meta].Name = name("x") }},
		"second meta":             {ErrCorrupt, func(h *header, r []record) { r[1].Kind = uint32(KindMeta) }},
		"name twice":              {ErrCorrupt, func(h *header, r []record) { r[4].Name = r[3].Name }},
		"name empty":              {ErrCorrupt, func(h *header, r []record) { r[tensor].Name = name("") }},
		"name after padding":      {ErrCorrupt, func(h *header, r []record) { r[tensor].Name = name("a\x00b") }},
		"name not UTF-8":          {ErrCorrupt, func(h *header, r []record) { r[tensor].Name = name("a\xff") }},
		"name with escape":        {ErrCorrupt, func(h *header, r []record) { r[tensor].Name = name("\x1b[2J") }},
		"name with C1":            {ErrCorrupt, func(h *header, r []record) { r[tensor].Name = name("\u009b2J") }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			forged := forge(t, data, test.change)
			f, err := FromBytes(forged)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if f != nil {
				t.Error("a file besides the error")
			}
			if strings.ContainsAny(err.Error(), "\n\x1b\u009b") {
				t.Errorf("error %q is not one plain line", err)
			}
			detected(t, forged) // for its checks of the error
		})
	}
}

// TestUnknownOptionalKind has an encoding and shape that only a later version understands.
func TestUnknownOptionalKind(t *testing.T) {
	data := forge(t, newSample(t).bytes(t), func(h *header, r []record) {
		h.Minor = 9
		r[len(r)-1].Encoding, r[len(r)-1].Shape[0] = 999, 1<<62
	})
	f, err := FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := f.Section("später")
	if !ok || s.Kind.Known() || !s.Optional || s.Kind.String() != "kind(77)" || s.Encoding.String() != "encoding(999)" {
		t.Errorf("%+v", s)
	}
	if _, minor := f.Version(); minor != 9 {
		t.Errorf("minor version %d, want 9", minor)
	}
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
	f.Bytes(s)[0] ^= 1
	if err := f.Verify(context.Background(), nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("damage in it: %v, want ErrChecksum", err)
	}
}

// TestBytesBehindTheLast hides bytes that no section claims.
func TestBytesBehindTheLast(t *testing.T) {
	data := append(newSample(t).bytes(t), make([]byte, Alignment)...)
	data = forge(t, data, func(h *header, r []record) { h.FileSize += Alignment })
	if _, err := FromBytes(data); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

// allocatedBytes returns how much f allocates.
func allocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestManySections checks that a large index costs no more than a small multiple of its own size.
func TestManySections(t *testing.T) {
	const count = 1000
	sections := newSample(t).sections[:1]
	for i := range count {
		sections = append(sections, Section{Name: strings.Repeat("n", i%40+1) + string(rune('a'+i/40)), Kind: KindTensor, Encoding: Float32, Shape: []int{1}})
	}
	planned, size, err := plan(sections)
	if err != nil {
		t.Fatal(err)
	}
	index := encodeIndex(planned)
	data := make([]byte, size)
	copy(data, append(newHeader(size, index).encode(), index...))
	var f *File
	allocated := allocatedBytes(func() { f, err = FromBytes(data) })
	if err != nil || len(f.Sections()) != count+1 {
		t.Fatal(err)
	}
	if allocated > 10*uint64(len(index)) {
		t.Errorf("%d bytes are allocated for an index of %d", allocated, len(index))
	}
}

// FuzzOpen feeds arbitrary bytes to the reader and, where it accepts them, touches all they offer.
// With repair the checksums of header and index are made right first, or the fuzzer would never
// get behind them.
func FuzzOpen(f *testing.F) {
	f.Add(newSample(f).bytes(f), false)
	f.Add(newExample(f).bytes(f), true)
	f.Fuzz(func(t *testing.T, data []byte, repair bool) {
		if repair && len(data) >= headerSize {
			h := decodeHeader(data)
			h.Magic, h.Major, h.FileSize = magic, VersionMajor, uint64(len(data))
			if h.IndexLength <= uint64(len(data)-headerSize) {
				h.IndexChecksum = xxhash.Sum64(data[headerSize:][:h.IndexLength])
			}
			h.Checksum = h.sum()
			data = append(h.encode(), data[headerSize:]...)
		}
		file, err := FromBytes(data)
		if err != nil {
			return
		}
		defer file.Close()
		file.Verify(context.Background(), nil)
		meta, _ := file.Section(MetaName)
		ParseMeta(file.Bytes(meta)) // File.Meta would compare its checksum first
		end := indexEnd(len(file.Sections()))
		for _, s := range file.Sections() {
			if s.Offset < end || s.Offset%Alignment != 0 {
				t.Fatalf("section %q at %d, want %d or more", s.Name, s.Offset, end)
			}
			view := file.Bytes(s)
			end = s.Offset + int64(len(view))
			if !s.Kind.Known() {
				continue
			}
			if size, err := s.Encoding.Size(s.Shape); err != nil || size != int64(len(view)) {
				t.Fatalf("section %q: %d bytes, want %d, %v", s.Name, len(view), size, err)
			}
			switch s.Encoding {
			case Float32, PanelF32:
				Float32s(view)
			case PanelF16:
				Uint16s(view)
			}
		}
		if end != file.Size() {
			t.Fatalf("last section ends at %d, want %d", end, file.Size())
		}
	})
}

package vocabulary_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// alphabet is the smallest definition there is: a token for each byte.
func alphabet() vocabulary.Definition {
	d := vocabulary.Definition{Settings: vocabulary.Classic(vocabulary.None)}
	for b := range 256 {
		d.Tokens = append(d.Tokens, string([]byte{byte(b)}))
	}
	return d
}

// small has everything a section can have: "ab", "abab", "ba", two added tokens, padding.
func small() vocabulary.Definition {
	d := alphabet()
	d.Tokens = append(d.Tokens, "ab", "abab", "ba", "<end>", "<e", "", "")
	d.Merges = []vocabulary.Merge{{'a', 'b', 256}, {256, 256, 257}, {'b', 'a', 258}}
	d.Added = []vocabulary.Added{{ID: 259, Control: true}, {ID: 260}}
	d.End = []int32{259}
	return d
}

// wide needs ids of 32 bits.
func wide() vocabulary.Definition {
	d := small()
	d.Tokens = append(d.Tokens, make([]string, 1<<16)...)
	last := int32(len(d.Tokens) - 1)
	d.Tokens[last] = "baab"
	d.Merges = append(d.Merges, vocabulary.Merge{Left: 258, Right: 256, Result: last})
	return d
}

func build(t testing.TB, d vocabulary.Definition) []byte {
	t.Helper()
	section, err := vocabulary.Build(d)
	if err != nil {
		t.Fatal(err)
	}
	return section
}

func gpt2(t testing.TB) vocabulary.Definition {
	t.Helper()
	d, _, err := bpe.Load(os.DirFS("../../testdata/golden/gpt2-vocab"), bpe.Options{Size: 50257})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestViewAnswers asks a view for everything its definition says.
func TestViewAnswers(t *testing.T) {
	for name, d := range map[string]vocabulary.Definition{
		"alphabet": alphabet(), "small": small(), "wide": wide(), "gpt2": gpt2(t),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := vocabulary.Open(build(t, d))
			if err != nil {
				t.Fatal(err)
			}
			if v.Tokens() != len(d.Tokens) || v.Merges() != len(d.Merges) || len(v.Added) != len(d.Added) {
				t.Fatalf("%d tokens, %d merges, %d added", v.Tokens(), v.Merges(), len(v.Added))
			}
			for id, want := range d.Tokens {
				if got := v.Token(int32(id)); string(got) != want || v.Length(int32(id)) != len(want) {
					t.Fatalf("token %d: %q, want %q", id, got, want)
				}
			}
			for b := range 256 {
				if id, ok := v.Byte(byte(b)); !ok || d.Tokens[id] != string([]byte{byte(b)}) {
					t.Fatalf("byte %#x: token %d, %v", b, id, ok)
				}
			}
			pairs := make(map[[2]int32]bool)
			for want, m := range d.Merges {
				pairs[[2]int32{m.Left, m.Right}] = true
				if rank, result, ok := v.Merge(m.Left, m.Right); !ok || int(rank) != want || result != m.Result {
					t.Fatalf("merge %d: %d, %d, %v", want, rank, result, ok)
				}
			}
			// Pairs between and beside the merges: the lefts of some with the rights of others.
			for i, m := range d.Merges {
				for _, other := range []vocabulary.Merge{d.Merges[(i+1)%len(d.Merges)], d.Merges[i*31%len(d.Merges)]} {
					if _, _, ok := v.Merge(m.Left, other.Right); ok != pairs[[2]int32{m.Left, other.Right}] {
						t.Fatalf("merge of %d and %d: %v", m.Left, other.Right, ok)
					}
				}
			}
			for _, a := range v.Added {
				if !slices.ContainsFunc(d.Added, func(want vocabulary.Added) bool {
					return a.ID == want.ID && a.Control == want.Control && a.Content == d.Tokens[a.ID] && a.Pattern == a.Content
				}) {
					t.Fatalf("added token %+v", a)
				}
			}
			if !slices.Equal(v.Settings.End, d.End) {
				t.Fatalf("ends of text %v", v.Settings.End)
			}
		})
	}
}

func TestSizeOfGPT2(t *testing.T) {
	if size := len(build(t, gpt2(t))); size > 960_000 {
		t.Errorf("the section takes %d bytes", size)
	}
}

// TestExample holds the specification's example down to its last byte.
func TestExample(t *testing.T) {
	d := alphabet()
	d.Tokens = append(d.Tokens, "ab", "<e>")
	d.Merges = []vocabulary.Merge{{Left: 'a', Right: 'b', Result: 256}}
	d.Added = []vocabulary.Added{{ID: 257, Control: true}}
	d.End = []int32{257}

	want := make([]byte, 2392)
	put := func(offset int, text string) { copy(want[offset:], text) }
	put(0, "\x01\x00\x00\x00\x02\x00\x00\x00\x02\x01\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x01\x00\x00\x05\x01\x00\x00")
	for b := range 256 {
		want[32+2*b] = byte(b)
		binary.LittleEndian.PutUint32(want[544+4*b:], uint32(b+1))
		want[1576+b] = byte(b)
		if b >= 'a' {
			want[1840+2*b] = 1
		}
	}
	put(544+4*256, "\x02\x01\x00\x00\x05\x01\x00\x00")
	put(1576+256, "ab<e>")
	put(1840+2*256, "\x01\x00\x01\x00")
	put(2360, "b")
	put(2376, "\x00\x01")
	put(2384, "\x01\x01\x00\x00\x01\x00\x00\x00")
	if !bytes.Equal(build(t, d), want) {
		t.Errorf("%x, want %x", build(t, d), want)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	d := small()
	first := build(t, d)
	slices.Reverse(d.Added)
	if !bytes.Equal(first, build(t, d)) {
		t.Error("the order of added tokens shows in the bytes")
	}
}

// A byte starts as its own token even if that is declared as added too, but not as another's.
func TestByteTokens(t *testing.T) {
	d := alphabet()
	d.Tokens[7], d.Tokens[0x80] = d.Tokens[0x80], d.Tokens[7]
	d.Tokens = append(d.Tokens, "x")
	d.Added = []vocabulary.Added{{ID: '!', Control: true}, {ID: 7}, {ID: 256}}
	ids, err := d.ByteTokens()
	if err != nil || ids['!'] != '!' || ids[0x80] != 7 || ids['x'] != 'x' {
		t.Errorf("%v, %v", ids, err)
	}
	d.Tokens = append(d.Tokens, d.Tokens[7])
	if ids, err = d.ByteTokens(); err != nil || ids[0x80] != 257 {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestExtends changes what ids mean, and what does not matter for that.
func TestExtends(t *testing.T) {
	open := func(d vocabulary.Definition) *vocabulary.View {
		v, err := vocabulary.Open(build(t, d))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, test := range []struct {
		name        string
		change      func(d *vocabulary.Definition)
		forth, back bool
	}{
		{"nothing", func(d *vocabulary.Definition) {}, true, true},
		{"added tokens", func(d *vocabulary.Definition) { d.Added, d.End = nil, nil }, true, true},
		{"settings", func(d *vocabulary.Definition) { d.Prefix = []int32{259} }, true, true},
		{"ranks", func(d *vocabulary.Definition) { d.Merges[1], d.Merges[2] = d.Merges[2], d.Merges[1] }, false, false},
		{"a token", func(d *vocabulary.Definition) { d.Tokens[260] = "<f" }, false, false},
		{"no padding", func(d *vocabulary.Definition) { d.Tokens = d.Tokens[:261] }, true, true},
		{"more tokens", func(d *vocabulary.Definition) { d.Tokens[262] = "<pad>" }, false, true},
		{"more merges", func(d *vocabulary.Definition) {
			d.Tokens[261] = "bb"
			d.Merges = append(d.Merges, vocabulary.Merge{Left: 'b', Right: 'b', Result: 261})
		}, false, false},
	} {
		changed := small()
		test.change(&changed)
		a, b := open(small()), open(changed)
		if forth, back := a.Extends(b), b.Extends(a); forth != test.forth || back != test.back {
			t.Errorf("%s: %v, and back %v", test.name, forth, back)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(d *vocabulary.Definition)
	}{
		{"byte", "no token for byte 0x61", func(d *vocabulary.Definition) { d.Tokens['a'] = "aa" }},
		{"left", "merge 0: an id of 900 + 98 = 256 is not below 263", func(d *vocabulary.Definition) { d.Merges[0].Left = 900 }},
		{"right", "merge 0: an id", func(d *vocabulary.Definition) { d.Merges[0].Right = -1 }},
		{"result", "merge 2: an id", func(d *vocabulary.Definition) { d.Merges[2].Result = 263 }},
		{"bytes", "merge of tokens 98 and 97: result 257 has other bytes", func(d *vocabulary.Definition) { d.Merges[2].Result = 257 }},
		{"too long", "merge of tokens 263 and 97: result 264 is 1025 bytes long, at most 1024 are allowed", func(d *vocabulary.Definition) {
			d.Tokens = append(d.Tokens, strings.Repeat("a", 1024), strings.Repeat("a", 1025))
			d.Merges = append(d.Merges, vocabulary.Merge{Left: 263, Right: 'a', Result: 264})
		}},
		{"empty half", "result 256 has other bytes", func(d *vocabulary.Definition) {
			d.Merges = append(d.Merges, vocabulary.Merge{Left: 256, Right: 261, Result: 256})
		}},
		{"twice", "merge of token 97: right 98 after 98", func(d *vocabulary.Definition) { d.Merges = append(d.Merges, d.Merges[0]) }},
		{"added id", "added token 263 is not below 263", func(d *vocabulary.Definition) { d.Added[1].ID = 263 }},
		{"added empty", "added token 261 is 0 bytes long", func(d *vocabulary.Definition) { d.Added[1].ID = 261 }},
		{"added long", "added token 259 is 256 bytes long", func(d *vocabulary.Definition) { d.Tokens[259] = strings.Repeat("x", 256) }},
		{"added twice", "added token 260", func(d *vocabulary.Definition) { d.Added[0] = d.Added[1] }},
		{"end of text", "end of text 263 is not below 263", func(d *vocabulary.Definition) { d.End = []int32{263} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := small()
			test.change(&d)
			if _, err := vocabulary.Build(d); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestLongestMerge has a merge whose result is as long as it may be.
func TestLongestMerge(t *testing.T) {
	d := small()
	d.Tokens = append(d.Tokens, strings.Repeat("a", 1023), strings.Repeat("a", 1024))
	d.Merges = append(d.Merges, vocabulary.Merge{Left: 263, Right: 'a', Result: 264})
	v, err := vocabulary.Open(build(t, d))
	if err != nil {
		t.Fatal(err)
	}
	if _, result, ok := v.Merge(263, 'a'); !ok || result != 264 {
		t.Errorf("result %d, %v", result, ok)
	}
}

// TestOpenRefuses damages one number of a section at a time. Offsets are those of FORMAT.md for
// 263 tokens of 271 bytes, 3 merges and 2 added tokens.
func TestOpenRefuses(t *testing.T) {
	const (
		bytesAt     = 32
		tokenEndsAt = bytesAt + 512
		textAt      = tokenEndsAt + 263*4 + 4
		mergeEndsAt = textAt + 271 + 1
		rightsAt    = mergeEndsAt + 263*2 + 2
		ranksAt     = rightsAt + 8
		resultsAt   = ranksAt + 8
		addedAt     = resultsAt + 8
		size        = addedAt + 16
	)
	section := build(t, small())
	if len(section) != size {
		t.Fatalf("%d bytes, want %d", len(section), size)
	}
	put16 := func(offset int, value uint16) func(b []byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[offset:], value); return b }
	}
	put32 := func(offset int, value uint32) func(b []byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[offset:], value); return b }
	}
	for _, test := range []struct {
		name   string
		want   error
		damage func(b []byte) []byte
	}{
		{"empty", format.ErrTruncated, func(b []byte) []byte { return nil }},
		{"half a header", format.ErrTruncated, func(b []byte) []byte { return b[:31] }},
		{"a byte short", format.ErrTruncated, func(b []byte) []byte { return b[:size-1] }},
		{"a byte long", format.ErrCorrupt, func(b []byte) []byte { return append(b, 0) }},
		{"version", format.ErrUnsupported, put32(0, 3)}, {"version 2", format.ErrCorrupt, put32(0, 2)},
		{"width", format.ErrCorrupt, put32(4, 4)},
		{"tokens", format.ErrTruncated, put32(8, math.MaxInt32)},
		{"more tokens", format.ErrCorrupt, put32(8, math.MaxUint32)},
		{"no tokens", format.ErrCorrupt, put32(8, 0)},
		{"merges", format.ErrTruncated, put32(12, math.MaxInt32)},
		{"more merges", format.ErrCorrupt, put32(12, math.MaxUint32)},
		{"added tokens", format.ErrTruncated, put32(16, math.MaxUint32)},
		{"end of text", format.ErrCorrupt, put32(20, 263)},
		{"text size", format.ErrTruncated, put32(24, math.MaxUint32)},
		{"reserved", format.ErrCorrupt, put32(28, 1)},
		{"byte out of range", format.ErrCorrupt, put16(bytesAt+2*'a', 263)},
		{"byte of another", format.ErrCorrupt, put16(bytesAt+2*'a', 'b')},
		{"token ends beyond", format.ErrCorrupt, put32(tokenEndsAt+4*262, 272)},
		{"token ends before", format.ErrCorrupt, put32(tokenEndsAt+4*100, 99)},
		{"tokens end early", format.ErrCorrupt, put32(tokenEndsAt+4*262, 270)},
		{"padding", format.ErrCorrupt, put16(textAt+271, 1)},
		{"last padding", format.ErrCorrupt, put16(addedAt-2, 1)},
		{"text", format.ErrCorrupt, func(b []byte) []byte { b[textAt+256] = 'x'; return b }},
		{"merges end beyond", format.ErrCorrupt, put16(mergeEndsAt+2*262, 4)},
		{"merges end early", format.ErrCorrupt, put16(mergeEndsAt+2*262, 2)},
		{"right out of range", format.ErrCorrupt, put16(rightsAt, 263)},
		{"rank out of range", format.ErrCorrupt, put16(ranksAt, 3)},
		{"rank taken", format.ErrCorrupt, put16(ranksAt, 1)},
		{"result out of range", format.ErrCorrupt, put16(resultsAt, 263)},
		{"result of other bytes", format.ErrCorrupt, put16(resultsAt, 258)},
		{"added out of range", format.ErrCorrupt, put32(addedAt, 263)},
		{"added empty", format.ErrCorrupt, put32(addedAt, 261)},
		{"added out of order", format.ErrCorrupt, put32(addedAt, 259)},
		{"added flags", format.ErrCorrupt, put32(addedAt+4, 2)},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := vocabulary.Open(test.damage(slices.Clone(section)))
			if err == nil {
				err = v.Check()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestOpenAllocatesLittle(t *testing.T) {
	section := build(t, gpt2(t))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := vocabulary.Open(section); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 32<<10 {
		t.Errorf("opening allocates %d bytes", allocated)
	}
}

func BenchmarkOpen(b *testing.B) {
	section := build(b, gpt2(b))
	b.SetBytes(int64(len(section)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vocabulary.Open(section); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzOpen: whatever Open accepts, every look-up is safe on, and merging keeps bytes.
func FuzzOpen(f *testing.F) {
	f.Add(build(f, alphabet()))
	f.Add(build(f, small()))
	f.Add(build(f, characters()))
	f.Add(build(f, lookingUp()))
	f.Fuzz(func(t *testing.T, section []byte) {
		v, err := vocabulary.Open(section)
		if err != nil || v.Check() != nil {
			return
		}
		for id := range int32(v.Tokens()) {
			if len(v.Token(id)) != v.Length(id) {
				t.Fatalf("token %d", id)
			}
			for _, right := range []int32{0, id, int32(v.Tokens()) - 1} {
				if _, result, ok := v.Merge(id, right); ok {
					if !bytes.Equal(v.Token(result), slices.Concat(v.Token(id), v.Token(right))) {
						t.Fatalf("merge of %d and %d", id, right)
					}
				}
			}
		}
		for b := range 256 {
			if id, ok := v.Byte(byte(b)); ok {
				v.Token(id)
			}
		}
		for id := range int32(v.Tokens()) {
			if found, ok := v.Find(v.Token(id)); ok && !bytes.Equal(v.Token(found), v.Token(id)) {
				t.Fatalf("token %d is found as %d", id, found)
			}
		}
		for _, a := range v.Added {
			v.Token(a.ID)
		}
		if !v.Extends(v) {
			t.Fatal("the ids of a vocabulary mean something else in itself")
		}
	})
}

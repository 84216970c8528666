package vocabulary_test

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// characters is a definition of version 2 with everything that this has: bytes, unknown tokens, added tokens with patterns.
func characters() vocabulary.Definition {
	unknown := int32(0)
	return vocabulary.Definition{
		Tokens: []string{"<unk>", "▁", "a", "▁a", "<0xC3>", "<s>", "x x", "a", ""},
		Merges: []vocabulary.Merge{{Left: 1, Right: 2, Result: 3}},
		Added:  []vocabulary.Added{{ID: 5, Control: true}, {ID: 6, Pattern: "▁x▁x", Normalized: true}},
		Settings: vocabulary.Settings{
			Unit:         vocabulary.Characters,
			Normalizer:   []vocabulary.Step{{Type: vocabulary.Replace, Text: " ", With: "▁"}},
			Decoder:      []vocabulary.Step{{Type: vocabulary.ByteFallback}},
			ByteFallback: true, Unknown: &unknown, Prefix: []int32{5},
		},
	}
}

// lookingUp is a definition of version 2 whose units are bytes.
func lookingUp() vocabulary.Definition {
	d := small()
	d.IgnoreMerges = true
	return d
}

// TestVersion2Answers asks a view for what version 1 does not have.
func TestVersion2Answers(t *testing.T) {
	for name, d := range map[string]vocabulary.Definition{"characters": characters(), "bytes": lookingUp()} {
		v, err := vocabulary.Open(build(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if v.Version() != 2 {
			t.Errorf("%s: version %d", name, v.Version())
		}
		outside := make(map[string]bool)
		for _, a := range v.Added {
			outside[d.Tokens[a.ID]] = true
		}
		for id, token := range d.Tokens {
			found, ok := v.Find([]byte(token))
			if want := token != "" && !outside[token]; ok != want || ok && (d.Tokens[found] != token || found > int32(id)) {
				t.Errorf("%s: %q is %d, %v", name, token, found, ok)
			}
		}
		for b := range 256 {
			want := d.Unit == vocabulary.Bytes || b == 0xC3
			if _, ok := v.Byte(byte(b)); ok != want {
				t.Errorf("%s: byte %#x: %v", name, b, ok)
			}
		}
		if back := build(t, v.Definition()); string(back) != string(build(t, d)) {
			t.Errorf("%s: the definition of the section makes another one", name)
		}
	}
}

// TestOpenRefusesVersion2 damages one number of a section at a time. Offsets are those of FORMAT.md for 9 tokens of 26 bytes,
// 1 merge, 2 added tokens and an index of 32 places.
func TestOpenRefusesVersion2(t *testing.T) {
	const (
		bytesAt     = 48
		tokenEndsAt = bytesAt + 512
		textAt      = tokenEndsAt + 9*4 + 4
		mergeEndsAt = textAt + 26 + 6
		rightsAt    = mergeEndsAt + 18 + 6
		ranksAt     = rightsAt + 8
		resultsAt   = ranksAt + 8
		indexAt     = resultsAt + 8
		addedAt     = indexAt + 32*4
		addedTextAt = addedAt + 2*16
		settingsAt  = addedTextAt + 14 + 2
	)
	section := build(t, characters())
	size := len(section)
	if text := string(section[settingsAt : settingsAt+2]); text != `{"` || string(section[addedTextAt:addedTextAt+3]) != "<s>" {
		t.Fatalf("settings begin with %q", text)
	}
	put16 := func(offset int, value uint16) func(b []byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[offset:], value); return b }
	}
	put32 := func(offset int, value uint32) func(b []byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[offset:], value); return b }
	}
	replaced := func(old, new string) func(b []byte) []byte { // of the same length, in the settings
		return func(b []byte) []byte {
			at := strings.Index(string(b), old)
			if at < settingsAt || len(old) != len(new) {
				t.Fatalf("%q is not in the settings %q", old, b[settingsAt:])
			}
			copy(b[at:], new)
			return b
		}
	}
	place := func(word string) int { return indexAt + 4*int(xxhash.Sum64String(word)%32) }
	for _, test := range []struct {
		name   string
		want   error
		damage func(b []byte) []byte
	}{
		{"half a header", format.ErrTruncated, func(b []byte) []byte { return b[:47] }},
		{"a byte short", format.ErrTruncated, func(b []byte) []byte { return b[:size-1] }},
		{"a byte long", format.ErrCorrupt, func(b []byte) []byte { return append(b, 0) }},
		{"version", format.ErrUnsupported, put32(0, 3)},
		{"version 1", format.ErrCorrupt, put32(0, 1)},
		{"width", format.ErrCorrupt, put32(4, 4)},
		{"tokens", format.ErrTruncated, put32(8, math.MaxInt32)},
		{"more tokens", format.ErrCorrupt, put32(8, math.MaxUint32)},
		{"merges", format.ErrTruncated, put32(12, math.MaxInt32)},
		{"more merges", format.ErrCorrupt, put32(12, math.MaxUint32)},
		{"added tokens", format.ErrTruncated, put32(16, math.MaxUint32)},
		{"index", format.ErrTruncated, put32(20, math.MaxUint32)},
		{"a small index", format.ErrCorrupt, put32(20, 16)},
		{"text size", format.ErrTruncated, put32(24, math.MaxUint32)},
		{"added text size", format.ErrTruncated, put32(28, math.MaxUint32)},
		{"settings size", format.ErrCorrupt, put32(32, vocabulary.MaxSettings+1)},
		{"more settings", format.ErrTruncated, put32(32, vocabulary.MaxSettings)},
		{"no settings", format.ErrCorrupt, put32(32, 0)},
		{"reserved", format.ErrCorrupt, put32(36, 1)}, {"reserved", format.ErrCorrupt, put32(40, 1)}, {"reserved", format.ErrCorrupt, put32(44, 1)},
		{"byte out of range", format.ErrCorrupt, put16(bytesAt+2*'a', 9)},
		{"byte that none is", format.ErrCorrupt, put16(bytesAt+2*'a', 2)},
		{"byte of another", format.ErrCorrupt, put16(bytesAt+2*0xC3, 2)},
		{"token ends beyond", format.ErrCorrupt, put32(tokenEndsAt+4*8, 27)},
		{"token ends before", format.ErrCorrupt, put32(tokenEndsAt+4*5, 1)},
		{"merges end beyond", format.ErrCorrupt, put16(mergeEndsAt+2*8, 2)},
		{"right out of range", format.ErrCorrupt, put16(rightsAt, 9)},
		{"rank out of range", format.ErrCorrupt, put16(ranksAt, 1)},
		{"result out of range", format.ErrCorrupt, put16(resultsAt, 9)},
		{"result of other bytes", format.ErrCorrupt, put16(resultsAt, 2)},
		{"padding", format.ErrCorrupt, put16(rightsAt+2, 1)},
		{"index out of range", format.ErrCorrupt, put32(place("a"), 9)},
		{"index of an empty token", format.ErrCorrupt, put32(place("a"), 8)},
		{"index of an added token", format.ErrCorrupt, put32(place("a"), 5)},
		{"index without a word", format.ErrCorrupt, put32(place("a"), math.MaxUint32)},
		{"index with a word twice", format.ErrCorrupt, func(b []byte) []byte {
			for at := indexAt; at < addedAt; at += 4 {
				if binary.LittleEndian.Uint32(b[at:]) == math.MaxUint32 {
					return put32(at, 2)(b)
				}
			}
			return b
		}},
		{"index turned around", format.ErrCorrupt, func(b []byte) []byte {
			for low, high := indexAt, addedAt-4; low < high; low, high = low+4, high-4 {
				x, y := binary.LittleEndian.Uint32(b[low:]), binary.LittleEndian.Uint32(b[high:])
				put32(low, y)(b)
				put32(high, x)(b)
			}
			return b
		}},
		{"added out of range", format.ErrCorrupt, put32(addedAt, 9)},
		{"added flags", format.ErrCorrupt, put32(addedAt+4, 64)},
		{"added content beyond", format.ErrCorrupt, put32(addedAt+8, 15)},
		{"added content empty", format.ErrCorrupt, put32(addedAt+8, 0)},
		{"added pattern beyond", format.ErrCorrupt, put32(addedAt+12, 15)},
		{"added pattern before", format.ErrCorrupt, put32(addedAt+12, 2)},
		{"added text ends early", format.ErrCorrupt, put32(addedAt+16+12, 13)},
		{"added out of order", format.ErrCorrupt, func(b []byte) []byte { return put32(addedAt+4, 3)(put32(addedAt+16+4, 0)(b)) }},
		{"added not UTF-8", format.ErrCorrupt, func(b []byte) []byte { b[addedTextAt] = 0xFF; return b }},
		{"settings no JSON", format.ErrCorrupt, replaced(`{"byte_fallback"`, `["byte_fallback"`)},
		{"settings not in order", format.ErrCorrupt, replaced(`"prefix":[5],"unit":"character"`, `"unit":"character","prefix":[5]`)},
		{"settings of another key", format.ErrUnsupported, replaced(`"unk":0`, `"unq":0`)},
		{"settings of another unit", format.ErrUnsupported, replaced("character", "charactor")},
		{"settings of another step", format.ErrUnsupported, replaced(`"Replace"`, `"Replaze"`)},
		{"settings of a step's key", format.ErrUnsupported, replaced(`"with"`, `"wizh"`)},
		{"a step with another's key", format.ErrCorrupt, func(b []byte) []byte {
			return replaced(`"text":" ","type":"Replace","with":"▁"`, `"text":" ","type":"Prepend","with":"▁"`)(b)
		}},
		{"an id out of range", format.ErrCorrupt, replaced(`"prefix":[5]`, `"prefix":[9]`)},
		{"cut before another", format.ErrCorrupt, replaced(`"before":"▁"`, `"before":"あ"`)},
		{"cut before nothing", format.ErrCorrupt, replaced(`"before":"▁"`, `"before":"abc"`)},
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

// TestSettingsRefused has what no tokenizer does, or none may.
func TestSettingsRefused(t *testing.T) {
	step := func(kind string, change func(s *vocabulary.Step)) []vocabulary.Step {
		s := vocabulary.Step{Type: kind}
		if change != nil {
			change(&s)
		}
		return []vocabulary.Step{s}
	}
	long := vocabulary.Step{Type: vocabulary.Replace, Text: "a", With: strings.Repeat("a", 64)}
	double := vocabulary.Step{Type: vocabulary.Replace, Text: "a", With: "aa"}
	bad := "\xff"
	for _, test := range []struct {
		want   string
		change func(d *vocabulary.Definition)
	}{
		{"Prepend has settings that make no sense", func(d *vocabulary.Definition) { d.Normalizer = step(vocabulary.Prepend, nil) }},
		{"Replace has settings that make no sense", func(d *vocabulary.Definition) { d.Normalizer = step(vocabulary.Replace, nil) }},
		{`step "Split"`, func(d *vocabulary.Definition) { d.Normalizer = step(vocabulary.Split, nil) }},
		{`step "Strip"`, func(d *vocabulary.Definition) { d.PreTokenizer = step(vocabulary.Strip, nil) }},
		{`step "NFC"`, func(d *vocabulary.Definition) { d.Decoder = step(vocabulary.NFC, nil) }},
		{"longer than 64 bytes", func(d *vocabulary.Definition) {
			d.Normalizer = step(vocabulary.Prepend, func(s *vocabulary.Step) { s.Text = strings.Repeat("a", 65) })
		}},
		{"not UTF-8", func(d *vocabulary.Definition) {
			d.Normalizer = step(vocabulary.Prepend, func(s *vocabulary.Step) { s.Text = bad })
		}},
		{"17 steps, at most 16", func(d *vocabulary.Definition) { d.Normalizer = slices.Repeat(step(vocabulary.NFC, nil), 17) }},
		{"make a text more than 64 times as long", func(d *vocabulary.Definition) { d.Normalizer = []vocabulary.Step{long, double} }},
		{"make a text more than 64 times as long", func(d *vocabulary.Definition) { d.Normalizer = slices.Repeat([]vocabulary.Step{long}, 16) }},
		{"make a text more than 64 times as long", func(d *vocabulary.Definition) {
			d.Normalizer = []vocabulary.Step{long}
			d.PreTokenizer = step(vocabulary.Metaspace, func(s *vocabulary.Step) { s.Text, s.Scheme = "_", vocabulary.Always })
		}},
		{"decoder makes a token more than 64 times as long", func(d *vocabulary.Definition) { d.Decoder = slices.Repeat([]vocabulary.Step{double}, 7) }},
		{`pattern "klingon"`, func(d *vocabulary.Definition) {
			d.PreTokenizer = step(vocabulary.Split, func(s *vocabulary.Step) { s.Pattern, s.Behavior = "klingon", vocabulary.Isolated })
		}},
		{"Split has settings that make no sense", func(d *vocabulary.Definition) {
			d.PreTokenizer = step(vocabulary.Split, func(s *vocabulary.Step) { s.Pattern, s.Text, s.Behavior = "gpt2", "a", vocabulary.Isolated })
		}},
		{"Split has settings that make no sense", func(d *vocabulary.Definition) {
			d.PreTokenizer = step(vocabulary.Split, func(s *vocabulary.Step) { s.Text, s.Behavior = "a", "Contiguous" })
		}},
		{"Metaspace has settings that make no sense", func(d *vocabulary.Definition) {
			d.PreTokenizer = step(vocabulary.Metaspace, func(s *vocabulary.Step) { s.Text, s.Scheme = "__", vocabulary.Always })
		}},
		{"Metaspace has settings that make no sense", func(d *vocabulary.Definition) {
			d.PreTokenizer = step(vocabulary.Metaspace, func(s *vocabulary.Step) { s.Text = "_" })
		}},
		{"ByteLevel of characters", func(d *vocabulary.Definition) { d.PreTokenizer = step(vocabulary.ByteLevel, nil) }},
		{"Strip without Fuse", func(d *vocabulary.Definition) {
			d.Decoder = step(vocabulary.Strip, func(s *vocabulary.Step) { s.Text, s.Start = " ", 1 })
		}},
		{"not at the end", func(d *vocabulary.Definition) {
			d.Decoder = append(step(vocabulary.Fuse, nil), step(vocabulary.ByteFallback, nil)...)
		}},
		{"bytes are never unknown", func(d *vocabulary.Definition) {
			*d = lookingUp()
			d.FuseUnknown = true
		}},
		{"bytes are cut by ByteLevel", func(d *vocabulary.Definition) {
			*d = lookingUp()
			d.PreTokenizer = nil
		}},
		{`unit "word"`, func(d *vocabulary.Definition) { d.Unit = "word" }},
		{"token 9 of 9", func(d *vocabulary.Definition) { d.Prefix = []int32{9} }},
		{"1025 tokens before or after a text", func(d *vocabulary.Definition) { d.Suffix = make([]int32, 1025) }},
		{"token -1 of 9", func(d *vocabulary.Definition) { d.Suffix = []int32{-1} }},
		{"token 11 of 9", func(d *vocabulary.Definition) { unknown := int32(11); d.Unknown = &unknown }},
		{"template \"x\" is not UTF-8", func(d *vocabulary.Definition) { d.Templates = map[string]string{"x": bad} }},
		{"is not UTF-8", func(d *vocabulary.Definition) { d.BOS = &bad }},
		{"at most 4194304 are allowed", func(d *vocabulary.Definition) {
			d.Templates = map[string]string{"x": strings.Repeat("x", vocabulary.MaxSettings)}
		}},
	} {
		d := characters()
		test.change(&d)
		if _, err := vocabulary.Build(d); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// TestCut has merges that reach over the places where words are cut, in every way that is told apart.
func TestCut(t *testing.T) {
	with := func(left, right string) func(d *vocabulary.Definition) {
		return func(d *vocabulary.Definition) {
			id := func(token string) int32 {
				if at := slices.Index(d.Tokens, token); at >= 0 {
					return int32(at)
				}
				d.Tokens = append(d.Tokens, token)
				return int32(len(d.Tokens) - 1)
			}
			d.Merges = append(d.Merges, vocabulary.Merge{Left: id(left), Right: id(right), Result: id(left + right)})
		}
	}
	for _, test := range []struct {
		name   string
		change func(d *vocabulary.Definition)
		want   *vocabulary.Cut
	}{
		{"nothing", func(d *vocabulary.Definition) {}, &vocabulary.Cut{Before: "▁"}},
		{"a letter", with("a", "▁a"), &vocabulary.Cut{Before: "▁", After: "a"}},
		{"spaces", with("▁", "▁"), &vocabulary.Cut{Before: "▁"}},
		{"a byte", with("<0xC3>", "▁"), nil},
		{"unknown", with("<unk>", "▁"), nil},
		{"lost characters", func(d *vocabulary.Definition) { d.Unknown = nil }, nil},
		{"no normalizer", func(d *vocabulary.Definition) { d.Normalizer = nil }, nil},
		{"no such word", func(d *vocabulary.Definition) {
			d.Added = append(d.Added, vocabulary.Added{ID: 1})
		}, nil},
	} {
		d := characters()
		test.change(&d)
		v, err := vocabulary.Open(build(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Settings.Cut; (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: cut %v, want %v", test.name, got, test.want)
		}
	}
}

// TestHostileIndex is full of a token that look-ups must go by: they end, and Check refuses it.
func TestHostileIndex(t *testing.T) {
	d := characters()
	for len(d.Tokens) < 1<<15 {
		d.Tokens = append(d.Tokens, strings.Repeat("b", 1+len(d.Tokens)%7)+string(rune(0x4E00+len(d.Tokens))))
	}
	section := build(t, d)
	v, err := vocabulary.Open(section)
	if err != nil {
		t.Fatal(err)
	}
	align := func(size int) int { return (size + 7) / 8 * 8 }
	text := int(binary.LittleEndian.Uint32(section[24:]))
	index := section[48+512+4<<15+align(text)+2<<15+3*8:][:4<<16]
	put := func(place int, id uint32) { binary.LittleEndian.PutUint32(index[4*(place%(1<<16)):], id) }
	word := d.Tokens[1<<14]
	if id, found := v.Find([]byte(word)); !found || id != 1<<14 {
		t.Fatalf("%q is %d, %v", word, id, found)
	}
	for place := range 1 << 16 {
		put(place, 3)
	}
	home := int(xxhash.Sum64String(word) % (1 << 16))
	put(home+vocabulary.MaxProbes-1, 1<<14)
	if id, found := v.Find([]byte(word)); !found || id != 1<<14 {
		t.Errorf("at the last place that is looked at: %d, %v", id, found)
	}
	put(home+vocabulary.MaxProbes-1, 3)
	put(home+vocabulary.MaxProbes, 1<<14)
	if id, found := v.Find([]byte(word)); found {
		t.Errorf("found behind the last place: %d", id)
	}
	if err := v.Check(); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestOpenVersion2AllocatesLittle: in proportion to added tokens and settings, not to the vocabulary.
func TestOpenVersion2AllocatesLittle(t *testing.T) {
	d := characters()
	for len(d.Tokens) < 1<<17 {
		d.Tokens = append(d.Tokens, string(rune(0x10000+len(d.Tokens))))
	}
	d.Templates = map[string]string{"x": strings.Repeat("x", 1<<16)}
	for i := range 1000 {
		d.Added = append(d.Added, vocabulary.Added{ID: int32(1000 + i), Word: true})
	}
	section := build(t, d)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := vocabulary.Open(section); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// A template goes through the parser and the two encoders of its canonical form; the race detector takes a little more.
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 25*(1<<16)+1000*100 {
		t.Errorf("opening allocates %d bytes of a section of %d", allocated, len(section))
	}
}

package tokenizer_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// changeableDefinitions are small ones of both versions and both units.
func changeableDefinitions() map[string]vocabulary.Definition {
	bytes := randomDefinition(rand.New(rand.NewPCG(29, 31)))
	lookingUp := bytes
	lookingUp.IgnoreMerges = true
	characters := randomCharacters(rand.New(rand.NewPCG(83, 89)))
	characters.Decoder = documented().Decoder
	return map[string]vocabulary.Definition{"version 1": bytes, "version 2, bytes": lookingUp, "version 2, characters": characters}
}

// changeable returns the section of a definition and two tokenizers of it, which go on when the section is written to.
func changeable(t testing.TB, d vocabulary.Definition) (section []byte, tok, twin *tokenizer.Tokenizer) {
	t.Helper()
	d.Added, d.Tokens = nil, slices.Clone(d.Tokens)
	for _, token := range []string{"<end>", "<e", "ab"} {
		d.Added = append(d.Added, vocabulary.Added{ID: int32(len(d.Tokens)), Control: token == "<end>"})
		d.Tokens = append(d.Tokens, token)
	}
	section, err := vocabulary.Build(d)
	if err != nil {
		t.Fatal(err)
	}
	return section, guarded(t, section, format.GuardFault), guarded(t, section, format.GuardFault)
}

func guarded(t testing.TB, section []byte, guard tokenizer.Guard) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.NewGuarded(section, guard)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// useChanged calls everything that reads the section of two tokenizers. A panic would be none of its errors.
func useChanged(t *testing.T, tok, twin *tokenizer.Tokenizer, text string) (corrupt bool) {
	t.Helper()
	check := func(err error) {
		if corrupt = corrupt || err != nil; err != nil && !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%v, want ErrCorrupt", err)
		}
	}
	for _, encode := range []func(string) ([]int32, error){tok.Encode, tok.EncodeSpecial} {
		ids, err := encode(text)
		check(err)
		for _, id := range ids {
			if id < 0 || int(id) >= tok.Size() {
				t.Errorf("id %d of %d", id, tok.Size())
			}
		}
	}
	all := make([]int32, tok.Size())
	for i := range all {
		all[i] = int32(i)
	}
	_, err := tok.Decode(all)
	check(err)
	stream := tok.NewStream()
	for _, id := range all {
		if _, err := stream.Next(id); err != nil {
			check(err)
		}
	}
	if _, err := tok.Same(twin); err != nil {
		check(err)
	}
	return corrupt
}

// changedTexts have short words, words that are merged by another way because they are long, and added tokens.
var changedTexts = []string{"abcabab <end> <e ab cc", strings.Repeat("abcab", 60), strings.Repeat("a", 200) + "<end>"}

// TestChangedSection writes to a section that has been checked: numbers that point anywhere. What is read then may make
// no sense, but nothing outside of the section is read and every call ends.
func TestChangedSection(t *testing.T) {
	for name, d := range changeableDefinitions() {
		t.Run(name, func(t *testing.T) { changeSection(t, d) })
	}
}

func changeSection(t *testing.T, d vocabulary.Definition) {
	random := rand.New(rand.NewPCG(37, 41))
	section, tok, twin := changeable(t, d)
	whole := slices.Clone(section)
	corrupt := 0
	for round := range 3000 {
		copy(section, whole)
		switch at := random.IntN(len(section) - 4); round % 4 {
		case 0:
			for i := range section {
				section[i] = byte(random.Uint32())
			}
		case 1:
			clear(section[at:])
		case 2:
			binary.LittleEndian.PutUint32(section[at:], random.Uint32())
		case 3: // a number that is small: another token, another end
			binary.LittleEndian.PutUint16(section[at&^1:], uint16(random.IntN(400)))
		}
		if useChanged(t, tok, twin, changedTexts[random.IntN(len(changedTexts))]) {
			corrupt++
		}
	}
	if corrupt < 500 || corrupt == 3000 {
		t.Errorf("%d of 3000 changes are noticed", corrupt)
	}
}

// TestExtendsNamesTheChangedFile compares two tokenizers under guards that name their files, and writes to one of them.
func TestExtendsNamesTheChangedFile(t *testing.T) {
	named := func(name string) (section []byte, tok *tokenizer.Tokenizer) {
		section, _, _ = changeable(t, documented())
		return section, guarded(t, section, func(read func() error) error {
			if err := format.GuardFault(read); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	for _, changed := range []string{"target", "draft"} {
		targetSection, target := named("target")
		draftSection, draft := named("draft")
		section := map[string][]byte{"target": targetSection, "draft": draftSection}[changed]
		for i := range section {
			section[i] = 0xff
		}
		if _, err := target.Extends(draft); err == nil || !strings.HasPrefix(err.Error(), changed+": ") || strings.Count(err.Error(), ": ") > 3 {
			t.Errorf("the section of the %s is overwritten: %v", changed, err)
		}
	}
}

// FuzzChangedSection replaces a part of a section that has been checked.
func FuzzChangedSection(f *testing.F) {
	type changed struct {
		section, whole []byte
		tok, twin      *tokenizer.Tokenizer
	}
	var all []changed
	definitions := changeableDefinitions()
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		section, tok, twin := changeable(f, definitions[name])
		all = append(all, changed{section, slices.Clone(section), tok, twin})
	}
	for i, text := range changedTexts {
		f.Add(uint16(i*1000), []byte{255, 255, 0, 1}, text)
	}
	f.Fuzz(func(t *testing.T, at uint16, part []byte, text string) {
		if len(text) > 4096 {
			return
		}
		for _, c := range all {
			copy(c.section, c.whole)
			copy(c.section[int(at)%len(c.section):], part)
			useChanged(t, c.tok, c.twin, text)
		}
	})
}

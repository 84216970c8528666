package runtime_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
)

// parts are the sections of a file, to be changed and put together again.
type parts struct {
	sections []format.Section
	contents [][]byte
}

// syntheticFile makes a model with random weights in int4 and returns its path.
func syntheticFile(t testing.TB, model synthetic.Shape, scope convert.Scope) string {
	t.Helper()
	source, path := t.TempDir(), filepath.Join(t.TempDir(), "model.tti")
	err := synthetic.Write(context.Background(), source, model)
	if err == nil {
		err = convert.Convert(context.Background(), source, path, convert.Options{Mode: convert.Int4, Int4: scope, NoSync: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Very small models: a GPT-2, and a decoder with about everything that a decoder can have.
var (
	smallGPT2    = synthetic.Model{Vocabulary: 257, Context: 8, Embedding: 16, Layers: 1, Heads: 2}
	smallDecoder = synthetic.Decoder{
		Config: map[string]any{
			"model_type": "gemma3_text", "sliding_window": 3, "sliding_window_pattern": 2, "query_pre_attn_scalar": 8, "attention_bias": true,
			"attn_logit_softcapping": 5, "final_logit_softcapping": 9,
		},
		Sizes: architecture.Decoder{
			Vocabulary: 257, Context: 8, Embedding: 16, Layers: make([]architecture.DecoderLayer, 2), Heads: 4, KVHeads: 2, HeadWidth: 8, Hidden: 24,
			InputNorms: true, OutputNorms: true, QueryKeyNorm: architecture.PerHead, NormOffset: 1, QKVBias: true, OutputBias: true,
		},
	}
)

// takeApart makes a model and reads its file.
func takeApart(t testing.TB, model synthetic.Shape) parts {
	t.Helper()
	file, err := format.Open(syntheticFile(t, model, convert.Blocks))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := parts{sections: file.Sections()}
	for _, s := range p.sections {
		p.contents = append(p.contents, append([]byte{}, file.Bytes(s)...))
	}
	return p
}

// file lays the sections out as FORMAT.md says, with checksums that are right.
func (p parts) file() []byte {
	align := func(b []byte) []byte { return append(b, make([]byte, (64-len(b)%64)%64)...) }
	var body, index []byte
	start := 64 + 128*len(p.sections)
	for i, s := range p.sections {
		content := p.contents[i]
		body = align(body)
		record := binary.LittleEndian.AppendUint64(nil, uint64(start+len(body)))
		record = binary.LittleEndian.AppendUint64(record, uint64(len(content)))
		record = binary.LittleEndian.AppendUint64(record, xxhash.Sum64(content))
		for _, field := range []uint32{uint32(s.Kind), 1, uint32(s.Encoding), uint32(len(s.Shape))} {
			record = binary.LittleEndian.AppendUint32(record, field)
		}
		for _, dimension := range s.Shape {
			record = binary.LittleEndian.AppendUint64(record, uint64(dimension))
		}
		record = append(record, make([]byte, 72-len(record))...)
		record = append(record, s.Name...)
		index = append(index, append(record, make([]byte, 128-len(record))...)...)
		body = append(body, content...)
	}
	header := append([]byte("\x89TTI\r\n\x1a\n"), 1, 0, 0, 0, 0, 0, 0, 0)
	for _, field := range []uint64{uint64(start + len(body)), 64, uint64(len(index)), xxhash.Sum64(index), 0} {
		header = binary.LittleEndian.AppendUint64(header, field)
	}
	header = binary.LittleEndian.AppendUint64(header, xxhash.Sum64(header))
	return append(append(header, index...), body...)
}

// replaced returns the parts with other contents of the sections meta and tokenizer.
func (p parts) replaced(meta, tokenizer []byte) parts {
	p.sections, p.contents = append([]format.Section{}, p.sections...), append([][]byte{}, p.contents...)
	for i, content := range [][]byte{meta, tokenizer} {
		p.sections[i].Shape, p.contents[i] = []int{len(content)}, content
	}
	return p
}

// use opens a file, runs a few tokens and tokenizes. Whatever it says is an error or none.
func use(t testing.TB, path string) error {
	m, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(1)))
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Tokenizer().EncodeSpecial("Hello, wörld! <|endoftext|>"); err != nil {
		return err
	}
	for _, err := range m.Generate(context.Background(), []int32{0, 1}, runtime.Sampling{Temperature: 1, TopK: 5}, runtime.MaxTokens(3)) {
		if err != nil {
			return err
		}
	}
	return nil
}

// FuzzOpen opens files whose container is right and whose contents are anything: meta, tokenizer and
// bytes of weights, which edits changes in groups of four: three for the place, one for the value.
func FuzzOpen(f *testing.F) {
	whole := takeApart(f, smallGPT2)
	meta, tokenizer := whole.contents[0], whole.contents[1]
	f.Add(meta, tokenizer, []byte{})
	for from, to := range map[string]string{
		`"n_layer":1`: `"n_layer":1000000000`, `"n_embd":16`: `"n_embd":-16`, `"n_head":2`: `"n_head":16`, `"n_ctx":8`: `"n_ctx":9007199254740993`,
		`"gelu_new"`: `"relu"`, `"layer_norm_epsilon":0.00001`: `"layer_norm_epsilon":1e308`, `"tied_head":true`: `"tied_head":false`,
		`"eos_token_id":256`: `"eos_token_id":-1`, `"n_inner":64`: `"n_inner":[64]`,
	} {
		changed := strings.Replace(string(meta), from, to, 1)
		if changed == string(meta) {
			f.Fatalf("no %s in %s", from, meta)
		}
		f.Add([]byte(changed), tokenizer, []byte{0, 0, 0, 255, 0, 16, 0, 127})
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, meta, tokenizer, edits []byte) {
		if len(meta) == 0 || len(tokenizer) == 0 || len(meta)+len(tokenizer) > 1<<16 {
			return
		}
		p := whole.replaced(meta, tokenizer)
		for ; len(edits) >= 4; edits = edits[4:] {
			i := 2 + int(edits[0])%(len(p.contents)-2)
			content := append([]byte{}, p.contents[i]...)
			content[(int(edits[1])<<8|int(edits[2]))%len(content)] = edits[3]
			p.contents[i] = content
		}
		path := filepath.Join(folder, "fuzzed.tti")
		if err := os.WriteFile(path, p.file(), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := use(t, path); err != nil && strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("not one line: %q", err)
		}
	})
}

// numberPattern finds what mutated may replace in meta.
var numberPattern = regexp.MustCompile(`-?[0-9][0-9.e]*|true|false|null`)

// mutated returns the parts changed as a program says, in steps of four bytes: what to do, to which section, and two
// bytes for where and what. Whatever comes out has sums that are right: only what is checked beyond them can refuse it.
func (p parts) mutated(program []byte) parts {
	p.sections, p.contents = append([]format.Section{}, p.sections...), append([][]byte{}, p.contents...)
	numbers := []string{"0", "1", "2", "-1", "3", "16", "17", "257", "65535", "2147483647", "2147483648", "1e300", "0.5", "null", "true", "[]"}
	for ; len(program) >= 4; program = program[4:] {
		if len(p.sections) == 0 {
			return p
		}
		i, a, b := int(program[1])%len(p.sections), int(program[2]), int(program[3])
		s, content := &p.sections[i], append([]byte{}, p.contents[i]...)
		switch program[0] % 10 {
		case 0: // one byte
			if len(content) > 0 {
				content[a*b%len(content)] = byte(a)
			}
		case 1: // four bytes that may be a number of a table
			if at := (a*b&^3 + a*4); at+4 <= len(content) {
				binary.LittleEndian.PutUint32(content[at:], uint32(b)<<(a%32))
			}
		case 2: // a longer or shorter section, whose shape says so
			content = append(content[:len(content)*a/256:len(content)*a/256], make([]byte, b)...)
			if s.Encoding == format.Bytes {
				s.Shape = []int{len(content)}
			}
		case 3: // another shape
			s.Shape = append([]int{}, s.Shape...)
			s.Shape[a%len(s.Shape)] = b
		case 4:
			s.Encoding = format.Encoding(a % 20)
		case 5:
			s.Kind = format.Kind(a % 6)
		case 6: // another section's contents, and what they are
			other := (i + a) % len(p.sections)
			name := s.Name
			*s, content = p.sections[other], p.contents[other]
			s.Name = name
		case 7: // no section at all
			p.sections = append(p.sections[:i:i], p.sections[i+1:]...)
			p.contents = append(p.contents[:i:i], p.contents[i+1:]...)
			continue
		case 8: // another number in meta
			if matches := numberPattern.FindAllIndex(content, -1); s.Name == format.MetaName && len(matches) > 0 {
				m := matches[a%len(matches)]
				content = slices.Concat(content[:m[0]], []byte(numbers[b%len(numbers)]), content[m[1]:])
				s.Shape = []int{len(content)}
			}
		case 9: // noise
			noise := rand.New(rand.NewPCG(uint64(a), uint64(b)))
			for j := range content {
				content[j] = byte(noise.Uint32())
			}
		}
		p.contents[i] = content
	}
	return p
}

// FuzzWholeFile opens files that are changed anywhere, section by section, and whose sums are right. Those that are
// accepted run a few tokens.
func FuzzWholeFile(f *testing.F) { fuzzWholeFile(f, takeApart(f, smallGPT2)) }

// FuzzWholeDecoder is FuzzWholeFile of the other architecture.
func FuzzWholeDecoder(f *testing.F) { fuzzWholeFile(f, takeApart(f, smallDecoder)) }

func fuzzWholeFile(f *testing.F, whole parts) {
	for what := range byte(10) {
		for section := range byte(6) {
			f.Add([]byte{what, section, 3, 200})
		}
	}
	f.Add([]byte{8, 0, 5, 1, 8, 0, 9, 3, 9, 4, 1, 1, 1, 1, 40, 40})
	path := filepath.Join(f.TempDir(), "fuzzed.tti")
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 64 {
			return
		}
		if err := os.WriteFile(path, whole.mutated(program).file(), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := use(t, path); err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("not one plain line: %q", err)
		}
	})
}

// TestAssembledFileIsTheOriginal makes sure that FuzzOpen gets as far as a model that works.
func TestAssembledFileIsTheOriginal(t *testing.T) {
	for _, model := range []synthetic.Shape{smallGPT2, smallDecoder} {
		path := filepath.Join(t.TempDir(), "model.tti")
		if err := os.WriteFile(path, takeApart(t, model).file(), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := use(t, path); err != nil {
			t.Error(err)
		}
	}
}

// TestHostileFilesAllocateLittle has hyperparameters that ask for everything in a file that is small.
func TestHostileFilesAllocateLittle(t *testing.T) {
	gpt2, decoder := takeApart(t, smallGPT2), takeApart(t, smallDecoder)
	list := string(decoder.contents[0])
	list = list[strings.Index(list, `"layers":[`):]
	list = list[:strings.Index(list, "]")]
	rotary := `{"scale":1,"short_context":0,"source":{},"width":8},`
	meta := string(gpt2.contents[0])
	for _, change := range [][2]string{
		{`"context":8`, `"context":2147483647`}, {`"heads":4`, `"heads":1000000000`}, {`"kv_heads":2`, `"kv_heads":1`}, {`"head_width":8`, `"head_width":536870911`},
		{`"hidden":24`, `"hidden":1073741823`}, {`"embedding":16`, `"embedding":2147483647`}, {list, list + strings.Repeat(`,{"rotary":null,"window":0}`, 1000)},
		{list, list + strings.Repeat(`,{"rotary":null,"window":0}`, 1100)}, {`"rotary":[`, `"rotary":[` + strings.Repeat(rotary, 5)}, {`"rotary":[`, `"rotary":[` + strings.Repeat(rotary, 100)},
		{`"n_layer":1`, `"n_layer":2147483647`}, {`"n_ctx":8`, `"n_ctx":2147483647`}, {`"vocab_size":257`, `"vocab_size":2147483647`},
		{`"n_embd":16`, `"n_embd":2147483647`}, {`"n_inner":64`, `"n_inner":2147483647`}, {`"n_head":2`, `"n_head":2147483647`},
		{`"n_layer":1`, `"n_layer":1e999`}, {`"n_layer":1`, `"n_layer":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
		{meta, "{}"}, {meta, "null"},
	} {
		whole := gpt2
		if !strings.Contains(meta, change[0]) {
			whole = decoder
		}
		changed := strings.Replace(string(whole.contents[0]), change[0], change[1], 1)
		path := filepath.Join(t.TempDir(), "hostile.tti")
		contents := whole.replaced([]byte(changed), whole.contents[1]).file()
		if err := os.WriteFile(path, contents, 0o666); err != nil {
			t.Fatal(err)
		}
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		err := use(t, path)
		goruntime.ReadMemStats(&after)
		if err == nil && change[0] != `"context":8` { // of many positions there is no tensor
			t.Errorf("%.60s: opened", change[1])
		}
		// A parser of JSON takes 160 bytes for a bracket, of which there can be 10,000.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(8*len(contents))+4<<20 {
			t.Errorf("%.60s: %d bytes allocated for a file of %d (%v)", change[1], allocated, len(contents), err)
		}
	}
}

// TestMoreLayersThanThereAre has a file of many tiny sections that says it has many more.
func TestMoreLayersThanThereAre(t *testing.T) {
	whole := takeApart(t, synthetic.Model{Vocabulary: 257, Context: 8, Embedding: 2, Layers: 500, Heads: 1})
	path := filepath.Join(t.TempDir(), "hostile.tti")
	allocated := func(layers string) uint64 {
		meta := strings.Replace(string(whole.contents[0]), `"n_layer":500`, `"n_layer":`+layers, 1)
		if err := os.WriteFile(path, whole.replaced([]byte(meta), whole.contents[1]).file(), 0o666); err != nil {
			t.Fatal(err)
		}
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		err := use(t, path)
		goruntime.ReadMemStats(&after)
		if (err == nil) != (layers == "500") {
			t.Errorf("%s layers: %v", layers, err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	usual := allocated("500")
	for _, layers := range []string{"501", "400000", "2147483647"} {
		if got := allocated(layers); got > usual {
			t.Errorf("%s layers: %d bytes allocated, with as many as there are %d", layers, got, usual)
		}
	}
	if info, err := os.Stat(path); err != nil || usual > 8*uint64(info.Size()) {
		t.Errorf("%d bytes allocated for a file of %d (%v)", usual, info.Size(), err)
	} else {
		t.Logf("%d bytes allocated for a file of %d", usual, info.Size())
	}
}

// TestKVGrowsAsUsed has a small file, valid in itself, whose full context would take hundreds of times its size: a session
// takes memory for the positions in use, whatever the context.
func TestKVGrowsAsUsed(t *testing.T) {
	path := syntheticFile(t, synthetic.Model{Vocabulary: 257, Context: 20000, Embedding: 2, Layers: 60, Heads: 2}, convert.All)
	for _, encoding := range []runtime.KV{runtime.F32, runtime.F16, runtime.Int8} {
		m := open(t, path, runtime.WithKV(encoding), runtime.WithThreads(runtime.NewThreads(1)))
		if full := m.KVBytes(m.Shape().Context); full < 64*m.File().Size() {
			t.Fatalf("%v: a full context takes %d bytes", encoding, full)
		}
		s := session(t, m)
		if m.KVTaken() != 0 {
			t.Errorf("%v: an unused session takes %d bytes", encoding, m.KVTaken())
		}
		if _, err := s.Append(make([]int32, 100)); err != nil {
			t.Fatal(err)
		}
		if least, most := m.KVBytes(100), m.KVBytes(100+64); m.KVTaken() < least || m.KVTaken() > most {
			t.Errorf("%v: 100 positions take %d bytes, want %d to %d", encoding, m.KVTaken(), least, most)
		}
		s.Close()
		if m.KVTaken() != 0 {
			t.Errorf("%v: a closed session takes %d bytes", encoding, m.KVTaken())
		}
	}
}

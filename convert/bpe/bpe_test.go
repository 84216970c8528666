package bpe_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format/vocabulary"
)

const gpt2 = "../../testdata/golden/gpt2-vocab"

// published is GPT-2's own vocabulary, ids by token.
var published = sync.OnceValue(func() (ids map[string]int) {
	data, err := os.ReadFile(gpt2 + "/vocab.json")
	if err == nil {
		err = json.Unmarshal(data, &ids)
	}
	if err != nil {
		panic(err)
	}
	return ids
})

func encode(t testing.TB, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// model is a small model directory: the byte alphabet as GPT-2 publishes it, "Ġt", "he", "Ġthe"
// and <|endoftext|>.
type model struct {
	vocab  map[string]int
	merges string
	files  fstest.MapFS // others
}

func small() *model {
	m := &model{vocab: make(map[string]int), files: make(fstest.MapFS)}
	for token, id := range published() {
		if id < 256 {
			m.vocab[token] = id
		}
	}
	m.vocab["Ġt"], m.vocab["he"], m.vocab["Ġthe"], m.vocab["<|endoftext|>"] = 256, 257, 258, 259
	m.merges = "#version: 0.2\nĠ t\nh e\nĠt he\n"
	return m
}

func (m *model) add(name, text string) { m.files[name] = &fstest.MapFile{Data: []byte(text)} }

func (m *model) directory(t testing.TB) fs.FS {
	all := fstest.MapFS{"vocab.json": {Data: encode(t, m.vocab)}, "merges.txt": {Data: []byte(m.merges)}}
	maps.Copy(all, m.files)
	return all
}

// tokenizerFile is the same as the object that tokenizer.json holds.
func (m *model) tokenizerFile() map[string]any {
	return map[string]any{
		"version": "1.0",
		"added_tokens": []any{map[string]any{
			"id": 259, "content": "<|endoftext|>", "special": true, "normalized": false, "lstrip": false, "rstrip": false, "single_word": false,
		}},
		"normalizer":     nil,
		"pre_tokenizer":  map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"post_processor": map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false},
		"decoder":        map[string]any{"type": "ByteLevel"},
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "",
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
			"vocab": m.vocab, "merges": strings.Split(strings.TrimSuffix(m.merges[len("#version: 0.2\n"):], "\n"), "\n"),
		},
	}
}

func load(t *testing.T, directory fs.FS, o bpe.Options) (vocabulary.Definition, []string) {
	t.Helper()
	d, files, err := bpe.Load(directory, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vocabulary.Build(d); err != nil {
		t.Fatal(err)
	}
	return d, files
}

// declared returns the ids of the added tokens, and whether they are control tokens.
func declared(d vocabulary.Definition) (added []vocabulary.Added) {
	for _, a := range d.Added {
		added = append(added, vocabulary.Added{ID: a.ID, Control: a.Control})
	}
	return added
}

func TestLoad(t *testing.T) {
	d, files := load(t, small().directory(t), bpe.Options{Size: 260})
	if want := []string{" t", "he", " the", "<|endoftext|>"}; len(d.Tokens) != 260 || !slices.Equal(d.Tokens[256:], want) {
		t.Errorf("tokens %q", d.Tokens)
	}
	if want := []vocabulary.Merge{{Left: 220, Right: 83, Result: 256}, {Left: 71, Right: 68, Result: 257}, {Left: 256, Right: 257, Result: 258}}; !slices.Equal(d.Merges, want) {
		t.Errorf("merges %v", d.Merges)
	}
	if want := []vocabulary.Added{{ID: 259, Control: true}}; !slices.Equal(declared(d), want) {
		t.Errorf("added %v", d.Added)
	}
	if !slices.Equal(d.End, []int32{259}) {
		t.Errorf("ends of text %d", d.End)
	}
	if want := []string{"vocab.json", "merges.txt"}; !slices.Equal(files, want) {
		t.Errorf("files %v", files)
	}
}

// The bytes the whole of GPT-2's vocabulary stands for: each once, and all of UTF-8's letters.
func TestLoadPublished(t *testing.T) {
	d, _ := load(t, os.DirFS(gpt2), bpe.Options{Size: 50257})
	if len(d.Tokens) != 50257 || len(d.Merges) != 50000 || !slices.Equal(d.End, []int32{50256}) {
		t.Errorf("%d tokens, %d merges, ends of text %d", len(d.Tokens), len(d.Merges), d.End)
	}
	seen := make(map[string]bool)
	for id, token := range d.Tokens {
		if seen[token] || token == "" {
			t.Errorf("token %d %q is empty or not the first", id, token)
		}
		seen[token] = true
	}
}

// tokenizer.json says the same as vocab.json and merges.txt, in both forms of its merges.
func TestLoadTokenizerFile(t *testing.T) {
	vocab := published()
	merges, err := os.ReadFile(gpt2 + "/merges.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := load(t, os.DirFS(gpt2), bpe.Options{})
	m := &model{vocab: vocab, merges: string(merges)}
	file := m.tokenizerFile()
	file["added_tokens"].([]any)[0].(map[string]any)["id"] = 50256
	for _, form := range []string{"strings", "pairs"} {
		if form == "pairs" {
			var pairs [][]string
			for _, merge := range file["model"].(map[string]any)["merges"].([]string) {
				pairs = append(pairs, strings.Split(merge, " "))
			}
			file["model"].(map[string]any)["merges"] = pairs
		}
		got, files := load(t, fstest.MapFS{"tokenizer.json": {Data: encode(t, file)}}, bpe.Options{})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("merges as %s: another definition", form)
		}
		if !slices.Equal(files, []string{"tokenizer.json"}) {
			t.Errorf("files %v", files)
		}
	}
}

func id(value int) *int { return &value }

func TestAddedTokens(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		options bpe.Options
		added   []vocabulary.Added
		tokens  []string // from 259 on
		ends    []int32
	}{
		{
			name: "padded embedding", options: bpe.Options{Size: 262},
			added: []vocabulary.Added{{ID: 259, Control: true}}, tokens: []string{"<|endoftext|>", "", ""}, ends: []int32{259},
		}, {
			name:  "added_tokens.json",
			files: map[string]string{"added_tokens.json": `{"<pad>": 261, "日本": 260}`},
			added: []vocabulary.Added{{ID: 259, Control: true}, {ID: 260}, {ID: 261}}, tokens: []string{"<|endoftext|>", "日本", "<pad>"}, ends: []int32{259},
		}, {
			name: "special_tokens_map.json",
			files: map[string]string{
				"added_tokens.json":       `{"<pad>": 260, "<user>": 261, "    ": 262}`,
				"special_tokens_map.json": `{"eos_token": {"content": "<|endoftext|>", "lstrip": false}, "pad_token": "<pad>", "sep_token": null, "unk_token": "<unknown>", "additional_special_tokens": ["<user>"]}`,
			},
			added: []vocabulary.Added{{ID: 259, Control: true}, {ID: 260, Control: true}, {ID: 261, Control: true}, {ID: 262}}, tokens: []string{"<|endoftext|>", "<pad>", "<user>", "    "}, ends: []int32{259},
		}, {
			name: "tokenizer_config.json",
			files: map[string]string{
				"tokenizer_config.json":   `{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<end>", "added_tokens_decoder": {"259": {"content": "<|endoftext|>", "special": true}, "260": {"content": "<end>", "special": true}, "261": {"content": "\t\t", "special": false}}}`,
				"special_tokens_map.json": `{"eos_token": "<|endoftext|>"}`,
			},
			added: []vocabulary.Added{{ID: 259, Control: true}, {ID: 260, Control: true}, {ID: 261}}, tokens: []string{"<|endoftext|>", "<end>", "\t\t"}, ends: []int32{260},
		}, {
			name: "config.json ends with a plain token", options: bpe.Options{EOS: []int{198}, BOS: id(258)},
			added: []vocabulary.Added{{ID: 259, Control: true}}, tokens: []string{"<|endoftext|>"}, ends: []int32{198},
		}, {
			name:    "generation_config.json",
			files:   map[string]string{"generation_config.json": `{"eos_token_id": [257, 259]}`},
			options: bpe.Options{EOS: []int{259}},
			added:   []vocabulary.Added{{ID: 259, Control: true}}, tokens: []string{"<|endoftext|>"}, ends: []int32{257, 259},
		}, {
			name:    "generation_config.json without an end",
			files:   map[string]string{"generation_config.json": `{"eos_token_id": null}`},
			options: bpe.Options{EOS: []int{256}},
			added:   []vocabulary.Added{{ID: 259, Control: true}}, tokens: []string{"<|endoftext|>"}, ends: []int32{256},
		}, {
			name:  "a plain token is declared special",
			files: map[string]string{"special_tokens_map.json": `{"pad_token": "!"}`},
			added: []vocabulary.Added{{ID: 0, Control: true}, {ID: 259, Control: true}}, tokens: []string{"<|endoftext|>"}, ends: []int32{259},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := small()
			for name, text := range test.files {
				m.add(name, text)
			}
			d, _ := load(t, m.directory(t), test.options)
			if !slices.Equal(declared(d), test.added) {
				t.Errorf("added %v, want %v", d.Added, test.added)
			}
			if !slices.Equal(d.Tokens[259:], test.tokens) {
				t.Errorf("tokens %q, want %q", d.Tokens[259:], test.tokens)
			}
			if !slices.Equal(d.End, test.ends) {
				t.Errorf("ends of text %d, want %d", d.End, test.ends)
			}
			exports(t, d, test.options)
		})
	}
}

// A vocabulary that knows no <|endoftext|> gets its control token from config.json.
func TestEOSByConfig(t *testing.T) {
	m := small()
	delete(m.vocab, "<|endoftext|>")
	m.vocab["</s>"] = 259
	d, _ := load(t, m.directory(t), bpe.Options{})
	if len(d.End) != 0 || len(d.Added) != 0 {
		t.Errorf("ends of text %d, added %v", d.End, d.Added)
	}
	d, _ = load(t, m.directory(t), bpe.Options{EOS: []int{259}})
	if want := []vocabulary.Added{{ID: 259, Control: true}}; !slices.Equal(d.End, []int32{259}) || !slices.Equal(declared(d), want) {
		t.Errorf("ends of text %d, added %v", d.End, d.Added)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(m *model)
		options    bpe.Options
	}{
		{name: "hole", want: "vocab.json: token ids have a hole at 257", change: func(m *model) { m.vocab["he"] = 260 }},
		{name: "huge id", want: "vocab.json: token ids have a hole at 257", change: func(m *model) { m.vocab["he"] = 2147483646 }},
		{name: "id too large", want: `vocab.json: token "he": id "2147483647" is not a number from 0`, change: func(m *model) { m.vocab["he"] = 2147483647 }},
		{name: "negative id", want: `vocab.json: token "he": id "-1" is not`, change: func(m *model) { m.vocab["he"] = -1 }},
		{name: "duplicate id", want: `vocab.json: id 256 is both "he" and "Ġt"`, change: func(m *model) { m.vocab["he"] = 256 }},
		{name: "duplicate token", want: `vocab.json: "a" occurs twice`, change: func(m *model) { m.add("vocab.json", `{"a":0,"a":1}`) }},
		{name: "empty token", want: "vocab.json: token 260 is empty", change: func(m *model) { m.vocab[""] = 260 }},
		{name: "fraction", want: `vocab.json: token "a": id "1.5" is not`, change: func(m *model) { m.add("vocab.json", `{"a":1.5}`) }},
		{name: "text for an id", want: `vocab.json: token "a": id "" is not`, change: func(m *model) { m.add("vocab.json", `{"a":"1"}`) }},
		{name: "nested", want: `vocab.json: token "a": id "" is not`, change: func(m *model) { m.add("vocab.json", `{"a":{"b":1}}`) }},
		{name: "list", want: "vocab.json: not an object of ids by token", change: func(m *model) { m.add("vocab.json", `["a"]`) }},
		{name: "cut short", want: "vocab.json: unexpected end of JSON input", change: func(m *model) { m.add("vocab.json", `{"a":0`) }},
		{name: "trailing", want: "vocab.json: invalid character '{' after top-level value", change: func(m *model) { m.add("vocab.json", `{"a":0} {}`) }},
		{name: "outside the alphabet", want: `vocab.json: token 257: "h e": ' ' is not in the byte alphabet`, change: func(m *model) {
			delete(m.vocab, "he")
			m.vocab["h e"] = 257
		}},
		{name: "missing byte", want: `vocab.json: no token for byte 0x61`, change: func(m *model) {
			m.vocab["aa"] = m.vocab["a"]
			delete(m.vocab, "a")
		}},
		{name: "more tokens than logits", want: "vocab.json: 260 tokens, but config.json has vocab_size 259", options: bpe.Options{Size: 259}},
		{name: "far fewer tokens than logits", want: "vocab.json: only 260 tokens, but config.json has vocab_size 1000000", options: bpe.Options{Size: 1000000}},
		{name: "eos out of range", want: "config.json: eos_token_id 260 is not below the vocabulary's 260", options: bpe.Options{EOS: []int{260}}},
		{name: "bos out of range", want: "config.json: bos_token_id -1 is not below", options: bpe.Options{BOS: id(-1)}},
		{name: "generation eos out of range", want: "generation_config.json: eos_token_id 260 is not below", change: func(m *model) { m.add("generation_config.json", `{"eos_token_id":260}`) }},
		{name: "generation eos of text", want: "generation_config.json: eos_token_id: json:", change: func(m *model) { m.add("generation_config.json", `{"eos_token_id":"x"}`) }},

		{name: "unknown left", want: `merges.txt: line 5: token "thx" is not in the vocabulary`, change: func(m *model) { m.merges += "thx e\n" }},
		{name: "unknown right", want: `merges.txt: line 5: token "日" is not in the vocabulary`, change: func(m *model) { m.merges += "e 日\n" }},
		{name: "unknown result", want: `merges.txt: line 5: token "eh" is not in the vocabulary`, change: func(m *model) { m.merges += "e h\n" }},
		{name: "one word", want: `merges.txt: line 5: "e" is not two tokens`, change: func(m *model) { m.merges += "e\n" }},
		{name: "three words", want: `merges.txt: line 5: "h e h" is not two tokens`, change: func(m *model) { m.merges += "h e h\n" }},
		{name: "two spaces", want: `merges.txt: line 5: "h  e" is not two tokens`, change: func(m *model) { m.merges += "h  e\n" }},
		{name: "blank line", want: `merges.txt: line 2: "" is not two tokens`, change: func(m *model) { m.merges = "h e\n\nĠ t\n" }},
		{name: "repeated merge", want: `merges.txt: line 5: "h" "e" repeats 3`, change: func(m *model) { m.merges += "h e\n" }},

		{name: "no vocabulary", want: "neither tokenizer.json nor vocab.json", change: func(m *model) { m.files["vocab.json"] = nil }},
		{name: "no merges", want: "neither merges.txt nor tokenizer.json", change: func(m *model) { m.files["merges.txt"] = nil }},
		{name: "directory", want: "vocab.json: not a regular file", change: func(m *model) { m.files["vocab.json"] = &fstest.MapFile{Mode: fs.ModeDir} }},

		{name: "added elsewhere", want: `added_tokens.json: added token "he" has id 300, elsewhere 257`, change: func(m *model) { m.add("added_tokens.json", `{"he":300}`) }},
		{name: "added over another", want: `added_tokens.json: added token 257 is "x1", but vocab.json has "he" there`, change: func(m *model) { m.add("added_tokens.json", `{"x1":257}`) }},
		{name: "added after a hole", want: "vocab.json: token ids have a hole at 260", change: func(m *model) { m.add("added_tokens.json", `{"x1":261}`) }},
		{name: "added twice", want: `id 260 is both "x1" and "x2"`, change: func(m *model) { m.add("added_tokens.json", `{"x1":260,"x2":260}`) }},
		{name: "added empty", want: `added_tokens.json: token 260 is empty`, change: func(m *model) { m.add("added_tokens.json", `{"":260}`) }},
		{name: "added long", want: "is 256 bytes long, want 1 to 255", change: func(m *model) { m.add("added_tokens.json", `{"`+strings.Repeat("x", 256)+`":260}`) }},
		{name: "stripping", want: `tokenizer_config.json: added token "<m>": lstrip is not supported`, change: func(m *model) {
			m.add("tokenizer_config.json", `{"added_tokens_decoder":{"260":{"content":"<m>","lstrip":true}}}`)
		}},
		{name: "decoder id", want: `tokenizer_config.json: added_tokens_decoder: id "x" is not a number`, change: func(m *model) {
			m.add("tokenizer_config.json", `{"added_tokens_decoder":{"x":{"content":"<m>"}}}`)
		}},
		{name: "class", want: `tokenizer_config.json: tokenizer_class "T5Tokenizer" is not supported`, change: func(m *model) { m.add("tokenizer_config.json", `{"tokenizer_class":"T5Tokenizer"}`) }},
		{name: "prefix space", want: "tokenizer_config.json: add_prefix_space is not supported", change: func(m *model) { m.add("tokenizer_config.json", `{"add_prefix_space":true}`) }},
		{name: "bos in front", want: "tokenizer_config.json: add_bos_token is not supported", change: func(m *model) { m.add("tokenizer_config.json", `{"add_bos_token":true}`) }},
		{name: "added content twice", want: `tokenizer_config.json: "content" occurs twice`, change: func(m *model) {
			m.add("tokenizer_config.json", `{"added_tokens_decoder":{"260":{"content":"<m>","content":"<n>"}}}`)
		}},
		{name: "end of text twice", want: `generation_config.json: "eos_token_id" occurs twice`, change: func(m *model) {
			m.add("generation_config.json", `{"eos_token_id":1,"eos\u005ftoken_id":2}`)
		}},
		{name: "not JSON", want: "special_tokens_map.json: invalid character", change: func(m *model) { m.add("special_tokens_map.json", `x`) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := small()
			if test.change != nil {
				test.change(m)
			}
			refused(t, m.directory(t), test.options, test.want)
		})
	}
}

// TestNamesMatchExactly adds to every file a setting that encoding/json would take for another one: the letters are
// capital, or U+017F, of which s is the lower case. HuggingFace's libraries know no such setting; tokenizer.json must have
// none that is not known.
func TestNamesMatchExactly(t *testing.T) {
	want, _ := load(t, small().directory(t), bpe.Options{})
	for file, text := range map[string]string{
		"generation_config.json":  `{"eo\u017f_token_id":7}`,
		"special_tokens_map.json": `{"eoſ_token":"a","Pad_Token":"b","additional_special_tokenſ":["c"]}`,
		"tokenizer_config.json":   `{"EOS_token":"a","Tokenizer_class":"T5Tokenizer","add_boſ_token":true,"added_tokenſ_decoder":{"300":{"content":"x"}}}`,
	} {
		m := small()
		m.add(file, text)
		if got, _ := load(t, m.directory(t), bpe.Options{}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", file, got, want)
		}
	}

	described := small()
	described.add("tokenizer_config.json", `{"added_tokens_decoder":{"260":{"content":"<m>","Content":"<n>","ſpecial":true,"Lstrip":true}}}`)
	got, _ := load(t, described.directory(t), bpe.Options{})
	if added := (vocabulary.Added{ID: 260, Content: "<m>", Pattern: "<m>"}); got.Tokens[260] != "<m>" || !slices.Contains(got.Added, added) {
		t.Errorf("%q, added %v", got.Tokens[260], got.Added)
	}

	for name, change := range map[string]func(file map[string]any){
		"added_tokenſ":   func(file map[string]any) { file["added_tokenſ"] = []any{} },
		"poſt_processor": func(file map[string]any) { file["poſt_processor"] = nil },
		"uſe_regex":      func(file map[string]any) { file["pre_tokenizer"].(map[string]any)["uſe_regex"] = false },
		"mergeſ":         func(file map[string]any) { file["model"].(map[string]any)["mergeſ"] = []string{"h e"} },
	} {
		file := small().tokenizerFile()
		change(file)
		refused(t, fstest.MapFS{"tokenizer.json": {Data: encode(t, file)}}, bpe.Options{}, fmt.Sprintf("field %q is not supported", name))
	}
}

func refused(t *testing.T, directory fs.FS, o bpe.Options, want string) {
	t.Helper()
	if present, ok := directory.(fstest.MapFS); ok {
		maps.DeleteFunc(present, func(_ string, file *fstest.MapFile) bool { return file == nil })
	}
	if _, _, err := bpe.Load(directory, o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestTokenizerFileRefuses(t *testing.T) {
	set := func(keys string, value any) func(file map[string]any) {
		return func(file map[string]any) {
			path := strings.Split(keys, ".")
			for _, key := range path[:len(path)-1] {
				file = file[key].(map[string]any)
			}
			file[path[len(path)-1]] = value
		}
	}
	type object = map[string]any
	nested := func(depth int) (value object) {
		for value = (object{"type": "NFC"}); depth > 0; depth-- {
			value = object{"type": "Sequence", "normalizers": []any{value}}
		}
		return value
	}
	for _, test := range []struct {
		want   string
		change func(file map[string]any)
	}{
		{`tokenizer.json: model: type "Unigram" is not supported`, set("model.type", "Unigram")},
		{"model: dropout is not supported", set("model.dropout", 0.1)},
		{"model: continuing_subword_prefix is not supported", set("model.continuing_subword_prefix", "##")},
		{"model: end_of_word_suffix is not supported", set("model.end_of_word_suffix", "</w>")},
		{`model: field "cache_capacity" is not supported`, set("model.cache_capacity", 1)},
		{`normalizer: type "NFKC" is not supported (supported: NFC, Prepend, Replace)`, set("normalizer", object{"type": "NFKC"})},
		{`normalizer: type "Lowercase" is not supported`, set("normalizer", object{"type": "Sequence", "normalizers": []any{object{"type": "NFC"}, object{"type": "Lowercase"}}})},
		{`normalizer: Replace: pattern "a+" is not supported`, set("normalizer", object{"type": "Replace", "pattern": object{"Regex": "a+"}, "content": ""})},
		{"normalizer: step Prepend has settings that make no sense", set("normalizer", object{"type": "Prepend"})},
		{"normalizer: sequences are nested deeper", set("normalizer", nested(20))},
		{"ByteLevel of characters", set("pre_tokenizer", nil)},
		{`pre_tokenizer: type "Whitespace" is not supported`, set("pre_tokenizer", object{"type": "Whitespace"})},
		{`pre_tokenizer: Split: pattern "\\w+" is not supported`, set("pre_tokenizer", object{"type": "Split", "pattern": object{"Regex": "\\w+"}, "behavior": "Isolated"})},
		{`pre_tokenizer: Split: behavior "Contiguous" is not supported`, set("pre_tokenizer", object{"type": "Split", "pattern": object{"String": "a"}, "behavior": "Contiguous"})},
		{`pre_tokenizer: ByteLevel: field "add_prefix" is not supported`, set("pre_tokenizer.add_prefix", true)},
		{"pre_tokenizer: Metaspace: add_prefix_space contradicts", set("pre_tokenizer", object{"type": "Metaspace", "replacement": "_", "add_prefix_space": false})},
		{"a tokenizer without decoder is not supported", set("decoder", nil)},
		{"tokenizer.json: there is no model", set("model", nil)},
		{"tokenizer.json: model: json: cannot unmarshal array", set("model", []int{1})},
		{"tokenizer.json: model: merges: json: cannot unmarshal", set("model.merges", []int{1})},
		{"tokenizer.json: decoder: Strip: start: json: cannot unmarshal number 1.5", set("decoder", object{"type": "Strip", "content": " ", "start": 1.5})},
		{"tokenizer.json: normalizer: more than 16 components", set("normalizer", object{"type": "Sequence", "normalizers": slices.Repeat([]any{object{"type": "NFC"}}, 17)})},
		{"tokenizer.json: normalizer and pre_tokenizer make a text more than 64 times as long", set("normalizer", object{
			"type": "Sequence", "normalizers": slices.Repeat([]any{object{"type": "Replace", "pattern": object{"String": "e"}, "content": "eeeeeeee"}}, 3),
		})},
		{"tokenizer.json: post_processor: TemplateProcessing: 1025 tokens before or after a text, at most 1024 are allowed", set("post_processor", object{
			"type": "TemplateProcessing", "single": []any{object{"Sequence": object{"id": "A"}}, object{"SpecialToken": object{"id": "<s>"}}},
			"special_tokens": object{"<s>": object{"ids": make([]int, 1025)}},
		})},
		{`decoder: type "WordPiece" is not supported`, set("decoder", object{"type": "WordPiece"})},
		{`post_processor: type "BertProcessing" is not supported`, set("post_processor", object{"type": "BertProcessing"})},
		{"post_processor: TemplateProcessing: single has 0 texts, want 1", set("post_processor", object{"type": "TemplateProcessing"})},
		{`post_processor: TemplateProcessing: special_tokens has no "<s>"`, set("post_processor", object{"type": "TemplateProcessing", "single": []any{object{"SpecialToken": object{"id": "<s>"}}}})},
		{"tokenizer.json: token 999 of 260", set("post_processor", object{
			"type": "TemplateProcessing", "single": []any{object{"Sequence": object{"id": "A"}}, object{"SpecialToken": object{"id": "<s>"}}},
			"special_tokens": object{"<s>": object{"ids": []int{999}}},
		})},
		{`field "extra" is not supported`, set("extra", 1)},
		{"vocab: not an object of ids by token", set("model.vocab", []string{"a"})},
		{"vocab: not an object of ids by token", set("model.vocab", nil)},
		{"is not two tokens", set("model.merges", []string{"a b c"})},
		{"is not two tokens", set("model.merges", [][]string{{"a"}})},
		{`tokenizer.json: merge 1: token "xyz" is not in the vocabulary`, set("model.merges", []string{"h e", "xyz e"})},
		{`tokenizer.json: added token "<x>": id "" is not a number`, set("added_tokens", []any{object{"content": "<x>"}})},
		{`tokenizer.json: added token "he" has id 300, in the vocabulary 257`, set("added_tokens", []any{object{"id": 300, "content": "he"}})},
		{`tokenizer.json: added token 257 is "<x>", but the vocabulary has "he" there`, set("added_tokens", []any{object{"id": 257, "content": "<x>"}})},
		{`tokenizer.json: added token "<y>" of id 260 is there twice`, set("added_tokens", []any{object{"id": 260, "content": "<x>"}, object{"id": 260, "content": "<y>"}})},
		{"tokenizer.json: 261 tokens, but ids up to 1000000000", set("added_tokens", []any{object{"id": 1000000000, "content": "<x>"}})},
	} {
		file := small().tokenizerFile()
		test.change(file)
		refused(t, fstest.MapFS{"tokenizer.json": {Data: encode(t, file)}}, bpe.Options{}, test.want)
	}
}

func TestTooLargeIsNotRead(t *testing.T) {
	name := t.TempDir()
	if err := os.WriteFile(name+"/merges.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+"/vocab.json", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name+"/vocab.json", 1<<40); err != nil {
		t.Skip(err) // no sparse files here
	}
	refused(t, os.DirFS(name), bpe.Options{}, "vocab.json: larger than 64 MiB")
	m := small()
	m.add("special_tokens_map.json", strings.Repeat(" ", 2<<20+1))
	refused(t, m.directory(t), bpe.Options{}, "special_tokens_map.json: larger than 2 MiB")
}

func TestTooManyAreRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("reads large files")
	}
	const tooMany = 1<<20 + 1
	m := small()
	m.merges = strings.Repeat("a b\n", tooMany)
	refused(t, m.directory(t), bpe.Options{}, "merges.txt: more than 1048576 merges")

	var vocab strings.Builder
	for i := range tooMany {
		fmt.Fprintf(&vocab, `,"%d":%d`, i, i)
	}
	m = small()
	m.add("vocab.json", "{"+vocab.String()[1:]+"}")
	refused(t, m.directory(t), bpe.Options{}, "vocab.json: more than 1048576 entries")

	whole := fmt.Sprintf(`{"model":{"merges":[%s"a b"]}}`, strings.Repeat(`"a b",`, tooMany-1))
	refused(t, fstest.MapFS{"tokenizer.json": {Data: []byte(whole)}}, bpe.Options{}, "tokenizer.json: more than 1048576 entries")
}

// FuzzLoad: any files are refused, by the loader or as a definition, or give a tokenizer of the size
// asked for.
func FuzzLoad(f *testing.F) {
	m := small()
	vocab, whole := string(encode(f, m.vocab)), string(encode(f, m.tokenizerFile()))
	config := `{"tokenizer_class":"GPT2Tokenizer","added_tokens_decoder":{"260":{"content":"<pad>","special":true}},"eos_token":{"content":"<pad>"}}`
	f.Add(vocab, m.merges, whole, config, `{"x":261}`, `{"pad_token":"<pad>"}`, `{"eos_token_id":[259]}`, 300)
	f.Add("", "", whole, "", "", "", "", 0)
	folders, err := filepath.Glob("../../testdata/tokenizers/small/*")
	if err != nil || len(folders) == 0 {
		f.Fatal(folders, err)
	}
	for _, folder := range folders {
		var texts []string
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				f.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		f.Add("", "", texts[0], texts[1], "", "", "", 0)
	}
	f.Fuzz(func(t *testing.T, vocab, merges, whole, config, added, special, generation string, size int) {
		directory := make(fstest.MapFS)
		for name, text := range map[string]string{
			"vocab.json": vocab, "merges.txt": merges, "tokenizer.json": whole, "tokenizer_config.json": config,
			"added_tokens.json": added, "special_tokens_map.json": special, "generation_config.json": generation,
		} {
			if text != "" {
				directory[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		d, _, err := bpe.Load(directory, bpe.Options{Size: size})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Fatalf("not one line: %q", err)
			}
			return
		}
		if size != 0 && len(d.Tokens) != size {
			t.Fatalf("%d tokens, want %d", len(d.Tokens), size)
		}
		if section, err := vocabulary.Build(d); err == nil {
			if _, err := vocabulary.Open(section); err != nil {
				t.Fatal(err)
			}
		}
	})
}

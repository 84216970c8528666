package convert

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// repeated joins half a megabyte of entries, each made with its own number.
func repeated(entry string) string {
	var text strings.Builder
	for i := 0; text.Len() < 1<<19; i++ {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, entry, i)
	}
	return text.String()
}

// tokenizerFile is tokenizer.json with some fields besides those that every one must have, and no vocab.json.
func tokenizerFile(fields string) map[string]string {
	return map[string]string{
		"vocab.json":     absent,
		"tokenizer.json": `{"decoder":{"type":"Fuse"},` + fields + `}`,
	}
}

// TestHostileSourcesAllocateLittle converts directories that are made to take memory. Whether they are refused
// or not, what is allocated, garbage included, is in proportion to what there is to read, and so is the message.
// JSON of many small values is the worst: a token of four bytes goes through five tables. What bounds it
// absolutely are the limits of convert/bpe and of the headers.
func TestHostileSourcesAllocateLittle(t *testing.T) {
	const most = 100 * allocationFactor // bytes for a byte
	model := newTestModel(t, tiny)
	vocab := strings.TrimSuffix(strings.TrimSpace(model.files["vocab.json"]), "}")
	long := strings.Repeat("a", 1<<19)
	brackets := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for name, files := range map[string]map[string]string{
		"configuration of many names": {configurationFile: `{"model_type":"gpt2",` + repeated(`"%x":1`) + `}`},
		"configuration nested":        {configurationFile: `{"model_type":"gpt2","pruned_heads":` + brackets + `}`},
		"configuration too deep":      {configurationFile: strings.Repeat(`{"a":`, 1<<17)},
		"configuration's long number": {configurationFile: `{"model_type":"gpt2","n_layer":1` + strings.Repeat("0", 1<<19) + `}`},
		"configuration's long name":   {configurationFile: `{"model_type":"` + long + `"}`},
		"many architectures":          {configurationFile: `{"architectures":[` + repeated(`"%x"`) + `]}`},
		"many ends of text":           {generationFile: `{"eos_token_id":[` + repeated(`%d`) + `]}`},
		"many tensors":                {weightsFile: string(safetensorsFile(`{`+manyTensors(10_000)+`}`, 0))},
		"much metadata":               {weightsFile: string(safetensorsFile(`{"__metadata__":{`+repeated(`"%x":""`)+`}}`, 0))},
		"header nested":               {weightsFile: string(safetensorsFile(`{"a":`+strings.Repeat("[", 1<<19), 0))},
		"many shards":                 {weightsFile: absent, indexFile: `{"weight_map":{` + repeated(`"%x":"%[1]x.safetensors"`) + `}}`},
		"a shard's long name":         {weightsFile: absent, indexFile: `{"weight_map":{"a":"` + long + `"}}`},
		"many tokens":                 {"vocab.json": `{` + repeated(`"%x":%[1]d`) + `}`},
		"tokens of one id":            {"vocab.json": `{` + repeated(`"%x":7`) + `}`},
		"a long token":                {"vocab.json": vocab + `,"` + long + `":-1}`},
		"many merges":                 {"merges.txt": strings.Repeat("a b\n", 1<<17)},
		"a long merge":                {"merges.txt": long},
		"many added tokens":           {"added_tokens.json": `{` + repeated(`"<%x>":%[1]d`) + `}`},
		"an added token of many":      {"tokenizer_config.json": `{"added_tokens_decoder":{` + repeated(`"%d":"<%[1]x>"`) + `}}`},
		"many special tokens":         {"special_tokens_map.json": `{"additional_special_tokens":[` + repeated(`"%x"`) + `]}`},
		"settings nested":             {"tokenizer_config.json": `{"chat_template":` + brackets + `}`},
		"many in tokenizer.json": {"vocab.json": absent, "tokenizer.json": `{"added_tokens":[` + repeated(`{"id":%d,"content":"x"}`) +
			`],"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":0},"merges":[` + strings.TrimSuffix(strings.Repeat(`"a b",`, 1<<16), ",") + `]}}`},
		"a tokenizer of many tokens":      tokenizerFile(`"model":{"vocab":{` + repeated(`"%x":%[1]d`) + `},"merges":[]}`),
		"a tokenizer of one id":           tokenizerFile(`"model":{"vocab":{` + repeated(`"%x":7`) + `},"merges":[]}`),
		"a tokenizer of far ids":          tokenizerFile(`"model":{"vocab":{"a":0,"b":2147483646},"merges":[]}`),
		"a tokenizer's long token":        tokenizerFile(`"model":{"vocab":{"` + long + `":0},"merges":["a b"]}`),
		"a tokenizer's long merge":        tokenizerFile(`"model":{"vocab":{"a":0},"merges":[["` + long + `","a"]]}`),
		"a tokenizer's broken merge":      tokenizerFile(`"model":{"vocab":{"a":0},"merges":["` + long + `"]}`),
		"a tokenizer's merges nested":     tokenizerFile(`"model":{"vocab":{"a":0},"merges":` + brackets + `}`),
		"a tokenizer's long field":        tokenizerFile(`"` + long + `":1`),
		"a tokenizer's many fields":       tokenizerFile(repeated(`"%x":1`)),
		"a tokenizer's long type":         tokenizerFile(`"normalizer":{"type":"` + long + `"}`),
		"a tokenizer's long pattern":      tokenizerFile(`"pre_tokenizer":{"type":"Split","behavior":"Isolated","pattern":{"Regex":"` + long + `"}}`),
		"a tokenizer's many steps":        tokenizerFile(`"normalizer":{"type":"Sequence","normalizers":[` + strings.TrimSuffix(strings.Repeat(`{"type":"NFC"},`, 1<<15), ",") + `]}`),
		"a tokenizer's steps nested":      tokenizerFile(`"normalizer":` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 40) + strings.Repeat(`]}`, 40)),
		"a tokenizer's steps too deep":    tokenizerFile(`"normalizer":` + strings.Repeat(`{"normalizers":[`, 1<<15)),
		"a tokenizer's processors nested": tokenizerFile(`"post_processor":` + strings.Repeat(`{"type":"Sequence","processors":[`, 40) + strings.Repeat(`]}`, 40)),
		"a tokenizer's many added tokens": tokenizerFile(`"added_tokens":[` + repeated(`{"id":%d,"content":"<%[1]x>"}`) + `],"model":{"vocab":{"a":0},"merges":[]}`),
		"a tokenizer's far added token":   tokenizerFile(`"added_tokens":[{"id":1000000000,"content":"<x>"}],"model":{"vocab":{"a":0},"merges":[]}`),
		"a tokenizer's long added token":  tokenizerFile(`"added_tokens":[{"id":1,"content":"` + long + `"}],"model":{"vocab":{"a":0},"merges":[]}`),
		"a tokenizer's many ids around": tokenizerFile(`"post_processor":{"type":"TemplateProcessing","single":[` + strings.Repeat(`{"SpecialToken":{"id":"x"}},`, 1<<13) +
			`{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[` + repeated(`%d`) + `]}}},"model":{"vocab":{"a":0},"merges":[]}`),
		"a tokenizer that is cut off": {"vocab.json": absent, "tokenizer.json": `{"model":{"vocab":{` + repeated(`"%x":%[1]d`)},
	} {
		t.Run(name, func(t *testing.T) {
			m := *model
			m.files = maps.Clone(model.files)
			size := 0
			for file, content := range files {
				m.files[file] = content
				size += len(content)
			}
			directory, target := m.write(t), filepath.Join(t.TempDir(), "new.tti")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := Convert(t.Context(), directory, target, Options{Workers: 1, NoSync: true})
			runtime.ReadMemStats(&after)
			if err != nil {
				checkMessage(t, err, "")
			}
			// The model itself, without any of this, takes a little over a megabyte.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(most*size)+4<<20 {
				t.Errorf("%d bytes allocated for %d of input: %v", allocated, size, err)
			}
		})
	}
}

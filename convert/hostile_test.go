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

package serve

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/spec/engine"
)

// alone is what the runtime says to a prompt without any server: the text and why it ended.
func alone(t *testing.T, m *runtime.Model, ids []int32, sampling runtime.Sampling, limits ...runtime.GenerateOption) (text, finish string, tokens int) {
	t.Helper()
	var outcome runtime.Outcome
	for token, err := range m.Generate(context.Background(), ids, sampling, append(limits, runtime.Report(&outcome))...) {
		if err != nil {
			t.Fatal(err)
		}
		text += token.Text
	}
	return text, string(outcome.Finish), outcome.Tokens
}

func openAlone(t *testing.T, name string) *runtime.Model {
	t.Helper()
	m, err := runtime.Open(modelPath(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func encodePrompt(t *testing.T, m *runtime.Model, text string) []int32 {
	t.Helper()
	ids, err := m.Tokenizer().EncodePrompt(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// settingsCases are fields of requests and what they mean to the runtime.
var settingsCases = []struct {
	fields   string
	sampling runtime.Sampling
	limits   []runtime.GenerateOption
}{
	{`"temperature":0`, runtime.Sampling{}, nil},
	{`"seed":7`, runtime.Sampling{Temperature: 1, Seed: 7}, nil},
	{`"seed":-1`, runtime.Sampling{Temperature: 1, Seed: math.MaxUint64}, nil},
	{`"seed":18446744073709551615,"temperature":0.5`, runtime.Sampling{Temperature: 0.5, Seed: math.MaxUint64}, nil},
	{`"seed":8,"temperature":1.5,"top_k":20,"min_p":0.05`, runtime.Sampling{Temperature: 1.5, TopK: 20, MinP: 0.05, Seed: 8}, nil},
	{`"seed":8,"top_k":-1,"top_p":0.8`, runtime.Sampling{Temperature: 1, TopP: 0.8, Seed: 8}, nil},
	{`"seed":8,"top_p":0`, runtime.Sampling{}, nil},
	{`"seed":9,"repetition_penalty":1.2`, runtime.Sampling{Temperature: 1, RepetitionPenalty: 1.2, Seed: 9}, nil},
	{`"seed":9,"frequency_penalty":0.5,"presence_penalty":-0.25`, runtime.Sampling{Temperature: 1, FrequencyPenalty: 0.5, PresencePenalty: -0.25, Seed: 9}, nil},
	{`"temperature":0,"logit_bias":{"12":100}`, runtime.Sampling{LogitBias: map[int32]float32{12: 100}}, nil},
	{`"temperature":0,"stop":" the"`, runtime.Sampling{}, []runtime.GenerateOption{runtime.Stop(" the")}},
	{`"temperature":0,"stop":[" the","ing"]`, runtime.Sampling{}, []runtime.GenerateOption{runtime.Stop(" the", "ing")}},
	{`"seed":3,"ignore_eos":true`, runtime.Sampling{Temperature: 1, Seed: 3}, []runtime.GenerateOption{runtime.IgnoreEOS()}},
	{`"seed":3,"min_tokens":30`, runtime.Sampling{Temperature: 1, Seed: 3}, []runtime.GenerateOption{runtime.MinTokens(30)}},
	{`"seed":3,"user":"me","store":false,"tools":null,"response_format":{"type": "text"}`, runtime.Sampling{Temperature: 1, Seed: 3}, nil},
}

// TestSettings compares completions with what the runtime generates for the same settings.
func TestSettings(t *testing.T) {
	c := serve(t, Options{})
	m := openAlone(t, "draft")
	for _, k := range settingsCases {
		answer := c.ask(200, "POST", completionPath, `{"model":"draft","prompt":"Once upon a time","max_tokens":40,`+k.fields+`}`)
		text, finish, tokens := alone(t, m, encodePrompt(t, m, "Once upon a time"), k.sampling, append(k.limits, runtime.MaxTokens(40))...)
		if field(answer, "choices", 0, "text") != text || field(answer, "choices", 0, "finish_reason") != finish || field(answer, "usage", "completion_tokens") != float64(tokens) {
			t.Errorf("%s: %v, alone %q by %s", k.fields, answer, text, finish)
		}
		if field(answer, "object") != "text_completion" || !strings.HasPrefix(orEmpty(field(answer, "id")), "cmpl-") || field(answer, "model") != "draft" ||
			!strings.HasPrefix(orEmpty(field(answer, "system_fingerprint")), "tti_") || field(answer, "seed") == nil {
			t.Errorf("%v", answer)
		}
	}
}

// TestFinishReasons ends texts in each way: the interface knows of a full context only as a length.
func TestFinishReasons(t *testing.T) {
	c := serve(t, Options{Context: 32})
	for fields, want := range map[string]string{`"max_tokens":3`: "length", `"max_tokens":100`: "length", `"max_tokens":20,"stop":" "`: "stop"} {
		body := `{"model":"llama","prompt":"Once upon a","seed":1,"ignore_eos":true,` + fields
		if got := field(c.ask(200, "POST", completionPath, body+`}`), "choices", 0, "finish_reason"); got != want {
			t.Errorf("%s: %v, want %s", fields, got, want)
		}
		chunks, _ := c.events(completionPath, body+`,"stream":true}`)
		if got := field(chunks[len(chunks)-1], "choices", 0, "finish_reason"); got != want {
			t.Errorf("%s, streamed: %v, want %s", fields, got, want)
		}
	}
}

// TestDefaults compares requests that ask for nothing in particular.
func TestDefaults(t *testing.T) {
	c := serve(t, Options{})
	answer := c.ask(200, "POST", completionPath, `{"model":"draft","prompt":"The king"}`)
	seed, _ := field(answer, "seed").(float64)
	m := openAlone(t, "draft")
	if text, _, _ := alone(t, m, encodePrompt(t, m, "The king"), runtime.Sampling{Temperature: 1, Seed: uint64(seed)}, runtime.MaxTokens(16)); field(answer, "choices", 0, "text") != text {
		t.Errorf("%v, by its seed %q", answer, text)
	}
	again := c.ask(200, "POST", completionPath, `{"model":"draft","prompt":"The king"}`)
	if field(again, "seed") == seed {
		t.Errorf("the seed is %v twice", seed)
	}
}

// TestChat compares a conversation with what the runtime generates.
func TestChat(t *testing.T) {
	c := serve(t, Options{})
	m := openAlone(t, "llama")
	template, err := chat.FromTokenizer(m.Tokenizer())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := template.Encode(m.Tokenizer(), []chat.Message{chat.Text("system", "Be brief."), chat.Text("user", "Tell me\nof kings")}, chat.Options{AddGenerationPrompt: true})
	if err != nil {
		t.Fatal(err)
	}
	answer := c.ask(200, "POST", chatPath, `{"model":"llama","seed":5,"max_completion_tokens":30,"messages":[
		{"role":"developer","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Tell me"},{"type":"text","text":"of kings"}]}]}`)
	text, finish, tokens := alone(t, m, ids, runtime.Sampling{Temperature: 1, Seed: 5}, runtime.MaxTokens(30))
	for path, want := range map[string]any{"role": "assistant", "content": text, "refusal": nil} {
		if got := field(answer, "choices", 0, "message", path); got != want {
			t.Errorf("%s %v, want %v", path, got, want)
		}
	}
	if field(answer, "choices", 0, "finish_reason") != finish || field(answer, "usage", "prompt_tokens") != float64(len(ids)) ||
		field(answer, "usage", "total_tokens") != float64(len(ids)+tokens) || field(answer, "object") != "chat.completion" {
		t.Errorf("%v", answer)
	}
}

// TestPrompts asks for several choices of several prompts, given in all ways.
func TestPrompts(t *testing.T) {
	c := serve(t, Options{})
	m := openAlone(t, "draft")
	king, queen := encodePrompt(t, m, "The king"), encodePrompt(t, m, "A queen of old")
	for _, prompts := range []any{[]string{"The king", "A queen of old"}, [][]int32{king, queen}} {
		answer := c.ask(200, "POST", completionPath, fmt.Sprintf(`{"model":"draft","prompt":%s,"n":2,"seed":4,"max_tokens":12,"echo":true}`, encodeJSON(prompts)))
		for i, ids := range [][]int32{king, king, queen, queen} {
			text, _, _ := alone(t, m, ids, runtime.Sampling{Temperature: 1, Seed: engine.ChoiceSeed(4, i%2)}, runtime.MaxTokens(12))
			prompt, err := m.Tokenizer().Decode(ids)
			if err != nil {
				t.Fatal(err)
			}
			if field(answer, "choices", i, "text") != prompt+text || field(answer, "choices", i, "index") != float64(i) {
				t.Errorf("choice %d: %v, want %q", i, field(answer, "choices", i), prompt+text)
			}
		}
		if field(answer, "usage", "prompt_tokens") != float64(len(king)+len(queen)) || field(answer, "choices", 4) != nil {
			t.Errorf("%v", answer)
		}
	}
	one := c.ask(200, "POST", completionPath, fmt.Sprintf(`{"model":"draft","prompt":%s,"temperature":0}`, encodeJSON(king)))
	if text, _, _ := alone(t, m, king, runtime.Sampling{}, runtime.MaxTokens(16)); field(one, "choices", 0, "text") != text {
		t.Errorf("%v, want %q", one, text)
	}
}

// streamBodies are requests whose answers come in pieces.
var streamBodies = []struct{ path, body string }{
	{chatPath, `"model":"llama","messages":[{"role":"user","content":"Hi"}],"seed":1,"max_tokens":50`},
	{chatPath, `"model":"llama","messages":[{"role":"user","content":"Hi"}],"seed":1,"n":3,"max_tokens":20`},
	{chatPath, `"model":"llama","messages":[{"role":"user","content":"Hi"}],"seed":1,"max_tokens":0`},
	{chatPath, `"model":"llama","messages":[{"role":"user","content":"Hi"}],"seed":2,"logprobs":true,"top_logprobs":2,"max_tokens":20`},
	{completionPath, `"model":"draft","prompt":["The","A"],"seed":1,"echo":true,"stop":["e "],"max_tokens":60`},
	{completionPath, `"model":"draft","prompt":["The old","A"],"seed":1,"echo":true,"logprobs":3,"max_tokens":10`},
}

// TestStream puts the pieces of streams together: they are the answer in one piece.
func TestStream(t *testing.T) {
	c := serve(t, Options{})
	for _, q := range streamBodies {
		seeded := "{" + q.body
		whole := c.ask(200, "POST", q.path, seeded+`}`)
		chunks, done := c.events(q.path, seeded+`,"stream":true,"stream_options":{"include_usage":true}}`)
		if !done || len(chunks) == 0 {
			t.Fatalf("%s: %d chunks, done %v", q.body, len(chunks), done)
		}
		checkChunks(t, q.path, whole, chunks)
		without, done := c.events(q.path, seeded+`,"stream":true}`)
		if _, found := without[0]["usage"]; !done || found || len(without) != len(chunks)-1 {
			t.Errorf("%s: %d chunks without usage, %d with", q.body, len(without), len(chunks))
		}
	}
}

// checkChunks compares a stream with the same answer in one piece.
func checkChunks(t *testing.T, path string, whole map[string]any, chunks []map[string]any) {
	t.Helper()
	object := map[string]string{chatPath: "chat.completion.chunk", completionPath: "text_completion"}[path]
	last := chunks[len(chunks)-1]
	cached, _ := field(last, "usage", "prompt_tokens_details", "cached_tokens").(float64)
	if prompt, _ := field(last, "usage", "prompt_tokens").(float64); cached >= prompt { // the last one's logits are needed
		t.Errorf("%v tokens of %v are cached", cached, prompt)
	}
	delete(last["usage"].(map[string]any), "prompt_tokens_details") // it was the first, and the other the second to ask
	delete(whole["usage"].(map[string]any), "prompt_tokens_details")
	if fmt.Sprint(last["usage"]) != fmt.Sprint(whole["usage"]) || len(last["choices"].([]any)) != 0 {
		t.Errorf("last chunk %v, usage %v", last, whole["usage"])
	}
	choices := whole["choices"].([]any)
	texts, begun, ended := make([]string, len(choices)), make([]bool, len(choices)), make([]bool, len(choices))
	tokens := make([][]any, len(choices))
	for _, chunk := range chunks[:len(chunks)-1] {
		if chunk["id"] != chunks[0]["id"] || chunk["object"] != object || chunk["created"] == nil || chunk["usage"] != nil || chunk["seed"] != whole["seed"] ||
			chunk["system_fingerprint"] != whole["system_fingerprint"] {
			t.Errorf("chunk %v", chunk)
		}
		i := int(field(chunk, "choices", 0, "index").(float64))
		if ended[i] {
			t.Errorf("choice %d goes on after its end", i)
		}
		text := orEmpty(field(chunk, "choices", 0, "text"))
		if path == chatPath {
			text = orEmpty(field(chunk, "choices", 0, "delta", "content"))
			if (field(chunk, "choices", 0, "delta", "role") == "assistant") == begun[i] {
				t.Errorf("role in %v", chunk)
			}
			begun[i] = true
		}
		texts[i] += text
		for _, list := range []string{"content", "tokens"} {
			if more, ok := field(chunk, "choices", 0, "logprobs", list).([]any); ok {
				tokens[i] = append(tokens[i], more...)
			}
		}
		if reason := field(chunk, "choices", 0, "finish_reason"); reason != nil {
			ended[i] = true
			if text != "" || reason != field(choices[i], "finish_reason") || path == chatPath && len(field(chunk, "choices", 0, "delta").(map[string]any)) != 0 {
				t.Errorf("the end %v of %v", chunk, choices[i])
			}
		}
	}
	for i, choice := range choices {
		text := orEmpty(field(choice, "text")) + orEmpty(field(choice, "message", "content"))
		list, _ := field(choice, "logprobs", "tokens").([]any)
		if content, ok := field(choice, "logprobs", "content").([]any); ok {
			list = content
		}
		if texts[i] != text || !ended[i] || fmt.Sprint(tokens[i]) != fmt.Sprint(list) {
			t.Errorf("choice %d: %q %v in pieces, %q %v whole", i, texts[i], tokens[i], text, list)
		}
	}
}

// TestLogprobs checks probabilities against float64 softmax of the model's logits.
func TestLogprobs(t *testing.T) {
	c := serve(t, Options{})
	m := openAlone(t, "draft")
	ids := encodePrompt(t, m, "The old king said é")
	answer := c.ask(200, "POST", completionPath, fmt.Sprintf(`{"model":"draft","prompt":%s,"max_tokens":0,"echo":true,"logprobs":2,"n":1}`, encodeJSON(ids)))
	logits, err := m.NewSession().AppendAll(ids)
	if err != nil {
		t.Fatal(err)
	}
	scores := field(answer, "choices", 0, "logprobs")
	const text = "The old king said é"
	if field(answer, "choices", 0, "text") != text || field(scores, "token_logprobs", 0) != nil || field(answer, "usage", "completion_tokens") != 0.0 {
		t.Errorf("%v", answer)
	}
	for i := range ids {
		piece, err := m.Tokenizer().Decode(ids[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		before, err := m.Tokenizer().Decode(ids[:i])
		if err != nil {
			t.Fatal(err)
		}
		// Of the one character here that is spread over tokens only the first byte can stand alone, and counts as one.
		if got, want := field(scores, "text_offset", i), utf8.RuneCountInString(before); got != float64(want) {
			t.Errorf("token %d begins at %v, want %d", i, got, want)
		}
		if i == 0 {
			continue
		}
		want := softmax(logits[i-1], ids[i])
		got, _ := field(scores, "token_logprobs", i).(float64)
		if math.Abs(got-want) > 1e-4 || field(scores, "tokens", i) != named(piece) || field(scores, "top_logprobs", i).(map[string]any)[named(piece)] != got {
			t.Errorf("token %d %q: %v, want %v, in %v", i, piece, got, want, field(scores, "top_logprobs", i))
		}
		if n := len(field(scores, "top_logprobs", i).(map[string]any)); n < 2 || n > 3 {
			t.Errorf("token %d: %d alternatives", i, n)
		}
	}
	chatted := c.ask(200, "POST", chatPath, `{"model":"llama","messages":[{"role":"user","content":"Hi"}],"temperature":0,"logprobs":true,"top_logprobs":1,"max_tokens":5}`)
	content, _ := field(chatted, "choices", 0, "logprobs", "content").([]any)
	for _, token := range content {
		if field(token, "token") != field(token, "top_logprobs", 0, "token") || field(token, "logprob") != field(token, "top_logprobs", 0, "logprob") || field(token, "bytes") == nil {
			t.Errorf("greedy token %v", token)
		}
	}
	together := ""
	for _, token := range content {
		together += orEmpty(field(token, "token"))
	}
	if text := field(chatted, "choices", 0, "message", "content"); together != text {
		t.Errorf("the tokens are together %q, the text is %q", together, text)
	}
	if len(content) != 5 {
		t.Errorf("%d tokens", len(content))
	}
	c.refuses(400, "logprobs", "invalid_value", completionPath, `{"model":"draft","prompt":"x","logprobs":21}`)
	c.refuses(400, "top_logprobs", "invalid_value", chatPath, `{"model":"llama","messages":[{"role":"user","content":"Hi"}],"top_logprobs":1}`)
	c.refuses(400, "logit_bias", "invalid_value", completionPath, `{"model":"draft","prompt":"x","logit_bias":{"2048":1}}`)
	c.refuses(400, "logit_bias", "invalid_value", completionPath, `{"model":"draft","prompt":"x","logit_bias":{"a":1}}`)
}

// softmax returns the logarithm of a token's probability.
func softmax(logits []float32, id int32) float64 {
	sum := 0.0
	for _, logit := range logits {
		sum += math.Exp(float64(logit - logits[id]))
	}
	return -math.Log(sum)
}

// TestCachedTokens asks twice: the second time the prompt is there already, and the answer the same.
func TestCachedTokens(t *testing.T) {
	c := serve(t, Options{})
	prompt := strings.Repeat("The old king said to the fox. ", 12)
	body := fmt.Sprintf(`{"model":"draft","prompt":%q,"seed":1}`, prompt)
	first, second := c.ask(200, "POST", completionPath, body), c.ask(200, "POST", completionPath, body)
	if cached := field(first, "usage", "prompt_tokens_details", "cached_tokens"); cached != 0.0 {
		t.Errorf("%v tokens are cached at first", cached)
	}
	if cached, _ := field(second, "usage", "prompt_tokens_details", "cached_tokens").(float64); cached < 50 || cached >= field(second, "usage", "prompt_tokens").(float64) {
		t.Errorf("%v tokens are cached", cached)
	}
	if fmt.Sprint(first["choices"]) != fmt.Sprint(second["choices"]) {
		t.Errorf("%v, then %v", first["choices"], second["choices"])
	}
}

// TestDrafts gives models what guesses for them: the texts stay the same.
func TestDrafts(t *testing.T) {
	plain := serve(t, Options{})
	drafted := serve(t, Options{Drafts: map[string][]string{"": {NGram}, "draft": {modelPath("draft"), NGram}}})
	for _, name := range []string{"draft", "llama"} {
		for _, temperature := range []string{"0", "0.7"} {
			body := fmt.Sprintf(`{"model":%q,"prompt":"The king and the king and the king and the","seed":2,"temperature":%s,"max_tokens":100,"ignore_eos":true}`, name, temperature)
			without, with := plain.ask(200, "POST", completionPath, body), drafted.ask(200, "POST", completionPath, body)
			if fmt.Sprint(without["choices"]) != fmt.Sprint(with["choices"]) || without["system_fingerprint"] != with["system_fingerprint"] {
				t.Errorf("%s: %v, with guesses %v", body, without, with)
			}
		}
	}
	drafted.server.models.each(func(name string, m *model) {
		if (m.draft != nil) != (name == "draft") {
			t.Errorf("%s has the draft %v", name, m.draft)
		}
	})
	bad := serve(t, Options{Drafts: map[string][]string{"llama": {filepath.Join(folder, "none.tti")}}})
	bad.refuses(503, "model", "model_unavailable", completionPath, `{"model":"llama","prompt":"x"}`)
	bad.ask(200, "POST", completionPath, `{"model":"draft","prompt":"x"}`)
}

// TestStreamOrigins asks who came up with each token: there is one origin for each, as many are a draft's as guesses were right,
// and without being asked no answer tells.
func TestStreamOrigins(t *testing.T) {
	c := serve(t, Options{Drafts: map[string][]string{"": {NGram}}})
	told := map[string]int{}
	for i, q := range []struct{ path, body string }{
		{completionPath, `{"model":"draft","prompt":"The king and the king and the king and the","temperature":0,"n":2,"max_tokens":150,"ignore_eos":true`},
		{completionPath, `{"model":"draft","prompt":"día, día, día,","echo":true,"logprobs":0,"max_tokens":40`},
		{chatPath, `{"model":"llama","messages":[{"role":"user","content":"Tell me a story"}],"max_tokens":60`},
	} {
		if chunks, _ := c.events(q.path, q.body+`,"stream":true}`); strings.Contains(fmt.Sprint(chunks), "origins") {
			t.Errorf("request %d: origins that nobody asked for", i)
		}
		before := accepted(c.server)
		chunks, done := c.events(q.path, q.body+`,"stream":true,"stream_options":{"include_usage":true,"include_origins":true}}`)
		if !done {
			t.Fatalf("request %d: %v", i, chunks)
		}
		of := map[string]int{}
		for _, chunk := range chunks[:len(chunks)-1] {
			origins, _ := field(chunk, "choices", 0, "origins").([]any)
			for _, origin := range origins {
				of[fmt.Sprint(origin)]++
			}
		}
		guessed, all := of["n-gram"], of["n-gram"]+of["target"]
		if usage := field(chunks[len(chunks)-1], "usage", "completion_tokens"); fmt.Sprint(all) != fmt.Sprint(usage) || guessed != accepted(c.server)-before || len(of) > 2 {
			t.Errorf("request %d: %v of %v tokens, and %d guesses were right", i, of, usage, accepted(c.server)-before)
		}
		told["n-gram"] += guessed
	}
	t.Logf("%v", told)
}

// accepted is how many guesses were right so far.
func accepted(s *Server) (count int) {
	s.models.each(func(_ string, m *model) { count += m.engine.Statistics().Accepted })
	return count
}

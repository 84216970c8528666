package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
)

// folder holds the models of testdata, converted: llama.tti, which knows conversations, and draft.tti, a GPT-2 that does not.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "tti-serve"); err != nil {
		panic(err)
	}
	for name, source := range map[string]string{"llama": "fable-llama", "draft": "fable-draft"} {
		if err := convert.Convert(context.Background(), filepath.Join("../../../testdata", source), modelPath(name), convert.Options{Mode: convert.Int8, NoSync: true}); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func modelPath(name string) string { return filepath.Join(folder, name+".tti") }

// client talks to a server over a real connection.
type client struct {
	testing.TB
	server *Server
	url    string
	key    string // if not empty
}

// serve serves the sources, or else the folder of models, until the test ends.
func serve(t testing.TB, o Options, sources ...Source) client {
	t.Helper()
	if len(sources) == 0 {
		sources = []Source{{Path: folder}}
	}
	s, err := New(sources, o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return client{TB: t, server: s, url: h.URL}
}

// send sends a request; a body is sent as JSON.
func (c client) send(method, path, body string) *http.Response {
	c.Helper()
	q, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		q.Header.Set("Authorization", "Bearer "+c.key)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		c.Fatal(err)
	}
	return r
}

// ask sends a request that must be answered with the status, and returns the answer.
func (c client) ask(status int, method, path, body string) map[string]any {
	c.Helper()
	r := c.send(method, path, body)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		c.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	if r.StatusCode != status || r.Header.Get("Content-Type") != "application/json" {
		c.Fatalf("%s %s %.300s: status %d, want %d: %s", method, path, body, r.StatusCode, status, text)
	}
	return answer
}

// refuses sends a request that must be answered with an error, and checks its form.
func (c client) refuses(status int, param, code, path, body string) {
	c.Helper()
	inner, _ := c.ask(status, "POST", path, body)["error"].(map[string]any)
	if inner["message"] == "" || inner["type"] == "" || orEmpty(inner["param"]) != param || orEmpty(inner["code"]) != code {
		c.Errorf("%s %.200s: error %v, want param %q, code %q", path, body, inner, param, code)
	}
}

func orEmpty(value any) string {
	text, _ := value.(string)
	return text
}

// field returns what a path of names and numbers leads to in an answer.
func field(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

// TestUnreadableModel lists a file that is no model: what is not known of it is not told.
func TestUnreadableModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.tti")
	if err := os.WriteFile(path, []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{}, Source{Path: path})
	if card, found := field(c.ask(200, "GET", "/v1/models", ""), "data", 0).(map[string]any); !found || card["id"] != "broken" || card["chat_template"] != nil {
		t.Errorf("told of a broken file: %v", card)
	}
}

// events reads a stream to its end, comments left out.
func (c client) events(path, body string) (chunks []map[string]any, done bool) {
	c.Helper()
	r := c.send("POST", path, body)
	defer r.Body.Close()
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(r.Body)
		c.Fatalf("%s %s: status %d, %s", path, body, r.StatusCode, text)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, isData := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case lines.Text() == "" || strings.HasPrefix(lines.Text(), ":"):
			continue
		case !isData || done:
			c.Fatalf("line %q", lines.Text())
		case text == "[DONE]":
			done = true
			continue
		}
		var chunk map[string]any
		if err := json.Unmarshal([]byte(text), &chunk); err != nil {
			c.Fatal(err)
		}
		chunks = append(chunks, chunk)
	}
	return chunks, done
}

const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
)

func TestModels(t *testing.T) {
	c := serve(t, Options{})
	answer := c.ask(200, "GET", "/v1/models", "")
	if field(answer, "object") != "list" || field(answer, "data", 0, "id") != "draft" || field(answer, "data", 1, "id") != "llama" || field(answer, "data", 2) != nil {
		t.Errorf("models %v", answer)
	}
	if one := c.ask(200, "GET", "/v1/models/llama", ""); field(one, "id") != "llama" || field(one, "object") != "model" {
		t.Errorf("model %v", one)
	}
	c.ask(404, "GET", "/v1/models/none", "")
	for name, chats := range map[string]any{"llama": true, "draft": false} {
		if one := c.ask(200, "GET", "/v1/models/"+name, ""); field(one, "chat_template") != chats {
			t.Errorf("%s: %v", name, one)
		}
	}
	if answer := c.ask(200, "GET", "/health", ""); field(answer, "status") != "ok" {
		t.Errorf("health %v", answer)
	}
}

// TestNewFile puts a file into the folder of a running server.
func TestNewFile(t *testing.T) {
	models := t.TempDir()
	var lines lockedBuffer
	s, err := New([]Source{{Path: models}}, Options{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := httptest.NewServer(s)
	defer h.Close()
	c := client{TB: t, server: s, url: h.URL}
	c.refuses(404, "model", "model_not_found", "/tokenize", `{"model":"new","prompt":"x"}`)
	if err := os.Link(modelPath("llama"), filepath.Join(models, "new.tti")); err != nil {
		t.Fatal(err)
	}
	c.ask(200, "POST", "/tokenize", `{"model":"new","prompt":"x"}`)
	c.ask(200, "POST", "/tokenize", `{"prompt":"x"}`) // the only one
	if err := os.WriteFile(filepath.Join(models, "bad.tti"), []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.refuses(503, "model", "model_unavailable", "/tokenize", `{"model":"bad","prompt":"x"}`)
	until(t, "the log tells why", func() bool { return strings.Contains(lines.String(), "bad.tti") })
	failure := c.ask(503, "POST", "/tokenize", `{"model":"bad","prompt":"x"}`)
	if text := orEmpty(field(failure, "error", "message")); strings.Contains(text, models) {
		t.Errorf("the client is told of files: %s", text)
	}
}

// TestOpenWhileClosing closes models while one is being opened: it is closed too, and none is opened any more.
func TestOpenWhileClosing(t *testing.T) {
	s, err := New([]Source{{Path: folder}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var opened *model
	opening, closed := make(chan bool), make(chan bool)
	s.models.open = func(name, path string) (*model, error) {
		close(opening)
		<-closed
		var err error
		opened, err = s.openModel(name, path)
		return opened, err
	}
	ended := make(chan error)
	go func() {
		_, _, _, err := s.models.acquire("llama")
		ended <- err
	}()
	<-opening
	s.models.close()
	close(closed)
	if err := <-ended; err != errDraining {
		t.Errorf("a model is opened in a closed server: %v", err)
	}
	if _, err := opened.NewSession().Append([]int32{1}); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("the model stays open: %v", err)
	}
	if _, _, _, err := s.models.acquire("draft"); err != errDraining {
		t.Errorf("a closed server opens a model: %v", err)
	}
}

// TestRoom gives models room for one: each use of another closes the one before.
func TestRoom(t *testing.T) {
	info, err := os.Stat(modelPath("llama"))
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{Memory: info.Size() + 1})
	for _, name := range []string{"llama", "draft", "llama"} {
		c.ask(200, "POST", "/tokenize", fmt.Sprintf(`{"model":%q,"prompt":"x"}`, name))
		var open []string
		c.server.models.each(func(name string, _ *model) { open = append(open, name) })
		if !slices.Equal(open, []string{name}) {
			t.Errorf("after a use of %s there are open %v", name, open)
		}
	}
	_, _, release, err := c.server.models.acquire("llama")
	if err != nil {
		t.Fatal(err)
	}
	c.refuses(503, "model", "out_of_memory", "/tokenize", `{"model":"draft","prompt":"x"}`)
	release()
	c.ask(200, "POST", "/tokenize", `{"model":"draft","prompt":"x"}`)
}

func TestTokens(t *testing.T) {
	c := serve(t, Options{})
	m, err := runtime.Open(modelPath("llama"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, text := range []string{"Once upon a time", "é<|im_end|>", ""} {
		answer := c.ask(200, "POST", "/tokenize", string(encodeJSON(map[string]any{"model": "llama", "prompt": text, "return_token_strs": true})))
		want, err := m.Tokenizer().EncodePrompt(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(field(answer, "tokens")); got != fmt.Sprint(want) || field(answer, "count") != float64(len(want)) || field(answer, "max_model_len") != 512.0 {
			t.Errorf("%q: %v, want %v", text, answer, want)
		}
		back := c.ask(200, "POST", "/detokenize", string(encodeJSON(map[string]any{"model": "llama", "tokens": want})))
		if field(back, "prompt") != text {
			t.Errorf("%q comes back as %v", text, back)
		}
	}
	answer := c.ask(200, "POST", "/tokenize", `{"model":"llama","messages":[{"role":"user","content":"Hi"}]}`)
	template, err := chat.FromTokenizer(m.Tokenizer())
	if err != nil {
		t.Fatal(err)
	}
	want, err := template.Encode(m.Tokenizer(), []chat.Message{chat.Text("user", "Hi")}, chat.Options{AddGenerationPrompt: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(field(answer, "tokens")); got != fmt.Sprint(want) {
		t.Errorf("conversation %v, want %v", got, want)
	}
	c.refuses(400, "tokens", "invalid_value", "/detokenize", `{"model":"llama","tokens":[2050]}`)
	c.refuses(400, "prompt", "invalid_value", "/tokenize", `{"model":"llama"}`)
}

// TestRefusals asks for what is wrong, and for what is not there.
func TestRefusals(t *testing.T) {
	c := serve(t, Options{MaxBody: 100_000})
	const hello = `"model":"llama","messages":[{"role":"user","content":"Hi"}]`
	for body, want := range map[string][3]any{
		`{` + hello + `,"tools":[{"type":"function"}]}`:                   {400, "tools", "unsupported_parameter"},
		`{` + hello + `,"tool_choice":"required"}`:                        {400, "tool_choice", "unsupported_parameter"},
		`{` + hello + `,"response_format":{"type":"json_schema"}}`:        {400, "response_format", "unsupported_parameter"},
		`{` + hello + `,"audio":{"voice":"x"}}`:                           {400, "audio", "unsupported_parameter"},
		`{` + hello + `,"modalities":["text","audio"]}`:                   {400, "modalities", "unsupported_parameter"},
		`{` + hello + `,"reasoning_effort":"high"}`:                       {400, "reasoning_effort", "unsupported_parameter"},
		`{` + hello + `,"temprature":1}`:                                  {400, "temprature", "unknown_parameter"},
		`{` + hello + `,"temperature":3}`:                                 {400, "temperature", "invalid_value"},
		`{` + hello + `,"temperature":"hot"}`:                             {400, "temperature", "invalid_type"},
		`{` + hello + `,"top_p":1.5}`:                                     {400, "top_p", "invalid_value"},
		`{` + hello + `,"top_k":-2}`:                                      {400, "top_k", "invalid_value"},
		`{` + hello + `,"n":0}`:                                           {400, "n", "invalid_value"},
		`{` + hello + `,"seed":1.5}`:                                      {400, "seed", "invalid_value"},
		`{` + hello + `,"seed":18446744073709551616}`:                     {400, "seed", "invalid_value"},
		`{` + hello + `,"stop":[""]}`:                                     {400, "stop", "invalid_value"},
		`{` + hello + `,"stop":5}`:                                        {400, "stop", "invalid_value"},
		`{` + hello + `,"max_tokens":-1}`:                                 {400, "max_tokens", "invalid_value"},
		`{` + hello + `,"max_tokens":5,"max_completion_tokens":6}`:        {400, "max_completion_tokens", "invalid_value"},
		`{` + hello + `,"stream_options":{"include_usage":true}}`:         {400, "stream_options", "invalid_value"},
		`{` + hello + `,"n":2,"n":3}`:                                     {400, "", "invalid_json"},
		`{` + hello:                                                       {400, "", "invalid_json"},
		`[]`:                                                              {400, "", "invalid_json"},
		`null`:                                                            {400, "", "invalid_json"},
		`{"model":"llama"}`:                                               {400, "messages", "invalid_value"},
		`{"messages":[{"role":"user","content":"Hi"}]}`:                   {400, "model", "invalid_value"},
		`{"model":"gpt-5","messages":[{"role":"user","content":"Hi"}]}`:   {404, "model", "model_not_found"},
		`{"model":"draft","messages":[{"role":"user","content":"Hi"}]}`:   {400, "messages", "invalid_value"},
		`{"model":"llama","messages":null}`:                               {400, "messages", "invalid_value"},
		`{"model":"llama","messages":"Hi"}`:                               {400, "messages", "invalid_type"},
		`{"model":"llama","messages":[{}]}`:                               {400, "messages[0].role", "invalid_value"},
		`{"model":"llama","messages":[{"role":1,"content":"Hi"}]}`:        {400, "messages[0]", "invalid_value"},
		`{"model":"llama","messages":[{"role":"user","content":1}]}`:      {400, "messages[0].content", "invalid_value"},
		`{"model":"llama","messages":[{"role":"user","content":"Hi"},1]}`: {400, "messages[1]", "invalid_value"},
		`{"model":"llama","messages":["Hi"]}`:                             {400, "messages[0]", "invalid_value"},
		`{"model":"llama","messages":[{"role":"tool","content":"Hi"}]}`:   {400, "messages[0].role", "invalid_value"},
		`{"model":"llama","messages":[{"role":"user","kontent":"Hi"}]}`:   {400, "messages[0].kontent", "unknown_parameter"},
		`{"model":"llama","messages":[{"role":"user","content":null}]}`:   {400, "messages[0].content", "invalid_value"},
		`{"model":"llama","messages":[{"role":"user","content":["Hi"]}]}`: {400, "messages[0].content[0]", "invalid_value"},
		`{"model":"llama","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`:                   {400, "messages[0].content[0].image_url", "unsupported_parameter"},
		`{"model":"llama","messages":[{"role":"user","content":[{"type":"text","text":"x","txt":"y"}]}]}`:                           {400, "messages[0].content[0].txt", "unknown_parameter"},
		`{"model":"llama","messages":[{"role":"user","content":[{"type":"video"}]}]}`:                                               {400, `messages[0].content[0].type "video"`, "unsupported_parameter"},
		`{"model":"llama","messages":[{"role":"tool","tool_call_id":"1","content":"x"}]}`:                                           {400, "messages[0].tool_call_id", "unsupported_parameter"},
		`{"model":"llama","messages":[{"role":"assistant","refusal":"x"},{"role":"user","content":"x"}]}`:                           {400, "messages[0].refusal", "unsupported_parameter"},
		`{` + hello + `,"stream":true,"stream_options":{"usage":true}}`:                                                             {400, "stream_options.usage", "unknown_parameter"},
		`{"model":"llama","messages":[{"role":"user","content":"` + strings.Repeat("hi ", 600) + `"}]}`:                             {400, "messages", "context_length_exceeded"},
		`{"model":"llama","messages":[{"role":"assistant","content":"x","tool_calls":[{"id":"1"}]},{"role":"user","content":"x"}]}`: {400, "messages[0].tool_calls", "unsupported_parameter"},
		`{"model":"llama","messages":[{"role":"user","content":"` + strings.Repeat("x", 100_000) + `"}]}`:                           {413, "", "request_too_large"},
	} {
		c.refuses(want[0].(int), want[1].(string), want[2].(string), chatPath, body)
	}
	for body, want := range map[string][3]any{
		`{"model":"llama"}`:                                    {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":[]}`:                        {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":{"a":1}}`:                   {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":["a",1]}`:                   {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":[2050]}`:                    {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":[-1]}`:                      {400, "prompt", "invalid_value"},
		`{"model":"llama","prompt":"x","suffix":"y"}`:          {400, "suffix", "unsupported_parameter"},
		`{"model":"llama","prompt":"x","best_of":3}`:           {400, "best_of", "unsupported_parameter"},
		`{"model":"llama","prompt":"x","messages":[]}`:         {400, "messages", "unknown_parameter"},
		`{"model":"llama","prompt":"x","max_tokens":1,"n":99}`: {400, "n", "invalid_value"},
	} {
		c.refuses(want[0].(int), want[1].(string), want[2].(string), completionPath, body)
	}
	for _, path := range []string{"/page", "/v1", "/v1/embeddings"} {
		c.refuses(404, "", "not_found", path, `{}`)
	}
	c.refuses(405, "", "method_not_allowed", "/v1/models", `{}`)
	if r := c.send("GET", chatPath, ""); r.StatusCode != 405 || r.Header.Get("Allow") != "POST" {
		t.Errorf("GET of a POST: %v", r)
	}
	q, _ := http.NewRequest("POST", c.url+chatPath, bytes.NewReader([]byte(`{`+hello+`}`)))
	q.Header.Set("Content-Type", "text/plain") // what a page of another site may send
	r, err := http.DefaultClient.Do(q)
	if err != nil || r.StatusCode != 415 {
		t.Errorf("plain text: %v, %v", r, err)
	}
}

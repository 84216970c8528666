package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func goClient(c client) openai.Client {
	return openai.NewClient(option.WithBaseURL(c.url+"/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
}

var conversation = openai.ChatCompletionNewParams{
	Model:               "llama",
	Messages:            []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Tell stories."), openai.UserMessage("Hello")},
	Seed:                openai.Int(5),
	MaxCompletionTokens: openai.Int(40),
	Logprobs:            openai.Bool(true),
	TopLogprobs:         openai.Int(2),
}

// TestGoClient uses OpenAI's own client for Go.
func TestGoClient(t *testing.T) {
	c := serve(t, Options{})
	ai, ctx := goClient(c), context.Background()
	whole, err := ai.Chat.Completions.New(ctx, conversation)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Choices[0].Message.Content == "" || whole.Choices[0].Message.Role != "assistant" || whole.Usage.CompletionTokens == 0 || len(whole.Choices[0].Logprobs.Content) != int(whole.Usage.CompletionTokens) {
		t.Errorf("%s", whole.RawJSON())
	}
	streamed := conversation
	streamed.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := ai.Chat.Completions.NewStreaming(ctx, streamed)
	var gathered openai.ChatCompletionAccumulator
	for stream.Next() {
		if !gathered.AddChunk(stream.Current()) {
			t.Fatalf("%s does not belong to the others", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	got, want := gathered.Choices[0], whole.Choices[0]
	if got.Message.Content != want.Message.Content || got.FinishReason != want.FinishReason || gathered.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("streamed %q by %s, whole %q by %s", got.Message.Content, got.FinishReason, want.Message.Content, want.FinishReason)
	}
	text, err := ai.Completions.New(ctx, openai.CompletionNewParams{
		Model: "draft", Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"The", "A"}}, MaxTokens: openai.Int(5), Echo: openai.Bool(true), Logprobs: openai.Int(1),
	})
	if err != nil || len(text.Choices) != 2 || !strings.HasPrefix(text.Choices[0].Text, "The") || len(text.Choices[0].Logprobs.Tokens) == 0 {
		t.Errorf("%v, %v", text, err)
	}
	models := ai.Models.ListAutoPaging(ctx)
	var names []string
	for models.Next() {
		names = append(names, models.Current().ID)
	}
	if fmt.Sprint(names) != "[draft llama]" || models.Err() != nil {
		t.Errorf("models %v, %v", names, models.Err())
	}
	if one, err := ai.Models.Get(ctx, "llama"); err != nil || one.ID != "llama" {
		t.Errorf("%v, %v", one, err)
	}
}

// TestGoClientErrors makes mistakes with OpenAI's client, and goes away.
func TestGoClientErrors(t *testing.T) {
	c := serve(t, Options{})
	ai, ctx := goClient(c), context.Background()
	for name, k := range map[string]struct {
		change func(*openai.ChatCompletionNewParams)
		status int
		param  string
		code   string
	}{
		"model": {func(p *openai.ChatCompletionNewParams) { p.Model = "gpt-5" }, 404, "model", "model_not_found"},
		"tools": {func(p *openai.ChatCompletionNewParams) {
			p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"})}
		}, 400, "tools", "unsupported_parameter"},
		"temperature": {func(p *openai.ChatCompletionNewParams) { p.Temperature = openai.Float(3) }, 400, "temperature", "invalid_value"},
		"long": {func(p *openai.ChatCompletionNewParams) {
			p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("long ", 600))}
		}, 400, "messages", "context_length_exceeded"},
	} {
		p := conversation
		k.change(&p)
		_, err := ai.Chat.Completions.New(ctx, p)
		failure := new(openai.Error)
		if !errors.As(err, &failure) || failure.StatusCode != k.status || failure.Param != k.param || failure.Code != k.code {
			t.Errorf("%s: %v", name, err)
		}
		stream := ai.Chat.Completions.NewStreaming(ctx, p)
		if stream.Next() || !errors.As(stream.Err(), &failure) || failure.StatusCode != k.status {
			t.Errorf("%s, streamed: %v", name, stream.Err())
		}
	}
	leaving, cancel := context.WithCancel(ctx)
	p := conversation
	p.MaxCompletionTokens = openai.Int(400)
	stream := ai.Chat.Completions.NewStreaming(leaving, p)
	stream.Next()
	cancel()
	for stream.Next() {
	}
	stream.Close()
	waitIdle(t, c.server)
}

// TestGoClientFields looks for fields of OpenAI's client that the server does not know: each is taken, or refused by name.
func TestGoClientFields(t *testing.T) {
	for _, k := range []struct{ theirs, ours reflect.Type }{
		{reflect.TypeFor[openai.ChatCompletionNewParams](), reflect.TypeFor[chatRequest]()},
		{reflect.TypeFor[openai.CompletionNewParams](), reflect.TypeFor[completionRequest]()},
	} {
		for _, name := range fieldsOf(k.theirs) {
			err := checkNames("", map[string]json.RawMessage{name: json.RawMessage(`"something"`)}, fieldsOf(k.ours))
			if err != nil && asError(err).Code != "unsupported_parameter" {
				t.Errorf("%s: %v", k.theirs, err)
			}
		}
	}
}

// TestGoClientSuite runs those tests of OpenAI's client for Go that ask a server for what this one has, as the client's module
// holds them. Three of them ask for what it has not as well: they fail, and their requests pass once the fields listed here, each
// named by a refusal, are left out.
func TestGoClientSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the client's tests")
	}
	suite := filepath.Join(t.TempDir(), "suite.test")
	if output, err := exec.Command("go", "test", "-c", "-o", suite, "github.com/openai/openai-go/v3").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var sources []Source
	for _, name := range []string{"gpt-4o", "gpt-6-astra", "gpt-3.5-turbo-instruct"} { // what they ask for
		sources = append(sources, Source{Name: name, Path: modelPath("llama")})
	}
	c := serve(t, Options{}, sources...)
	var asked lastRequest
	front := httptest.NewServer(asked.keep(c.server))
	defer front.Close()
	for name, refused := range map[string][]string{
		"TestModelList": nil, "TestModelGet": nil, "TestUsage": nil, "TestAccumulateTokenDetails": nil,
		"TestChatCompletionNewWithOptionalParams": {"audio", "functions", "moderation", "tools", "verbosity", "web_search_options", "stream_options", "logit_bias"},
		"TestCompletionNewWithOptionalParams":     {"best_of", "suffix", "stream_options", "logit_bias"},
		"TestStreamingAccumulatorWithToolCalls":   {"tools"},
	} {
		run := exec.Command(suite, "-test.run", "^"+name+"$", "-test.v")
		run.Env = append(os.Environ(), "TEST_API_BASE_URL="+front.URL+"/v1")
		output, err := run.CombinedOutput()
		if (err == nil) != (refused == nil) || !strings.Contains(string(output), ": "+name+" (") {
			t.Errorf("%s: %v: %s", name, err, output)
		}
		if refused == nil {
			continue
		}
		if left := c.leaveOut(asked.path, asked.body); !slices.Equal(left, refused) {
			t.Errorf("%s: refused are %q, want %q", name, left, refused)
		}
	}
}

// lastRequest is what a server was last asked for.
type lastRequest struct{ path, body string }

func (l *lastRequest) keep(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*l = lastRequest{r.URL.Path, string(body)}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// leaveOut takes the field that a refusal names out of a request until it is answered, and returns their names.
func (c client) leaveOut(path, body string) (names []string) {
	c.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		c.Fatal(err)
	}
	for {
		r := c.send("POST", path, string(encodeJSON(fields)))
		var refusal struct{ Error Error }
		err := json.NewDecoder(r.Body).Decode(&refusal)
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			return names
		}
		name := refusal.Error.Param
		if _, given := fields[name]; err != nil || !given {
			c.Fatalf("status %d, %v: %v", r.StatusCode, err, refusal.Error)
		}
		delete(fields, name)
		names = append(names, name)
	}
}

// TestNodeClients runs the clients of clients/, which npm fetches, if TTI_CLIENTS names a folder to keep them in.
func TestNodeClients(t *testing.T) {
	packages := os.Getenv("TTI_CLIENTS")
	if packages == "" {
		t.Skip("TTI_CLIENTS is not set; make clients sets it")
	}
	c := serve(t, Options{})
	scripts, err := filepath.Glob("clients/*.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			// Modules are looked up beside the script.
			text, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(packages, filepath.Base(script))
			if err := os.WriteFile(copied, text, 0o600); err != nil {
				t.Fatal(err)
			}
			node := filepath.Join(packages, "node_modules", ".bin", "node") // as new as the clients ask for
			if _, err := os.Stat(node); err != nil {
				node = "node"
			}
			output, err := exec.Command(node, copied, c.url+"/v1").CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, output)
			}
			t.Logf("%s", output)
			waitIdle(t, c.server)
		})
	}
}

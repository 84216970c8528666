package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
)

// chatModel returns a model that chats, by ChatML, converted once.
func chatModel(t *testing.T) string {
	t.Helper()
	path, err := makeChatModel()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var makeChatModel = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(draftInt8), "chat.tti")
	return path, convertFor(path, "../../testdata/fable-llama", "int4")
})

// newTalk returns a chat with that model under the flags of run.
func newTalk(t *testing.T, args ...string) *conversation {
	t.Helper()
	return newChatWith(t, chatModel(t), &bytes.Buffer{}, &bytes.Buffer{}, args...)
}

// types lets a user type lines, and returns what they get to see since.
func (c *conversation) types(t *testing.T, lines ...string) (out, notes string) {
	t.Helper()
	c.out.(*bytes.Buffer).Reset()
	c.notes.(*bytes.Buffer).Reset()
	if err := c.loop(context.Background(), &script{lines: lines}); err != nil {
		t.Fatal(err)
	}
	return c.out.(*bytes.Buffer).String(), strings.TrimSuffix(c.notes.(*bytes.Buffer).String(), "\n") // of the end of what is typed
}

// chatML is what the model's template makes of a conversation, by the documentation of ChatML.
func chatML(messages ...string) string {
	var text strings.Builder
	for i := 0; i < len(messages); i += 2 {
		text.WriteString("<|im_start|>" + messages[i] + "\n" + messages[i+1] + "<|im_end|>\n")
	}
	return text.String() + "<|im_start|>assistant\n"
}

// idsOf returns the ids of a text in which control tokens are spelled.
func idsOf(t *testing.T, text string) []int32 {
	t.Helper()
	ids, err := parseIDs(succeeds(t, "", "tokenize", chatModel(t), "--special", "--", text))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestRunChats: the prompt is a message; the answer ends with a token that the model ends it by, and is its text without that.
func TestRunChats(t *testing.T) {
	var a answer
	text := succeeds(t, "", "run", chatModel(t), "Who are you?", "--system", "Be kind.", "--seed", "3", "--json")
	decodeStrictly(t, text, &a)
	if want := idsOf(t, chatML("system", "Be kind.", "user", "Who are you?")); !slices.Equal(a.PromptIDs, want) || !a.Chat {
		t.Errorf("the prompt is %v, want %v", a.PromptIDs, want)
	}
	const end = 2049 // <|im_end|>
	if a.FinishReason != runtime.FinishStop || a.IDs[len(a.IDs)-1] != end || slices.Contains(a.IDs[:len(a.IDs)-1], end) || strings.Contains(a.Text, "im_end") {
		t.Errorf("answer %+v", a)
	}
	for _, args := range [][]string{{"Who are you?"}, {"-p", "Who are you?"}, {"-f", "-"}, {}} {
		if got := succeeds(t, "Who are you?\n", slices.Concat([]string{"run", chatModel(t)}, args, []string{"--system", "Be kind.", "--seed", "3"})...); got != a.Text {
			t.Errorf("%q answers %q, want %q", args, got, a.Text)
		}
	}
	decodeStrictly(t, succeeds(t, "", "run", chatModel(t), "Once", "--raw", "--json"), &a)
	if want := idsOf(t, "Once"); !slices.Equal(a.PromptIDs, want) || a.Chat || len(a.IDs) > 64 {
		t.Errorf("plain text: %+v, want the prompt %v", a, want)
	}
}

func TestRunTemplate(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template.jinja")
	if err := os.WriteFile(template, []byte("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ eos_token }}"), 0o666); err != nil {
		t.Fatal(err)
	}
	var a answer
	decodeStrictly(t, succeeds(t, "", "run", chatModel(t), "Hello", "--template", template, "--json", "-n", "2"), &a)
	if want := idsOf(t, "user: Hello\n<|endoftext|>"); !slices.Equal(a.PromptIDs, want) {
		t.Errorf("the prompt is %v, want %v", a.PromptIDs, want)
	}
	if err := os.WriteFile(template, []byte("{% for %}"), 0o666); err != nil {
		t.Fatal(err)
	}
	refuses(t, 1, `template\.jinja.*line 1`, "run", chatModel(t), "Hello", "--template", template)
	refuses(t, 2, `no chat template; --template`, "run", draftInt8, "Hello", "--system", "x")
	refuses(t, 2, `--special is for plain text`, "run", chatModel(t), "Hello", "--special")
}

// TestConversation types several turns: the model reads all of them, as one list of messages has it.
func TestConversation(t *testing.T) {
	c := newTalk(t, "--system", "Be kind.")
	first, _ := c.types(t, "Who are you?")
	second, notes := c.types(t, "  ", "//etc is\tmine.")
	if notes != "Type something; /help explains.\n" {
		t.Errorf("notes %q", notes)
	}
	prompt := chatML("system", "Be kind.", "user", "Who are you?", "assistant", strings.TrimSuffix(first, "\n"), "user", "/etc is\tmine.")
	var a answer
	decodeStrictly(t, succeeds(t, "", "run", chatModel(t), "--raw", "--special", "--temp", "0", "-n", "400", "--json", prompt), &a)
	if second != a.Text+"\n" {
		t.Errorf("the second answer is %q, want %q", second, a.Text)
	}
}

// TestChatGoesOn: an answer that was cut goes on at an empty line, as if it had not been cut.
func TestChatGoesOn(t *testing.T) {
	c := newTalk(t, "-n", "20")
	out, notes := c.types(t, "Tell me of the wolf.", "")
	whole := succeeds(t, "", "run", chatModel(t), "Tell me of the wolf.", "--temp", "0", "-n", "40")
	if strings.ReplaceAll(out, "\n", "") != strings.ReplaceAll(whole, "\n", "") || strings.Count(notes, "[Cut after 20 tokens; an empty line goes on.]\n") != 2 {
		t.Errorf("in two parts %q (%q), in one %q", out, notes, whole)
	}
	if len(c.turns) != 2 || c.turns[1].text() != whole {
		t.Errorf("kept %q, want %q", c.turns, whole)
	}
}

// TestChatUndoAndRetry: what is taken back is as if it had not been said, and the answer of another seed is another.
func TestChatUndoAndRetry(t *testing.T) {
	c := newTalk(t, "--temp", "0.8", "--seed", "7", "-n", "30")
	first, _ := c.types(t, "Tell me of the wolf.")
	if _, notes := c.types(t, "/undo", "/undo"); notes != "Took back \"Tell me of the wolf.\" and its answer.\nThere is no message to take back.\n" {
		t.Errorf("notes %q", notes)
	}
	if again, _ := c.types(t, "Tell me of the wolf."); again != first {
		t.Errorf("after /undo the answer is %q, before %q", again, first)
	}
	other, _ := c.types(t, "/retry")
	if want := succeeds(t, "", "run", chatModel(t), "Tell me of the wolf.", "--temp", "0.8", "--seed", "8", "-n", "30"); other != want+"\n" || other == first {
		t.Errorf("/retry answers %q, want %q", other, want)
	}
	if len(c.turns) != 2 || c.turns[1].text()+"\n" != other {
		t.Errorf("kept %q", c.turns)
	}
	_, notes := c.types(t, "/set temp 0", "/retry", "/reset", "/retry")
	if notes != "temp is 0.\nAt temperature 0 the answer would be the same; /set temp 0.8 changes that.\nForgot 2 messages.\nThere is no answer yet.\n" {
		t.Errorf("notes %q", notes)
	}
}

func TestChatSystem(t *testing.T) {
	c := newTalk(t, "-n", "10")
	_, notes := c.types(t, "/system", "/system Be kind.", "/system", "/reset", "/system -", "/reset x", "/nonsense")
	want := "There is no system prompt; /system TEXT sets one.\nThe system prompt is set.\nThe system prompt: Be kind.\nForgot 0 messages; the system prompt stays.\n" +
		"There is no system prompt any more.\n/reset takes nothing behind it.\nThere is no /nonsense; /help lists what there is. A text that begins with a slash begins with two.\n"
	if notes != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	refusing := filepath.Join(t.TempDir(), "template.jinja")
	if err := os.WriteFile(refusing, []byte("{% if messages[0].role == 'system' %}{{ raise_exception('No system prompts.') }}{% endif %}x"), 0o666); err != nil {
		t.Fatal(err)
	}
	c = newTalk(t, "--template", refusing)
	if _, notes := c.types(t, "/system Be kind."); !strings.Contains(notes, "No system prompts.") || c.system() != 0 {
		t.Errorf("notes %q, system prompts %d", notes, c.system())
	}
	refuses(t, 1, "No system prompts", "run", chatModel(t), "x", "--template", refusing, "--system", "Be kind.")
}

func TestChatSet(t *testing.T) {
	c := newTalk(t, "--temp", "0.5", "--seed", "9")
	_, notes := c.types(t, "/set")
	for _, want := range []string{"temp            0.5\n", "top-p           0.95\n", "repeat-penalty  1\n", "seed            9\n", "tokens          as many as the model wants\n"} {
		if !strings.Contains(notes, want) {
			t.Errorf("settings %q lack %q", notes, want)
		}
	}
	_, notes = c.types(t, "/set top-k 40", "/set n 3", "/set top-p 0", "/set heat 3", "/set temp", "/set temp 0", "/set seed 3")
	want := "top-k is 40.\ntokens is 3.\ntop-p 0: want a number above 0, at most 1.\nThere is no setting heat; /set alone shows all.\n" +
		"temp : want a number, at least 0.\ntemp is 0.\nseed is 3, which has no effect at temperature 0.\n"
	if notes != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	if most, limited := c.flags.limit(true); most != 3 || !limited || c.flags.draw.sampling().TopK != 40 {
		t.Errorf("%d tokens, sampling %+v", most, c.flags.draw.sampling())
	}
}

// TestChatSaveAndLoad: a conversation that was loaded goes on as it would have, with its settings; a file that is none changes nothing.
func TestChatSaveAndLoad(t *testing.T) {
	folder := t.TempDir()
	file, other := filepath.Join(folder, "talk.json"), filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(other, []byte("dear diary"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := newTalk(t, "--system", "Be kind.", "--temp", "0.7", "--seed", "5", "-n", "30")
	_, notes := c.types(t, "Who are you?", "/save "+file, "/save "+file, "/save "+other, "/save")
	if !strings.Contains(notes, "Saved 3 messages and the settings to "+file+".\n") || !strings.Contains(notes, other+" is there already") || !strings.Contains(notes, "Want a file: /save FILE\n") {
		t.Errorf("notes %q", notes)
	}
	if text := readFile(t, other); string(text) != "dear diary" {
		t.Errorf("another file became %q", text)
	}
	var s struct {
		Messages []map[string]string
		Settings map[string]float64
	}
	if err := json.Unmarshal(readFile(t, file), &s); err != nil || len(s.Messages) != 3 || s.Messages[0]["role"] != "system" || s.Messages[2]["role"] != "assistant" ||
		s.Settings["temp"] != 0.7 || s.Settings["seed"] != 5 || s.Settings["tokens"] != 30 {
		t.Errorf("saved %+v (%v)", s, err)
	}
	want, _ := c.types(t, "Go on.")

	c = newTalk(t)
	if _, notes := c.types(t, "/load "+file); !strings.HasPrefix(notes, "Loaded 3 messages from "+file+".\nThe last answer: ") {
		t.Errorf("notes %q", notes)
	}
	if got, _ := c.types(t, "Go on."); got != want {
		t.Errorf("after /load the answer is %q, want %q", got, want)
	}
	for name, bad := range map[string]struct{ text, note string }{
		"missing":  {"", "no such file"},
		"text":     {"dear diary", "want a JSON list of messages"},
		"empty":    {"{}", "no messages in it"},
		"role":     {`[{"content":"x"}]`, "role"},
		"settings": {`{"messages":[],"settings":{"top-k":7,"temp":-1}}`, "setting temp: want a number, at least 0"},
		"unknown":  {`{"messages":[],"settings":{"top-k":7,"heat":1}}`, "setting heat: there is no such setting"},
		"number":   {`{"messages":7}`, "messages is a number"},
	} {
		path := filepath.Join(folder, name)
		if bad.text != "" {
			if err := os.WriteFile(path, []byte(bad.text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		before := len(c.turns)
		if _, notes := c.types(t, "/load "+path); !strings.Contains(notes, bad.note) || !strings.Contains(notes, path) || strings.Count(notes, "\n") != 1 || strings.Contains(notes, "json:") {
			t.Errorf("%s: notes %q, want %q", name, notes, bad.note)
		}
		if len(c.turns) != before || c.flags.draw.sampling().TopK != 0 || c.flags.draw.sampling().Temperature != 0.7 {
			t.Errorf("%s: %d messages, %+v", name, len(c.turns), c.flags.draw.sampling())
		}
	}
	for _, command := range []string{"/save ", "/load "} {
		if _, notes := c.types(t, command+os.DevNull); notes != os.DevNull+" is a device, want a file\n" {
			t.Errorf("%s: notes %q", command, notes)
		}
	}
	list := filepath.Join(folder, "list")
	if err := os.WriteFile(list, []byte(`[{"role":"user","content":"Hello"}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, notes := c.types(t, "/load "+list, "/load"); notes != "Loaded 1 message from "+list+".\nWant a file: /load FILE\n" {
		t.Errorf("notes %q", notes)
	}
}

// TestPlainTextSaveAndLoad: a text comes back from its file.
func TestPlainTextSaveAndLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text.json")
	c := newTalk(t, "--raw", "-n", "8")
	c.types(t, "Once upon a time", "The wolf", "/save "+file)
	want, _ := c.types(t, "And then")
	c = newTalk(t, "--raw", "-n", "8")
	if got, notes := c.types(t, "/load "+file, "And then"); got != want {
		t.Errorf("after /load the text is %q (%q), want %q", got, notes, want)
	}
	chat := filepath.Join(t.TempDir(), "chat.json")
	if err := os.WriteFile(chat, []byte(`[{"role":"system","content":"x"}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, notes := c.types(t, "/load "+chat, "/system x"); !strings.Contains(notes, "plain text has the roles user and assistant alone") || !strings.Contains(notes, "Only a chat has a system prompt") {
		t.Errorf("notes %q", notes)
	}
}

// TestLongChat talks far past the end of the context: whole messages are dropped, the system prompt and the latest message never, and the model
// reads what a list of the rest says.
func TestLongChat(t *testing.T) {
	c := newTalk(t, "--system", "Be kind.", "--temp", "0.8", "--seed", "1")
	size, told := c.model.Shape().Context, 0
	for i := range 30 {
		line := "Message " + strconv.Itoa(i) + ": " + strings.Repeat("what about the wolf and the fox? ", i%4)
		before := c.forgotten
		_, notes := c.types(t, line)
		view := c.view()
		if !view[0].is(systemRole) || !view[1].is(userRole) || view[len(view)-2].text() != line || !view[len(view)-1].is(assistantRole) || len(c.turns) != 2*i+3 {
			t.Fatalf("turn %d: the model reads %q of %d turns", i, view, len(c.turns))
		}
		ids, err := c.reader().encode(view[:len(view)-1])
		if err != nil || len(ids)+c.room() > size {
			t.Errorf("turn %d: %d tokens of %d (%v)", i, len(ids), size, err)
		}
		if dropped := c.forgotten - before; dropped > 0 {
			told++
			if want := "the oldest " + strconv.Itoa(dropped) + " messages are not read any more.]\n"; !strings.Contains(notes, want) || dropped%2 != 0 {
				t.Errorf("turn %d: %d messages dropped, notes %q", i, dropped, notes)
			}
		} else if strings.Contains(notes, "not read any more") {
			t.Errorf("turn %d: nothing dropped, notes %q", i, notes)
		}
	}
	if told < 3 {
		t.Errorf("only %d times messages were dropped", told)
	}
	forgotten := c.forgotten
	out, notes := c.types(t, strings.Repeat("far too long ", 400))
	if out != "" || !strings.Contains(notes, "context is full: system prompt and message take") || c.forgotten != forgotten || len(c.turns) != 61 {
		t.Errorf("a message longer than the context: %q, %d of %d turns forgotten", notes, c.forgotten, len(c.turns))
	}
	if out, _ := c.types(t, "Hello"); out == "" {
		t.Error("no answer after that")
	}
}

func TestMultipleLines(t *testing.T) {
	for _, c := range []struct {
		lines   []string
		want    entry
		history string
	}{
		{[]string{`"""one`, "two", `three"""`}, entry{text: "one\ntwo\nthree"}, "\"\"\"one\ntwo\nthree\"\"\""},
		{[]string{`"""`, "", "  /two", `""" `}, entry{text: "  /two"}, `"""  /two"""`},
		{[]string{`"""one"""`}, entry{text: "one"}, `"""one"""`},
		{[]string{"\"\"\"one\ntwo\"\"\"\n"}, entry{text: "one\ntwo"}, "\"\"\"one\ntwo\"\"\""},
		{[]string{"\"\"\"one\ntwo\"\"\""}, entry{text: "one\ntwo"}, "\"\"\"one\ntwo\"\"\""},
		{[]string{"one\n\ttwo\n"}, entry{text: "one\n\ttwo"}, "one\n\ttwo\n"},
		{[]string{"//one"}, entry{text: "/one"}, "//one"},
		{[]string{"/one"}, entry{"/one", true}, "/one"},
		{[]string{""}, entry{}, ""},
	} {
		s := &script{lines: c.lines}
		got, err := readEntry(s)
		if err != nil || got != c.want || strings.Join(s.history, "|") != c.history {
			t.Errorf("%q is %+v (%v), want %+v; the history is %q, want %q", c.lines, got, err, c.want, s.history, c.history)
		}
	}
	if _, err := readEntry(&script{lines: []string{`"""one`}}); err != io.EOF {
		t.Errorf("an end within: %v", err)
	}
}

func TestChatCompletion(t *testing.T) {
	c := newTalk(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("talk.json", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("tales", 0o777); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"/re": {"/retry", "/reset"}, "/sa": {"/save "}, "/set top": {"/set top-k ", "/set top-p "}, "hello": nil, "/zzz": nil,
		"/load t": {"/load tales" + string(filepath.Separator), "/load talk.json"},
	} {
		if got := c.complete(line); !slices.Equal(got, want) {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
}

// TestWishes: the model's settings, or the usual ones.
func TestWishes(t *testing.T) {
	yes, no, half, k := true, false, 0.5, 20
	for _, c := range []struct {
		wish *format.Generation
		want runtime.Sampling
	}{
		{nil, runtime.Sampling{Temperature: 0.8, TopP: 0.95, RepetitionPenalty: 1}},
		{&format.Generation{}, runtime.Sampling{Temperature: 0.8, TopP: 0.95, RepetitionPenalty: 1}},
		{&format.Generation{Sample: &yes}, runtime.Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1}},
		{&format.Generation{Sample: &yes, Temperature: &half, TopK: &k, TopP: &half, MinP: &half}, runtime.Sampling{Temperature: 0.5, TopK: 20, TopP: 0.5, MinP: 0.5, RepetitionPenalty: 1}},
		{&format.Generation{Sample: &no, Temperature: &half, RepetitionPenalty: &half}, runtime.Sampling{TopP: 1, RepetitionPenalty: 0.5}},
		{&format.Generation{Temperature: &half}, runtime.Sampling{Temperature: 0.5, TopP: 0.95, RepetitionPenalty: 1}},
	} {
		if got := wishes(c.wish); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v, want %+v", c.wish, got, c.want)
		}
	}
}

// TestRunFollowsTheModelsWishes: flags go before them, one by one.
func TestRunFollowsTheModelsWishes(t *testing.T) {
	no, yes, half := false, true, 0.5
	greedy := withMeta(t, func(m *format.Meta) { m.Generation = &format.Generation{Sample: &no} })
	drawn := withMeta(t, func(m *format.Meta) { m.Generation = &format.Generation{Sample: &yes, TopP: &half} })
	sampling := func(args ...string) (a answer) {
		decodeStrictly(t, succeeds(t, "", append([]string{"run", "-p", "x", "-n", "5", "--json"}, args...)...), &a)
		return a
	}
	if a, want := sampling(greedy), sampling(draftInt8, "--temp", "0"); a.Sampling.Temperature != 0 || a.Text != want.Text {
		t.Errorf("greedy: %+v, want %+v", a, want)
	}
	if a := sampling(drawn, "--top-k", "3"); a.Sampling.Temperature != 1 || a.Sampling.TopP != 0.5 || a.Sampling.TopK != 3 {
		t.Errorf("drawn: %+v", a.Sampling)
	}
	refuses(t, 2, `--top-p has no effect at temperature 0.*give --temp too`, "run", greedy, "-p", "x", "--top-p", "0.5")
	if a := sampling(greedy, "--temp", "1", "--top-p", "0.5"); a.Sampling.Temperature != 1 {
		t.Errorf("with --temp: %+v", a.Sampling)
	}
}

// TestSeed: any without --seed, and the one that is shown repeats the text.
func TestSeed(t *testing.T) {
	first, second := runJSON(t, "", "-p", "x", "--temp", "2"), runJSON(t, "", "-p", "x", "--temp", "2")
	if first.Sampling.Seed == second.Sampling.Seed || first.Text == second.Text {
		t.Errorf("two runs have the seeds %d and %d", first.Sampling.Seed, second.Sampling.Seed)
	}
	seed := strconv.FormatUint(first.Sampling.Seed, 10)
	if again := runJSON(t, "", "-p", "x", "--temp", "2", "--seed", seed); again.Text != first.Text {
		t.Errorf("seed %s gives %q, before %q", seed, again.Text, first.Text)
	}
	if o := tti(t, "", "run", draftInt8, "-p", "x", "--stats", "--seed", seed); !strings.Contains(o.stderr, "; seed "+seed+"\n") {
		t.Errorf("statistics %q", o.stderr)
	}
}

// TestStream: an object for each token, and the usual one at the end.
func TestStream(t *testing.T) {
	args := []string{"run", draftInt8, "-p", "The wolf", "-n", "9", "--temp", "0", "--json"}
	lines := strings.SplitAfter(strings.TrimSuffix(succeeds(t, "", append(args, "--stream")...), "\n"), "\n")
	var full answer
	decodeStrictly(t, lines[len(lines)-1]+"\n", &full)
	if len(lines) != 10 || len(full.IDs) != 9 {
		t.Fatalf("%d lines, %+v", len(lines), full)
	}
	text := ""
	for i, line := range lines[:9] {
		var p piece
		decodeStrictly(t, line, &p)
		if text += p.Text; p.ID != full.IDs[i] || p.Origin != "target" {
			t.Errorf("token %d: %+v", i, p)
		}
	}
	if text != full.Text {
		t.Errorf("in pieces %q, whole %q", text, full.Text)
	}
}

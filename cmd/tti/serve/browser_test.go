//go:build unix

package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime"
)

// servePage serves the models of testdata with one thread: the browser has the other processors, and threads that wait for each
// other wait long on a machine that has much else to do.
func servePage(t testing.TB, o Options) client {
	t.Helper()
	o.Threads = runtime.NewThreads(1)
	t.Cleanup(o.Threads.Close)
	return serve(t, o)
}

// shownPage opens the page of a server with the models of testdata, and chooses llama.
func shownPage(t testing.TB) (client, *chromium) {
	t.Helper()
	b := startChromium(t)
	c := servePage(t, Options{})
	b.screen(1100, 800, false)
	b.open(c.url)
	b.choose("llama")
	return c, b
}

func (c *chromium) choose(model string) {
	c.Helper()
	c.run(`document.getElementById("model").value = ` + quoted(model) + `; document.getElementById("model").dispatchEvent(new Event("change"))`)
}

// set fills in settings and saves them.
func (c *chromium) set(values map[string]string) {
	c.Helper()
	c.click("#open-settings")
	for name, value := range values {
		c.run(fmt.Sprintf(`document.querySelector("#settings form").elements[%s].value = %s`, quoted(name), quoted(value)))
	}
	c.click("#settings [type=submit]")
	c.until(`!document.getElementById("settings").open`)
}

// click clicks what a selector finds first.
func (c *chromium) click(selector string) {
	c.Helper()
	c.run(`document.querySelector(` + quoted(selector) + `).click()`)
}

// pressButton clicks the last button with a label.
func (c *chromium) pressButton(label string) {
	c.Helper()
	c.run(fmt.Sprintf(`[...document.querySelectorAll("button")].findLast((b) => b.textContent === %s).click()`, quoted(label)))
}

// send sends a message by keyboard.
func (c *chromium) send(text string) {
	c.Helper()
	c.run(`document.getElementById("prompt").focus()`)
	c.write(text)
	c.press("Enter")
}

// lastState is the state of the last answer.
const lastState = `[...document.querySelectorAll("[data-role=assistant]")].at(-1)?.dataset.state`

func (c *chromium) answered() string {
	c.Helper()
	c.until(lastState + ` === "done"`)
	return c.text(`[data-role=assistant]:last-of-type .content`)
}

// text is what stands in the last element that a selector finds.
func (c *chromium) text(selector string) string {
	c.Helper()
	text, _ := c.run(`[...document.querySelectorAll(` + quoted(selector) + `)].at(-1)?.textContent`).(string)
	return text
}

// told is the same text without what Markdown does to white space.
func told(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestPageChat(t *testing.T) {
	c, b := shownPage(t)
	b.set(map[string]string{"seed": "7", "max_tokens": "40", "system": "Tell tales."})
	b.send("Tell me of a fox's tail")
	answer := b.answered()
	want := c.ask(200, "POST", chatPath, `{"model":"llama","seed":7,"max_tokens":40,"messages":[{"role":"system","content":"Tell tales."},{"role":"user","content":"Tell me of a fox's tail"}]}`)
	content, _ := field(want, "choices", 0, "message", "content").(string)
	if told(answer) != told(content) || content == "" {
		t.Errorf("the page shows %q, the server says %q", answer, content)
	}
	if facts := b.text(".facts"); !strings.Contains(facts, "seed 7") || !strings.Contains(facts, "tok/s") || !strings.Contains(facts, "first after") {
		t.Errorf("told of the answer: %q", facts)
	}
	if b.run(`document.activeElement.id`) != "prompt" {
		t.Error("after an answer the focus is elsewhere")
	}
	if spoken := b.text("#announcements"); spoken != content {
		t.Errorf("read aloud: %q", spoken)
	}
	b.screenshot("light")

	b.pressButton("Reproduce")
	b.until(`document.getElementById("verdict").textContent.startsWith("Equal: all")`)
	if b.text("#before") != content || b.text("#again") != content {
		t.Error("the texts side by side are others")
	}
	b.screenshot("reproduce")
	b.press("Escape")
	b.until(`!document.querySelector("dialog[open]")`)

	b.pressButton("curl")
	if command := b.text("#curl"); !strings.Contains(command, `"seed":7`) || !strings.Contains(command, c.url+chatPath) {
		t.Errorf("command %s", command)
	}
	runsAlone(t, b.text("#curl"), content)
	b.press("Escape")

	b.pressButton("Tokens")
	b.until(`document.querySelectorAll(".tokens span").length > 20`)
	if tokens := b.text(".tokens"); tokens != content {
		t.Errorf("tokens %q", tokens)
	}
	b.run(`document.querySelector(".tokens span").focus()`)
	b.press("ArrowRight")
	if rows := b.run(`document.querySelectorAll("#alternatives:not([hidden]) tr").length`); rows.(float64) < 5 {
		t.Errorf("%v alternatives", rows)
	}
	b.run(`document.querySelectorAll(".tokens span")[22].focus()`)
	for _, dark := range []bool{true, false} {
		b.screen(1000, 560, dark)
		if bad := b.run(contrasts); bad != "" {
			t.Errorf("dark %v: too little contrast:\n%v", dark, bad)
		}
	}
	b.pressButton("Tokens")
	b.quiet()
}

// runsAlone runs the command that the page shows, where there is curl, which must answer with the content.
func runsAlone(t *testing.T, command, content string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl is installed: the command was not run")
		return
	}
	said, err := exec.Command("sh", "-c", strings.Replace(command, "curl ", "curl --silent ", 1)).Output()
	var answer any
	if err != nil || json.Unmarshal(said, &answer) != nil || field(answer, "choices", 0, "message", "content") != content {
		t.Errorf("%s\nsays %s, %v, want %q", command, said, err, content)
	}
}

func TestPageBranches(t *testing.T) {
	_, b := shownPage(t)
	b.set(map[string]string{"max_tokens": "10"})
	b.send("First question")
	first := b.answered()
	b.pressButton("Edit")
	b.until(`document.activeElement.getAttribute("aria-label") === "Message, edited"`)
	b.run(`document.activeElement.select()`)
	b.write("Other question")
	b.pressButton("Send as a new branch")
	b.until(lastState + ` === "done"`)
	if question := b.text("[data-role=user] .content"); question != "Other question" {
		t.Errorf("question %q", question)
	}
	b.pressButton("‹")
	if b.text("[data-role=user] .content") != "First question" || b.text("[data-role=assistant] .content") != first {
		t.Error("the first branch is another")
	}
	b.pressButton("Another")
	b.until(lastState + ` === "done" && document.body.textContent.includes("2/2")`)

	b.run(`document.getElementById("search").value = "other QUEST"; document.getElementById("search").dispatchEvent(new Event("input"))`)
	if found := b.run(`document.querySelectorAll("#conversations li").length`); found != 1.0 {
		t.Errorf("%v found", found)
	}
	b.click("#conversations .open")
	if b.text("[data-role=user] .content") != "Other question" {
		t.Error("the search does not lead to the branch")
	}
	b.run(`document.getElementById("search").value = "nobody wrote this"; document.getElementById("search").dispatchEvent(new Event("input"))`)
	if found := b.run(`document.querySelectorAll("#conversations li").length`); found != 0.0 {
		t.Errorf("%v found", found)
	}

	b.run(`document.getElementById("search").focus(); document.getElementById("search").select()`)
	b.write("QUESTION")
	for _, want := range []string{"First question", "Other question", "First question"} { // the first one again after the last
		b.press("Enter")
		marked := b.run(`[...CSS.highlights.get("found")].map((range) => range.startContainer.data).join()`)
		if marked != want || b.run(`document.activeElement.id`) != "search" {
			t.Errorf("Enter leads to %q, want %q", marked, want)
		}
	}
	b.quiet()
}

// slow makes a server wait, so that there is time to act in the middle of an answer: every write of a piece waits for a signal
// once the first pieces are out.
type slow struct {
	http.Handler
	goOn  chan struct{}
	asked *atomic.Int64 // how often answers were asked for
}

type slowWriter struct {
	http.ResponseWriter
	request *http.Request
	goOn    chan struct{}
	pieces  int
}

func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *slowWriter) Write(b []byte) (int, error) {
	if w.pieces++; w.pieces > 5 {
		select {
		case <-w.goOn:
		case <-w.request.Context().Done():
		}
	}
	return w.ResponseWriter.Write(b)
}

func (s slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == chatPath {
		s.asked.Add(1)
		w = &slowWriter{w, r, s.goOn, 0}
	}
	s.Handler.ServeHTTP(w, r)
}

// slowPage opens the page of a server that waits in the middle of an answer until goOn is closed, and asks it.
func slowPage(t *testing.T) (s slow, b *chromium) {
	t.Helper()
	b = startChromium(t)
	s = slow{servePage(t, Options{}).server, make(chan struct{}), new(atomic.Int64)}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	b.open(h.URL)
	b.choose("llama")
	b.set(map[string]string{"max_tokens": "40"})
	b.send("Once")
	b.until(`document.querySelector("[data-role=assistant] .content")?.textContent.length > 0`)
	return s, b
}

// TestPageReload leaves the page in the middle of an answer: when it is loaded again it goes on, to the same end.
func TestPageReload(t *testing.T) {
	server, b := slowPage(t)
	c := client{TB: t, url: b.run(`location.origin`).(string)}
	seed := b.run(`document.querySelector(".facts").textContent.match(/seed (\d+)/)[1]`)
	b.until(`new Promise((done) => {
		indexedDB.open("tti").onsuccess = ({ target: { result: database } }) => {
			database.transaction("conversations").objectStore("conversations").getAll().onsuccess = ({ target }) => {
				database.close();
				done(target.result[0]?.messages.at(-1).content.length > 0);
			};
		};
	})`)
	b.reload()
	kept := b.text("[data-role=assistant] .content")
	close(server.goOn)
	answer := b.answered()
	want := c.ask(200, "POST", chatPath, fmt.Sprintf(`{"model":"llama","seed":%v,"max_tokens":40,"messages":[{"role":"user","content":"Once"}]}`, seed))
	if content, _ := field(want, "choices", 0, "message", "content").(string); told(answer) != told(content) || kept == "" || !strings.HasPrefix(told(content), told(kept)) {
		t.Errorf("the page shows %q, after it was loaded again %q, the server says %q", kept, answer, content)
	}
	b.quiet()
}

func TestPageStop(t *testing.T) {
	server, b := slowPage(t)
	if b.run(`document.getElementById("send").hidden`) != true || b.run(`document.getElementById("stop").hidden`) != false {
		t.Error("there is no button that stops")
	}
	b.press("Escape")
	b.until(lastState + ` === "stopped"`)
	b.until(`document.getElementById("stop").hidden && document.activeElement.id === "prompt"`)
	close(server.goOn)
	b.pressButton("Reproduce")
	b.until(`document.getElementById("verdict").textContent.startsWith("Equal as far")`)
	before, again := b.text("#before"), b.text("#again")
	if before == "" || len(again) <= len(before) || !strings.HasPrefix(again, before) {
		t.Errorf("stopped %q, again %q", before, again)
	}
	b.quiet()
}

// TestPageDelete deletes a conversation in the middle of an answer: nothing brings it back.
func TestPageDelete(t *testing.T) {
	server, b := slowPage(t)
	b.run(`window.confirm = () => true`)
	b.click(`#conversations [aria-label="Delete Once"]`)
	b.until(`document.querySelectorAll("#conversations li, .message").length === 0`)
	close(server.goOn)
	b.send("Twice")
	b.answered()
	b.reload()
	if question := b.text("[data-role=user] .content"); question != "Twice" {
		t.Errorf("question %q", question)
	}
	if count := b.run(`document.querySelectorAll("#conversations li").length`); count != 1.0 {
		t.Errorf("%v conversations", count)
	}
	b.quiet()
}

// TestPageTabs opens the page twice: both show the same, and only one asks.
func TestPageTabs(t *testing.T) {
	server, b := slowPage(t)
	first, address := b.session, b.run(`location.href`).(string)
	if !b.openTab() {
		t.Fatal("the browser opens no second tab")
	}
	b.open(address)
	b.until(lastState + ` === "running"`)
	close(server.goOn)
	second := b.answered()
	if asked := server.asked.Load(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	b.run(`window.confirm = () => true`)
	tab := b.session
	b.session = first
	if answer := b.answered(); answer != second || answer == "" {
		t.Errorf("one tab shows %q, the other %q", answer, second)
	}
	b.session = tab
	b.click(`#conversations [aria-label="Delete Once"]`)
	b.session = first
	b.until(`document.querySelectorAll("#conversations li, .message").length === 0`)
	b.quiet()
}

// importText imports a file.
func (c *chromium) importText(text string) {
	c.Helper()
	c.run(`{
		const files = new DataTransfer();
		files.items.add(new File([` + quoted(text) + `], "import.json"));
		document.getElementById("file").files = files.files;
		document.getElementById("file").dispatchEvent(new Event("change"));
	}`)
}

func TestPageExport(t *testing.T) {
	_, b := shownPage(t)
	b.set(map[string]string{"max_tokens": "10", "temperature": "0.5", "system": "Tell tales."})
	b.send("What a day")
	answer := b.answered()
	folder := t.TempDir()
	b.command("Page.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": folder}, nil)
	b.click("#export")
	var text []byte
	for end := time.Now().Add(patience); time.Now().Before(end) && len(text) == 0; time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if text, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exported any
	if err := json.Unmarshal(text, &exported); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	asked := field(exported, "conversations", 0, "messages", 1, "asked")
	if field(asked, "temperature") != 0.5 || field(asked, "system") != "Tell tales." || field(asked, "seed") == nil ||
		field(exported, "conversations", 0, "messages", 1, "duration") == nil || field(exported, "conversations", 0, "messages", 1, "firstToken") == nil ||
		field(exported, "conversations", 0, "messages", 0, "created") == nil || field(exported, "conversations", 0, "messages", 1, "origins") != "tttttttttt" {
		t.Errorf("exported %s", text)
	}
	b.importText(string(text)) // beside itself
	b.until(`document.querySelectorAll("#conversations li").length === 2`)
	if b.text("[data-role=assistant] .content") != answer {
		t.Error("what was imported is another answer")
	}
	b.pressButton("Reproduce")
	b.until(`document.getElementById("verdict").textContent.startsWith("Equal: all")`)
	b.press("Escape")
	for _, change := range [][2]string{
		{`"tti conversations"`, `"others"`}, {`"version": 1`, `"version": 2`}, {`"role": "user"`, `"role": "system"`},
		{`"temperature": 0.5`, `"temperature": "hot"`}, {`"state": "done"`, `"state": "x"`}, {`"parent": null`, `"parent": "x"`}, {`}`, ``},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			t.Fatalf("%s is not in the export", change[0])
		}
		b.run(`document.getElementById("notice").textContent = ""`)
		b.importText(changed)
		b.until(`document.getElementById("notice").textContent.startsWith("import.json: ")`)
	}
	if count := b.run(`document.querySelectorAll("#conversations li").length`); count != 2.0 {
		t.Errorf("%v conversations", count)
	}
	b.quiet()
}

// conversationOf is a file to import with one conversation of questions and answers in turn.
func conversationOf(contents ...string) string {
	var messages []any
	var parent any
	for i, content := range contents {
		id := fmt.Sprint("message ", i)
		message := map[string]any{"id": id, "parent": parent, "role": "user", "created": i, "content": content}
		if i%2 == 1 {
			message["role"], message["state"], message["asked"] = "assistant", "done", map[string]any{"seed": i, "model": "llama"}
		}
		messages, parent = append(messages, message), id
	}
	return string(encodeJSON(map[string]any{"format": "tti conversations", "version": 1, "conversations": []any{
		map[string]any{"id": "imported", "created": 1, "settings": map[string]any{}, "leaf": parent, "messages": messages},
	}}))
}

// hostile are texts that do harm where they become HTML, links or commands.
var hostile = []string{
	"<script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'><iframe srcdoc='<script>parent.harmed=3</script>'></iframe>",
	"[click](javascript:window.harmed=4) ![picture](http://127.0.0.1:9/x.png) <javascript:window.harmed=5>",
	"```<script>window.harmed=6</script>\n</code></pre><script>window.harmed=7</script>\n```\n- <b onclick=x>item</b>\n| <style>*{display:none}</style> |",
	"**bold <img src=x onerror=window.harmed=8>** `code <svg onload=window.harmed=9>` &lt;b&gt;",
	"\x1b[31mred\x00\a\u202egnp.exe\u202c \u009b31m \u2066x",
	strings.Repeat("- ", 3000) + "\n" + strings.Repeat(" ", 3000) + "- deep",
	strings.Repeat("*", 20_000) + strings.Repeat("`", 20_001) + strings.Repeat("|", 20_000) + strings.Repeat("> ", 20_000),
	"__proto__ constructor toString",
}

func TestPageHostile(t *testing.T) {
	_, b := shownPage(t)
	var contents []string
	for _, text := range hostile {
		contents = append(contents, text, text) // as what a person pasted too
	}
	b.importText(conversationOf(contents...))
	b.until(fmt.Sprintf(`document.querySelectorAll(".message").length === %d`, len(contents)))
	if harm := b.run(`window.harmed ?? null`); harm != nil {
		t.Errorf("harm %v was done", harm)
	}
	if found := b.run(`[...document.querySelectorAll(".content *")].filter((e) =>
		!["P","PRE","CODE","UL","OL","LI","H4","STRONG","EM","HR","BLOCKQUOTE","TABLE","TR","TH","TD"].includes(e.tagName) ||
		[...e.attributes].some(({ name }) => !["tabindex", "start"].includes(name))).map((e) => e.outerHTML.slice(0, 100)).join("; ")`); found != "" {
		t.Errorf("the texts became %v", found)
	}
	if found := b.run(`/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test([...document.querySelectorAll("[data-role=assistant] .content")].map((e) => e.textContent).join())`); found != false {
		t.Error("control characters are shown as they are")
	}
	all, _ := b.run(`[...document.querySelectorAll("[data-role=assistant] .content")].map((e) => e.textContent).join("\n")`).(string)
	for _, text := range []string{
		"<script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'>", "[click](javascript:window.harmed=4)",
		"</code></pre><script>window.harmed=7</script>", "bold <img src=x onerror=window.harmed=8>", "&lt;b&gt;", "␛[31mred␀␇⟨U+202E⟩gnp.exe",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("%q is not shown as it is", text)
		}
	}
	b.quiet()
}

// dictated answers every conversation with the bytes of a stream, a few at a time.
type dictated struct {
	http.Handler
	stream string
}

// dictate opens the page of a server whose conversations are dictated.
func dictate(t *testing.T, b *chromium) *dictated {
	t.Helper()
	d := &dictated{Handler: servePage(t, Options{}).server}
	h := httptest.NewServer(d)
	t.Cleanup(h.Close)
	b.open(h.URL)
	return d
}

func (d *dictated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != chatPath {
		d.Handler.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for piece := range slices.Chunk([]byte(d.stream), 7) {
		w.Write(piece)
		w.(http.Flusher).Flush()
	}
}

// TestPageStream sends the page streams that are cut anywhere, in the middle of events and of characters, hostile ones, and
// some that fail.
func TestPageStream(t *testing.T) {
	b := startChromium(t)
	d := dictate(t, b)
	const text = "día 狐狸 🦊 <img src=x onerror=window.harmed=1> data: [DONE]"
	piece := func(text string) string {
		return "data: " + string(encodeJSON(map[string]any{"choices": []any{map[string]any{"delta": map[string]any{"content": text}}}})) + "\n\n"
	}
	var whole strings.Builder
	for _, character := range text {
		whole.WriteString(piece(string(character)) + ": ping\n\n")
	}
	for _, k := range []struct{ stream, state, problem string }{
		{whole.String() + "data: [DONE]\n\n", "done", ""},
		{whole.String(), "failed", "the connection ended before the answer did"},
		{whole.String() + `data: {"error":{"message":"<b>out of memory</b>"}}` + "\n\n", "failed", "<b>out of memory</b>"},
		{whole.String() + "data: {\n\n", "failed", "JSON"},
	} {
		d.stream = k.stream
		b.click("#new")
		b.send("Hello")
		b.until(lastState + ` === ` + quoted(k.state))
		if got := b.text("[data-role=assistant] .content"); got != text {
			t.Errorf("%s: the page shows %q", k.state, got)
		}
		if problem := b.text(".problem"); !strings.Contains(problem, k.problem) {
			t.Errorf("the page tells %q, want %q", problem, k.problem)
		}
	}
	if harm := b.run(`window.harmed ?? null`); harm != nil {
		t.Errorf("harm %v was done", harm)
	}
	b.quiet()
}

// TestPageOrigins shows who came up with the tokens of an answer: in other colours and with other lines, in words with every token,
// counted in the facts and in the legend.
func TestPageOrigins(t *testing.T) {
	b := startChromium(t)
	d := dictate(t, b)
	var stream strings.Builder
	for _, token := range []struct {
		text, origin string
		logprob      float64
	}{
		{"Once", "target", -3.5}, {" upon", "draft", -2}, {" a", "draft", -1}, {" time", "n-gram", -3.5}, {" ", "target", 0},
		{"\xf0\x9f", "target", -1}, {"\xa6\x8a", "n-gram", -0.01}, {" later", "somebody else", -0.7},
	} {
		text := token.text
		switch text { // the parts of a character come with the last of them
		case "\xf0\x9f":
			text = ""
		case "\xa6\x8a":
			text = "🦊"
		}
		scores := chatLogprobs([]scored{{piece: token.text, logprob: token.logprob}})
		choice := map[string]any{"delta": map[string]any{"content": text}, "logprobs": scores, "origins": []string{token.origin}}
		stream.WriteString("data: " + string(encodeJSON(map[string]any{"choices": []any{choice}})) + "\n\n")
	}
	d.stream = stream.String() + "data: [DONE]\n\n"
	b.send("Hello")
	if answer := b.answered(); answer != "Once upon a time 🦊 later" {
		t.Errorf("answer %q", answer)
	}
	if facts := b.text(".facts"); !strings.HasPrefix(facts, "8 tokens (2 by draft model, 2 by n-gram look-up) · ") {
		t.Errorf("told of the answer: %q", facts)
	}
	b.pressButton("Tokens")
	b.until(`document.querySelectorAll(".tokens span").length === 7`)
	if legend := b.text(".legend"); legend != "the model itself 3 · draft model 2 · n-gram look-up 2 · less likely than 50 % 20 % 5 %" {
		t.Errorf("legend %q", legend)
	}
	for i, want := range []string{"the model itself", "draft model", "draft model", "n-gram look-up", "the model itself", "n-gram look-up", ""} {
		b.run(fmt.Sprintf(`document.querySelectorAll(".tokens span")[%d].focus()`, i))
		if want != "" {
			want = "From: " + want
		}
		if told := b.run(`document.querySelector("#alternatives:not([hidden])").querySelector("p")?.textContent ?? ""`); told != want {
			t.Errorf("told of token %d: %q, want %q", i, told, want)
		}
	}
	b.press("Escape")
	if b.run(`document.getElementById("alternatives").hidden`) != true {
		t.Error("Escape does not take away what is told of a token")
	}
	for _, dark := range []bool{true, false} {
		b.screen(800, 400, dark)
		if bad := b.run(contrasts); bad != "" {
			t.Errorf("dark %v: too little contrast:\n%v", dark, bad)
		}
		if styles := b.run(`new Set(["target", "draft", "n-gram"].map((name) => {
			const style = getComputedStyle(document.querySelector(".tokens [data-origin=" + CSS.escape(name) + "]"));
			return style.textDecorationLine + style.textDecorationStyle;
		})).size`); styles != 3.0 {
			t.Errorf("dark %v: %v kinds of lines", dark, styles)
		}
		b.screenshot(fmt.Sprint("origins-dark-", dark))
	}
	b.reload()
	if facts := b.text(".facts"); !strings.Contains(facts, "2 by n-gram look-up") {
		t.Errorf("told of the answer after a reload: %q", facts)
	}
	b.quiet()
}

// TestPageDrafts lets a real server guess: every token is marked as the counts say.
func TestPageDrafts(t *testing.T) {
	b := startChromium(t)
	c := servePage(t, Options{Drafts: map[string][]string{"llama": {modelPath("llama"), NGram}}})
	b.screen(1000, 560, false)
	b.open(c.url)
	b.set(map[string]string{"temperature": "0", "max_tokens": "60", "system": "Tell tales."})
	b.send("Tell me of a fox's tail")
	b.answered()
	b.pressButton("Tokens")
	b.until(`document.querySelectorAll(".tokens span").length > 20`)
	if counts := b.run(`(() => {
		const counts = [...document.querySelectorAll(".legend [data-origin]")].map((e) => [e.dataset.origin, parseInt(e.nextSibling.data)]);
		const marked = (name) => document.querySelectorAll(".tokens [data-origin=" + CSS.escape(name) + "]").length;
		return counts.length > 0 && counts.every(([name, count]) => count === marked(name)) && counts.reduce((sum, [, count]) => sum + count, 0) === 60;
	})()`); counts != true {
		t.Errorf("other tokens are marked than are counted: %v", b.run(`document.querySelector(".legend").parentElement.innerHTML`))
	}
	b.run(`document.querySelectorAll(".tokens span")[22].focus()`)
	b.screenshot("page") // page.png, which the README shows
	b.quiet()
}

// TestPagePlain talks to a model without a chat template: the page says so and goes on with the text.
func TestPagePlain(t *testing.T) {
	c, b := shownPage(t)
	if b.run(`document.getElementById("plain").checkVisibility()`) != false {
		t.Error("the page says that a model with a chat template has none")
	}
	b.choose("draft")
	if b.run(`document.getElementById("plain").checkVisibility()`) != true {
		t.Error("the page does not say that the model has no chat template")
	}
	b.set(map[string]string{"seed": "5", "max_tokens": "20"})
	written := "Once upon a time"
	asks := func() {
		t.Helper()
		answer := b.answered()
		want := c.ask(200, "POST", completionPath, fmt.Sprintf(`{"model":"draft","seed":5,"max_tokens":20,"prompt":%s}`, quoted(written)))
		text, _ := field(want, "choices", 0, "text").(string)
		if told(answer) != told(text) || text == "" {
			t.Errorf("the page shows %q, the server goes on with %q", answer, text)
		}
		written += text
	}
	b.send(written)
	asks()
	b.pressButton("Go on")
	b.until(`document.querySelectorAll(".message").length === 4`)
	asks()
	b.send("The fox")
	written += "\nThe fox"
	b.until(`document.querySelectorAll(".message").length === 6`)
	asks()
	b.screenshot("plain")
	b.pressButton("Reproduce")
	b.until(`document.getElementById("verdict").textContent.startsWith("Equal: all")`)
	content := b.text("#again")
	b.press("Escape")
	b.pressButton("Tokens")
	b.until(`document.querySelectorAll(".tokens span").length > 10`)
	if tokens := b.text(".tokens"); tokens != content {
		t.Errorf("tokens %q, want %q", tokens, content)
	}
	b.run(`document.querySelector(".tokens span").focus()`)
	if rows := b.run(`document.querySelectorAll("#alternatives:not([hidden]) tr").length`); rows.(float64) < 5 {
		t.Errorf("%v alternatives", rows)
	}
	b.pressButton("curl")
	if command := b.text("#curl"); !strings.Contains(command, c.url+completionPath) || !strings.Contains(command, `"prompt":"Once`) {
		t.Errorf("command %s", command)
	}
	b.press("Escape")
	b.choose("llama") // in the middle of a conversation
	b.send("And you?")
	b.until(`document.querySelectorAll(".message").length === 8`)
	b.answered()
	b.reload()
	if b.run(`document.querySelectorAll(".message").length`) != 8.0 {
		t.Error("after a reload it is another conversation")
	}
	b.quiet()
}

// TestPageMarkdown renders texts, whole and as they grow.
func TestPageMarkdown(t *testing.T) {
	_, b := shownPage(t)
	for text, want := range map[string]string{
		"one\ntwo\n\nthree":                       "<p>one\ntwo</p><p>three</p>",
		"# A\ntext":                               "<h4>A</h4><p>text</p>",
		"a **b** *c* `d*e*`":                      "<p>a <strong>b</strong> <em>c</em> <code>d*e*</code></p>",
		"2 * 3 * 4 and 5**6":                      "<p>2 * 3 * 4 and 5**6</p>",
		"- a\n- b\n  - c\n- d":                    "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>",
		"3. a\n4. b":                              `<ol start="3"><li>a</li><li>b</li></ol>`,
		"```go\nif a < b {\n\n- x\n```\nafter":    `<pre tabindex="0"><code>if a &lt; b {` + "\n\n" + `- x</code></pre><p>after</p>`,
		"1. a\n   ```\n   code\n     in\n   ```":  `<ol start="1"><li>a</li></ol><pre tabindex="0"><code>code` + "\n  in</code></pre>",
		"```\nnot closed":                         `<pre tabindex="0"><code>not closed</code></pre>`,
		"> a\n> b":                                "<blockquote>a\nb</blockquote>",
		"| a | b |\n|---|---|\n| 1 | 2 |":         "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
		"[x](javascript:y) <b>":                   "<p>[x](javascript:y) &lt;b&gt;</p>",
		"a\n---\nb":                               "<p>a</p><hr><p>b</p>",
		"a\n```x``` b\n~~~\nc\n~~~~\n\n \n- d\ne": `<p>a` + "\n" + `<code>x</code> b</p><pre tabindex="0"><code>c</code></pre><ul><li>d</li></ul><p>e</p>`,
	} {
		got := b.run(fmt.Sprintf(`import("/page/markdown.js").then(({ Text }) => {
			const text = %s, whole = document.createElement("div"), grown = document.createElement("div"), growing = new Text(grown);
			new Text(whole).show(text);
			for (let i = 0; i <= text.length; i++) growing.show(text.slice(0, i));
			if (whole.innerHTML !== grown.innerHTML) return "grown: " + grown.innerHTML + " whole: " + whole.innerHTML;
			return whole.innerHTML;
		})`, quoted(text)))
		if got != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
}

// TestPageKey asks for a key where the server wants one, and again after it was not given or not known.
func TestPageKey(t *testing.T) {
	b := startChromium(t)
	c := servePage(t, Options{Keys: keysOf(t, "alice "+aliceKey)})
	const asks = `document.getElementById("key-dialog")?.open && document.activeElement.id === "key" && document.getElementById("key").value === ""`
	b.command("Page.navigate", map[string]any{"url": c.url}, nil)
	b.until(asks)
	b.press("Escape")
	b.until(`document.body.dataset.ready === "true" && document.getElementById("notice").textContent.includes("key")`)
	b.set(map[string]string{"max_tokens": "5"})
	b.send("Hello")
	for _, key := range []string{"a-key-that-nobody-has", aliceKey} {
		b.until(asks)
		b.write(key)
		b.press("Enter")
	}
	b.answered()
	b.pressButton("curl")
	if command := b.text("#curl"); strings.Contains(command, aliceKey) || !strings.Contains(command, "$TTI_KEY") {
		t.Errorf("command %s", command)
	}
	if kept := b.run(`JSON.stringify(localStorage)`); kept != "{}" {
		t.Errorf("kept for ever: %v", kept)
	}
	b.quiet("status of 401")
}

// TestPageFull fills the model's context: what is left out is said.
func TestPageFull(t *testing.T) {
	_, b := shownPage(t)
	b.importText(conversationOf(strings.Repeat("fox and hen ", 60), strings.Repeat("hen and fox ", 60), "And", "Then"))
	b.until(`document.querySelectorAll(".message").length === 4`)
	b.choose("llama")
	b.set(map[string]string{"max_tokens": "5"})
	b.send("What next?")
	b.until(lastState + ` === "failed"`)
	b.pressButton("Leave out the oldest messages")
	b.answered()
	if cut := b.run(`document.querySelector("#messages > .cut")?.nextElementSibling.textContent.startsWith("YouAnd")`); cut != true {
		t.Errorf("what was left out is not told: %v", b.run(`document.getElementById("messages").innerText`))
	}
	b.send("And then?")
	b.answered()
	b.quiet("status of 400")
}

// contrasts lists the texts whose contrast to the ground behind them is below 4.5:1, by the formulas of WCAG 2.
const contrasts = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const over = (colors) => {
		canvas.clearRect(0, 0, 1, 1);
		for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => {
		const [x, y, z] = [r, g, b].map((v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
		return 0.2126 * x + 0.7152 * y + 0.0722 * z;
	};
	const bad = [];
	for (const e of document.querySelectorAll("body, body *")) {
		if (!e.checkVisibility() || e.disabled || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const grounds = [];
		for (let up = e; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
		const ground = over(grounds), text = over([...grounds, getComputedStyle(e).color]);
		const [low, high] = [light(ground), light(text)].sort((a, b) => a - b);
		const ratio = (high + 0.05) / (low + 0.05);
		if (ratio < 4.5) bad.push(e.tagName + " " + e.className + " " + e.textContent.slice(0, 30) + ": " + ratio.toFixed(2));
	}
	return bad.join("\n");
})()`

// TestPageLooks shows the page light, dark and as narrow as a phone.
func TestPageLooks(t *testing.T) {
	_, b := shownPage(t)
	b.importText(conversationOf("How do I **count** to three?",
		"# Counting\nLike *this*, in `Go`:\n\n```go\nfor i := range 3 {\n\tfmt.Println(i)\n}\n```\n\n1. one\n2. two\n   - and a half\n3. three\n\n| number | word |\n|---|---|\n| 1 | one |\n\n> done",
		"A long word: "+strings.Repeat("x", 300), "Yes."))
	b.until(`document.querySelectorAll(".message").length === 4`)
	b.run(`document.getElementById("messages").scrollTop = 0`)
	for _, screen := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"wide-light", 1100, 800, false}, {"wide-dark", 1100, 800, true}, {"narrow-light", 360, 740, false}, {"narrow-dark", 360, 740, true}} {
		b.screen(screen.width, screen.height, screen.dark)
		b.screenshot(screen.name)
		if bad := b.run(contrasts); bad != "" {
			t.Errorf("%s: too little contrast:\n%v", screen.name, bad)
		}
		if b.run(`document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll("#messages, #composer, main > header")].every((e) => e.scrollWidth <= e.clientWidth)`) != true {
			t.Errorf("%s: the page is wider than the screen", screen.name)
		}
		b.click("#open-settings")
		b.screenshot(screen.name + "-settings")
		if bad := b.run(contrasts); bad != "" {
			t.Errorf("%s: settings: too little contrast:\n%v", screen.name, bad)
		}
		b.press("Escape")
	}
	b.click("#menu")
	if b.run(`document.getElementById("new").checkVisibility() && document.getElementById("menu").ariaExpanded === "true"`) != true {
		t.Error("the menu does not open")
	}
	b.screenshot("narrow-menu")
	if names := b.run(`[...document.querySelectorAll("button, input, select, textarea")].filter((e) => !e.hidden && !e.textContent.trim() && !e.labels?.length && !e.ariaLabel).map((e) => e.id).join()`); names != "" {
		t.Errorf("controls without a name: %v", names)
	}
	b.quiet()
}

// longMessages are questions and answers of a book's text, of 100,000 tokens and more together.
func longMessages(t *testing.T, c client) (contents []string) {
	t.Helper()
	book, err := os.ReadFile("../../../testdata/golden/fable-eval.txt")
	if err != nil {
		t.Fatal(err)
	}
	const pieces = 600
	for i := range pieces {
		size := 600
		if i == pieces/2+1 { // one that is very long
			size = 30_000
		}
		start := i * 211 % (len(book) - size)
		contents = append(contents, fmt.Sprintf("Message %d. %s\n\n- *one*\n- two\n\nEnd of %d.", i, strings.ToValidUTF8(string(book[start:start+size]), ""), i))
	}
	answer := c.ask(200, "POST", "/tokenize", fmt.Sprintf(`{"model":"llama","prompt":%s}`, quoted(strings.Join(contents, "\n"))))
	t.Logf("%v tokens in %d messages", answer["count"], pieces)
	if answer["count"].(float64) < 100_000 {
		t.Fatal("the conversation has fewer than 100,000 tokens")
	}
	return contents
}

// TestPageLong opens a conversation of 100,000 tokens and more, scrolls through it, searches it, and goes on with it. How long that
// takes is told, not judged: it is the machine's.
func TestPageLong(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	c, b := shownPage(t)
	contents := longMessages(t, c)
	b.importText(conversationOf(contents...))
	b.until(fmt.Sprintf(`document.querySelectorAll(".message").length === %d`, len(contents)))

	b.run(`{
		window.gaps = [];
		let last = performance.now();
		const tick = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(tick); };
		requestAnimationFrame(tick);
		document.getElementById("messages").scrollTop = 0;
	}`)
	const atEnd = `(({ scrollTop, scrollHeight, clientHeight }) => scrollTop + clientHeight > scrollHeight - 10)(document.getElementById("messages"))`
	for range 1000 { // as a wheel that is turned fast
		if b.run(atEnd) == true {
			break
		}
		b.command("Input.dispatchMouseEvent", map[string]any{"type": "mouseWheel", "x": 700, "y": 400, "deltaX": 0, "deltaY": 2000}, nil)
	}
	b.until(atEnd)
	t.Logf("scrolling: %v", b.run(`(() => {
		const sorted = gaps.slice(5).sort((a, b) => a - b), at = (part) => Math.round(sorted[Math.floor((sorted.length - 1) * part)] * 10) / 10;
		return "frames " + sorted.length + ", milliseconds between them: median " + at(0.5) + ", 95 % " + at(0.95) + ", longest " + at(1);
	})()`))
	t.Logf("milliseconds: %v", b.run(fmt.Sprintf(`(async () => {
		const box = document.getElementById("messages"), frame = () => new Promise(requestAnimationFrame);
		const jumps = [];
		for (let i = 0; i < 60; i++) {
			const began = performance.now();
			box.scrollTop = box.scrollHeight * (i * 37 %% 60) / 60;
			await frame();
			jumps.push(performance.now() - began);
		}
		jumps.sort((a, b) => a - b);
		const search = document.getElementById("search"), searches = [];
		const wanted = "end of 301.";
		for (let i = 1; i <= wanted.length; i++) {
			const began = performance.now();
			search.value = wanted.slice(0, i);
			search.dispatchEvent(new Event("input"));
			await frame();
			searches.push(performance.now() - began);
		}
		const began = performance.now();
		document.querySelector("#conversations .open").click();
		await frame();
		const opened = performance.now() - began;
		const { Text } = await import("/page/markdown.js");
		const long = %s, growing = new Text(document.createElement("div"));
		const start = performance.now();
		for (let i = 0; i < long.length; i += 50) growing.show(long.slice(0, i));
		const grown = (performance.now() - start) / (long.length / 50);
		return { jump: jumps[30], longestJump: jumps[59], longestSearch: Math.max(...searches), opened, grown };
	})()`, quoted(contents[301]))))
	if found := b.run(`(() => {
		const [range] = CSS.highlights.get("found"), at = range.getBoundingClientRect(), box = document.getElementById("messages").getBoundingClientRect();
		return document.activeElement.textContent.includes("Message 301.") && range.toString() === "End of 301." && at.top >= box.top && at.bottom <= box.bottom;
	})()`); found != true {
		t.Error("the search does not lead to what it found")
	}
	b.screenshot("long")
	b.quiet()
}

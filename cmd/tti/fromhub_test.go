//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert/cache"
	"github.com/tti-llm/tti/convert/hub/hubtest"
	"github.com/tti-llm/tti/runtime/bench"
)

// draftFiles are those of a model that can run.
func draftFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range names(t, draftSource) {
		files[name] = readFile(t, filepath.Join(draftSource, name))
	}
	return files
}

// inProcess makes commands of this process those of a user with empty caches and an empty working directory.
func inProcess(t *testing.T, hub *hubtest.Server) *hubUser {
	t.Helper()
	user := newHubUser(t, hub)
	ownCache(t)
	t.Setenv("HOME", user.home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HF_ENDPOINT", user.endpoint)
	t.Setenv("HF_HOME", user.home)
	t.Setenv("HF_TOKEN", hubtest.Token)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Chdir(user.directory)
	return user
}

// says runs a command line that must succeed and say what the pattern matches on standard error, and returns its output.
func says(t *testing.T, pattern string, args ...string) string {
	t.Helper()
	o := tti(t, "", args...)
	if o.code != 0 || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(o.stderr) {
		t.Fatalf("tti %q: exit code %d, standard error %q, want %q", args, o.code, o.stderr, pattern)
	}
	return o.stdout
}

// cachedModels are what tti list shows.
func cachedModels(t *testing.T) []cache.Model {
	t.Helper()
	var list cacheList
	decodeStrictly(t, succeeds(t, "", "list", "--json"), &list)
	return list.Models
}

const (
	loading   = `fables/tiny-gpt: downloading 1\.45 MB of weights, 1 file, to HuggingFace's cache\n`
	converted = `[^\n]*/tti/models/fables--tiny-gpt/[0-9a-f]{40}/[a-z0-9-]+\.tti: [^\n]* bits per weight, from the hub's cache in [^\n]* s\n`
)

var tellTale = []string{"--raw", "-p", "The wolf", "-n", "12", "--temp", "0"}

// withModel puts the name of a model before the other arguments of a command.
func withModel(command, model string, args ...string) []string {
	return append([]string{command, model}, args...)
}

// TestRunFromHub runs a model by its id: the first time it is downloaded and converted, and never again.
func TestRunFromHub(t *testing.T) {
	whole, err := filepath.Abs(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	want := succeeds(t, "", withModel("run", whole, tellTale...)...)
	hub := hubtest.New(t, draftFiles(t))
	inProcess(t, hub)
	if got := says(t, loading+converted, withModel("run", hubtest.Repository, tellTale...)...); got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
	models := cachedModels(t)
	if len(models) != 1 || models[0].ID != hubtest.Repository || models[0].Mode != "int8" || models[0].Commit != hubtest.Commit || !slices.Equal(models[0].Revisions, []string{"main"}) {
		t.Fatalf("the cache has %+v", models)
	}
	if !bytes.Equal(readFile(t, models[0].Path), readFile(t, whole)) {
		t.Error("the file differs from what tti convert writes")
	}
	seen := len(hub.Seen(""))
	for _, name := range []string{hubtest.Repository, hubtest.Repository + "@main", "hf.co/" + hubtest.Repository, "https://huggingface.co/" + hubtest.Repository + "/tree/main", hubtest.Repository + "@" + hubtest.Commit[:7]} {
		if got := succeeds(t, "", withModel("run", name, tellTale...)...); got != want {
			t.Errorf("%s wrote %q, want %q", name, got, want)
		}
	}
	// With neither download nor hub.
	if err := os.RemoveAll(filepath.Join(os.Getenv("HF_HOME"), "hub")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	if got := succeeds(t, "", withModel("run", hubtest.Repository, tellTale...)...); got != want {
		t.Errorf("without a hub it wrote %q", got)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if got := succeeds(t, "", withModel("run", hubtest.Repository, tellTale...)...); got != want {
		t.Errorf("offline it wrote %q", got)
	}
	if now := hub.Seen(""); len(now) != seen {
		t.Errorf("the hub was asked %q", now[seen:])
	}
}

// TestCommandsTakeHubModels gives the id of a model to every command that reads one.
func TestCommandsTakeHubModels(t *testing.T) {
	hub := hubtest.New(t, draftFiles(t))
	inProcess(t, hub)
	if err := os.WriteFile("text.txt", []byte(strings.Repeat("The wolf and the lamb went to the river. ", 8)), 0o666); err != nil {
		t.Fatal(err)
	}
	const id = hubtest.Repository
	if got := says(t, loading+converted, "tokenize", id, "The wolf"); got != succeeds(t, "", "tokenize", draftInt8, "The wolf") {
		t.Errorf("tokenize: %q", got)
	}
	for _, args := range [][]string{{"inspect", id}, {"verify", id, id}, {"tokenize", id, "x"}, {"eval", id, "--text", "text.txt"}} {
		succeeds(t, "", args...)
	}
	note := `tti: [^\n]*the cache has [^\n]*`
	var e evaluation
	decodeStrictly(t, says(t, converted, "eval", id, "--text", "text.txt", "--compare", id, "--json"), &e)
	if e.Model != id || e.Compare == nil || e.Compare.Reference != id || e.Compare.Agreement == 0 {
		t.Errorf("eval: %+v", e)
	}
	var a answer
	decodeStrictly(t, says(t, converted, withModel("run", id, append(slices.Clone(tellTale), "--draft", id, "--json")...)...), &a)
	if a.Model != id || a.Stats.Drafted == 0 || a.Text == "" {
		t.Errorf("run with a draft: %+v", a)
	}
	var b bench.Result
	decodeStrictly(t, says(t, converted, "bench", id, "--mode", "f16", "--repeats", "1", "--json"), &b)
	if b.Model != id {
		t.Errorf("bench: %+v", b)
	}
	var modes []string
	for _, m := range cachedModels(t) {
		modes = append(modes, m.Mode)
	}
	if want := []string{"f16", "f32", "int4-all", "int8"}; !slices.Equal(modes, want) {
		t.Errorf("the cache has the modes %q, want %q", modes, want)
	}
	if got := hub.Seen("STORE"); len(got) != 1 {
		t.Errorf("downloads %q, want one", got)
	}
	succeeds(t, "", "bench", id, "--draft", id, "--repeats", "1", "-n", "4")
	if o := tti(t, "", "rm", id, "--mode", "int8"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	says(t, note+`\n`+converted, "inspect", id)
	refuses(t, 2, `--mode is for models of the hub`, "run", draftInt8, "x", "--mode", "int4")
}

// TestServeTakesHubModels serves a model by its id, drafted by itself.
func TestServeTakesHubModels(t *testing.T) {
	inProcess(t, hubtest.New(t, draftFiles(t)))
	cmd, flags := newServe(), serveFlags{drafts: []string{hubtest.Repository, "a=https://hf.co/" + hubtest.Repository}}
	cmd.SetErr(io.Discard)
	flags.modes.register(&cobra.Command{}) // for the defaults
	sources, err := flags.sources(t.Context(), cmd, []string{hubtest.Repository, "a=hf.co/" + hubtest.Repository + "@main", "https://hf.co/" + hubtest.Repository + "?x=y"})
	if err != nil {
		t.Fatal(err)
	}
	path := cachedModels(t)[0].Path
	for i, name := range []string{hubtest.Repository, "a", hubtest.Repository} {
		if sources[i].Name != name || sources[i].Path != path {
			t.Errorf("source %+v, want %s at %s", sources[i], name, path)
		}
	}
	drafts, err := flags.draftsByModel(t.Context(), cmd)
	if err != nil || len(drafts["a"]) != 1 || !slices.Equal(drafts["a"], drafts[""]) || !strings.HasSuffix(drafts["a"][0], "int4-all.tti") {
		t.Errorf("drafts %v, %v", drafts, err)
	}
}

// TestNeitherFileNorModel gives names that stand for nothing: one line says so.
func TestNeitherFileNorModel(t *testing.T) {
	unsupported := draftFiles(t)
	unsupported["config.json"] = []byte(`{"model_type":"mamba"}`)
	hub := hubtest.New(t, draftFiles(t))
	hub.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/gated/") {
			http.Error(w, "", http.StatusForbidden)
			return true
		}
		return false
	}
	inProcess(t, hub)
	if err := os.WriteFile("near.tti", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{
		"fables/tiny-gtp":             `fables/tiny-gtp: there is no such file, and hub fables/tiny-gtp: not found: `,
		"gated/model":                 `gated/model: there is no such file, and hub gated/model: not authorized: .*have the model's terms been accepted`,
		hubtest.Repository + "@v9":    `@v9: there is no such file, and hub fables/tiny-gpt@v9: not found: .*Invalid rev id`,
		"https://example.com/a/b":     `https://example\.com/a/b: not the address of a model on the hub: want one of huggingface\.co or hf\.co`,
		"https://hf.co/datasets/a/b":  `not the address of a model`,
		"hf.co/spaces/a/b":            `hf\.co/spaces/a/b: not the address of a model`,
		"./fables":                    `\./fables: there is no such file; want a \.tti file, or the id of a model`,
		"story.txt":                   `story\.txt: there is no such file`,
		"models/missing.tti":          `models/missing\.tti: there is no such file`,
		"near":                        `near: there is no such file; did you mean near\.tti\?`,
		"https://huggingface.co/near": `near: there is no such file, and hub near: not found`,
	} {
		refuses(t, 1, pattern, "run", name, "x")
	}
	for _, command := range []string{"pull", "rm"} {
		refuses(t, 1, `\./fables: want a model of the hub, such as org/name`, command, "./fables")
	}
	refuses(t, 1, `hub fables/tiny-gtp: not found`, "pull", "fables/tiny-gtp")
	refuses(t, 1, `fables/tiny-gpt: not in the cache; "tti list" shows what is`, "rm", hubtest.Repository)
	refuses(t, 1, `is a GGUF|near\.tti`, "run", "near.tti", "x")
	t.Setenv("HF_HUB_OFFLINE", "1")
	refuses(t, 1, `there is no such file, and hub fables/tiny-gpt: offline and not in the cache: .*HF_HUB_OFFLINE`, "run", hubtest.Repository, "x")
	if len(cachedModels(t)) > 0 || len(hub.Seen("STORE")) > 0 {
		t.Error("something was downloaded")
	}
	inProcess(t, hubtest.New(t, unsupported))
	refuses(t, 1, `fables/tiny-gpt: config\.json: model_type "mamba" is not supported`, "run", hubtest.Repository, "x")
}

// TestFileWinsOverModel has a file, and a directory, of the id's name: the hub is not asked.
func TestFileWinsOverModel(t *testing.T) {
	hub := hubtest.New(t, draftFiles(t))
	content := readFile(t, draftInt8)
	inProcess(t, hub)
	if err := os.MkdirAll("fables", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hubtest.Repository, content, 0o666); err != nil {
		t.Fatal(err)
	}
	succeeds(t, "", "run", hubtest.Repository, "x", "-n", "1")
	refuses(t, 1, `fables: is a directory`, "run", "fables", "x")
	if seen := hub.Seen(""); len(seen) > 0 {
		t.Errorf("the hub was asked %q", seen)
	}
}

// TestPullFollowsTheBranch moves the branch: what runs stays until tti pull.
func TestPullFollowsTheBranch(t *testing.T) {
	hub := hubtest.New(t, draftFiles(t))
	inProcess(t, hub)
	const later = "fedcba9876543210fedcba9876543210fedcba98"
	inCache := `fables/tiny-gpt: commit 0123456 is in the cache as int8, 9[\d.]+ kB\n`
	says(t, loading+converted+inCache, "pull", hubtest.Repository)
	says(t, inCache, "pull", "https://huggingface.co/"+hubtest.Repository)
	hub.Move(later)
	seen := len(hub.Seen(""))
	succeeds(t, "", "run", hubtest.Repository, "x", "-n", "1")
	if now := hub.Seen(""); len(now) != seen {
		t.Errorf("the hub was asked %q", now[seen:])
	}
	// The weights are the same, and are not downloaded again.
	says(t, converted+`fables/tiny-gpt: commit fedcba9 is in the cache as int8, 9[\d.]+ kB; it was 0123456, which "tti rm fables/tiny-gpt@0123456" removes\n`, "pull", hubtest.Repository)
	if got := hub.Seen("STORE"); len(got) != 1 {
		t.Errorf("downloads %q, want one", got)
	}
	table := succeeds(t, "", "list")
	if !regexp.MustCompile(`(?m)^fables/tiny-gpt +- +0123456 +int8 .*\nfables/tiny-gpt +main +fedcba9 +int8 .*\n\n2 files, `).MatchString(table) {
		t.Errorf("list shows %s", table)
	}
	var pulled cache.Model
	if err := json.Unmarshal([]byte(succeeds(t, "", "pull", hubtest.Repository, "--json")), &pulled); err != nil || pulled.Commit != later {
		t.Errorf("pulled %+v, %v", pulled, err)
	}
	// A commit that the hub has forgotten is no more than what there is of it.
	says(t, `removed fables/tiny-gpt@main int8, [^\n]*\nwhat was downloaded stays [^\n]*\n`, "rm", hubtest.Repository+"@main")
	hub.Move(strings.Repeat("ab", 20))
	succeeds(t, "", "run", hubtest.Repository+"@0123456", "x", "-n", "1")
	refuses(t, 1, `is in the cache|not found`, "run", hubtest.Repository+"@0123456", "x", "--mode", "f32")
	says(t, `removed fables/tiny-gpt@0123456 int8, [^\n]*\nwhat was downloaded stays [^\n]*\n`, "rm", hubtest.Repository)
	says(t, `tti: no models in [^\n]*\n`, "list")
}

// TestDamagedCache has a file of the cache whose contents have changed: the error says how it is made anew.
func TestDamagedCache(t *testing.T) {
	inProcess(t, hubtest.New(t, draftFiles(t)))
	says(t, `(?s).*`, "pull", hubtest.Repository)
	path := cachedModels(t)[0].Path
	content := readFile(t, path)
	content[len(content)-100] ^= 1
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	hint := `"tti rm fables/tiny-gpt@` + hubtest.Commit + ` --mode int8" removes it`
	refuses(t, 1, hint, "run", hubtest.Repository, "x")
	refuses(t, 1, hint, "verify", hubtest.Repository)
	says(t, `(?s).*`, "rm", hubtest.Repository+"@"+hubtest.Commit, "--mode", "int8")
	says(t, converted, "run", hubtest.Repository, "x", "-n", "1")
}

// TestRunFromHubInterrupted breaks the download off, by Ctrl-C and by a kill. It goes on where it ended, and until then the cache has nothing.
func TestRunFromHubInterrupted(t *testing.T) {
	files := draftFiles(t)
	for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
		hub := hubtest.New(t, files)
		halfThenHang(hub)
		user := newHubUser(t, hub)
		cmd := user.command(withModel("run", hubtest.Repository, tellTale...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		user.waitForHalves(files)
		if code, text := user.run("", "rm", hubtest.Repository); code != 1 || !strings.Contains(text, "another process is converting it, and nothing was removed") {
			t.Errorf("rm while it comes: exit code %d, %q", code, text)
		}
		cmd.Process.Signal(signal)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); signal == os.Interrupt && (code != 130 || !regexp.MustCompile(`^`+loading+`tti: interrupted\n$`).MatchString(stderr.String())) {
			t.Errorf("exit code %d, standard error %q", code, stderr.String())
		}
		if _, text := user.run("", "list"); !strings.Contains(text, "no models in") {
			t.Errorf("%v: broken off, list says %q", signal, text)
		}
		code, text := user.run("", withModel("run", hubtest.Repository, tellTale...)...)
		if code != 0 || !regexp.MustCompile(`^fables/tiny-gpt: downloading 7\d\d kB, the rest of 1\.45 MB of weights, 1 file, to HuggingFace's cache\n`+converted+`$`).MatchString(text) {
			t.Errorf("%v: again: exit code %d, standard error %q", signal, code, text)
		}
		if got := hub.Seen("STORE"); len(got) != 2 || !strings.Contains(got[1], "bytes=") {
			t.Errorf("%v: requests %q", signal, got)
		}
	}
}

// TestConversionKilled kills the program while it writes the file of the cache: nothing bears its name, and the next one makes it.
func TestConversionKilled(t *testing.T) {
	large := shardedModel
	large.Embedding, large.Layers, large.Shards = 512, 6, 1
	_, files := writeSynthetic(t, large)
	hub := hubtest.New(t, files)
	user := newHubUser(t, hub)
	pattern := filepath.Join(user.home, "*", "tti", "models", "*", "*", "*.partial")
	whole := strings.TrimSuffix(pattern, ".partial") + ".tti"
	if code, text := user.run("", "convert", hubtest.Repository, "--mode", "f32"); code != 0 { // for the download
		t.Fatal(text)
	}
	caught := false
	for range 10 { // it may be done before it is killed
		cmd := user.command("pull", hubtest.Repository, "--mode", "f32")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		partials, _ := filepath.Glob(pattern)
		wholes, _ := filepath.Glob(whole)
		if caught = len(partials) > 0 && len(wholes) == 0; caught {
			break
		}
		user.run("", "rm", hubtest.Repository)
	}
	if !caught {
		t.Skip("never killed in time")
	}
	if _, text := user.run("", "list"); !strings.Contains(text, "no models in") {
		t.Errorf("killed, list says %q", text)
	}
	if code, text := user.run("", "rm", hubtest.Repository); code != 0 || !strings.Contains(text, "removed what a conversion of fables/tiny-gpt had left") {
		t.Errorf("rm of what is left: exit code %d, %q", code, text)
	}
	if partials, _ := filepath.Glob(pattern); len(partials) > 0 {
		t.Errorf("left are %q", partials)
	}
	if code, text := user.run("", "verify", hubtest.Repository, "--mode", "f32"); code != 0 {
		t.Errorf("exit code %d, %q", code, text)
	}
}

// TestRunFromHubTwice lets two processes ask for one model at the same time: it is downloaded and converted once.
func TestRunFromHubTwice(t *testing.T) {
	hub := hubtest.New(t, draftFiles(t))
	user := newHubUser(t, hub)
	release := make(chan struct{})
	hub.OnStore = func(http.ResponseWriter, *http.Request, []byte, int) bool {
		<-release
		return false
	}
	var processes []*served
	var wait []func() error
	for range 2 {
		cmd, notes := user.command(withModel("run", hubtest.Repository, tellTale...)...), &served{}
		cmd.Stderr, cmd.Stdout = notes, notes
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes, wait = append(processes, notes), append(wait, cmd.Wait)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if both := processes[0].String() + processes[1].String(); strings.Contains(both, "downloading 1.45 MB") && strings.Contains(both, "another process is downloading or converting it; waiting") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("they say %q and %q", processes[0], processes[1])
		}
	}
	close(release)
	var texts []string
	for i, notes := range processes {
		if err := wait[i](); err != nil {
			t.Errorf("%v: %s", err, notes)
		}
		lines := strings.SplitAfter(notes.String(), "\n")
		texts = append(texts, lines[len(lines)-1])
	}
	if texts[0] != texts[1] || texts[0] == "" {
		t.Errorf("they wrote %q", texts)
	}
	if got := hub.Seen("STORE"); len(got) != 1 {
		t.Errorf("downloads %q, want one", got)
	}
	if both := processes[0].String() + processes[1].String(); strings.Count(both, "bits per weight") != 1 {
		t.Errorf("converted more than once: %q", both)
	}
}

// TestRemoveBesideRun removes a model while it speaks: it goes on.
func TestRemoveBesideRun(t *testing.T) {
	user := inProcess(t, hubtest.New(t, draftFiles(t)))
	args := withModel("run", hubtest.Repository, append([]string{"--raw", "-p", "The wolf"}, longAnswer...)...)
	if code, text := user.run("", args...); code != 0 {
		t.Fatal(text)
	}
	want := succeeds(t, "", args...)
	run := writing(t, args...)
	if _, text := user.run("", "list"); text != "" {
		t.Errorf("list says %q", text)
	}
	if code, text := user.run("", "rm", hubtest.Repository); code != 0 || !strings.HasPrefix(text, "removed fables/tiny-gpt@main int8, ") {
		t.Errorf("exit code %d, %q", code, text)
	}
	rest, err := io.ReadAll(run.rest)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil || string(run.first)+string(rest) != want {
		t.Errorf("%v, %q: wrote %q, want %q", err, run.stderr.String(), string(run.first)+string(rest), want)
	}
}

//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format/trials"
)

// largeHubEnvironment, if it is set, makes the model of the tests that kill one of 124 million parameters:
//
//	TTI_HUB_LARGE=1 go test ./cmd/tti -run TestConvertKilled -v
const largeHubEnvironment = "TTI_HUB_LARGE"

// shardedModel is written as models are that are too large for one file.
var shardedModel = synthetic.Model{Vocabulary: 1000, Context: 64, Embedding: 128, Layers: 4, Heads: 4, Type: "BF16", Shards: 3}

// killedModel is what is converted by processes that are killed.
func killedModel() synthetic.Model {
	model := shardedModel
	if os.Getenv(largeHubEnvironment) != "" {
		model = synthetic.Models["gpt2"].(synthetic.Model)
		model.Type, model.Shards = shardedModel.Type, shardedModel.Shards
	}
	return model
}

// writeSynthetic writes a model and returns its directory and the contents of its files.
func writeSynthetic(t *testing.T, model synthetic.Model) (directory string, files map[string][]byte) {
	t.Helper()
	directory, files = t.TempDir(), map[string][]byte{}
	if err := synthetic.Write(t.Context(), directory, model); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, directory) {
		files[name] = readFile(t, filepath.Join(directory, name))
	}
	return directory, files
}

// names lists a directory.
func names(t *testing.T, directory string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

// announced is what is said before weights are downloaded.
const announced = `fables/tiny-gpt[^\n]*: downloading [\d.]+ MB of weights, 3 files, to HuggingFace's cache\n`

// hubUser is somebody with an empty cache and an empty working directory, who converts from a hub.
type hubUser struct {
	t                         *testing.T
	endpoint, home, directory string
}

func newHubUser(t *testing.T, hub *hubtest.Server) *hubUser {
	return &hubUser{t, hub.URL(), t.TempDir(), t.TempDir()}
}

// command returns a process of the program that has not been started.
func (u *hubUser) command(args ...string) *exec.Cmd {
	u.t.Helper()
	cmd := command(u.t, args...)
	cmd.Dir = u.directory
	cmd.Env = append(cmd.Env, "HF_ENDPOINT="+u.endpoint, "HF_HOME="+u.home, "HF_TOKEN="+hubtest.Token,
		"HF_HUB_CACHE=", "HUGGINGFACE_HUB_CACHE=", "HOME="+u.home, "XDG_CACHE_HOME=", "HF_HUB_OFFLINE=", "TRANSFORMERS_OFFLINE=", "HF_HUB_DISABLE_IMPLICIT_TOKEN=")
	return cmd
}

// run runs the program with one more variable set, and returns its exit code and standard error.
func (u *hubUser) run(environment string, args ...string) (code int, stderr string) {
	u.t.Helper()
	cmd := u.command(args...)
	cmd.Env = append(cmd.Env, environment)
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// partials returns the lengths of downloads under way, by name.
func (u *hubUser) partials() map[string]int64 {
	found := map[string]int64{}
	filepath.WalkDir(u.home, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".incomplete") {
			if info, err := entry.Info(); err == nil {
				found[entry.Name()] = info.Size()
			}
		}
		return nil
	})
	return found
}

// halfThenHang lets the store send half of every file at the first attempt, and no more.
func halfThenHang(hub *hubtest.Server) {
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
		if attempt > 1 {
			return false
		}
		sendHalf(hub, w, r, content)
		return true
	}
}

// sendHalf sends half of a file and then nothing more.
func sendHalf(hub *hubtest.Server, w http.ResponseWriter, r *http.Request, content []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.Write(content[:len(content)/2])
	w.(http.Flusher).Flush()
	hub.Hang(r)
}

// waitForHalves waits until half of every shard has arrived.
func (u *hubUser) waitForHalves(files map[string][]byte) {
	u.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		arrived, partials := true, u.partials()
		for name, content := range files {
			if hubtest.IsLarge(name) {
				arrived = arrived && partials[hubtest.ETag(name, content)+".incomplete"] == int64(len(content)/2)
			}
		}
		if arrived {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("the halves do not arrive: %v", partials)
		}
	}
}

// TestConvertKilledDuringDownload kills the program when half of every shard is there. The next one
// fetches the other halves only and writes the file that the same model in a directory gives.
func TestConvertKilledDuringDownload(t *testing.T) {
	directory, files := writeSynthetic(t, killedModel())
	local := filepath.Join(t.TempDir(), "local.tti")
	if o := tti(t, "", "convert", directory, "--mode", "int4", "-o", local); o.code != 0 {
		t.Fatal(o.stderr)
	}
	hub := hubtest.New(t, files)
	halfThenHang(hub)
	user := newHubUser(t, hub)

	cmd := user.command("convert", hubtest.Repository, "--mode", "int4")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	user.waitForHalves(files)
	cmd.Process.Kill()
	cmd.Wait()
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("killed during the download, it leaves %q", left)
	}

	code, stderr := user.run("", "convert", hubtest.Repository, "--mode", "int4")
	if code != 0 || !strings.Contains(stderr, "from the hub's cache") {
		t.Fatalf("exit code %d, standard error %q", code, stderr)
	}
	total := int64(0)
	for name, content := range files {
		total += int64(len(content))
		if !hubtest.IsLarge(name) {
			continue
		}
		want := []string{"STORE " + name, fmt.Sprintf("STORE %s bytes=%d-", name, len(content)/2)}
		if got := hub.Seen("STORE " + name); !slices.Equal(got, want) {
			t.Errorf("requests %q, want %q", got, want)
		}
	}
	t.Logf("%d bytes served for files of %d bytes", hub.Served(), total)
	if hub.Served() > total*3/2 {
		t.Errorf("%d bytes served for files of %d bytes", hub.Served(), total)
	}
	target := filepath.Join(user.directory, "tiny-gpt-int4.tti")
	if !bytes.Equal(readFile(t, target), readFile(t, local)) {
		t.Error("the file differs from the local conversion's")
	}
	if left := names(t, user.directory); len(left) != 1 {
		t.Errorf("beside the target there is %q", left)
	}
	if left := user.partials(); len(left) > 0 {
		t.Errorf("the cache holds %v", left)
	}
}

// TestConvertKilledAnyTime kills the program at random moments while it replaces a file by another: it
// is the old one or the new one, whole, and the next run leaves nothing beside it. The moments are new
// ones every time.
func TestConvertKilledAnyTime(t *testing.T) {
	if testing.Short() && !trials.Asked() {
		t.Skip("starts many processes")
	}
	kills := trials.Count(t, 20, 20)
	source, _ := writeSynthetic(t, killedModel())
	directory := t.TempDir()
	target := filepath.Join(directory, "out.tti")
	versions := map[string][]byte{}
	var whole time.Duration
	for _, mode := range []string{"int8", "f32"} {
		began := time.Now()
		if text, err := command(t, "convert", source, "--mode", mode, "-o", target).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		whole = time.Since(began)
		versions[mode] = readFile(t, target)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	was, finished, debris := "f32", 0, 0
	for i := range kills {
		next := map[string]string{"int8": "f32", "f32": "int8"}[was]
		cmd := command(t, "convert", source, "--mode", next, "-o", target)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole) * 5 / 4))) // some shall come too late
		cmd.Process.Kill()
		cmd.Wait()
		if len(names(t, directory)) > 1 {
			debris++
		}
		switch got := readFile(t, target); {
		case bytes.Equal(got, versions[next]):
			was, finished = next, finished+1
		case !bytes.Equal(got, versions[was]):
			t.Fatalf("kill %d of seed %d: %d bytes that are neither the old file nor the new one", i, seed, len(got))
		}
		if i%4 == 3 { // several kills may come before a run that ends
			if o := tti(t, "", "convert", source, "--mode", was, "-o", target); o.code != 0 {
				t.Fatal(o.stderr)
			}
			if left := names(t, directory); len(left) != 1 {
				t.Fatalf("kill %d of seed %d: after the next run there is %q", i, seed, left)
			}
		}
	}
	t.Logf("%d kills within %v: %d times the new file, %d times something for the next run to clear", kills, whole, finished, debris)
}

// TestConvertInterrupted presses Ctrl-C during the download and during the conversion.
func TestConvertInterrupted(t *testing.T) {
	_, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	halfThenHang(hub)
	user := newHubUser(t, hub)
	cmd := user.command("convert", hubtest.Repository)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	user.waitForHalves(files)
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !regexp.MustCompile(`^`+announced+`tti: interrupted\n$`).MatchString(stderr.String()) {
		t.Errorf("exit code %d, standard error %q", code, stderr.String())
	}
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("interrupted, it leaves %q", left)
	}
	if len(user.partials()) == 0 {
		t.Error("what has been downloaded is not kept")
	}

	large := shardedModel
	large.Embedding, large.Layers = 512, 6
	source, _ := writeSynthetic(t, large)
	for range 10 { // it may be done before the signal arrives
		cmd = user.command("convert", source, "-o", "out.tti")
		stderr.Reset()
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if _, err := os.Stat(filepath.Join(user.directory, "out.tti.partial")); err == nil {
				break
			}
		}
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != 0 {
			break
		}
		if err := os.Remove(filepath.Join(user.directory, "out.tti")); err != nil {
			t.Fatal(err)
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 || stderr.String() != "tti: interrupted\n" {
		t.Errorf("exit code %d, standard error %q", code, stderr.String())
	}
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("interrupted, it leaves %q", left)
	}
}

// TestConvertFromHub goes through what a user of the hub meets.
func TestConvertFromHub(t *testing.T) {
	source, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	user := newHubUser(t, hub)
	expect := func(environment string, code int, pattern string, args ...string) {
		t.Helper()
		got, stderr := user.run(environment, append([]string{"convert"}, args...)...)
		if got != code || !regexp.MustCompile(`^(?:`+pattern+`)\n$`).MatchString(stderr) {
			t.Errorf("%s tti convert %q: exit code %d, standard error %q, want %d and %q", environment, args, got, stderr, code, pattern)
		}
	}
	const offline, unreachable = "HF_HUB_OFFLINE=1", "HF_ENDPOINT=http://127.0.0.1:1"
	const converted = `tiny-gpt-int8\.tti: .* from the hub's cache in .* s`

	expect(offline, 1, `tti: convert fables/tiny-gpt: no such directory, and hub fables/tiny-gpt: offline and not in the cache: .*HF_HUB_OFFLINE.*`, hubtest.Repository)
	expect("", 1, `tti: convert fables/tiny-gpt: write nowhere/x\.tti: directory nowhere: .*`, hubtest.Repository, "-o", "nowhere/x.tti")
	expect("", 1, `tti: convert fables/tiny-gpt: [^\n]*is a directory, want a file`, hubtest.Repository, "-o", user.directory)
	if seen := hub.Seen(""); len(seen) > 0 {
		t.Errorf("the hub is asked although nothing can come of it: %q", seen)
	}
	expect("", 0, announced+converted, hubtest.Repository)
	served := hub.Served()
	expect(offline, 0, converted, hubtest.Repository)
	if hub.Served() != served {
		t.Error("offline, the hub is asked")
	}
	expect(unreachable, 0, `tti: fables/tiny-gpt: the hub cannot be asked [^\n]*127\.0\.0\.1:1[^\n]*; the cached commit 0123456 is used\n`+converted, hubtest.Repository)

	local := filepath.Join(user.directory, hubtest.Repository)
	if err := os.MkdirAll(filepath.Dir(local), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(local, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	served = hub.Served()
	expect("", 0, `tiny-gpt-int8\.tti: .* from local directory fables/tiny-gpt in .* s`, hubtest.Repository)
	if hub.Served() != served {
		t.Error("the hub is asked although there is a local directory")
	}

	unsupported := maps.Clone(files)
	unsupported["config.json"] = []byte(`{"model_type":"mamba"}`)
	other := hubtest.New(t, unsupported)
	user = newHubUser(t, other)
	expect("", 1, `tti: convert fables/tiny-gpt: config\.json: model_type "mamba" is not supported \(supported: gpt2, .*\)`, hubtest.Repository)
	if seen := other.Seen("STORE"); len(seen) > 0 {
		t.Errorf("weights are downloaded that are of no use: %q", seen)
	}
	lacking := maps.Clone(files)
	lacking["config.json"] = bytes.Replace(files["config.json"], []byte(`"n_layer": 4`), []byte(`"n_layer": 5`), 1)
	user = newHubUser(t, hubtest.New(t, lacking))
	expect("", 1, announced+`tti: convert fables/tiny-gpt@main: tensor h\.4\.ln_1\.weight: missing.*`, hubtest.Repository+"@main")

	pickled := map[string][]byte{"config.json": files["config.json"], "vocab.json": files["vocab.json"],
		"merges.txt": files["merges.txt"], "pytorch_model.bin": []byte("\x80\x04")}
	user = newHubUser(t, hubtest.New(t, pickled))
	expect("", 1, `tti: .*no safetensors weights: only pickled ones \(pytorch_model\.bin\).* runs the code in it.*`, hubtest.Repository)
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("refused, it leaves %q", left)
	}
}

// TestConvertTwice lets two processes download one model into one cache at the same time.
func TestConvertTwice(t *testing.T) {
	_, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	hub.OnStore = func(http.ResponseWriter, *http.Request, []byte, int) bool {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && len(hub.Seen("GET /api/models/")) < 2; {
			time.Sleep(time.Millisecond) // until the second process is at work too
		}
		return false
	}
	user := newHubUser(t, hub)
	targets := []string{"int8.tti", "again.tti"}
	var processes []*exec.Cmd
	for _, target := range targets {
		cmd := user.command("convert", hubtest.Repository, "-o", target)
		cmd.Stderr = new(bytes.Buffer)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, cmd)
	}
	for _, cmd := range processes {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, cmd.Stderr)
		}
	}
	for name := range files {
		if got := hub.Seen("STORE " + name); hubtest.IsLarge(name) && len(got) != 1 {
			t.Errorf("requests %q, want one", got)
		}
	}
	if !bytes.Equal(readFile(t, filepath.Join(user.directory, targets[0])), readFile(t, filepath.Join(user.directory, targets[1]))) {
		t.Error("the files differ")
	}
}

// TestRunOnTruncatedFile truncates the file while the program decodes from its mapping.
func TestRunOnTruncatedFile(t *testing.T) {
	for _, length := range []int64{0, 4096, int64(len(readFile(t, draftInt8))) / 2} {
		path := filepath.Join(t.TempDir(), "truncated.tti")
		if err := os.WriteFile(path, readFile(t, draftInt8), 0o666); err != nil {
			t.Fatal(err)
		}
		run := writing(t, append([]string{"run", path, "--prompt", "The wolf"}, longAnswer...)...)
		if err := os.Truncate(path, length); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, run.rest)
		run.Wait()
		if code := run.ProcessState.ExitCode(); code != 1 || !regexp.MustCompile(`^tti: [^\n]*truncated[^\n]*\n$`).MatchString(run.stderr.String()) {
			t.Errorf("truncated to %d bytes: exit code %d, standard error %q", length, code, run.stderr.String())
		}
	}
}

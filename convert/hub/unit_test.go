package hub

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
	"github.com/tti-llm/tti/convert/modelfiles"
)

func TestParseReference(t *testing.T) {
	for text, want := range map[string]Reference{
		"gpt2":                            {"gpt2", ""},
		"distilgpt2":                      {"distilgpt2", ""},
		"openai-community/gpt2":           {"openai-community/gpt2", ""},
		"org/name_1.5@v1.0":               {"org/name_1.5", "v1.0"},
		"gpt2@refs/pr/1":                  {"gpt2", "refs/pr/1"},
		"org/name@" + hubtest.Commit:      {"org/name", hubtest.Commit},
		"__DUMMY_USER__/EleutherAI_gpt-j": {"__DUMMY_USER__/EleutherAI_gpt-j", ""},
	} {
		if got, err := ParseReference(text); got != want || err != nil || got.String() != text {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "/", "a/", "/a", "a/b/c", "./a", "../a", "a/..", "..", ".", "~/a", "/abs/path", `C:\model`, `a\b`, "a b", "a--b", "a..b", "-a", "a.",
		"gpt2@", "gpt2@../x", "gpt2@/x", "gpt2@a/../b", "gpt2@a//b", "gpt2@.", "gpt2@a\x00", `gpt2@a\b`, "@main", "ü", strings.Repeat("a", 97),
	} {
		if got, err := ParseReference(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
	for text, want := range map[string]Reference{
		"https://huggingface.co/org/name":                          {"org/name", ""},
		"https://huggingface.co/org/name/":                         {"org/name", ""},
		"http://HuggingFace.co/org/name":                           {"org/name", ""},
		"https://www.huggingface.co/gpt2":                          {"gpt2", ""},
		"huggingface.co/org/name":                                  {"org/name", ""},
		"hf.co/org/name":                                           {"org/name", ""},
		"https://hf.co/org/name?library=transformers#top":          {"org/name", ""},
		"https://huggingface.co/org/name/tree/v1.0":                {"org/name", "v1.0"},
		"https://huggingface.co/gpt2/tree/main":                    {"gpt2", "main"},
		"hf.co/org/name/tree/refs%2Fpr%2F1":                        {"org/name", "refs/pr/1"},
		"hf.co/org/name/tree/refs/pr/1":                            {"org/name", "refs/pr/1"},
		"hf.co/org/name/blob/" + hubtest.Commit + "/config.json":   {"org/name", hubtest.Commit},
		"https://huggingface.co/org/name/resolve/main/config.json": {"org/name", "main"},
		"hf.co/org/name@v1.0":                                      {"org/name", "v1.0"},
		"hf.co/org/tree":                                           {"org/tree", ""},
	} {
		if got, err := ParseReference(text); got != want || err != nil {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"https://example.com/org/name", "https://huggingface.co", "https://huggingface.co/", "hf.co", "https://huggingface.co/datasets/org/name",
		"hf.co/org/name/tree/..%2F..%2Fx", "hf.co/org/name/tree/%zz", "hf.co/../x", "hf.co/org/name/discussions/1", "ftp://huggingface.co/org/name",
	} {
		if got, err := ParseReference(text); err == nil || errors.Is(err, ErrAddress) == strings.HasPrefix(text, "ftp:") {
			t.Errorf("%q: got %+v and %v, want an error", text, got, err)
		}
	}
	// A Reference made by hand is checked as well, before anything is touched.
	if _, err := new(Client).Fetch(t.Context(), Reference{Repository: "../x"}, nil); err == nil {
		t.Error("a hostile reference was fetched")
	}
}

func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(home, ".cache", "huggingface", "token"), "hf_default\n")
	write(filepath.Join(home, "hf", "token"), "hf_in_home")
	write(filepath.Join(home, "elsewhere"), " hf_elsewhere ")
	hubIn := func(parts ...string) string { return filepath.Join(append([]string{home}, parts...)...) }
	standard := hubIn(".cache", "huggingface", "hub")

	type environment map[string]string
	for _, test := range []struct {
		set  environment
		want Client
	}{
		{environment{}, Client{Cache: standard, Token: "hf_default"}},
		{environment{"XDG_CACHE_HOME": hubIn("xdg")}, Client{Cache: hubIn("xdg", "huggingface", "hub")}},
		{environment{"XDG_CACHE_HOME": hubIn("xdg"), "HF_HOME": "~/hf"}, Client{Cache: hubIn("hf", "hub"), Token: "hf_in_home"}},
		{environment{"HF_HOME": "$HOME/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, Client{Cache: "/old", Token: "hf_in_home"}},
		{environment{"HF_HOME": "~/hf", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "~/new"}, Client{Cache: hubIn("new"), Token: "hf_in_home"}},
		{environment{"HF_TOKEN_PATH": "~/elsewhere"}, Client{Cache: standard, Token: "hf_elsewhere"}},
		{environment{"HF_TOKEN_PATH": "~/elsewhere", "HF_TOKEN": "hf_direct\n"}, Client{Cache: standard, Token: "hf_direct"}},
		{environment{"HUGGING_FACE_HUB_TOKEN": "hf_old"}, Client{Cache: standard, Token: "hf_old"}},
		{environment{"HF_TOKEN": "hf_direct", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, Client{Cache: standard}},
		{environment{"HF_TOKEN_PATH": "~/missing", "HF_ENDPOINT": "https://mirror.example/"}, Client{Cache: standard, Endpoint: "https://mirror.example/"}},
		{environment{"HF_TOKEN_PATH": "~/missing", "HF_HUB_OFFLINE": "1"}, Client{Cache: standard, Offline: true}},
		{environment{"HF_TOKEN_PATH": "~/missing", "HF_HUB_OFFLINE": "yes"}, Client{Cache: standard, Offline: true}},
		{environment{"HF_TOKEN_PATH": "~/missing", "TRANSFORMERS_OFFLINE": "True"}, Client{Cache: standard, Offline: true}},
		{environment{"HF_TOKEN_PATH": "~/missing", "HF_HUB_OFFLINE": "0"}, Client{Cache: standard}},
	} {
		t.Run(fmt.Sprint(test.set), func(t *testing.T) {
			for _, name := range []string{"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
				"HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
				t.Setenv(name, test.set[name])
			}
			t.Setenv("HOME", home)
			t.Setenv("USERPROFILE", home)
			got, err := FromEnvironment()
			if err != nil || !reflect.DeepEqual(*got, test.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		has, want string // separated by spaces; want empty: refused
		err       error
	}{
		{"config.json model.safetensors vocab.json merges.txt tokenizer.json chat_template.jinja", "config.json model.safetensors tokenizer.json chat_template.jinja", nil},
		{"config.json model.safetensors vocab.json merges.txt", "config.json model.safetensors vocab.json merges.txt", nil},
		{"config.json model.safetensors tokenizer.model", "", ErrNotFound},
		{"config.json model.safetensors model.safetensors.index.json tokenizer.json", "config.json model.safetensors tokenizer.json", nil},
		{"config.json model.safetensors.index.json vocab.json tokenizer.json", "config.json model.safetensors.index.json tokenizer.json", nil},
		{"config.json model.safetensors pytorch_model.bin tokenizer.json added_tokens.json tokenizer_config.json special_tokens_map.json generation_config.json",
			"config.json model.safetensors tokenizer.json generation_config.json special_tokens_map.json added_tokens.json tokenizer_config.json", nil},
		{"model.safetensors vocab.json merges.txt", "", ErrNotFound},
		{"config.json model.safetensors vocab.json", "", ErrNotFound},
		{"config.json vocab.json merges.txt pytorch_model.bin", "", ErrNoSafetensors},
		{"config.json vocab.json merges.txt pytorch_model.bin.index.json pytorch_model-00001-of-00002.bin", "", ErrNoSafetensors},
		{"config.json vocab.json merges.txt model.gguf", "", ErrNoSafetensors},
		{"config.json vocab.json merges.txt onnx/model.safetensors", "", ErrNoSafetensors},
	} {
		files, sharded, err := choose(strings.Fields(test.has))
		if got := strings.Join(files, " "); got != test.want || !errors.Is(err, test.err) || sharded != slices.Contains(files, modelfiles.Index) {
			t.Errorf("%s: got %q, %v; want %q, %v", test.has, got, err, test.want, test.err)
		}
		if pickled := strings.Contains(test.has, ".bin"); test.err == ErrNoSafetensors && pickled != strings.Contains(err.Error(), "runs the code") {
			t.Errorf("%s: %v", test.has, err)
		}
	}
}

// TestLimitsAreDocumented compares the table in the package's documentation with what the code goes by.
func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	d := defaultTiming
	rows := [][2]string{
		{"a request", fmt.Sprintf("%v for the header, then %d bytes in every %[1]v", d.stall, d.least)},
		{"attempts", fmt.Sprintf("%d at a request, or at %d bytes of a download", d.attempts, d.advance)},
		{"waits between attempts", fmt.Sprintf("%v each", d.longest)},
		{"redirects", fmt.Sprint(maxRedirects)},
		{"header of an answer", fmt.Sprintf("%d bytes", maxHeader)},
		{"listing of a repository", fmt.Sprintf("%d bytes", maxListing)},
	}
	for _, name := range []string{
		modelfiles.Configuration, modelfiles.Generation, modelfiles.Vocabulary, modelfiles.Merges, modelfiles.Tokenizer,
		modelfiles.TokenizerConfig, modelfiles.AddedTokens, modelfiles.SpecialTokensMap, modelfiles.ChatTemplate,
	} {
		rows = append(rows, [2]string{name, fmt.Sprintf("%d bytes", modelfiles.MaxSize(name))})
	}
	rows = append(rows,
		[2]string{modelfiles.Index, fmt.Sprintf("%d bytes, %d tensors in %d files", modelfiles.MaxSize(modelfiles.Index), modelfiles.MaxTensors, modelfiles.MaxShards)},
		[2]string{"weights", "what the hub has announced"})
	var table strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&table, "//\t%-31s%s\n", row[0], row[1])
	}
	if !strings.Contains(string(text), "\n//\n"+table.String()+"//\n") {
		t.Errorf("doc.go lacks the table\n%s", table.String())
	}
}

// TestDigest holds the digests against known ones: `git hash-object` of an empty file and of "hello\n",
// and `sha256sum` of the latter.
func TestDigest(t *testing.T) {
	for etag, content := range map[string]string{
		"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391":                         "",
		"ce013625030ba8dba906f756967f9e9ca394464a":                         "hello\n",
		"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03": "hello\n",
	} {
		d := &download{etag: etag, size: int64(len(content))}
		d.restart()
		d.accept([]byte(content))
		if err := d.verify(); err != nil || d.digest == nil {
			t.Errorf("%q: %v", content, err)
		}
		d.accept([]byte("!"))
		if err := d.verify(); !errors.Is(err, ErrMismatch) {
			t.Errorf("%q and more: %v", content, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		retry, limit string
		want         time.Duration
	}{
		{"", "", 0},
		{"12", "", 12 * time.Second},
		{"12", `"api";r=0;t=55`, 12 * time.Second},
		{"", `"api";r=0;t=55`, 55 * time.Second},
		{"", `"api"; r=0; t=55`, 55 * time.Second},
		{"Thu, 02 Jan 2025 03:05:05 GMT", "", time.Minute},
		{"Thu, 02 Jan 2020 03:05:05 GMT", "", 0},
		{"-5", "", 0},
		{"99999999999999999999", "", 0},
		{"soon", "", 0},
	} {
		header := http.Header{}
		header.Set("Retry-After", test.retry)
		header.Set("RateLimit", test.limit)
		if got := retryAfter(header, now); got != test.want {
			t.Errorf("Retry-After %q, RateLimit %q: got %v, want %v", test.retry, test.limit, got, test.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, address := range []string{"ftp://hub", "hub.example", "://", "http://", "/path"} {
		c := &Client{Endpoint: address, Cache: t.TempDir()}
		if _, err := c.Fetch(t.Context(), testReference, nil); err == nil || !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%q: %v", address, err)
		}
	}
	e, err := newEndpoint("https://mirror.example/hf/")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := e.file("org/name", "c0ffee", "a b/ü#?.json"), "https://mirror.example/hf/org/name/resolve/c0ffee/a%20b/%C3%BC%23%3F.json"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := e.listing(Reference{"gpt2", "refs/pr/1"}), "https://mirror.example/hf/api/models/gpt2/revision/refs%2Fpr%2F1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestPublish makes a blob visible on systems that have symbolic links, hard links, or neither.
func TestPublish(t *testing.T) {
	none := func(string, string) error { return errors.ErrUnsupported }
	for name, linkers := range map[string][]linker{
		"default":   linkers,
		"hard link": {none, os.Link},
		"copy":      {none, none},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := newFolder(t.TempDir(), hubtest.Repository)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(f.blob("x")), 0o777), os.WriteFile(f.blob("x"), []byte("content"), 0o666)); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"config.json", "deep/down/config.json", "config.json"} {
				if err := f.publish("x", hubtest.Commit, file, linkers); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(filepath.Join(f.root, "models--fables--tiny-gpt", "snapshots", hubtest.Commit, file)); string(got) != "content" {
					t.Errorf("%s: %q, %v", file, got, err)
				}
			}
			if entries, _ := os.ReadDir(f.snapshot(hubtest.Commit)); len(entries) != 2 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// TestUnknownHost is not tried again: a wrong name in HF_ENDPOINT, or a computer without a network, would
// only make the user wait. A name server that fails may do better the next time.
func TestUnknownHost(t *testing.T) {
	s := &session{timing: quickTiming(nil)}
	for _, test := range []struct {
		notFound bool
		want     int
	}{{true, 1}, {false, s.timing.attempts}} {
		tries := 0
		err := s.retry(t.Context(), s.timing.attempts, func() (bool, error) {
			tries++
			lookup := &net.DNSError{Err: "fails", Name: "hub.invalid", IsNotFound: test.notFound}
			return false, networkError("hub.invalid", &url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Err: lookup}})
		})
		if tries != test.want || !errors.As(err, new(*transientError)) {
			t.Errorf("not found %v: %d tries, want %d; %v", test.notFound, tries, test.want, err)
		}
	}
}

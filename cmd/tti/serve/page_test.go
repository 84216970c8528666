package serve

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const aliceKey = "a-key-that-is-long-enough"

// keysOf returns the keys of a file with these lines.
func keysOf(t testing.TB, lines string) *Keys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// getPage returns a file of the page.
func (c client) getPage(address string) (http.Header, string) {
	c.Helper()
	r := c.send("GET", address, "")
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		c.Fatalf("%s: status %d, %v", address, r.StatusCode, err)
	}
	return r.Header, string(text)
}

// TestPageHeaders asks for every file, without a key: the page is what asks for it.
func TestPageHeaders(t *testing.T) {
	c := serve(t, Options{Keys: keysOf(t, "alice "+aliceKey)})
	addresses := []string{"/"}
	files, err := fs.Glob(pageFiles, "page/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		addresses = append(addresses, "/"+file)
	}
	for _, address := range addresses {
		header, text := c.getPage(address)
		kind, known := pageTypes[path.Ext(address)]
		if address == "/" {
			kind, known = "text/html; charset=utf-8", true
		}
		if !known || header.Get("Content-Type") != kind || header.Get("X-Content-Type-Options") != "nosniff" || text == "" {
			t.Errorf("%s: %d bytes, header %v", address, len(text), header)
		}
		checkPolicy(t, address, header.Get("Content-Security-Policy"))
	}
	for _, address := range []string{"/page/none.js", "/page/..%2fpage.go", "/page/%2e%2e", "/page/"} {
		c.ask(404, "GET", address, "")
	}
	c.ask(405, "POST", "/", "{}")
}

// checkPolicy holds a policy to what keeps a page safe: nothing but the server's own files, nothing inline, no text made code.
func checkPolicy(t *testing.T, address, policy string) {
	t.Helper()
	directives := map[string]string{}
	for directive := range strings.SplitSeq(policy, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
		directives[name] = value
		if value != "'self'" && value != "'none'" && name != "require-trusted-types-for" {
			t.Errorf("%s: the policy allows %q", address, directive)
		}
	}
	for _, name := range []string{"default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"} {
		if directives[name] != "'none'" {
			t.Errorf("%s: the policy %q does not close %s", address, policy, name)
		}
	}
	if directives["require-trusted-types-for"] != "'script'" {
		t.Errorf("%s: the policy %q lets scripts turn text into HTML", address, policy)
	}
}

// inFiles is what must not stand in files of the page.
var inFiles = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"an address elsewhere", regexp.MustCompile(`(?i)\b(https?|wss?):|["'(]//`)},
	{"HTML made of text", regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function`)},
	{"an inline style or handler", regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:`)},
	{"an inline script", regexp.MustCompile(`(?i)<script(\s+type="module")?\s*>`)},
}

// namespace is not fetched by anybody: it says what language a file is written in.
const namespace = `xmlns="http://www.w3.org/2000/svg"`

func TestPageFiles(t *testing.T) {
	files, err := fs.Glob(pageFiles, "page/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := pageFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), namespace, "")
		for _, forbidden := range inFiles {
			if found := forbidden.pattern.FindString(text); found != "" {
				t.Errorf("%s: %q is %s", file, found, forbidden.what)
			}
		}
		checkReferences(t, file, text)
	}
}

var references = regexp.MustCompile(`(?:href|src)="([^"#]+)"|from "\./([^"]+)"`)

// checkReferences looks for the files that a file needs.
func checkReferences(t *testing.T, file, text string) {
	t.Helper()
	for _, found := range references.FindAllStringSubmatch(text, -1) {
		needed := found[1]
		if needed == "" {
			needed = path.Join("page", found[2])
		}
		if _, err := pageFiles.ReadFile(needed); err != nil {
			t.Errorf("%s needs %s: %v", file, needed, err)
		}
	}
}

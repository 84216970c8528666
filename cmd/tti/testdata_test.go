package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDataIsExplained holds the READMEs of testdata against what is there: the first one has a row for every folder, and all name
// files and folders that exist.
func TestDataIsExplained(t *testing.T) {
	const top = "../../testdata"
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() && !regexp.MustCompile("(?m)^\\| .*`"+regexp.QuoteMeta(entry.Name())+"/`.* \\|").Match(text) {
			t.Errorf("testdata/README.md has no row for %s", entry.Name())
		}
	}

	quoted := regexp.MustCompile("`([^` ]+)`")
	paths := 0
	err = fs.WalkDir(os.DirFS(top), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Base(name) != "README.md" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			return err
		}
		for _, match := range quoted.FindAllStringSubmatch(string(text), -1) {
			word := match[1]
			if !strings.Contains(word, "/") && !regexp.MustCompile(`^[\w.*-]+\.(json|jsonl|txt|f32|md|py|tti)$`).MatchString(word) || strings.ContainsAny(word, `<\{`) {
				continue // no path
			}
			paths++
			found := false
			places := []string{path.Dir(name), ".."} // beside the README, from the top
			if !strings.Contains(word, "/") {        // a file of folders that the text has just named
				places = append(places, path.Dir(name)+"/*", path.Dir(name)+"/*/*")
			}
			for _, base := range places {
				matches, err := filepath.Glob(filepath.Join(top, base, word))
				if err != nil {
					return err
				}
				found = found || len(matches) > 0
			}
			if !found {
				t.Errorf("testdata/%s: %s is not there", name, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if paths < 20 {
		t.Errorf("%d paths found", paths)
	}
}

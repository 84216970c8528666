package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/cache"
	"github.com/tti-llm/tti/runtime/bench"
)

// jsonObjects are the objects that the program writes, by the titles of JSON.md.
var jsonObjects = map[string]reflect.Type{
	"tti bench --concurrency --json": reflect.TypeFor[concurrencyBench](),
	"tti run --json":                 reflect.TypeFor[answer](),
	"tti run --json --stream":        reflect.TypeFor[piece](),
	"tti eval --json":                reflect.TypeFor[evaluation](),
	"tti tokenize --json":            reflect.TypeFor[tokenized](),
	"tti inspect --json":             reflect.TypeFor[inspection](),
	"tti bench --json":               reflect.TypeFor[bench.Result](),
	"tti bench --draft --json":       reflect.TypeFor[draftBench](),
	"tti list --json":                reflect.TypeFor[cacheList](),
	"tti pull --json":                reflect.TypeFor[cache.Model](),
	"/save":                          reflect.TypeFor[saved](),
}

// elsewhere are fields whose own fields are documented in FORMAT.md, or are whatever a template knows.
var elsewhere = []string{"hyperparameters", "tokenizer.settings", "messages[]", "settings", "sources"}

// jsonPaths adds the paths of a type's fields to all, as in "stats.decode_tok_s" and "rows[].name".
func jsonPaths(all map[string]bool, prefix string, typ reflect.Type) {
	switch typ.Kind() {
	case reflect.Pointer:
		jsonPaths(all, prefix, typ.Elem())
	case reflect.Slice, reflect.Array:
		if typ.Elem().Kind() != reflect.Uint8 && !slices.Contains(elsewhere, prefix+"[]") {
			jsonPaths(all, prefix+"[]", typ.Elem())
		}
	case reflect.Struct:
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case name == "" && field.Anonymous:
				jsonPaths(all, prefix, field.Type)
			case name != "":
				path := strings.TrimPrefix(prefix+"."+name, ".")
				all[path] = true
				if !slices.Contains(elsewhere, path) {
					jsonPaths(all, path, field.Type)
				}
			}
		}
	default:
	}
}

// TestJSONIsDocumented compares the fields of all objects with those of JSON.md: none is missing there, and none is too much.
func TestJSONIsDocumented(t *testing.T) {
	text, err := os.ReadFile("JSON.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]map[string]bool{}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		fields := map[string]bool{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(body, -1) {
			fields[row[1]] = true
		}
		documented[strings.Trim(title, "`")] = fields
	}
	for title, typ := range jsonObjects {
		want := map[string]bool{}
		jsonPaths(want, "", typ)
		for path := range want {
			if !documented[title][path] {
				t.Errorf("%s: %s is not documented", title, path)
			}
		}
		for path := range documented[title] {
			if !want[path] {
				t.Errorf("%s: %s is documented, and there is none", title, path)
			}
		}
	}
	if len(documented) != len(jsonObjects) {
		t.Errorf("documented are %q", slices.Sorted(maps.Keys(documented)))
	}
}

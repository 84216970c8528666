package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// settings has what the formats read here have: nested structs, pointers, lists, maps, an embedded struct and a
// type with a decoder of its own.
type settings struct {
	common
	Count   int                `json:"count"`
	Sink    bool               `json:"sink"`
	Rate    *float64           `json:"rate"`
	Raw     json.RawMessage    `json:"raw"`
	Names   []string           `json:"names"`
	Inner   inner              `json:"inner"`
	Other   *inner             `json:"other"`
	List    []inner            `json:"list"`
	ByName  map[string]inner   `json:"by_name"`
	Deep    map[string][]inner `json:"deep"`
	Own     own                `json:"own"`
	Counts  map[string]int     `json:"counts"`
	Either  []either           `json:"either"`
	Ignored string             `json:"-"`
}

type common struct {
	Token string `json:"eos_token"`
}

type inner struct {
	ID   int    `json:"id"`
	Text string `json:"text,omitempty"`
}

// either stands in a text as a string or as an object.
type either struct {
	Text string `json:"text"`
	Sure bool   `json:"sure"`
}

func (e *either) UnmarshalText(text []byte) error {
	e.Text = string(text)
	return nil
}

type own struct{ text string }

func (o *own) UnmarshalJSON(data []byte) error {
	o.text = string(data)
	return nil
}

const everything = `{"eos_token":"<e>","count":3,"sink":true,"rate":1e2,"raw":[ 1],"names":["a","b"],"inner":{"id":1,"text":"x"},
	"other":{"id":2},"list":[{"id":3},{"text":"y"},null],"by_name":{"k":{"id":4}},"deep":{"k":[{"id":5}]},"own":{"z":0},"counts":{"K":7,"k":8},
	"unknown":{"id":[{}]}}`

// TestUnmarshalIsEncodingJSON compares with encoding/json what both must read alike.
func TestUnmarshalIsEncodingJSON(t *testing.T) {
	for _, text := range []string{
		everything, `{}`, `null`, ` {"count" : 1 } `, `{"other":null,"list":null,"by_name":null,"inner":null,"rate":null,"names":null,"raw":null}`,
		`{"eos_token":"\ud83d\ude00\u00e9\\u\\ud800\n\"","list":[],"by_name":{},"names":[]}`,
	} {
		var got, want settings
		got.List, want.List = []inner{{ID: 9}}, []inner{{ID: 9}}
		if err := Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, encoding/json has\n%+v", text, got, want)
		}
	}
}

// TestNamesMatchExactly has every field of every struct under a name that encoding/json takes for the field's own.
func TestNamesMatchExactly(t *testing.T) {
	for _, swap := range [][2]string{{"eos_token", "EOS_token"}, {"eos_token", "eo\u017f_token"}, {"sink", "\u017fin\u212a"}, {"count", "Count"},
		{"rate", "ratE"}, {"names", `name\u017f`}, {"list", "LIST"}, {"id", "Id"}, {"text", "texT"}} {
		text := strings.ReplaceAll(everything, `"`+swap[0]+`":`, `"`+swap[1]+`":`)
		without := strings.ReplaceAll(everything, `"`+swap[0]+`":`, `"nothing":`)
		var got, want, folded settings
		if err := Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(without), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is taken for %s: %+v", swap[1], swap[0], got)
		}
		if err := json.Unmarshal([]byte(text), &folded); err != nil || reflect.DeepEqual(folded, want) {
			t.Errorf("encoding/json does not take %s for %s: the test shows nothing", swap[1], swap[0])
		}
	}
	var got settings
	if err := Unmarshal([]byte(`{"count":1,"Count":2,"\u0063ount\u0000":3,"inner":{"id":4,"ID":5}}`), &got); err != nil || got.Count != 1 || got.Inner.ID != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStringOrObject(t *testing.T) {
	var got settings
	want := []either{{Text: "a"}, {Text: "b", Sure: true}, {}, {}}
	if err := Unmarshal([]byte(`{"either":["a",{"text":"b","sure":true,"Text":"c"},null,{}]}`), &got); err != nil || !reflect.DeepEqual(got.Either, want) {
		t.Errorf("%+v, %v, want %+v", got.Either, err, want)
	}
	if err := Unmarshal([]byte(`{"either":[1]}`), &got); err == nil {
		t.Errorf("a number is taken as %+v", got.Either)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                        "unexpected end of JSON input",
		`{"count":`:               "unexpected end of JSON input",
		`{} {}`:                   "invalid character '{' after top-level value",
		"\ufeff{}":                "invalid character",
		`{"count":1,}`:            "invalid character '}'",
		`[{} {}]`:                 "invalid character '{' after array element",
		`{"count":1,"count":1}`:   `"count" occurs twice`,
		`{"x":1,"\u0078":2}`:      `"x" occurs twice`,
		`{"x":[{"y":0,"y":0}]}`:   `"y" occurs twice`,
		`{"raw":{"y":0,"y":0}}`:   `"y" occurs twice`,
		`{"own":{"y":0,"y":0}}`:   `"y" occurs twice`,
		`{"":0,"a":{},"":0}`:      `"" occurs twice`,
		"{\"\xff\":0}":            "not UTF-8",
		`{"x":"\ud800"}`:          `\ud800 is half of a surrogate pair`,
		`{"x":"\udc00\ud800"}`:    `\udc00 is half of a surrogate pair`,
		`{"x":"\ud800\u0041"}`:    `\ud800 is half of a surrogate pair`,
		`{"x":"\\\uD800\\udc00"}`: `\uD800 is half of a surrogate pair`,
		`[]`:                      "want an object",
		`{"inner":"x"}`:           "inner: want an object",
		`{"list":{}}`:             "list: want a list",
		`{"by_name":{"k":1}}`:     `by_name: "k": want an object`,
		`{"list":[{"id":"x"}]}`:   "list: [0]: id: json: cannot unmarshal string",
		`{"count":1.5}`:           "count: json: cannot unmarshal number 1.5",
		`{"count":1` + strings.Repeat("0", 1<<20) + `}`:                                                                         "count: json: cannot unmarshal number 1000",
		strings.Repeat(`[`, 101) + strings.Repeat(`]`, 101):                                                                     "nested deeper than 100 levels",
		strings.Repeat(`[`, 10001) + strings.Repeat(`]`, 10001):                                                                 "exceeded max depth",
		`{"` + strings.Repeat("\x01", 0) + strings.Repeat(`\u001b`, 1<<16) + `":0,"` + strings.Repeat(`\u001b`, 1<<16) + `":0}`: `"\x1b\x1b`,
	} {
		var value settings
		err := Unmarshal([]byte(text), &value)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
			continue
		}
		if message := err.Error(); len(message) > 300 || strings.ContainsAny(message, "\n\x1b") {
			t.Errorf("%.60q: error is not one short line: %.400q", text, message)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		text   string
		want   string
	}{
		{Limits{Depth: 2}, `{"a":[1],"b":[]}`, ""},
		{Limits{Depth: 2}, `{"a":[[]]}`, "nested deeper than 2 levels"},
		{Limits{Entries: 3}, `{"a":{"b":0},"c":{"d":0}}`, ""},
		{Limits{Entries: 3}, `{"a":{"b":0},"c":{"d":{"e":0}}}`, "more than 3 entries"},
		{Limits{Entries: 3}, `[[1,[2]],[3,4]]`, "more than 3 entries"},
		{Limits{Entries: 4}, `[[1,[2]],[3,4]]`, ""},
		{Limits{Values: 5}, `{"a":[1,2],"b":3}`, "more than 5 names and values"},
		{Limits{Values: 7}, `{"a":[1,2],"b":3}`, ""},
	} {
		var value any
		err := c.limits.Unmarshal([]byte(c.text), &value)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %s: %v, want %q", c.limits, c.text, err, c.want)
		}
	}
}

// TestCheckAllocatesLittle has the texts that are the dearest to check.
func TestCheckAllocatesLittle(t *testing.T) {
	var names strings.Builder
	for i := range 3 << 20 {
		fmt.Fprintf(&names, `"%x":0,`, i)
	}
	for name, text := range map[string]string{
		"names":  "{" + names.String() + `"":0}`,
		"lists":  "[" + strings.Repeat("[["+strings.Repeat("[],", 1<<19)+"0],0],", 8) + "0]",
		"items":  "[" + strings.Repeat("0,", 4<<20) + "0]",
		"depths": "[" + strings.Repeat(strings.Repeat("[", 99)+strings.Repeat("]", 99)+",", 100_000) + "0]",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Limits{}.Check([]byte(text))
		runtime.ReadMemStats(&after)
		if (err == nil) != (name == "lists" || name == "depths") {
			t.Errorf("%s: %v", name, err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(20*len(text)) {
			t.Errorf("%s: %d bytes allocated for %d", name, allocated, len(text))
		}
	}
}

// FuzzUnmarshal holds the decoder to encoding/json: what it reads, encoding/json reads too, and the same where
// no name is another's fold.
func FuzzUnmarshal(f *testing.F) {
	f.Add(everything)
	f.Add(`{"eo\u017f_token":"x","list":[null,{"ID":1}],"x":"\ud83d\ude00"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var got, want settings
		err := Unmarshal([]byte(text), &got)
		if err != nil {
			return
		}
		if !folds(text) {
			if err := json.Unmarshal([]byte(text), &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, encoding/json has %+v, %v", got, want, err)
			}
		}
	})
}

// folds tells whether a text has characters that encoding/json may fold or that escapes may hide.
func folds(text string) bool {
	return strings.ContainsAny(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ\u017f\u212a\\")
}

// TestComplete refuses what lacks a field, at any depth, or has null in its place.
func TestComplete(t *testing.T) {
	type point struct {
		X int             `json:"x"`
		Y *int            `json:"y"`
		Z json.RawMessage `json:"z"`
	}
	type drawing struct {
		Name   string  `json:"name"`
		Points []point `json:"points"`
		Origin point   `json:"origin"`
	}
	whole := `{"name":"","points":[{"x":0,"y":null,"z":{}},{"x":1,"y":2,"z":3,"w":4}],"origin":{"x":0,"y":0,"z":0}}`
	for _, c := range [][3]string{
		{"", "", ""},
		{`"name":"",`, ``, "name is missing"}, {`"name"`, `"Name"`, "name is missing"}, {`"name":""`, `"name":null`, "name is missing"},
		{`,"origin":{"x":0,"y":0,"z":0}`, ``, "origin is missing"}, {`{"x":0,"y":0,"z":0}`, `null`, "origin is missing"}, {`"y":0,`, ``, "origin: y is missing"},
		{`"y":null,`, ``, "points: [0]: y is missing"}, {`"x":1,`, ``, "points: [1]: x is missing"}, {`"z":3`, `"z":null`, "points: [1]: z is missing"},
		{`{"x":0,"y":null,"z":{}}`, `null`, "points: [0]: is missing"},
	} {
		var got drawing
		text := strings.Replace(whole, c[0], c[1], 1)
		err := Limits{Complete: true}.Unmarshal([]byte(text), &got)
		if c[2] == "" && err != nil || c[2] != "" && (err == nil || err.Error() != c[2]) {
			t.Errorf("%s: %v, want %s", text, err, c[2])
		}
		if err := Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v where not all is asked for", text, err)
		}
	}
}

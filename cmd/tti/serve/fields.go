package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tti-llm/tti/format/strictjson"
)

// limits bound what a request may hold: a prompt of ids is the longest list.
var limits = strictjson.Limits{Depth: 32}

// harmless are fields of the interface that change no answer. They are taken and passed over.
var harmless = []string{
	"user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_options",
	"prompt_cache_breakpoint",
	"prompt_cache_retention", "parallel_tool_calls", "prediction",
}

// refused are fields of the interface, those of messages and of parts of them too, that ask for what is not there, each with the
// values that ask for nothing.
var refused = map[string][]string{
	"audio":              nil,
	"function_call":      {`"none"`, `"auto"`},
	"file":               nil,
	"functions":          {`[]`},
	"image_url":          nil,
	"input_audio":        nil,
	"modalities":         {`["text"]`},
	"moderation":         nil,
	"reasoning_effort":   {`"none"`},
	"refusal":            nil,
	"response_format":    {`{"type":"text"}`},
	"suffix":             {`""`},
	"tool_call_id":       nil,
	"tool_calls":         {`[]`},
	"tool_choice":        {`"none"`, `"auto"`},
	"tools":              {`[]`},
	"verbosity":          nil,
	"web_search_options": nil,
	"best_of":            {`1`},
}

// readBody returns the body of a request, which must be JSON. Its time has begun.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	// A page of some other site can send anything but this without being asked whether it may.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Message: "want a body with Content-Type: application/json", Type: invalidRequest, Code: "unsupported_media_type"}
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, most)); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, err
		}
		return nil, &Error{Status: http.StatusBadRequest, Message: "the body cannot be read", Type: invalidRequest, Code: "invalid_body"}
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{}) // or it would end the request
	return body.Bytes(), nil
}

// decode stores a request in the struct that value points to. What the struct has no field for is refused, unless it asks
// for nothing.
func decode(body []byte, value any) error {
	if err := limits.Check(body); err != nil {
		return badJSON("the body is no valid JSON: %v", err)
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil || given == nil {
		return badJSON("the body is no JSON object")
	}
	if err := checkNames("", given, fieldsOf(reflect.TypeOf(value).Elem())); err != nil {
		return err
	}
	if err := limits.Unmarshal(body, value); err != nil {
		return badValue(err)
	}
	return nil
}

// readObject stores an object of a request, which where names, in the struct that value points to. It refuses what decode does.
func readObject(where string, text json.RawMessage, value any) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil || given == nil {
		return badField(where, "want an object")
	}
	if err := checkNames(where+".", given, fieldsOf(reflect.TypeOf(value).Elem())); err != nil {
		return err
	}
	if err := limits.Unmarshal(text, value); err != nil {
		return badField(where, "%v", err)
	}
	return nil
}

func badJSON(text string, values ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(text, values...), Type: invalidRequest, Code: "invalid_json"}
}

// badValue tells of a value of the wrong type; err begins with the field's name.
func badValue(err error) *Error {
	e := badJSON("%v", err)
	e.Code = "invalid_type"
	e.Param, _, _ = strings.Cut(err.Error(), ":")
	return e
}

// checkNames refuses fields that are not known; where tells what they are fields of.
func checkNames(where string, given map[string]json.RawMessage, known []string) error {
	var names []string
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names) // so that of several the same one is named
	for _, name := range names {
		nothing, isRefused := refused[name]
		value := compact(given[name])
		switch {
		case slices.Contains(known, name), slices.Contains(harmless, name):
		case value == "null" || slices.Contains(nothing, value):
		case isRefused:
			return unsupported(where + name)
		default:
			return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("unrecognized request argument: %s%.60s", where, name), Type: invalidRequest, Param: fmt.Sprintf("%s%.60s", where, name), Code: "unknown_parameter"}
		}
	}
	return nil
}

// fieldsOf returns the names that a struct has fields for.
func fieldsOf(t reflect.Type) (names []string) {
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// compact returns JSON without white space.
func compact(text []byte) string {
	var b bytes.Buffer
	json.Compact(&b, text) // it is valid
	return b.String()
}

// encodeJSON returns a value as JSON in one line.
func encodeJSON(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // all that is encoded here can be
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

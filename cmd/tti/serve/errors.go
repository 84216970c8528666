package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/spec/engine"
)

// Error is a failure in the form that the interface gives it.
type Error struct {
	Status     int    `json:"-"` // of HTTP
	RetryAfter int    `json:"-"` // seconds, 0: the same request will not succeed later
	Message    string `json:"message"`
	Type       string `json:"type"`
	Param      string `json:"param"` // the field at fault, "" if none is
	Code       string `json:"code"`
}

func (e *Error) Error() string { return e.Message }

// MarshalJSON writes null for what is not known, as the interface does.
func (e *Error) MarshalJSON() ([]byte, error) {
	orNull := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return json.Marshal(struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Param   any    `json:"param"`
		Code    any    `json:"code"`
	}{e.Message, e.Type, orNull(e.Param), orNull(e.Code)})
}

// Types of errors.
const (
	invalidRequest = "invalid_request_error"
	rateLimit      = "rate_limit_error"
	serverError    = "server_error"
)

// badField says what is wrong with a field of a request.
func badField(param, text string, values ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: param + ": " + fmt.Sprintf(text, values...), Type: invalidRequest, Param: param, Code: "invalid_value"}
}

// unsupported says that a field asks for what is not there.
func unsupported(param string) *Error {
	return &Error{Status: http.StatusBadRequest, Message: param + " is not supported by this server", Type: invalidRequest, Param: param, Code: "unsupported_parameter"}
}

func notFound(text string, values ...any) *Error {
	return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf(text, values...), Type: invalidRequest, Code: "not_found"}
}

func unknownModel(name string) *Error {
	e := notFound("the model %.100q does not exist", name)
	e.Param, e.Code = "model", "model_not_found"
	return e
}

func tooLong(param string, tokens, context int) *Error {
	e := badField(param, "this model's maximum context length is %d tokens; the prompt has %d", context, tokens)
	e.Code = "context_length_exceeded"
	return e
}

var errDraining = &Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Message: "the server is shutting down", Type: serverError, Code: "shutting_down"}

// asError turns what went wrong into an Error.
func asError(err error) *Error {
	var known *Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &large):
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the request is larger than %d bytes", large.Limit), Type: invalidRequest, Code: "request_too_large"}
	case errors.Is(err, engine.ErrBusy):
		return &Error{Status: http.StatusTooManyRequests, RetryAfter: 1, Message: err.Error(), Type: rateLimit, Code: "rate_limit_exceeded"}
	case errors.Is(err, runtime.ErrContextFull):
		return &Error{Status: http.StatusBadRequest, Message: err.Error(), Type: invalidRequest, Code: "context_length_exceeded"}
	case errors.Is(err, runtime.ErrOption), errors.Is(err, runtime.ErrToken), errors.Is(err, runtime.ErrEmpty), errors.Is(err, chat.ErrNoTemplate):
		return &Error{Status: http.StatusBadRequest, Message: err.Error(), Type: invalidRequest, Code: "invalid_value"}
	case errors.Is(err, runtime.ErrClosed):
		return errDraining
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Message: "the request took longer than the server allows", Type: serverError, Code: "timeout"}
	case errors.Is(err, context.Canceled):
		return &Error{Status: statusClientClosed, Message: "the request was cancelled", Type: serverError, Code: "cancelled"}
	}
	// Its words are for the log: they may name files.
	return &Error{Status: http.StatusInternalServerError, Message: "internal error", Type: serverError}
}

// statusClientClosed is what other servers log for a client that went away before it was answered.
const statusClientClosed = 499

// writeError answers with an error.
func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, e.Status, map[string]*Error{"error": e})
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(encodeJSON(value), '\n')) // a client that is gone will not hear of it
}

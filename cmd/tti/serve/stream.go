package serve

import (
	"encoding/json"
	"net/http"
	"time"
)

// pingEvery is how often a stream says that it is alive while no tokens come: load balancers give up after a minute.
const pingEvery = 15 * time.Second

// noSink is for answers in one piece.
type noSink struct{}

func (noSink) add(int, part) error { return nil }
func (noSink) idle() error         { return nil }

// eventStream writes an answer as server-sent events.
type eventStream struct {
	call    *call
	writer  http.ResponseWriter
	control *http.ResponseController
}

func newEventStream(c *call, w http.ResponseWriter) *eventStream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx, which would hold tokens back
	w.WriteHeader(http.StatusOK)
	return &eventStream{c, w, http.NewResponseController(w)}
}

// add implements sink.
func (s *eventStream) add(choice int, p part) error { return s.chunk(s.call.kind.part(choice, p)) }

// idle implements sink.
func (s *eventStream) idle() error { return s.write(": ping\n\n") }

// end writes what follows the last token.
func (s *eventStream) end(a answer) error {
	for i := range a.choices {
		if !a.choices[i].begun { // a text without any text
			if err := s.add(i, part{first: true}); err != nil {
				return err
			}
		}
		if err := s.chunk(s.call.kind.last(i, &a.choices[i])); err != nil {
			return err
		}
	}
	if s.wantsUsage() {
		r := s.call.response(s.call.kind.chunk)
		r.Usage = a.usage
		if err := s.data(encodeJSON(r)); err != nil {
			return err
		}
	}
	return s.data([]byte("[DONE]"))
}

// fail ends a stream that cannot go on.
func (s *eventStream) fail(err error) {
	s.data(encodeJSON(map[string]*Error{"error": asError(err)}))
}

func (s *eventStream) wantsUsage() bool {
	return s.call.settings.streamed.IncludeUsage
}

func (s *eventStream) chunk(choice any) error {
	r := s.call.response(s.call.kind.chunk, choice)
	if s.wantsUsage() {
		r.Usage = json.RawMessage("null")
	}
	return s.data(encodeJSON(r))
}

func (s *eventStream) data(text []byte) error { return s.write("data: " + string(text) + "\n\n") }

func (s *eventStream) write(text string) error {
	if _, err := s.writer.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

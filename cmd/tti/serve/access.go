package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// seen is what the log and the metrics tell of a request.
type seen struct {
	endpoint string // the route, "" if there is none
	key      string // its owner
	model    string
	id       string // of the answer
	began    time.Time
	answer   *answer // nil if there were no texts
	failure  error   // of a stream that had begun, or of the server's
}

type seenKey struct{}

func seenOf(ctx context.Context) *seen {
	if found, ok := ctx.Value(seenKey{}).(*seen); ok {
		return found
	}
	return &seen{began: time.Now()}
}

// statusWriter remembers the status of an answer, and gives each piece of it its time.
type statusWriter struct {
	http.ResponseWriter
	wait   time.Duration // that a piece may take
	status int           // 0 until the header is written
}

func (w *statusWriter) WriteHeader(status int) {
	w.startClock()
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.startClock()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// startClock sets the deadline of what is written now. That of an earlier answer on the same connection may have passed.
func (w *statusWriter) startClock() {
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.wait)) // not all writers have one
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logged writes a line for each request once it is over.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		about := &seen{began: time.Now()}
		status := &statusWriter{ResponseWriter: w, wait: s.waits.reader}
		// A body that nobody reads is read by net/http before it answers.
		http.NewResponseController(w).SetReadDeadline(about.began.Add(s.waits.body)) // not all writers have one
		defer func() {
			if reason := recover(); reason != nil {
				if reason == http.ErrAbortHandler {
					panic(reason)
				}
				s.options.Log.Error("panic", slog.Any("reason", reason), slog.String("stack", string(debug.Stack())))
				if status.status == 0 {
					writeError(status, errors.New("internal error"))
				}
			}
			s.metrics.requests.WithLabelValues(about.endpoint, strconv.Itoa(status.status)).Inc()
			s.logRequest(r, about, status.status)
		}()
		next.ServeHTTP(status, r.WithContext(context.WithValue(r.Context(), seenKey{}, about)))
	})
}

// logRequest tells of a request, and nothing of its texts.
func (s *Server) logRequest(r *http.Request, about *seen, status int) {
	line := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.String("from", r.RemoteAddr), slog.Duration("took", time.Since(about.began)),
	}
	if about.key != "" {
		line = append(line, slog.String("key", about.key))
	}
	if a := about.answer; a != nil {
		line = append(line, slog.String("id", about.id), slog.String("model", about.model),
			slog.Int("prompt_tokens", a.usage.Prompt), slog.Int("completion_tokens", a.usage.Completion))
		if !a.first.IsZero() {
			line = append(line, slog.Duration("first_token", a.first.Sub(about.began)))
		}
	}
	if about.failure != nil {
		line = append(line, slog.String("failure", about.failure.Error()))
	}
	s.options.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", line...)
}

// crossOrigin lets pages of some sites use the server. By default no browser lets any.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if len(s.options.Origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		w.Header().Add("Vary", "Origin")
		if origin != "" && (slices.Contains(s.options.Origins, origin) || slices.Contains(s.options.Origins, "*")) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
				w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
				w.Header().Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

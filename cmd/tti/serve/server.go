package serve

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// Options are the choices of a Server. The zero value is a good start for clients that are trusted.
type Options struct {
	Threads *runtime.Threads    // that all models share; nil: new ones, one for each core
	Model   []runtime.Option    // how models are opened, threads and context apart
	Context int                 // positions of a text; 0: the model's
	Drafts  map[string][]string // what guesses for a model, by its name, "" for all others: at most one .tti file, and NGram
	Engine  engine.Options      // drafts apart
	Memory  int64               // bytes that open models may take together; 0: no bound

	Keys    *Keys         // whose requests are answered; nil: everybody's
	Origins []string      // sites whose pages may use the server, "*" for all
	MaxBody int64         // bytes of a request; 0: DefaultBody
	Timeout time.Duration // of a request; 0: DefaultTimeout

	Log    *slog.Logger // one line for each request, without its texts; nil: none
	Record *Recorder    // keeps requests and answers; nil: nobody does
}

// Defaults of Options.
const (
	DefaultBody    = 16 << 20
	DefaultTimeout = time.Hour
)

// Server answers requests with the models of some files. It is safe for concurrent use.
type Server struct {
	options  Options
	threads  *runtime.Threads
	models   *models
	waits    waits
	metrics  *metrics
	handler  http.Handler
	draining atomic.Bool
	closing  sync.Once
}

// New returns a Server of the sources. Close ends it. It fails where a source is not there; files are opened when they are
// first asked for.
func New(sources []Source, o Options) (*Server, error) {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultBody)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, threads: o.Threads, waits: usualWaits}
	if s.threads == nil {
		s.threads = runtime.NewThreads(0)
	}
	var err error
	if s.models, err = newModels(sources, o.Memory, s.openModel); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s.models)
	s.handler = s.around(s.routes())
	return s, nil
}

// Drain makes the server refuse what is new, and say so to those who ask for its health.
func (s *Server) Drain() { s.draining.Store(true) }

// Close ends all requests and closes all models.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.Drain()
		s.models.close()
		if s.options.Threads == nil {
			s.threads.Close()
		}
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// route is an endpoint.
type route struct {
	method, path string
	open         bool // to those without a key too
	handle       func(http.ResponseWriter, *http.Request) error
}

func (s *Server) routes() []route {
	list := []route{
		{"GET", "/{$}", true, s.showPage},
		{"GET", "/page/{file}", true, s.showPageFile},
		{"GET", "/health", true, s.health},
		{"GET", "/metrics", false, s.metrics.serve},
		{"GET", "/v1/models", false, s.listModels},
		{"GET", "/v1/models/{id...}", false, s.showModel},
		{"POST", "/tokenize", false, s.tokenize},
		{"POST", "/detokenize", false, s.detokenize},
	}
	for _, k := range kinds {
		list = append(list, route{"POST", k.endpoint, false, func(w http.ResponseWriter, r *http.Request) error {
			return s.generate(k, w, r)
		}})
	}
	return list
}

// around puts what all requests go through around the routes.
func (s *Server) around(routes []route) http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range routes {
		methods[r.path] = append(methods[r.path], r.method)
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) { s.enter(r, w, q) })
	}
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeError(w, &Error{Status: http.StatusMethodNotAllowed, Message: q.Method + " is not for " + path, Type: invalidRequest, Code: "method_not_allowed"})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		writeError(w, notFound("there is no %.100q", q.URL.Path))
	})
	return s.logged(s.crossOrigin(mux))
}

// enter checks who asks before a route is taken.
func (s *Server) enter(r route, w http.ResponseWriter, q *http.Request) {
	seen := seenOf(q.Context())
	seen.endpoint = r.path
	if !r.open && s.options.Keys != nil {
		owner, known := s.options.Keys.owner(q.Header.Get("Authorization"))
		if !known {
			writeError(w, errNoKey)
			return
		}
		seen.key = owner
	}
	if s.draining.Load() && r.method == "POST" {
		writeError(w, errDraining)
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), s.options.Timeout)
	defer cancel()
	if err := r.handle(w, q.WithContext(ctx)); err != nil {
		if errors.Is(err, context.Canceled) && s.draining.Load() {
			err = errDraining
		}
		if asError(err).Status >= http.StatusInternalServerError { // what is wrong with a request may quote it
			seen.failure = err
		}
		writeError(w, err)
	}
}

// health tells whether the server takes requests.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	if s.draining.Load() {
		return errDraining
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// modelCard is what the interface says of a model.
type modelCard struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
	Chats   *bool  `json:"chat_template,omitempty"` // beyond the interface: whether there is one
}

func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	cards, err := s.models.cards()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": cards})
	return nil
}

func (s *Server) showModel(w http.ResponseWriter, r *http.Request) error {
	cards, err := s.models.cards()
	if err != nil {
		return err
	}
	for _, card := range cards {
		if card.ID == r.PathValue("id") {
			writeJSON(w, http.StatusOK, card)
			return nil
		}
	}
	return unknownModel(r.PathValue("id"))
}

// generate answers a request for texts.
func (s *Server) generate(k *kind, w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, s.options.MaxBody)
	if err != nil {
		return err
	}
	seen := seenOf(r.Context())
	c, err := s.newCall(k, body, seen.key, fixed{})
	if err != nil {
		return err
	}
	defer c.release()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	streams, err := c.start(ctx)
	if err != nil {
		return err
	}
	seen.model, seen.id = c.name, c.id
	var a answer
	if c.settings.Stream {
		a, err = c.stream(ctx, streams, w)
		seen.failure = err
	} else {
		a, err = c.finish(ctx, streams, noSink{})
	}
	seen.answer = &a
	s.metrics.answered(seen)
	if failure := s.options.Record.add(c, body, a, err); failure != nil { // the answer is none the worse
		s.options.Log.Error("record", slog.String("id", c.id), slog.String("failure", failure.Error()))
	}
	if c.settings.Stream {
		return nil // what went wrong was said in the stream
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, c.whole(a))
	return nil
}

// stream answers with events. The error is for those who want to know what became of it.
func (c *call) stream(ctx context.Context, streams []*engine.Stream, w http.ResponseWriter) (answer, error) {
	events := newEventStream(c, w)
	a, err := c.finish(ctx, streams, events)
	if err != nil {
		events.fail(err)
		return a, err
	}
	return a, events.end(a)
}

package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

const headerBytes = 64 << 10

// waits are how long the server waits for a client. Nobody else waits for it meanwhile.
type waits struct {
	header time.Duration // to send a header
	body   time.Duration // to send the body, be it wanted or not
	reader time.Duration // to take a piece of an answer
	idle   time.Duration // between two requests of a connection
}

var usualWaits = waits{header: 10 * time.Second, body: 30 * time.Second, reader: 30 * time.Second, idle: 2 * time.Minute}

// IsLoopback reports whether an address that can be listened on is reached from this machine alone.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Listen answers the requests of a listener until ctx is done, with TLS if there is a configuration. Then it refuses new ones, and
// gives those that run the time drain to finish; afterwards they are cancelled. It closes the listener, not the Server. The error
// is that of the listener.
func (s *Server) Listen(ctx context.Context, listener net.Listener, configuration *tls.Config, drain time.Duration) error {
	requests, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.waits.header,
		IdleTimeout:       s.waits.idle,
		MaxHeaderBytes:    headerBytes,
		TLSConfig:         configuration,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug), // of connections that were no HTTP
	}
	ended := make(chan error, 1)
	go func() {
		if configuration != nil {
			ended <- h.ServeTLS(listener, "", "")
		} else {
			ended <- h.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.Drain()
	deadline, stop := context.WithTimeout(context.Background(), drain)
	defer stop()
	if err := h.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
		cancel()
		// A cancelled text ends at the engine's next step, and its answer says so.
		last, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if h.Shutdown(last) != nil {
			h.Close()
		}
	}
	<-ended
	return nil
}

// Profiles answers what go tool pprof asks. It is for a listener of its own: whoever reaches it can slow the server down.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/spec/engine"
)

// patience is how long tests wait for what must happen before they say that it does not.
const patience = time.Minute

// until waits for something to happen.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// running reports whether any text is being written or waits.
func running(s *Server) (found bool) {
	s.models.each(func(_ string, m *model) {
		statistics := m.engine.Statistics()
		found = found || statistics.Running+statistics.Waiting > 0
	})
	return found
}

// waitIdle waits until no text runs, and no request uses a model.
func waitIdle(t testing.TB, s *Server) {
	t.Helper()
	until(t, "all texts end", func() bool {
		users := 0
		s.models.mutex.Lock()
		for _, e := range s.models.entries {
			users += e.users
		}
		s.models.mutex.Unlock()
		return users == 0 && !running(s)
	})
}

// endless is a request for a text as long as the context.
const endless = `{"model":"llama","prompt":"The","max_tokens":500,"ignore_eos":true,"stream":true}`

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("another secret key")))
	if err := os.WriteFile(path, []byte("# clients\nann a-key-of-her-own-1\n\nbob "+digest+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{Keys: keys})
	for header, owner := range map[string]string{
		"Bearer a-key-of-her-own-1": "ann", "bearer a-key-of-her-own-1": "ann", "Bearer another secret key": "bob",
		"": "", "Bearer": "", "Bearer ": "", "Basic a-key-of-her-own-1": "", "a-key-of-her-own-1": "", "Bearer a-key-of-her-own-2": "",
		"Bearer " + digest: "",
	} {
		if got, known := keys.owner(header); known != (owner != "") || known && got != owner {
			t.Errorf("%q: %q, %v, want %q", header, got, known, owner)
		}
	}
	for _, path := range []string{"/v1/models", "/metrics"} {
		c.ask(401, "GET", path, "")
	}
	c.refuses(401, "", "invalid_api_key", chatPath, `{}`)
	c.ask(200, "GET", "/health", "")
	c.key = "a-key-of-her-own-1"
	c.ask(200, "GET", "/v1/models", "")
	for text, want := range map[string]string{"": "no keys", "ann": "line 1", "ann short": "shorter", "ann sha256:00": "hexadecimal", "a b c": "3 words"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeys(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	for _, k := range []struct {
		allowed []string
		origin  string
		want    string
	}{
		{nil, "https://a.example", ""},
		{[]string{"https://a.example"}, "https://a.example", "https://a.example"},
		{[]string{"https://a.example"}, "https://b.example", ""},
		{[]string{"*"}, "https://b.example", "https://b.example"},
	} {
		c := serve(t, Options{Origins: k.allowed})
		for _, method := range []string{"OPTIONS", "GET"} {
			q, _ := http.NewRequest(method, c.url+"/v1/models", nil)
			q.Header.Set("Origin", k.origin)
			q.Header.Set("Access-Control-Request-Method", "GET")
			r, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != k.want {
				t.Errorf("%s from %s, %v allowed: %q", method, k.origin, k.allowed, got)
			}
		}
	}
}

// TestBusy fills engine and queue: the next client is told to come back, and can once there is room.
func TestBusy(t *testing.T) {
	c := serve(t, Options{Engine: engine.Options{Texts: 1, Queue: 1}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for range 2 {
		clients.Go(func() {
			for ctx.Err() == nil { // as often as it takes: texts end
				q, _ := http.NewRequestWithContext(ctx, "POST", c.url+completionPath, strings.NewReader(endless))
				q.Header.Set("Content-Type", "application/json")
				if r, err := http.DefaultClient.Do(q); err == nil {
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
			}
		})
	}
	until(t, "a client is refused", func() bool {
		r := c.send("POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":1}`)
		defer r.Body.Close()
		if r.StatusCode == 429 && r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		return r.StatusCode == 429
	})
	cancel()
	clients.Wait()
	waitIdle(t, c.server)
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":1}`)
}

// TestTimeout gives requests less time than they need.
func TestTimeout(t *testing.T) {
	c := serve(t, Options{Timeout: time.Nanosecond})
	c.refuses(503, "", "timeout", completionPath, `{"model":"llama","prompt":"The","max_tokens":500,"ignore_eos":true}`)
}

// TestShutdown ends a server while texts are written: with time they finish, without they are cancelled, and in both cases the
// client is told.
func TestShutdown(t *testing.T) {
	for _, drain := range []time.Duration{patience, 0} {
		s, err := New([]Source{{Path: folder}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Listen(ctx, listener, nil, drain) }()
		c := client{TB: t, server: s, url: "http://" + listener.Addr().String()}
		r := c.send("POST", completionPath, strings.Replace(endless, "{", `{"n":30,`, 1)) // which takes a while
		first := make([]byte, 10)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			t.Fatal(err)
		}
		stop()
		rest, err := io.ReadAll(r.Body)
		if done := bytes.Contains(rest, []byte("data: [DONE]")); err != nil || done != (drain > 0) && !bytes.Contains(rest, []byte(`"error"`)) {
			t.Errorf("%v to finish in: %v, stream ends %q", drain, err, rest[max(0, len(rest)-200):])
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
		recorded := httptest.NewRecorder()
		s.ServeHTTP(recorded, httptest.NewRequest("GET", "/health", nil))
		if recorded.Code != 503 || recorded.Header().Get("Retry-After") == "" {
			t.Errorf("health of a closed server: %d", recorded.Code)
		}
	}
}

// stuckWriter is a client that reads nothing until it is released.
type stuckWriter struct {
	*httptest.ResponseRecorder
	release chan struct{}
}

func (w stuckWriter) Write(b []byte) (int, error) {
	<-w.release
	return w.ResponseRecorder.Write(b)
}

// TestSlowReaders answers clients that read nothing: their texts end all the same, and give their memory back. Once they read,
// they get all of it.
func TestSlowReaders(t *testing.T) {
	c := serve(t, Options{Engine: engine.Options{Prefixes: -1}})
	release := make(chan struct{})
	var readers sync.WaitGroup
	var answers []*httptest.ResponseRecorder
	for range 8 {
		w := stuckWriter{httptest.NewRecorder(), release}
		answers = append(answers, w.ResponseRecorder)
		q := httptest.NewRequest("POST", completionPath, strings.NewReader(endless))
		q.Header.Set("Content-Type", "application/json")
		readers.Go(func() { c.server.ServeHTTP(w, q) })
	}
	finished := func() (drawn int) {
		c.server.models.each(func(_ string, m *model) {
			if s := m.engine.Statistics(); s.Running+s.Waiting == 0 {
				drawn = s.Tokens
			}
		})
		return drawn
	}
	until(t, "all texts end", func() bool { return finished() == 8*500 })
	c.server.models.each(func(name string, m *model) {
		if taken := m.KVTaken(); taken != 0 {
			t.Errorf("%s: %d bytes of keys and values are taken", name, taken)
		}
	})
	close(release)
	readers.Wait()
	for _, answer := range answers {
		if !strings.HasSuffix(answer.Body.String(), "data: [DONE]\n\n") {
			t.Errorf("an answer ends %q", answer.Body.String()[max(0, answer.Body.Len()-100):])
		}
	}
}

// TestDisconnects lets many clients go away: no text goes on, and no page and no goroutine stays.
func TestDisconnects(t *testing.T) {
	clients := 100
	if !testing.Short() {
		clients = 1000
	}
	c := serve(t, Options{Engine: engine.Options{Queue: 1000, Prefixes: -1}})
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":1}`) // opens the model
	before := runtime.NumGoroutine()
	var leaving sync.WaitGroup
	room := make(chan struct{}, 50)
	for i := range clients {
		room <- struct{}{}
		leaving.Go(func() {
			defer func() { <-room }()
			connection, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			body := strings.Replace(endless, "true}", fmt.Sprintf("%v}", i%2 == 0), 1)
			fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", completionPath, len(body), body)
			if i%3 > 0 && i%2 == 0 { // until the first tokens have come
				bufio.NewReader(connection).Peek(400)
			}
		})
	}
	leaving.Wait()
	waitIdle(t, c.server)
	c.server.models.each(func(name string, m *model) {
		if taken := m.KVTaken(); taken != 0 {
			t.Errorf("%s: %d bytes of keys and values are taken", name, taken)
		}
	})
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+10 })
}

// listening answers as tti serve does, through Listen, until the test ends, and waits for clients as long as it is told.
func listening(t *testing.T, o Options, w waits) client {
	t.Helper()
	s, err := New([]Source{{Path: folder}}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.waits = w
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(ctx, listener, nil, 0) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return client{TB: t, server: s, url: "http://" + listener.Addr().String()}
}

// dial opens a connection of its own to the server, and sends a text.
func (c client) dial(text string) net.Conn {
	c.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.Fatal(err)
	}
	connection.SetDeadline(time.Now().Add(patience))
	io.WriteString(connection, text)
	return connection
}

// TestSlowClients hold their headers or bodies back, those that somebody reads and those that nobody does. Others are served
// meanwhile, and after a time the server lets the slow ones go.
func TestSlowClients(t *testing.T) {
	c := listening(t, Options{}, waits{header: time.Second, body: time.Second, reader: patience, idle: time.Second})
	const body = " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
	var slow []net.Conn
	for range 40 {
		for _, text := range []string{
			"", "POST " + completionPath + " HTTP/1.1\r\nHo",
			"POST " + completionPath + body, "POST " + completionPath + strings.Replace(body, "Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nff\r\n", 1),
			"POST " + completionPath + strings.Replace(body, "application/json", "text/plain", 1), "GET /health" + body, "PUT /health" + body, "POST /nowhere" + body,
		} {
			connection := c.dial(text)
			defer connection.Close()
			slow = append(slow, connection)
		}
	}
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":1}`)
	c.ask(200, "GET", "/health", "")
	for i, connection := range slow {
		if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is kept", i)
		}
	}
}

// TestReaderLetGo asks for more than connections hold, and reads nothing: others are served meanwhile, and after a time the client is
// let go, and with it the model.
func TestReaderLetGo(t *testing.T) {
	var lines lockedBuffer
	c := listening(t, Options{Log: slog.New(slog.NewTextHandler(&lines, nil))}, waits{header: patience, body: patience, reader: 200 * time.Millisecond, idle: patience})
	body := `{"model":"llama","prompt":"The","n":30,"max_tokens":480,"ignore_eos":true,"stream":true,"logprobs":20}`
	connection := c.dial("")
	defer connection.Close()
	connection.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", completionPath, len(body), body)
	until(t, "the request runs", func() bool { return running(c.server) })
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":1}`)
	waitIdle(t, c.server)
	until(t, "the log tells of it", func() bool { return strings.Contains(lines.String(), "i/o timeout") })
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

// TestLogTellsNoTexts looks for what a client wrote, and what it was answered, in the lines about requests.
func TestLogTellsNoTexts(t *testing.T) {
	var lines lockedBuffer
	c := serve(t, Options{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	answer := c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"Rumpelstiltskin","max_tokens":20,"ignore_eos":true}`)
	c.refuses(400, "temperature", "invalid_type", completionPath, `{"model":"llama","prompt":"Rumpelstiltskin","temperature":"Rumpelstiltskin"}`)
	until(t, "two lines", func() bool { return strings.Count(lines.String(), "\n") == 2 })
	text := lines.String()
	if strings.Contains(text, "Rumpel") || strings.Contains(text, orEmpty(field(answer, "choices", 0, "text"))) {
		t.Errorf("the log tells: %s", text)
	}
	if !strings.Contains(text, "completion_tokens=20") || !strings.Contains(text, "status=400") || !strings.Contains(text, orEmpty(answer["id"])) {
		t.Errorf("the log: %s", text)
	}
}

// TestMetrics reads what Prometheus would.
func TestMetrics(t *testing.T) {
	c := serve(t, Options{Engine: engine.Options{Prefixes: -1}})
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":5,"ignore_eos":true}`)
	r := c.send("GET", "/metrics", "")
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		t.Fatal(err, r.StatusCode)
	}
	for _, line := range []string{
		`tti_requests_total{endpoint="/v1/completions",status="200"} 1`, `tti_tokens_total{kind="completion",model="llama"} 5`,
		`tti_first_token_seconds_count{model="llama"} 1`, `tti_between_tokens_seconds_count{model="llama"} 4`,
		`tti_texts_running{model="llama"} 0`, `tti_requests_waiting{model="llama"} 0`, `tti_kv_bytes{model="llama"} 0`, "go_goroutines ",
	} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("no %s in %s", line, text)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "localhost:80": true, "127.1.2.3:0": true,
		"0.0.0.0:80": false, ":80": false, "[::]:80": false, "10.0.0.1:80": false, "example.org:80": false, "127.0.0.1": false} {
		if IsLoopback(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}

// TestTLS answers over TLS.
func TestTLS(t *testing.T) {
	s, err := New([]Source{{Path: folder}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pair := httptest.NewTLSServer(nil) // has a certificate for 127.0.0.1, and a client that trusts it
	defer pair.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(ctx, listener, &tls.Config{Certificates: pair.TLS.Certificates}, 0) }()
	r, err := pair.Client().Get("https://" + listener.Addr().String() + "/health")
	if err != nil || r.StatusCode != 200 {
		t.Errorf("%v, %v", r, err)
	}
	pair.Client().CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package serve

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// wellFormed are requests of all kinds that cost little.
var wellFormed = []struct{ path, body string }{
	{chatPath, `{"model":"llama","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],"max_tokens":1,"seed":1,"stop":["x","y"],"logprobs":true,"top_logprobs":2,"n":2}`},
	{chatPath, `{"model":"llama","messages":[{"role":"user","content":"h\u00e9"}],"max_completion_tokens":1,"stream":true,"stream_options":{"include_usage":true},"chat_template_kwargs":{"a":[1,2.5,null]}}`},
	{completionPath, `{"model":"draft","prompt":["a",""],"max_tokens":1,"temperature":0.5,"top_p":0.5,"top_k":4,"min_p":0.1,"logit_bias":{"5":-100},"echo":true,"logprobs":1}`},
	{completionPath, `{"model":"draft","prompt":[[1,2],[3]],"max_tokens":1,"frequency_penalty":1,"presence_penalty":-1,"repetition_penalty":1.1,"min_tokens":1,"ignore_eos":true,"user":"u"}`},
	{"/tokenize", `{"model":"llama","prompt":"a b","add_special_tokens":false,"return_token_strs":true}`},
	{"/detokenize", `{"model":"llama","tokens":[1,2,3]}`},
}

// spoiled returns a request with something changed by chance.
func spoiled(random *rand.Rand, body string) string {
	pieces := []string{"null", "{", "}", "[", "]", `"`, ",", ":", "-", "1e999", "99999999999999999999", "true", `"\ud800"`, "\x00", "\xff", `{"a":`, "[[[[[[[[", "0.5", `"model"`, "é"}
	text := []byte(body)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(text) + 1)
		to := min(len(text), at+random.IntN(8))
		switch random.IntN(4) {
		case 0:
			text = append(text[:at:at], text[to:]...)
		case 1:
			text = append(append(text[:at:at], pieces[random.IntN(len(pieces))]...), text[to:]...)
		case 2:
			if at < len(text) {
				text[at] ^= 1 << random.IntN(8)
			}
		case 3:
			text = append(text[:to:to], text[at:]...) // once more
		}
	}
	return string(text)
}

// TestMalformed sends requests in which something is wrong: each is answered with a status that blames the client, or, where it
// has stayed a request, with an answer.
func TestMalformed(t *testing.T) {
	requests := 2000
	if !testing.Short() {
		requests = 10000
	}
	c := serve(t, Options{MaxBody: 10_000})
	refused := 0
	for i := range requests {
		random := rand.New(rand.NewPCG(uint64(i), 2))
		q := wellFormed[random.IntN(len(wellFormed))]
		body := spoiled(random, q.body)
		if random.IntN(100) == 0 {
			body = strings.Repeat(body, 100)
		}
		recorded := httptest.NewRecorder()
		r := httptest.NewRequest("POST", q.path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		if random.IntN(10) == 0 {
			r.Header.Set("Content-Type", spoiled(random, "application/json"))
		}
		c.server.ServeHTTP(recorded, r)
		if recorded.Code != 200 {
			refused++
		}
		if recorded.Code != 200 && (recorded.Code < 400 || recorded.Code > 499 || !strings.HasPrefix(recorded.Body.String(), `{"error":{`)) {
			t.Fatalf("%s %q: status %d: %s", q.path, body, recorded.Code, recorded.Body)
		}
	}
	if refused < requests/2 {
		t.Errorf("only %d of %d were wrong", refused, requests)
	}
	waitIdle(t, c.server)
}

// TestMalformedHTTP sends what is no HTTP request, or a strange one, over connections of their own.
func TestMalformedHTTP(t *testing.T) {
	c := serve(t, Options{MaxBody: 10_000})
	address := strings.TrimPrefix(c.url, "http://")
	random := rand.New(rand.NewPCG(3, 3))
	const good = "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n" + `{"model":"llama","prompt":"xy"}`
	cases := []string{
		"GET / HTTP/1.1\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00", "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
		"POST /tokenize HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/models/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/models/../../health HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	for range 300 {
		cases = append(cases, spoiled(random, good))
	}
	for _, text := range cases {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		connection.SetDeadline(time.Now().Add(patience))
		io.WriteString(connection, text) // it may be cut off
		connection.(*net.TCPConn).CloseWrite()
		r, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err == nil && (r.StatusCode >= 500 && r.StatusCode != 501 && r.StatusCode != 505) {
			t.Errorf("%.200q: status %d", text, r.StatusCode)
		}
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%.200q: no answer", text)
		}
		connection.Close()
	}
	c.ask(200, "GET", "/health", "")
}

// FuzzDecode reads requests of both kinds: what is refused is so with a status that blames the client.
func FuzzDecode(f *testing.F) {
	for _, q := range wellFormed {
		f.Add([]byte(q.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, k := range kinds {
			r, err := k.decode(body)
			if err == nil {
				err = r.check()
			}
			if err == nil {
				err = r.common().check()
			}
			if err != nil && asError(err).Status/100 != 4 {
				t.Errorf("%s: %v", k.endpoint, err)
			}
		}
	})
}

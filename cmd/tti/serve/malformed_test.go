package serve

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
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

// malformedHTTP returns a request whose method, path, headers, length or chunks have something wrong with them.
func malformedHTTP(random *rand.Rand) string {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	q := wellFormed[random.IntN(len(wellFormed))]
	body := q.body
	if random.IntN(2) == 0 {
		body = spoiled(random, body)
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	switch random.IntN(6) {
	case 0: // in chunks
		length = pick("Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"+length, "Transfer-Encoding: gzip, chunked\r\n")
		at := random.IntN(len(body))
		body = fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", at, body[:at], len(body)-at+random.IntN(2), body[at:])
	case 1:
		length = pick("", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: 20000\r\n", length+length, length+"Content-Length: 1\r\n")
	}
	header := "Host: x\r\nContent-Type: application/json\r\n" + length
	switch random.IntN(6) {
	case 0:
		header += pick("Expect: 100-continue\r\n", "Expect: nothing\r\n", "A\r\n", ": a\r\n", "A : b\r\n", " folded\r\n", "Host: y\r\n", "Content-Encoding: gzip\r\n", "X: "+strings.Repeat("x", 2<<20)+"\r\n", "Upgrade: h2c\r\nConnection: Upgrade\r\n", "X: \x00\r\n")
	case 1:
		header = spoiled(random, header)
	}
	method, path, version := "POST", q.path, "HTTP/1.1"
	switch random.IntN(6) {
	case 0:
		method = pick("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "post", "", "P T", strings.Repeat("M", 5000))
	case 1:
		path = pick("/", "/v1", "/v1/", path+"/", path+"?a=b;c", "/v1/models/%00", "/v1/models/%zz", "/v1/models/../../health", "/page/../server.go", "/page/%2e%2e/page.go", "//", "*", "http://y"+path, "x", strings.Repeat("/a", 50000), "/\xff", spoiled(random, path))
	case 2:
		version = pick("HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP", "", "http/1.1")
	}
	text := method + " " + path + " " + version + "\r\n" + header + "\r\n" + body
	if random.IntN(8) == 0 {
		text = text[:random.IntN(len(text))]
	}
	return text
}

// TestMalformedHTTP sends what is no HTTP request, or a strange one, over connections of their own: each is answered with a status
// that blames the client or, where it has stayed a request, with an answer. net/http has two of its own for what it does not
// implement, 501 for encodings of a transfer and 505 for versions.
func TestMalformedHTTP(t *testing.T) {
	requests := 500
	if !testing.Short() {
		requests = 10000
	}
	c := listening(t, Options{MaxBody: 10_000}, usualWaits)
	statuses := map[int]int{}
	for i := range requests {
		text := malformedHTTP(rand.New(rand.NewPCG(uint64(i), 3)))
		connection := c.dial(text) // which may be cut off while it sends
		connection.(*net.TCPConn).CloseWrite()
		r, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.200q: no answer", text)
		}
		if err == nil {
			statuses[r.StatusCode]++
			if code := r.StatusCode; code >= 500 && code != http.StatusNotImplemented && code != http.StatusHTTPVersionNotSupported {
				t.Errorf("%.200q: status %d", text, code)
			}
		}
		connection.Close()
	}
	if statuses[400] < requests/10 || statuses[404]+statuses[405] < requests/20 {
		t.Errorf("statuses %v of %d requests", statuses, requests)
	}
	t.Logf("statuses %v", statuses)
	c.ask(200, "GET", "/health", "")
	waitIdle(t, c.server)
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

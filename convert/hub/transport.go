package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// endpoint is the address of a hub, as HF_ENDPOINT gives it: it may have a path, if the hub is a mirror's.
type endpoint struct {
	address string // without a slash at the end
	origin  string // scheme and host with port
}

func newEndpoint(address string) (endpoint, error) {
	if address == "" {
		address = defaultEndpoint
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return endpoint{}, fmt.Errorf("endpoint %q: want the address of a hub, such as %s", address, defaultEndpoint)
	}
	return endpoint{strings.TrimRight(address, "/"), origin(parsed)}, nil
}

func origin(u *url.URL) string {
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func (e endpoint) listing(r Reference) string {
	// The revision is one element of the path: a slash in it is escaped.
	return e.address + "/api/models/" + r.Repository + "/revision/" + url.PathEscape(r.revision())
}

func (e endpoint) file(repository, commit, name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return e.address + "/" + repository + "/resolve/" + commit + "/" + strings.Join(parts, "/")
}

const (
	linkedETag = "X-Linked-Etag" // on the redirect to a large file: its SHA-256
	linkedSize = "X-Linked-Size"
	repoCommit = "X-Repo-Commit"
)

// transientError is a failure that may pass: the connection broke or stalled, or the server is busy or broken.
type transientError struct {
	cause error
	after time.Duration // the server asked to be left alone for so long
	later bool          // it will not pass while somebody waits
}

func (e *transientError) Error() string { return e.cause.Error() }
func (e *transientError) Unwrap() error { return e.cause }

var (
	errRedirect = errors.New("refused redirect")
	errStalled  = errors.New("too little data arrived in time")
	errRange    = fmt.Errorf("%w: another range than asked for", ErrMismatch)
)

func (s *session) newHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// Sizes, ranges and digests are those of the file, not of a compressed form of it.
	transport.DisableCompression = true
	transport.MaxResponseHeaderBytes = maxHeader
	return &http.Client{Transport: transport, CheckRedirect: s.redirect}
}

// redirect lets the token go to the hub's own scheme, host and port only. net/http would hand it on to
// other ports of the host and to its subdomains.
func (s *session) redirect(next *http.Request, via []*http.Request) error {
	previous := via[len(via)-1].URL
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("%w: more than %d of them", errRedirect, maxRedirects)
	case previous.Scheme == "https" && next.URL.Scheme != "https":
		return fmt.Errorf("%w from https to %s", errRedirect, origin(next.URL))
	case next.Method == http.MethodHead && origin(next.URL) != origin(previous) && next.Response.Header.Get(linkedETag) != "":
		// The hub describes a large file on the redirect to its store, which knows nothing of the hub's names.
		return http.ErrUseLastResponse
	}
	s.authorize(next)
	return nil
}

func (s *session) authorize(request *http.Request) {
	if s.client.Token != "" && origin(request.URL) == s.endpoint.origin {
		request.Header.Set("Authorization", "Bearer "+s.client.Token)
	} else {
		request.Header.Del("Authorization")
	}
}

// request sends a request and gives a successful answer to read, which must not keep it. It is broken
// off if the answer has not begun to arrive after timing.stall, or brings less than timing.least bytes in that time.
func (s *session) request(ctx context.Context, method, address string, header http.Header, read func(*http.Response) error) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var received atomic.Int64
	go s.watch(watched, cancel, &received)

	request, err := http.NewRequestWithContext(watched, method, address, nil)
	if err != nil {
		return err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "tti")
	request.Header.Set("Accept-Encoding", "identity")
	s.authorize(request)

	failure := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if context.Cause(watched) == errStalled {
			err = errStalled
		}
		return networkError(request.URL.Host, err)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return failure(err)
	}
	defer response.Body.Close()
	received.Add(s.timing.least) // for the header
	response.Body = &watchedBody{response.Body, &received, failure}
	if err := s.statusError(response); err != nil {
		return err
	}
	return read(response)
}

// watch ends a request that brings too little, by counting anew every timing.stall what has been received.
func (s *session) watch(ctx context.Context, cancel context.CancelCauseFunc, received *atomic.Int64) {
	ticker := time.NewTicker(s.timing.stall)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if received.Swap(0) < s.timing.least {
				cancel(errStalled)
				return
			}
		}
	}
}

// watchedBody counts the data that flows, and explains why it does not.
type watchedBody struct {
	io.ReadCloser
	received *atomic.Int64
	failure  func(error) error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.received.Add(int64(n))
	if err != nil && err != io.EOF {
		err = b.failure(err)
	}
	return n, err
}

// networkError sorts what net/http reports. It leaves out the address, for those of stores carry signatures.
func networkError(host string, err error) error {
	if wrapper := (*url.Error)(nil); errors.As(err, &wrapper) {
		err = wrapper.Err
	}
	err = fmt.Errorf("%s: %w", host, err)
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) || errors.Is(err, errRedirect) {
		return err
	}
	// A name that is known to be of no host is a wrong endpoint, or a computer without a network.
	unknown := (*net.DNSError)(nil)
	return &transientError{cause: err, later: errors.As(err, &unknown) && unknown.IsNotFound}
}

// statusError turns an answer that is no success into an error. Redirects are the caller's to judge.
func (s *session) statusError(response *http.Response) error {
	status := response.StatusCode
	if status < 400 {
		return nil
	}
	description := answers(response)
	if message := response.Header.Get("X-Error-Message"); message != "" {
		description += fmt.Sprintf(" (%.200q)", message)
	}
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, description)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		hint := "the token lacks access: is it valid, and have the model's terms been accepted?"
		if s.client.Token == "" {
			hint = "there is no such model, or it needs a token in HF_TOKEN"
		}
		return fmt.Errorf("%w: %s; %s", ErrUnauthorized, description, hint)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return &transientError{cause: fmt.Errorf("%w: %s", errRange, description)}
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500:
		return &transientError{cause: errors.New(description), after: retryAfter(response.Header, time.Now())}
	}
	return errors.New(description)
}

// answers tells the status of an answer, in net/http's words: the server's could be anything.
func answers(response *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%s answers %d %s", response.Request.URL.Host, response.StatusCode, http.StatusText(response.StatusCode)))
}

// rateLimitReset finds the seconds until the window ends in the hub's header, such as `"resolvers";r=0;t=55`.
var rateLimitReset = regexp.MustCompile(`;\s*t=(\d{1,6})\b`)

// retryAfter reads how long the server wants to be left alone: Retry-After in seconds or as a date, or
// the hub's RateLimit; 0 if it does not say.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if match := rateLimitReset.FindStringSubmatch(header.Get("RateLimit")); value == "" && match != nil {
		value = match[1]
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// retry calls try until it succeeds, fails for good, or has failed transiently so many times without
// having advanced in between.
func (s *session) retry(ctx context.Context, attempts int, try func() (advanced bool, err error)) error {
	failures := 0
	for {
		advanced, err := try()
		transient := (*transientError)(nil)
		if err == nil || !errors.As(err, &transient) {
			return err
		}
		if advanced {
			failures = 0
		}
		failures++
		if failures >= attempts || transient.later {
			return err
		}
		if transient.after > s.timing.longest {
			return fmt.Errorf("%w, and asks to wait %v", err, transient.after)
		}
		wait := min(s.timing.backoff<<(failures-1), s.timing.longest)
		if err := s.timing.sleep(ctx, max(wait, transient.after)); err != nil {
			return err
		}
	}
}
